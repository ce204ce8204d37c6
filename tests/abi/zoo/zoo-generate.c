/* SPDX-License-Identifier: Apache-2.0 */
/* zoo-generate - a backend of the upper level: answers every job with the same words. */
#include "zoo.h"

static const struct telex_host *the_host;

static telex_status open_it(const struct telex_host *host, struct telex_bytes options, void **self) {
    (void)options;
    the_host = host;
    *self = &the_host;
    return TELEX_OK;
}

static telex_status info(void *self, struct telex_backend_info *out) {
    (void)self;
    const struct telex_backend_info full = {.size = sizeof(full),
                                            .context_tokens = 4096,
                                            .model = "words of old",
                                            .weights_sha256 = "",
                                            .backend = "zoo-generate"};
    return TELEX_HAS(out, backend) ? zoo_answer(out, &full) : TELEX_INVALID;
}

static telex_status generate(void *self, const struct telex_job *job, telex_job_done done, void *arg,
                             uint64_t *id) {
    struct telex_result *result = zoo_at_the_edge(sizeof(*result));
    (void)self;
    if (!result || !TELEX_HAS(job, drafts) || job->n_messages == 0)
        return TELEX_INVALID;
    if (job->schema.size)
        return TELEX_UNSUPPORTED;
    *id = 1;
    result->size = sizeof(*result);
    result->status = TELEX_OK;
    result->finish = TELEX_FINISH_STOP;
    result->prompt_tokens = 3;
    result->output_tokens = 4;
    result->text = zoo_text("the words of old");
    done(arg, result);
    return TELEX_OK;
}

static void cancel(void *self, uint64_t id) {
    (void)self, (void)id;
}

static void close_it(void *self) {
    (void)self;
}

static const struct telex_generate backend = {.size = sizeof(backend),
                                              .name = "zoo-generate",
                                              .version = "1.0.0",
                                              .doc = "a plugin of old",
                                              .open = open_it,
                                              .info = info,
                                              .generate = generate,
                                              .cancel = cancel,
                                              .close = close_it};

ZOO_PLUGIN("zoo-generate", TELEX_CLASS_GENERATE, backend)
