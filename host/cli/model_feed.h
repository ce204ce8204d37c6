/* SPDX-License-Identifier: Apache-2.0 */
/* model_feed.h - tokens into a context of an open model, for commands that measure or compare. */
#ifndef HOST_CLI_MODEL_FEED_H
#define HOST_CLI_MODEL_FEED_H

#include "../models.h"

/* One context with room for its own rows. */
struct feed {
    const struct telex_model *model_class; /* borrowed */
    void *model;                           /* borrowed */
    struct telex_model_info info;
    void *context; /* owned */
    int32_t *pos;  /* owned, [max_batch] like the two below */
    uint32_t *seq;
    struct telex_row **rows;
};

/* Open a context over the weights of `models`. 0, or EXIT_FAILED with the reason printed; a backend that only
 * answers jobs is refused by what it lacks, `who` and `why_needed` named. */
int feed_open(struct feed *feed, struct models *models, uint32_t n_seq, uint32_t n_tokens, const char *who,
              const char *why_needed);
/* Zeroed memory is fine. */
void feed_close(struct feed *feed);

/* Extend a sequence that holds `from` positions by n tokens, in batches as large as the model takes. rows: n
 * pointers, or NULL. The status of the first batch that was not OK. */
telex_status feed_tokens(struct feed *feed, uint32_t seq, uint32_t from, const int32_t *ids, uint32_t n,
                         struct telex_row *const *rows);
/* The same with one row, of the last token. */
telex_status feed_prompt(struct feed *feed, uint32_t seq, uint32_t from, const int32_t *ids, uint32_t n,
                         struct telex_row *last);
/* One token to each of sequences 0..n-1, all at position pos. */
telex_status feed_step(struct feed *feed, uint32_t n, const int32_t *ids, uint32_t pos,
                       struct telex_row *const *rows);

/* Ids of a text, its bos in front where the model wants one. Gives them; NULL when refused or out of memory.
 */
int32_t *feed_tokenize(const struct feed *feed, struct telex_bytes text, uint32_t *n);

/* English of about 500 words, written for this purpose. */
extern const char feed_text[];

double feed_now_ms(void);
/* Memory of this process that is in RAM, in bytes. */
long long feed_resident_bytes(void);

#endif
