/* SPDX-License-Identifier: Apache-2.0 */
/* stage-stamp - passes records on with a stamp of its options and a count that it keeps in its state.
 *
 * The count is read in start and changes in the step that gives it out, so a stage that took another's place
 * goes on where that one ended, and two that worked at once would give a number twice. `act` has it
 * misbehave. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <telex-sdk/plugin.h>
#include <telex/ext/kv.h>

#ifndef STAMP_BUILD
#define STAMP_BUILD 1
#endif

enum { HELD_MAX = 64 };

struct settings {
    const char *stamp, *act;
    int64_t work_ms;
};

struct stamp {
    const struct telex_host *host; /* borrowed */
    const struct telex_kv *kv;     /* borrowed */
    struct settings settings;
    void *memory; /* owned, of the options */
    int64_t count;
    telex_lease held[HELD_MAX]; /* act hold: until stop */
    size_t n_held;
};

static const char *const acts[] = {"none",        "create-fail", "create-slow", "start-fail", "start-crash",
                                   "first-crash", "first-fatal", "hold",        NULL};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "stamp", .type = TELEX_TEXT, .offset = offsetof(struct settings, stamp),
                 .initial = "", .doc = "a text that every output repeats"),
    TELEX_OPTION(.name = "work", .type = TELEX_DURATION, .offset = offsetof(struct settings, work_ms),
                 .initial = "0ms", .max = 60e3, .unit = "ms", .doc = "time that a record takes"),
    TELEX_OPTION(.name = "act", .type = TELEX_CHOICE, .offset = offsetof(struct settings, act),
                 .initial = "none", .choices = acts, .doc = "what to do wrong"),
    NULL,
};

static bool does(const struct stamp *stamp, const char *act) {
    return strcmp(stamp->settings.act, act) == 0;
}

static void sleep_ms(int64_t ms) {
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

static void stamp_destroy(void *self) {
    struct stamp *stamp = self;
    free(stamp->memory);
    free(stamp);
}

static telex_status stamp_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct stamp *stamp = calloc(1, sizeof(*stamp));
    if (!stamp || telex_options_read(options, given, &stamp->settings, &stamp->memory) < 0) {
        free(stamp);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    stamp->host = host;
    stamp->kv = host->ext(host, TELEX_KV);
    if (does(stamp, "create-slow"))
        sleep_ms(1000);
    if (!stamp->kv || does(stamp, "create-fail")) {
        stamp_destroy(stamp);
        return telex_fail(host, 0, TELEX_FATAL, "told to fail in create");
    }
    *self = stamp;
    return TELEX_OK;
}

static telex_status stamp_start(void *self) {
    struct stamp *stamp = self;
    char text[24] = {0};
    if (does(stamp, "start-crash"))
        kill(getpid(), SIGKILL);
    if (does(stamp, "start-fail"))
        return telex_fail(stamp->host, 0, TELEX_FATAL, "told to fail in start");
    int64_t size = stamp->kv->get(stamp->host, 0, telex_text("count"), text, sizeof(text) - 1);
    stamp->count = size > 0 ? strtoll(text, NULL, 10) : 0;
    return TELEX_OK;
}

static telex_status give(struct stamp *stamp, telex_lease lease, const struct telex_view *view,
                         int64_t number) {
    struct telex_builder b;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "schema"), telex_build_text(&b, "telex.record/1");
    telex_build_key(&b, "id"), telex_build_bytes(&b, view->id);
    telex_build_key(&b, "version"), telex_build_int(&b, 1);
    telex_build_key(&b, "number"), telex_build_int(&b, number);
    telex_build_key(&b, "stamp"), telex_build_text(&b, stamp->settings.stamp);
    telex_build_key(&b, "count"), telex_build_int(&b, stamp->count + 1);
    telex_build_key(&b, "build"), telex_build_int(&b, STAMP_BUILD);
    telex_build_map_end(&b);
    struct telex_bytes body = telex_build_body(&b);
    struct telex_loan loan = {.size = sizeof(loan)};
    telex_status status = stamp->host->loan(stamp->host, lease, 0, body.size, &loan);
    if (status == TELEX_OK) {
        memcpy(loan.data, body.data, body.size);
        status = stamp->host->commit(stamp->host, &loan, body.size);
    }
    telex_build_finish(&b);
    return status;
}

static telex_status stamp_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct stamp *stamp = self;
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map;
    char text[24];
    if (does(stamp, "first-crash"))
        kill(getpid(), SIGKILL);
    if (does(stamp, "first-fatal"))
        return telex_fail(stamp->host, lease, TELEX_FATAL, "told to fail on its first record");
    if (stamp->settings.work_ms > 0)
        sleep_ms(stamp->settings.work_ms);
    telex_status status = stamp->host->view(stamp->host, in, &view);
    if (status != TELEX_OK || telex_map_open(&map, view.body) < 0)
        return telex_fail(stamp->host, lease, TELEX_REJECT, "no map");
    int64_t number = telex_map_int(map.root, "number", -1);
    telex_map_close(&map);
    status = give(stamp, lease, &view, number);
    snprintf(text, sizeof(text), "%" PRId64, stamp->count + 1);
    if (status == TELEX_OK)
        status = stamp->kv->put(stamp->host, lease, telex_text("count"), telex_text(text));
    if (status == TELEX_OK)
        stamp->count++;
    if (does(stamp, "hold") && status == TELEX_OK && stamp->n_held < HELD_MAX) {
        stamp->held[stamp->n_held++] = lease;
        return TELEX_PENDING;
    }
    return status;
}

/* What is held is completed at the last moment: too late, when another stage took over. */
static void stamp_stop(void *self) {
    struct stamp *stamp = self;
    for (size_t i = 0; i < stamp->n_held; i++)
        stamp->host->complete(stamp->host, stamp->held[i], TELEX_OK);
    stamp->n_held = 0;
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "records", "telex.record/1"),
    TELEX_PORT(TELEX_OUT, "records", "telex.record/1"),
    NULL,
};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_FILTER,
    .flags = TELEX_STAGE_STATEFUL,
    .max_outputs = 1,
    .name = "stage-stamp",
    .version = "0.1.0",
    .doc = "passes records on with a stamp and a count",
    .ports = ports,
    .options = options,
    .create = stamp_create,
    .start = stamp_start,
    .process = stamp_process,
    .stop = stamp_stop,
    .destroy = stamp_destroy,
};

TELEX_STAGE_PLUGIN(stage, "stage-stamp", "0.1.0", "Apache-2.0", "passes records on with a stamp and a count")
