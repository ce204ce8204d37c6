/* SPDX-License-Identifier: Apache-2.0 */
/* tensors.h - the tensors of a file as a backend takes them: by name, of the shape that the file's numbers
 * say, and none left over. */
#ifndef TELEX_TENSORS_H
#define TELEX_TENSORS_H

#include <stdbool.h>
#include <stdint.h>

#include "fail.h"
#include "gguf.h"

enum { TENSOR_NAME_BYTES = 80 };

struct tensors {
    const struct gguf *file; /* borrowed */
    struct model_fail *fail; /* borrowed */
    bool *is_read;           /* owned: (n_tensors) */
};

/* 0, or -ENOMEM with fail filled in (tensors_finish in both cases). */
int tensors_init(struct tensors *tensors, const struct gguf *file, struct model_fail *fail);
void tensors_finish(struct tensors *tensors);

/* The tensor `name`, n_rows x n_cols, which counts as read from now on. 0; *out is NULL for an absent one
 * that is optional. -EINVAL when it is missing or has another shape. */
int tensors_read(struct tensors *tensors, const char *name, uint64_t n_cols, uint64_t n_rows, bool optional,
                 const struct gguf_tensor **out);

/* The rows of token_embd.weight, as many as the tokenizer's tokens or more and at most `most`. 0 or -EINVAL.
 */
int tensors_vocabulary(const struct tensors *tensors, uint32_t n_tokens, uint64_t most, uint32_t *n_vocab);

/* Refuse a file with a tensor that nothing has read: it would be missing from the sums, wrong text without a
 * word. 0 or -ENOTSUP. */
int tensors_refuse_unread(const struct tensors *tensors, const char *arch);

#endif
