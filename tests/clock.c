/* Shows a program another time: preloaded into verifierd, it adds an offset to what the kernel's clocks say.
 *
 * The offset is eight bytes of a file that the test writes while the program runs. libfaketime can do the same, but
 * reads its file anew into variables without a lock; with several threads, one in thousands of readings is then wrong
 * by the whole offset, and a right one-time password is refused.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t *offset_seconds;
static int waits_too;

__attribute__((constructor)) static void map_offset(void) {
    const char *path = getenv("POSTERN_RIG_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *place = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset_seconds, PROT_READ, MAP_SHARED, file, 0);
    if (place == MAP_FAILED)
        abort();
    close(file);
    offset_seconds = place;
    waits_too = getenv("POSTERN_RIG_CLOCK_WAITS") != NULL;
}

/* Threads that wait for each other until a moment do it by this call (Rust's library does): the moment is one of the moved
 * clock, and the kernel knows its own alone. */
long syscall(long number, ...) {
    static long (*plain)(long, ...);
    long words[6];
    struct timespec until;
    va_list rest;
    va_start(rest, number);
    for (int at = 0; at < 6; at++)
        words[at] = va_arg(rest, long);
    va_end(rest);
    if (!plain)
        *(void **)&plain = dlsym(RTLD_NEXT, "syscall");
    int is_until = number == SYS_futex && words[3] && waits_too && offset_seconds &&
                   (words[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET && !(words[1] & FUTEX_CLOCK_REALTIME);
    if (is_until) {
        until = *(const struct timespec *)words[3];
        until.tv_sec -= atomic_load(offset_seconds);
        if (until.tv_sec < 0)
            until = (struct timespec){0, 0};
        words[3] = (long)&until;
    }
    return plain(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

static int is_moved(clockid_t clock) {
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        return 1;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        return waits_too;
    default:
        return 0;
    }
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int outcome = (int)syscall(SYS_clock_gettime, clock, now);
    /* Other constructors may ask for the time before ours has run. */
    if (outcome == 0 && offset_seconds && is_moved(clock))
        now->tv_sec += atomic_load(offset_seconds);
    return outcome;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact) != 0)
        return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *place) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    if (place)
        *place = now.tv_sec;
    return now.tv_sec;
}
