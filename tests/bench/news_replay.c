/* SPDX-License-Identifier: Apache-2.0 */
/* news_replay PLUGIN-FOLDER JOBS.jsonl AT-ONCE KEY=VALUE... - run recorded jobs again under other settings.
 *
 * JOBS.jsonl holds what the driver's option `record` wrote, each line with the numbers `story` and `wave`.
 * AT-ONCE stories run at a time, taken in order; a story hands in a wave of jobs together and waits for all
 * of them, as the desk does. KEY=VALUE are options of model-cpu. Prints one JSON line: seconds in all, of the
 * processors, and of each story from its start to its end. The outcomes are what `record=FILE` writes. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <jansson.h>
#include <telex-sdk/message.h>

#include "loader.h"
#include "models.h"

enum { MESSAGES_MAX = 64, DRAFTS_MAX = 64, STORIES_MAX = 256 };

struct replay {
    struct models *models;
    json_t *jobs; /* in order: story by story, wave by wave */
    size_t next;  /* the first job of the next story */
    uint32_t n_stories;
    double seconds[STORIES_MAX];
    pthread_mutex_t lock;
};

struct wave {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t n_open, n_failed;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double processor_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static void on_done(void *arg, const struct telex_result *result) {
    struct wave *wave = arg;
    pthread_mutex_lock(&wave->lock);
    wave->n_open--;
    wave->n_failed += result->status != TELEX_OK;
    pthread_cond_signal(&wave->changed);
    pthread_mutex_unlock(&wave->lock);
}

static struct telex_bytes bytes_of(const json_t *text) {
    return (struct telex_bytes){(const uint8_t *)json_string_value(text), json_string_length(text)};
}

static float number(const json_t *map, const char *key) {
    return (float)json_number_value(json_object_get(map, key));
}

static uint32_t whole(const json_t *map, const char *key) {
    return (uint32_t)json_integer_value(json_object_get(map, key));
}

static telex_status hand_in(struct replay *r, const json_t *job, struct wave *wave) {
    struct telex_message messages[MESSAGES_MAX];
    const struct telex_message *list[MESSAGES_MAX];
    struct telex_bytes drafts[DRAFTS_MAX];
    const json_t *said = json_object_get(job, "messages"), *given = json_object_get(job, "drafts");
    const json_t *s = json_object_get(job, "sampler");
    struct telex_sampler sampler = {.size = sizeof(sampler),
                                    .top_k = whole(s, "top_k"),
                                    .temperature = number(s, "temperature"),
                                    .top_p = number(s, "top_p"),
                                    .min_p = number(s, "min_p"),
                                    .repeat_penalty = number(s, "repeat_penalty")};
    struct telex_job asked = {.size = sizeof(asked),
                              .seed = strtoull(json_string_value(json_object_get(job, "seed")), NULL, 10),
                              .max_tokens = whole(job, "max_tokens"),
                              .messages = list,
                              .sampler = json_is_object(s) ? &sampler : NULL,
                              .schema = bytes_of(json_object_get(job, "schema")),
                              .drafts = drafts};
    for (; asked.n_messages < json_array_size(said) && asked.n_messages < MESSAGES_MAX; asked.n_messages++) {
        const json_t *m = json_array_get(said, asked.n_messages);
        messages[asked.n_messages] = (struct telex_message){.size = sizeof(messages[0]),
                                                            .role = whole(m, "role"),
                                                            .text = bytes_of(json_object_get(m, "text"))};
        list[asked.n_messages] = &messages[asked.n_messages];
    }
    for (; asked.n_drafts < json_array_size(given) && asked.n_drafts < DRAFTS_MAX; asked.n_drafts++)
        drafts[asked.n_drafts] = bytes_of(json_array_get(given, asked.n_drafts));
    char why[256];
    pthread_mutex_lock(&wave->lock);
    wave->n_open++;
    pthread_mutex_unlock(&wave->lock);
    uint64_t id;
    telex_status status = models_generate(r->models, 0, 0, &asked, on_done, wave, &id, why, sizeof(why));
    if (status != TELEX_OK) {
        fprintf(stderr, "news_replay: a job was refused: %s\n", why);
        on_done(wave, &(struct telex_result){.size = sizeof(struct telex_result), .status = status});
    }
    return status;
}

/* The jobs [from, to) of one story. How many failed. */
static size_t run_story(struct replay *r, size_t from, size_t to) {
    struct wave wave = {.n_open = 0};
    pthread_mutex_init(&wave.lock, NULL);
    pthread_cond_init(&wave.changed, NULL);
    while (from < to) {
        uint32_t number_of = whole(json_array_get(r->jobs, from), "wave");
        for (; from < to && whole(json_array_get(r->jobs, from), "wave") == number_of; from++)
            hand_in(r, json_array_get(r->jobs, from), &wave);
        pthread_mutex_lock(&wave.lock);
        while (wave.n_open > 0)
            pthread_cond_wait(&wave.changed, &wave.lock);
        pthread_mutex_unlock(&wave.lock);
    }
    pthread_cond_destroy(&wave.changed);
    pthread_mutex_destroy(&wave.lock);
    return wave.n_failed;
}

static void *run_stories(void *arg) {
    struct replay *r = arg;
    size_t n_failed = 0;
    for (;;) {
        pthread_mutex_lock(&r->lock);
        size_t from = r->next, to = from, n = json_array_size(r->jobs);
        while (to < n &&
               whole(json_array_get(r->jobs, to), "story") == whole(json_array_get(r->jobs, from), "story"))
            to++;
        r->next = to;
        uint32_t story = from < n ? r->n_stories++ : STORIES_MAX;
        pthread_mutex_unlock(&r->lock);
        if (story >= STORIES_MAX)
            return (void *)n_failed;
        double start = now();
        n_failed += run_story(r, from, to);
        r->seconds[story] = now() - start;
    }
}

static int run(struct replay *r, unsigned at_once) {
    pthread_t threads[16];
    size_t failed = 0;
    double start = now(), busy = processor_seconds();
    at_once = at_once < 1 ? 1 : at_once > 16 ? 16 : at_once;
    pthread_mutex_init(&r->lock, NULL);
    for (unsigned i = 0; i < at_once; i++)
        if (pthread_create(&threads[i], NULL, run_stories, r) != 0)
            return fprintf(stderr, "news_replay: no thread\n"), 1;
    for (unsigned i = 0; i < at_once; i++) {
        void *n;
        pthread_join(threads[i], &n);
        failed += (size_t)n;
    }
    printf("{\"seconds\":%.3f,\"processor_seconds\":%.3f,\"failed\":%zu,\"stories\":[", now() - start,
           processor_seconds() - busy, failed);
    for (uint32_t i = 0; i < r->n_stories; i++)
        printf("%s%.3f", i ? "," : "", r->seconds[i]);
    printf("]}\n");
    return failed > 0;
}

static json_t *read_jobs(const char *path) {
    json_t *jobs = json_array();
    FILE *file = fopen(path, "r");
    json_error_t error;
    char *line = NULL;
    size_t capacity = 0;
    for (int n = 1; file && getline(&line, &capacity, file) > 0; n++) {
        json_t *job = json_loads(line, 0, &error);
        if (!job)
            fprintf(stderr, "news_replay: %s:%d: %s; left out\n", path, n, error.text);
        else
            json_array_append_new(jobs, job);
    }
    free(line);
    if (!file)
        perror(path);
    if (file)
        fclose(file);
    return jobs;
}

static void add_option(struct telex_builder *b, char *pair) {
    char *value = strchr(pair, '='), *end;
    if (!value)
        return;
    *value++ = '\0';
    telex_build_key(b, pair);
    long long n = strtoll(value, &end, 10);
    if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)
        telex_build_flag(b, value[0] == 't');
    else if (*value && !*end)
        telex_build_int(b, n);
    else
        telex_build_text(b, value);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], PLUGIN_DESCRIBE_FLAG) == 0)
        return plugin_describe_main(argv[2]);
    if (argc < 5)
        return fprintf(
                   stderr,
                   "usage: news_replay PLUGIN-FOLDER JOBS.jsonl AT-ONCE path=MODEL.gguf [KEY=VALUE ...]\n"),
               2;
    const char *dirs[] = {argv[1], NULL};
    char why[512] = "no plugin model-cpu";
    struct registry *registry = registry_create(dirs);
    const struct plugin_desc *plugin = registry_find(registry, "model-cpu", why, sizeof(why));
    struct telex_builder options;
    struct replay replay = {.jobs = read_jobs(argv[2])};
    telex_build_init(&options);
    telex_build_map_begin(&options);
    for (int i = 4; i < argc; i++)
        add_option(&options, argv[i]);
    telex_build_map_end(&options);
    struct models_spec spec = {"bench", plugin, telex_build_body(&options)};
    if (!plugin || models_open(NULL, &spec, 1, &replay.models, why, sizeof(why)) != TELEX_OK)
        return fprintf(stderr, "news_replay: %s\n", why), 1;
    int code = run(&replay, (unsigned)atoi(argv[3]));
    json_decref(replay.jobs);
    telex_build_finish(&options);
    models_close(replay.models);
    registry_destroy(registry);
    return code;
}
