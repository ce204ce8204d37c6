/* SPDX-License-Identifier: Apache-2.0 */
/* service_kv.c - "telex.kv/1": the journal's kv table, seen through the changes that are not in it yet.
 *
 * What a step sees, newest first: its own changes, those of its stage's committing steps, the committed
 * table. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "calling.h"

static bool same(struct telex_bytes a, struct telex_bytes b) {
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* The last change of key in a list, or NULL. */
static const struct change *last_change(const struct change *list, struct telex_bytes key) {
    const struct change *found = NULL;
    for (; list; list = list->next)
        if (same(list->key, key))
            found = list;
    return found;
}

static const struct change *pending_change_held(const struct instance *instance, telex_lease lease,
                                                struct telex_bytes key) {
    const struct step *own = lease ? step_find_held(instance, lease) : NULL;
    const struct change *found = own ? last_change(own->changes, key) : NULL;
    if (found)
        return found;
    for (const struct step *step = instance->stage->pending; step; step = step->next_pending) {
        const struct change *change = last_change(step->changes, key);
        found = change ? change : found;
    }
    return found;
}

static int64_t kv_get(const struct telex_host *host, telex_lease lease, struct telex_bytes key, void *out,
                      uint64_t capacity) {
    struct instance *instance = host->impl;
    struct stage *stage = instance->stage;
    if (key.size == 0 || key.size > TELEX_KV_KEY_MAX_BYTES)
        return TELEX_INVALID;
    pthread_mutex_lock(&stage->lock);
    const struct change *change = pending_change_held(instance, lease, key);
    int64_t size = 0;
    bool found = change != NULL, deleted = found && change->deleted;
    if (found && !deleted) {
        size = (int64_t)change->value.size;
        if (capacity && size)
            memcpy(out, change->value.data, capacity < change->value.size ? capacity : change->value.size);
    }
    pthread_mutex_unlock(&stage->lock);
    if (deleted)
        return TELEX_NOT_FOUND;
    if (!found)
        size = journal_kv_get(stage->engine->journal, stage->config->name, key, out, capacity);
    return size < 0 ? TELEX_NOT_FOUND : size;
}

static telex_status add_change(const struct telex_host *host, telex_lease lease, struct telex_bytes key,
                               struct telex_bytes value, bool deleted) {
    struct instance *instance = host->impl;
    struct stage *stage = instance->stage;
    if (key.size == 0 || key.size > TELEX_KV_KEY_MAX_BYTES || value.size > TELEX_KV_VALUE_MAX_BYTES)
        return TELEX_LIMIT;
    if (!(instance->stage->class->flags & TELEX_STAGE_STATEFUL))
        return rule_broken(instance, "kv.undeclared", lease,
                           "it keeps state without TELEX_STAGE_STATEFUL; refused");
    struct change *change = malloc(sizeof(*change) + key.size + value.size);
    if (!change)
        return TELEX_AGAIN;
    uint8_t *data = (uint8_t *)(change + 1);
    memcpy(data, key.data, key.size);
    if (value.size)
        memcpy(data + key.size, value.data, value.size);
    *change =
        (struct change){.key = {data, key.size}, .value = {data + key.size, value.size}, .deleted = deleted};
    pthread_mutex_lock(&stage->lock);
    struct step *step = step_find_held(instance, lease);
    if (step) {
        *step->last_change = change;
        step->last_change = &change->next;
    }
    pthread_mutex_unlock(&stage->lock);
    if (step)
        return TELEX_OK;
    free(change);
    return rule_broken(instance, "kv.lease", lease, "kv: lease %llu is not open; refused",
                       (unsigned long long)lease);
}

static telex_status kv_put(const struct telex_host *host, telex_lease lease, struct telex_bytes key,
                           struct telex_bytes value) {
    return add_change(host, lease, key, value, false);
}

static telex_status kv_del(const struct telex_host *host, telex_lease lease, struct telex_bytes key) {
    struct telex_bytes none = {NULL, 0};
    return add_change(host, lease, key, none, true);
}

/* ---- scan: the committed rows, with a step's own changes laid over them ---- */

struct row {
    struct telex_bytes key, value;
    uint8_t *data; /* owned */
    bool deleted;
    size_t order;
};

struct rows {
    struct row *list;
    size_t count, capacity;
    bool failed;
};

static void keep(struct rows *rows, struct telex_bytes key, struct telex_bytes value, bool deleted) {
    if (rows->count == rows->capacity) {
        size_t capacity = rows->capacity ? 2 * rows->capacity : 64;
        struct row *list = realloc(rows->list, capacity * sizeof(*list));
        rows->failed |= !list;
        if (!list)
            return;
        rows->list = list;
        rows->capacity = capacity;
    }
    uint8_t *data = malloc(key.size + value.size + 1);
    rows->failed |= !data;
    if (!data)
        return;
    memcpy(data, key.data, key.size);
    if (value.size)
        memcpy(data + key.size, value.data, value.size);
    rows->list[rows->count] =
        (struct row){{data, key.size}, {data + key.size, value.size}, data, deleted, rows->count};
    rows->count++;
}

static int32_t keep_row(void *arg, struct telex_bytes key, struct telex_bytes value) {
    keep(arg, key, value, false);
    return 0;
}

static int by_key_then_age(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    size_t n = x->key.size < y->key.size ? x->key.size : y->key.size;
    int order = memcmp(x->key.data, y->key.data, n);
    if (order == 0)
        order = (x->key.size > y->key.size) - (x->key.size < y->key.size);
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

static void add_own_changes_held(struct rows *rows, const struct step *step, struct telex_bytes prefix) {
    for (const struct change *change = step ? step->changes : NULL; change; change = change->next)
        if (change->key.size >= prefix.size &&
            (prefix.size == 0 || memcmp(change->key.data, prefix.data, prefix.size) == 0))
            keep(rows, change->key, change->value, change->deleted);
}

static telex_status kv_scan(const struct telex_host *host, telex_lease lease, struct telex_bytes prefix,
                            int32_t (*visit)(void *arg, struct telex_bytes key, struct telex_bytes value),
                            void *arg) {
    struct instance *instance = host->impl;
    struct stage *stage = instance->stage;
    struct engine *engine = stage->engine;
    struct rows rows = {0};
    for (;;) { /* the table is whole once no step of the stage is on its way to it */
        pthread_mutex_lock(&engine->lock);
        steps_hand_over_locked(stage);
        pthread_mutex_lock(&stage->lock);
        bool whole = !stage->pending || engine->broken;
        pthread_mutex_unlock(&stage->lock);
        engine_unlock(engine);
        if (whole)
            break;
        usleep(200);
    }
    journal_kv_scan(engine->journal, stage->config->name, prefix, keep_row, &rows);
    pthread_mutex_lock(&stage->lock);
    add_own_changes_held(&rows, lease ? step_find_held(instance, lease) : NULL, prefix);
    pthread_mutex_unlock(&stage->lock);
    if (rows.count)
        qsort(rows.list, rows.count, sizeof(*rows.list), by_key_then_age);
    int32_t stop = rows.failed;
    for (size_t i = 0; i < rows.count; i++) {
        bool newest = i + 1 == rows.count || !same(rows.list[i].key, rows.list[i + 1].key);
        if (!stop && newest && !rows.list[i].deleted)
            stop = visit(arg, rows.list[i].key, rows.list[i].value);
    }
    for (size_t i = 0; i < rows.count; i++)
        free(rows.list[i].data);
    free(rows.list);
    return rows.failed ? TELEX_AGAIN : TELEX_OK;
}

const struct telex_kv service_kv = {
    .size = sizeof(struct telex_kv), .get = kv_get, .put = kv_put, .del = kv_del, .scan = kv_scan};
