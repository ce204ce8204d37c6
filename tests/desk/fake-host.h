/* SPDX-License-Identifier: Apache-2.0 */
/* fake-host.h - a host in one process for one stage and one model: records in memory, outputs kept.
 *
 * It loads both plugins as the real host does, by their entry, and keeps only what the desk asks for. */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

#include <stdbool.h>

#include <telex/ext/models.h>
#include <telex/plugin.h>

#include <telex-sdk/json.h>

enum { FAKE_RECORDS_MAX = 64 };

struct telex_rec {
    char *schema, *id; /* owned */
    struct telex_builder body;
    uint64_t version;
};

struct fake_host {
    struct telex_host host; /* first: found again by its address */
    struct telex_rec records[FAKE_RECORDS_MAX];
    size_t n_records;
    const struct telex_stage *stage;
    const struct telex_generate *model;
    void *stage_self, *model_self;
    struct telex_models models;
    uint8_t *room; /* of the loan in hand, owned */
    char *output;  /* the committed message as a JSON line, owned; NULL: none */
    char why[1024];
    char log[1024]; /* the last line at INFO or above */
    bool cancelled, no_model;
    unsigned n_references;
};

/* Load and create both. `mode` of model-script; options of the stage as a JSON object. */
void fake_start(struct fake_host *fake, const char *mode, const char *options);
void fake_stop(struct fake_host *fake);

/* Store a message given as one JSON line. */
struct telex_rec *fake_store(struct fake_host *fake, const char *line);

/* Run one story through the stage: its status; `output` and `why` are what came of it. */
telex_status fake_process(struct fake_host *fake, const char *story);

#endif
