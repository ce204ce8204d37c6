/* SPDX-License-Identifier: Apache-2.0 */
/* encode.c - text to ids: cut out the tokens that stand in the text by name, encode what lies between. */
#include <errno.h>
#include <stdlib.h>

#include "tokenizer-impl.h"

static int encode_plain(const struct tokenizer *tok, const uint8_t *p, const uint8_t *end, bool is_first,
                        struct scratch *s, struct token_list *out) {
    return tok->is_spm ? spm_encode(tok, p, end, is_first, s, out) : bpe_encode(tok, p, end, s, out);
}

static int encode_text(const struct tokenizer *tok, const uint8_t *p, const uint8_t *end, unsigned flags,
                       struct scratch *s, struct token_list *out) {
    const struct specials *specials = flags & TOKENIZER_CONTROL ? &tok->control : &tok->user;
    const uint8_t *plain = p;
    bool is_first = true;
    int err = 0;

    while (p < end && !err) {
        const int32_t id = specials_find(tok, specials, p, end);

        if (id < 0) {
            p++;
            continue;
        }
        if (plain < p)
            err = encode_plain(tok, plain, p, is_first, s, out);
        if (!err)
            err = list_reserve(out, 1);
        if (!err)
            out->ids[out->n++] = id;
        p += tok->starts[id + 1] - tok->starts[id];
        plain = p;
        is_first = true;
    }
    return err ? err : encode_plain(tok, plain, end, is_first, s, out);
}

int tokenizer_encode(const struct tokenizer *tok, const char *text, size_t n, unsigned flags,
                     struct token_list *out) {
    const uint8_t *p = (const uint8_t *)text;
    struct scratch scratch = {0};
    size_t before = out->n;
    int err;

    if (n > INT32_MAX / 4)
        return -ENOMEM;
    err = encode_text(tok, p, p + n, flags, &scratch, out);
    if (err)
        out->n = before;
    free(scratch.symbols);
    free(scratch.heap);
    free(scratch.text);
    return err;
}
