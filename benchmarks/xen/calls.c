/* What libxenctrl's calls cost from C: `calls WHAT COUNT THREADS` prints the nanoseconds of one.
 *
 * The library is loaded at run time, so that building needs its headers alone. */
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xenctrl.h>

#define FIRST_LIST 256

static __typeof__(xc_interface_open) *open_;
static __typeof__(xc_interface_close) *close_;
static __typeof__(xc_physinfo) *physinfo;
static __typeof__(xc_domain_getinfolist) *getinfolist;
static __typeof__(xc_domain_create) *create;
static __typeof__(xc_domain_destroy) *destroy;

static const char *what;
static long count;

static void *need(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    return found;
}

static void fail(const char *call) {
    fprintf(stderr, "%s: %s\n", call, strerror(errno));
    exit(1);
}

static void one_physinfo(xc_interface *xch) {
    xc_physinfo_t info = {0};
    if (physinfo(xch, &info))
        fail("xc_physinfo");
}

static void one_list(xc_interface *xch) {
    /* Room for all in one call, so that the list is one moment's; the room is kept. */
    static __thread xc_domaininfo_t *rows;
    static __thread int room;
    for (;;) {
        if (rows) {
            int got = getinfolist(xch, 0, room, rows);
            if (got < 0)
                fail("xc_domain_getinfolist");
            if (got < room)
                return;
        }
        room = room ? 2 * room : FIRST_LIST;
        if (!(rows = realloc(rows, room * sizeof *rows)))
            fail("realloc");
    }
}

/* As programs did before Xen 4.18, with one hypercall for each domain. */
static void one_by_one(xc_interface *xch) {
    xc_domaininfo_t row;
    uint32_t next = 0;
    int got;
    while ((got = getinfolist(xch, next, 1, &row)) == 1)
        next = row.domain + 1;
    if (got < 0)
        fail("xc_domain_getinfolist");
}

static void one_create(xc_interface *xch) {
    struct xen_domctl_createdomain config = {
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
        .max_vcpus = 1,
        .max_evtchn_port = 1023,
        .max_grant_frames = 64,
        .max_maptrack_frames = 1024,
        .grant_opts = XEN_DOMCTL_GRANT_version(2),
        .arch = {.emulation_flags = XEN_X86_EMU_LAPIC},
    };
    uint32_t domid = 0;
    if (create(xch, &domid, &config))
        fail("xc_domain_create");
    if (destroy(xch, domid))
        fail("xc_domain_destroy");
}

static void *work(void *handle) {
    xc_interface *xch = handle;
    void (*one)(xc_interface *) = !strcmp(what, "physinfo") ? one_physinfo
                                  : !strcmp(what, "list")   ? one_list
                                  : !strcmp(what, "one_by_one") ? one_by_one
                                                            : one_create;
    for (long i = 0; i < count; i++)
        one(xch);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: %s physinfo|list|one_by_one|create_destroy COUNT THREADS\n", argv[0]);
        return 2;
    }
    void *library = dlopen(XENCTRL, RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    open_ = need(library, "xc_interface_open");
    close_ = need(library, "xc_interface_close");
    physinfo = need(library, "xc_physinfo");
    getinfolist = need(library, "xc_domain_getinfolist");
    create = need(library, "xc_domain_create");
    destroy = need(library, "xc_domain_destroy");
    what = argv[1];
    count = atol(argv[2]);
    int threads = atoi(argv[3]);
    pthread_t *started = calloc(threads, sizeof *started);
    xc_interface **handles = calloc(threads, sizeof *handles);
    for (int i = 0; i < threads; i++)
        if (!(handles[i] = open_(NULL, NULL, 0)))
            fail("xc_interface_open");
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < threads; i++)
        pthread_create(&started[i], NULL, work, handles[i]);
    for (int i = 0; i < threads; i++)
        pthread_join(started[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &to);
    for (int i = 0; i < threads; i++)
        close_(handles[i]);
    int64_t ns = (to.tv_sec - from.tv_sec) * INT64_C(1000000000) + to.tv_nsec - from.tv_nsec;
    printf("%.1f\n", (double)ns / count / threads);
    return 0;
}
