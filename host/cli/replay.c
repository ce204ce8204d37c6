/* SPDX-License-Identifier: Apache-2.0 */
/* replay.c - `telex replay CONFIG --stage NAME`: one stage again over the messages that it was given.
 *
 * Options and models are the config's, the messages those that its journal delivered to the stage, or a file
 * of JSONL. The stage begins without state, in this process, and changes nothing in the journal. What the
 * stage was not given is kept for it to look up, as it could then. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <telex-sdk/message.h>

#include "../config.h"
#include "../journal.h"
#include "../log.h"
#include "cli.h"
#include "journal_view.h"
#include "stage_io.h"
#include "stage_run.h"

enum { MAX_OVERRIDES = 64, EDGES_MAX = 64 };

/* One end of a range: a message's number, or a moment. */
struct bound {
    bool given, is_time;
    int64_t value; /* number, or milliseconds since 1970 */
};

struct arguments {
    const char *config, *stage, *records, *journal, *id;
    struct bound from, to;
    const char *overrides[MAX_OVERRIDES + 1];
    size_t n_overrides;
    bool acts;
    int32_t level;
};

static const struct argp_option options[] = {
    {"stage", 'S', "NAME", 0, "the stage of the config that runs", 0},
    {"from", 'f', "WHEN", 0, "begin with this message: its number, or 2026-05-01T12:30 (UTC)", 0},
    {"to", 't', "WHEN", 0, "end with this message", 0},
    {"id", 'n', "ID", 0, "give only the messages with this id", 0},
    {"records", 'r', "FILE", 0, "give the messages of a JSONL file (- is stdin), not the journal's", 0},
    {"journal", 'J', "FILE", 0, "read this journal instead of the config's", 0},
    {"set", 's', "PATH=VALUE", 0, "override a value of the config", 0},
    {"acts", 'a', NULL, 0, "run also a stage that writes files or talks to the network", 0},
    {"log", 'l', "LEVEL", 0, "debug, info, warn (default) or error, on stderr", 0},
    {0},
};

static bool parse_bound(const char *text, struct bound *bound) {
    static const char *const formats[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S",
                                          "%Y-%m-%dT%H:%M:%SZ"};
    char *end;
    long long number = strtoll(text, &end, 10);
    if (*text && !*end && number >= 0) {
        *bound = (struct bound){true, false, number};
        return true;
    }
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        struct tm tm = {0};
        const char *rest = strptime(text, formats[i], &tm);
        if (rest && !*rest) {
            *bound = (struct bound){true, true, (int64_t)timegm(&tm) * 1000};
            return true;
        }
    }
    return false;
}

static error_t parse_rest(int key, char *arg, struct argp_state *state) {
    struct arguments *a = state->input;
    switch (key) {
    case 'a':
        a->acts = true;
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
    case ARGP_KEY_ARG:
        if (a->config)
            argp_error(state, "one config at a time");
        a->config = arg;
        return 0;
    case ARGP_KEY_END:
        if (!a->config || !a->stage)
            argp_error(state,
                       a->config ? "which stage? say --stage NAME" : "which config? configs/ has some");
        if (a->records && a->journal)
            argp_error(state, "--records and --journal: the messages come from one of the two");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct arguments *a = state->input;
    switch (key) {
    case 'S':
        a->stage = arg;
        return 0;
    case 'f':
    case 't':
        if (!parse_bound(arg, key == 'f' ? &a->from : &a->to))
            argp_error(state, "'%s' is neither a message's number nor a time such as 2026-05-01T12:30", arg);
        return 0;
    case 'n':
        a->id = arg;
        return 0;
    case 'r':
        a->records = arg;
        return 0;
    case 'J':
        a->journal = arg;
        return 0;
    default:
        return parse_rest(key, arg, state);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "CONFIG",
    .doc = "Run one stage of a config again over the messages that it was given.\v"
           "The stage begins without state, in this process; what it puts out are lines on stdout. The "
           "journal is only read, also beside a running host. For a debugger:\n"
           "  gdb --args telex replay my.yaml --stage cluster --from 120 --to 140",
};

/* ---- messages of a journal ---- */

struct recorded {
    const struct arguments *a;
    struct journal_view view;
    sqlite3_stmt *messages, *delivered;
    struct {
        int64_t id;
        uint32_t port;
    } edges[EDGES_MAX]; /* those into the stage */
    size_t n_edges;
    uint64_t n_given;
};

static void find_edges(struct recorded *r, const struct config *config, size_t stage) {
    sqlite3_stmt *row = view_query(&r->view, "SELECT id FROM edge WHERE name = ?");
    for (size_t i = 0; i < config->n_edges && r->n_edges < EDGES_MAX; i++) {
        const struct config_edge *edge = &config->edges[i];
        if (edge->to != stage || edge->to_port >= STAGE_IO_INPUTS)
            continue;
        sqlite3_bind_text(row, 1, edge->name, -1, SQLITE_STATIC);
        if (sqlite3_step(row) == SQLITE_ROW) {
            r->edges[r->n_edges].id = sqlite3_column_int64(row, 0);
            r->edges[r->n_edges++].port = edge->to_port;
        }
        sqlite3_reset(row);
    }
    sqlite3_finalize(row);
}

static bool is_before(const struct bound *bound, int64_t seq, int64_t at_ms) {
    return bound->given && (bound->is_time ? at_ms : seq) < bound->value;
}

static bool is_after(const struct bound *bound, int64_t seq, int64_t at_ms) {
    return bound->given && (bound->is_time ? at_ms : seq) > bound->value;
}

/* The source's port for the message of the current row. */
static uint32_t port_of(struct recorded *r) {
    int64_t seq = sqlite3_column_int64(r->messages, 0), at_ms = sqlite3_column_int64(r->messages, 1);
    const char *id = (const char *)sqlite3_column_text(r->messages, 2);
    uint32_t port = STAGE_IO_KEPT;
    if (is_before(&r->a->from, seq, at_ms) || (r->a->id && strcmp(r->a->id, id) != 0))
        return port;
    for (size_t i = 0; i < r->n_edges && port == STAGE_IO_KEPT; i++) {
        sqlite3_bind_int64(r->delivered, 1, r->edges[i].id);
        sqlite3_bind_int64(r->delivered, 2, seq);
        if (sqlite3_step(r->delivered) == SQLITE_ROW)
            port = r->edges[i].port;
        sqlite3_reset(r->delivered);
    }
    return port;
}

static bool next_recorded(void *arg, struct stage_io_message *message) {
    struct recorded *r = arg;
    if (sqlite3_step(r->messages) != SQLITE_ROW ||
        is_after(&r->a->to, sqlite3_column_int64(r->messages, 0), sqlite3_column_int64(r->messages, 1)))
        return false;
    message->body = (struct telex_bytes){sqlite3_column_blob(r->messages, 3),
                                         (uint64_t)sqlite3_column_bytes(r->messages, 3)};
    message->port = port_of(r);
    r->n_given += message->port != STAGE_IO_KEPT;
    return true;
}

static int run_recorded(const struct arguments *a, const struct telex_stage *class,
                        const struct config *config, size_t stage) {
    struct recorded r = {.a = a};
    int code = view_open(&r.view, "replay", a->journal ? a->journal : config->journal_path);
    if (code != 0)
        return code == VIEW_EMPTY ? EXIT_FAILED : code;
    find_edges(&r, config, stage);
    r.messages = view_query(&r.view, "SELECT seq, at_ms, id, body FROM msg ORDER BY seq");
    r.delivered = view_query(&r.view, "SELECT 1 FROM delivery WHERE edge = ? AND seq = ? AND state != 4");
    static_assert(DELIVERY_DROPPED == 4, "what an edge's rule dropped never reached the stage");
    stage_io_setup_messages(next_recorded, &r, stdout);
    code = stage_run("telex replay", class, &config->stages[stage], config->models, config->n_models);
    if (code == EXIT_FINE && r.n_given == 0) {
        fprintf(
            stderr,
            "telex replay: %s holds no message for stage %s in this range; `telex audit` counts what each "
            "edge carried\n",
            r.view.path, a->stage);
        code = EXIT_FAILED;
    }
    sqlite3_finalize(r.messages);
    sqlite3_finalize(r.delivered);
    view_close(&r.view);
    return code;
}

/* ---- messages of a file: the same range, by line ---- */

/* The lines of the range, unchanged. NULL after one line on stderr. */
static FILE *cut(const struct arguments *a) {
    bool is_stdin = strcmp(a->records, "-") == 0;
    FILE *in = is_stdin ? stdin : fopen(a->records, "r"), *out = in ? tmpfile() : NULL;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    for (int64_t number = 1; out && (size = getline(&line, &capacity, in)) >= 0; number++) {
        bool inside = !is_before(&a->from, number, 0) && !is_after(&a->to, number, 0);
        fwrite(inside ? line : "\n", 1, inside ? (size_t)size : 1,
               out); /* so that bad lines keep their numbers */
    }
    free(line);
    if (!out || fflush(out) != 0 || ferror(in))
        fprintf(stderr, "telex replay: %s: %s\n", a->records, strerror(errno));
    if (in && !is_stdin)
        fclose(in);
    if (out)
        rewind(out);
    return out;
}

static int run_file(const struct arguments *a, const struct telex_stage *class, const struct config *config,
                    size_t stage) {
    if (a->from.is_time || a->to.is_time || a->id) {
        fprintf(stderr,
                "telex replay: a file has lines and no times: give --from and --to as line numbers\n");
        return EXIT_USAGE;
    }
    FILE *in = cut(a);
    if (!in)
        return EXIT_FAILED;
    stage_io_setup(in, a->records, stdout);
    int code = stage_run("telex replay", class, &config->stages[stage], config->models, config->n_models);
    fclose(in);
    return code;
}

/* ---- the command ---- */

static size_t find_stage(const struct config *config, const char *name) {
    const char *names[64];
    char hint[512];
    for (size_t i = 0; i < config->n_stages; i++)
        if (strcmp(config->stages[i].name, name) == 0)
            return i;
    size_t n = 0;
    for (; n < config->n_stages && n < 64; n++)
        names[n] = config->stages[n].name;
    const char *near = nearest_word(name, names, n);
    snprintf(hint, sizeof(hint), "%s%s%s", near ? "; did you mean " : "; see `telex graph`", near ? near : "",
             near ? "?" : "");
    fprintf(stderr, "telex replay: %s has no stage '%s'%s\n", config->path, name, hint);
    return SIZE_MAX;
}

/* False after one line on stderr. */
static bool may_run(const struct arguments *a, const struct config_stage *stage,
                    const struct telex_stage *class) {
    bool has_input = false;
    for (const struct telex_port *const *port = class->ports; port && *port; port++)
        has_input = has_input || (*port)->direction == TELEX_IN;
    if (!has_input) {
        fprintf(stderr,
                "telex replay: %s is a source, so nothing was given to it; `telex stage %s` runs one alone\n",
                stage->name, class->name);
        return false;
    }
    for (const char *const *need = class->needs; need && *need && !a->acts; need++)
        if (strcmp(*need, "net") == 0 || strcmp(*need, "fs:write") == 0) {
            fprintf(stderr,
                    "telex replay: %s needs %s: it would act on the world a second time. Point its options "
                    "elsewhere (--set stages.%s.options...), then say --acts\n",
                    stage->name, *need, stage->name);
            return false;
        }
    return true;
}

static int replay(const struct arguments *a, const struct config *config) {
    char why[512];
    size_t index = find_stage(config, a->stage);
    if (index == SIZE_MAX)
        return EXIT_USAGE;
    const struct config_stage *stage = &config->stages[index];
    const struct telex_stage *class = plugin_load(stage->plugin, why, sizeof(why));
    if (!class) {
        fprintf(stderr, "telex replay: %s\n", why);
        return EXIT_FAILED;
    }
    if (!may_run(a, stage, class))
        return EXIT_USAGE;
    return a->records ? run_file(a, class, config, index) : run_recorded(a, class, config, index);
}

int cmd_replay(int argc, char **argv) {
    struct arguments a = {.level = TELEX_WARN};
    struct config *config;
    int code = cli_parse(&argp, argc, argv, &a);
    if (code != 0)
        return code;
    log_setup(a.level, false);
    struct registry *registry = cli_registry();
    if (!registry)
        return EXIT_FAILED;
    if (config_load(a.config, a.overrides, registry, stderr, &config) != 0)
        code = cli_config_code(registry);
    else {
        code = replay(&a, config);
        config_destroy(config);
    }
    registry_destroy(registry);
    return code;
}
