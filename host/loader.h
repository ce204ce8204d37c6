/* SPDX-License-Identifier: Apache-2.0 */
/* loader.h - finds, describes and loads plugins.
 *
 * A plugin is described before it is trusted: its manifest is read from the file without loading it, then a
 * child process loads it, asks for its classes and prints what it found. Only then does the host (or a
 * runner) load it, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE, and never unloads it.
 *
 * What is loaded is never the file itself, which may change under a running program. It is a private copy
 * named by its sha256; or, where a config says which plugins it trusts, the bytes that were checked in sealed
 * memory, so that no one can put others in their place in between. The copy is there for debuggers and
 * profilers, which find no symbols in memory. */
#ifndef HOST_LOADER_H
#define HOST_LOADER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include <telex/plugin.h>

/* What a plugin says of itself. Owned by the registry. */
struct plugin_desc {
    char *name, *path, *sha256; /* path: absolute, of the file found */
    char *version, *doc, *license;
    int image; /* owned: a sealed memfd with the bytes that were checked, which is what is loaded; 0: none, a
                * private copy is */
    const char *class_id; /* TELEX_CLASS_STAGE, _GENERATE or _MODEL */
    /* {"name","version","doc","class","role","flags":[],"max_outputs","probe","probe_why",
     *  "ports":[{"name","direction","schemas":[]}],
     *  "options":[{"name","type","required","doc","initial","unit","min","max","choices":[]}],"needs":[]}
     * Words, not numbers: role signal cluster write wire filter; flags stateful; direction in out; type text
     * int real bool duration size choice path list secret. Only stages have role, flags, max_outputs and
     * ports; only models have probe (0: cannot run here) and probe_why, the reason
     * where they give one. initial, unit, min, max and choices are there when
     * the plugin set them. The host has checked all of it: names are unique and every initial value is good.
     */
    json_t *about;
};

/* Finds plugins by name in a list of folders and remembers their descriptions for the life of the process.
 * One thread at a time. */
struct registry;

/* `dirs`: NULL-ended list of folders to search, in order; copied. */
struct registry *registry_create(const char *const *dirs);
void registry_destroy(struct registry *registry);

/* The folders a telex program searches: TELEX_PLUGIN_PATH (colons), then those beside the program when it
 * runs from a build tree, then the installed folder. Gives a NULL-ended list (free each, then the list). */
char **registry_default_dirs(void);

/* Only plugins that this allows are described and loaded from now on; what was described before is asked
 * about anew and what it gave stays valid. Takes trust; NULL: all are allowed. */
struct trust;
void registry_set_trust(struct registry *registry, struct trust *trust);

/* What was set last; borrowed, NULL: all are trusted. */
const struct trust *registry_trust(const struct registry *registry);

/* Whether registry_find has refused a plugin because it is not trusted. */
bool registry_distrusts(const struct registry *registry);

/* Describe a plugin by name ("cluster-story") or by path (has a slash). Borrowed from the registry. On
 * failure NULL and one clear line with the remedy in why. */
const struct plugin_desc *registry_find(struct registry *registry, const char *name_or_path, char *why,
                                        size_t why_size);

/* The weights plugin whose probe answers highest, or NULL. `passed` becomes "NAME: WHY; ..." of those that
 * cannot run here, "" when there are none. */
const struct plugin_desc *registry_best_model(struct registry *registry, char *passed, size_t passed_size);

/* Every plugin in the folders; a file that is no good plugin is passed to `bad` with the reason. */
void registry_each(struct registry *registry, void (*good)(void *arg, const struct plugin_desc *),
                   void (*bad)(void *arg, const char *path, const char *why), void *arg);

/* Load a described plugin into this process and give its one class table (struct telex_stage, telex_generate
 * or telex_model, by class_id). Reads name, path, sha256, class_id and image: a runner was only told these.
 * Without an image it refuses a file that changed since it was described. NULL with the reason in why.
 * [control] */
const void *plugin_load(const struct plugin_desc *desc, char *why, size_t why_size);

/* The child's side of the description: load path, print the `about` object as JSON on stdout. Exit code.
 *
 * registry_find starts this program again as `/proc/self/exe --describe-plugin PATH`: main() of every program
 * that has a registry, tests included, calls plugin_describe_main when it is started so. */
int plugin_describe_main(const char *path);
#define PLUGIN_DESCRIBE_FLAG "--describe-plugin"

/* The word nearest to `text` in a list, or NULL when none is near: for "did you mean". Borrowed from the
 * list. */
const char *nearest_word(const char *text, const char *const *words, size_t n_words);

#endif
