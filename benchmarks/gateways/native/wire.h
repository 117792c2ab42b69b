/* The little of HTTP/1.1 and of epoll that the mock upstream and the load generator share. */

#ifndef WIRE_H
#define WIRE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void must(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* Die with the process that started us; a write to a closed socket is an error, not a signal. */
static void be_a_good_child(void) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
}

static void watch(int poller, int operation, int fd, uint32_t events, void *who) {
    struct epoll_event event = {.events = events, .data.ptr = who};
    must(epoll_ctl(poller, operation, fd, &event) == 0, "epoll_ctl");
}

/* Let `timer` be readable from `due` on; 0 disarms it. */
static void arm(int timer, uint64_t due) {
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u)}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

struct framing {
    long length; /* -1 where no content-length came */
    int chunked, close;
};

/* What the header lines say of the body. `head` stops after the empty line. */
static struct framing read_framing(const char *head, size_t length) {
    struct framing framing = {.length = -1};
    const char *end = head + length, *line = memchr(head, '\n', length);
    for (; line && ++line < end; line = memchr(line, '\n', (size_t)(end - line))) {
        if (!strncasecmp(line, "content-length:", 15)) framing.length = strtol(line + 15, NULL, 10);
        else if (!strncasecmp(line, "transfer-encoding:", 18)) framing.chunked = 1;
        else if (!strncasecmp(line, "connection:", 11)) framing.close = !strncasecmp(line + 11 + (line[11] == ' '), "close", 5);
    }
    return framing;
}

#endif
