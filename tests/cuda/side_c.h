/* SPDX-License-Identifier: Apache-2.0 */
/* side_c.h - session.h for C++, which has no stdatomic.h. */
#ifndef TELEX_TESTS_CUDA_SIDE_C_H
#define TELEX_TESTS_CUDA_SIDE_C_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct side_session;

/* All return 0 or a negative errno, and then fill `why`. */
int side_open(const char *path, uint32_t n_seq, uint32_t n_tokens, int cublas, struct side_session **out,
              char why[640]);
void side_close(struct side_session *s);
uint32_t side_n_vocab(const struct side_session *s);
/* n tokens of one sequence; `logits` (n_vocab) of the last one, unless NULL. */
int side_feed(struct side_session *s, uint32_t seq, const int32_t *ids, uint32_t at, uint32_t n,
              float *logits, char why[640]);
/* One token each of n sequences 0..n-1; logits (n, n_vocab). */
int side_step(struct side_session *s, const int32_t *ids, const int32_t *pos, uint32_t n, float *logits,
              char why[640]);
/* n tokens of sequence 0 from position 0; logits (n - from, n_vocab). */
int side_all(struct side_session *s, const int32_t *ids, uint32_t n, uint32_t from, float *logits,
             char why[640]);
/* session_try_cublas over the weights of `path`. */
int side_try_cublas(const char *path, char why[640]);
void side_trim(struct side_session *s, uint32_t seq, uint32_t from);
int side_copy(struct side_session *s, uint32_t dst, uint32_t src, uint32_t from, int64_t to);

/* How a token is drawn; the members of struct session_row. */
struct side_draw {
    const uint32_t *mask;
    const int32_t *seen;
    uint32_t n_seen, top_k;
    float temperature, top_p, min_p, repeat_penalty;
    uint64_t seed, counter;
};
int side_feed_draw(struct side_session *s, uint32_t seq, int32_t token, uint32_t at,
                   const struct side_draw *draw, int32_t *id, char why[640]);

#ifdef __cplusplus
}
#endif
#endif
