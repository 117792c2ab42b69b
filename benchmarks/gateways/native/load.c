/* A load generator for one POST, repeated: one thread, epoll, keep-alive connections.
 *
 *   load --port P --body FILE [--path /v1/chat/completions] [--header 'name: value'] ...
 *        [--connections N] [--seconds S] [--warm-up S] [--requests N] [--rate R] [--chunks N] [--stagger S] [--timeout S]
 *        [--expect TEXT]
 *
 * Closed loop: each connection asks again as soon as it is answered. With --rate, open loop: R requests a second start
 * when they are due, and latency counts from when they were due, whether or not a connection was free; so an upstream
 * that stalls cannot hide it. With --stagger, connection i begins i/N of that time later. With --requests, no more than N
 * are begun.
 *
 * An answer counts where its status is 200 and it holds TEXT; with --chunks, where it holds exactly N of the mock's
 * stamps and [DONE] at its end. Stamps hold the time at which they were written (answers.h), so how late each chunk
 * came is known too. Stamps without anything between them are not chunks: some dialects repeat the whole text at the end. What begins after the last second is not begun: the loop ends when the last answer is there, and
 * so its totals are those of the upstream's books. Prints one JSON document. */

#include "wire.h"
#include "histogram.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

enum { EVENTS = 512, BUFFER = 256 << 10, HEAD = 32 << 10, SAMPLE = 8 << 10, TAIL = 24, GIVE_UP = 200 };
enum state { IDLE, IN_HEAD, IN_LENGTH, IN_SIZE, IN_CHUNK, AFTER_CHUNK, IN_TRAILER, UNTIL_CLOSE };
enum place { OUTSIDE, IN_STAMP, AFTER_STAMP };
enum failure { CONNECT, CLOSED, STATUS, BROKEN, TIMEOUT, FAILURES };

struct connection {
    int fd, status, close_after, digits, run, stamps, line_bytes;
    enum place place;
    enum state state;
    const char *out;
    size_t left, had, body;  /* left to send; bytes of head held; bytes of body so far */
    uint64_t start, expected, stamp, size;
    char head[HEAD + 1], sample[SAMPLE], tail[TAIL];
};

static struct {
    const char *host, *path, *expect;
    int port, connections, chunks;
    double seconds, warm_up, rate, stagger, timeout;
    uint64_t requests;
    size_t request_bytes;
    char *request;
} options = {.host = "127.0.0.1", .path = "/v1/chat/completions", .expect = "mock-says", .connections = 1, .seconds = 1, .timeout = 30, .requests = UINT64_MAX};

static struct histogram latency, chunk_latency;
static struct { uint64_t requests, chunks, total_requests, total_chunks, bytes_in, reconnects, errors[FAILURES]; } counts;
static struct connection *connections, **idle;
static int poller, idle_count, busy;
static uint64_t begin, from, until, issued; /* the window is [from, until) */
static char buffer[BUFFER];

/* Connections. */

static void fail(struct connection *connection, enum failure kind);

static int open_socket(struct connection *connection) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    inet_pton(AF_INET, options.host, &address.sin_addr);
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(connection->fd);
        connection->fd = -1;
        return 0;
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    watch(poller, EPOLL_CTL_ADD, connection->fd, EPOLLIN, connection);
    connection->state = IDLE;
    connection->left = 0;
    return 1;
}

static void reopen(struct connection *connection) {
    close(connection->fd);
    counts.reconnects++;
    if (!open_socket(connection)) fail(connection, CONNECT);
}

static void flush(struct connection *connection) {
    while (connection->left) {
        ssize_t sent = send(connection->fd, connection->out, connection->left, MSG_NOSIGNAL);
        if (sent < 0) {
            watch(poller, EPOLL_CTL_MOD, connection->fd, EPOLLIN | EPOLLOUT, connection);
            return;
        }
        connection->out += sent;
        connection->left -= (size_t)sent;
    }
}

static void ask(struct connection *connection, uint64_t start) {
    connection->start = start;
    connection->state = IN_HEAD;
    connection->had = connection->body = 0;
    connection->stamps = connection->run = 0, connection->place = OUTSIDE;
    memset(connection->tail, 0, TAIL);
    connection->out = options.request;
    connection->left = options.request_bytes;
    busy++;
    flush(connection);
}

static uint64_t due(uint64_t index) { return begin + (uint64_t)((double)index * 1e9 / options.rate); }

/* The connection has nothing to do: give it the next request, where there is one. */
static void next(struct connection *connection, uint64_t now) {
    if (connection->fd < 0) return;
    uint64_t start = options.rate > 0 ? due(issued) : now;
    if (start >= until || issued >= options.requests) return;
    if (start <= now) {
        issued++;
        ask(connection, start);
    } else idle[idle_count++] = connection;
}

static void fail(struct connection *connection, enum failure kind) {
    static const char *names[] = {"cannot connect", "closed before the answer was complete", "status is not 200", "answer is broken", "no answer in time"};
    uint64_t errors = 0;
    if (!counts.errors[kind]++)
        fprintf(stderr, "%s (status %d, %d stamps): %.*s\n", names[kind], connection->status, connection->stamps,
            (int)(connection->body < SAMPLE ? connection->body : SAMPLE), connection->sample);
    for (int each = 0; each < FAILURES; each++) errors += counts.errors[each];
    if (errors >= GIVE_UP) until = 0;
    if (connection->state != IDLE) busy--;
    connection->state = IDLE;
    if (kind == CONNECT) return;
    reopen(connection);
    next(connection, now_ns());
}

/* Answers. */

static int complete_enough(const struct connection *connection) {
    if (!options.chunks)
        return memmem(connection->sample, connection->body < SAMPLE ? connection->body : SAMPLE, options.expect, strlen(options.expect)) != NULL;
    return connection->stamps == options.chunks && memmem(connection->tail, TAIL, options.expect, strlen(options.expect));
}

static void done(struct connection *connection, uint64_t now) {
    if (connection->status != 200 || !complete_enough(connection)) {
        fail(connection, connection->status != 200 ? STATUS : BROKEN);
        return;
    }
    counts.total_requests++;
    if (now >= from && now < until) {
        counts.requests++;
        record(&latency, now - connection->start);
    }
    busy--;
    connection->state = IDLE;
    if (connection->close_after) reopen(connection);
    next(connection, now);
}

static void stamped(struct connection *connection, uint64_t now) {
    connection->stamps++;
    counts.total_chunks++;
    if (now < from || now >= until) return;
    counts.chunks++;
    if (connection->stamp && connection->stamp <= now) record(&chunk_latency, now - connection->stamp);
}

/* Looks for @digits@, which may begin in one piece and end in another; what follows tells whether it stands alone. */
static void find_stamps(struct connection *connection, const char *at, const char *end, uint64_t now) {
    while (at < end) {
        if (connection->place == IN_STAMP && *at >= '0' && *at <= '9') {
            connection->stamp = connection->stamp * 10 + (uint64_t)(*at++ - '0');
            connection->digits++;
        } else if (connection->place == IN_STAMP) {
            connection->place = *at++ == '@' && connection->digits ? AFTER_STAMP : OUTSIDE;
        } else {
            int another = connection->place == AFTER_STAMP && *at == '@';
            if (connection->place == AFTER_STAMP && !another && !connection->run) stamped(connection, now);
            connection->run = another;
            connection->place = OUTSIDE;
            if (!(at = memchr(at, '@', (size_t)(end - at)))) return;
            connection->place = IN_STAMP;
            connection->digits = 0, connection->stamp = 0, at++;
        }
    }
}

static void take_body(struct connection *connection, const char *at, size_t length, uint64_t now) {
    if (connection->body < SAMPLE)
        memcpy(connection->sample + connection->body, at, length < SAMPLE - connection->body ? length : SAMPLE - connection->body);
    connection->body += length;
    if (!options.chunks || connection->status != 200) return;
    size_t kept = length < TAIL ? TAIL - length : 0;
    memmove(connection->tail, connection->tail + TAIL - kept, kept);
    memcpy(connection->tail + kept, at + (length - (TAIL - kept)), TAIL - kept);
    find_stamps(connection, at, at + length, now);
}

/* Takes bytes of the head; returns how many, and knows the body's framing when it is complete. */
static size_t take_head(struct connection *connection, const char *at, size_t length) {
    size_t room = HEAD - connection->had, held = connection->had, taken = length < room ? length : room;
    memcpy(connection->head + held, at, taken);
    connection->had += taken;
    connection->head[connection->had] = 0;
    char *end = memmem(connection->head, connection->had, "\r\n\r\n", 4);
    if (!end) return taken;
    size_t head = (size_t)(end - connection->head) + 4;
    struct framing framing = read_framing(connection->head, head);
    connection->status = connection->had > 12 ? atoi(connection->head + 9) : 0;
    connection->close_after = framing.close;
    connection->size = framing.length > 0 ? (uint64_t)framing.length : 0;
    connection->line_bytes = 0;
    connection->expected = 0;
    connection->state = framing.chunked ? IN_SIZE : framing.length >= 0 ? IN_LENGTH : UNTIL_CLOSE;
    return head - held;
}

static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }

/* One byte between chunks; `size` is the number being read. */
static void take_framing(struct connection *connection, char byte) {
    switch (connection->state) {
    case IN_SIZE:
        if (byte == '\n') connection->state = connection->size ? IN_CHUNK : IN_TRAILER, connection->line_bytes = 0;
        else if (hex(byte) >= 0 && connection->line_bytes++ < 8) connection->size = connection->size * 16 + (uint64_t)hex(byte);
        else connection->line_bytes = 8; /* an extension, or the CR */
        break;
    case AFTER_CHUNK:
        if (byte == '\n') connection->state = IN_SIZE, connection->size = 0, connection->line_bytes = 0;
        break;
    default:
        if (byte != '\n') connection->line_bytes += byte != '\r';
        else if (connection->line_bytes) connection->line_bytes = 0; /* a trailer field */
        else connection->state = IDLE;
    }
}

static void take(struct connection *connection, const char *at, size_t length, uint64_t now) {
    const char *end = at + length;
    while (at < end || (connection->state == IN_LENGTH && !connection->size)) {
        size_t here = (size_t)(end - at);
        switch (connection->state) {
        case IDLE: /* bytes nobody asked for */
            fail(connection, BROKEN);
            return;
        case IN_HEAD:
            at += take_head(connection, at, here);
            if (connection->state != IN_HEAD) break;
            if (connection->had == HEAD) fail(connection, BROKEN);
            return;
        case UNTIL_CLOSE:
            take_body(connection, at, here, now);
            return;
        case IN_LENGTH:
        case IN_CHUNK:
            if (here > connection->size) here = connection->size;
            if (here) take_body(connection, at, here, now);
            at += here;
            if (connection->size -= here) return;
            if (connection->state == IN_CHUNK) connection->state = AFTER_CHUNK;
            else {
                if (at < end) fail(connection, BROKEN);
                else done(connection, now);
                return;
            }
            break;
        default:
            take_framing(connection, *at++);
            if (connection->state != IDLE) break;
            connection->state = IN_TRAILER; /* still busy, for `fail` and `done` */
            if (at < end) fail(connection, BROKEN);
            else done(connection, now);
            return;
        }
    }
}

static void readable(struct connection *connection) {
    ssize_t got = recv(connection->fd, buffer, BUFFER, 0);
    uint64_t now = now_ns();
    if (got > 0) {
        counts.bytes_in += (uint64_t)got;
        take(connection, buffer, (size_t)got, now);
    } else if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    else if (connection->state == IDLE) reopen(connection); /* it may close what is idle */
    else if (got == 0 && connection->state == UNTIL_CLOSE) connection->close_after = 1, done(connection, now);
    else fail(connection, CLOSED);
}

/* The loop. */

static void start_due(uint64_t now) {
    while (idle_count && options.rate > 0 && due(issued) <= now && due(issued) < until && issued < options.requests)
        ask(idle[--idle_count], due(issued)), issued++;
}

static void check_timeouts(uint64_t now) {
    uint64_t limit = (uint64_t)(options.timeout * 1e9);
    for (int i = 0; i < options.connections; i++)
        if (connections[i].state != IDLE && connections[i].start + limit < now) fail(&connections[i], TIMEOUT);
}

static void run(void) {
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), begun = 0;
    uint64_t checked = begin;
    struct epoll_event events[EVENTS];
    watch(poller, EPOLL_CTL_ADD, timer, EPOLLIN | EPOLLET, NULL);
    for (uint64_t now = now_ns(), armed = 0; busy || (issued < options.requests && (now < until || (options.rate > 0 && idle_count && due(issued) < until))); now = now_ns()) {
        uint64_t apart = options.connections ? (uint64_t)(options.stagger * 1e9 / options.connections) : 0, wake = until;
        for (; begun < options.connections && begin + apart * (uint64_t)begun <= now; begun++) next(&connections[begun], now);
        start_due(now);
        if (begun < options.connections) wake = begin + apart * (uint64_t)begun;
        else if (options.rate > 0 && idle_count && due(issued) < until) wake = due(issued);
        if (wake != armed) arm(timer, armed = wake);
        int ready = epoll_wait(poller, events, EVENTS, 1000);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection) armed = 0;
            else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(connection);
            else {
                flush(connection);
                if (!connection->left) watch(poller, EPOLL_CTL_MOD, connection->fd, EPOLLIN, connection);
            }
        }
        if (now - checked > 1000000000u) check_timeouts(checked = now);
    }
}

static void print_result(void) {
    static const char *names[] = {"connect", "closed", "status", "broken", "timeout"};
    printf("{\"connections\":%d,\"seconds\":%.3f,\"requests\":%llu,\"requests_per_s\":%.1f,\"chunks\":%llu,\"chunks_per_s\":%.1f,"
        "\"total_requests\":%llu,\"total_chunks\":%llu,\"bytes_in\":%llu,\"reconnects\":%llu,\"total_s\":%.3f,\"errors\":{", options.connections,
        options.seconds, (unsigned long long)counts.requests, (double)counts.requests / options.seconds, (unsigned long long)counts.chunks,
        (double)counts.chunks / options.seconds, (unsigned long long)counts.total_requests, (unsigned long long)counts.total_chunks,
        (unsigned long long)counts.bytes_in, (unsigned long long)counts.reconnects, (double)(now_ns() - begin) / 1e9);
    for (int kind = 0; kind < FAILURES; kind++)
        printf("%s\"%s\":%llu", kind ? "," : "", names[kind], (unsigned long long)counts.errors[kind]);
    printf("},");
    print_histogram("latency_us", &latency);
    printf(",");
    print_histogram("chunk_latency_us", &chunk_latency);
    printf("}\n");
}

static void make_request(const char *file, const char *headers) {
    struct stat about;
    int fd = file ? open(file, O_RDONLY) : -1;
    must(fd >= 0 && fstat(fd, &about) == 0, "--body");
    options.request = malloc((size_t)about.st_size + strlen(headers) + strlen(options.path) + 512);
    int head = sprintf(options.request, "POST %s HTTP/1.1\r\nhost: %s:%d\r\n%scontent-type: application/json\r\naccept: */*\r\ncontent-length: %lld\r\n\r\n",
        options.path, options.host, options.port, headers, (long long)about.st_size);
    must(read(fd, options.request + head, (size_t)about.st_size) == about.st_size, "--body");
    options.request_bytes = (size_t)head + (size_t)about.st_size;
    close(fd);
}

static void read_options(int count, char **words) {
    static const struct option known[] = {{"port", 1, 0, 'p'}, {"host", 1, 0, 'h'}, {"path", 1, 0, 'u'}, {"body", 1, 0, 'b'}, {"header", 1, 0, 'H'},
        {"connections", 1, 0, 'c'}, {"seconds", 1, 0, 's'}, {"warm-up", 1, 0, 'w'}, {"rate", 1, 0, 'r'}, {"chunks", 1, 0, 'n'}, {"stagger", 1, 0, 'g'}, {"requests", 1, 0, 'N'},
        {"timeout", 1, 0, 't'}, {"expect", 1, 0, 'e'}, {0, 0, 0, 0}};
    static char headers[16384];
    const char *file = NULL, *expect = NULL;
    for (int key; (key = getopt_long(count, words, "", known, NULL)) != -1;) {
        switch (key) {
        case 'p': options.port = atoi(optarg); break;
        case 'h': options.host = optarg; break;
        case 'u': options.path = optarg; break;
        case 'b': file = optarg; break;
        case 'H': snprintf(headers + strlen(headers), sizeof headers - strlen(headers), "%s\r\n", optarg); break;
        case 'c': options.connections = atoi(optarg); break;
        case 's': options.seconds = atof(optarg); break;
        case 'w': options.warm_up = atof(optarg); break;
        case 'r': options.rate = atof(optarg); break;
        case 'n': options.chunks = atoi(optarg); break;
        case 'N': options.requests = strtoull(optarg, NULL, 10); break;
        case 'g': options.stagger = atof(optarg); break;
        case 't': options.timeout = atof(optarg); break;
        case 'e': expect = optarg; break;
        default: exit(2);
        }
    }
    options.expect = expect ? expect : options.chunks ? "[DONE]" : options.expect;
    make_request(file, headers);
}

int main(int count, char **words) {
    be_a_good_child();
    read_options(count, words);
    poller = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc((size_t)options.connections, sizeof *connections);
    idle = calloc((size_t)options.connections + 1, sizeof(struct connection *));
    for (int i = 0; i < options.connections; i++) must(open_socket(&connections[i]), "connect");
    begin = now_ns();
    from = begin + (uint64_t)(options.warm_up * 1e9);
    until = from + (uint64_t)(options.seconds * 1e9);
    run();
    print_result();
    return 0;
}
