/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_gguf.c - any bytes as a model file: read, planned, loaded and run, without a crash and without more
 * memory than a file of that size explains.
 *
 * What is accepted is used: every tensor's first and last byte are read, a text is tokenised, and weights
 * that load decode a few tokens with the plain kernels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "context.h"
#include "cpu.h"
#include "gguf.h"
#include "limit.h"
#include "model.h"

/* An entry of the header takes 13 bytes at least and 48 to 96 in memory; a token has its text, a slot in the
 * hash table and its list of merges. BASE_BYTES covers the byte-level alphabet and messages. */
enum { HEADER_SHARE = 64, BASE_BYTES = 1 << 20 };
/* Weights are copied once into packed matrices, whose rows are padded to whole tiles. */
enum { LOADED_SHARE = 128, LOADED_BASE_BYTES = 8 << 20 };
enum { MAX_BYTES = 1 << 20, N_TOKENS = 3, MAX_WIDTH = 4096, MAX_LAYERS = 64 };

static volatile unsigned long touched;

static void use_tokenizer(const struct gguf *file) {
    static const char text[] = "The open <|im_end|> sea, 12\xc3\xa9\xff";
    struct tokenizer *tok = NULL;
    struct token_list list = {0};
    struct model_fail fail = {""};
    if (tokenizer_load(file, &tok, &fail) == 0 &&
        tokenizer_encode(tok, text, sizeof(text) - 1, TOKENIZER_CONTROL, &list) == 0) {
        for (size_t i = 0; i < list.n; i++) {
            const char *bytes;
            const size_t n = tokenizer_piece(tok, list.ids[i], &bytes);
            touched += n ? (unsigned char)bytes[0] + (unsigned char)bytes[n - 1] : 0;
        }
    }
    free(list.ids);
    tokenizer_free(tok);
}

/* True when it is worth loading. */
static bool read_header(const uint8_t *bytes, size_t n) {
    struct gguf file;
    struct arch arch;
    struct model_fail fail = {""};
    limit_begin(BASE_BYTES + HEADER_SHARE * n);
    const int err = gguf_parse(&file, "fuzzed.gguf", bytes, n, &fail);
    bool good = false;
    if (!err) {
        for (size_t i = 0; i < file.n_tensors; i++)
            touched += file.tensors[i].data[0] + file.tensors[i].data[file.tensors[i].n_bytes - 1];
        good = arch_read(&file, &arch, &fail) == 0 && arch.n_embd <= MAX_WIDTH && arch.n_ff <= MAX_WIDTH &&
               arch.n_layers <= MAX_LAYERS;
        use_tokenizer(&file);
        gguf_close(&file);
    } else if (!strstr(fail.text, "fuzzed.gguf")) {
        fprintf(stderr, "an error without the file's name: %s\n", fail.text);
        abort();
    }
    limit_end();
    return good;
}

static void ignore_row(void *arg, uint32_t row, const float *logits) {
    (void)arg, (void)row;
    touched += logits[0] > 0;
}

static void decode(const struct model *model, struct pool *pool, const struct kernels *kernels) {
    const int32_t token[N_TOKENS] = {0, (int32_t)model->n_vocab - 1, 0}, pos[N_TOKENS] = {0, 1, 2};
    const uint32_t seq[N_TOKENS] = {0};
    const struct context_row rows[N_TOKENS] = {[N_TOKENS - 1] = {.ask = ASK_ALL}};
    const struct context_batch batch = {N_TOKENS, token, pos, seq, rows};
    struct context *context = NULL;
    struct model_fail fail = {""};
    if (context_open(model, pool, kernels, 1, 64, &context, &fail) == 0)
        context_decode(context, &batch, ignore_row, NULL);
    context_close(context);
}

static void load(const uint8_t *bytes, size_t n) {
    static struct pool *pool;
    static const struct kernels *kernels;
    struct model_fail fail = {""};
    struct model *model = NULL;
    char path[64];
    if (!pool && (pool_create(1, &pool, &fail) != 0 || cpu_choose("scalar", &kernels, &fail) != 0))
        abort();
    const int fd = memfd_create("fuzzed", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    limit_begin(LOADED_BASE_BYTES + LOADED_SHARE * n);
    if (model_open(path, 1, NULL, &model, &fail) == 0)
        decode(model, pool, kernels);
    model_close(model);
    limit_end();
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n <= MAX_BYTES && read_header(data, n))
        load(data, n);
    return 0;
}
