/* SPDX-License-Identifier: Apache-2.0 */
/* reply.c - parses replies of the chat completions interface, whole or in events. */
#include "reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <telex-sdk/json.h>

enum { EXCERPT_BYTES = 2048 };

void reply_init(struct reply *r, size_t limit) {
    memset(r, 0, sizeof(*r));
    r->limit = limit;
}

void reply_finish(struct reply *r) {
    free(r->raw);
    free(r->text);
    memset(r, 0, sizeof(*r));
}

static bool append(char **buffer, size_t *used, size_t *capacity, const char *data, size_t size) {
    if (*capacity - *used <= size) {
        size_t grown = 2 * *capacity + size + 256;
        char *more = realloc(*buffer, grown);
        if (!more)
            return false;
        *buffer = more;
        *capacity = grown;
    }
    memcpy(*buffer + *used, data, size);
    *used += size;
    (*buffer)[*used] = 0;
    return true;
}

static bool wrong(struct reply *r, const char *problem) {
    if (!r->problem[0])
        snprintf(r->problem, sizeof(r->problem), "%s", problem);
    return false;
}

/* Text of a server as one printable line. */
static void clean(const char *text, size_t size, char *out, size_t out_size) {
    size_t n = 0;
    char *repaired = telex_utf8_repair(text, size, &n);
    size_t used = 0;
    for (size_t i = 0; repaired && i < n && used + 5 < out_size; i++) {
        unsigned char c = (unsigned char)repaired[i];
        if ((c & 0xc0) == 0x80 && used == 0)
            continue;
        out[used++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    while (used && ((unsigned char)out[used - 1] & 0xc0) == 0x80 && used + 5 >= out_size)
        used--; /* do not end inside a character */
    if (used + 5 >= out_size && used && (unsigned char)out[used - 1] >= 0xc0)
        used--;
    out[used] = 0;
    free(repaired);
}

void reply_excerpt(const struct reply *r, char *out, size_t size) {
    json_t *root = r->raw ? json_loadb(r->raw, r->raw_size, 0, NULL) : NULL;
    const json_t *error = json_object_get(root, "error"), *message = json_object_get(error, "message");
    const json_t *said = json_is_string(message) ? message : json_is_string(error) ? error : NULL;
    if (said)
        clean(json_string_value(said), json_string_length(said), out, size);
    else
        clean(r->raw ? r->raw : "", r->raw_size, out, size);
    json_decref(root);
}

static uint32_t count_of(const json_t *object, const char *key) {
    json_int_t n = json_integer_value(json_object_get(object, key));
    return n > 0 && n < UINT32_MAX ? (uint32_t)n : 0;
}

static void read_usage(struct reply *r, const json_t *root) {
    const json_t *usage = json_object_get(root, "usage");
    if (!json_is_object(usage))
        return;
    r->prompt_tokens = count_of(usage, "prompt_tokens");
    r->output_tokens = count_of(usage, "completion_tokens");
    r->cached_tokens = count_of(json_object_get(usage, "prompt_tokens_details"), "cached_tokens");
}

/* One completion object: of a whole body (part "message") or of an event ("delta"). */
static bool read_object(struct reply *r, const char *json, size_t size, const char *part) {
    json_error_t at;
    json_t *root = json_loadb(json, size, JSON_ALLOW_NUL, &at);
    bool ok = true;
    if (!json_is_object(root)) {
        json_decref(root);
        return wrong(r, "its answer is no JSON object");
    }
    json_t *error = json_object_get(root, "error");
    if (error && !json_is_null(error)) {
        char line[200] = "";
        json_t *message = json_object_get(error, "message");
        const json_t *said = json_is_string(message) ? message : error;
        if (json_is_string(said))
            clean(json_string_value(said), json_string_length(said), line, sizeof(line));
        snprintf(r->problem, sizeof(r->problem), "it answers with an error: %s", line);
        json_decref(root);
        return false;
    }
    read_usage(r, root);
    json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    json_t *content = json_object_get(json_object_get(choice, part), "content");
    const char *reason = json_string_value(json_object_get(choice, "finish_reason"));
    if (json_is_string(content) && json_string_length(content)) {
        r->pieces++;
        ok = append(&r->text, &r->text_size, &r->text_capacity, json_string_value(content),
                    json_string_length(content)) ||
             wrong(r, "out of memory");
    }
    if (reason) {
        r->ended = true;
        r->cut_by_length = strcmp(reason, "length") == 0;
        if (strcmp(reason, "stop") != 0 && !r->cut_by_length) {
            snprintf(r->problem, sizeof(r->problem), "it ended the text because of \"%.40s\"", reason);
            ok = false;
        }
    }
    json_decref(root);
    return ok;
}

/* One line of an event stream: only data lines matter. */
static bool read_line(struct reply *r, const char *line, size_t size) {
    while (size && (line[size - 1] == '\r' || line[size - 1] == '\n'))
        size--;
    if (size < 5 || memcmp(line, "data:", 5) != 0)
        return true;
    line += 5;
    size -= 5;
    while (size && *line == ' ') {
        line++;
        size--;
    }
    if (size == 6 && memcmp(line, "[DONE]", 6) == 0) {
        r->ended = true;
        return true;
    }
    return size == 0 || read_object(r, line, size, "delta");
}

static bool take_events(struct reply *r) {
    size_t start = 0;
    for (char *end; start < r->raw_size && (end = memchr(r->raw + start, '\n', r->raw_size - start));) {
        size_t size = (size_t)(end - (r->raw + start)) + 1;
        if (!read_line(r, r->raw + start, size))
            return false;
        start += size;
    }
    memmove(r->raw, r->raw + start, r->raw_size - start);
    r->raw_size -= start;
    return true;
}

bool reply_take(struct reply *r, const char *data, size_t size) {
    r->received += size;
    if (r->received > r->limit) {
        r->over = true;
        return false;
    }
    if (r->error && r->raw_size + size > EXCERPT_BYTES)
        size = r->raw_size < EXCERPT_BYTES ? EXCERPT_BYTES - r->raw_size : 0;
    if (!append(&r->raw, &r->raw_size, &r->raw_capacity, data, size))
        return wrong(r, "out of memory");
    return r->error || !r->events || take_events(r);
}

void reply_end(struct reply *r) {
    if (r->error || r->problem[0])
        return;
    if (!r->events)
        read_object(r, r->raw ? r->raw : "", r->raw_size, "message");
    else if (r->raw_size)
        read_line(r, r->raw, r->raw_size);
    if (!r->problem[0] && !r->ended) {
        if (r->events)
            snprintf(r->problem, sizeof(r->problem), "its answer was cut off after %u pieces of text",
                     r->pieces);
        else
            wrong(r, "its answer holds no finished choice");
    }
    if (!r->output_tokens)
        r->output_tokens = r->pieces;
}
