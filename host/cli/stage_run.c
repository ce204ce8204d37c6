/* SPDX-License-Identifier: Apache-2.0 */
/* stage_run.c - a pipeline of three in memory: messages -> the stage -> lines, as far as it has inputs and
 * outputs. Every plugin call happens on threads of this process, so that a debugger sees all of it. */
#include "stage_run.h"

#include <stdio.h>
#include <unistd.h>

#include "../engine.h"
#include "cli.h"
#include "stage_io.h"

enum { STEP_MS = 600000, EDGES_MAX = STAGE_IO_INPUTS + 16, WAITING_MAX = 256 };

static uint32_t count_ports(const struct telex_stage *class, uint32_t direction) {
    uint32_t n = 0;
    for (const struct telex_port *const *port = class->ports; port && *port; port++)
        n += (*port)->direction == direction;
    return n;
}

static struct config_stage around(const char *name, const struct telex_stage *class) {
    static const uint8_t empty_map[] = {0x80};
    struct config_stage stage = {.name = (char *)name,
                                 .builtin = class,
                                 .options = {empty_map, 1},
                                 .attempts = 1,
                                 .retries = 3,
                                 .retry_ms = 500,
                                 .open_steps = 64,
                                 .timeout_ms = STEP_MS,
                                 .critical = true};
    return stage;
}

static void join(struct config *config, const char *name, size_t from, uint32_t from_port, size_t to,
                 uint32_t to_port) {
    if (config->n_edges < EDGES_MAX)
        config->edges[config->n_edges++] = (struct config_edge){.name = (char *)name,
                                                                .from = from,
                                                                .to = to,
                                                                .from_port = from_port,
                                                                .to_port = to_port,
                                                                .capacity = WAITING_MAX};
}

static void build(struct config *config, const struct telex_stage *class, const struct config_stage *given) {
    uint32_t n_in = count_ports(class, TELEX_IN), n_out = count_ports(class, TELEX_OUT);
    size_t middle = n_in ? 1 : 0;
    if (n_in)
        config->stages[config->n_stages++] = around("stdin", &stage_io_source);
    for (uint32_t port = 0; port < n_in && port < STAGE_IO_INPUTS; port++)
        join(config, "stdin.lines>stage", 0, port, 1, port);
    struct config_stage *stage = &config->stages[config->n_stages++];
    *stage = around(given->name, class);
    stage->options = given->options;
    stage->models = given->models;
    stage->model_roles = given->model_roles;
    stage->n_models = given->n_models;
    if (!n_out)
        return;
    config->stages[config->n_stages++] = around("stdout", &stage_io_sink);
    for (uint32_t port = 0; port < n_out; port++)
        join(config, "stage>stdout.lines", middle, port, middle + 1, 0);
}

static bool has_quarantined(struct engine *engine) {
    bool any = false;
    pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->n_stages; i++)
        any = any || engine->stages[i]->n_quarantined > 0;
    pthread_mutex_unlock(&engine->lock);
    return any;
}

int stage_run(const char *command, const struct telex_stage *class, const struct config_stage *given,
              struct config_model *models, size_t n_models) {
    struct config_stage stages[3];
    struct config_edge edges[EDGES_MAX];
    struct config config = {.path = "",
                            .dir = ".",
                            .pipeline = "stage",
                            .journal_path = "",
                            .durability = DURABILITY_MEMORY,
                            .drain_ms = STEP_MS,
                            .models = models,
                            .n_models = n_models,
                            .stages = stages,
                            .edges = edges};
    uv_loop_t loop;
    struct engine *engine = NULL;
    char why[512];
    build(&config, class, given);
    uv_loop_init(&loop);
    int err = engine_create(&engine, &config, &loop, why, sizeof(why));
    if (err == 0) {
        engine->once = true;
        err = engine_start(engine, why, sizeof(why));
    }
    if (err < 0)
        fprintf(stderr, "%s: %s\n", command, why);
    else
        uv_run(&loop, UV_RUN_DEFAULT);
    int code = err < 0 || engine_exit_code(engine) || stage_io_bad_lines() || has_quarantined(engine)
                   ? EXIT_FAILED
                   : EXIT_FINE;
    fflush(stdout);
    if (err == 0 && engine_hangs(engine))
        _exit(EXIT_FAILED);
    engine_destroy(engine);
    uv_loop_close(&loop);
    return code;
}
