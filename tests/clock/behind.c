/* Sets the wall clock of one process back by CLOCK_BEHIND seconds: loaded by LD_PRELOAD, before
 * the C library.
 *
 * It asks the kernel itself, so that it works from the first instruction on: a library that looks
 * the real functions up first waits for ever in a process whose allocator asks for the time. The
 * clocks that measure durations stay as they are.
 */

#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long behind(void) {
    static const char name[] = "CLOCK_BEHIND=";
    for (char **variable = environ; variable && *variable; variable++) {
        const char *at = *variable, *expected = name;
        while (*expected && *at == *expected) {
            at++;
            expected++;
        }
        if (!*expected) {
            return strtol(at, NULL, 10);
        }
    }
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    long failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        now->tv_sec -= behind();
    }
    return (int)failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    long failed = syscall(SYS_gettimeofday, now, zone);
    if (!failed) {
        now->tv_sec -= behind();
    }
    return (int)failed;
}

time_t time(time_t *told) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told) {
        *told = now.tv_sec;
    }
    return now.tv_sec;
}
