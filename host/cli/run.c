/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - `telex run CONFIG`: a pipeline from start to end.
 *
 * SIGHUP reads the config again. SIGTERM and SIGINT drain and exit 0; a second one exits at once, which is as
 * safe as kill -9 is. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "../calling.h"
#include "../command.h"
#include "../engine.h"
#include "../log.h"
#include "../reload.h"
#include "../serve.h"

enum { MAX_OVERRIDES = 64, EXIT_BROKEN = 74 };

struct arguments {
    const char *config;
    const char *overrides[MAX_OVERRIDES + 1];
    size_t n_overrides;
    bool once, json;
    int32_t level;
};

static const struct argp_option options[] = {
    {"once", '1', NULL, 0, "end when the sources are exhausted and everything is through", 0},
    {"set", 's', "PATH=VALUE", 0, "override a value of the config, such as http.listen=127.0.0.1:0", 0},
    {"log", 'l', "LEVEL", 0, "debug, info (default), warn or error", 0},
    {"log-json", 'j', NULL, 0, "log lines as JSON", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct arguments *a = state->input;
    switch (key) {
    case '1':
        a->once = true;
        return 0;
    case 's':
        if (a->n_overrides == MAX_OVERRIDES)
            argp_error(state, "more than %d overrides", MAX_OVERRIDES);
        a->overrides[a->n_overrides++] = arg;
        return 0;
    case 'l':
        if ((a->level = log_level_parse(arg)) < 0)
            argp_error(state, "no log level '%s'", arg);
        return 0;
    case 'j':
        a->json = true;
        return 0;
    default:
        return cli_parse_one(key, arg, state, &a->config, "one config at a time",
                             "which config? configs/ has some");
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "CONFIG",
    .doc = "Run a pipeline until it is told to stop (SIGTERM, ctrl-C).\v"
           "Exit codes: 0 ended as asked, 1 a stage is down, 74 the journal cannot be written, 77 a "
           "plugin is not trusted, 78 the config is wrong.",
};

struct signals {
    struct engine *engine;
    uv_signal_t term, interrupt, hangup;
    unsigned count;
};

/* SIGHUP came before there was a pipeline: the config may have been read too early. */
static volatile sig_atomic_t early_hangup;

static void note_hangup(int number) {
    (void)number;
    early_hangup = 1;
}

static void on_hangup(uv_signal_t *handle, int number) {
    struct signals *signals = handle->data;
    (void)number;
    if (!signals->engine)
        return; /* it has ended */
    log_say(TELEX_INFO, "host", "SIGHUP: reading the config again");
    reload_ask(signals->engine->reload, NULL, true, -1);
}

static void on_signal(uv_signal_t *handle, int number) {
    struct signals *signals = handle->data;
    if (signals->count++ > 0)
        _exit(128 + number);
    log_say(TELEX_INFO, "host", "%s: draining for at most %lld s; once more ends at once",
            number == SIGTERM ? "SIGTERM" : "SIGINT", (long long)engine_drain_ms(signals->engine) / 1000);
    engine_stop(signals->engine);
}

static void watch_signals(struct signals *signals, struct engine *engine) {
    signals->engine = engine;
    signals->term.data = signals->interrupt.data = signals->hangup.data = signals;
    uv_signal_init(engine->loop, &signals->hangup);
    uv_signal_start(&signals->hangup, on_hangup, SIGHUP);
    uv_signal_init(engine->loop, &signals->term);
    uv_signal_init(engine->loop, &signals->interrupt);
    uv_signal_start(&signals->term, on_signal, SIGTERM);
    uv_signal_start(&signals->interrupt, on_signal, SIGINT);
}

/* A SIGHUP that comes from here on waits for the end of the process; this is its only thread. */
static void close_hangup(struct signals *signals, uv_loop_t *loop) {
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &hangup, NULL);
    uv_close((uv_handle_t *)&signals->hangup, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
}

static void say_sum(struct engine *engine) {
    pthread_mutex_lock(&engine->lock); /* the journal may still be counting */
    for (size_t i = 0; i < engine->n_stages; i++) {
        const struct stage *stage = engine->stages[i];
        log_say(TELEX_INFO, "host", "%s: %llu steps, %llu messages out, %llu quarantined",
                stage->config->name, (unsigned long long)stage->n_steps,
                (unsigned long long)stage->n_outputs_total, (unsigned long long)stage->n_quarantined);
    }
    pthread_mutex_unlock(&engine->lock);
}

/* Which backends `plugin: auto` could not take, and why. */
static void tell_passed_over(const struct config *config) {
    for (size_t i = 0; i < config->n_models; i++) {
        const struct config_model *model = &config->models[i];
        if (model->passed_over && *model->passed_over)
            log_say(TELEX_INFO, "host", "model %s: auto takes %s; passed over: %s", model->name,
                    model->plugin->name, model->passed_over);
    }
}

static int run(const struct config *config, const struct arguments *a) {
    uv_loop_t loop;
    struct engine *engine = NULL;
    struct serve *serve = NULL;
    struct control *control = NULL;
    struct reload *reload = NULL;
    const struct reload_spec spec = {a->config, a->overrides, cli_registry};
    struct signals signals = {0};
    char why[512] = "";
    signal(SIGPIPE, SIG_IGN);
    calling_install_last_words();
    uv_loop_init(&loop);
    int err = engine_create(&engine, config, &loop, why, sizeof(why));
    if (err == 0)
        err = serve_start(&serve, engine, why, sizeof(why));
    if (err == 0)
        err = reload_start(&reload, engine, &spec);
    if (err == 0)
        err = command_start(&control, engine, why, sizeof(why));
    if (err == 0) {
        watch_signals(&signals, engine);
        engine->once = a->once;
        err = engine_start(engine, why, sizeof(why));
    }
    if (err < 0) {
        log_say(TELEX_ERROR, "host", "%s", why);
        serve_stop(serve);
        reload_stop(reload);
        engine_destroy(engine);
        reload_destroy(reload);
        return EXIT_FAILED;
    }
    if (early_hangup)
        reload_ask(reload, NULL, true, -1);
    tell_passed_over(config);
    log_say(TELEX_INFO, "host", "pipeline %s runs%s%s%s%s", config->pipeline,
            serve_base(serve) ? "; readers: " : "", serve_base(serve) ? serve_base(serve) : "",
            serve_admin(serve) ? "; operators: " : "", serve_admin(serve) ? serve_admin(serve) : "");
    uv_run(&loop, UV_RUN_DEFAULT);
    say_sum(engine);
    serve_stop(serve);
    control_stop(control);
    reload_stop(reload);
    int code = engine_exit_code(engine);
    if (engine_hangs(engine)) {
        log_say(TELEX_WARN, "host", "a plugin is still in a call; its step runs again at the next start");
        _exit(code);
    }
    signals.engine = NULL;
    uv_unref((uv_handle_t *)&signals.hangup); /* heard to the end: without its handle a SIGHUP would kill */
    uv_close((uv_handle_t *)&signals.term, NULL);
    uv_close((uv_handle_t *)&signals.interrupt, NULL);
    engine_destroy(engine);
    reload_destroy(reload);
    close_hangup(&signals, &loop);
    uv_loop_close(&loop);
    return code;
}

int cmd_run(int argc, char **argv) {
    struct arguments a = {.level = TELEX_INFO};
    struct config *config;
    int code = cli_parse(&argp, argc, argv, &a);
    if (code != 0)
        return code;
    log_setup(a.level, a.json);
    signal(SIGHUP, note_hangup);
    struct registry *registry = cli_registry();
    if (!registry)
        return EXIT_FAILED;
    if (config_load(a.config, a.overrides, registry, stderr, &config) != 0)
        code = cli_config_code(registry);
    else {
        code = run(config, &a);
        config_destroy(config);
    }
    registry_destroy(registry);
    return code;
}
