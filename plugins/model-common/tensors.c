/* SPDX-License-Identifier: Apache-2.0 */
/* tensors.c - finds tensors, checks their shapes, and remembers which were read. */
#include "tensors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

int tensors_init(struct tensors *tensors, const struct gguf *file, struct model_fail *fail) {
    *tensors = (struct tensors){file, fail, calloc(file->n_tensors + 1, sizeof(bool))};
    return tensors->is_read ? 0 : model_fail(fail, -ENOMEM, "%s: out of memory", file->path);
}

void tensors_finish(struct tensors *tensors) {
    free(tensors->is_read);
    tensors->is_read = NULL;
}

int tensors_read(struct tensors *tensors, const char *name, uint64_t n_cols, uint64_t n_rows, bool optional,
                 const struct gguf_tensor **out) {
    const struct gguf_tensor *t = gguf_tensor(tensors->file, name);

    *out = t;
    if (!t && optional)
        return 0;
    if (!t)
        return model_fail(tensors->fail, -EINVAL,
                          "%s: the tensor %s is missing; download the model again or convert it again",
                          tensors->file->path, name);
    if (t->dims[0] != n_cols || t->dims[1] != n_rows || t->dims[2] != 1 || t->dims[3] != 1)
        return model_fail(tensors->fail, -EINVAL,
                          "%s: the tensor %s is %" PRIu64 " x %" PRIu64
                          ", but the file's numbers make it %" PRIu64 " x %" PRIu64
                          "; convert the model again",
                          tensors->file->path, name, t->dims[0], t->dims[1], n_cols, n_rows);
    tensors->is_read[t - tensors->file->tensors] = true;
    return 0;
}

int tensors_vocabulary(const struct tensors *tensors, uint32_t n_tokens, uint64_t most, uint32_t *n_vocab) {
    const struct gguf_tensor *table = gguf_tensor(tensors->file, "token_embd.weight");

    if (!table || table->dims[1] > most)
        return model_fail(tensors->fail, -EINVAL,
                          "%s: the tensor token_embd.weight is missing; download the model again",
                          tensors->file->path);
    *n_vocab = (uint32_t)table->dims[1];
    if (*n_vocab < n_tokens)
        return model_fail(tensors->fail, -EINVAL,
                          "%s: %u tokens but only %u embeddings; convert the model again",
                          tensors->file->path, n_tokens, *n_vocab);
    return 0;
}

int tensors_refuse_unread(const struct tensors *tensors, const char *arch) {
    for (size_t i = 0; i < tensors->file->n_tensors; i++)
        if (!tensors->is_read[i])
            return model_fail(
                tensors->fail, -ENOTSUP,
                "%s: the tensor %.*s has no place in the architecture %s as this build knows it; "
                "use a model without it",
                tensors->file->path, (int)tensors->file->tensors[i].name.n, tensors->file->tensors[i].name.p,
                arch);
    return 0;
}
