/* SPDX-License-Identifier: Apache-2.0 */
/* chat.h - conversations as the tokens that a model was trained on.
 *
 * Control tokens come from the template alone: every text of a message is tokenised without
 * TELEX_TOKENIZE_CONTROL, so a text that spells <|im_end|> stays a text. Messages are used as they are: no
 * system prompt is added. Templates: "chatml" (SmolLM2, Qwen), "llama3", "gemma" (a system message opens the
 * first user turn), "" (base weights: the texts with an empty line between them). */
#ifndef SDK_DRIVER_CHAT_H
#define SDK_DRIVER_CHAT_H

#include <telex/model.h>

/* A growing list of token ids. Zeroed at first; free `items`. */
struct token_list {
    int32_t *items;
    uint32_t n, capacity;
};

/* Make room for `more` tokens. 0 or -ENOMEM. */
int token_list_reserve(struct token_list *list, uint32_t more);

enum chat_kind { CHAT_NONE, CHAT_CHATML, CHAT_LLAMA3, CHAT_GEMMA };

/* A template with its control tokens found in the vocabulary. */
struct chat {
    enum chat_kind kind;
    int32_t bos;                  /* -1: a prompt begins without */
    int32_t start, end;           /* of a turn */
    int32_t head_start, head_end; /* llama3 */
};

/* OK; UNSUPPORTED (unknown template, or the vocabulary lacks its control tokens), with the reason in why.
 * [any] */
telex_status chat_open(const struct telex_model *model_class, void *model,
                       const struct telex_model_info *info, struct chat *out, char *why, size_t why_size);

/* Append the prompt for a job's messages. OK, INVALID (unknown role), REJECT (text that the model cannot
 * tokenise), RETRY (out of memory). [any] */
telex_status chat_tokens(const struct chat *chat, const struct telex_model *model_class, void *model,
                         const struct telex_message *const *messages, uint32_t n_messages,
                         struct token_list *out);

#endif
