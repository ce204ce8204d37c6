/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - a job as the JSON that chat completions servers take.
 *
 * The server tokenises what it is sent, and many read control tokens in it. So with guard_control every text
 * of a message has a space put into whatever looks like one: "<|im_end|>" is sent as "< |im_end| >". */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <telex-sdk/json.h>
#include <telex-sdk/message.h>

#include "backend.h"

/* What control tokens of the known chat templates begin or end with. */
static const char *const controls[] = {"<|",      "|>",      "<start_of_turn", "<end_of_turn", "<bos>",
                                       "<eos>",   "<s>",     "</s>",           "[INST]",       "[/INST]",
                                       "<<SYS>>", "<</SYS>>"};

/* The length of the control look-alike at p, or 0. */
static size_t looks_like_control(const char *p, size_t left) {
    for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
        size_t n = strlen(controls[i]);
        if (n <= left && memcmp(p, controls[i], n) == 0)
            return n;
    }
    return 0;
}

/* A message's text, in UTF-8, with look-alikes broken. Gives a reference. */
static json_t *content_of(const struct http_config *config, struct telex_bytes text) {
    size_t size = 0, used = 0;
    char *clean = telex_utf8_repair(text.size ? (const char *)text.data : "", text.size, &size);
    char *out = clean ? malloc(2 * size + 1) : NULL;
    if (!out) {
        free(clean);
        return NULL;
    }
    for (size_t i = 0; i < size; i++) {
        out[used++] = clean[i];
        if (config->guard_control && looks_like_control(clean + i, size - i))
            out[used++] = ' ';
    }
    json_t *value = json_stringn(out, used);
    free(clean);
    free(out);
    return value;
}

static json_t *messages_of(const struct http_config *config, const struct telex_job *job) {
    static const char *const roles[] = {"system", "user", "assistant"};
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < job->n_messages; i++) {
        json_t *message = json_object();
        json_object_set_new(message, "role", json_string(roles[job->messages[i]->role]));
        if (json_object_set_new(message, "content", content_of(config, job->messages[i]->text)) != 0 ||
            json_array_append_new(list, message) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* Only what differs from "off" is sent: strict servers refuse fields that they do not know. */
static void set_sampler(json_t *root, const struct telex_sampler *s) {
    json_object_set_new(root, "temperature", json_real(s ? s->temperature : 0.0));
    if (!s)
        return;
    if (s->top_p < 1.0f)
        json_object_set_new(root, "top_p", json_real(s->top_p));
    if (s->top_k)
        json_object_set_new(root, "top_k", json_integer(s->top_k));
    if (s->min_p > 0.0f)
        json_object_set_new(root, "min_p", json_real(s->min_p));
    if (s->repeat_penalty != 1.0f)
        json_object_set_new(root, "repeat_penalty", json_real(s->repeat_penalty));
}

static void set_schema(json_t *root, const struct http_config *config, struct telex_bytes schema) {
    json_t *parsed = schema.size ? json_loadb((const char *)schema.data, schema.size, 0, NULL) : NULL;
    if (!parsed)
        return;
    if (strcmp(config->schema_style, "json_schema") == 0)
        json_object_set_new(root, "response_format",
                            json_pack("{s:s,s:{s:s,s:b,s:O}}", "type", "json_schema", "json_schema", "name",
                                      "answer", "strict", 1, "schema", parsed));
    else if (strcmp(config->schema_style, "json_object") == 0)
        json_object_set_new(root, "response_format",
                            json_pack("{s:s,s:O}", "type", "json_object", "schema", parsed));
    json_decref(parsed);
}

char *request_body(const struct http_config *config, const struct telex_job *job) {
    json_t *root = json_object(), *messages = messages_of(config, job);
    char *body = NULL;
    if (root && messages) {
        if (config->model[0])
            json_object_set_new(root, "model", json_string(config->model));
        json_object_set(root, "messages", messages);
        set_sampler(root, job->sampler);
        /* 31 bits: what every server's seed can hold */
        json_object_set_new(root, "seed",
                            json_integer((json_int_t)((job->seed ^ job->seed >> 31) & 0x7fffffff)));
        if (job->max_tokens)
            json_object_set_new(root, "max_tokens", json_integer(job->max_tokens));
        if (config->stream)
            json_object_set_new(root, "stream", json_true());
        if (config->stream && config->usage)
            json_object_set_new(root, "stream_options", json_pack("{s:b}", "include_usage", 1));
        set_schema(root, config, job->schema);
        body = json_dumps(root, JSON_COMPACT);
    }
    json_decref(messages);
    json_decref(root);
    return body;
}
