/* SPDX-License-Identifier: Apache-2.0 */
/* dispatch.c - a standing draft as a telex.dispatch/1 message.
 *
 * Numbers that a reader sees ("5 records, 4 web citations") are counted here from what is cited, never
 * written by a model. No clock is read: the same draft gives the same bytes. */
#include "dispatch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <telex-sdk/id.h>

struct cited {
    uint32_t records[BRIEF_RECORDS_MAX]; /* in the order of the page */
    size_t n;
    size_t n_web; /* distinct http(s) addresses */
};

static const char *const origin_names[] = {[ORIGIN_WRITTEN] = "written",
                                           [ORIGIN_REWRITTEN] = "rewritten",
                                           [ORIGIN_QUOTED] = "quoted",
                                           [ORIGIN_TITLE] = "title",
                                           [ORIGIN_FORM] = "form"};

static bool is_web(const char *url) {
    return url && (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0);
}

static void count_cited(const struct draft *draft, struct cited *cited) {
    *cited = (struct cited){.n = 0};
    for (size_t p = 0; p < draft->n_pieces; p++) {
        const struct piece *piece = &draft->pieces[p];
        for (size_t c = 0; c < piece->n_citations && piece->state == PIECE_STANDS; c++) {
            uint32_t record = piece->citations[c].record;
            bool known = false;
            for (size_t i = 0; i < cited->n; i++)
                known |= cited->records[i] == record;
            if (!known)
                cited->records[cited->n++] = record;
        }
    }
    for (size_t i = 0; i < cited->n; i++) {
        const char *url = draft->brief->records[cited->records[i]].url;
        bool counts = is_web(url);
        for (size_t k = 0; k < i && counts; k++) {
            const char *other = draft->brief->records[cited->records[k]].url;
            counts = !(other && strcmp(other, url) == 0);
        }
        cited->n_web += counts;
    }
}

static void build_span(struct telex_builder *b, const struct brief *brief,
                       const struct piece_citation *citation) {
    const struct brief_record *record = &brief->records[citation->record];
    const char *text =
        citation->title ? (record->title ? record->title : "") : record->text + citation->range.start;
    size_t len = citation->title ? strlen(text) : citation->range.end - citation->range.start;
    char sha256[65];
    telex_sha256_hex(sha256, (struct telex_bytes){(const uint8_t *)text, len});
    telex_build_map_begin(b);
    telex_build_key(b, "record");
    telex_build_text(b, record->id);
    telex_build_key(b, "field");
    telex_build_text(b, citation->title ? "title" : "text");
    telex_build_key(b, "start");
    telex_build_int(b, citation->title ? 0 : citation->range.start);
    telex_build_key(b, "end");
    telex_build_int(b, citation->title ? (int64_t)len : citation->range.end);
    telex_build_key(b, "sha256");
    telex_build_text(b, sha256);
    telex_build_map_end(b);
}

static void build_spans(struct telex_builder *b, const struct brief *brief, const struct piece *piece) {
    telex_build_array(b, (uint32_t)piece->n_citations);
    for (size_t i = 0; i < piece->n_citations; i++)
        build_span(b, brief, &piece->citations[i]);
}

/* The rules that a piece passed (of a record's own words: those about shape and repetition), and why earlier
 * attempts did not. What was refused itself goes to the log only. */
static void build_checks(struct telex_builder *b, const struct piece *piece) {
    bool own = piece->origin >= ORIGIN_QUOTED;
    telex_build_map_begin(b);
    telex_build_key(b, "origin");
    telex_build_text(b, origin_names[piece->origin]);
    telex_build_key(b, "attempts");
    telex_build_int(b, piece->attempts);
    telex_build_key(b, "passed");
    uint32_t n = own ? 2 : (uint32_t)GATE_RULES - (piece->field != FIELD_ANSWER);
    n += own && piece->field == FIELD_ANSWER;
    telex_build_array(b, n);
    for (unsigned rule = 0; rule < GATE_RULES; rule++) {
        bool held = rule == GATE_QUESTION ? piece->field == FIELD_ANSWER
                                          : !own || rule == GATE_WHOLE || rule == GATE_NOT_AGAIN;
        if (held)
            telex_build_text(b, gate_rule_name((enum gate_rule)rule));
    }
    telex_build_key(b, "refused");
    telex_build_array(b, (uint32_t)piece->n_refusals);
    for (size_t i = 0; i < piece->n_refusals; i++) {
        const struct refusal *refusal = &piece->refusals[i];
        telex_build_map_begin(b);
        telex_build_key(b, "rule");
        telex_build_text(b, gate_rule_name((enum gate_rule)refusal->rule));
        telex_build_key(b, "why");
        telex_build_text(b, refusal->why);
        telex_build_map_end(b);
    }
    telex_build_map_end(b);
}

static void build_sentence(struct telex_builder *b, const struct brief *brief, const struct piece *piece) {
    telex_build_map_begin(b);
    telex_build_key(b, "text");
    telex_build_text(b, piece->text);
    telex_build_key(b, "citations");
    build_spans(b, brief, piece);
    telex_build_key(b, "checks");
    build_checks(b, piece);
    telex_build_map_end(b);
}

static const struct piece *standing(const struct draft *draft, enum gate_field field) {
    for (size_t i = 0; i < draft->n_pieces; i++)
        if (draft->pieces[i].field == field && draft->pieces[i].state == PIECE_STANDS)
            return &draft->pieces[i];
    return NULL;
}

static uint32_t count_standing(const struct draft *draft, enum gate_field field) {
    uint32_t n = 0;
    for (size_t i = 0; i < draft->n_pieces; i++)
        n += draft->pieces[i].field == field && draft->pieces[i].state == PIECE_STANDS;
    return n;
}

static const char *text_of(const struct piece *piece) {
    return piece ? piece->text : "";
}

static void build_texts(struct telex_builder *b, const struct draft *draft) {
    static const struct {
        const char *key;
        enum gate_field field;
    } fields[] = {{"headline", FIELD_HEADLINE}, {"dek", FIELD_DEK}, {"section_heading", FIELD_HEADING}};
    for (size_t i = 0; i < 3; i++) {
        telex_build_key(b, fields[i].key);
        telex_build_text(b, text_of(standing(draft, fields[i].field)));
    }
    telex_build_key(b, "support");
    telex_build_map_begin(b);
    for (size_t i = 0; i < 3; i++) {
        telex_build_key(b, fields[i].key);
        build_sentence(b, draft->brief, standing(draft, fields[i].field));
    }
    telex_build_map_end(b);
    telex_build_key(b, "body");
    telex_build_array(b, 1);
    telex_build_array(b, count_standing(draft, FIELD_BODY));
    for (size_t i = 0; i < draft->n_pieces; i++)
        if (draft->pieces[i].field == FIELD_BODY && draft->pieces[i].state == PIECE_STANDS)
            build_sentence(b, draft->brief, &draft->pieces[i]);
    telex_build_key(b, "faq");
    telex_build_array(b, count_standing(draft, FIELD_ANSWER));
    for (size_t i = 0; i < draft->n_pieces; i++) {
        const struct piece *piece = &draft->pieces[i];
        if (piece->field != FIELD_ANSWER || piece->state != PIECE_STANDS)
            continue;
        telex_build_map_begin(b);
        telex_build_key(b, "question");
        telex_build_text(b, piece->question);
        telex_build_key(b, "answer");
        telex_build_array(b, 1);
        build_sentence(b, draft->brief, piece);
        telex_build_map_end(b);
    }
}

static void build_citations(struct telex_builder *b, const struct brief *brief, const struct cited *cited) {
    telex_build_key(b, "citations");
    telex_build_array(b, (uint32_t)cited->n);
    for (size_t i = 0; i < cited->n; i++) {
        const struct brief_record *record = &brief->records[cited->records[i]];
        const char *const texts[][2] = {{"record", record->id},     {"url", record->url},
                                        {"title", record->heading}, {"outlet", record->outlet},
                                        {"author", record->author}, {"sha256", record->sha256}};
        telex_build_map_begin(b);
        for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
            telex_build_key(b, texts[t][0]);
            telex_build_text(b, texts[t][1] ? texts[t][1] : "");
        }
        telex_build_key(b, "published_ms");
        telex_build_int(b, record->published_ms);
        telex_build_map_end(b);
    }
}

static char *methodology(const struct draft *draft, const struct cited *cited,
                         const struct dispatch_head *head) {
    return arena_print(draft->brief->arena,
                       "This dispatch was assembled autonomously from %zu source record%s. Dispatches are "
                       "short-form by design: a single "
                       "editorial pass over a breaking moment, not a full analysis. The sentences to report "
                       "were chosen by rule and "
                       "rewritten by the language model %s; %u of %u sentences are quoted as a record has "
                       "them. Each sentence was "
                       "checked against the records that it cites; no human editor intervened.",
                       cited->n, cited->n == 1 ? "" : "s",
                       head->model && head->model[0] ? head->model : "of this wire", draft->tally.quoted,
                       draft->tally.quoted + draft->tally.written + draft->tally.rewritten);
}

static void build_provenance(struct telex_builder *b, const struct draft *draft,
                             const struct dispatch_head *head) {
    const struct draft_tally *tally = &draft->tally;
    char sampler[96], seed[24];
    snprintf(sampler, sizeof(sampler), "greedy; second rewrite temperature %.2f top_p 0.95",
             (double)head->temperature);
    snprintf(seed, sizeof(seed), "%016llx", (unsigned long long)draft_seed(head->id, head->version, 0, 0));
    const char *const texts[][2] = {{"model", head->model},
                                    {"model_sha256", head->model_sha256},
                                    {"backend", head->backend},
                                    {"sampler", sampler},
                                    {"seed", seed},
                                    {"prompt_sha256", draft->prompt_sha256}};
    telex_build_key(b, "provenance");
    telex_build_map_begin(b);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        telex_build_key(b, texts[i][0]);
        telex_build_text(b, texts[i][1] ? texts[i][1] : "");
    }
    telex_build_key(b, "plugins");
    telex_build_map_begin(b);
    telex_build_key(b, "write-transformer");
    telex_build_text(b, head->plugin_version);
    telex_build_map_end(b);
    const struct {
        const char *key;
        uint32_t n;
    } counts[] = {{"jobs", tally->jobs},           {"written", tally->written},
                  {"rewritten", tally->rewritten}, {"quoted", tally->quoted},
                  {"dropped", tally->dropped},     {"tainted_sentences", draft->brief->n_tainted}};
    telex_build_key(b, "checks");
    telex_build_map_begin(b);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        telex_build_key(b, counts[i].key);
        telex_build_int(b, counts[i].n);
    }
    telex_build_key(b, "refused");
    telex_build_map_begin(b);
    for (unsigned rule = 0; rule < GATE_RULES; rule++) {
        telex_build_key(b, gate_rule_name((enum gate_rule)rule));
        telex_build_int(b, tally->refused[rule]);
    }
    telex_build_map_end(b);
    telex_build_map_end(b);
    telex_build_map_end(b);
}

static void build_identity(struct telex_builder *b, const char *id, uint64_t version, const char *status,
                           const char *story) {
    telex_build_key(b, "schema");
    telex_build_text(b, "telex.dispatch/1");
    telex_build_key(b, "id");
    telex_build_text(b, id);
    telex_build_key(b, "version");
    telex_build_int(b, (int64_t)version);
    telex_build_key(b, "status");
    telex_build_text(b, status);
    telex_build_key(b, "story");
    telex_build_text(b, story);
}

static void build_origin(struct telex_builder *b, const struct dispatch_head *head) {
    if (!head->split_from[0])
        return;
    telex_build_key(b, "split_from");
    telex_build_text(b, head->split_from_id);
    telex_build_key(b, "split_from_story");
    telex_build_text(b, head->split_from);
}

int dispatch_build(struct telex_builder *b, const struct draft *draft, const struct dispatch_head *head) {
    struct cited cited;
    count_cited(draft, &cited);
    char *method = methodology(draft, &cited, head);
    if (!method)
        return -ENOMEM;
    telex_build_map_begin(b);
    build_identity(b, head->id, head->version, "usable", head->story);
    build_origin(b, head);
    const char *const labels[][2] = {
        {"kind", head->kind}, {"beat", head->beat}, {"lang", head->lang}, {"methodology", method}};
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        telex_build_key(b, labels[i][0]);
        telex_build_text(b, labels[i][1]);
    }
    build_texts(b, draft);
    build_citations(b, draft->brief, &cited);
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {{"records_used", (int64_t)cited.n},
                   {"records_read", (int64_t)head->n_read},
                   {"web_citations", (int64_t)cited.n_web},
                   {"first_ms", head->first_ms},
                   {"last_ms", head->last_ms}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        telex_build_key(b, numbers[i].key);
        telex_build_int(b, numbers[i].value);
    }
    build_provenance(b, draft, head);
    telex_build_map_end(b);
    return b->broken ? -ENOMEM : 0;
}

void dispatch_build_merged(struct telex_builder *b, const char *id, uint64_t version, const char *story,
                           const char *into_story, const char *into_id) {
    telex_build_map_begin(b);
    build_identity(b, id, version, "canceled", story);
    telex_build_key(b, "merged_into");
    telex_build_text(b, into_id);
    telex_build_key(b, "merged_into_story");
    telex_build_text(b, into_story);
    telex_build_key(b, "ed_note");
    telex_build_text(b, "This story turned out to be part of another one; its dispatch goes on there.");
    telex_build_map_end(b);
}

void dispatch_build_withheld(struct telex_builder *b, const struct dispatch_head *head) {
    telex_build_map_begin(b);
    build_identity(b, head->id, head->version, "withheld", head->story);
    build_origin(b, head);
    telex_build_key(b, "ed_note");
    telex_build_text(b,
                     "Part of this story turned out to be another one, and what is left is too little for a "
                     "dispatch of its own.");
    telex_build_map_end(b);
}
