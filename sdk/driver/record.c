/* SPDX-License-Identifier: Apache-2.0 */
/* record.c - jobs as lines of JSON. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include <telex-sdk/json.h>

#include "record.h"

/* Bytes as JSON text; what is no UTF-8 is replaced. */
static json_t *text_of(struct telex_bytes bytes) {
    size_t size = 0;
    char *text =
        telex_utf8_repair(bytes.data ? (const char *)bytes.data : "", bytes.data ? bytes.size : 0, &size);
    json_t *json = text ? json_stringn(text, size) : NULL;
    free(text);
    return json;
}

static json_t *messages_of(const struct telex_job *asked) {
    json_t *list = json_array();
    for (uint32_t i = 0; i < asked->n_messages; i++) {
        const struct telex_message *m = asked->messages[i];
        json_array_append_new(list, json_pack("{s:i, s:o}", "role", (int)m->role, "text", text_of(m->text)));
    }
    return list;
}

static json_t *drafts_of(const struct telex_job *asked) {
    json_t *list = json_array();
    for (uint32_t i = 0; i < asked->n_drafts; i++)
        json_array_append_new(list, text_of(asked->drafts[i]));
    return list;
}

static json_t *sampler_of(const struct telex_sampler *s) {
    if (!s)
        return json_null();
    return json_pack("{s:i, s:f, s:f, s:f, s:f}", "top_k", (int)s->top_k, "temperature",
                     (double)s->temperature, "top_p", (double)s->top_p, "min_p", (double)s->min_p,
                     "repeat_penalty", (double)s->repeat_penalty);
}

struct json_t *record_begin(const struct telex_job *asked) {
    char seed[24];
    snprintf(seed, sizeof(seed), "%llu", (unsigned long long)asked->seed); /* a JSON number may lose digits */
    return json_pack("{s:o, s:o, s:o, s:o, s:s, s:I, s:I}", "messages", messages_of(asked), "schema",
                     text_of(asked->schema), "drafts", drafts_of(asked), "sampler",
                     sampler_of(asked->sampler), "seed", seed, "max_tokens", (json_int_t)asked->max_tokens,
                     "timeout_ms", (json_int_t)asked->timeout_ms);
}

void record_drop(struct json_t *record) {
    json_decref(record);
}

void record_place(struct json_t *record, uint64_t n, uint64_t done_before) {
    json_object_set_new(record, "n", json_integer((json_int_t)n));
    json_object_set_new(record, "done_before", json_integer((json_int_t)done_before));
}

int record_end(struct json_t *record, const struct job *job, FILE *file) {
    json_t *ids = json_array();
    for (uint32_t i = job->n_prompt; i < job->tokens.n; i++)
        json_array_append_new(ids, json_integer(job->tokens.items[i]));
    struct telex_bytes text = {job->text, job->text_bytes};
    json_t *outcome =
        json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "status", (int)job->status, "finish",
                  (int)job->finish, "prompt_tokens", (json_int_t)job->n_prompt, "cached_tokens",
                  (json_int_t)job->n_cached, "passes", (json_int_t)job->n_passes, "forced_tokens",
                  (json_int_t)job->n_put_forced, "drafted_tokens", (json_int_t)job->n_drafted,
                  "accepted_tokens", (json_int_t)job->n_accepted, "ids", ids, "text", text_of(text));
    char *line = NULL;
    if (outcome && json_object_set_new(record, "outcome", outcome) == 0)
        line = json_dumps(record, JSON_COMPACT);
    json_decref(record);
    if (!line)
        return -ENOMEM;
    int err = fprintf(file, "%s\n", line) < 0 || fflush(file) != 0 ? -EIO : 0;
    free(line);
    return err;
}
