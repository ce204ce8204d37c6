/* SPDX-License-Identifier: Apache-2.0 */
/* draft.c - from a plan to sentences that stand.
 *
 * Pieces are judged in their order, against what stands already, so the result does not depend on
 * which answer came first. */
#include "draft.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>
#include <telex-sdk/id.h>

#include "judge.h"
#include "style.h"

#define WAVES_MAX 8

struct wave_item {
    struct piece *piece;
    bool question;
};

uint64_t draft_seed(const char *id, uint64_t version, uint32_t piece, uint32_t attempt) {
    char line[160], hex[65];
    int n = snprintf(line, sizeof(line), "%s|%llu|%u|%u", id, (unsigned long long)version, piece, attempt);
    telex_sha256_hex(hex, (struct telex_bytes){(const uint8_t *)line, (uint64_t)n});
    uint64_t seed = 0;
    for (int i = 0; i < 16; i++)
        seed = seed << 4 | (uint64_t)(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
    return seed;
}

static struct piece *add_piece(struct draft *draft, enum gate_field field, uint32_t sentence) {
    if (draft->n_pieces == DRAFT_PIECES_MAX)
        return NULL;
    struct piece *piece = &draft->pieces[draft->n_pieces++];
    *piece = (struct piece){.field = (uint8_t)field, .sentence = sentence};
    return piece;
}

static void lay_out(struct draft *draft) {
    const struct plan *plan = &draft->plan;
    const struct brief_sentence *sentences = draft->brief->sentences;
    draft->n_pieces = 0;
    add_piece(draft, FIELD_HEADLINE, plan->lead);
    add_piece(draft, FIELD_DEK, plan->lead);
    uint32_t longest = plan->lead;
    for (size_t i = 0; i < plan->n_body; i++) {
        add_piece(draft, FIELD_BODY, plan->body[i]);
        bool longer = i == 0 || strlen(sentences[plan->body[i]].clean) > strlen(sentences[longest].clean);
        longest = longer ? plan->body[i] : longest;
    }
    add_piece(draft, FIELD_HEADING, longest); /* judged behind the paragraph, which it must not repeat */
    for (size_t i = 0; i < plan->n_faq; i++)
        add_piece(draft, FIELD_ANSWER, plan->faq[i]);
}

static enum prompt_task task_of(const struct wave_item *item) {
    if (item->question)
        return PROMPT_QUESTION;
    return item->piece->field == FIELD_HEADLINE  ? PROMPT_HEADLINE
           : item->piece->field == FIELD_HEADING ? PROMPT_HEADING
                                                 : PROMPT_REWRITE;
}

static const struct refusal *last_refusal(const struct piece *piece, bool question) {
    for (size_t i = piece->n_refusals; i-- > 0;)
        if (piece->refusals[i].question == question)
            return &piece->refusals[i];
    return NULL;
}

static void hash_prompt(crypto_hash_sha256_state *hash, const struct prompt *prompt) {
    for (uint32_t i = 0; i < prompt->n_messages; i++) {
        const struct telex_message *message = &prompt->messages[i];
        unsigned char head[9] = {(unsigned char)message->role};
        for (int b = 0; b < 8; b++)
            head[1 + b] = (unsigned char)(message->text.size >> (8 * b));
        crypto_hash_sha256_update(hash, head, sizeof(head));
        crypto_hash_sha256_update(hash, message->text.data, message->text.size);
    }
    crypto_hash_sha256_update(hash, (const unsigned char *)prompt->schema, strlen(prompt->schema));
}

/* The open pieces as prompts. Returns how many, or -ENOMEM. */
static int gather(struct draft *draft, struct wave_item *items, struct ask_job *jobs) {
    int n = 0;
    for (size_t i = 0; i < draft->n_pieces; i++) {
        struct piece *piece = &draft->pieces[i];
        if (piece->state != PIECE_OPEN)
            continue;
        for (int question = piece->field == FIELD_ANSWER; question >= 0; question--) {
            bool has_answer = question ? piece->question_stands : piece->facts != NULL;
            if (has_answer)
                continue;
            items[n] = (struct wave_item){piece, question != 0};
            uint32_t attempt = question ? piece->question_attempts : piece->attempts;
            const struct refusal *refusal = attempt ? last_refusal(piece, question != 0) : NULL;
            int err = prompt_make(&jobs[n].prompt, draft->brief, piece->sentence, task_of(&items[n]),
                                  refusal ? refusal->why : NULL, draft->previous);
            if (err < 0)
                return err;
            jobs[n].seed = draft_seed(draft->seed_id, draft->seed_version,
                                      (uint32_t)(i * 2) + (uint32_t)question, attempt);
            jobs[n].temperature = attempt >= 2 ? draft->temperature : 0;
            n++;
        }
    }
    return n;
}

static int take_answer(struct draft *draft, const struct wave_item *item, const struct ask_job *job) {
    struct piece *piece = item->piece;
    struct arena *arena = draft->brief->arena;
    bool heading = piece->field == FIELD_HEADLINE || piece->field == FIELD_HEADING;
    struct facts *facts = arena_alloc(arena, sizeof(*facts));
    char *text = style_tidy(arena, &draft->brief->book, job->answer ? job->answer : "",
                            heading && !item->question, item->question);
    if (!facts || !text)
        return -ENOMEM;
    int err = facts_read(facts, arena, &draft->brief->book, text, 0);
    if (err == -E2BIG)
        err = facts_read(facts, arena, &draft->brief->book, text = arena_copy(arena, "", 0), 0);
    if (err < 0)
        return err;
    if (item->question) {
        piece->question = text;
        piece->question_facts = facts;
        piece->question_attempts++;
    } else {
        piece->text = text;
        piece->facts = facts;
        piece->attempts++;
    }
    return 0;
}

/* A dropped sentence of the paragraph, or question, leaves room for a spare one. */
static void call_up_spares(struct draft *draft) {
    struct plan *plan = &draft->plan;
    size_t wanted[2] = {plan->n_body, plan->n_faq}, there[2] = {0, 0};
    static const uint8_t fields[2] = {FIELD_BODY, FIELD_ANSWER};
    for (size_t f = 0; f < 2; f++) {
        for (size_t i = 0; i < draft->n_pieces; i++)
            there[f] += draft->pieces[i].field == fields[f] && draft->pieces[i].state != PIECE_DROPPED;
        while (there[f] < wanted[f] && plan->next_spare < plan->n_spare &&
               add_piece(draft, (enum gate_field)fields[f], plan->spare[plan->next_spare])) {
            plan->next_spare++;
            there[f]++;
        }
    }
}

static telex_status run_wave(struct draft *draft, const struct ask *ask, crypto_hash_sha256_state *hash,
                             const char **why, int *n_asked) {
    struct wave_item *items = arena_alloc(ask->arena, 2 * DRAFT_PIECES_MAX * sizeof(*items));
    struct ask_job *jobs = arena_alloc(ask->arena, 2 * DRAFT_PIECES_MAX * sizeof(*jobs));
    *why = "out of memory";
    if (!items || !jobs)
        return TELEX_RETRY;
    int n = gather(draft, items, jobs);
    *n_asked = n;
    if (n < 0)
        return TELEX_RETRY;
    for (int i = 0; i < n; i++)
        hash_prompt(hash, &jobs[i].prompt);
    telex_status status = n > 0 ? ask_all(ask, jobs, (size_t)n, why) : TELEX_OK;
    for (int i = 0; i < n && status == TELEX_OK; i++) {
        draft->tally.jobs++;
        ask_count(&draft->tally.counts, &jobs[i].counts);
        if (take_answer(draft, &items[i], &jobs[i]) < 0)
            status = TELEX_RETRY;
    }
    return status;
}

telex_status draft_write(struct draft *draft, const struct ask *ask, const char **why) {
    crypto_hash_sha256_state hash;
    crypto_hash_sha256_init(&hash);
    lay_out(draft);
    telex_status status = TELEX_OK;
    for (int wave = 0; wave < WAVES_MAX && status == TELEX_OK; wave++) {
        int n_asked = 0;
        status = run_wave(draft, ask, &hash, why, &n_asked);
        if (status != TELEX_OK || n_asked == 0)
            break;
        if (judge_all(draft) < 0) {
            *why = "out of memory";
            status = TELEX_RETRY;
        }
        call_up_spares(draft);
    }
    for (size_t i = 0; i < draft->n_pieces; i++)
        if (draft->pieces[i].state == PIECE_OPEN)
            draft->pieces[i].state = PIECE_DROPPED;
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(&hash, digest);
    sodium_bin2hex(draft->prompt_sha256, sizeof(draft->prompt_sha256), digest, sizeof(digest));
    return status;
}

const char *draft_stands(const struct draft *draft, size_t min_body, size_t min_faq) {
    size_t n[FIELDS] = {0};
    for (size_t i = 0; i < draft->n_pieces; i++)
        n[draft->pieces[i].field] += draft->pieces[i].state == PIECE_STANDS;
    if (n[FIELD_HEADLINE] == 0)
        return "no headline stands";
    if (n[FIELD_DEK] == 0)
        return "no dek stands";
    if (n[FIELD_HEADING] == 0)
        return "no section heading stands";
    if (n[FIELD_BODY] < min_body)
        return "too few sentences of the body stand";
    return n[FIELD_ANSWER] < min_faq ? "too few answers stand" : NULL;
}
