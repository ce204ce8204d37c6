/* SPDX-License-Identifier: Apache-2.0 */
/* command.c - the commands of the control socket. They change the pipeline through its one writer, never
 * beside it. */
#include "command.h"

#include <string.h>

#include "log.h"
#include "reload.h"
#include "serve.h"

static void run_status(void *arg, struct control_request *request, const json_t *body) {
    (void)body;
    control_answer(request, serve_status(arg));
}

static void run_stop(void *arg, struct control_request *request, const json_t *body) {
    (void)body;
    log_say(TELEX_INFO, "host", "asked to stop through the control socket: draining");
    engine_stop(arg);
    control_answer(request, NULL);
}

static void run_quarantine(void *arg, struct control_request *request, const json_t *body) {
    const char *act = json_string_value(json_object_get(body, "act"));
    json_int_t edge = json_integer_value(json_object_get(body, "edge"));
    json_int_t seq = json_integer_value(json_object_get(body, "seq"));
    char why[256] = "";
    bool retry = act && strcmp(act, "retry") == 0;
    if (!retry && (!act || strcmp(act, "drop") != 0))
        control_refuse(request, "act is retry or drop");
    else if (edge <= 0 || edge > UINT32_MAX || seq <= 0)
        control_refuse(request, "edge and seq are numbers from `telex quarantine list`");
    else if (engine_quarantine(arg, retry, (uint32_t)edge, seq, why, sizeof(why)) < 0)
        control_refuse(request, "%s", why);
    else
        control_answer(request, NULL);
}

static void run_reload(void *arg, struct control_request *request, const json_t *body) {
    struct engine *engine = arg;
    const json_t *drain_ms = json_object_get(body, "drain_ms");
    bool given = drain_ms && !json_is_null(drain_ms);
    if (given && (!json_is_integer(drain_ms) || json_integer_value(drain_ms) < 0))
        control_refuse(request, "drain_ms is a number of milliseconds, 0 or more");
    else if (!engine->reload)
        control_refuse(request, "this pipeline keeps its config");
    else
        reload_ask(engine->reload, request, json_is_true(json_object_get(body, "wait")),
                   given ? json_integer_value(drain_ms) : -1);
}

static const struct control_command commands[] = {
    {"status", run_status}, {"stop", run_stop}, {"quarantine", run_quarantine}, {"reload", run_reload}, {0},
};

int command_start(struct control **out, struct engine *engine, char *why, size_t why_size) {
    char path[CONTROL_PATH_MAX];
    *out = NULL;
    if (engine->memory)
        return 0;
    control_path(engine->config->journal_path, path);
    return control_start(out, engine->loop, path, commands, engine, why, why_size);
}
