/* SPDX-License-Identifier: Apache-2.0 */
/* related.c - ties between dispatches, whichever of two comes first.
 *
 * A dispatch names another by its id. The store keeps l/NAMED/NAMING from when the naming one was accepted,
 * and the site holds all of them in memory, since every page and feed item asks; what a page says of the
 * other is looked up when the page is made, and a dispatch that is published makes the pages anew that name
 * it or are named by it. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { KEY_BYTES = 160, ID_MAX = 64 };

static const char *const relations[] = {"split_from", "merged_into", "superseded_by"};

/* `by` may never be published, when its step fails: then the index does not know it and nothing is said. */
static int remember(struct site *site, const char *named, const char *by) {
    json_t *naming = json_object_get(site->ties, named);
    if (!naming) {
        naming = json_object();
        if (json_object_set_new(site->ties, named, naming) != 0)
            return -ENOMEM;
    }
    return json_object_set_new(naming, by, json_true()) == 0 ? 0 : -ENOMEM;
}

static int remember_stored(void *arg, const char *key, json_t *value) {
    (void)key;
    return remember(arg, json_text(value, "named"), json_text(value, "by"));
}

int related_load(struct site *site) {
    site->ties = json_object();
    return site->ties ? site->store.scan(site->store.ctx, "l/", remember_stored, site) : -ENOMEM;
}

int related_note(struct site *site, const json_t *dispatch) {
    char key[KEY_BYTES];
    const char *id = json_text(dispatch, "id");
    for (size_t i = 0; i < sizeof(relations) / sizeof(relations[0]); i++) {
        const char *named = json_text(dispatch, relations[i]);
        if (!*named || strlen(named) > ID_MAX || strcmp(named, id) == 0)
            continue;
        snprintf(key, sizeof(key), "l/%s/%s", named, id);
        json_t *tie = json_pack("{s:s, s:s}", "named", named, "by", id);
        int err = tie ? site->store.put(site->store.ctx, key, tie) : -ENOMEM;
        json_decref(tie);
        if (!err)
            err = remember(site, named, id);
        if (err)
            return err;
    }
    return 0;
}

const struct entry *related_origin(const struct site *site, const struct entry *entry) {
    bool back = strcmp(entry->split_from, entry->target_id) == 0; /* it merged again: that says enough */
    return *entry->split_from && !back && strcmp(entry->split_from, entry->id) != 0
               ? index_find(site, entry->split_from)
               : NULL;
}

/* Published dispatches that name `entry`, or did in an earlier version, in the order of publication. */
static size_t find_naming(const struct site *site, const struct entry *entry,
                          const struct entry *found[RELATED_MAX]) {
    size_t n = 0;
    const char *by;
    json_t *mark;
    json_object_foreach(json_object_get(site->ties, entry->id), by, mark) {
        const struct entry *naming = index_find(site, by);
        if (!naming || (n == RELATED_MAX && found[n - 1]->first_seq < naming->first_seq))
            continue;
        size_t at = n < RELATED_MAX ? n++ : n - 1;
        for (; at > 0 && found[at - 1]->first_seq > naming->first_seq; at--)
            found[at] = found[at - 1];
        found[at] = naming;
    }
    return n;
}

size_t related_parts(const struct site *site, const struct entry *entry,
                     const struct entry *parts[RELATED_MAX]) {
    size_t n = find_naming(site, entry, parts), kept = 0;
    for (size_t i = 0; i < n; i++)
        if (entry_is_listed(parts[i]) && strcmp(parts[i]->split_from, entry->id) == 0)
            parts[kept++] = parts[i];
    return kept;
}

size_t related_pages(const struct site *site, const struct entry *entry,
                     const struct entry *pages[RELATED_MAX + 1]) {
    /* What names it only waits for its first version. */
    size_t n = entry->seq == entry->first_seq ? find_naming(site, entry, pages) : 0;
    const struct entry *origin = index_find(site, entry->split_from);
    if (origin && strcmp(origin->id, entry->id) != 0)
        pages[n++] = origin;
    return n;
}
