/* SPDX-License-Identifier: Apache-2.0 */
/* id.c - ids from SHA-256, through libsodium. */
#include <telex-sdk/id.h>

#include <string.h>

#include <sodium.h>

static void add(crypto_hash_sha256_state *state, struct telex_bytes part) {
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(part.size >> (56 - 8 * i));
    crypto_hash_sha256_update(state, length, sizeof(length));
    if (part.size)
        crypto_hash_sha256_update(state, part.data, part.size);
}

void telex_id(char out[33], const char *kind, const struct telex_bytes *parts, uint32_t n_parts) {
    crypto_hash_sha256_state state;
    uint8_t digest[crypto_hash_sha256_BYTES];
    struct telex_bytes head = {(const uint8_t *)kind, strlen(kind)};
    crypto_hash_sha256_init(&state);
    add(&state, head);
    for (uint32_t i = 0; i < n_parts; i++)
        add(&state, parts[i]);
    crypto_hash_sha256_final(&state, digest);
    sodium_bin2hex(out, 33, digest, 16);
}

void telex_sha256_hex(char out[65], struct telex_bytes data) {
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, data.size ? data.data : (const uint8_t *)"", data.size);
    sodium_bin2hex(out, 65, digest, sizeof(digest));
}
