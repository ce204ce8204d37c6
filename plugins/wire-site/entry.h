/* SPDX-License-Identifier: Apache-2.0 */
/* entry.h - one dispatch as the wire keeps it: the canonical record and what publishing added.
 *
 * The JSON of an entry: act, corrected{note,time_ms}, dispatch (the canonical record, cleaned), dsp,
 * first_seq, first_time_ms, history[], lede, note, records, seq, split_from, target{id,dsp,relation},
 * time_ms, web. A summary is the same without the long parts of the dispatch; lists are made from summaries.
 */
#ifndef WIRE_SITE_ENTRY_H
#define WIRE_SITE_ENTRY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct entry {
    json_t *json;           /* a reference */
    const json_t *dispatch; /* in json, like every text below */
    const char *id, *dsp, *act, *status, *headline, *dek, *beat, *kind, *lang, *note;
    int64_t version, seq, first_seq, time_ms, first_time_ms, records, web;
    int64_t corrected_ms;                                 /* of the newest correction, 0: none */
    const char *corrected_note;                           /* its text */
    const char *target_id, *target_dsp, *target_relation; /* "" where there is none */
    const char *split_from; /* the dispatch whose story this one once left, "": none */
    char slug[64];          /* of the beat */
};

/* Read an entry. Takes a reference of its own; entry_finish gives it back. 0 or -EBADMSG. */
int entry_read(struct entry *entry, json_t *json);
void entry_finish(struct entry *entry); /* accepts a zeroed entry */

static inline bool entry_is(const struct entry *entry, const char *status) {
    return __builtin_strcmp(entry->status, status) == 0;
}

/* To be listed: usable and not merged into another. */
bool entry_is_listed(const struct entry *entry);

/* The entry without body, questions, citations, provenance and history. Gives a reference. */
json_t *entry_summary(const json_t *json);

/* Text and numbers of a JSON object; "" and `otherwise` where the key is missing or of another type. */
const char *json_text(const json_t *object, const char *key);
int64_t json_number(const json_t *object, const char *key, int64_t otherwise);

/* 0 when a cleaned record can be published; -EBADMSG with the field and the remedy in why. */
int dispatch_check(const json_t *dispatch, char *why, size_t why_bytes);

/* The sentences of a paragraph or an answer, however it holds them: an array, an object with
 * "sentences", one sentence object, or one text. `count` of them; each is an object with "text" or a
 * plain text. */
size_t sentence_count(const json_t *part);
const json_t *sentence_at(const json_t *part, size_t i);
const char *sentence_text(const json_t *sentence);

/* Paragraphs of the body: a body that is a flat list of sentences is one paragraph. */
size_t paragraph_count(const json_t *dispatch);
const json_t *paragraph_at(const json_t *dispatch, size_t i);

/* The part of a question that holds its answer. */
const json_t *faq_answer(const json_t *faq);

/* Number of the citation of `record` in the list of sources, from 1; 0 where it is not listed. */
size_t citation_number(const json_t *dispatch, const char *record);
const char *citation_record(const json_t *citation);
/* Its web address, or "" where it has none that can be linked. */
const char *citation_address(const json_t *citation);
/* Its outlet, else the host of its address, else its record id; `host` is room for 128 bytes. */
const char *citation_outlet(const json_t *citation, char host[128]);

/* Records used, and distinct web addresses among the citations. */
int64_t dispatch_records(const json_t *dispatch);
int64_t dispatch_web_citations(const json_t *dispatch);

/* Words in headline, dek, body and answers. */
int64_t dispatch_words(const json_t *dispatch);

#endif
