/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.c - open a tokenizer, and what can be asked of one. Loading goes on in vocab.c, bpe.c and spm.c.
 */
#include "tokenizer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer-impl.h"

/* An id in the metadata: -1 when absent, an error when outside the vocabulary. */
static int load_id(const struct gguf *file, const struct tokenizer *tok, const char *key, int32_t *id,
                   struct model_fail *fail) {
    uint32_t n = UINT32_MAX;
    int err = gguf_u32(file, key, UINT32_MAX, &n, fail);

    if (!err && n != UINT32_MAX && n >= tok->n_tokens)
        err = model_fail(fail, -EINVAL,
                         "%s: %s is %u, outside the vocabulary of %u tokens; convert the model again",
                         file->path, key, n, tok->n_tokens);
    *id = n == UINT32_MAX ? -1 : (int32_t)n;
    return err;
}

static int load_ids(const struct gguf *file, struct tokenizer *tok, struct model_fail *fail) {
    const bool usually = tok->is_spm || pretoken_adds_bos(tok->pre);
    int err = load_id(file, tok, "tokenizer.ggml.bos_token_id", &tok->bos, fail);

    if (!err)
        err = load_id(file, tok, "tokenizer.ggml.eos_token_id", &tok->eos, fail);
    if (!err)
        err = load_id(file, tok, "tokenizer.ggml.unknown_token_id", &tok->unknown, fail);
    if (!err)
        err = gguf_bool(file, "tokenizer.ggml.add_bos_token", usually, &tok->adds_bos, fail);
    tok->adds_bos = tok->adds_bos && tok->bos >= 0;
    return err;
}

/* Which tokenizer it is, before any memory is taken. */
static int choose_kind(const struct gguf *file, struct tokenizer *tok, struct model_fail *fail) {
    struct gguf_text model, pre;
    int err = gguf_text_required(file, "tokenizer.ggml.model", &model, fail);

    if (err)
        return err;
    tok->is_spm = gguf_text_is(model, "llama");
    if (tok->is_spm)
        return 0;
    if (!gguf_text_is(model, "gpt2"))
        return model_fail(fail, -ENOTSUP,
                          "%s: the tokenizer model %.*s is not known; this build reads gpt2 (byte-level BPE) "
                          "and llama (SentencePiece)",
                          file->path, (int)model.n, model.p);
    err = gguf_text_required(file, "tokenizer.ggml.pre", &pre, fail);
    if (err)
        return err;
    tok->pre = pretoken_find(pre);
    if (!tok->pre)
        return model_fail(fail, -ENOTSUP, "%s: the pre-tokenizer %.*s is not known; this build knows %s",
                          file->path, (int)pre.n, pre.p, pretoken_list());
    return 0;
}

static int load_parts(const struct gguf *file, struct tokenizer *tok, struct model_fail *fail) {
    struct texthash names = {0};
    int err = choose_kind(file, tok, fail);

    if (!err)
        err = vocab_load(file, tok, &names, fail);
    if (!err)
        err = tok->is_spm ? spm_load(file, tok, fail) : bpe_load(file, tok, &names, fail);
    texthash_finish(&names);
    return err ? err : load_ids(file, tok, fail);
}

int tokenizer_load(const struct gguf *file, struct tokenizer **out, struct model_fail *fail) {
    struct tokenizer *tok = calloc(1, sizeof(*tok));
    int err;

    if (!tok)
        return model_fail(fail, -ENOMEM, "%s: out of memory for the tokenizer", file->path);
    err = load_parts(file, tok, fail);
    if (err) {
        tokenizer_free(tok);
        return err;
    }
    *out = tok;
    return 0;
}

void tokenizer_free(struct tokenizer *tok) {
    if (!tok)
        return;
    merges_finish(&tok->merges);
    free(tok->control.ids);
    free(tok->user.ids);
    free(tok->pieces.ids);
    free(tok->ranks);
    free(tok->bytes);
    free(tok->starts);
    free(tok->kinds);
    free(tok);
}

size_t tokenizer_piece(const struct tokenizer *tok, int32_t id, const char **bytes) {
    *bytes = "";
    if (id < 0 || (uint32_t)id >= tok->n_tokens || tok->kinds[id] == KIND_UNUSED)
        return 0;
    *bytes = (const char *)tok->bytes + tok->starts[id];
    return tok->starts[id + 1] - tok->starts[id];
}

bool tokenizer_is_control(const struct tokenizer *tok, int32_t id) {
    return id >= 0 && (uint32_t)id < tok->n_tokens && tok->kinds[id] == KIND_CONTROL;
}

int32_t tokenizer_find_control(const struct tokenizer *tok, const char *name) {
    const uint8_t *bytes = (const uint8_t *)name;
    const size_t n = strlen(name);
    const int32_t id = n > 0 ? specials_find(tok, &tok->control, bytes, bytes + n) : -1;

    return id >= 0 && tok->starts[id + 1] - tok->starts[id] == n ? id : -1;
}

uint32_t tokenizer_n_tokens(const struct tokenizer *tok) {
    return tok->n_tokens;
}

int32_t tokenizer_bos(const struct tokenizer *tok) {
    return tok->bos;
}

int32_t tokenizer_eos(const struct tokenizer *tok) {
    return tok->eos;
}

bool tokenizer_adds_bos(const struct tokenizer *tok) {
    return tok->adds_bos;
}
