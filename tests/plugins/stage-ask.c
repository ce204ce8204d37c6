/* SPDX-License-Identifier: Apache-2.0 */
/* stage-ask - asks its model for each record's title and commits the answer, for tests of telex.models/1.
 *
 * The record goes on with "text" = the answer, "model" = what the backend calls itself. A title "elsewhere"
 * asks a role that the config does not bind. */
#include <stdlib.h>

#include <telex-sdk/plugin.h>
#include <telex-sdk/wait.h>

struct ask {
    const struct telex_host *host; /* borrowed */
    const struct telex_models *models;
};

static telex_status ask_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct ask *ask = calloc(1, sizeof(*ask));
    (void)given;
    if (!ask)
        return TELEX_FATAL;
    ask->host = host;
    ask->models = host->ext(host, TELEX_MODELS);
    if (!ask->models) {
        free(ask);
        return telex_fail(host, 0, TELEX_FATAL, "no model is bound to this stage");
    }
    *self = ask;
    return TELEX_OK;
}

static telex_status tell(const struct ask *ask, telex_lease lease, struct telex_bytes id,
                         struct telex_bytes text, const char *model) {
    struct telex_builder b;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "schema");
    telex_build_text(&b, "telex.record/1");
    telex_build_key(&b, "id");
    telex_build_bytes(&b, id);
    telex_build_key(&b, "text");
    telex_build_bytes(&b, text);
    telex_build_key(&b, "model");
    telex_build_text(&b, model);
    telex_build_map_end(&b);
    telex_status status = telex_build_commit(&b, ask->host, lease, 0);
    telex_build_finish(&b);
    return status;
}

static telex_status ask_for(const struct ask *ask, telex_lease lease, struct telex_bytes id,
                            struct telex_bytes title) {
    char prompt[1024];
    snprintf(prompt, sizeof(prompt), "Task: headline\nSentence: %.*s\n", (int)title.size,
             (const char *)title.data);
    struct telex_message message = {
        .size = sizeof(message), .role = TELEX_ROLE_USER, .text = telex_text(prompt)};
    const struct telex_message *const messages[] = {&message};
    struct telex_job job = {.size = sizeof(job), .n_messages = 1, .max_tokens = 64, .messages = messages};
    struct telex_backend_info info = {.size = sizeof(info)};
    struct telex_answer answer;
    const char *role = telex_bytes_equal(title, "elsewhere") ? "elsewhere" : "";
    telex_status status = ask->models->info(ask->host, role, &info);
    if (status != TELEX_OK)
        return telex_fail(ask->host, lease, TELEX_REJECT, "no model '%s' (%d)", role, status);
    status = telex_generate_wait(ask->host, ask->models, lease, role, &job, &answer);
    telex_say(ask->host, TELEX_INFO, lease, "the model answered with status %d", status);
    if (status == TELEX_OK)
        status = tell(ask, lease, id, answer.result.text, info.backend);
    telex_answer_finish(&answer);
    return status;
}

static telex_status ask_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct ask *ask = self;
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map;
    if (ask->host->view(ask->host, in, &view) != TELEX_OK || telex_map_open(&map, view.body) < 0)
        return TELEX_REJECT;
    telex_status status = ask_for(ask, lease, view.id, telex_map_text(map.root, "title"));
    telex_map_close(&map);
    return status;
}

static void ask_destroy(void *self) {
    free(self);
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "in", "*"),
    TELEX_PORT(TELEX_OUT, "out", "telex.record/1"),
    NULL,
};

static const char *const needs[] = {"model", NULL};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_WRITE,
    .max_outputs = 1,
    .name = "stage-ask",
    .version = "0.1.0",
    .doc = "asks its model for each record's title",
    .ports = ports,
    .needs = needs,
    .create = ask_create,
    .process = ask_process,
    .destroy = ask_destroy,
};

TELEX_STAGE_PLUGIN(stage, "stage-ask", "0.1.0", "Apache-2.0", "asks its model for each record's title")
