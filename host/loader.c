/* SPDX-License-Identifier: Apache-2.0 */
/* loader.c - the registry of plugins, and the step from a description to a class table.
 *
 * A description is made once per file and kept, good or bad; what is loaded later has the sha256 that was
 * described. */
#include "loader.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "about.h"
#include "describe.h"
#include "load_limit.h"
#include "plugin_file.h"
#include "trust.h"

enum { WHY_BYTES = 1024, NAME_MAX_BYTES = 64, FILES_MAX = 1024 };

/* A file that has been looked at. */
struct seen {
    struct seen *next;
    char *path;     /* owned, absolute */
    unsigned round; /* of the trust that it was asked about under */
    bool good, distrusted;
    struct plugin_desc desc; /* when good */
    char why[WHY_BYTES];     /* when not */
};

struct registry {
    char **dirs; /* owned, NULL-ended */
    struct seen *seen;
    struct trust *trust; /* owned; NULL: all plugins are */
    unsigned round;      /* one higher for each new trust */
    bool distrusts;
};

struct registry *registry_create(const char *const *dirs) {
    size_t n = 0;
    while (dirs[n])
        n++;
    struct registry *registry = calloc(1, sizeof(*registry));
    if (!registry)
        return NULL;
    registry->dirs = calloc(n + 1, sizeof(*registry->dirs));
    for (size_t i = 0; registry->dirs && i < n; i++) {
        registry->dirs[i] = strdup(dirs[i]);
        if (!registry->dirs[i]) {
            registry_destroy(registry);
            return NULL;
        }
    }
    if (!registry->dirs) {
        free(registry);
        return NULL;
    }
    return registry;
}

static void forget(struct seen *seen) {
    free(seen->path);
    free(seen->desc.name);
    free(seen->desc.path);
    free(seen->desc.sha256);
    free(seen->desc.version);
    free(seen->desc.doc);
    free(seen->desc.license);
    json_decref(seen->desc.about);
    if (seen->desc.image > 0)
        close(seen->desc.image);
    free(seen);
}

void registry_destroy(struct registry *registry) {
    if (!registry)
        return;
    for (struct seen *next, *seen = registry->seen; seen; seen = next) {
        next = seen->next;
        forget(seen);
    }
    for (char **dir = registry->dirs; dir && *dir; dir++)
        free(*dir);
    free(registry->dirs);
    trust_destroy(registry->trust);
    free(registry);
}

void registry_set_trust(struct registry *registry, struct trust *trust) {
    registry->round += registry->trust || trust;
    trust_destroy(registry->trust);
    registry->trust = trust;
    registry->distrusts = false;
}

const struct trust *registry_trust(const struct registry *registry) {
    return registry->trust;
}

bool registry_distrusts(const struct registry *registry) {
    return registry->distrusts;
}

/* ---- where plugins are ---- */

struct dir_list {
    char **items;
    size_t count;
};

static void add_dir(struct dir_list *list, const char *path, size_t size) {
    char **items = realloc(list->items, (list->count + 2) * sizeof(*items));
    if (!items)
        return;
    list->items = items;
    items[list->count] = strndup(path, size);
    if (items[list->count])
        items[++list->count] = NULL;
}

/* Every folder below `root`: in a build tree each plugin has its own. */
static void add_children(struct dir_list *list, const char *root) {
    struct dirent **found;
    char path[PATH_MAX];
    int n = scandir(root, &found, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        int size = snprintf(path, sizeof(path), "%s/%s", root, found[i]->d_name);
        if (found[i]->d_name[0] != '.' && size > 0 && size < PATH_MAX &&
            strstr(found[i]->d_name, ".p") == NULL)
            add_dir(list, path, (size_t)size);
        free(found[i]);
    }
    if (n >= 0)
        free(found);
}

char **registry_default_dirs(void) {
    struct dir_list list = {calloc(1, sizeof(char *)), 0};
    char exe[PATH_MAX], path[PATH_MAX + 256];
    const char *given = getenv("TELEX_PLUGIN_PATH");
    while (given && *given) {
        size_t size = strcspn(given, ":");
        if (size > 0)
            add_dir(&list, given, size);
        given += size + (given[size] == ':');
    }
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[n > 0 ? n : 0] = 0;
    char *slash = strrchr(exe, '/');
    if (slash) {
        *slash = 0;
        snprintf(path, sizeof(path), "%s/../plugins", exe);
        slash = strrchr(exe, '/');
        if (slash && strcmp(slash, "/host") == 0)
            add_children(&list, path);
        snprintf(path, sizeof(path), "%s/%s", exe, TELEX_PLUGIN_DIR_FROM_BIN);
        if (slash && strcmp(slash, "/bin") == 0)
            add_dir(&list, path, strlen(path));
    }
    add_dir(&list, TELEX_PLUGIN_DIR, strlen(TELEX_PLUGIN_DIR));
    return list.items;
}

/* ---- describing ---- */

/* The file name without folder and ".so"; "" when it has another ending. */
static void plugin_name(const char *path, char *out, size_t out_size) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t size = strlen(base);
    *out = 0;
    if (size > 3 && size - 3 < out_size && strcmp(base + size - 3, ".so") == 0)
        snprintf(out, out_size, "%.*s", (int)(size - 3), base);
}

static char *copy_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return strdup(text ? text : "");
}

static const char *static_class(const json_t *about) {
    const char *id = json_string_value(json_object_get(about, "class"));
    return strcmp(id, TELEX_CLASS_STAGE) == 0      ? TELEX_CLASS_STAGE
           : strcmp(id, TELEX_CLASS_GENERATE) == 0 ? TELEX_CLASS_GENERATE
                                                   : TELEX_CLASS_MODEL;
}

/* Takes about. */
static int fill(struct plugin_desc *desc, const char *path, const struct plugin_file *file, json_t *about) {
    *desc = (struct plugin_desc){.name = copy_text(about, "name"),
                                 .path = strdup(path),
                                 .sha256 = strdup(file->sha256),
                                 .version = copy_text(about, "version"),
                                 .doc = copy_text(about, "doc"),
                                 .license = copy_text(about, "license"),
                                 .class_id = static_class(about),
                                 .about = about};
    return desc->name && desc->path && desc->sha256 && desc->version && desc->doc && desc->license ? 0 : -1;
}

#define IMAGE_PATH "/proc/self/fd/%d"

/* Where the bytes are loaded from: *image in sealed memory, or a private copy. Gives a path. */
static char *place(const struct registry *registry, const struct plugin_file *file, const char *name,
                   int *image, char *why, size_t why_size) {
    char *path = NULL;
    *image = 0;
    if (!registry->trust || registry->trust->require == TRUST_NONE)
        return plugin_file_copy(file, name, why, why_size);
    int fd = plugin_file_seal(file, name, why, why_size);
    if (fd < 0)
        return NULL;
    *image = fd;
    if (asprintf(&path, IMAGE_PATH, fd) < 0)
        return snprintf(why, why_size, "out of memory"), NULL;
    return path;
}

static int inspect(struct plugin_file *file, const char *name, char *why, size_t why_size) {
    if (plugin_file_inspect(file, why, why_size) < 0)
        return -1;
    const char *own = json_string_value(json_object_get(file->manifest, "name"));
    if (strcmp(own, name) == 0)
        return 0;
    snprintf(why, why_size, "calls itself '%s' in its manifest; name the file %s.so", own, own);
    return -1;
}

/* Nothing of the file runs before it is trusted, and all that runs is what was read here. */
static int describe(const struct registry *registry, struct seen *seen, char *why, size_t why_size) {
    struct plugin_file file;
    char name[NAME_MAX_BYTES + 1];
    int image = 0, err = -1;
    json_t *about = NULL;
    plugin_name(seen->path, name, sizeof(name));
    if (!*name)
        return snprintf(why, why_size, "is not called NAME.so; rename it"), -1;
    if (plugin_file_read(&file, seen->path, why, why_size) < 0)
        return -1;
    struct telex_bytes bytes = {file.data, file.size};
    seen->distrusted = trust_check(registry->trust, name, seen->path, bytes, file.sha256, why, why_size) < 0;
    if (!seen->distrusted && inspect(&file, name, why, why_size) == 0) {
        char *from = place(registry, &file, name, &image, why, why_size);
        about = from ? describe_in_child(from, image, why, why_size) : NULL;
        free(from);
    }
    if (about && about_check(about, file.manifest, why, why_size) < 0)
        json_decref(about);
    else if (about)
        err = fill(&seen->desc, seen->path, &file, about);
    if (err == 0)
        seen->desc.image = image;
    else if (image > 0)
        close(image);
    plugin_file_finish(&file);
    return err;
}

/* What is known of a file, described now if it was not. NULL when out of memory. */
static struct seen *look(struct registry *registry, const char *path) {
    char absolute[PATH_MAX], why[WHY_BYTES];
    if (!realpath(path, absolute))
        snprintf(absolute, sizeof(absolute), "%s", path);
    for (struct seen *seen = registry->seen; seen; seen = seen->next)
        if (seen->round == registry->round && strcmp(seen->path, absolute) == 0)
            return seen;
    struct seen *seen = calloc(1, sizeof(*seen));
    if (!seen || !(seen->path = strdup(absolute))) {
        free(seen);
        return NULL;
    }
    seen->round = registry->round;
    seen->good = describe(registry, seen, why, sizeof(why)) == 0;
    if (!seen->good)
        snprintf(seen->why, sizeof(seen->why), "%s: %.800s", path, why);
    seen->next = registry->seen;
    registry->seen = seen;
    return seen;
}

/* ---- finding ---- */

static int distance(const char *a, const char *b) {
    enum { MAX = 40 };
    int row[MAX + 1];
    size_t na = strlen(a), nb = strlen(b);
    if (na > MAX || nb > MAX)
        return MAX;
    for (size_t k = 0; k <= nb; k++)
        row[k] = (int)k;
    for (size_t i = 1; i <= na; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t k = 1; k <= nb; k++) {
            int change = diagonal + (a[i - 1] != b[k - 1]),
                other = (row[k] < row[k - 1] ? row[k] : row[k - 1]) + 1;
            diagonal = row[k];
            row[k] = change < other ? change : other;
        }
    }
    return row[nb];
}

const char *nearest_word(const char *text, const char *const *words, size_t n_words) {
    const char *best = NULL;
    int best_distance = (int)strlen(text) / 3 + 1;
    if (best_distance > 3)
        best_distance = 3;
    for (size_t i = 0; i < n_words; i++) {
        int d = distance(text, words[i]);
        if (d <= best_distance && d < (int)strlen(words[i]) && (!best || d < best_distance)) {
            best = words[i];
            best_distance = d;
        }
    }
    return best;
}

/* Every "*.so" in the folders, a name once: the first folder wins. Stops when visit returns non-zero. */
static void each_file(const struct registry *registry,
                      int (*visit)(void *arg, const char *path, const char *name), void *arg) {
    char *names[FILES_MAX];
    size_t n_names = 0;
    bool stop = false;
    for (char **dir = registry->dirs; *dir && !stop; dir++) {
        struct dirent **found;
        int n = scandir(*dir, &found, NULL, alphasort);
        for (int i = 0; i < n; i++) {
            char path[PATH_MAX], name[NAME_MAX_BYTES + 1];
            plugin_name(found[i]->d_name, name, sizeof(name));
            bool known = !*name || n_names == FILES_MAX;
            for (size_t k = 0; k < n_names && !known; k++)
                known = strcmp(names[k], name) == 0;
            if (!known && !stop && snprintf(path, sizeof(path), "%s/%s.so", *dir, name) < PATH_MAX) {
                names[n_names++] = strdup(name);
                stop = !names[n_names - 1] || visit(arg, path, name) != 0;
            }
            free(found[i]);
        }
        if (n >= 0)
            free(found);
    }
    while (n_names > 0)
        free(names[--n_names]);
}

struct search {
    const char *name;
    char path[PATH_MAX];
    const char *words[FILES_MAX]; /* owned */
    size_t n_words;
};

static int match(void *arg, const char *path, const char *name) {
    struct search *search = arg;
    if (strcmp(name, search->name) == 0)
        return snprintf(search->path, sizeof(search->path), "%s", path), 1;
    char *word = search->n_words < FILES_MAX ? strdup(name) : NULL;
    if (word)
        search->words[search->n_words++] = word;
    return 0;
}

static void tell_missing(const struct registry *registry, const struct search *search, char *why,
                         size_t why_size) {
    const char *near = nearest_word(search->name, search->words, search->n_words);
    size_t n_dirs = 0;
    while (registry->dirs[n_dirs])
        n_dirs++;
    int n = snprintf(why, why_size, "no plugin '%.64s' in %.200s", search->name,
                     n_dirs ? registry->dirs[0] : "no folder");
    if (n_dirs > 1)
        n += snprintf(why + n, why_size - (size_t)n, " and %zu more folders", n_dirs - 1);
    if (near)
        snprintf(why + n, why_size - (size_t)n, "; did you mean %s?", near);
    else
        snprintf(why + n, why_size - (size_t)n,
                 "; see `telex plugins`, or add its folder to TELEX_PLUGIN_PATH");
}

const struct plugin_desc *registry_find(struct registry *registry, const char *name_or_path, char *why,
                                        size_t why_size) {
    struct search *search = calloc(1, sizeof(*search));
    struct seen *seen = NULL;
    if (!search)
        return snprintf(why, why_size, "out of memory"), NULL;
    search->name = name_or_path;
    if (strchr(name_or_path, '/'))
        snprintf(search->path, sizeof(search->path), "%s", name_or_path);
    else
        each_file(registry, match, search);
    if (!*search->path)
        tell_missing(registry, search, why, why_size);
    else if (access(search->path, F_OK) < 0)
        snprintf(why, why_size, "%s: %s; check the path", name_or_path, strerror(errno));
    else if (!(seen = look(registry, search->path)))
        snprintf(why, why_size, "out of memory");
    else if (!seen->good)
        snprintf(why, why_size, "%s", seen->why);
    registry->distrusts |= seen && seen->distrusted;
    while (search->n_words > 0)
        free((char *)search->words[--search->n_words]);
    free(search);
    return seen && seen->good ? &seen->desc : NULL;
}

struct tour {
    struct registry *registry;
    void (*good)(void *arg, const struct plugin_desc *);
    void (*bad)(void *arg, const char *path, const char *why);
    void *arg;
};

static int show(void *arg, const char *path, const char *name) {
    const struct tour *tour = arg;
    (void)name;
    const struct seen *seen = look(tour->registry, path);
    if (seen && seen->good && tour->good)
        tour->good(tour->arg, &seen->desc);
    else if (seen && !seen->good && tour->bad)
        tour->bad(tour->arg, path, seen->why);
    return seen ? 0 : 1;
}

void registry_each(struct registry *registry, void (*good)(void *arg, const struct plugin_desc *),
                   void (*bad)(void *arg, const char *path, const char *why), void *arg) {
    struct tour tour = {registry, good, bad, arg};
    each_file(registry, show, &tour);
}

/* ---- the model for this machine ---- */

struct choosing {
    const struct plugin_desc *best;
    json_int_t probe;
    char *passed;
    size_t passed_size;
};

static void consider(void *arg, const struct plugin_desc *plugin) {
    struct choosing *c = arg;
    json_int_t probe = json_integer_value(json_object_get(plugin->about, "probe"));
    const char *why = json_string_value(json_object_get(plugin->about, "probe_why"));
    size_t used = strlen(c->passed);
    if (strcmp(plugin->class_id, TELEX_CLASS_MODEL) != 0)
        return;
    if (probe <= 0)
        snprintf(c->passed + used, c->passed_size - used, "%s%s: %s", used ? "; " : "", plugin->name,
                 why ? why : "cannot run here");
    if (probe > c->probe) {
        c->best = plugin;
        c->probe = probe;
    }
}

const struct plugin_desc *registry_best_model(struct registry *registry, char *passed, size_t passed_size) {
    struct choosing c = {.passed = passed, .passed_size = passed_size};
    passed[0] = 0;
    registry_each(registry, consider, NULL, &c);
    return c.best;
}

/* ---- loading ---- */

static const void *class_of(void *library, const char *class_id, char *why, size_t why_size) {
    char what[400];
    const char *found_id = NULL;
    const struct telex_plugin *(*entry)(uint32_t) = NULL;
    *(void **)&entry = dlsym(library, "telex_entry_v1");
    if (!entry)
        return snprintf(why, why_size, "has no telex_entry_v1"), NULL;
    const void *table = describe_class(entry(TELEX_ABI_MINOR), &found_id, what, sizeof(what));
    if (!table)
        return snprintf(why, why_size, "%s", what), NULL;
    if (strcmp(found_id, class_id) != 0)
        return snprintf(why, why_size, "provides %s here, %s was expected; describe it again", found_id,
                        class_id),
               NULL;
    return table;
}

/* Takes the library in for good: it is never closed. */
static void *open_library(const char *path) {
    return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

/* A library that was loaded from memory. The dynamic loader knows it by the number of a descriptor, so that
 * descriptor stays open, and the same bytes are taken in once. */
struct in_memory {
    struct in_memory *next;
    char sha256[65];
    void *library;
};

static struct in_memory *take_image(const struct plugin_desc *desc, char *why, size_t why_size) {
    char path[64];
    struct in_memory *new = calloc(1, sizeof(*new));
    int fd = new ? fcntl(desc->image, F_DUPFD_CLOEXEC, 3) : -1;
    if (fd < 0) {
        snprintf(why, why_size, "cannot be loaded: %s", strerror(errno));
        free(new);
        return NULL;
    }
    snprintf(path, sizeof(path), IMAGE_PATH, fd);
    snprintf(new->sha256, sizeof(new->sha256), "%s", desc->sha256);
    new->library = open_library(path);
    if (new->library)
        return new;
    snprintf(why, why_size, "cannot be loaded: %s", dlerror());
    close(fd);
    free(new);
    return NULL;
}

static void *open_image(const struct plugin_desc *desc, char *why, size_t why_size) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct in_memory *all;
    pthread_mutex_lock(&lock);
    struct in_memory *one = all;
    while (one && strcmp(one->sha256, desc->sha256) != 0)
        one = one->next;
    if (!one && (one = take_image(desc, why, why_size))) {
        one->next = all;
        all = one;
    }
    pthread_mutex_unlock(&lock);
    return one ? one->library : NULL;
}

/* The library of the file, by its private copy. */
static void *open_copy(const struct plugin_desc *desc, char *why, size_t why_size) {
    struct plugin_file file;
    void *library = NULL;
    if (plugin_file_read(&file, desc->path, why, why_size) < 0)
        return NULL;
    if (strcmp(file.sha256, desc->sha256) != 0)
        snprintf(why, why_size, "has changed since it was described; start again to use the new file");
    else {
        char *copy = plugin_file_copy(&file, desc->name, why, why_size);
        library = copy ? open_library(copy) : NULL;
        if (copy && !library)
            snprintf(why, why_size, "cannot be loaded: %s", dlerror());
        free(copy);
    }
    plugin_file_finish(&file);
    return library;
}

const void *plugin_load(const struct plugin_desc *desc, char *why, size_t why_size) {
    char what[600] = "out of memory";
    struct load_limit limit;
    void *library = NULL;
    load_limit_begin(&limit, desc->name);
    if (desc->image == 0)
        library = open_copy(desc, what, sizeof(what));
    else if (plugin_image_check(desc->image, desc->sha256, what, sizeof(what)) == 0)
        library = open_image(desc, what, sizeof(what));
    const void *table = library ? class_of(library, desc->class_id, what, sizeof(what)) : NULL;
    load_limit_end(&limit);
    if (!table)
        snprintf(why, why_size, "%s: %s", desc->path, what);
    return table;
}
