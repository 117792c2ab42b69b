/* A mock of an OpenAI upstream, so fast that no gateway waits for it: one thread, epoll, answers made beforehand.
 *
 *   upstream [PORT]      listens on 127.0.0.1, on any free port by default, and prints "listening on PORT"
 *
 * POST /v1/chat/completions and /v1/responses; what is answered depends on the model's name (answers.h). GET /health,
 * /v1/models and /stats, which tells what was asked and sent so far, so that nobody's figures need be believed. */

#include "wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "answers.h"

enum { MAX_REQUEST = 32 << 20, MAX_PLANS = 256, EVENTS = 256 };

struct connection {
    int fd, writing, close_after;
    char *in;
    size_t have, room, head; /* `head`: length of the request's head once it is known, else 0 */
    const char *out;
    size_t left;
    struct plan *plan; /* what is being answered; NULL between requests */
    int next;          /* the piece that comes next */
    char *own;         /* a piece made for this connection alone */
    uint64_t due;
    int slot; /* place among the timers, -1 for none */
};

static struct { uint64_t requests, accepted, open, bytes_in, bytes_out, streams, chunks, abandoned; } stats;
static struct plan *plans[MAX_PLANS];
static struct connection **timers;
static int poller, plan_count, timer_count, timer_room;
static uint64_t turn; /* time at which this turn of the loop began */

static void serve(struct connection *connection);
static void advance(struct connection *connection);

/* Timers: a binary heap, the earliest first. */

static void place(struct connection *connection, int slot) {
    timers[slot] = connection;
    connection->slot = slot;
}

static void sift(struct connection *connection, int slot) {
    while (slot > 0 && timers[(slot - 1) / 2]->due > connection->due) {
        place(timers[(slot - 1) / 2], slot);
        slot = (slot - 1) / 2;
    }
    for (int child; (child = 2 * slot + 1) < timer_count; slot = child) {
        if (child + 1 < timer_count && timers[child + 1]->due < timers[child]->due) child++;
        if (timers[child]->due >= connection->due) break;
        place(timers[child], slot);
    }
    place(connection, slot);
}

static void wake_at(struct connection *connection, uint64_t due) {
    if (timer_count == timer_room) {
        timer_room = timer_room ? 2 * timer_room : 1024;
        timers = realloc(timers, (size_t)timer_room * sizeof *timers);
    }
    connection->due = due;
    timer_count++;
    sift(connection, timer_count - 1);
}

static void forget_timer(struct connection *connection) {
    if (connection->slot < 0) return;
    struct connection *last = timers[--timer_count];
    if (last != connection) sift(last, connection->slot);
    connection->slot = -1;
}

/* Connections. */

static void drop(struct connection *connection) {
    if (connection->plan) stats.abandoned++;
    forget_timer(connection);
    close(connection->fd);
    free(connection->in);
    free(connection->own);
    free(connection);
    stats.open--;
}

/* Writes what there is; 0 where the connection is full or gone. */
static int flush(struct connection *connection) {
    while (connection->left) {
        ssize_t sent = send(connection->fd, connection->out, connection->left, MSG_NOSIGNAL);
        if (sent < 0) {
            /* A reset shows as an event of its own, and is handled there. */
            if (!connection->writing) watch(poller, EPOLL_CTL_MOD, connection->fd, EPOLLIN | EPOLLOUT, connection);
            connection->writing = 1;
            return 0;
        }
        stats.bytes_out += (uint64_t)sent;
        connection->out += sent;
        connection->left -= (size_t)sent;
    }
    if (connection->writing) watch(poller, EPOLL_CTL_MOD, connection->fd, EPOLLIN, connection);
    connection->writing = 0;
    return 1;
}

static void finish(struct connection *connection) {
    connection->plan = NULL;
    if (connection->close_after) drop(connection);
    else if (connection->have) serve(connection);
}

/* The next piece of the answer into `out`; 0 where there is none left. */
static int next_piece(struct connection *connection) {
    struct plan *plan = connection->plan;
    int live = plan->pace ? plan->chunks : 0, index = connection->next++;
    if (index >= plan->parts + live) return 0;
    if (live && index > 0 && index <= live) {
        if (!connection->own) connection->own = malloc(CHUNK_BYTES + 64);
        connection->out = connection->own;
        connection->left = chunk(connection->own, plan, index - 1, now_ns());
        stats.chunks++;
        return 1;
    }
    int part = live && index ? 1 : index;
    size_t begin = part ? plan->ends[part - 1] : 0;
    connection->out = plan->bytes + begin;
    connection->left = plan->ends[part] - begin;
    if (!live && plan->asked.stream && plan->status == 200)
        stats.chunks += (uint64_t)(part + 1 < plan->parts ? BURST : plan->chunks - part * BURST);
    return 1;
}

/* Goes on with the answer: a piece now, the one after it when its time comes. */
static void advance(struct connection *connection) {
    if (!flush(connection)) return;
    struct plan *plan = connection->plan;
    if (!plan) {
        serve(connection);
        return;
    }
    if (!next_piece(connection)) {
        finish(connection);
        return;
    }
    int last = connection->next == plan->parts + (plan->pace ? plan->chunks : 0);
    if (!flush(connection)) return; /* the next piece follows when there is room */
    if (last) finish(connection);
    /* An unpaced stream takes turns with the others: one burst in each turn of the loop. */
    else wake_at(connection, plan->pace && connection->next > 1 ? connection->due + plan->pace : turn + (plan->pace ? plan->pace : 1));
}

static void begin(struct connection *connection, struct plan *plan) {
    connection->plan = plan;
    connection->next = 0;
    stats.requests++;
    if (plan->asked.stream) stats.streams++;
    uint64_t wait = plan->delay, phase = plan->every ? turn % plan->every : 0;
    if (phase < plan->stall) wait += plan->stall - phase;
    if (wait) wake_at(connection, turn + wait);
    else advance(connection);
}

/* Requests. */

static struct plan *plan_for(const struct asked *asked) {
    for (int i = 0; i < plan_count; i++)
        if (!memcmp(&plans[i]->asked, asked, sizeof *asked)) return plans[i];
    if (plan_count == MAX_PLANS) plan_count--; /* names without end: the last place is used again, its answer is not freed */
    return plans[plan_count++] = make_plan(asked);
}

/* The value behind `"name":`, where `quote` is its opening quotation mark; NULL where it is not that. */
static const char *value_of(const char *quote, const char *end, const char *name) {
    size_t length = strlen(name);
    if ((size_t)(end - quote) < length + 3 || memcmp(quote + 1, name, length) || quote[length + 1] != '"') return NULL;
    const char *at = quote + length + 2;
    while (at < end && (*at == ' ' || *at == ':')) at++;
    return at < end ? at : NULL;
}

/* Finds the few fields that matter. A quotation mark within a JSON string has a backslash in front, so text that
 * looks like a field is never taken for one. */
static void read_body(const char *body, const char *end, struct asked *asked) {
    const char *at = body, *value;
    while (at < end && (at = memchr(at, '"', (size_t)(end - at))) != NULL) {
        if (at > body && at[-1] == '\\') {
            at++;
            continue;
        }
        if (!*asked->model && (value = value_of(at, end, "model")) && *value == '"') {
            const char *close = memchr(value + 1, '"', (size_t)(end - value - 1));
            size_t length = close ? (size_t)(close - value - 1) : 0;
            if (length && length < NAME_BYTES) memcpy(asked->model, value + 1, length);
        } else if ((value = value_of(at, end, "stream")) && *value == 't') asked->stream = 1;
        else if ((value = value_of(at, end, "include_usage")) && *value == 't') asked->usage = 1;
        at++;
    }
}

/* Length of a chunked body that starts at `body`, its chunks moved together to `*size` bytes; 0 where it is not complete. */
static size_t unchunk(char *body, size_t have, size_t *size) {
    for (int move = 0; move < 2; move++) { /* look first, move only what is complete */
        char *at = body, *to = body, *end = body + have, *line;
        for (;;) {
            if (!(line = memchr(at, '\n', (size_t)(end - at)))) return 0;
            size_t length = strtoul(at, NULL, 16);
            at = line + 1;
            if ((size_t)(end - at) < length + 2) return 0;
            if (!length) break;
            if (move) memmove(to, at, length);
            to += length;
            at += length + 2;
        }
        *size = (size_t)(to - body);
        if (move) return (size_t)(at + 2 - body);
    }
    return 0;
}

static void say(struct connection *connection, int status, const char *body) {
    if (!connection->own) connection->own = malloc(CHUNK_BYTES + 64);
    connection->out = connection->own;
    connection->left = (size_t)snprintf(connection->own, CHUNK_BYTES, "HTTP/1.1 %d %s\r\ncontent-type: application/json\r\n"
        "content-length: %zu\r\n\r\n%s", status, reason(status), strlen(body), body);
    flush(connection);
}

static void say_stats(struct connection *connection) {
    char body[512];
    snprintf(body, sizeof body, "{\"requests\":%llu,\"streams\":%llu,\"chunks\":%llu,\"abandoned\":%llu,\"accepted\":%llu,"
        "\"open_connections\":%llu,\"bytes_in\":%llu,\"bytes_out\":%llu}", (unsigned long long)stats.requests,
        (unsigned long long)stats.streams, (unsigned long long)stats.chunks, (unsigned long long)stats.abandoned,
        (unsigned long long)stats.accepted, (unsigned long long)stats.open, (unsigned long long)stats.bytes_in,
        (unsigned long long)stats.bytes_out);
    say(connection, 200, body);
}

static int starts(const char *request, const char *with) { return !strncmp(request, with, strlen(with)); }

/* Returns 0 where the connection has an answer to be going on with, or is gone. */
static int answer(struct connection *connection, const char *request, const char *body, size_t length) {
    struct asked asked = {.responses = starts(request, "POST /v1/responses")};
    if (asked.responses || starts(request, "POST /v1/chat/completions")) {
        read_body(body, body + length, &asked);
        begin(connection, plan_for(&asked));
        return 0;
    }
    if (starts(request, "GET /stats")) say_stats(connection);
    else if (starts(request, "GET /health")) say(connection, 200, "{\"status\":\"ok\"}");
    else if (starts(request, "GET /v1/models"))
        say(connection, 200, "{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"mock\"}]}");
    else say(connection, 404, "{\"error\":{\"message\":\"no such route\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}");
    if (!connection->close_after || connection->left) return 1;
    drop(connection);
    return 0;
}

/* Answers the request that has come in, if it is complete and no other is being answered. */
static void serve(struct connection *connection) {
    while (connection->have && !connection->plan && !connection->left) {
        char *in = connection->in;
        if (!connection->head) {
            char *end = memmem(in, connection->have, "\r\n\r\n", 4);
            if (!end) return;
            connection->head = (size_t)(end - in) + 4;
        }
        struct framing framing = read_framing(in, connection->head);
        char *body = in + connection->head;
        size_t have = connection->have - connection->head, length = framing.length > 0 ? (size_t)framing.length : 0, taken = length;
        if (framing.chunked) {
            if (!(taken = unchunk(body, have, &length))) return;
        } else if (have < length) return;
        size_t whole = connection->head + taken, rest = connection->have - whole;
        /* The request is read to its end below, so it may be taken off at once where nothing follows it. */
        connection->have = rest;
        connection->head = 0;
        connection->close_after = framing.close;
        if (!rest) {
            answer(connection, in, body, length);
            return;
        }
        char *copy = memcpy(malloc(whole + 1), in, whole);
        copy[whole] = 0;
        memmove(in, in + whole, rest);
        in[rest] = 0;
        int goes_on = answer(connection, copy, copy + (body - in), length);
        free(copy);
        if (!goes_on) return;
    }
}

static void take_in(struct connection *connection) {
    if (connection->room - connection->have < 4096) {
        connection->room = connection->room ? 2 * connection->room : 8192;
        connection->in = realloc(connection->in, connection->room + 1);
    }
    ssize_t got = recv(connection->fd, connection->in + connection->have, connection->room - connection->have, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0 || connection->have > MAX_REQUEST) {
        drop(connection);
        return;
    }
    stats.bytes_in += (uint64_t)got;
    connection->have += (size_t)got;
    connection->in[connection->have] = 0;
    if (!connection->plan) serve(connection);
}

static void welcome(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct connection *connection = calloc(1, sizeof *connection);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        connection->fd = fd;
        connection->slot = -1;
        watch(poller, EPOLL_CTL_ADD, fd, EPOLLIN, connection);
        stats.accepted++;
        stats.open++;
    }
}

static void run_timers(void) {
    while (timer_count && timers[0]->due <= turn) {
        struct connection *connection = timers[0];
        forget_timer(connection);
        advance(connection);
    }
}

static int listen_on(int port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    must(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 4096) == 0, "listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("listening on %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int count, char **words) {
    be_a_good_child();
    poller = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(count > 1 ? atoi(words[1]) : 0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    uint64_t armed = 0;
    watch(poller, EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
    watch(poller, EPOLL_CTL_ADD, timer, EPOLLIN | EPOLLET, &timer);
    for (struct epoll_event events[EVENTS];;) {
        int soon = timer_count && timers[0]->due <= now_ns();
        if (timer_count && !soon && timers[0]->due != armed) arm(timer, armed = timers[0]->due);
        int ready = epoll_wait(poller, events, EVENTS, soon ? 0 : -1);
        turn = now_ns();
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (events[i].data.ptr == &listener) welcome(listener);
            else if (events[i].data.ptr == &timer) armed = 0;
            else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) take_in(connection);
            else advance(connection);
        }
        run_timers();
    }
}
