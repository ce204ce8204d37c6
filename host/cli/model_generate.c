/* SPDX-License-Identifier: Apache-2.0 */
/* model_generate.c - `telex model generate`: one prompt, or a file of them that run together.
 *
 * With --jobs each line is one JSON object: {"system", "prompt", "schema", "seed", "max_tokens",
 * "temperature"}, all but prompt optional, the command line's values where they are missing. Results come out
 * in the order of the lines, whatever the order in which they end. */
#include "model_generate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <telex-sdk/message.h>

#include "cli.h"
#include "model_open.h"

enum { TEXT_MAX_BYTES = 16 << 20, IN_FLIGHT = 64, LINE_MAX_BYTES = 4 << 20 };

struct generate_args {
    struct model_args model;
    const char *prompt, *system, *schema_path, *jobs_path;
    struct telex_sampler sampler;
    uint64_t seed;
    uint32_t max_tokens;
    int64_t timeout_ms;
    int json;
};

/* One job from its texts to its result. */
struct ask {
    char *system, *prompt, *schema; /* owned; system and schema may be NULL */
    struct telex_sampler sampler;
    uint64_t seed;
    uint32_t max_tokens;
    pthread_mutex_t *lock; /* the command's */
    pthread_cond_t *changed;
    int done;
    json_t *result; /* owned */
    char *text;     /* owned */
    telex_status status;
};

/* ---- the command line ---- */

static double number_of(struct argp_state *state, const char *arg, double low, double high) {
    char *end;
    double value = strtod(arg, &end);
    if (end == arg || *end || !(value >= low && value <= high))
        argp_error(state, "'%s' is no number from %g to %g", arg, low, high);
    return value;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct generate_args *a = state->input;
    switch (key) {
    case 'p':
        a->prompt = arg;
        return 0;
    case 's':
        a->system = arg;
        return 0;
    case 'S':
        a->schema_path = arg;
        return 0;
    case 'J':
        a->jobs_path = arg;
        return 0;
    case 'n':
        a->max_tokens = (uint32_t)number_of(state, arg, 1, 1e6);
        return 0;
    case 'T':
        a->timeout_ms = (int64_t)(1000 * number_of(state, arg, 0.001, 1e6));
        return 0;
    case 'r':
        a->seed = strtoull(arg, NULL, 0);
        return 0;
    case 't':
        a->sampler.temperature = (float)number_of(state, arg, 0, 100);
        return 0;
    case 'k':
        a->sampler.top_k = (uint32_t)number_of(state, arg, 0, 1e6);
        return 0;
    case 1000:
        a->sampler.top_p = (float)number_of(state, arg, 1e-6, 1);
        return 0;
    case 1001:
        a->sampler.min_p = (float)number_of(state, arg, 0, 1);
        return 0;
    case 1002:
        a->sampler.repeat_penalty = (float)number_of(state, arg, 0.01, 100);
        return 0;
    case 'j':
        a->json = 1;
        return 0;
    default:
        return model_args_parse(key, arg, state, &a->model);
    }
}

static const struct argp_option options[] = {
    {"prompt", 'p', "TEXT", 0, "the user's message; default: standard input", 0},
    {"system", 's', "TEXT", 0, "the system message", 0},
    {"schema", 'S', "FILE", 0, "JSON Schema that the text must satisfy", 0},
    {"jobs", 'J', "FILE", 0, "one job a line as JSON, - for standard input; prints one result a line", 0},
    {"max-tokens", 'n', "N", 0, "most tokens to write (256)", 0},
    {"temperature", 't', "X", 0, "0 (default) takes the most likely token", 0},
    {"top-k", 'k', "N", 0, "draw from the N largest", 0},
    {"top-p", 1000, "X", 0, "draw from the smallest set with this share", 0},
    {"min-p", 1001, "X", 0, "draw from those with at least this share of the largest", 0},
    {"repeat-penalty", 1002, "X", 0, "divide what was put out already", 0},
    {"seed", 'r', "N", 0, "of the draws (0)", 0},
    {"timeout", 'T', "SECONDS", 0, "time for one job", 0},
    {"json", 'j', NULL, 0, "print the result with its measurements as JSON", 0},
    MODEL_ARGP_OPTIONS,
    {0}};

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "[MODEL]",
    .doc = "Write a text with a model.\v" MODEL_ARGP_DOC ".\n"
           "  telex model generate smollm2-135m -p 'Who runs the wire?'\n"
           "  telex model generate -P model-http -o base_url=http://127.0.0.1:8000/v1 -p Hello"};

/* ---- texts ---- */

char *model_read_text(FILE *in, size_t *size) {
    size_t capacity = 1 << 16, used = 0;
    char *text = malloc(capacity + 1);
    for (size_t n; text && (n = fread(text + used, 1, capacity - used, in)) > 0;) {
        used += n;
        if (used > TEXT_MAX_BYTES) {
            fprintf(stderr, "telex: the input is over %d MiB\n", TEXT_MAX_BYTES >> 20);
            free(text);
            return NULL;
        }
        if (used == capacity) {
            char *grown = realloc(text, 2 * capacity + 1);
            if (!grown)
                free(text);
            text = grown;
            capacity *= 2;
        }
    }
    if (!text) {
        fprintf(stderr, "telex: out of memory\n");
        return NULL;
    }
    text[used] = 0;
    *size = used;
    return text;
}

char *model_read_path(const char *path, size_t *size) {
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (!file) {
        fprintf(stderr, "telex: cannot read %s\n", path);
        return NULL;
    }
    char *text = model_read_text(file, size);
    if (file != stdin)
        fclose(file);
    return text;
}

/* ---- results ---- */

static const char *const status_names[] = {"ok",      "pending",   "again",     "reject",
                                           "retry",   "fatal",     "cancelled", "unsupported",
                                           "invalid", "not_found", "limit"};

static const char *name_of(telex_status status) {
    size_t index = status > 0 ? (size_t)status : status == 0 ? 0 : (size_t)(1 - status);
    return index < sizeof(status_names) / sizeof(status_names[0]) ? status_names[index] : "unknown";
}

static const char *finish_of(uint32_t finish) {
    return finish == TELEX_FINISH_STOP ? "stop" : finish == TELEX_FINISH_LENGTH ? "length" : "failed";
}

static void finish_ask(struct ask *ask, telex_status status, json_t *result, char *text) {
    pthread_mutex_lock(ask->lock);
    ask->status = status;
    ask->result = result;
    ask->text = text;
    ask->done = 1;
    pthread_cond_broadcast(ask->changed);
    pthread_mutex_unlock(ask->lock);
}

static void on_done(void *arg, const struct telex_result *r) {
    json_t *result = json_pack(
        "{s:s,s:s,s:s%,s:s%,s:I,s:I,s:I,s:f,s:f}", "status", name_of(r->status), "finish",
        finish_of(r->finish), "text", (const char *)r->text.data, (size_t)r->text.size, "error",
        (const char *)r->error.data, (size_t)r->error.size, "prompt_tokens", (json_int_t)r->prompt_tokens,
        "cached_tokens", (json_int_t)r->cached_tokens, "output_tokens", (json_int_t)r->output_tokens,
        "prefill_ms", (double)r->prefill_us / 1e3, "decode_ms", (double)r->decode_us / 1e3);
    struct telex_bytes said = r->status == TELEX_OK ? r->text : r->error;
    finish_ask(arg, r->status, result, strndup((const char *)said.data, said.size));
}

static void hand_in(struct models *models, struct ask *ask, int64_t timeout_ms) {
    struct telex_message system = {.size = sizeof(system), .role = TELEX_ROLE_SYSTEM};
    struct telex_message user = {
        .size = sizeof(user), .role = TELEX_ROLE_USER, .text = telex_text(ask->prompt)};
    const struct telex_message *messages[2] = {&system, &user};
    struct telex_job job = {.size = sizeof(job),
                            .n_messages = ask->system ? 2 : 1,
                            .messages = messages + !ask->system,
                            .max_tokens = ask->max_tokens,
                            .seed = ask->seed,
                            .timeout_ms = timeout_ms,
                            .sampler = &ask->sampler};
    if (ask->system)
        system.text = telex_text(ask->system);
    if (ask->schema)
        job.schema = telex_text(ask->schema);
    char why[512] = "";
    uint64_t id;
    telex_status status = models_generate(models, 0, 0, &job, on_done, ask, &id, why, sizeof(why));
    if (status != TELEX_OK)
        finish_ask(ask, status,
                   json_pack("{s:s,s:s,s:s}", "status", name_of(status), "finish", "failed", "error", why),
                   strdup(why));
}

static void wait_for(struct ask *ask) {
    pthread_mutex_lock(ask->lock);
    while (!ask->done)
        pthread_cond_wait(ask->changed, ask->lock);
    pthread_mutex_unlock(ask->lock);
}

static void free_ask(struct ask *ask) {
    free(ask->system);
    free(ask->prompt);
    free(ask->schema);
    free(ask->text);
    json_decref(ask->result);
    memset(ask, 0, sizeof(*ask));
}

static char *copy(const char *text) {
    return text ? strdup(text) : NULL;
}

/* ---- one ---- */

static int run_one(const struct generate_args *a, struct models *models, struct ask *ask,
                   const char *schema) {
    size_t size;
    ask->system = copy(a->system);
    ask->schema = copy(schema);
    ask->prompt = a->prompt ? strdup(a->prompt) : model_read_text(stdin, &size);
    if (!ask->prompt)
        return EXIT_FAILED;
    hand_in(models, ask, a->timeout_ms);
    wait_for(ask);
    if (a->json)
        cli_print_json(json_incref(ask->result));
    else if (ask->status == TELEX_OK)
        printf("%s\n", ask->text ? ask->text : "");
    if (ask->status != TELEX_OK)
        fprintf(stderr, "telex: %s: %s\n", name_of(ask->status), ask->text ? ask->text : "");
    return ask->status == TELEX_OK ? EXIT_FINE : EXIT_FAILED;
}

/* ---- many ---- */

/* A line of --jobs. False with the reason printed. */
static bool read_job(const char *line, size_t size, long number, const char *schema, struct ask *ask) {
    json_error_t error;
    json_t *root = json_loadb(line, size, JSON_REJECT_DUPLICATES, &error);
    const json_t *prompt = json_object_get(root, "prompt"), *own = json_object_get(root, "schema");
    const json_t *system = json_object_get(root, "system"), *value;
    if (!json_is_string(prompt)) {
        fprintf(stderr, "telex: line %ld: %s\n", number, root ? "no \"prompt\"" : error.text);
        json_decref(root);
        return false;
    }
    ask->prompt = strdup(json_string_value(prompt));
    ask->schema = own ? json_dumps(own, JSON_COMPACT) : copy(schema);
    if (json_is_string(system)) {
        free(ask->system);
        ask->system = strdup(json_string_value(system));
    }
    if ((value = json_object_get(root, "seed")))
        ask->seed = (uint64_t)json_integer_value(value);
    if ((value = json_object_get(root, "max_tokens")) && json_integer_value(value) > 0)
        ask->max_tokens = (uint32_t)json_integer_value(value);
    if ((value = json_object_get(root, "temperature")))
        ask->sampler.temperature = (float)json_number_value(value);
    json_decref(root);
    return ask->prompt != NULL;
}

static int print_result(struct ask *ask) {
    wait_for(ask);
    json_dumpf(ask->result, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    int failed = ask->status != TELEX_OK;
    free_ask(ask);
    return failed;
}

/* A ring of jobs in flight; the oldest is waited for and printed when the ring is full. */
static int run_many(const struct generate_args *a, struct models *models, struct ask *fresh,
                    const char *schema) {
    FILE *in = strcmp(a->jobs_path, "-") == 0 ? stdin : fopen(a->jobs_path, "r");
    struct ask *ring = calloc(IN_FLIGHT, sizeof(*ring));
    char *line = NULL;
    size_t capacity = 0, first = 0, n = 0;
    long number = 0, failed = 0;
    int code = in && ring ? EXIT_FINE : EXIT_FAILED;
    if (!in)
        fprintf(stderr, "telex: cannot read %s\n", a->jobs_path);
    for (ssize_t size; code == EXIT_FINE && (size = getline(&line, &capacity, in)) > 0;) {
        number++;
        if (strspn(line, " \t\r\n") == (size_t)size)
            continue;
        if (n == IN_FLIGHT) {
            failed += print_result(&ring[first]);
            first = (first + 1) % IN_FLIGHT;
            n--;
        }
        struct ask *ask = &ring[(first + n) % IN_FLIGHT];
        *ask = *fresh;
        ask->system = copy(a->system);
        if (!read_job(line, (size_t)size, number, schema, ask)) {
            free_ask(ask);
            code = EXIT_FAILED;
            break;
        }
        n++;
        hand_in(models, ask, a->timeout_ms);
    }
    for (; n > 0; n--, first = (first + 1) % IN_FLIGHT)
        failed += print_result(&ring[first]);
    free(line);
    free(ring);
    if (in && in != stdin)
        fclose(in);
    return failed ? EXIT_FAILED : code;
}

int cmd_generate(int argc, char **argv) {
    struct generate_args args = {
        .sampler = {.size = sizeof(args.sampler), .top_p = 1.0f, .repeat_penalty = 1.0f}, .max_tokens = 256};
    struct opened_model opened;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
    int code = cli_parse(&argp, argc, argv, &args);
    if (code != 0)
        return code;
    size_t size;
    char *schema = args.schema_path ? model_read_path(args.schema_path, &size) : NULL;
    if (args.schema_path && !schema)
        return EXIT_FAILED;
    code = model_open(&args.model, &opened);
    if (code == 0) {
        struct ask ask = {.sampler = args.sampler,
                          .seed = args.seed,
                          .max_tokens = args.max_tokens,
                          .lock = &lock,
                          .changed = &changed};
        code = args.jobs_path ? run_many(&args, opened.models, &ask, schema)
                              : run_one(&args, opened.models, &ask, schema);
        model_close(&opened);
        if (!args.jobs_path)
            free_ask(&ask);
    }
    free(schema);
    return code;
}
