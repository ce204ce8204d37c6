/* SPDX-License-Identifier: Apache-2.0 */
/* minisign.c - reads, checks and writes minisign's files with libsodium. */
#include "minisign.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

enum { FILE_BYTES_MAX = 8192, BASE64 = sodium_base64_VARIANT_ORIGINAL };

static const char untrusted[] = "untrusted comment: ", trusted[] = "trusted comment: ";

/* As the files have them: bytes only, so there is no padding. */
struct public_bytes {
    char algorithm[2];
    uint8_t id[8], key[32];
};

struct secret_bytes {
    char algorithm[2], kdf[2], checksum_algorithm[2];
    uint8_t salt[32], limits[16];
    uint8_t id[8], key[64], checksum[32];
};

struct signature_bytes {
    char algorithm[2];
    uint8_t id[8], value[64];
};

static int refuse(char *why, size_t why_size, const char *what) {
    snprintf(why, why_size, "%s", what);
    return -1;
}

void minisign_id(char out[MINISIGN_ID_BYTES], const uint8_t id[8]) {
    for (int i = 0; i < 8; i++)
        snprintf(out + 2 * i, 3, "%02X", id[7 - i]);
}

void minisign_forget(void *secret, size_t size) {
    sodium_memzero(secret, size);
}

/* ---- reading ---- */

/* A small regular file as text with LF line ends. *mode is the file's. */
static int read_text(const char *path, char text[FILE_BYTES_MAX + 1], mode_t *mode, char *why,
                     size_t why_size) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int err = -errno;
        snprintf(why, why_size, "cannot be read: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return err == -ENOENT ? err : -1;
    }
    ssize_t n = S_ISREG(st.st_mode) && st.st_size <= FILE_BYTES_MAX ? read(fd, text, FILE_BYTES_MAX) : -1;
    close(fd);
    if (n < 0)
        return refuse(why, why_size, "is no small file");
    text[n] = 0;
    if (strlen(text) != (size_t)n)
        return refuse(why, why_size, "is no text");
    size_t used = 0;
    for (ssize_t i = 0; i <= n; i++)
        if (text[i] != '\r')
            text[used++] = text[i];
    *mode = st.st_mode;
    return 0;
}

/* Cut the next line off. NULL at the end. */
static char *next_line(char **rest) {
    char *line = *rest && **rest ? *rest : NULL, *end = line ? strchr(line, '\n') : NULL;
    *rest = end ? end + 1 : NULL;
    if (end)
        *end = 0;
    return line;
}

static bool decode(void *out, size_t size, const char *text) {
    size_t n = 0;
    return text && sodium_base642bin(out, size, text, strlen(text), NULL, &n, NULL, BASE64) == 0 && n == size;
}

/* The base64 line of a file that begins with a comment. */
static bool decode_second(void *out, size_t size, char **rest) {
    const char *comment = next_line(rest);
    return comment && strncmp(comment, untrusted, strlen(untrusted)) == 0 &&
           decode(out, size, next_line(rest));
}

static int take_public(struct minisign_public *out, const struct public_bytes *bytes, char *why,
                       size_t why_size) {
    if (memcmp(bytes->algorithm, "Ed", 2) != 0)
        return refuse(why, why_size, "is a key of another algorithm; telex knows Ed25519");
    memcpy(out->id, bytes->id, sizeof(out->id));
    memcpy(out->key, bytes->key, sizeof(out->key));
    return 0;
}

int minisign_public_parse(struct minisign_public *out, const char *text, char *why, size_t why_size) {
    struct public_bytes bytes;
    if (!decode(&bytes, sizeof(bytes), text))
        return refuse(why, why_size, "is no public key in base64");
    return take_public(out, &bytes, why, why_size);
}

int minisign_public_read(struct minisign_public *out, const char *path, char *why, size_t why_size) {
    char text[FILE_BYTES_MAX + 1], *rest = text;
    struct public_bytes bytes;
    mode_t mode;
    int err = read_text(path, text, &mode, why, why_size);
    if (err < 0)
        return err;
    if (!decode_second(&bytes, sizeof(bytes), &rest))
        return refuse(why, why_size, "is no public key; `telex plugins keygen` and minisign write them");
    return take_public(out, &bytes, why, why_size);
}

/* The order of the members is the order in the file. */
static void checksum(uint8_t out[32], const uint8_t id[8], const uint8_t key[64]) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, 32);
    crypto_generichash_update(&state, (const uint8_t *)"Ed", 2);
    crypto_generichash_update(&state, id, 8);
    crypto_generichash_update(&state, key, 64);
    crypto_generichash_final(&state, out, 32);
}

static int take_secret(struct minisign_secret *out, const struct secret_bytes *bytes, char *why,
                       size_t why_size) {
    uint8_t sum[32];
    if (memcmp(bytes->algorithm, "Ed", 2) != 0 || memcmp(bytes->checksum_algorithm, "B2", 2) != 0)
        return refuse(why, why_size, "is a key of another algorithm; telex knows Ed25519");
    if (bytes->kdf[0] || bytes->kdf[1])
        return refuse(why, why_size,
                      "has a password, which telex does not ask for; sign with `minisign -S`, or make a key "
                      "without one with `telex plugins keygen`");
    checksum(sum, bytes->id, bytes->key);
    if (!sodium_is_zero(bytes->checksum, sizeof(sum)) &&
        sodium_memcmp(sum, bytes->checksum, sizeof(sum)) != 0)
        return refuse(why, why_size, "is damaged: its checksum does not fit");
    memcpy(out->id, bytes->id, sizeof(out->id));
    memcpy(out->key, bytes->key, sizeof(out->key));
    return 0;
}

int minisign_secret_read(struct minisign_secret *out, const char *path, char *why, size_t why_size) {
    char text[FILE_BYTES_MAX + 1], *rest = text;
    struct secret_bytes bytes;
    mode_t mode = 0;
    int err = read_text(path, text, &mode, why, why_size);
    if (err == 0 && (mode & 077)) {
        snprintf(why, why_size,
                 "may be opened by others than its owner (mode %04o); chmod 600 it, and make a new "
                 "pair if others are here",
                 mode & 07777);
        err = -1;
    } else if (err == 0)
        err = decode_second(&bytes, sizeof(bytes), &rest)
                  ? take_secret(out, &bytes, why, why_size)
                  : refuse(why, why_size, "is no secret key; `telex plugins keygen` makes one");
    minisign_forget(text, sizeof(text));
    minisign_forget(&bytes, sizeof(bytes));
    return err;
}

int minisign_signature_read(struct minisign_signature *out, const char *path, char *why, size_t why_size) {
    char text[FILE_BYTES_MAX + 1], *rest = text;
    struct signature_bytes bytes;
    mode_t mode;
    int err = read_text(path, text, &mode, why, why_size);
    if (err < 0)
        return err;
    bool good = decode_second(&bytes, sizeof(bytes), &rest);
    const char *comment = good ? next_line(&rest) : NULL;
    good = comment && strncmp(comment, trusted, strlen(trusted)) == 0 &&
           strlen(comment) - strlen(trusted) < sizeof(out->comment) &&
           decode(out->global, sizeof(out->global), next_line(&rest));
    if (!good)
        return refuse(why, why_size, "is no signature; `telex plugins sign` and minisign write them");
    if (memcmp(bytes.algorithm, "ED", 2) != 0 && memcmp(bytes.algorithm, "Ed", 2) != 0)
        return refuse(why, why_size, "is a signature of another algorithm; telex knows Ed25519");
    memcpy(out->algorithm, bytes.algorithm, sizeof(out->algorithm));
    memcpy(out->id, bytes.id, sizeof(out->id));
    memcpy(out->value, bytes.value, sizeof(out->value));
    snprintf(out->comment, sizeof(out->comment), "%s", comment + strlen(trusted));
    return 0;
}

/* ---- signing and checking ---- */

/* What the second signature is over: the first one and the comment. Gives the size. */
static size_t global_message(uint8_t out[64 + MINISIGN_COMMENT_BYTES], const uint8_t value[64],
                             const char *comment) {
    size_t n = strlen(comment);
    memcpy(out, value, 64);
    memcpy(out + 64, comment, n);
    return 64 + n;
}

static void hash(uint8_t out[64], struct telex_bytes bytes) {
    crypto_generichash(out, 64, bytes.data, bytes.size, NULL, 0);
}

int minisign_verify(const struct minisign_signature *signature, const struct minisign_public *key,
                    struct telex_bytes bytes, char *why, size_t why_size) {
    uint8_t digest[64], global[64 + MINISIGN_COMMENT_BYTES];
    char theirs[MINISIGN_ID_BYTES], ours[MINISIGN_ID_BYTES];
    minisign_id(theirs, signature->id);
    minisign_id(ours, key->id);
    if (memcmp(signature->id, key->id, sizeof(key->id)) != 0) {
        snprintf(why, why_size, "is by key %s, not by %s", theirs, ours);
        return -1;
    }
    hash(digest, bytes);
    bool hashed = memcmp(signature->algorithm, "ED", 2) == 0;
    if (crypto_sign_verify_detached(signature->value, hashed ? digest : bytes.data,
                                    hashed ? sizeof(digest) : bytes.size, key->key) != 0) {
        snprintf(
            why, why_size,
            "does not fit the file: it is another file's, or one of the two was changed, or it is not by "
            "key %s",
            ours);
        return -1;
    }
    size_t n = global_message(global, signature->value, signature->comment);
    if (crypto_sign_verify_detached(signature->global, global, n, key->key) != 0)
        return refuse(why, why_size, "has a comment that was changed");
    return 0;
}

int minisign_generate(struct minisign_secret *secret, struct minisign_public *public_key) {
    if (sodium_init() < 0)
        return -1;
    crypto_sign_keypair(public_key->key, secret->key);
    randombytes_buf(public_key->id, sizeof(public_key->id));
    memcpy(secret->id, public_key->id, sizeof(secret->id));
    return 0;
}

/* ---- writing ---- */

/* Two lines: a comment that names the key, and the bytes in base64. */
static char *two_lines(const char *what, const uint8_t id[8], const void *bytes, size_t size) {
    char name[MINISIGN_ID_BYTES], base64[512], *text = NULL;
    minisign_id(name, id);
    sodium_bin2base64(base64, sizeof(base64), bytes, size, BASE64);
    if (asprintf(&text, "%s%s %s\n%s\n", untrusted, what, name, base64) < 0)
        text = NULL;
    minisign_forget(base64, sizeof(base64));
    return text;
}

char *minisign_public_text(const struct minisign_public *key) {
    struct public_bytes bytes = {.algorithm = {'E', 'd'}};
    memcpy(bytes.id, key->id, sizeof(bytes.id));
    memcpy(bytes.key, key->key, sizeof(bytes.key));
    return two_lines("minisign public key", key->id, &bytes, sizeof(bytes));
}

char *minisign_secret_text(const struct minisign_secret *key) {
    struct secret_bytes bytes = {.algorithm = {'E', 'd'}, .checksum_algorithm = {'B', '2'}};
    memcpy(bytes.id, key->id, sizeof(bytes.id));
    memcpy(bytes.key, key->key, sizeof(bytes.key));
    checksum(bytes.checksum, key->id, key->key);
    char *text = two_lines("minisign secret key", key->id, &bytes, sizeof(bytes));
    minisign_forget(&bytes, sizeof(bytes));
    return text;
}

char *minisign_sign(const struct minisign_secret *key, struct telex_bytes bytes, const char *comment) {
    struct signature_bytes signature = {.algorithm = {'E', 'D'}};
    uint8_t digest[64], value[64], message[64 + MINISIGN_COMMENT_BYTES];
    char base64[128], *text = NULL;
    if (strlen(comment) >= MINISIGN_COMMENT_BYTES || strchr(comment, '\n'))
        return NULL;
    hash(digest, bytes);
    memcpy(signature.id, key->id, sizeof(signature.id));
    crypto_sign_detached(signature.value, NULL, digest, sizeof(digest), key->key);
    crypto_sign_detached(value, NULL, message, global_message(message, signature.value, comment), key->key);
    sodium_bin2base64(base64, sizeof(base64), value, sizeof(value), BASE64);
    char *first = two_lines("signature by key", key->id, &signature, sizeof(signature));
    if (!first || asprintf(&text, "%s%s%s\n%s\n", first, trusted, comment, base64) < 0)
        text = NULL;
    free(first);
    return text;
}
