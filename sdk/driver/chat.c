/* SPDX-License-Identifier: Apache-2.0 */
/* chat.c - the templates, as code.
 *
 * Between two control tokens a run of text is tokenised in one piece, role line included, because that is
 * what the reference does when it splits a rendered prompt at its control tokens. */
#include "chat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/table.h>

int token_list_reserve(struct token_list *list, uint32_t more) {
    if (list->capacity - list->n >= more)
        return 0;
    uint64_t capacity = list->capacity ? list->capacity : 256;
    while (capacity - list->n < more)
        capacity *= 2;
    if (capacity > UINT32_MAX / sizeof(int32_t))
        return -ENOMEM;
    int32_t *items = realloc(list->items, capacity * sizeof(*items));
    if (!items)
        return -ENOMEM;
    list->items = items;
    list->capacity = (uint32_t)capacity;
    return 0;
}

/* The one token that a control text names, or -1. */
static int32_t control_id(const struct telex_model *model_class, void *model, const char *text) {
    int32_t id;
    struct telex_bytes bytes = {(const uint8_t *)text, strlen(text)};
    return model_class->tokenize(model, bytes, TELEX_TOKENIZE_CONTROL, &id, 1) == 1 ? id : -1;
}

telex_status chat_open(const struct telex_model *model_class, void *model,
                       const struct telex_model_info *info, struct chat *out, char *why, size_t why_size) {
    static const struct {
        const char *name, *start, *end, *head_start, *head_end;
        enum chat_kind kind;
    } templates[] = {
        {"", NULL, NULL, NULL, NULL, CHAT_NONE},
        {"chatml", "<|im_start|>", "<|im_end|>", NULL, NULL, CHAT_CHATML},
        {"llama3", NULL, "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", CHAT_LLAMA3},
        {"gemma", "<start_of_turn>", "<end_of_turn>", NULL, NULL, CHAT_GEMMA},
    };
    const char *name = info->chat ? info->chat : "";
    for (size_t i = 0; i < sizeof(templates) / sizeof(templates[0]); i++) {
        if (strcmp(name, templates[i].name) != 0)
            continue;
        const char *texts[4] = {templates[i].start, templates[i].end, templates[i].head_start,
                                templates[i].head_end};
        int32_t *ids[4] = {&out->start, &out->end, &out->head_start, &out->head_end};
        out->kind = templates[i].kind;
        out->bos = info->add_bos ? info->bos : -1;
        for (int k = 0; k < 4; k++) {
            *ids[k] = texts[k] ? control_id(model_class, model, texts[k]) : -1;
            if (texts[k] && *ids[k] < 0) {
                snprintf(why, why_size, "chat template \"%s\": the vocabulary has no token %s", name,
                         texts[k]);
                return TELEX_UNSUPPORTED;
            }
        }
        return TELEX_OK;
    }
    snprintf(why, why_size, "chat template \"%s\" is unknown; known are chatml, llama3, gemma", name);
    return TELEX_UNSUPPORTED;
}

/* ---- building a prompt ---- */

/* Where a prompt is built; the first failure is kept and the rest does nothing. */
struct prompt {
    const struct telex_model *model_class;
    void *model;
    struct token_list *out;
    telex_status status;
};

static void put_token(struct prompt *p, int32_t id) {
    if (p->status != TELEX_OK || id < 0)
        return;
    if (token_list_reserve(p->out, 1) < 0)
        p->status = TELEX_RETRY;
    else
        p->out->items[p->out->n++] = id;
}

static void put_bytes(struct prompt *p, struct telex_bytes text) {
    if (p->status != TELEX_OK || text.size == 0)
        return;
    uint64_t guess = text.size / 2 + 16;
    for (int round = 0; round < 2; round++) {
        if (guess > UINT32_MAX || token_list_reserve(p->out, (uint32_t)guess) < 0) {
            p->status = TELEX_RETRY;
            return;
        }
        uint64_t room = p->out->capacity - p->out->n;
        int64_t n = p->model_class->tokenize(p->model, text, 0, p->out->items + p->out->n, room);
        if (n < 0) {
            p->status = TELEX_REJECT;
            return;
        }
        if ((uint64_t)n <= room) {
            p->out->n += (uint32_t)n;
            return;
        }
        guess = (uint64_t)n;
    }
    p->status = TELEX_REJECT;
}

/* Up to three texts as one run. */
static void put_run(struct prompt *p, const char *before, struct telex_bytes text, const char *after) {
    size_t a = strlen(before), b = strlen(after);
    if (p->status != TELEX_OK)
        return;
    if (text.size > UINT32_MAX) {
        p->status = TELEX_REJECT;
        return;
    }
    uint8_t *run = malloc(a + text.size + b + 1);
    if (!run) {
        p->status = TELEX_RETRY;
        return;
    }
    memcpy(run, before, a);
    if (text.size)
        memcpy(run + a, text.data, text.size);
    memcpy(run + a + text.size, after, b);
    struct telex_bytes whole = {run, a + text.size + b};
    put_bytes(p, whole);
    free(run);
}

static struct telex_bytes trim(struct telex_bytes text) {
    static const char space[] = " \t\r\n\f\v";
    while (text.size && memchr(space, text.data[0], 6)) {
        text.data++;
        text.size--;
    }
    while (text.size && memchr(space, text.data[text.size - 1], 6))
        text.size--;
    return text;
}

static const struct telex_bytes nothing = {(const uint8_t *)"", 0};

static void put_chatml(struct prompt *p, const struct chat *chat, const struct telex_message *const *m,
                       uint32_t n) {
    static const char *const roles[] = {"system\n", "user\n", "assistant\n"};
    for (uint32_t i = 0; i < n; i++) {
        put_token(p, chat->start);
        put_run(p, roles[m[i]->role], m[i]->text, "");
        put_token(p, chat->end);
        put_run(p, "\n", nothing, "");
    }
    put_token(p, chat->start);
    put_run(p, roles[TELEX_ROLE_ASSISTANT], nothing, "");
}

static void put_llama3(struct prompt *p, const struct chat *chat, const struct telex_message *const *m,
                       uint32_t n) {
    static const char *const roles[] = {"system", "user", "assistant"};
    for (uint32_t i = 0; i <= n; i++) {
        put_token(p, chat->head_start);
        put_run(p, roles[i < n ? m[i]->role : TELEX_ROLE_ASSISTANT], nothing, "");
        put_token(p, chat->head_end);
        put_run(p, "\n\n", i < n ? trim(m[i]->text) : nothing, "");
        if (i < n)
            put_token(p, chat->end);
    }
}

/* A turn of gemma's user, opened by the system text when there is one. */
static void put_gemma_user(struct prompt *p, const struct chat *chat, struct telex_bytes system,
                           struct telex_bytes text) {
    uint8_t *joined = malloc(system.size + text.size + 2);
    if (!joined) {
        p->status = TELEX_RETRY;
        return;
    }
    size_t used = 0;
    if (system.size) {
        memcpy(joined, system.data, system.size);
        memcpy(joined + system.size, "\n\n", 2);
        used = system.size + 2;
    }
    if (text.size)
        memcpy(joined + used, text.data, text.size);
    struct telex_bytes whole = {joined, used + text.size};
    put_token(p, chat->start);
    put_run(p, "user\n", whole, "");
    put_token(p, chat->end);
    put_run(p, "\n", nothing, "");
    free(joined);
}

static void put_gemma(struct prompt *p, const struct chat *chat, const struct telex_message *const *m,
                      uint32_t n) {
    struct telex_bytes system = nothing;
    for (uint32_t i = 0; i < n; i++) {
        struct telex_bytes text = trim(m[i]->text);
        if (m[i]->role == TELEX_ROLE_SYSTEM) {
            system = text;
        } else if (m[i]->role == TELEX_ROLE_USER) {
            put_gemma_user(p, chat, system, text);
            system = nothing;
        } else {
            put_token(p, chat->start);
            put_run(p, "model\n", text, "");
            put_token(p, chat->end);
            put_run(p, "\n", nothing, "");
        }
    }
    if (system.size)
        put_gemma_user(p, chat, nothing, system);
    put_token(p, chat->start);
    put_run(p, "model\n", nothing, "");
}

static void put_plain(struct prompt *p, const struct telex_message *const *m, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        put_run(p, i ? "\n\n" : "", m[i]->text, "");
}

telex_status chat_tokens(const struct chat *chat, const struct telex_model *model_class, void *model,
                         const struct telex_message *const *messages, uint32_t n_messages,
                         struct token_list *out) {
    struct prompt p = {model_class, model, out, TELEX_OK};
    for (uint32_t i = 0; i < n_messages; i++)
        if (!messages[i] || messages[i]->size < TELEX_UP_TO(struct telex_message, text) ||
            messages[i]->role > TELEX_ROLE_ASSISTANT)
            return TELEX_INVALID;
    put_token(&p, chat->bos);
    if (chat->kind == CHAT_CHATML)
        put_chatml(&p, chat, messages, n_messages);
    else if (chat->kind == CHAT_LLAMA3)
        put_llama3(&p, chat, messages, n_messages);
    else if (chat->kind == CHAT_GEMMA)
        put_gemma(&p, chat, messages, n_messages);
    else
        put_plain(&p, messages, n_messages);
    return p.status;
}
