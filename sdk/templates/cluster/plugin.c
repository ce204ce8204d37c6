/* SPDX-License-Identifier: Apache-2.0 */
/* @NAME@ - groups records whose titles begin with the same word, and gives the story each time it grows.
 *
 * The state of a story is the message that was given last, kept in kv under the story's id. It changes in the step
 * that commits the new message, so what is on the wire and what is remembered never differ. */
#include <ctype.h>
#include <stdlib.h>

#include <telex/ext/kv.h>
#include <telex-sdk/id.h>
#include <telex-sdk/plugin.h>

enum { RECORDS_MAX = 1000, STATE_MAX_BYTES = 64 << 10 };

struct cluster {
    const struct telex_host *host;  /* borrowed */
    const struct telex_kv *kv;      /* borrowed */
    int64_t least;                  /* records a story has before it is given */
    uint8_t state[STATE_MAX_BYTES]; /* the story in hand, as it was given last */
};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "least", .type = TELEX_INT, .offset = offsetof(struct cluster, least), .initial = "2",
                 .min = 1, .max = 100, .doc = "give a story once it has this many records"),
    NULL,
};

static telex_status cluster_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    void *memory;
    struct cluster *cluster = calloc(1, sizeof(*cluster));
    if (!cluster)
        return TELEX_FATAL;
    if (telex_options_read(options, given, cluster, &memory) < 0) {
        free(cluster);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    free(memory);
    cluster->host = host;
    cluster->kv = host->ext(host, TELEX_KV);
    *self = cluster;
    return TELEX_OK;
}

/* The first word of a title, in lower case; "" where there is none. */
static void first_word(struct telex_bytes title, char out[64]) {
    size_t n = 0;
    for (uint64_t i = 0; i < title.size && n < 63 && (n == 0 || !isspace(title.data[i])); i++)
        if (!isspace(title.data[i]))
            out[n++] = (char)tolower(title.data[i]);
    out[n] = 0;
}

/* The story with one record more. `before`: what was given last, or NULL. */
static void build_story(struct telex_builder *b, const char *id, const char *label, const msgpack_object *before,
                        struct telex_bytes record) {
    uint32_t n = 0;
    const msgpack_object *records = telex_map_array(before, "records", &n);
    telex_build_map_begin(b);
    telex_build_key(b, "schema"), telex_build_text(b, "telex.story/1");
    telex_build_key(b, "id"), telex_build_text(b, id);
    telex_build_key(b, "version"), telex_build_int(b, telex_map_int(before, "version", 0) + 1);
    telex_build_key(b, "label"), telex_build_text(b, label);
    telex_build_key(b, "state"), telex_build_text(b, "live");
    telex_build_key(b, "records");
    telex_build_array(b, n + 1);
    for (uint32_t i = 0; i < n; i++)
        telex_build_object(b, &records[i]);
    telex_build_bytes(b, record);
    telex_build_map_end(b);
}

static bool holds(const msgpack_object *story, struct telex_bytes record, uint32_t *n) {
    const msgpack_object *records = telex_map_array(story, "records", n);
    for (uint32_t i = 0; i < *n; i++) {
        struct telex_bytes known = telex_object_text(&records[i]);
        if (known.size == record.size && memcmp(known.data, record.data, record.size) == 0)
            return true;
    }
    return false;
}

/* Put a record into the story of its first word. */
static telex_status join(struct cluster *cluster, telex_lease lease, const msgpack_object *record) {
    char word[64], id[33];
    uint32_t n;
    struct telex_map before = {0};
    struct telex_builder b;
    struct telex_bytes record_id = telex_map_text(record, "id");
    first_word(telex_map_text(record, "title"), word);
    struct telex_bytes part = telex_text(word);
    telex_id(id, "story", &part, 1);
    int64_t size = cluster->kv->get(cluster->host, lease, telex_text(id), cluster->state, sizeof(cluster->state));
    if (size > (int64_t)sizeof(cluster->state))
        return TELEX_OK; /* a story of that size takes no more */
    if (size > 0 && telex_map_open(&before, (struct telex_bytes){cluster->state, (uint64_t)size}) < 0)
        return telex_fail(cluster->host, lease, TELEX_FATAL, "the state of story %s is damaged", id);
    telex_status status = TELEX_OK;
    if (!holds(before.root, record_id, &n) && n < RECORDS_MAX) {
        telex_build_init(&b);
        build_story(&b, id, word, before.root, record_id);
        status = cluster->kv->put(cluster->host, lease, telex_text(id), telex_build_body(&b));
        if (status == TELEX_OK && n + 1 >= (uint32_t)cluster->least)
            status = telex_build_commit(&b, cluster->host, lease, 0);
        telex_build_finish(&b);
    }
    telex_map_close(&before);
    return status;
}

static telex_status cluster_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct cluster *cluster = self;
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map;
    telex_status status = cluster->host->view(cluster->host, in, &view);
    if (status != TELEX_OK)
        return status;
    if (telex_map_open(&map, view.body) < 0)
        return telex_fail(cluster->host, lease, TELEX_REJECT, "body is no message");
    status = join(cluster, lease, map.root);
    telex_map_close(&map);
    return status;
}

static void cluster_destroy(void *self) {
    free(self);
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "records", "telex.record/1"),
    TELEX_PORT(TELEX_OUT, "stories", "telex.story/1"),
    NULL,
};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_CLUSTER,
    .flags = TELEX_STAGE_STATEFUL,
    .max_outputs = 1,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "groups records by the first word of their titles",
    .ports = ports,
    .options = options,
    .create = cluster_create,
    .process = cluster_process,
    .destroy = cluster_destroy,
};

TELEX_STAGE_PLUGIN(stage, "@NAME@", "0.1.0", "Apache-2.0", "groups records by the first word of their titles")
