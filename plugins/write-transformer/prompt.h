/* SPDX-License-Identifier: Apache-2.0 */
/* prompt.h - what the model is asked, word for word.
 *
 * Every prompt begins with the same messages, so that a backend reads them once. What comes from a
 * record stands in the last message only. */
#ifndef DESK_PROMPT_H
#define DESK_PROMPT_H

#include <telex/model.h>

#include "brief.h"
#include "previous.h"

enum prompt_task { PROMPT_REWRITE, PROMPT_HEADLINE, PROMPT_HEADING, PROMPT_QUESTION };

#define PROMPT_MESSAGES_MAX 20
#define PROMPT_DRAFTS_MAX   2

struct prompt {
    struct telex_message messages[PROMPT_MESSAGES_MAX];
    const struct telex_message *list[PROMPT_MESSAGES_MAX];
    uint32_t n_messages;
    /* What the answer probably repeats: what was written from this sentence before, then the sentence itself.
     */
    struct telex_bytes drafts[PROMPT_DRAFTS_MAX];
    uint32_t n_drafts;
    uint32_t max_tokens;
    const char *key;    /* of the answer's JSON object */
    const char *schema; /* JSON Schema of the answer */
};

/* Ask `task` about a sentence of the brief. `refused` (may be NULL) is an answer that the gate refused and
 * `why` its reason. `previous`: the dispatch of the
 * version before (may be NULL). The prompt points into the arena and the brief. 0 or -ENOMEM. [any] */
int prompt_make(struct prompt *prompt, const struct brief *brief, uint32_t sentence, enum prompt_task task,
                const char *why, const struct previous *previous);

/* The text of an answer, by the prompt's key; NULL when it is no such JSON. [any] */
char *prompt_answer(const struct prompt *prompt, struct arena *arena, const char *json, size_t len);

#endif
