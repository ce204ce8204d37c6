/* SPDX-License-Identifier: Apache-2.0 */
/* stage.c - one record a step: into the core, stories out, the log kept.
 *
 * The core's memory is ahead of what is committed only while a step is open, and the host opens one at a
 * time. A step that fails after the core was touched answers FATAL, so that the next instance is rebuilt from
 * the log. */
#include "stage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/plugin.h>
#include <telex/ext/metrics.h>

#include "settings.h"
#include "state.h"

struct stage {
    const struct telex_host *host; /* borrowed */
    struct cluster_options options;
    void *options_memory; /* owned: the text of options */
    struct cluster *cluster;
    struct state state;
    struct telex_builder builder;        /* reused for every message */
    const struct telex_metrics *metrics; /* borrowed; NULL: none */
    int32_t live_stories, live_records;  /* gauges */
};

static int build_story(struct telex_builder *b, const struct cluster_story *story) {
    telex_build_map_begin(b);
    telex_build_key(b, "schema");
    telex_build_text(b, "telex.story/1");
    telex_build_key(b, "id");
    telex_build_text(b, story->id);
    telex_build_key(b, "version");
    telex_build_int(b, (int64_t)story->version);
    telex_build_key(b, "records");
    telex_build_array(b, story->n_records);
    for (uint32_t i = 0; i < story->n_records; i++)
        telex_build_bytes(
            b, (struct telex_bytes){(const uint8_t *)story->records[i].data, story->records[i].len});
    telex_build_key(b, "outlets");
    telex_build_array(b, story->n_outlets);
    for (uint32_t i = 0; i < story->n_outlets; i++)
        telex_build_bytes(
            b, (struct telex_bytes){(const uint8_t *)story->outlets[i].data, story->outlets[i].len});
    telex_build_key(b, "first_ms");
    telex_build_int(b, story->first_ms);
    telex_build_key(b, "last_ms");
    telex_build_int(b, story->last_ms);
    telex_build_key(b, "breaking");
    telex_build_real(b, story->breaking);
    telex_build_key(b, "label");
    telex_build_bytes(b, (struct telex_bytes){(const uint8_t *)story->label.data, story->label.len});
    telex_build_key(b, "state");
    telex_build_text(b, story->state);
    if (story->merged_into[0]) {
        telex_build_key(b, "merged_into");
        telex_build_text(b, story->merged_into);
    }
    if (story->split_from[0]) {
        telex_build_key(b, "split_from");
        telex_build_text(b, story->split_from);
    }
    telex_build_key(b, "gate");
    telex_build_text(b, story->gate);
    telex_build_key(b, "news");
    telex_build_flag(b, story->news);
    telex_build_key(b, "reason");
    telex_build_text(b, story->reason);
    telex_build_key(b, "reports");
    telex_build_int(b, story->n_reports);
    telex_build_key(b, "copies");
    telex_build_int(b, (int64_t)story->n_copies);
    telex_build_key(b, "independent");
    telex_build_int(b, story->n_independent);
    telex_build_map_end(b);
    return b->broken ? -ENOMEM : 0;
}

/* ---- the core's sink ---- */

static int send_story(void *arg, const struct cluster_story *story) {
    struct stage *stage = arg;
    telex_build_init(&stage->builder);
    int err = build_story(&stage->builder, story);
    if (!err && telex_build_commit(&stage->builder, stage->host, stage->state.lease, 0) != TELEX_OK)
        err = -EIO;
    telex_build_finish(&stage->builder);
    return err;
}

static int keep_event(void *arg, const struct cluster_event *event) {
    return state_put_event(&((struct stage *)arg)->state, event);
}

static int drop_event(void *arg, uint64_t seq) {
    return state_drop_event(&((struct stage *)arg)->state, seq);
}

static int keep_memory(void *arg, const struct cluster_memory *memory) {
    return state_put_memory(&((struct stage *)arg)->state, memory);
}

static int drop_memory(void *arg, uint64_t story) {
    return state_drop_memory(&((struct stage *)arg)->state, story);
}

static void explain(void *arg, const char *line) {
    const struct stage *stage = arg;
    stage->host->log(stage->host, TELEX_DEBUG, stage->state.lease, telex_text(line));
}

/* ---- the stage's life ---- */

telex_status stage_create(const struct telex_host *host, struct telex_bytes options, void **self) {
    struct stage *stage = calloc(1, sizeof(*stage));
    if (!stage)
        return TELEX_FATAL;
    stage->host = host;
    settings_default(&stage->options);
    int err = telex_options_read(settings_table, options, &stage->options, &stage->options_memory);
    if (!err) {
        struct cluster_sink sink = {stage,
                                    send_story,
                                    keep_event,
                                    drop_event,
                                    keep_memory,
                                    drop_memory,
                                    stage->options.explain ? explain : NULL,
                                    stage->options.explain};
        err = cluster_create(&stage->options, &sink, &stage->cluster);
    }
    if (err) {
        stage_destroy(stage);
        return telex_fail(host, 0, TELEX_FATAL, "cluster-story: cannot begin: %s", strerror(-err));
    }
    stage->state.host = host;
    stage->state.kv = host->ext(host, TELEX_KV);
    stage->metrics = host->ext(host, TELEX_METRICS);
    if (stage->metrics) {
        stage->live_stories =
            stage->metrics->define(host, TELEX_GAUGE, "live_stories", "stories that take records");
        stage->live_records =
            stage->metrics->define(host, TELEX_GAUGE, "live_records", "records of live stories");
    }
    *self = stage;
    return TELEX_OK;
}

static void show_sizes(const struct stage *stage) {
    if (!stage->metrics)
        return;
    stage->metrics->set(stage->host, stage->live_stories, cluster_live_stories(stage->cluster));
    stage->metrics->set(stage->host, stage->live_records, cluster_live_records(stage->cluster));
}

telex_status stage_start(void *self) {
    struct stage *stage = self;
    int err = state_restore(&stage->state, stage->cluster);
    if (err)
        return telex_fail(stage->host, 0, TELEX_FATAL, "cluster-story: the state cannot be read: %s",
                          strerror(-err));
    show_sizes(stage);
    return TELEX_OK;
}

telex_status stage_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct stage *stage = self;
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map;
    struct cluster_record record;
    if (stage->host->view(stage->host, in, &view) != TELEX_OK || telex_map_open(&map, view.body) != 0)
        return telex_fail(stage->host, lease, TELEX_REJECT, "cluster-story: not a readable record");
    state_read_record(&map, &record);
    record.id = (struct text_slice){(const char *)view.id.data, view.id.size};
    record.version = view.version;
    stage->state.lease = lease;
    int err = cluster_add(stage->cluster, &record);
    if (!err)
        err = state_put_clock(&stage->state, cluster_next_seq(stage->cluster),
                              cluster_clock_ms(stage->cluster));
    stage->state.lease = 0;
    telex_map_close(&map);
    show_sizes(stage);
    if (err == -EINVAL)
        return telex_fail(stage->host, lease, TELEX_REJECT, "cluster-story: a record's id has 1 to 64 bytes");
    if (err)
        return telex_fail(stage->host, lease, TELEX_FATAL, "cluster-story: %s", strerror(-err));
    return TELEX_OK;
}

void stage_destroy(void *self) {
    struct stage *stage = self;
    if (!stage)
        return;
    cluster_destroy(stage->cluster);
    free(stage->options_memory);
    free(stage);
}
