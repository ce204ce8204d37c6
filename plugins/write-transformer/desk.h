/* SPDX-License-Identifier: Apache-2.0 */
/* desk.h - one instance of the stage: a story in, a dispatch out. */
#ifndef DESK_H
#define DESK_H

#include <telex-sdk/option.h>
#include <telex/stage.h>

#define DESK_NAME    "write-transformer"
#define DESK_VERSION "0.1.0"

struct desk_config {
    const char *model;
    struct telex_texts kinds, beats;
    const char *lang;
    int64_t rewrites, min_body, min_faq, min_sentences, max_records, job_timeout_ms, memory_bytes;
    double temperature;
};

extern const struct telex_option *const desk_options[]; /* plugin.c */

telex_status desk_create(const struct telex_host *host, struct telex_bytes options, void **self);
/* FATAL where no model is bound: said before a story is taken, so that none counts as bad for it. */
telex_status desk_start(void *self);
telex_status desk_process(void *self, telex_lease lease, struct telex_rec *in);
void desk_destroy(void *self);

#endif
