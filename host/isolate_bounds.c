/* SPDX-License-Identifier: Apache-2.0 */
/* isolate_bounds.c - from what a stage and its models declare to the runner's command line
 * (runner/sandbox.h).
 *
 * Which paths are theirs follows from the option table: the values of options of type path. */
#include "isolate_internal.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/message.h>

#include "plugin_file.h"
#include "runner/sandbox.h"

/* Add "KEYvalue". 0 or -ENOMEM. */
static int add(struct isolate_words *words, const char *key, const char *value) {
    if (words->n == ISOLATE_WORDS_MAX)
        return -E2BIG;
    char *word = NULL;
    if (asprintf(&word, "%s%s", key, value) < 0)
        return -ENOMEM;
    words->items[words->n++] = word;
    words->items[words->n] = NULL;
    return 0;
}

static int add_folder_of(struct isolate_words *words, const char *key, const char *path) {
    char copy[PATH_MAX];
    if (snprintf(copy, sizeof(copy), "%s", path) >= PATH_MAX)
        return -ENAMETOOLONG;
    return add(words, key, dirname(copy));
}

/* What an option of type path names may be read; and written, with the folder that it is in, because a file
 * is made under another name first. */
static int add_options(struct isolate_words *words, const struct plugin_desc *plugin,
                       struct telex_bytes options) {
    struct telex_map map = {0};
    size_t i;
    json_t *option;
    int err = telex_map_open(&map, options) < 0 ? -EINVAL : 0;
    json_array_foreach(json_object_get(plugin->about, "options"), i, option) {
        const char *name = json_string_value(json_object_get(option, "name"));
        const char *type = json_string_value(json_object_get(option, "type"));
        char path[PATH_MAX];
        if (err || !name || !type || strcmp(type, "path") != 0)
            continue;
        struct telex_bytes value = telex_map_text(map.root, name);
        if (value.size == 0 || value.size >= sizeof(path))
            continue;
        memcpy(path, value.data, value.size);
        path[value.size] = 0;
        err = add(words, SANDBOX_READ, path);
        err = err ? err : add(words, SANDBOX_WRITE, path);
        err = err ? err : add_folder_of(words, SANDBOX_WRITE, path);
    }
    telex_map_close(&map);
    return err;
}

static void join_needs(char *out, size_t size, const struct plugin_desc *plugin) {
    size_t i;
    json_t *need;
    json_array_foreach(json_object_get(plugin->about, "needs"), i, need) {
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%s", used ? "," : "", json_string_value(need));
    }
}

/* Where a library of the plugin's may lie: beside it, and where the loader was told to look. */
static int add_code(struct isolate_words *words, const struct plugin_desc *plugin) {
    char text[4096];
    const char *more = getenv("LD_LIBRARY_PATH");
    int err = add_folder_of(words, SANDBOX_READ, plugin->path);
    if (err || !more || snprintf(text, sizeof(text), "%s", more) >= (int)sizeof(text))
        return err;
    for (char *rest = text, *one; err == 0 && (one = strsep(&rest, ":"));)
        err = *one ? add(words, SANDBOX_READ, one) : 0;
    return err;
}

/* Things that are expensive to make, such as packed weights, are kept here. */
static int add_cache(struct isolate_words *words) {
    const char *given = getenv("TELEX_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char path[PATH_MAX];
    int n = given && *given ? snprintf(path, sizeof(path), "%s", given)
            : xdg && *xdg   ? snprintf(path, sizeof(path), "%s/telex", xdg)
                            : snprintf(path, sizeof(path), "%s/.cache/telex", home ? home : "");
    if (n < 0 || n >= PATH_MAX)
        return 0;
    int err = add(words, SANDBOX_READ, path);
    return err ? err : add(words, SANDBOX_WRITE, path);
}

int isolate_bounds(const struct isolate_spec *spec, struct isolate_words *words) {
    char needs[512] = "";
    const char *copies = plugin_copies_folder();
    words->n = 0;
    if (spec->sandbox_off)
        return add(words, SANDBOX_OFF, "");
    int err = add_options(words, spec->plugin, spec->options);
    err = err ? err : add_code(words, spec->plugin);
    join_needs(needs, sizeof(needs), spec->plugin);
    for (size_t i = 0; i < spec->n_models && err == 0; i++) {
        err = add_options(words, spec->models[i].plugin, spec->models[i].options);
        err = err ? err : add_code(words, spec->models[i].plugin);
        join_needs(needs, sizeof(needs), spec->models[i].plugin);
    }
    err = err ? err : add_cache(words);
    if (err == 0 && copies)
        err = add(words, SANDBOX_READ, copies);
    return err ? err : add(words, SANDBOX_NEEDS, needs);
}

void isolate_words_finish(struct isolate_words *words) {
    for (size_t i = 0; i < words->n; i++)
        free(words->items[i]);
    words->n = 0;
}
