/* SPDX-License-Identifier: Apache-2.0 */
/* check_life.h - one life of a stage in the making: its host, its messages and the calls that are made. */
#ifndef HOST_CHECK_LIFE_H
#define HOST_CHECK_LIFE_H

#include "check.h"
#include "check_host.h"
#include "check_process.h"

enum { CHECK_RECORDS = 16, CHECK_SOURCE_MS = 3000 };

/* How drain is called at the end of a life. */
enum check_drain { DRAIN_NOT, DRAIN_AHEAD, DRAIN_PASSED };

struct life {
    struct check_run *run;
    struct check_host host;
    const struct telex_stage *stage; /* whose calls are made: the plugin's, or a runner's proxy for them */
    const struct telex_stage *class; /* the plugin's: ports, flags */
    struct telex_bytes options;
    void *self;
    FILE *out;
    int64_t settle_ms; /* what a step may take, a fifth of what a life may */
    enum check_drain drain;
    bool moves;      /* every call comes from a thread of its own */
    bool serial;     /* a step is settled before the next, also where the stage takes many */
    char order[160]; /* the calls so far, for findings; kept where `ordered` */
    bool ordered;
    bool may_refuse;   /* create may say no to options that nobody chose, with a reason */
    bool lost;         /* a step was never completed: no other is waited for as long */
    _Atomic bool died; /* its process, in a life that has one */
};

/* Fill from a run. */
void check_life_init(struct life *life, struct check_run *run);

/* ---- messages (check_sample.c) ---- */

/* A message of a schema. `odd` adds what a stage has to live with: unknown keys, control characters, a long
 * text; every third odd one is nothing but schema and id. The host owns it. */
struct telex_rec *check_message(struct life *life, const char *schema, int number, bool odd);
struct telex_rec *check_sample(struct life *life, const char *schema, int number, bool odd);
/* Append the keys of an ordinary message of a schema, schema and id left out. */
void check_sample_keys(struct telex_builder *b, const char *schema, int number);
void check_sample_id(char out[33], const char *kind, int number);
/* The schema that the n-th message has: the input ports' schemas in turn. */
const char *check_input_schema(const struct telex_stage *class, int n);

/* ---- moves (check_life.c) ---- */

void check_life_say(struct life *life, const char *call);
/* create; a finding and false when it fails. Records that stories name are there. */
bool check_make(struct life *life, const char *scenario);
/* The same over state that is there. */
bool check_make_over(struct life *life, const char *scenario, const struct check_pair *pairs);
bool check_begin(struct life *life);
/* drain, stop and destroy, as far as it was started. */
void check_end(struct life *life, bool started);
/* Make the calls that are due on the strand: posts, timers, descriptors. */
void check_turn(struct life *life);
bool check_settle(struct life *life, int64_t wait_ms);
telex_lease check_deliver(struct life *life, struct telex_rec *rec);
/* Every lease must end: by itself, or soon after it is cancelled. */
void check_expect_settled(struct life *life);
/* `count` messages from number `first` on, one step at a time where the stage keeps state. */
void check_feed_all(struct life *life, int first, int count, bool odd);
void check_give_credit(struct life *life, uint32_t steps);

/* A whole life over messages, or over a source's own: what it put out, lines in order of bytes where steps
 * may overlap. Gives it (free); NULL when it could not be begun. */
char *check_whole_life(struct life *life, const char *scenario);

/* The lines of a text (NULL: none) in order of bytes. Gives a copy. */
char *check_sorted(const char *text);

/* ---- scenarios of other files ---- */

void life_orders(struct life *life);   /* check_orders.c */
void life_threads(struct life *life);  /* check_orders.c */
void life_cancel(struct life *life);   /* check_orders.c */
void life_drain(struct life *life);    /* check_orders.c */
void life_two(struct life *life);      /* check_again.c */
void life_restart(struct life *life);  /* check_again.c */
void life_leak(struct life *life);     /* check_again.c */
void life_credits(struct life *life);  /* check_again.c */
void life_options(struct life *life);  /* check_again.c */
void life_isolated(struct life *life); /* check_again.c */

#endif
