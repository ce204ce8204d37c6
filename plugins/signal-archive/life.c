/* SPDX-License-Identifier: Apache-2.0 */
/* life.c - from create to destroy: give the entries out in order and remember how far.
 *
 * `place` is how many entries are committed, and a digest over their ids. It is written in the step that
 * commits them, so a restart goes on with the next entry; if the archive no longer begins with the same
 * entries it is replayed from its start (ids make repeats harmless), and the log says so. */
#include "life.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <telex/ext/kv.h>
#include <telex/ext/timer.h>
#include <telex-sdk/id.h>

enum { TIMER_NEXT = 1 };

#define PAUSE_MAX_MS (24 * 3600 * 1000ll)

struct place {
    uint64_t count;
    char digest[33]; /* of the ids of the first `count` entries, chained */
};

struct archive {
    const struct telex_host *host;   /* borrowed */
    const struct telex_kv *kv;       /* borrowed; NULL: no memory between runs */
    const struct telex_timer *timer; /* borrowed; NULL: full speed only */
    struct archive_config config;
    void *memory; /* owned: the config's text */
    struct archive_reader reader;
    struct archive_entry *entries; /* owned: all of them, when ordered by time */
    size_t n_entries, next_entry;
    struct archive_entry held; /* owned: the next entry when read as given */
    bool holding, draining, said_exhausted;
    struct place place;
    int64_t began_ms, first_ms; /* when the replay began, and the time of its first entry */
    bool began;
};

void archive_entry_finish(struct archive_entry *entry) {
    free(entry->body);
    entry->body = NULL;
}

telex_status archive_create(const struct telex_host *host, struct telex_bytes options, void **self) {
    struct archive *a = calloc(1, sizeof(*a));
    if (!a)
        return TELEX_FATAL;
    if (telex_options_read(archive_options, options, &a->config, &a->memory) < 0) {
        free(a);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    if ((!a->config.path || !*a->config.path) && !a->config.paths.count) {
        free(a->memory);
        free(a);
        return telex_fail(host, 0, TELEX_FATAL, "no archive named: set path or paths");
    }
    a->host = host;
    a->kv = host->ext(host, TELEX_KV);
    a->timer = host->ext(host, TELEX_TIMER);
    *self = a;
    return TELEX_OK;
}

static void chain(struct place *place, const char *id) {
    struct telex_bytes parts[2] = {telex_text(place->digest), telex_text(id)};
    char next[33];
    telex_id(next, "archive-place", parts, 2);
    memcpy(place->digest, next, sizeof(next));
    place->count++;
}

static int by_time(const void *a, const void *b) {
    const struct archive_entry *x = a, *y = b;
    if (x->published_ms != y->published_ms)
        return x->published_ms < y->published_ms ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int by_id(const void *a, const void *b) {
    const struct archive_entry *x = a, *y = b;
    int order = strcmp(x->id, y->id);
    return order ? order : x->order < y->order ? -1 : x->order > y->order;
}

/* The same record twice, with the same bytes, is one: archives overlap. */
static void drop_twins(struct archive *a) {
    size_t kept = 0;
    if (!a->n_entries)
        return;
    qsort(a->entries, a->n_entries, sizeof(*a->entries), by_id);
    for (size_t i = 1; i < a->n_entries; i++) {
        struct archive_entry *last = &a->entries[kept], *entry = &a->entries[i];
        bool twin = !strcmp(last->id, entry->id) && last->size == entry->size &&
                    !memcmp(last->body, entry->body, entry->size);
        if (twin)
            archive_entry_finish(entry);
        else
            a->entries[++kept] = *entry;
    }
    a->n_entries = kept + 1;
}

/* Read everything and put it in the order of publication. */
static telex_status read_all(struct archive *a) {
    size_t cap = 0;
    int64_t bytes = 0;
    int got;
    struct archive_entry entry;
    while ((got = archive_reader_next(&a->reader, &entry)) > 0) {
        bytes += (int64_t)(entry.size + sizeof(entry));
        bool grown = a->n_entries < cap;
        if (!grown) {
            cap = cap ? cap * 2 : 256;
            struct archive_entry *more = realloc(a->entries, cap * sizeof(*more));
            grown = more != NULL;
            a->entries = more ? more : a->entries;
        }
        if (!grown || bytes > a->config.memory_bytes) {
            archive_entry_finish(&entry);
            return telex_fail(a->host, 0, TELEX_FATAL,
                              "the archive is larger than memory_limit (%" PRId64
                              " bytes) after %zu records: raise it, "
                              "or set order: given, which reads as it goes",
                              a->config.memory_bytes, a->n_entries);
        }
        a->entries[a->n_entries++] = entry;
    }
    if (got < 0)
        return telex_fail(a->host, 0, TELEX_FATAL, "out of memory after %zu records", a->n_entries);
    drop_twins(a);
    if (a->n_entries)
        qsort(a->entries, a->n_entries, sizeof(*a->entries), by_time);
    return TELEX_OK;
}

/* The next entry, still owned by the archive; NULL at the end. */
static struct archive_entry *peek(struct archive *a) {
    if (a->entries)
        return a->next_entry < a->n_entries ? &a->entries[a->next_entry] : NULL;
    if (!strcmp(a->config.order, "time"))
        return NULL;
    if (!a->holding)
        a->holding = archive_reader_next(&a->reader, &a->held) > 0;
    return a->holding ? &a->held : NULL;
}

/* The entry that peek gave is done with. */
static void pass(struct archive *a) {
    if (a->entries) {
        archive_entry_finish(&a->entries[a->next_entry++]);
        return;
    }
    archive_entry_finish(&a->held);
    a->holding = false;
}

/* Begin again: the entries that were passed are read anew. */
static telex_status open_entries(struct archive *a) {
    for (size_t i = a->next_entry; i < a->n_entries; i++)
        archive_entry_finish(&a->entries[i]);
    free(a->entries);
    a->entries = NULL;
    a->n_entries = a->next_entry = 0;
    if (a->holding)
        archive_entry_finish(&a->held);
    a->holding = false;
    archive_reader_close(&a->reader);
    telex_status status = archive_reader_open(&a->reader, a->host, &a->config);
    if (status != TELEX_OK || strcmp(a->config.order, "time") != 0)
        return status;
    return read_all(a);
}

/* Go behind the entries that an earlier run committed. */
static telex_status resume(struct archive *a) {
    char text[64] = {0};
    struct place was = {0};
    int64_t size =
        a->kv ? a->kv->get(a->host, 0, telex_text("place"), text, sizeof(text) - 1) : TELEX_NOT_FOUND;
    if (size < 0 && size != TELEX_NOT_FOUND)
        return telex_fail(a->host, 0, TELEX_FATAL, "state cannot be read: status %" PRId64, size);
    if (size < 0 || sscanf(text, "1 %" SCNu64 " %32s", &was.count, was.digest) != 2)
        return TELEX_OK;
    struct archive_entry *entry;
    while (a->place.count < was.count && (entry = peek(a))) {
        chain(&a->place, entry->id);
        pass(a);
    }
    if (a->place.count == was.count && !strcmp(a->place.digest, was.digest)) {
        telex_say(a->host, TELEX_INFO, 0, "goes on after %" PRIu64 " records of an earlier run", was.count);
        return TELEX_OK;
    }
    telex_say(a->host, TELEX_WARN, 0,
              "the archive no longer begins with the %" PRIu64
              " records that were replayed; replays it from its start",
              was.count);
    a->place = (struct place){0};
    return open_entries(a);
}

telex_status archive_start(void *self) {
    struct archive *a = self;
    telex_status status = open_entries(a);
    return status == TELEX_OK ? resume(a) : status;
}

/* How long the next entry must wait for its time, in ms; 0: it is due. */
static int64_t wait_ms(struct archive *a, const struct archive_entry *entry) {
    if (a->config.speed <= 0 || !a->timer)
        return 0;
    int64_t now = a->host->now_ms(a->host, TELEX_CLOCK_MONO);
    if (!a->began) {
        a->began = true;
        a->began_ms = now;
        a->first_ms = entry->published_ms;
    }
    double after = (double)(entry->published_ms - a->first_ms) / a->config.speed;
    int64_t wait = after < 9e15 ? a->began_ms + (int64_t)after - now : PAUSE_MAX_MS;
    return wait < 0 ? 0 : wait > PAUSE_MAX_MS ? PAUSE_MAX_MS : wait;
}

static telex_status emit(struct archive *a, telex_lease lease, const struct archive_entry *entry) {
    struct telex_loan loan = {.size = sizeof(loan)};
    telex_status status = a->host->loan(a->host, lease, 0, entry->size, &loan);
    if (status != TELEX_OK)
        return status;
    memcpy(loan.data, entry->body, entry->size);
    return a->host->commit(a->host, &loan, entry->size);
}

static telex_status keep_place(struct archive *a, telex_lease lease) {
    char text[64];
    if (!a->kv)
        return TELEX_OK;
    snprintf(text, sizeof(text), "1 %" PRIu64 " %s", a->place.count, a->place.digest);
    return a->kv->put(a->host, lease, telex_text("place"), telex_text(text));
}

/* One step: the entries that are due now, at most a batch of them. */
static telex_status step(struct archive *a, telex_lease lease) {
    struct archive_entry *entry;
    telex_status status = TELEX_OK;
    for (int64_t n = 0; n < a->config.batch && status == TELEX_OK && (entry = peek(a)) && !wait_ms(a, entry);
         n++) {
        status = emit(a, lease, entry);
        if (status != TELEX_OK) {
            telex_say(a->host, TELEX_ERROR, lease, "record %s was not taken: status %d", entry->id, status);
            break;
        }
        chain(&a->place, entry->id);
        pass(a);
    }
    return status == TELEX_OK ? keep_place(a, lease) : status;
}

static void say_end(struct archive *a) {
    if (a->said_exhausted)
        return;
    a->said_exhausted = true;
    telex_say(a->host, a->reader.left_out ? TELEX_WARN : TELEX_INFO, 0,
              "end of the archive: %" PRIu64 " records from %zu files, left out %" PRIu64
              " records and %" PRIu64 " files",
              a->place.count, a->reader.n_files, a->reader.left_out, a->reader.files_left_out);
    a->host->exhausted(a->host);
}

void archive_on_credit(void *self) {
    struct archive *a = self;
    struct archive_entry *entry;
    telex_lease lease;
    while (!a->draining && (entry = peek(a))) {
        int64_t wait = wait_ms(a, entry);
        if (wait) {
            a->timer->set(a->host, TIMER_NEXT, wait);
            return;
        }
        if (a->host->open(a->host, &lease) != TELEX_OK)
            return;
        telex_status status = step(a, lease);
        if (a->host->complete(a->host, lease, status == TELEX_OK ? TELEX_OK : TELEX_FATAL) != TELEX_OK ||
            status != TELEX_OK)
            return; /* the host recreates the instance, which goes on behind what is committed */
    }
    if (!a->draining)
        say_end(a);
}

void archive_on_timer(void *self, uint64_t timer) {
    (void)timer;
    archive_on_credit(self);
}

void archive_drain(void *self, int64_t deadline_ms) {
    struct archive *a = self;
    (void)deadline_ms;
    a->draining = true;
}

void archive_destroy(void *self) {
    struct archive *a = self;
    if (!a)
        return;
    for (size_t i = a->next_entry; i < a->n_entries; i++)
        archive_entry_finish(&a->entries[i]);
    free(a->entries);
    if (a->holding)
        archive_entry_finish(&a->held);
    archive_reader_close(&a->reader);
    free(a->memory);
    free(a);
}
