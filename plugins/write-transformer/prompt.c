/* SPDX-License-Identifier: Apache-2.0 */
/* prompt.c - what the model is asked, word for word.
 *
 * The examples are about things that no record reports; a small model that copies one of them is caught
 * by the gate, since none of their names is in a source. */
#include "prompt.h"

#include <errno.h>
#include <string.h>

#include <jansson.h>

static const char system_text[] =
    "You are the copy desk of a news wire. You rewrite one sentence of a report at a time.\n"
    "Rules: Use only what the Sentence says. Keep who did it and who said it. Keep every name, number, date "
    "and unit. "
    "Keep \"not\", \"no\" and \"denied\". Keep \"may\", \"could\", \"expected\", \"plans\", \"agreed to\" "
    "and "
    "\"about\". Never add a reason, an opinion or a fact. Name the person instead of \"he\", \"it\" or "
    "\"they\". "
    "Write plain modern English. Answer in JSON.";

static const struct {
    const char *asked, *answered;
} examples[] = {
    {"Task: rewrite\nSentence: Traders said Harlan Steel Co may sell about 20% of its Dover unit, but the "
     "company "
     "denied that it was in talks.",
     "{\"text\": \"Harlan Steel Co may sell about 20% of its Dover unit, traders said, but the company "
     "denied that it "
     "was in talks.\"}"},
    {"Task: rewrite\nContext: Port director Ulla Brandt announced the lease in Lund.\nSentence: She said the "
     "piers "
     "were expected to open by May 4.",
     "{\"text\": \"Port director Ulla Brandt said the piers were expected to open by May 4.\"}"},
    {"Task: headline of at most 12 words\nSentence: The port authority of Lund said it had agreed to lease "
     "two piers to Nordvik "
     "Lines for "
     "$12.5 million a year.",
     "{\"text\": \"Lund port agrees to lease two piers to Nordvik Lines\"}"},
    {"Task: heading of at most 7 words\nSentence: Traders said Harlan Steel Co may sell about 20% of its "
     "Dover unit, but the "
     "company "
     "denied that it was in talks.",
     "{\"text\": \"Harlan Steel denies talks on Dover unit\"}"},
    {"Task: question\nSentence: The port authority of Lund said it had agreed to lease two piers to Nordvik "
     "Lines for "
     "$12.5 million a year.",
     "{\"text\": \"How much would Nordvik Lines pay for the two piers?\"}"},
};

static const char *const task_names[] = {"rewrite", "headline of at most 12 words",
                                         "heading of at most 7 words", "question"};
static const char schema_text[] =
    "{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"}},\"required\":[\"text\"],"
    "\"additionalProperties\":false}";

static struct telex_bytes bytes_of(const char *text) {
    return (struct telex_bytes){(const uint8_t *)text, strlen(text)};
}

static void add(struct prompt *prompt, uint32_t role, const char *text) {
    struct telex_message *message = &prompt->messages[prompt->n_messages];
    *message = (struct telex_message){.size = sizeof(*message), .role = role, .text = bytes_of(text)};
    prompt->list[prompt->n_messages++] = message;
}

static void add_draft(struct prompt *prompt, const char *text) {
    if (text)
        prompt->drafts[prompt->n_drafts++] = bytes_of(text);
}

/* What the earlier dispatch has where this answer will stand, or NULL. */
static const char *said_before(const struct previous *previous, enum prompt_task task, const char *sentence) {
    const struct previous_piece *piece = previous_like(previous, sentence);
    switch (task) {
    case PROMPT_HEADLINE:
        return previous->headline;
    case PROMPT_HEADING:
        return previous->heading;
    case PROMPT_QUESTION:
        return piece ? piece->question : NULL;
    default:
        return piece ? piece->text : NULL;
    }
}

int prompt_make(struct prompt *prompt, const struct brief *brief, uint32_t sentence, enum prompt_task task,
                const char *why, const struct previous *previous) {
    memset(prompt, 0, sizeof(*prompt));
    add(prompt, TELEX_ROLE_SYSTEM, system_text);
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        add(prompt, TELEX_ROLE_USER, examples[i].asked);
        add(prompt, TELEX_ROLE_ASSISTANT, examples[i].answered);
    }
    const char *modern = brief->sentences[sentence].modern, *note = "";
    if (why)
        note = arena_print(brief->arena, "Note: stay closer to the Sentence; last time %s.\n", why);
    if (!note)
        return -ENOMEM;
    char *asked = arena_print(brief->arena, "Task: %s\n%sSentence: %s", task_names[task], note, modern);
    if (!asked)
        return -ENOMEM;
    add(prompt, TELEX_ROLE_USER, asked);
    add_draft(prompt, previous ? said_before(previous, task, modern) : NULL);
    add_draft(prompt, modern);
    prompt->key = "text";
    prompt->schema = schema_text;
    size_t len = strlen(modern);
    prompt->max_tokens = task == PROMPT_REWRITE ? (uint32_t)(len / 3 + 48) : 48;
    return 0;
}

char *prompt_answer(const struct prompt *prompt, struct arena *arena, const char *json, size_t len) {
    json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
    const char *text = json_string_value(json_object_get(root, prompt->key));
    char *copy = text ? arena_copy(arena, text, strlen(text)) : NULL;
    json_decref(root);
    return copy;
}
