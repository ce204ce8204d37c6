/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors.h - read a safetensors file: a length, a JSON header, the tensors' bytes.
 *
 * The format: https://huggingface.co/docs/safetensors. The file is mapped read-only and is hostile: names,
 * types, shapes and offsets are checked against each other and against the file before anything is used. The
 * tensors must lie one behind the other, without a gap and without sharing a byte, to the file's end.
 * Everything returned is borrowed until safetensors_close. */
#ifndef TELEX_SAFETENSORS_H
#define TELEX_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "fail.h"

enum { SAFETENSORS_MAX_DIMS = 8 };

struct safetensor {
    char *name;
    char type[8]; /* as in the file, such as "F32" */
    uint32_t n_dims;
    uint64_t dims[SAFETENSORS_MAX_DIMS]; /* slowest first, as in the file */
    const uint8_t *data;
    size_t first, n_bytes; /* within the data */
};

struct safetensors {
    char *path;
    const uint8_t *map;
    size_t n_bytes;
    size_t n_tensors;
    struct safetensor *tensors; /* sorted by name */
};

/* Map and check `path`. 0 or negative errno, with file, what, where and remedy in `fail`; safetensors_close
 * in both cases, with *file zeroed before. */
int safetensors_open(struct safetensors *file, const char *path, struct model_fail *fail);
void safetensors_close(struct safetensors *file);

/* NULL when absent. */
const struct safetensor *safetensors_find(const struct safetensors *file, const char *name);

#endif
