/* SPDX-License-Identifier: Apache-2.0 */
/* catalogue.c - finds and reads the list of models. */
#include "catalogue.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../config_build.h"
#include "cli.h"

char *catalogue_script(void) {
    return cli_data_file("scripts/model_fetch.py", "model_fetch.py");
}

/* The folder that holds models. Gives it. */
static char *models_folder(void) {
    const char *models = getenv("TELEX_MODELS"), *cache = getenv("TELEX_CACHE"),
               *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    char *path = NULL;
    int made = models && *models ? asprintf(&path, "%s", models)
               : cache && *cache ? asprintf(&path, "%s/models", cache)
               : xdg && *xdg     ? asprintf(&path, "%s/telex/models", xdg)
                                 : asprintf(&path, "%s/.cache/telex/models", home ? home : "");
    return made < 0 ? NULL : path;
}

static const char *text_of(const struct node *map, const char *key) {
    const struct node *value = node_get(map, key);
    return value && value->kind == NODE_TEXT ? value->text : "";
}

static int read_entries(struct catalogue *c, const struct node *models, const char *folder) {
    c->entries = calloc(models->count ? models->count : 1, sizeof(*c->entries));
    if (!c->entries)
        return -1;
    for (size_t i = 0; i < models->count; i++) {
        const struct node *map = models->items[i];
        struct catalogue_entry *e = &c->entries[c->n++];
        struct stat info;
        *e = (struct catalogue_entry){.name = models->keys[i],
                                      .about = text_of(map, "about"),
                                      .file = text_of(map, "file"),
                                      .sha256 = text_of(map, "sha256"),
                                      .licence = text_of(map, "licence"),
                                      .bytes = strtoll(text_of(map, "bytes"), NULL, 10)};
        if (asprintf(&e->path, "%s/%s", folder, e->file) < 0) {
            e->path = NULL;
            return -1;
        }
        e->present = stat(e->path, &info) == 0 && info.st_size == e->bytes;
    }
    return 0;
}

int catalogue_read(struct catalogue *out, FILE *errors) {
    memset(out, 0, sizeof(*out));
    const char *given = getenv("TELEX_CATALOGUE");
    char *path = given && *given ? strdup(given) : cli_data_file("configs/models.yaml", "models.yaml");
    char *folder = models_folder();
    struct config_errors list = {0};
    struct node *tree = path ? tree_read(path, &list) : NULL;
    const struct node *models = tree ? node_get(tree, "models") : NULL;
    int err = models && models->kind == NODE_MAP && folder ? read_entries(out, models, folder) : -1;
    out->tree = tree;
    if (!path)
        fprintf(errors, "telex: the list of models is not installed; set TELEX_CATALOGUE\n");
    for (size_t i = 0; i < list.count; i++)
        fprintf(errors, "%s:%d:%d: %s\n", list.items[i].file, list.items[i].line, list.items[i].column,
                list.items[i].text);
    if (path && err < 0)
        fprintf(errors, "telex: %s: no list of models\n", path);
    config_errors_finish(&list);
    free(path);
    free(folder);
    if (err < 0)
        catalogue_finish(out);
    return err;
}

void catalogue_finish(struct catalogue *c) {
    for (size_t i = 0; i < c->n; i++)
        free(c->entries[i].path);
    free(c->entries);
    node_destroy(c->tree);
    memset(c, 0, sizeof(*c));
}

const struct catalogue_entry *catalogue_find(const struct catalogue *c, const char *name) {
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->entries[i].name, name) == 0)
            return &c->entries[i];
    return NULL;
}
