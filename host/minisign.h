/* SPDX-License-Identifier: Apache-2.0 */
/* minisign.h - Ed25519 signatures of files in minisign's format, so that its own tool checks and makes them
 * too.
 *
 *     public key   untrusted comment: TEXT            secret key   untrusted comment: TEXT
 *                  base64("Ed" id[8] key[32])                      base64("Ed" kdf[2] "B2" salt[32]
 * limits[16] id[8] key[64] checksum[32]) signature    untrusted comment: TEXT base64(algorithm[2] id[8]
 * signature[64]) trusted comment: TEXT base64(signature of the 64 bytes above and TEXT)
 *
 * algorithm is "ED" (over the file's BLAKE2b-512) or the older "Ed" (over the file itself). checksum is
 * BLAKE2b-256 of "Ed" id key; minisign leaves it zero in a key without a password. kdf is "Sc" for a key with
 * a password, which this program does not ask for, else two zeroes. Format:
 * https://jedisct1.github.io/minisign/ */
#ifndef HOST_MINISIGN_H
#define HOST_MINISIGN_H

#include <stdint.h>

#include <telex/abi.h>

enum { MINISIGN_ID_BYTES = 17, MINISIGN_COMMENT_BYTES = 1025 };

struct minisign_public {
    uint8_t id[8], key[32];
};

struct minisign_secret {
    uint8_t id[8], key[64];
};

struct minisign_signature {
    char algorithm[2];
    uint8_t id[8], value[64], global[64];
    char comment[MINISIGN_COMMENT_BYTES]; /* the trusted one; believed only after minisign_verify */
};

/* How minisign prints a key's id: 16 hex digits. */
void minisign_id(char out[MINISIGN_ID_BYTES], const uint8_t id[8]);

/* A public key from its base64 text. 0, or -1 with a clause in why. */
int minisign_public_parse(struct minisign_public *out, const char *text, char *why, size_t why_size);

/* Keys and signatures from files of a few KiB. 0; -1 with a clause in why; a file that is not there is
 * -ENOENT. A secret key that others than its owner may open is refused. */
int minisign_public_read(struct minisign_public *out, const char *path, char *why, size_t why_size);
int minisign_secret_read(struct minisign_secret *out, const char *path, char *why, size_t why_size);
int minisign_signature_read(struct minisign_signature *out, const char *path, char *why, size_t why_size);

/* Whether the signature is that key's, over these bytes and its own comment. 0, or -1 with a clause in why.
 */
int minisign_verify(const struct minisign_signature *signature, const struct minisign_public *key,
                    struct telex_bytes bytes, char *why, size_t why_size);

/* A new pair. 0, or -1: no randomness. */
int minisign_generate(struct minisign_secret *secret, struct minisign_public *public_key);

/* The files' text. Each gives it (free; the secret's with minisign_forget before), NULL when out of memory.
 */
char *minisign_public_text(const struct minisign_public *key);
char *minisign_secret_text(const struct minisign_secret *key);
/* Signs. `comment` has no line break and fits MINISIGN_COMMENT_BYTES. */
char *minisign_sign(const struct minisign_secret *key, struct telex_bytes bytes, const char *comment);

/* Overwrite secrets in memory. */
void minisign_forget(void *secret, size_t size);

#endif
