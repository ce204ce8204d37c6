/* SPDX-License-Identifier: Apache-2.0 */
/* config_trust.c - `plugins` of a config: which plugins may run.
 *
 * It is read before any plugin is looked at. Without it all plugins are trusted. */
#include "config_build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "option_value.h"
#include "trust.h"

enum { KEYS_MAX = 64 };

/* One of `keys`: a public key as text, or the file of one. */
static void read_key(struct build *b, struct trust *trust, const struct node *item, const char *path) {
    struct minisign_public key;
    char why[300], unused[100];
    if (item->kind != NODE_TEXT || !*item->text) {
        tell(b->errors, item->mark, path, "is no text; give a public key or the file that holds one");
        return;
    }
    if (minisign_public_parse(&key, item->text, unused, sizeof(unused)) < 0) {
        char *file = absolute_path(b->config->dir, item->text);
        int err = minisign_public_read(&key, file, why, sizeof(why));
        if (err < 0)
            tell(b->errors, item->mark, path, "%.200s %s; give a public key or the file that holds one", file,
                 why);
        free(file);
        if (err < 0)
            return;
    }
    trust->keys[trust->n_keys++] = key;
}

static void read_keys(struct build *b, struct trust *trust, const struct node *keys) {
    char path[64];
    if (!keys)
        return;
    if (keys->kind != NODE_LIST || keys->count == 0 || keys->count > KEYS_MAX) {
        tell(b->errors, keys->mark, "plugins.keys", "is no list of 1 to %d public keys; write [KEY, KEY]",
             KEYS_MAX);
        return;
    }
    trust->keys = calloc(keys->count, sizeof(*trust->keys));
    for (size_t i = 0; trust->keys && i < keys->count; i++) {
        snprintf(path, sizeof(path), "plugins.keys[%zu]", i);
        read_key(b, trust, keys->items[i], path);
    }
}

static void read_lock(struct build *b, struct trust *trust, const struct node *plugins) {
    char why[300];
    const char *given = build_text(b, plugins, "plugins", "lock", NULL);
    if (given || trust->require == TRUST_LOCK)
        trust->lock_path = absolute_path(b->config->dir, given ? given : "plugins.lock");
    if (!trust->lock_path || trust->require == TRUST_NONE || b->relock)
        return;
    if (lock_read(&trust->lock, trust->lock_path, why, sizeof(why)) < 0)
        tell(b->errors, node_key_mark(plugins, "lock"), "plugins.lock", "%.200s %s", trust->lock_path, why);
}

static struct trust *read_trust(struct build *b, const struct node *plugins) {
    static const char *const known[] = {"lock", "require", "keys"};
    static const char *const words[] = {"none", "lock", "signature"};
    struct trust *trust = calloc(1, sizeof(*trust));
    if (!trust)
        return NULL;
    const struct node *keys = node_get(plugins, "keys"), *lock = node_get(plugins, "lock");
    build_check_keys(b, plugins, "plugins", known, COUNT(known));
    trust->relock = b->relock;
    trust->require = build_word(b, plugins, "plugins", "require", words, 3,
                                keys   ? TRUST_SIGNATURE
                                : lock ? TRUST_LOCK
                                       : TRUST_NONE);
    read_keys(b, trust, keys);
    if (trust->require == TRUST_SIGNATURE && !keys)
        tell(b->errors, node_key_mark(plugins, "require"), "plugins.require",
             "is signature, but there are no keys; add `keys: [KEY]`, the public keys that you trust");
    read_lock(b, trust, plugins);
    return trust;
}

bool build_trust(struct build *b) {
    const struct node *plugins = node_get(b->root, "plugins");
    size_t before = b->errors->count;
    struct trust *trust = plugins ? read_trust(b, plugins) : NULL;
    if (b->errors->count == before) {
        registry_set_trust(b->registry, trust);
        return true;
    }
    trust_destroy(trust);
    return false;
}
