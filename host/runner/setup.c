/* SPDX-License-Identifier: Apache-2.0 */
/* setup.c - the map of setup.h, written by the host and read by the runner. */
#include "setup.h"

#include <errno.h>
#include <stdlib.h>

#include "protocol.h"

static void build_int(struct telex_builder *b, const char *key, int64_t value) {
    telex_build_key(b, key);
    telex_build_int(b, value);
}

static void build_plugin(struct telex_builder *b, const struct plugin_desc *plugin,
                         const struct isolate_images *images) {
    telex_build_map_begin(b);
    build_int(b, "image", isolate_image_at(images, plugin->image));
    telex_build_key(b, "name");
    telex_build_text(b, plugin->name);
    telex_build_key(b, "path");
    telex_build_text(b, plugin->path);
    telex_build_key(b, "sha256");
    telex_build_text(b, plugin->sha256);
    telex_build_key(b, "class");
    telex_build_text(b, plugin->class_id);
    telex_build_map_end(b);
}

static void build_model(struct telex_builder *b, const struct isolate_model *model,
                        const struct isolate_images *images) {
    telex_build_map_begin(b);
    telex_build_key(b, "role");
    telex_build_text(b, model->role);
    telex_build_key(b, "name");
    telex_build_text(b, model->name);
    telex_build_key(b, "plugin");
    build_plugin(b, model->plugin, images);
    telex_build_key(b, "options");
    telex_build_bytes(b, model->options);
    telex_build_map_end(b);
}

int isolate_image_at(const struct isolate_images *images, int fd) {
    for (int i = 0; i < images->n; i++)
        if (images->fd[i] == fd)
            return FD_IMAGES + i;
    return 0;
}

int setup_write(const struct isolate_spec *spec, const struct isolate_images *images, uint32_t services,
                struct telex_builder *b) {
    telex_build_init(b);
    telex_build_map_begin(b);
    build_int(b, "services", services);
    build_int(b, "nice", spec->limits.nice);
    build_int(b, "memory_bytes", (int64_t)spec->limits.memory_bytes);
    build_int(b, "files", (int64_t)spec->limits.files);
    build_int(b, "processes", (int64_t)spec->limits.processes);
    telex_build_key(b, "plugin");
    build_plugin(b, spec->plugin, images);
    telex_build_key(b, "options");
    telex_build_bytes(b, spec->options);
    telex_build_key(b, "models");
    telex_build_array(b, (uint32_t)spec->n_models);
    for (size_t i = 0; i < spec->n_models; i++)
        build_model(b, &spec->models[i], images);
    telex_build_map_end(b);
    return b->broken ? -ENOMEM : 0;
}

static char *text_of(const msgpack_object *map, const char *key) {
    struct telex_bytes text = telex_map_text(map, key);
    return strndup((const char *)text.data, text.size);
}

static int read_plugin(const msgpack_object *map, struct plugin_desc *out) {
    static const char *const classes[] = {TELEX_CLASS_STAGE, TELEX_CLASS_GENERATE, TELEX_CLASS_MODEL};
    out->name = text_of(map, "name");
    out->path = text_of(map, "path");
    out->sha256 = text_of(map, "sha256");
    out->image = (int)telex_map_int(map, "image", 0);
    for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++)
        if (telex_bytes_equal(telex_map_text(map, "class"), classes[i]))
            out->class_id = classes[i];
    if (!out->name || !out->path || !out->sha256)
        return -ENOMEM;
    return out->class_id ? 0 : -EBADMSG;
}

static void finish_plugin(struct plugin_desc *plugin) {
    free(plugin->name);
    free(plugin->path);
    free(plugin->sha256);
}

static int read_models(struct setup *setup) {
    uint32_t n;
    const msgpack_object *list = telex_map_array(setup->map.root, "models", &n);
    if (n == 0)
        return 0;
    setup->models = calloc(n, sizeof(*setup->models));
    if (!setup->models)
        return -ENOMEM;
    setup->n_models = n;
    for (uint32_t i = 0; i < n; i++) {
        struct setup_model *model = &setup->models[i];
        model->role = text_of(&list[i], "role");
        model->name = text_of(&list[i], "name");
        model->options = telex_map_text(&list[i], "options");
        int err = read_plugin(telex_map_find(&list[i], "plugin"), &model->plugin);
        if (err < 0 || !model->role || !model->name)
            return err < 0 ? err : -ENOMEM;
    }
    return 0;
}

int setup_read(struct setup *setup, struct telex_bytes body) {
    memset(setup, 0, sizeof(*setup));
    setup->body = malloc(body.size + 1);
    if (!setup->body)
        return -ENOMEM;
    memcpy(setup->body, body.data, body.size);
    struct telex_bytes copy = {setup->body, body.size};
    int err = telex_map_open(&setup->map, copy);
    if (err < 0)
        return err;
    const msgpack_object *map = setup->map.root;
    setup->services = (uint32_t)telex_map_int(map, "services", 0);
    setup->limits.nice = (int32_t)telex_map_int(map, "nice", 0);
    setup->limits.memory_bytes = (uint64_t)telex_map_int(map, "memory_bytes", 0);
    setup->limits.files = (uint64_t)telex_map_int(map, "files", 0);
    setup->limits.processes = (uint64_t)telex_map_int(map, "processes", 0);
    setup->options = telex_map_text(map, "options");
    err = read_plugin(telex_map_find(map, "plugin"), &setup->plugin);
    return err < 0 ? err : read_models(setup);
}

void setup_finish(struct setup *setup) {
    for (uint32_t i = 0; i < setup->n_models; i++) {
        free(setup->models[i].role);
        free(setup->models[i].name);
        finish_plugin(&setup->models[i].plugin);
    }
    free(setup->models);
    finish_plugin(&setup->plugin);
    telex_map_close(&setup->map);
    free(setup->body);
    memset(setup, 0, sizeof(*setup));
}
