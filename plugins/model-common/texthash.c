/* SPDX-License-Identifier: Apache-2.0 */
/* texthash.c - see texthash.h. */
#include "texthash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_bytes(struct gguf_text key) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < key.n; i++)
        h = (h ^ (uint8_t)key.p[i]) * UINT64_C(0x100000001b3);
    return h ^ h >> 29;
}

int texthash_init(struct texthash *hash, size_t n) {
    size_t places = 16;

    while (places < 2 * n)
        places *= 2;
    hash->keys = calloc(places, sizeof(*hash->keys));
    hash->values = malloc(places * sizeof(*hash->values));
    hash->mask = places - 1;
    return hash->keys && hash->values ? 0 : -ENOMEM;
}

void texthash_finish(struct texthash *hash) {
    free(hash->keys);
    free(hash->values);
    memset(hash, 0, sizeof(*hash));
}

/* The place that holds the key, or the free one where it belongs. */
static size_t find_place(const struct texthash *hash, struct gguf_text key) {
    size_t i = hash_bytes(key) & hash->mask;

    while (hash->keys[i].p && (hash->keys[i].n != key.n || memcmp(hash->keys[i].p, key.p, key.n) != 0))
        i = (i + 1) & hash->mask;
    return i;
}

int texthash_put(struct texthash *hash, struct gguf_text key, uint32_t value) {
    size_t i = find_place(hash, key);

    if (hash->keys[i].p)
        return -EEXIST;
    hash->keys[i] = key;
    hash->values[i] = value;
    return 0;
}

int32_t texthash_get(const struct texthash *hash, struct gguf_text key) {
    size_t i = find_place(hash, key);

    return hash->keys[i].p ? (int32_t)hash->values[i] : -1;
}
