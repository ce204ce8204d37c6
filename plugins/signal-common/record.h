/* SPDX-License-Identifier: Apache-2.0 */
/* record.h - from a feed's item to a telex.record/1.
 *
 * Identity. A record's id comes from its guid when it has one, else from its canonical address, else from
 * what it says. A guid that is an address is compared in its canonical spelling, so one page in two feeds is
 * one record; one that is no address, tag: or urn: is only unique within its outlet. A guid that several
 * items of one document share identifies none of them. The id never changes when an item is edited; sha256
 * does. */
#ifndef SIGNAL_RECORD_H
#define SIGNAL_RECORD_H

#include <telex-sdk/message.h>

#include "feed.h"

/* What is known about where a document is from. Text may be NULL. */
struct record_source {
    const char *address; /* of the feed */
    const char *name;    /* shown as the record's source; NULL: the feed's title, else the outlet */
    const char *outlet;  /* registrable domain; NULL: of the item's address, else of the feed's */
    const char *owner;   /* who controls the outlet; NULL: the outlet */
    bool primary;        /* the source is party to what it reports: a maker, an authority */
    const char *lang;    /* when neither item nor feed says */
    int64_t fetched_ms;  /* DATE_NONE: the item's own time, for archives */
};

/* What a record is about to be. Text is borrowed from item, source and the feed's arena. */
struct record {
    char id[33], sha256[65];
    const char *guid, *source, *outlet, *owner, *url, *canonical, *title, *author, *text, *lang;
    bool primary, cut;
    int64_t published_ms, updated_ms, fetched_ms;
    const char *const *links;
    size_t n_links;
    const char *const *extra; /* NULL, or more text members: key, value, key, value, NULL */
};

/* Fill `record` from item i of a feed. False: the item says nothing (no title, no text), so there is no
 * record. Memory comes from the feed's arena. */
bool record_fill(struct record *record, struct feed *feed, size_t i, const struct record_source *source);

/* The id and sha256 of a record whose text members are set; for records that are from no feed. `scope` keeps
 * apart guids that are unique only there. */
void record_identify(struct record *record, const char *scope);

/* Append the record as one msgpack map. */
void record_write(const struct record *record, uint64_t version, struct telex_builder *b);

#endif
