/* SPDX-License-Identifier: Apache-2.0 */
/* @NAME@ - adds the number of words to each record and drops records that are too short.
 *
 * A start for a plugin of your own: rename the file, the name in the tables and in meson.build, and write
 * your own process. It keeps nothing between two records, so the host may repeat any step. */
#include <ctype.h>
#include <stdlib.h>

#include <telex-sdk/plugin.h>

struct words {
    const struct telex_host *host; /* borrowed */
    int64_t least;
};

/* What a config may set. The host checks it, fills in defaults, and documents it in `telex plugins
 * @NAME@`. */
static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "least", .type = TELEX_INT, .offset = offsetof(struct words, least), .initial = "1",
                 .min = 0, .max = 1e6, .doc = "drop records with fewer words"),
    NULL,
};

static telex_status words_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    void *memory;
    struct words *words = calloc(1, sizeof(*words));
    if (!words)
        return TELEX_FATAL;
    if (telex_options_read(options, given, words, &memory) < 0) {
        free(words);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    free(memory); /* it holds the text options, of which there are none */
    words->host = host;
    *self = words;
    return TELEX_OK;
}

static int64_t count_words(struct telex_bytes text) {
    int64_t n = 0;
    for (uint64_t i = 0; i < text.size; i++)
        n += !isspace(text.data[i]) && (i == 0 || isspace(text.data[i - 1]));
    return n;
}

/* A copy of the record with one more key. Keys that we do not know are passed on as they are. */
static telex_status give(const struct words *words, telex_lease lease, const msgpack_object *record,
                         int64_t n_words) {
    struct telex_builder b;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    for (uint32_t i = 0; i < record->via.map.size; i++) {
        const msgpack_object_kv *kv = &record->via.map.ptr[i];
        char key[64];
        struct telex_bytes name = telex_object_text(&kv->key);
        if (telex_bytes_equal(name, "words") || name.size >= sizeof(key))
            continue;
        memcpy(key, name.data, name.size);
        key[name.size] = 0;
        telex_build_key(&b, key);
        telex_build_object(&b, &kv->val);
    }
    telex_build_key(&b, "words");
    telex_build_int(&b, n_words);
    telex_build_map_end(&b);
    telex_status status = telex_build_commit(&b, words->host, lease, 0);
    telex_build_finish(&b);
    return status;
}

static telex_status words_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct words *words = self;
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map;
    telex_status status = words->host->view(words->host, in, &view);
    if (status != TELEX_OK)
        return status;
    if (telex_map_open(&map, view.body) < 0)
        return telex_fail(words->host, lease, TELEX_REJECT, "body is no message");
    int64_t n_words = count_words(telex_map_text(map.root, "text"));
    if (n_words >= words->least)
        status = give(words, lease, map.root, n_words);
    telex_map_close(&map);
    return status; /* OK without an output: the record ends here */
}

static void words_destroy(void *self) {
    free(self);
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "in", "telex.record/1"),
    TELEX_PORT(TELEX_OUT, "out", "telex.record/1"),
    NULL,
};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_FILTER,
    .max_outputs = 1,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "adds the number of words to each record",
    .ports = ports,
    .options = options,
    .create = words_create,
    .process = words_process,
    .destroy = words_destroy,
};

TELEX_STAGE_PLUGIN(stage, "@NAME@", "0.1.0", "Apache-2.0", "adds the number of words to each record")
