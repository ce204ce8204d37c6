/* SPDX-License-Identifier: Apache-2.0 */
/* gguf.h - read a GGUF file, version 2 or 3, little-endian.
 *
 * The file is mapped read-only and is hostile: every offset, count, length and alignment is checked
 * against the file before it is used, and nothing is allocated by a claimed size that the file could
 * not hold. Everything returned is borrowed from the struct gguf and valid until gguf_close. */
#ifndef TELEX_GGUF_H
#define TELEX_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fail.h"

enum { GGUF_MAX_DIMS = 4 };

/* The value types of the metadata, numbered as in the file. */
enum gguf_value_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_N_VALUE_TYPES
};

struct gguf_text {
    const char *p; /* not terminated */
    size_t n;
};

struct gguf_value {
    struct gguf_text key;
    uint32_t type; /* of the value, or of an array's elements */
    bool is_array;
    uint64_t count;     /* 1, or the array's length */
    const uint8_t *at;  /* first element, not aligned */
    const uint8_t *end; /* behind the last */
};

struct gguf_tensor {
    struct gguf_text name;
    uint32_t type; /* enum quant_type; known to quant.h */
    uint32_t n_dims;
    uint64_t dims[GGUF_MAX_DIMS]; /* fastest first; unused ones are 1 */
    const uint8_t *data;          /* aligned to the file's alignment, n_bytes long */
    size_t n_bytes;
};

struct gguf {
    char *path;
    const uint8_t *map;
    size_t n_bytes;
    bool is_mapped; /* by gguf_open; else the bytes are the caller's */
    uint32_t version;
    uint32_t alignment;
    size_t n_values;
    size_t n_tensors;
    struct gguf_value *values;   /* sorted by key */
    struct gguf_tensor *tensors; /* sorted by name */
};

/* Map and check `path`. On failure `fail` names file, what, where and remedy. 0 or negative errno. */
int gguf_open(struct gguf *file, const char *path, struct model_fail *fail);

/* The same over bytes in memory, which stay borrowed until gguf_close. `path` is only for messages. */
int gguf_parse(struct gguf *file, const char *path, const void *bytes, size_t n_bytes,
               struct model_fail *fail);

/* The sha256 of its bytes, in hex. Reads all of them: some seconds for a large file. */
void gguf_sha256(const struct gguf *file, char hex[65]);

/* Unmap and free. Zeroed memory is fine. */
void gguf_close(struct gguf *file);

/* NULL when absent. */
const struct gguf_value *gguf_find(const struct gguf *file, const char *key);
const struct gguf_tensor *gguf_tensor(const struct gguf *file, const char *name);

/* Typed reads. A missing key gives `fallback`; a key of another type or out of range is an error.
 * `required` variants take absence as an error too. 0 or -EINVAL. */
int gguf_u32(const struct gguf *file, const char *key, uint32_t fallback, uint32_t *out,
             struct model_fail *fail);
int gguf_u32_required(const struct gguf *file, const char *key, uint32_t *out, struct model_fail *fail);
int gguf_f32(const struct gguf *file, const char *key, float fallback, float *out, struct model_fail *fail);
int gguf_bool(const struct gguf *file, const char *key, bool fallback, bool *out, struct model_fail *fail);
int gguf_text_required(const struct gguf *file, const char *key, struct gguf_text *out,
                       struct model_fail *fail);

/* An array of strings: step through it. `at` starts as value->at. The array was checked by gguf_open. */
struct gguf_text gguf_next_text(const uint8_t **at);

/* Element i of an integer array (i < count), widened. */
int64_t gguf_array_int(const struct gguf_value *value, uint64_t i);

bool gguf_text_is(struct gguf_text text, const char *literal);

/* A copy of the text under key, or of `fallback` where there is none. Gives it (free); NULL when out of
 * memory. */
char *gguf_text_or(const struct gguf *file, const char *key, const char *fallback);

#endif
