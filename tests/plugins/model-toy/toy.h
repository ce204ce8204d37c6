/* SPDX-License-Identifier: Apache-2.0 */
/* toy.h - a telex.model/1 without weights, for tests of the driver and of whole wires.
 *
 * Its vocabulary has control tokens, every byte, and some hundred longer pieces: JSON punctuation that runs
 * together, tokens that end or begin inside a character, words. Its logits are a hash of everything its
 * sequence holds, so a wrong copy, a lost token or a row of another job shows at once. Rows do not depend on
 * the batch. */
#ifndef TESTS_MODEL_TOY_H
#define TESTS_MODEL_TOY_H

#include <stdatomic.h>

#include <driver/options.h>
#include <telex/model.h>

enum {
    TOY_END_OF_TEXT,
    TOY_TURN_START,
    TOY_TURN_END,
    TOY_FIRST_BYTE,
    TOY_FIRST_PIECE = TOY_FIRST_BYTE + 256
};

struct toy_config {
    int64_t context, batch, delay_us, fail_after, seed;
    const char *chat, *path;
    struct driver_options driver;
};

struct toy {
    struct toy_config config;
    void *memory;
    uint32_t n_vocab;
    atomic_ullong batches, rows, heads, copies, copied;
};

extern const struct telex_option *const toy_options[];

/* As telex_model. toy_open reads its options from a map; toy_init takes them as they are. */
telex_status toy_open(const struct telex_host *host, struct telex_bytes options, void **self);
void toy_init(struct toy *toy, const struct toy_config *config);
int32_t toy_probe(void);
telex_status toy_info(void *self, struct telex_model_info *out);
int64_t toy_tokenize(void *self, struct telex_bytes text, uint32_t flags, int32_t *ids, uint64_t capacity);
int64_t toy_detokenize(void *self, const int32_t *ids, uint64_t n, uint8_t *out, uint64_t capacity);
telex_status toy_context_open(void *self, uint32_t n_seq, uint32_t n_tokens, void **context);
telex_status toy_decode(void *context, const struct telex_batch *batch);
telex_status toy_seq_copy(void *context, uint32_t dst, uint32_t src, int32_t from, int32_t to);
telex_status toy_seq_trim(void *context, uint32_t seq, int32_t from);
telex_status toy_embed(void *context, const int32_t *ids, uint32_t n, float *out);
void toy_cancel(void *context);
void toy_context_close(void *context);
void toy_close(void *self);

/* The logit of a token behind a sequence with this hash. */
float toy_logit(uint64_t hash, int32_t id);
/* The hash of a sequence with one more token. */
uint64_t toy_hash(uint64_t hash, int32_t id);

extern const struct telex_model toy_model; /* plugin.c */

#endif
