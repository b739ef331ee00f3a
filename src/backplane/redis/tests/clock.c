/* The clock of a Redis under test: stands still until the test moves it. Loaded into redis-server beside everything else; the
   time is a number of milliseconds in the file that FROZEN_CLOCK names. The monotonic clock, by which Redis works, goes on. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t *now;

__attribute__((constructor)) static void open_clock(void) {
    const char *path = getenv("FROZEN_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *now, PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) _exit(70);
    now = page;
}

int clock_gettime(clockid_t id, struct timespec *to) {
    if (id != CLOCK_REALTIME || !now) return (int)syscall(SYS_clock_gettime, id, to);
    to->tv_sec = (time_t)(*now / 1000);
    to->tv_nsec = (long)(*now % 1000) * 1000000;
    return 0;
}

int gettimeofday(struct timeval *to, void *zone) {
    struct timespec time;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &time);
    to->tv_sec = time.tv_sec;
    to->tv_usec = time.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *to) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    if (to) *to = time.tv_sec;
    return time.tv_sec;
}
