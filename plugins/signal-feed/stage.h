/* SPDX-License-Identifier: Apache-2.0 */
/* stage.h - what the files of signal-feed share.
 *
 * One thread per instance, begun in start and joined in stop, runs a libuv loop and owns everything here
 * after that. The host's calls of the stage only set a flag and wake it. */
#ifndef SIGNAL_FEED_STAGE_H
#define SIGNAL_FEED_STAGE_H

#include <stdatomic.h>

#include <telex/ext/kv.h>
#include <telex/ext/metrics.h>
#include <telex-sdk/plugin.h>

#include "feed.h"
#include "fetch.h"
#include "schedule.h"

enum { BATCH_MAX = 256, BATCH = 64, WAITING_MAX = 8 };

/* Checked options (plugin.c). Text is "" where not given. */
struct options {
    struct telex_texts feeds, allow_addresses, allow_ports;
    const char *feeds_file, *user_agent, *contact;
    int64_t interval_ms, max_interval_ms, max_age_ms, remember_ms, domain_gap_ms;
    int64_t connect_ms, timeout_ms, slow_ms, slow_bytes_s;
    int64_t wire_bytes, body_bytes, ratio, redirects, parallel, items, text_bytes;
    bool once;
};

/* Sites are spoken to one request at a time. */
struct domain {
    const char *name; /* registrable domain */
    bool busy;
    int64_t free_ms; /* wall clock: nothing is asked before */
    bool dirty;      /* free_ms is to be stored */
};

/* What is remembered of a feed between runs (state.c). All owned. */
struct memory {
    char *url;                  /* where the feed is now: its address, or where it moved for good */
    char *etag, *last_modified; /* byte for byte; "" when none */
    char *validator_url;        /* whose they are */
    char sha256[65];            /* of the last document */
    int64_t last_ms, next_ms;   /* wall clock; 0: never, at once */
    int64_t fails;              /* in a row */
    bool gone;                  /* 410: not asked again */
    /* For the operator (telex feeds); nothing here decides anything. */
    char *title, *home;     /* the feed's own, "" before the first document */
    char *why;              /* what the last answer was, in words */
    int64_t ok_ms;          /* the last usable answer; 0: none yet */
    int64_t records, edits; /* given so far; later versions among them counted apart */
    int64_t week;           /* items of the seven days before the last document */
};

/* One feed of the config. */
struct source {
    const char *address; /* borrowed from the list's memory, like the next five */
    const char *name, *owner, *outlet, *lang;
    bool primary;
    int64_t every_ms; /* 0: adaptive */
    bool is_file;
    char key[33];          /* names it in the state */
    struct domain *domain; /* of memory.url; NULL for files */
    struct memory memory;
    bool busy;   /* asked, or its answer is not stored yet */
    bool asked;  /* in this run */
    bool stored; /* the state has an entry of it */
};

/* One question on its way. */
struct question {
    struct question *next; /* of those that wait for a site's turn */
    struct stage *stage;   /* borrowed */
    struct source *source; /* borrowed */
    struct domain *domain; /* who is asked, or will be; NULL for files */
    char *onward;          /* owned: where a redirect leads; NULL while at the feed's own address */
    int hops;
    bool temporary;
};

/* An answer that waits to be stored and given out. */
struct arrival {
    struct arrival *next;
    struct source *source;
    struct memory memory;  /* what the feed's memory becomes; owned */
    struct feed feed;      /* owned; no items when there was no new document */
    struct domain *domain; /* who answered; NULL for files */
    bool again;            /* the page named its feed: that is asked in this run too */
    size_t at;             /* next item */
    int64_t fetched_ms;
};

/* What is remembered of a record: which version was given last. Keyed by id. */
struct known {
    uint8_t id[16];
    uint8_t sha[8];
    uint32_t version; /* 0: an empty slot */
    uint32_t owner;   /* of the feed that gave it first; only that feed's edits are versions */
    int32_t day;      /* last seen, days since 1970 */
};

struct known_table {
    struct known *slots; /* owned */
    size_t n, cap;       /* cap is a power of two */
};

struct stage {
    const struct telex_host *host;       /* borrowed */
    const struct telex_kv *kv;           /* borrowed; NULL: nothing is remembered between runs */
    const struct telex_metrics *metrics; /* borrowed; may be NULL */
    int32_t polls, unchanged, failed, records, edits, bytes; /* metric handles */
    struct options options;
    void *options_memory; /* owned */
    struct arena list;    /* owned: text of the feed list */
    struct source *sources;
    size_t n_sources, next_source, next_listed;
    struct domain *domains;
    size_t n_domains, domains_max;
    struct question *onward; /* owned list: redirected to a site whose turn has not come */
    struct address_block *allowed;
    uint16_t *ports;
    char user_agent[256];
    struct fetch_config fetch_config;
    struct known_table known;
    char **forget; /* owned: state keys that nothing needs any longer, to be deleted */
    size_t n_forget;
    int32_t pruned_day;

    uv_thread_t thread;
    bool running;
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t tick;
    struct fetcher *fetcher;
    struct arrival *first, *last; /* owned queue */
    size_t n_waiting, n_asked;    /* arrivals; polls under way */
    bool broken;                  /* a step failed: the host will make the stage anew */
    bool said_exhausted;
    atomic_bool stopping, draining;
};

/* ---- list.c: the feeds of the config. TELEX_OK, or TELEX_FATAL with the reason attached ---- */
telex_status list_read(struct stage *stage);
void list_finish(struct stage *stage);
/* Add a feed unless its address is listed already. `where` names it in the error. Copies *source. */
telex_status list_add(struct stage *stage, const struct source *source, const char *where);
/* Set a feed's address. What is wrong with it, or NULL. */
const char *list_address(struct stage *stage, struct source *source, const char *word);
/* The site of a host, made where it is not known yet; NULL for NULL. The one after the last that there is
 * room for stands for all others, so that the limit only ever makes us slower. */
struct domain *list_domain(struct stage *stage, const char *host);
/* Set source->domain to the site of memory.url. */
void list_settle(struct stage *stage, struct source *source);
/* The feeds of an OPML document; `path` names it in the log. opml.c */
telex_status opml_read(struct stage *stage, FILE *file, const char *path);

/* ---- state.c ---- */
telex_status state_load(struct stage *stage);
telex_status state_put_source(struct stage *stage, telex_lease lease, const struct source *source,
                              const struct memory *memory);
telex_status state_put_known(struct stage *stage, telex_lease lease, const char *id,
                             const struct known *known);
telex_status state_put_domains(struct stage *stage, telex_lease lease);
/* Once a day: records that left their feed longer ago than `remember` are to be forgotten. */
void state_prune(struct stage *stage, int64_t now_ms);
/* Delete some of what is to be forgotten, in a step. */
telex_status state_forget_some(struct stage *stage, telex_lease lease);
/* Store some of the feeds that are new in the list, so that the state names all of them. */
telex_status state_list_some(struct stage *stage, telex_lease lease);
int memory_copy(struct memory *to, const struct memory *from); /* 0 or -ENOMEM; `to` is overwritten */
void memory_set(char **text, const char *value);
void memory_finish(struct memory *memory);
/* The record's entry, or NULL; with `make`, an empty one where there is none (NULL: no memory). */
struct known *known_find(struct known_table *table, const char *id, bool make);

/* ---- poll.c ---- */
void poll_due(struct stage *stage);    /* ask every feed whose time has come; set the timer for the next */
void poll_soon(struct stage *stage);   /* the same, from the loop */
void poll_finish(struct stage *stage); /* frees the questions that wait */

/* ---- emit.c ---- */
void emit_push(struct stage *stage, struct arrival *arrival); /* takes it */
void emit_waiting(struct stage *stage);                       /* as far as the host has room */
void arrival_free(struct arrival *arrival);

/* ---- life.c ---- */
extern const struct telex_option *const stage_options[]; /* plugin.c */
telex_status stage_create(const struct telex_host *host, struct telex_bytes options, void **self);
telex_status stage_start(void *self);
void stage_on_credit(void *self);
void stage_drain(void *self, int64_t deadline_ms);
void stage_stop(void *self);
void stage_destroy(void *self);
void stage_count(struct stage *stage, int32_t metric, double amount);

#endif
