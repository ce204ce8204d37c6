/* SPDX-License-Identifier: Apache-2.0 */
/* telex/host.h - what the host does for a plugin.
 *
 * Steps and leases. A step is one input record with its own lease. Outputs and state changes made under a lease
 * become visible together, when the lease completes with OK and the host has committed it: all of them or none.
 * A source or a timer opens a step of its own with open(). A lease completes exactly once, from any thread, before
 * its deadline.
 *
 * Credits gate the delivery of input only: within a step, outputs up to the stage's max_outputs always fit. */
#ifndef TELEX_HOST_H
#define TELEX_HOST_H

#include "record.h"

struct telex_host {
    uint32_t size, abi_minor;
    void *impl; /* the host's own */

    /* An optional service by id, such as "telex.kv/1" (see telex/ext/). NULL when the host or the stage's
     * isolation has none. The table lives as long as the host handle. [any] */
    const void *(*ext)(const struct telex_host *host, const char *id);

    /* Say one line, UTF-8, no newline. lease 0: not about a record. Borrowed. [any] */
    void (*log)(const struct telex_host *host, int32_t level, telex_lease lease, struct telex_bytes text);

    /* Attach the reason for a status that is about to be returned or completed; returns `status`. It is what
     * the log and the quarantine show. Borrowed. [any] */
    telex_status (*fail)(const struct telex_host *host, telex_lease lease, telex_status status,
                         struct telex_bytes why);

    /* Milliseconds of TELEX_CLOCK_WALL or TELEX_CLOCK_MONO. [any] */
    int64_t (*now_ms)(const struct telex_host *host, int32_t clock);

    /* Look into a record. Set out->size first. OK or INVALID. [any] */
    telex_status (*view)(const struct telex_host *host, const struct telex_rec *rec, struct telex_view *out);

    /* Keep a record beyond process(); each retain needs one release. [any] */
    void (*retain)(const struct telex_host *host, struct telex_rec *rec);
    void (*release)(const struct telex_host *host, struct telex_rec *rec);

    /* Read a stored record by its schema and id: the newest version, or the one asked for when version is not
     * UINT64_MAX. Gives a reference (release it). OK, NOT_FOUND, INVALID. lease 0 is allowed. [any] */
    telex_status (*get)(const struct telex_host *host, telex_lease lease, const char *schema,
                        struct telex_bytes id, uint64_t version, struct telex_rec **out);

    /* Open a step that has no input: a source's or a timer's. OK, or AGAIN while an output edge is full (on_credit
     * is called when there is room), or CANCELLED while draining. [any] */
    telex_status (*open)(const struct telex_host *host, telex_lease *out);

    /* Room for one output of at most `capacity` bytes on an output port. Set loan->size first. OK, LIMIT (too large,
     * or more than max_outputs in this step), INVALID. [any] */
    telex_status (*loan)(const struct telex_host *host, telex_lease lease, uint32_t port, uint64_t capacity,
                         struct telex_loan *loan);

    /* Hand over the first `length` bytes of a loan as one message of the step. The host scans them: INVALID when
     * they are not one msgpack map with schema and id, or its schema is not one the port declares. Takes the loan,
     * also on failure. [any] */
    telex_status (*commit)(const struct telex_host *host, struct telex_loan *loan, uint64_t length);

    /* Give a loan back unused. [any] */
    void (*abandon)(const struct telex_host *host, struct telex_loan *loan);

    /* Pass a record on as it is, without a copy. OK, LIMIT, INVALID. [any] */
    telex_status (*forward)(const struct telex_host *host, telex_lease lease, uint32_t port,
                            struct telex_rec *rec);

    /* End a step. OK commits it; any other status drops its outputs and state changes and decides what happens to
     * the input (see abi.h). Returns OK once the host has taken it, INVALID for a lease that is not open. [any] */
    telex_status (*complete)(const struct telex_host *host, telex_lease lease, telex_status status);

    /* Non-zero once the step should end early: poll it in long work. [any] */
    int32_t (*cancelled)(const struct telex_host *host, telex_lease lease);

    /* Run fn(arg) on the instance's strand. Not run after stop. OK or CANCELLED. [any] */
    telex_status (*post)(const struct telex_host *host, void (*fn)(void *arg), void *arg);

    /* A source has nothing more to give, now or later: the pipeline may end when everything is drained. [any] */
    void (*exhausted)(const struct telex_host *host);
};

#endif
