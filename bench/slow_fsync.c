/* A slow disk, felt by one process: preloaded, it adds a fixed delay to every fsync and fdatasync.
 *
 * BENCH_FSYNC_DELAY_US says how many microseconds; the real call is made first. sync_file_range, msync and O_SYNC are
 * left alone: neither SQLite in WAL mode nor the bare append loop uses them. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static long delay_us = 0;

__attribute__((constructor)) static void read_delay(void) {
    const char *text = getenv("BENCH_FSYNC_DELAY_US");
    delay_us = text ? atol(text) : 0;
}

static void wait_delay(void) {
    if (delay_us <= 0)
        return;
    int kept = errno;
    struct timespec left = {delay_us / 1000000, (delay_us % 1000000) * 1000};
    while (nanosleep(&left, &left) == -1 && errno == EINTR) {
    }
    errno = kept;
}

int fsync(int descriptor) {
    static int (*real)(int) = NULL;
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    int result = real(descriptor);
    wait_delay();
    return result;
}

int fdatasync(int descriptor) {
    static int (*real)(int) = NULL;
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    int result = real(descriptor);
    wait_delay();
    return result;
}
