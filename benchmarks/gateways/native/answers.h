/* What the mock upstream answers, made from a model's name.
 *
 * A name is words with dashes between them, the first of which is "mock":
 *
 *   mock               a short answer, in chunks of a word each where "stream" is true
 *   mock-stream-100    100 chunks in bursts of 10, as fast as the reader takes them
 *   mock-paced-50ms-100  100 chunks, one every 50 ms, each holding the time at which it was written
 *   mock-slow-200ms    nothing for 200 ms, then the answer
 *   mock-stall-1s-10s  the whole upstream is silent for the first second of every ten
 *   mock-big-64k       an unstreamed answer of 64 KiB
 *   mock-500           an error with this status
 *
 * Words combine: "mock-slow-200ms-stream-100". Where a number of chunks is asked for, each chunk's text is @NANOSECONDS@,
 * of CLOCK_MONOTONIC, if it is paced, and @0@ if it is not; so a reader can count chunks however a gateway cuts them, and
 * time them. */

#ifndef ANSWERS_H
#define ANSWERS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAYS "mock-says: Hello! How can I help you today?"
static const char *const words_said[] = {"mock-says:", " Hello!", " How", " can", " I", " help", " you", " today?"};

enum { WORDS_SAID = sizeof words_said / sizeof *words_said };
enum { NAME_BYTES = 100, CHUNK_BYTES = 1024, BURST = 10, MAX_CHUNKS = 100000, MAX_BIG = 64 << 20 };

struct asked {
    char model[NAME_BYTES];
    int responses; /* asked for /v1/responses, not for /v1/chat/completions */
    int stream;
    int usage;
};

/* An answer: `parts` pieces of `bytes`, ends[i] being where piece i stops. A paced stream holds its opening and its
 * closing only; the chunks between them are written when their time comes. */
struct plan {
    struct asked asked;
    uint64_t delay, pace, stall, every; /* nanoseconds */
    int status, chunks, stamped;
    size_t big;
    char *bytes;
    size_t *ends;
    int parts;
};

static uint64_t read_time(const char *word, uint64_t otherwise) {
    char *unit;
    double value = strtod(word, &unit);
    if (unit == word) return otherwise;
    if (!strncmp(unit, "us", 2)) return (uint64_t)(value * 1e3);
    if (!strncmp(unit, "ms", 2)) return (uint64_t)(value * 1e6);
    return *unit == 's' ? (uint64_t)(value * 1e9) : otherwise;
}

static int bounded(const char *word, int most) {
    long value = strtol(word, NULL, 10);
    return value < 1 ? 1 : value > most ? most : (int)value;
}

/* Fills in what the words say; 0 where one of them has no meaning. */
static int read_name(struct plan *plan) {
    char name[NAME_BYTES], *words[16] = {0}, *rest = name;
    int count = 0;
    memcpy(name, plan->asked.model, NAME_BYTES);
    while (count < 14 && (words[count] = strsep(&rest, "-")) != NULL) count++;
    plan->status = 200;
    plan->chunks = WORDS_SAID;
    if (strcmp(words[0], "mock")) return 0;
    for (int i = 1; i < count; i++) {
        const char *one = words[i + 1] ? words[i + 1] : "", *two = *one && words[i + 2] ? words[i + 2] : "";
        if (!strcmp(words[i], "slow")) plan->delay = read_time(one, 0), i++;
        else if (!strcmp(words[i], "stream")) plan->stamped = 1, plan->chunks = bounded(one, MAX_CHUNKS), i++;
        else if (!strcmp(words[i], "paced")) plan->stamped = 1, plan->pace = read_time(one, 1), plan->chunks = bounded(two, MAX_CHUNKS), i += 2;
        else if (!strcmp(words[i], "stall")) plan->stall = read_time(one, 0), plan->every = read_time(two, 1), i += 2;
        else if (!strcmp(words[i], "big")) plan->big = (size_t)bounded(one, MAX_BIG >> 10) << 10, i++;
        else if (strtol(words[i], NULL, 10) >= 400 && strlen(words[i]) == 3) plan->status = bounded(words[i], 599);
        else return 0;
    }
    return 1;
}

/* A piece of a chunked body around `text`; returns its length. */
static size_t framed(char *to, const char *text, size_t length) {
    size_t head = (size_t)sprintf(to, "%zx\r\n", length);
    memcpy(to + head, text, length);
    memcpy(to + head + length, "\r\n", 2);
    return head + length + 2;
}

#define CHAT_ID "\"id\":\"chatcmpl-mock0123456789abcdefghijkl\",\"object\":\"chat.completion%s\",\"created\":1700000000," \
    "\"model\":\"%s\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock000000\","
#define RESPONSE_ID "\"id\":\"resp_mock0123456789abcdef\",\"object\":\"response\",\"created_at\":1700000000,\"model\":\"%s\","

/* Chunk `index` of a stream, its transfer framing included. */
static size_t chunk(char *to, const struct plan *plan, int index, uint64_t stamp) {
    const struct asked *asked = &plan->asked;
    char text[CHUNK_BYTES], stamp_text[32];
    sprintf(stamp_text, "@%llu@", (unsigned long long)stamp);
    const char *says = plan->stamped ? stamp_text : words_said[index];
    int length = asked->responses
        ? snprintf(text, sizeof text, "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\","
            "\"sequence_number\":%d,\"item_id\":\"msg_mock\",\"output_index\":0,\"content_index\":0,\"delta\":\"%s\","
            "\"logprobs\":[]}\n\n", index + 4, says)
        : snprintf(text, sizeof text, "data: {" CHAT_ID "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"},"
            "\"logprobs\":null,\"finish_reason\":null}]%s}\n\n", ".chunk", asked->model, says,
            asked->usage ? ",\"usage\":null" : "");
    return framed(to, text, (size_t)length);
}

/* Head of the answer, and the event or events before the first chunk. */
static size_t opening(char *to, const struct asked *asked) {
    char text[4 * CHUNK_BYTES];
    size_t head = (size_t)sprintf(to, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
        "cache-control: no-cache\r\nx-request-id: req_mock\r\nopenai-processing-ms: 1\r\ntransfer-encoding: chunked\r\n\r\n");
    int length = asked->responses
        ? snprintf(text, sizeof text,
            "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{" RESPONSE_ID
            "\"status\":\"in_progress\",\"output\":[]}}\n\n"
            "event: response.in_progress\ndata: {\"type\":\"response.in_progress\",\"sequence_number\":1,\"response\":{" RESPONSE_ID
            "\"status\":\"in_progress\",\"output\":[]}}\n\n"
            "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":2,\"output_index\":0,"
            "\"item\":{\"id\":\"msg_mock\",\"type\":\"message\",\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}}\n\n"
            "event: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"sequence_number\":3,"
            "\"item_id\":\"msg_mock\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}}\n\n",
            asked->model, asked->model)
        : snprintf(text, sizeof text, "data: {" CHAT_ID "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
            "\"content\":\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}]%s}\n\n", ".chunk", asked->model,
            asked->usage ? ",\"usage\":null" : "");
    return head + framed(to + head, text, (size_t)length);
}

/* What comes after the last chunk, up to the end of the body. */
static size_t closing(char *to, const struct asked *asked, int chunks) {
    char text[2 * CHUNK_BYTES];
    size_t length;
    if (asked->responses) {
        length = (size_t)sprintf(text, "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":%d,"
            "\"response\":{" RESPONSE_ID "\"status\":\"completed\",\"output\":[],\"usage\":{\"input_tokens\":9,"
            "\"output_tokens\":%d,\"total_tokens\":%d}}}\n\n", chunks + 4, asked->model, chunks, chunks + 9);
    } else {
        length = (size_t)sprintf(text, "data: {" CHAT_ID "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,"
            "\"finish_reason\":\"stop\"}]%s}\n\n", ".chunk", asked->model, asked->usage ? ",\"usage\":null" : "");
        if (asked->usage)
            length += (size_t)sprintf(text + length, "data: {" CHAT_ID "\"choices\":[],\"usage\":{\"prompt_tokens\":9,"
                "\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n", ".chunk", asked->model, chunks, chunks + 9);
        length += (size_t)sprintf(text + length, "data: [DONE]\n\n");
    }
    length = framed(to, text, length);
    return length + (size_t)sprintf(to + length, "0\r\n\r\n");
}

static void add_part(struct plan *plan, size_t end) { plan->ends[plan->parts++] = end; }

static void plan_stream(struct plan *plan) {
    int ready = plan->pace ? 0 : plan->chunks;
    plan->bytes = malloc((size_t)(ready + 10) * CHUNK_BYTES);
    plan->ends = malloc((size_t)(ready / BURST + 4) * sizeof *plan->ends);
    size_t length = opening(plan->bytes, &plan->asked);
    if (plan->pace) add_part(plan, length);
    for (int i = 0; i < ready; i++) {
        length += chunk(plan->bytes + length, plan, i, 0);
        if ((i + 1) % BURST == 0 && i + 1 < ready) add_part(plan, length);
    }
    add_part(plan, length + closing(plan->bytes + length, &plan->asked, plan->chunks));
}

static const char *reason(int status) {
    return status == 200 ? "OK" : status == 404 ? "Not Found" : status == 429 ? "Too Many Requests" : status < 500 ? "Bad Request" : "Server Error";
}

/* One whole answer: head and JSON. */
static void plan_whole(struct plan *plan, int known) {
    const char *model = plan->asked.model;
    char *body = malloc(plan->big + 4 * CHUNK_BYTES), *says = malloc(plan->big + 64);
    int length = sprintf(says, SAYS);
    if (plan->big) memset(says + length, 'x', plan->big), says[(size_t)length + plan->big] = 0;
    if (!known) plan->status = 404;
    if (plan->status != 200)
        length = sprintf(body, "{\"error\":{\"message\":\"The mock answers %d.\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}", plan->status,
            plan->status == 429 ? "rate_limit_error" : plan->status < 500 ? "invalid_request_error" : "server_error",
            known ? "mock_error" : "model_not_found");
    else if (plan->asked.responses)
        length = sprintf(body, "{" RESPONSE_ID "\"status\":\"completed\",\"error\":null,\"output\":[{\"id\":\"msg_mock\",\"type\":\"message\","
            "\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"%s\",\"annotations\":[]}]}],"
            "\"usage\":{\"input_tokens\":9,\"output_tokens\":8,\"total_tokens\":17}}", model, says);
    else
        length = sprintf(body, "{" CHAT_ID "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null},"
            "\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":8,\"total_tokens\":17}}",
            "", model, says);
    plan->bytes = malloc((size_t)length + CHUNK_BYTES);
    plan->ends = malloc(sizeof *plan->ends);
    size_t head = (size_t)sprintf(plan->bytes, "HTTP/1.1 %d %s\r\ncontent-type: application/json\r\nx-request-id: req_mock\r\n"
        "openai-processing-ms: 1\r\n%scontent-length: %d\r\n\r\n", plan->status, reason(plan->status),
        plan->status == 429 ? "retry-after: 1\r\n" : "", length);
    memcpy(plan->bytes + head, body, (size_t)length);
    add_part(plan, head + (size_t)length);
    free(body);
    free(says);
}

static struct plan *make_plan(const struct asked *asked) {
    struct plan *plan = calloc(1, sizeof *plan);
    plan->asked = *asked;
    int known = read_name(plan);
    if (known && asked->stream && plan->status == 200) plan_stream(plan);
    else plan->pace = 0, plan_whole(plan, known);
    return plan;
}

#endif
