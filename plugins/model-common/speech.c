/* SPDX-License-Identifier: Apache-2.0 */
/* speech.c - see speech.h. */
#include "speech.h"

#include <stdlib.h>
#include <string.h>

/* A template's control tokens. */
static const struct {
    const char *name, *turn, *end;
} chats[] = {
    {"chatml", "<|im_start|>", "<|im_end|>"},
    {"llama3", "<|start_header_id|>", "<|eot_id|>"},
    {"gemma", "<start_of_turn>", "<end_of_turn>"},
};

const char *speech_chat(const struct tokenizer *tok, const char *chat_template, int32_t *eot) {
    for (size_t i = 0; i < sizeof(chats) / sizeof(chats[0]); i++)
        if (tokenizer_find_control(tok, chats[i].turn) >= 0 && strstr(chat_template, chats[i].turn)) {
            *eot = tokenizer_find_control(tok, chats[i].end);
            if (*eot >= 0)
                return chats[i].name;
        }
    *eot = -1;
    return "";
}

int64_t speech_tokenize(const struct tokenizer *tok, struct telex_bytes text, uint32_t flags, int32_t *ids,
                        uint64_t capacity) {
    struct token_list list = {0};
    int64_t n;

    if (tokenizer_encode(tok, (const char *)text.data, text.size,
                         flags & TELEX_TOKENIZE_CONTROL ? TOKENIZER_CONTROL : 0, &list) != 0)
        return TELEX_LIMIT;
    n = (int64_t)list.n;
    if (list.n > 0 && capacity > 0)
        memcpy(ids, list.ids, (list.n < capacity ? list.n : capacity) * sizeof(*ids));
    free(list.ids);
    return n;
}

int64_t speech_detokenize(const struct tokenizer *tok, const int32_t *ids, uint64_t n, uint8_t *out,
                          uint64_t capacity) {
    uint64_t used = 0;

    for (uint64_t i = 0; i < n; i++) {
        const char *bytes;
        const size_t length = tokenizer_piece(tok, ids[i], &bytes);

        if (ids[i] < 0 || (uint32_t)ids[i] >= tokenizer_n_tokens(tok))
            return TELEX_INVALID;
        if (tokenizer_is_control(tok, ids[i]))
            continue;
        if (used < capacity)
            memcpy(out + used, bytes, length < capacity - used ? length : capacity - used);
        used += length;
    }
    return (int64_t)used;
}

void speech_info(const struct speech_model *m, const struct telex_model_info *own,
                 struct telex_model_info *out) {
    struct telex_model_info info = *own;
    const uint32_t size = out->size < sizeof(info) ? out->size : sizeof(info);

    info.n_vocab = m->n_vocab;
    info.n_embd = m->arch->n_embd;
    info.context_tokens = m->arch->n_context;
    info.bos = tokenizer_bos(m->tokenizer);
    info.eos = tokenizer_eos(m->tokenizer);
    info.add_bos = tokenizer_adds_bos(m->tokenizer);
    info.arch = m->arch->name;
    info.quant = m->quant;
    info.model = m->title;
    info.weights_sha256 = m->sha256;
    info.chat = speech_chat(m->tokenizer, m->chat_template, &info.eot);
    info.size = size;
    memcpy(out, &info, size);
}
