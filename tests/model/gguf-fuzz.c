/* SPDX-License-Identifier: Apache-2.0 */
/* gguf-fuzz - feed mutated model files to everything that reads them.
 *
 *   gguf-fuzz FILE SEED ROUNDS
 *
 * Each round copies the file into a buffer of exactly its length, damages its header or cuts it off, and
 * opens it. It must either be sound or give an error that names the file; a sanitizer build watches the
 * reads. The first byte and the last of every tensor that is accepted are read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch.h"
#include "gguf.h"
#include "quant.h"
#include "tokenizer.h"

static uint64_t state;

static uint64_t next_random(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void damage(uint8_t *bytes, size_t n_header) {
    static const uint64_t edges[] = {
        0, 1, 0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX, UINT64_MAX / 8, INT64_MAX, 1 << 20, 13};
    const size_t at = next_random() % n_header;
    const size_t width = (size_t)1 << next_random() % 4;
    uint64_t value = edges[next_random() % (sizeof(edges) / sizeof(edges[0]))];

    if (next_random() % 2)
        bytes[at] ^= (uint8_t)(1u << next_random() % 8);
    else if (at + width <= n_header)
        memcpy(bytes + at, &value, width);
}

static unsigned long touched;

static int try_to_open(const uint8_t *bytes, size_t n) {
    struct model_fail fail = {""};
    struct tokenizer *tok = NULL;
    struct gguf file;
    struct arch arch;
    int err = gguf_parse(&file, "fuzzed.gguf", bytes, n, &fail);

    if (err)
        goto out;
    for (size_t i = 0; i < file.n_tensors; i++)
        touched += file.tensors[i].data[0] + file.tensors[i].data[file.tensors[i].n_bytes - 1];
    err = arch_read(&file, &arch, &fail);
    if (!err)
        err = tokenizer_load(&file, &tok, &fail);
    if (!err) {
        struct token_list list = {0};

        err = tokenizer_encode(tok, "the open <|im_end|> sea, 12", 27, TOKENIZER_CONTROL, &list);
        free(list.ids);
    }
    tokenizer_free(tok);
    gguf_close(&file);
out:
    if (err && !strstr(fail.text, "fuzzed.gguf")) {
        fprintf(stderr, "gguf-fuzz: an error without the file's name: %s\n", fail.text);
        exit(1);
    }
    return err;
}

int main(int argc, char **argv) {
    static uint8_t whole[16 << 20];
    unsigned long rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 0, sound = 0;
    FILE *in = argc > 3 ? fopen(argv[1], "rb") : NULL;
    size_t n = in ? fread(whole, 1, sizeof(whole), in) : 0, n_header = n;
    struct gguf file;

    if (n == 0 || gguf_parse(&file, argv[1], whole, n, NULL) != 0) {
        fprintf(stderr, "usage: gguf-fuzz FILE SEED ROUNDS, with a sound file\n");
        return 2;
    }
    for (size_t i = 0; i < file.n_tensors; i++)
        if ((size_t)(file.tensors[i].data - whole) < n_header)
            n_header = (size_t)(file.tensors[i].data - whole);
    gguf_close(&file);
    state = strtoull(argv[2], NULL, 10) * 2 + 1;
    for (unsigned long round = 0; round < rounds; round++) {
        const size_t length = next_random() % 8 == 0 ? next_random() % n : n;
        uint8_t *bytes = malloc(length + 1);

        if (!bytes)
            return 1;
        memcpy(bytes, whole, length);
        for (uint64_t i = next_random() % 3 + 1; i > 0 && length >= n_header; i--)
            damage(bytes, n_header);
        bytes = realloc(bytes, length ? length : 1);
        sound += try_to_open(bytes, length) == 0;
        free(bytes);
    }
    fclose(in);
    printf("%lu rounds, %lu still sound (%lu)\n", rounds, sound, touched % 10);
    return 0;
}
