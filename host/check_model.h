/* SPDX-License-Identifier: Apache-2.0 */
/* check_model.h - what the scenarios of a model backend share: an open model, contexts, rows, comparison. */
#ifndef HOST_CHECK_MODEL_H
#define HOST_CHECK_MODEL_H

#include "check_process.h"

/* What the command line adds. */
struct check_model_args {
    const char *reference;      /* another backend, as the model commands take it; NULL: none */
    bool has_path;              /* "path" is a required option: a missing file can be asked for */
    struct telex_bytes missing; /* the options with a path where no file is */
    json_t *findings;           /* so far, of the parent */
};

enum { CHECK_BATCH_MAX = 4096, CHECK_IDS = 96 };

/* An open model. */
struct check_model {
    struct check_run *run;
    struct telex_host host; /* what the plugin sees; impl is the check_model */
    char said[512];         /* through fail(), last */
    const struct telex_model *class;
    void *self;
    struct telex_model_info info;
    uint32_t max_batch;     /* as the backend says, within CHECK_BATCH_MAX */
    bool exact;             /* TELEX_MODEL_BATCH_INVARIANT: bits are compared */
    int32_t ids[CHECK_IDS]; /* tokens of a text */
    uint32_t n_ids;         /* all of ids */
    float *alone;           /* n_vocab logits behind ids, each token of it in a batch of its own */
};

/* Open it for a scenario, with the host that a backend sees. False with the finding reported. */
bool check_model_open(struct check_model *m, struct check_run *run);
void check_model_close(struct check_model *m);
/* The same without tokens and logits. */
bool check_model_open_bare(struct check_model *m, struct check_run *run, struct telex_bytes options);

/* A context, or NULL with the finding reported. */
void *check_context(struct check_model *m, uint32_t n_seq, uint32_t n_tokens);

/* Extend a sequence that holds `from` positions in batches of at most `step` (0: as many as fit), and ask for
 * the row of the last token. Statuses outside telex/abi.h are reported. */
telex_status check_feed(struct check_model *m, void *context, uint32_t seq, uint32_t from, const int32_t *ids,
                        uint32_t n, uint32_t step, struct telex_row *last);
telex_status check_decode(struct check_model *m, void *context, const struct telex_batch *batch);

struct telex_row check_logits_row(const struct check_model *m, float *logits);

/* Are these n logits those? To the bit when the backend says that it is batch invariant, else nearly. */
bool check_same(const struct check_model *m, const float *a, const float *b, size_t n);

/* Report a rule and go on. */
#define check_that(m, good, rule, ...)                                                                       \
    do {                                                                                                     \
        if (!(good))                                                                                         \
            check_report((m)->run->out, rule, __VA_ARGS__);                                                  \
    } while (0)

/* Scenarios of telex.model/1 (check_model_text.c, check_model_rows.c, check_model_life.c). */
void check_model_once(struct check_run *run);
void check_model_text(struct check_run *run);
void check_model_rows(struct check_run *run);
void check_model_batches(struct check_run *run);
void check_model_sequences(struct check_run *run);
void check_model_errors(struct check_run *run);
void check_model_cancel(struct check_run *run);
void check_model_again(struct check_run *run);
void check_model_two(struct check_run *run);
void check_model_reference(struct check_run *run);

/* Jobs, of a telex.generate/1 or through the driver (check_generate.c). */
void check_generate_jobs(struct check_run *run);
void check_generate_again(struct check_run *run);
void check_model_jobs(struct check_run *run);

/* All scenarios of a backend. `pairs` are its options; 0, or -EINVAL with a line on stderr. */
int check_backend(const struct plugin_desc *plugin, const char *const *pairs, struct telex_bytes options,
                  const char *reference, int life_ms, json_t *findings, json_t *scenarios);

/* The host that a backend sees, for a check of either class. */
void check_backend_host(struct telex_host *host, char *said, size_t said_size);

#endif
