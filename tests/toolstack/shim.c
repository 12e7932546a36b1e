/* Preloaded into xl: writes down each xc_domain_create, and says what the caller wants instead of the truth.
 *
 * RECORD_TO      the file that lines are added to:
 *                  physinfo CAPABILITIES              the word that xl is told
 *                  create BYTES RESULT ERRNO          the request in hexadecimal, and Xen's answer ("-": not asked)
 * RECORD_SIZE    bytes of the release's struct xen_domctl_createdomain
 * RECORD_MODE    stop: Xen is not asked; try: Xen is asked, and the domain destroyed at once; go: xl goes on
 * CAPABILITIES_AT, CAPABILITIES   offset in xc_physinfo_t, and the word that takes the real one's place
 *
 * Unversioned symbols of a preloaded library take the place of a library's versioned ones.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int create_call(void *, uint32_t *, void *);
typedef int destroy_call(void *, uint32_t);
typedef int physinfo_call(void *, void *);

static FILE *record(void)
{
    FILE *file = fopen(getenv("RECORD_TO"), "a");

    if (!file)
        abort();
    return file;
}

static void *real(const char *name)
{
    void *call = dlsym(RTLD_NEXT, name);

    if (!call)
        abort();
    return call;
}

int xc_physinfo(void *xch, void *info)
{
    int result = ((physinfo_call *)real("xc_physinfo"))(xch, info);
    const char *pretended = getenv("CAPABILITIES");
    char *place = (char *)info + atoi(getenv("CAPABILITIES_AT"));
    uint32_t word;

    if (result)
        return result;
    if (pretended) {
        word = strtoul(pretended, NULL, 0);
        memcpy(place, &word, sizeof(word));
    }
    memcpy(&word, place, sizeof(word));
    FILE *file = record();
    fprintf(file, "physinfo %u\n", word);
    fclose(file);
    return 0;
}

int xc_domain_create(void *xch, uint32_t *domid, void *config)
{
    const char *mode = getenv("RECORD_MODE");
    int result = -1, error = ENOSYS, asked = strcmp(mode, "stop");
    size_t size = atoi(getenv("RECORD_SIZE"));
    const unsigned char *bytes = config;
    FILE *file = record();

    fputs("create ", file);
    for (size_t i = 0; i < size; i++)
        fprintf(file, "%02x", bytes[i]);
    fflush(file); /* if Xen dies of the request, this is its last trace */
    if (!asked) {
        fputs(" - -\n", file);
    } else {
        result = ((create_call *)real("xc_domain_create"))(xch, domid, config);
        error = errno;
        fprintf(file, " %d %d\n", result, result ? error : 0);
    }
    fclose(file);
    if (!strcmp(mode, "go")) {
        errno = error;
        return result;
    }
    if (asked && !result)
        ((destroy_call *)real("xc_domain_destroy"))(xch, *domid);
    errno = ENOSYS;
    return -1;
}
