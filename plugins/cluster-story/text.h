/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - what a record says, as the cluster sees it.
 *
 * text_analyse turns a title and the start of a body into weighted terms, anchors and hashes. It is a pure
 * function: the same bytes and rules give the same document on every machine. Terms are named by a 64-bit
 * hash of their folded form; no string is kept. */
#ifndef CLUSTER_TEXT_H
#define CLUSTER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_TERMS_MAX = 128, TEXT_ANCHORS_MAX = 24, TEXT_WEIGHT_ONE = 32 };

enum text_kind {
    TEXT_WORD,   /* a folded, lightly stemmed word */
    TEXT_PAIR,   /* two content words side by side */
    TEXT_NAME,   /* a capitalised run of two or more words */
    TEXT_NUMBER, /* a value with its unit */
};

struct text_term {
    uint64_t hash;
    uint8_t weight;    /* TEXT_WEIGHT_ONE is 1.0; title and lead added up, capped */
    uint8_t kind;      /* enum text_kind */
    uint8_t title;     /* it stands in the title */
    uint8_t telling;   /* and names or counts what the title is about */
    uint8_t per_mille; /* headlines of a thousand that have it, as far as is known beforehand */
};

/* "Who has which value": two documents whose anchors share a subject but no value speak of different things.
 * A strong anchor names a thing (day 21, Q4, GPT-5.2); a weak one counts something (3,773 shares). */
struct text_anchor {
    uint64_t subject;
    uint64_t value;
    bool strong;
};

struct text_doc {
    struct text_term terms[TEXT_TERMS_MAX]; /* in order of first appearance */
    struct text_anchor anchors[TEXT_ANCHORS_MAX];
    uint32_t n_terms;
    uint32_t n_anchors;
    uint32_t n_title_terms; /* terms with .title */
    bool column;            /* the title has the form of a list or a share notice, which report no event */
    uint32_t n_words;       /* words read in title and lead, stop words included */
    uint64_t simhash;       /* over all words; 0 below TEXT_SIMHASH_WORDS words */
    uint64_t title_hash;    /* over the title's folded words; 0 when it has none */
    uint64_t whole_hash;    /* over the title's words and every byte of the body, its length included */
};

enum { TEXT_SIMHASH_WORDS = 24 };

/* Weights by field and kind, in units of TEXT_WEIGHT_ONE, and how much of a body is read. `name_rest`: what
 * is left of a word that is only known as the second part of a name ("Huang" of "Jensen Huang"), because a
 * name is one thing however many words it has. */
struct text_rules {
    uint32_t lead_bytes;
    uint8_t title_word, title_pair, title_name, title_number;
    uint8_t lead_word, lead_pair, lead_name, lead_number;
    uint8_t name_rest;
};

/* Text as it came: any bytes, not terminated. */
struct text_slice {
    const char *data; /* NULL when len is 0 */
    size_t len;
};

/* Read one record. `outlet` (its domain or name) lets the outlet's own name at either end of a title be
 * dropped. `doc` is overwritten. Never fails, never allocates; whatever is over a limit is left out, the rest
 * stands. */
void text_analyse(struct text_doc *doc, struct text_slice title, struct text_slice body,
                  struct text_slice outlet, const struct text_rules *rules);

/* A well-mixed 64-bit hash of bytes, fixed for all time: persisted state does not depend on it, replays do.
 */
uint64_t text_hash(const void *data, size_t len);

/* Hash of a web address in canonical form: scheme, www., fragment, default port, a trailing slash and
 * tracking parameters do not count. 0 for an empty or unusable address. */
uint64_t text_url_hash(struct text_slice url);

/* Cut plural and verb endings of a folded word, so that "raises", "raised" and "raising" meet. `len` is at
 * most TEXT_STEM_BYTES, and out has room for as many. Gives the stem's length. */
enum { TEXT_STEM_BYTES = 64 };
size_t text_stem(char *out, const char *word, size_t len);

#endif
