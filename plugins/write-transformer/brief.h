/* SPDX-License-Identifier: Apache-2.0 */
/* brief.h - what a story's records say, as ranked sentences without repetition. */
#ifndef DESK_BRIEF_H
#define DESK_BRIEF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "facts.h"
#include "gate.h"
#include "text.h"

enum {
    BRIEF_RECORDS_MAX = 32,
    BRIEF_SENTENCES_MAX = 192,       /* of all records */
    BRIEF_RECORD_SENTENCES_MAX = 32, /* of one record: news stands at the top */
    BRIEF_CONTEXT_MAX = 2,           /* sentences that may name whom a pronoun means */
    BRIEF_TEXT_MAX_BYTES = 64 * 1024 /* of one record are read */
};

/* A record as the desk needs it. Texts are borrowed or in the arena. */
struct brief_record {
    const char *id, *url, *title, *outlet, *author, *lang, *sha256;
    const char *text; /* NUL-ended copy of at most BRIEF_TEXT_MAX_BYTES, for offsets */
    size_t text_bytes;
    int64_t published_ms;
    struct facts title_facts;
    const char *heading; /* the title as running text would write it */
    uint32_t n_hidden;   /* pieces of the text that no reader sees */
};

struct brief_sentence {
    uint32_t record; /* index */
    uint32_t order;  /* index among its record's sentences */
    uint32_t paragraph;
    struct text_range range;
    const char *clean;    /* what the record says, on one line */
    const char *modern;   /* the same by house style, pronouns named; what a prompt shows */
    const char *unusable; /* why nothing may be written from it, or NULL */
    bool needs_context;   /* begins with somebody who was named before */
    uint32_t n_context;   /* sentences before it that name him; 0 to 2 */
    int32_t same_as;      /* index of a better sentence that says the same, or -1 */
    double score;
    struct facts facts;
};

struct brief {
    struct arena *arena; /* borrowed */
    struct name_book book;
    struct brief_record records[BRIEF_RECORDS_MAX];
    size_t n_records;
    struct brief_sentence *sentences; /* in the arena; records in order, each one's sentences in order */
    size_t n_sentences;
    uint32_t n_tainted;
};

/* Read the records into sentences, rank them, find repetitions. `records` need id, text and what else is
 * known; brief->arena and brief->records are set by the caller. 0 or -ENOMEM. [any] */
int brief_read(struct brief *brief);

/* The sentences that a draft from `index` cites: itself, and the ones before it that name who it is about.
 * [any] */
void brief_sources(const struct brief *brief, size_t index, struct gate_sources *sources);

#endif
