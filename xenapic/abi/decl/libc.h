/* The C library: <stdio.h>. */

void *fdopen(int fd, const char *mode);
int fclose(void *stream);
