/* Structures without padding: tools/include/xenctrl.h. */

struct e820entry {
    uint64_t addr;
    uint64_t size;
    uint32_t type;
};
