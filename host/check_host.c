/* SPDX-License-Identifier: Apache-2.0 */
/* check_host.c - the host's calls, each with its rules.
 *
 * Nothing that a plugin hands in is dereferenced before it was found in a list of ours, except text, which
 * may crash this process: it is a child. */
#include "check_host.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include <telex-sdk/json.h>
#include <telex-sdk/table.h>

#include "check_process.h"

enum { DRAINED_TRIES = 8, GUARD_BYTES = 64, GUARD = 0xa5, LEASES_MAX = 100000 };

int64_t check_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- findings ---- */

void check_find(struct check_host *host, const char *rule, const char *format, ...) {
    va_list args;
    va_start(args, format);
    check_vreport(host->out, rule, format, args);
    va_end(args);
}

static struct check_host *enter(const struct telex_host *table, const char *call) {
    struct check_host *host = table->impl;
    pthread_mutex_lock(&host->lock);
    if (host->destroyed || (host->stopped && !pthread_equal(pthread_self(), host->control)))
        check_find(host, "life.after-stop", "%s was called after stop returned", call);
    return host;
}

static telex_status leave(struct check_host *host, telex_status status) {
    pthread_mutex_unlock(&host->lock);
    return status;
}

/* ---- records ---- */

static bool is_ours(const struct check_host *host, const struct telex_rec *rec) {
    for (const struct telex_rec *at = host->records; at; at = at->next)
        if (at == rec)
            return true;
    return false;
}

static bool is_held(struct check_host *host, const struct telex_rec *rec, const char *call) {
    if (!is_ours(host, rec)) {
        check_find(host, "record.unknown", "%s got a pointer that is no record", call);
        return false;
    }
    if (!rec->lent && rec->refs <= 0) {
        check_find(host, "record.after-end", "%s got a record that the stage no longer holds; retain it",
                   call);
        return false;
    }
    return true;
}

struct telex_rec *check_record(struct check_host *host, struct telex_bytes body) {
    struct telex_rec *rec = calloc(1, sizeof(*rec));
    uint8_t *copy = malloc(body.size ? body.size : 1);
    if (!rec || !copy)
        abort();
    memcpy(copy, body.data, body.size);
    rec->body = (struct telex_bytes){copy, body.size};
    rec->original = malloc(body.size ? body.size : 1);
    if (!rec->original)
        abort();
    memcpy(rec->original, body.data, body.size);
    if (telex_scan_head(rec->body, &rec->head) < 0 || rec->head.id.size == 0) {
        free(copy);
        free(rec->original);
        free(rec);
        return NULL;
    }
    pthread_mutex_lock(&host->lock);
    rec->next = host->records;
    host->records = rec;
    pthread_mutex_unlock(&host->lock);
    return rec;
}

void check_record_unchanged(struct check_host *host, const struct telex_rec *rec) {
    if (memcmp(rec->body.data, rec->original, rec->body.size) != 0)
        check_find(host, "record.changed", "the body of a record was written to; make a new message instead");
}

static telex_status host_view(const struct telex_host *table, const struct telex_rec *rec,
                              struct telex_view *out) {
    struct check_host *host = enter(table, "view");
    if (!is_held(host, rec, "view"))
        return leave(host, TELEX_INVALID);
    if (!out || out->size < TELEX_UP_TO(struct telex_view, body)) {
        check_find(host, "table.size", "view got a telex_view whose size is not set");
        return leave(host, TELEX_INVALID);
    }
    const struct telex_view view = {.size = sizeof(view),
                                    .version = rec->head.version,
                                    .schema = rec->head.schema,
                                    .id = rec->head.id,
                                    .body = rec->body};
    telex_table_fill(out, &view, TELEX_UP_TO(struct telex_view, body));
    return leave(host, TELEX_OK);
}

static void host_retain(const struct telex_host *table, struct telex_rec *rec) {
    struct check_host *host = enter(table, "retain");
    if (is_held(host, rec, "retain"))
        rec->refs++;
    leave(host, 0);
}

static void host_release(const struct telex_host *table, struct telex_rec *rec) {
    struct check_host *host = enter(table, "release");
    if (!is_ours(host, rec))
        check_find(host, "record.unknown", "release got a pointer that is no record");
    else if (rec->refs <= 0)
        check_find(host, "record.release", "release was called more often than retain and get");
    else
        rec->refs--;
    leave(host, 0);
}

static bool same_bytes(struct telex_bytes a, struct telex_bytes b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static telex_status host_get(const struct telex_host *table, telex_lease lease, const char *schema,
                             struct telex_bytes id, uint64_t version, struct telex_rec **out) {
    struct check_host *host = enter(table, "get");
    struct telex_rec *best = NULL;
    (void)lease;
    if (!schema || !out)
        return leave(host, TELEX_INVALID);
    for (struct telex_rec *at = host->records; at; at = at->next)
        if (same_bytes(at->head.id, id) && telex_bytes_equal(at->head.schema, schema) &&
            (version == UINT64_MAX ? !best || at->head.version > best->head.version
                                   : at->head.version == version))
            best = at;
    if (!best)
        return leave(host, TELEX_NOT_FOUND);
    best->refs++;
    *out = best;
    return leave(host, TELEX_OK);
}

/* ---- leases ---- */

static struct check_lease *find_lease(struct check_host *host, telex_lease id) {
    return id > 0 && id <= host->n_leases ? &host->leases[id - 1] : NULL;
}

/* An open lease for an output or state call. */
static struct check_lease *open_lease(struct check_host *host, telex_lease id, const char *call) {
    struct check_lease *lease = find_lease(host, id);
    if (!lease)
        check_find(host, "lease.unknown", "%s names lease %llu, which was never given", call,
                   (unsigned long long)id);
    else if (!lease->open)
        check_find(host, "lease.closed", "%s names a lease that is complete", call);
    return lease && lease->open ? lease : NULL;
}

static telex_lease new_lease(struct check_host *host) {
    if ((host->n_leases & (host->n_leases - 1)) == 0) {
        size_t room = host->n_leases ? 2 * host->n_leases : 1;
        host->leases = realloc(host->leases, room * sizeof(*host->leases));
        if (!host->leases)
            abort();
    }
    host->leases[host->n_leases] = (struct check_lease){.id = host->n_leases + 1, .open = true};
    return ++host->n_leases;
}

telex_lease check_lease_open(struct check_host *host) {
    pthread_mutex_lock(&host->lock);
    telex_lease id = new_lease(host);
    pthread_mutex_unlock(&host->lock);
    return id;
}

static void close_lease(struct check_host *host, struct check_lease *lease, telex_status status) {
    lease->open = false;
    lease->status = status;
    host->n_good += status == TELEX_OK;
    host->n_rejected += status == TELEX_REJECT;
    if (lease->n_loans > 0)
        check_find(host, "loan.kept", "a step ended with a loan that was neither committed nor abandoned");
    if (status > TELEX_OK || status < TELEX_LIMIT)
        check_find(host, "status.unknown", "a step ended with status %d, which is none of telex/abi.h",
                   status);
}

static telex_status host_complete(const struct telex_host *table, telex_lease id, telex_status status) {
    struct check_host *host = enter(table, "complete");
    struct check_lease *lease = find_lease(host, id);
    if (!lease)
        check_find(host, "lease.unknown", "complete names lease %llu, which was never given",
                   (unsigned long long)id);
    else if (!lease->open)
        check_find(host, "lease.twice", "a lease was completed a second time");
    if (!lease || !lease->open)
        return leave(host, TELEX_INVALID);
    close_lease(host, lease, status);
    return leave(host, TELEX_OK);
}

void check_lease_returned(struct check_host *host, telex_lease id, telex_status status) {
    pthread_mutex_lock(&host->lock);
    struct check_lease *lease = find_lease(host, id);
    if (status == TELEX_PENDING) {
        leave(host, 0);
        return;
    }
    if (!lease->open)
        check_find(host, "lease.returned",
                   "process completed its lease and then returned %d instead of PENDING", status);
    else
        close_lease(host, lease, status);
    leave(host, 0);
}

size_t check_leases_open(struct check_host *host) {
    size_t n = 0;
    pthread_mutex_lock(&host->lock);
    for (size_t i = 0; i < host->n_leases; i++)
        n += host->leases[i].open;
    pthread_mutex_unlock(&host->lock);
    return n;
}

static telex_status host_open(const struct telex_host *table, telex_lease *out) {
    struct check_host *host = enter(table, "open");
    if (host->stopped || !out)
        return leave(host, TELEX_INVALID);
    if (host->drained) {
        if (++host->n_refused > DRAINED_TRIES)
            check_find(host, "drain.opens",
                       "open was called again and again after drain had returned, which it "
                       "answers with CANCELLED");
        return leave(host, TELEX_CANCELLED);
    }
    host->n_refused++;
    if (host->credits == 0 || host->n_leases > LEASES_MAX)
        return leave(host, TELEX_AGAIN);
    for (size_t i = 0; i < host->n_leases && (host->stage->flags & TELEX_STAGE_STATEFUL); i++)
        if (host->leases[i].open)
            return leave(host, TELEX_AGAIN);
    host->credits--;
    host->n_refused = 0;
    *out = new_lease(host);
    return leave(host, TELEX_OK);
}

static int32_t host_cancelled(const struct telex_host *table, telex_lease id) {
    struct check_host *host = enter(table, "cancelled");
    const struct check_lease *lease = find_lease(host, id);
    return leave(host, host->stopped || (lease && lease->cancelled));
}

/* ---- outputs ---- */

static const struct telex_port *output(const struct check_host *host, uint32_t port) {
    for (const struct telex_port *const *at = host->stage->ports; *at; at++)
        if ((*at)->direction == TELEX_OUT && port-- == 0)
            return *at;
    return NULL;
}

static bool takes(const struct telex_port *port, struct telex_bytes schema) {
    for (const char *const *at = port->schemas; at && *at; at++)
        if (strcmp(*at, "*") == 0 || telex_bytes_equal(schema, *at))
            return true;
    return false;
}

static telex_status count_output(struct check_host *host, struct check_lease *lease) {
    if (lease->n_outputs + lease->n_loans < host->stage->max_outputs)
        return TELEX_OK;
    check_find(host, "output.count", "a step gives more outputs than max_outputs %u",
               host->stage->max_outputs);
    return TELEX_LIMIT;
}

static telex_status host_loan(const struct telex_host *table, telex_lease id, uint32_t port,
                              uint64_t capacity, struct telex_loan *out) {
    struct check_host *host = enter(table, "loan");
    struct check_lease *lease = open_lease(host, id, "loan");
    if (!lease)
        return leave(host, TELEX_INVALID);
    if (!out || out->size < TELEX_UP_TO(struct telex_loan, data)) {
        check_find(host, "table.size", "loan got a telex_loan whose size is not set");
        return leave(host, TELEX_INVALID);
    }
    if (!output(host, port)) {
        check_find(host, "output.port", "loan names output port %u, the stage has %u", port, host->n_outputs);
        return leave(host, TELEX_INVALID);
    }
    if (host->refuse_loans || capacity > TELEX_BODY_MAX_BYTES)
        return leave(host, TELEX_LIMIT);
    if (count_output(host, lease) != TELEX_OK)
        return leave(host, TELEX_LIMIT);
    struct check_loan *loan = calloc(1, sizeof(*loan));
    if (!loan || !(loan->data = malloc(capacity + GUARD_BYTES)))
        abort();
    memset(loan->data, GUARD, capacity + GUARD_BYTES);
    *loan = (struct check_loan){.next = host->loans,
                                .handle = ++host->n_loans,
                                .capacity = capacity,
                                .lease = id,
                                .port = port,
                                .open = true,
                                .data = loan->data};
    host->loans = loan;
    lease->n_loans++;
    out->port = port;
    out->handle = loan->handle;
    out->capacity = capacity;
    out->data = loan->data;
    return leave(host, TELEX_OK);
}

/* The open loan behind what a plugin hands in, closed now. */
static struct check_loan *take_loan(struct check_host *host, const struct telex_loan *given,
                                    const char *call) {
    struct check_loan *loan = host->loans;
    while (loan && (!given || loan->handle != given->handle))
        loan = loan->next;
    if (!loan || !loan->open) {
        check_find(host, "loan.dead", "%s got a loan that is %s", call,
                   loan ? "used up" : "not one of the host's");
        return NULL;
    }
    loan->open = false;
    struct check_lease *lease = find_lease(host, loan->lease);
    if (lease->n_loans > 0)
        lease->n_loans--;
    for (int i = 0; i < GUARD_BYTES; i++)
        if (loan->data[loan->capacity + (uint64_t)i] != GUARD) {
            check_find(host, "loan.overrun", "a loan was written beyond its capacity of %llu bytes",
                       (unsigned long long)loan->capacity);
            break;
        }
    return loan;
}

static void keep_output(struct check_host *host, struct telex_bytes body) {
    char *line = telex_json_line(body);
    if (line && host->outputs_stream)
        fprintf(host->outputs_stream, "%s\n", line);
    free(line);
    host->n_committed++;
}

static telex_status check_body(struct check_host *host, const struct check_loan *loan,
                               struct telex_bytes body) {
    struct telex_head head;
    const struct telex_port *port = output(host, loan->port);
    if (telex_scan_head(body, &head) < 0)
        check_find(host, "output.msgpack", "commit of %llu bytes that are not one msgpack map",
                   (unsigned long long)body.size);
    else if (head.id.size == 0 || head.id.size > TELEX_ID_MAX_BYTES || head.schema.size == 0)
        check_find(host, "output.identity",
                   "commit of a message without schema or without an id of 1 to %d bytes",
                   TELEX_ID_MAX_BYTES);
    else if (!takes(port, head.schema))
        check_find(host, "output.schema", "commit of schema %.*s on port %s, which does not declare it",
                   (int)head.schema.size, (const char *)head.schema.data, port->name);
    else
        return TELEX_OK;
    return TELEX_INVALID;
}

static telex_status host_commit(const struct telex_host *table, struct telex_loan *given, uint64_t length) {
    struct check_host *host = enter(table, "commit");
    struct check_loan *loan = take_loan(host, given, "commit");
    struct check_lease *lease = loan ? open_lease(host, loan->lease, "commit") : NULL;
    if (!lease)
        return leave(host, TELEX_INVALID);
    if (length > loan->capacity) {
        check_find(host, "loan.overrun", "commit of %llu bytes from a loan of %llu",
                   (unsigned long long)length, (unsigned long long)loan->capacity);
        return leave(host, TELEX_INVALID);
    }
    struct telex_bytes body = {loan->data, length};
    telex_status status = check_body(host, loan, body);
    if (status == TELEX_OK) {
        lease->n_outputs++;
        keep_output(host, body);
    }
    return leave(host, status);
}

static void host_abandon(const struct telex_host *table, struct telex_loan *given) {
    struct check_host *host = enter(table, "abandon");
    take_loan(host, given, "abandon");
    leave(host, 0);
}

static telex_status host_forward(const struct telex_host *table, telex_lease id, uint32_t port,
                                 struct telex_rec *rec) {
    struct check_host *host = enter(table, "forward");
    struct check_lease *lease = open_lease(host, id, "forward");
    const struct telex_port *out = output(host, port);
    if (!out)
        check_find(host, "output.port", "forward names output port %u, the stage has %u", port,
                   host->n_outputs);
    if (!lease || !out || !is_held(host, rec, "forward"))
        return leave(host, TELEX_INVALID);
    if (!takes(out, rec->head.schema)) {
        check_find(host, "output.schema", "forward of schema %.*s on port %s, which does not declare it",
                   (int)rec->head.schema.size, (const char *)rec->head.schema.data, out->name);
        return leave(host, TELEX_INVALID);
    }
    if (host->refuse_loans || count_output(host, lease) != TELEX_OK)
        return leave(host, TELEX_LIMIT);
    lease->n_outputs++;
    keep_output(host, rec->body);
    return leave(host, TELEX_OK);
}

/* ---- the rest ---- */

static void check_text(struct check_host *host, struct telex_bytes text, const char *call) {
    json_t *utf8 = json_stringn((const char *)text.data, text.size);
    if (!utf8 || (text.size && memchr(text.data, '\n', text.size)))
        check_find(host, "log.text", "%s got text that is not one line of UTF-8", call);
    json_decref(utf8);
}

static void host_log(const struct telex_host *table, int32_t level, telex_lease lease,
                     struct telex_bytes text) {
    struct check_host *host = enter(table, "log");
    (void)lease;
    check_text(host, text, "log");
    if (level < TELEX_DEBUG || level > TELEX_ERROR)
        check_find(host, "log.level", "log got level %d", level);
    leave(host, 0);
}

static telex_status host_fail(const struct telex_host *table, telex_lease lease, telex_status status,
                              struct telex_bytes why) {
    struct check_host *host = enter(table, "fail");
    (void)lease;
    check_text(host, why, "fail");
    snprintf(host->last_fail, sizeof(host->last_fail), "%.*s", (int)(why.size < 180 ? why.size : 180),
             why.data ? (const char *)why.data : "");
    return leave(host, status);
}

static int64_t host_now_ms(const struct telex_host *table, int32_t clock) {
    struct check_host *host = enter(table, "now_ms");
    leave(host, 0);
    return clock == TELEX_CLOCK_WALL ? 1767225600000 : check_now_ms();
}

static telex_status host_post(const struct telex_host *table, void (*fn)(void *arg), void *arg) {
    struct check_host *host = enter(table, "post");
    if (host->stopped || host->n_posts == CHECK_POSTS_MAX || !fn)
        return leave(host, TELEX_CANCELLED);
    host->posts[host->n_posts].fn = fn;
    host->posts[host->n_posts++].arg = arg;
    return leave(host, TELEX_OK);
}

static void host_exhausted(const struct telex_host *table) {
    struct check_host *host = enter(table, "exhausted");
    host->exhausted = true;
    leave(host, 0);
}

static const struct telex_host calls = {.size = sizeof(calls),
                                        .abi_minor = TELEX_ABI_MINOR,
                                        .ext = check_ext, /* check_ext.c */
                                        .log = host_log,
                                        .fail = host_fail,
                                        .now_ms = host_now_ms,
                                        .view = host_view,
                                        .retain = host_retain,
                                        .release = host_release,
                                        .get = host_get,
                                        .open = host_open,
                                        .loan = host_loan,
                                        .commit = host_commit,
                                        .abandon = host_abandon,
                                        .forward = host_forward,
                                        .complete = host_complete,
                                        .cancelled = host_cancelled,
                                        .post = host_post,
                                        .exhausted = host_exhausted};

void check_host_init(struct check_host *host, const struct telex_stage *stage, const char *scenario,
                     FILE *out) {
    memset(host, 0, sizeof(*host));
    host->table = calls;
    host->table.impl = host;
    pthread_mutex_init(&host->lock, NULL);
    host->stage = stage;
    host->scenario = scenario;
    host->out = out;
    host->control = pthread_self();
    for (const struct telex_port *const *at = stage->ports; *at; at++)
        *((*at)->direction == TELEX_IN ? &host->n_inputs : &host->n_outputs) += 1;
    for (int i = 0; i < CHECK_TIMERS_MAX; i++)
        host->timers[i] = -1;
    host->outputs_stream = open_memstream(&host->outputs, &host->outputs_size);
}

/* The host's own memory stays: a thread that outlived stop may still come in. */
void check_host_finish(struct check_host *host) {
    pthread_mutex_lock(&host->lock);
    host->destroyed = true;
    size_t n_kept = 0;
    for (const struct telex_rec *at = host->records; at; at = at->next) {
        n_kept += at->refs > 0;
        check_record_unchanged(host, at);
    }
    if (n_kept > 0)
        check_find(host, "record.kept", "a record was retained and never released");
    if (host->outputs_stream)
        fflush(host->outputs_stream);
    pthread_mutex_unlock(&host->lock);
}

void check_host_free(struct check_host *host) {
    for (struct telex_rec *next, *at = host->records; at; at = next) {
        next = at->next;
        free((void *)at->body.data);
        free(at->original);
        free(at);
    }
    for (struct check_loan *next, *at = host->loans; at; at = next) {
        next = at->next;
        free(at->data);
        free(at);
    }
    check_pairs_free(host->pairs);
    if (host->outputs_stream)
        fclose(host->outputs_stream);
    free(host->outputs);
    free(host->leases);
    pthread_mutex_destroy(&host->lock);
    memset(host, 0, sizeof(*host));
}
