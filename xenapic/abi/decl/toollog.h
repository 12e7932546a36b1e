/* libxenctrl's log: tools/include/xentoollog.h. libxentoollog.so.1 is stable. */

xentoollog_logger *xtl_createlogger_stdiostream(void *f, int min_level, unsigned flags);
void xtl_logger_destroy(xentoollog_logger *logger);
