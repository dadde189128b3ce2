/* Preloaded into a process, its wall clock is off by what the file $CHAOS_CLOCK says (seconds), from call to call.
   Monotonic and boot-time clocks are left alone, as when somebody sets a machine's clock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long shift(void) {
    static __thread struct timespec looked;
    static __thread long known;
    static int (*real)(clockid_t, struct timespec *);
    struct timespec now;
    const char *path = getenv("CHAOS_CLOCK");
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    real(CLOCK_MONOTONIC, &now);
    if (path && (now.tv_sec != looked.tv_sec || !looked.tv_sec)) {
        FILE *file = fopen(path, "r");
        looked = now;
        if (file) {
            if (fscanf(file, "%ld", &known) != 1) known = 0;
            fclose(file);
        }
    }
    return known;
}

int clock_gettime(clockid_t id, struct timespec *out) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, out);
    if (!result && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) out->tv_sec += shift();
    return result;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
