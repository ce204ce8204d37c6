/* SPDX-License-Identifier: Apache-2.0 */
/* edge.c - the queue between two stages, as memory holds it; the journal holds the same rows.
 *
 * Entries wait in order of seq. One that was put back keeps its place at the front but may have to pause. On
 * a keyed edge no two waiting entries have the same id, and none is taken while another of its id is in a
 * step. */
#include "engine.h"

#include <stdlib.h>

#include <telex-sdk/message.h>

#include "log.h"

void edge_init(struct edge *edge) {
    edge->first = NULL;
    edge->last = &edge->first;
}

struct entry *entry_create_locked(struct engine *engine, struct telex_rec *rec) {
    struct entry *entry = engine->free_entries;
    if (entry)
        engine->free_entries = entry->next;
    else if (!(entry = malloc(sizeof(*entry))))
        return NULL;
    *entry = (struct entry){.rec = rec};
    return entry;
}

void entry_destroy_locked(struct engine *engine, struct entry *entry) {
    if (!entry)
        return;
    suspect_clear_locked(entry);
    record_release(entry->rec);
    entry->next = engine->free_entries;
    engine->free_entries = entry;
}

void edge_finish(struct edge *edge) {
    while (edge->first) {
        struct entry *entry = edge->first;
        edge->first = entry->next;
        entry_destroy_locked(edge->from->engine, entry);
    }
    edge_init(edge);
}

static void supersede_locked(struct engine *engine, struct edge *edge, struct entry *entry) {
    edge->n_superseded++;
    if (engine->memory) {
        entry_destroy_locked(engine, entry);
        return;
    }
    struct journal_op *op = calloc(1, sizeof(*op));
    if (op) {
        op->kind = JOURNAL_SUPERSEDE;
        op->edge = edge->id;
        op->seq = entry->rec->seq;
        op->attempts = entry->attempts;
        engine->n_committing++;
        journal_submit(engine->journal, op);
    }
    entry_destroy_locked(engine, entry);
}

/* Half empty: who found it full may go on. */
static void edge_freed_locked(struct edge *edge) {
    uint32_t capacity = edge->config->capacity;
    if (!edge->from->blocked || edge->n_waiting + edge->n_reserved > capacity - (capacity + 1) / 2)
        return;
    edge->from->blocked = false;
    strand_wake_later_locked(edge->from);
}

/* On a keyed edge: take older waiting versions of the same message away. False when `entry` itself is the
 * older. */
static bool make_way_locked(struct engine *engine, struct edge *edge, struct entry *entry) {
    struct entry **at = &edge->first;
    while (*at) {
        struct entry *other = *at;
        if (!record_same_id(other->rec, entry->rec)) {
            at = &other->next;
            continue;
        }
        if (other->rec->version > entry->rec->version) {
            supersede_locked(engine, edge, entry);
            return false;
        }
        *at = other->next;
        if (!*at)
            edge->last = at;
        edge->n_waiting--;
        edge_freed_locked(edge);
        supersede_locked(engine, edge, other);
    }
    return true;
}

/* A strand that pushes batch after batch wakes the next one when there is much to do, and before it sleeps.
 */
static void wake_reader_locked(struct engine *engine, struct edge *edge) {
    if (engine->holds_back && edge->to->sleeping && edge->n_waiting < edge->config->capacity / 2)
        edge->to->wake_due = true;
    else
        strand_wake_later_locked(edge->to);
}

void edge_push_locked(struct engine *engine, struct edge *edge, struct entry *entry) {
    if (edge->config->keyed && !make_way_locked(engine, edge, entry))
        return;
    entry->next = NULL;
    *edge->last = entry;
    edge->last = &entry->next;
    edge->n_waiting++;
    wake_reader_locked(engine, edge);
}

static bool newer_waits(const struct edge *edge, const struct entry *entry) {
    for (const struct entry *other = edge->first; other; other = other->next)
        if (record_same_id(other->rec, entry->rec) && other->rec->version >= entry->rec->version)
            return true;
    return false;
}

void edge_put_back_locked(struct engine *engine, struct edge *edge, struct entry *entry, int64_t delay_ms) {
    if (edge->config->keyed && newer_waits(edge, entry)) {
        supersede_locked(engine, edge, entry);
        return;
    }
    entry->not_before_ms = delay_ms > 0 ? mono_ms() + delay_ms : 0;
    struct entry **at = &edge->first;
    while (*at && (*at)->rec->seq < entry->rec->seq)
        at = &(*at)->next;
    entry->next = *at;
    *at = entry;
    if (!entry->next)
        edge->last = &entry->next;
    edge->n_waiting++;
    strand_wake_locked(edge->to);
}

/* No message of this edge with the same id is in a step that is open or committing. */
static bool key_is_free_locked(const struct edge *edge, const struct telex_rec *rec) {
    struct stage *stage = edge->to;
    bool taken = false;
    pthread_mutex_lock(&stage->lock);
    for (uint32_t i = 0; i < stage->n_slots && !taken; i++) {
        const struct step *step = stage->slots[i];
        taken = step->state != STEP_FREE && step->edge == edge && step->entry &&
                record_same_id(step->entry->rec, rec);
    }
    pthread_mutex_unlock(&stage->lock);
    return !taken;
}

struct entry *edge_take_locked(struct edge *edge, int64_t now_ms, int64_t *due_ms) {
    bool suspects = atomic_load_explicit(&edge->to->n_suspects, memory_order_relaxed) > 0;
    for (struct entry **at = &edge->first; *at; at = &(*at)->next) {
        struct entry *entry = *at;
        if (suspects && !entry->suspect_of)
            continue;
        if (entry->not_before_ms > now_ms) {
            if (*due_ms == 0 || entry->not_before_ms < *due_ms)
                *due_ms = entry->not_before_ms;
            continue;
        }
        if (edge->config->keyed && edge->n_taken > 0 && !key_is_free_locked(edge, entry->rec))
            continue;
        *at = entry->next;
        if (!*at)
            edge->last = at;
        entry->next = NULL;
        edge->n_waiting--;
        edge->n_taken++;
        edge_freed_locked(edge);
        return entry;
    }
    return NULL;
}

/* The nth port of a direction. */
static const struct telex_port *port_at(const struct telex_stage *class, uint32_t direction, uint32_t n) {
    for (const struct telex_port *const *port = class->ports; port && *port; port++)
        if ((*port)->direction == direction && n-- == 0)
            return *port;
    return NULL;
}

bool edge_accepts(const struct edge *edge, const struct telex_rec *rec) {
    const struct telex_port *port = port_at(edge->to->class, TELEX_IN, edge->config->to_port);
    for (const char *const *schema = port ? port->schemas : NULL; schema && *schema; schema++)
        if (strcmp(*schema, "*") == 0 || record_is(rec, *schema))
            return true;
    return false;
}

bool edge_passes_where(const struct edge *edge, const struct telex_rec *rec) {
    struct telex_map map;
    if (edge->config->n_where == 0)
        return true;
    if (telex_map_open(&map, rec->body) < 0)
        return false;
    bool passes = true;
    for (size_t i = 0; passes && i < edge->config->n_where; i++) {
        const struct config_where *where = &edge->config->where[i];
        struct telex_bytes text = telex_map_text(map.root, where->key);
        passes = false;
        for (size_t k = 0; !passes && k < where->n_values; k++)
            passes = telex_bytes_equal(text, where->values[k]);
    }
    telex_map_close(&map);
    return passes;
}
