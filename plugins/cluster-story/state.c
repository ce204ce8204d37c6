/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - writes the log as it grows and replays it once.
 *
 * A row is one small msgpack map. What is read back was written by this file under the same schema; any other
 * layout is refused, never guessed at. */
#include "state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/plugin.h>

static const char *const LAYOUT = "cluster-story/1";
enum { KEY_BYTES = 24 };

static struct telex_bytes row_key(char out[KEY_BYTES], char kind, uint64_t seq) {
    int n = snprintf(out, KEY_BYTES, "%c%016llx", kind, (unsigned long long)seq);
    return (struct telex_bytes){(const uint8_t *)out, (uint64_t)n};
}

static void number(struct telex_builder *row, const char *key, uint64_t value) {
    telex_build_key(row, key);
    telex_build_int(row, (int64_t)value);
}

/* Store a finished row; frees the builder. */
static int put(const struct state *state, struct telex_bytes key, struct telex_builder *row) {
    telex_build_map_end(row);
    telex_status status =
        row->broken ? TELEX_FATAL : state->kv->put(state->host, state->lease, key, telex_build_body(row));
    telex_build_finish(row);
    return status == TELEX_OK ? 0 : -EIO;
}

static void begin(struct telex_builder *row) {
    telex_build_init(row);
    telex_build_map_begin(row);
}

int state_put_event(const struct state *state, const struct cluster_event *event) {
    struct telex_builder row;
    char key[KEY_BYTES];
    if (!state->kv)
        return 0;
    begin(&row);
    number(&row, "kind", event->kind);
    number(&row, "clock", (uint64_t)event->clock_ms);
    number(&row, "story", event->story);
    if (event->kind == CLUSTER_MERGE) {
        number(&row, "into", event->into);
    } else {
        telex_build_key(&row, "record");
        telex_build_bytes(&row, (struct telex_bytes){(const uint8_t *)event->record.data, event->record.len});
        number(&row, "version", event->version);
        number(&row, "likeness", event->likeness);
        number(&row, "like", event->like);
        if (event->why.len) {
            telex_build_key(&row, "why");
            telex_build_bytes(&row, (struct telex_bytes){(const uint8_t *)event->why.data, event->why.len});
        }
    }
    return put(state, row_key(key, 'e', event->seq), &row);
}

int state_put_memory(const struct state *state, const struct cluster_memory *memory) {
    struct telex_builder row;
    char key[KEY_BYTES];
    if (!state->kv)
        return 0;
    begin(&row);
    number(&row, "version", memory->version);
    number(&row, "handed", memory->handed);
    number(&row, "facts", memory->facts);
    number(&row, "copies", memory->copies);
    number(&row, "reported", memory->reported);
    if (memory->split_from[0]) {
        telex_build_key(&row, "split_from");
        telex_build_text(&row, memory->split_from);
    }
    return put(state, row_key(key, 'm', memory->story), &row);
}

int state_put_clock(const struct state *state, uint64_t next_seq, int64_t clock_ms) {
    struct telex_builder row;
    if (!state->kv)
        return 0;
    begin(&row);
    telex_build_key(&row, "layout");
    telex_build_text(&row, LAYOUT);
    number(&row, "next_seq", next_seq);
    number(&row, "clock", (uint64_t)clock_ms);
    return put(state, telex_text("schema"), &row);
}

int state_drop_event(const struct state *state, uint64_t seq) {
    char key[KEY_BYTES];
    if (!state->kv)
        return 0;
    return state->kv->del(state->host, state->lease, row_key(key, 'e', seq)) == TELEX_OK ? 0 : -EIO;
}

int state_drop_memory(const struct state *state, uint64_t story) {
    char key[KEY_BYTES];
    if (!state->kv)
        return 0;
    return state->kv->del(state->host, state->lease, row_key(key, 'm', story)) == TELEX_OK ? 0 : -EIO;
}

/* ---- reading ---- */

static struct text_slice slice(struct telex_bytes text) {
    return (struct text_slice){(const char *)text.data, text.size};
}

void state_read_record(const struct telex_map *map, struct cluster_record *record) {
    const msgpack_object *root = map->root;
    *record = (struct cluster_record){
        .id = slice(telex_map_text(root, "id")),
        .version = (uint64_t)telex_map_int(root, "version", 0),
        .outlet = slice(telex_map_text(root, "outlet")),
        .owner = slice(telex_map_text(root, "owner")),
        .url = slice(telex_map_text(root, "url")),
        .title = slice(telex_map_text(root, "title")),
        .text = slice(telex_map_text(root, "text")),
        .primary = telex_map_flag(root, "primary", false),
        .published_ms = telex_map_int(root, "published_ms", 0),
        .fetched_ms = telex_map_int(root, "fetched_ms", 0),
    };
}

/* Rows of one kind, copied out of a scan, because visitors must not call the store. */
struct rows {
    struct row {
        uint64_t seq;
        uint8_t *value;
        size_t size;
    } * items;
    size_t n, capacity;
    int err;
};

static int32_t collect(void *arg, struct telex_bytes key, struct telex_bytes value) {
    struct rows *rows = arg;
    char digits[17] = {0};
    if (key.size != 17)
        return 0;
    if (rows->n == rows->capacity) {
        size_t capacity = rows->capacity ? rows->capacity * 2 : 256;
        void *items = realloc(rows->items, capacity * sizeof(*rows->items));
        if (!items) {
            rows->err = -ENOMEM;
            return 1;
        }
        rows->items = items;
        rows->capacity = capacity;
    }
    struct row *row = &rows->items[rows->n];
    memcpy(digits, key.data + 1, 16);
    row->seq = strtoull(digits, NULL, 16);
    row->size = value.size;
    row->value = malloc(value.size ? value.size : 1);
    if (!row->value) {
        rows->err = -ENOMEM;
        return 1;
    }
    memcpy(row->value, value.data, value.size);
    rows->n++;
    return 0;
}

static void free_rows(struct rows *rows) {
    for (size_t i = 0; i < rows->n; i++)
        free(rows->items[i].value);
    free(rows->items);
}

/* Replay one join with its record, which may be gone. */
static int replay_join(const struct state *state, struct cluster *cluster,
                       const struct cluster_event *event) {
    struct telex_rec *rec = NULL;
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map = {0};
    struct cluster_record record;
    struct telex_bytes id = {(const uint8_t *)event->record.data, event->record.len};
    telex_status found = state->host->get(state->host, 0, "telex.record/1", id, event->version, &rec);
    if (found != TELEX_OK)
        return cluster_restore_event(cluster, event, NULL);
    int err = -EBADMSG;
    if (state->host->view(state->host, rec, &view) == TELEX_OK)
        err = telex_map_open(&map, view.body);
    if (!err) {
        state_read_record(&map, &record);
        record.id = event->record;
        record.version = event->version;
        err = cluster_restore_event(cluster, event, &record);
    }
    telex_map_close(&map);
    state->host->release(state->host, rec);
    return err;
}

static int replay_event(const struct state *state, struct cluster *cluster, const struct row *row) {
    struct telex_map map;
    int err = telex_map_open(&map, (struct telex_bytes){row->value, row->size});
    if (err)
        return err;
    struct cluster_event event = {
        .seq = row->seq,
        .kind = (enum cluster_event_kind)telex_map_int(map.root, "kind", 0),
        .clock_ms = telex_map_int(map.root, "clock", 0),
        .story = (uint64_t)telex_map_int(map.root, "story", 0),
        .into = (uint64_t)telex_map_int(map.root, "into", 0),
        .record = slice(telex_map_text(map.root, "record")),
        .version = (uint64_t)telex_map_int(map.root, "version", 0),
        .likeness = (enum cluster_likeness)telex_map_int(map.root, "likeness", 0),
        .like = (uint64_t)telex_map_int(map.root, "like", 0),
    };
    if (event.kind == CLUSTER_MERGE)
        err = cluster_restore_event(cluster, &event, NULL);
    else if (event.kind == CLUSTER_JOIN && event.record.len)
        err = replay_join(state, cluster, &event);
    else
        err = -EBADMSG;
    telex_map_close(&map);
    return err;
}

static int replay_memory(struct cluster *cluster, const struct row *row) {
    struct telex_map map;
    int err = telex_map_open(&map, (struct telex_bytes){row->value, row->size});
    if (err)
        return err;
    struct cluster_memory memory = {
        .story = row->seq,
        .version = (uint64_t)telex_map_int(map.root, "version", 0),
        .handed = (uint64_t)telex_map_int(map.root, "handed", 0),
        .facts = (uint64_t)telex_map_int(map.root, "facts", 0),
        .copies = (uint64_t)telex_map_int(map.root, "copies", 0),
        .reported = (uint64_t)telex_map_int(map.root, "reported", 0),
    };
    struct telex_bytes from = telex_map_text(map.root, "split_from");
    if (from.size > 0 && from.size < sizeof(memory.split_from))
        memcpy(memory.split_from, from.data, from.size);
    telex_map_close(&map);
    return cluster_restore_memory(cluster, &memory);
}

/* The clock row. 0, -ENOENT when nothing was ever kept, -EBADMSG for another layout. */
static int replay_clock(const struct state *state, struct cluster *cluster) {
    uint8_t value[256];
    struct telex_map map;
    int64_t size = state->kv->get(state->host, 0, telex_text("schema"), value, sizeof(value));
    if (size == TELEX_NOT_FOUND)
        return -ENOENT;
    if (size < 0 || size > (int64_t)sizeof(value))
        return -EBADMSG;
    int err = telex_map_open(&map, (struct telex_bytes){value, (uint64_t)size});
    if (err)
        return err;
    if (telex_bytes_equal(telex_map_text(map.root, "layout"), LAYOUT))
        cluster_restore_clock(cluster, (uint64_t)telex_map_int(map.root, "next_seq", 1),
                              telex_map_int(map.root, "clock", 0));
    else
        err = -EBADMSG;
    telex_map_close(&map);
    return err;
}

int state_restore(const struct state *state, struct cluster *cluster) {
    struct rows events = {0}, memories = {0};
    if (!state->kv)
        return 0;
    int err = replay_clock(state, cluster);
    if (err == -ENOENT)
        return 0;
    uint64_t next_seq = cluster_next_seq(cluster);
    int64_t clock_ms = cluster_clock_ms(cluster);
    if (!err && (state->kv->scan(state->host, 0, telex_text("e"), collect, &events) != TELEX_OK ||
                 state->kv->scan(state->host, 0, telex_text("m"), collect, &memories) != TELEX_OK))
        err = -EIO;
    err = err ? err : events.err ? events.err : memories.err;
    size_t at = 0;
    for (; !err && at < events.n; at++)
        err = replay_event(state, cluster, &events.items[at]);
    for (size_t i = 0; !err && i < memories.n; i++)
        err = replay_memory(cluster, &memories.items[i]);
    if (err)
        telex_say(state->host, TELEX_ERROR, 0,
                  "cluster-story: the assignment log cannot be replayed (%s, event %zu of %zu)",
                  strerror(-err), at, events.n);
    else
        telex_say(state->host, TELEX_INFO, 0, "cluster-story: %u live stories with %u records from the log",
                  cluster_live_stories(cluster), cluster_live_records(cluster));
    cluster_restore_clock(cluster, next_seq, clock_ms);
    free_rows(&events);
    free_rows(&memories);
    return err;
}
