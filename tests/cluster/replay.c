/* SPDX-License-Identifier: Apache-2.0 */
/* replay.c - the core alone over a JSONL file of records: for scoring, tuning and timing.
 *
 *     cluster-replay FILE [-o name=value]... [--order SEED] [--spread] [--explain] [--quiet]
 *                    [--bench ROUNDS | --curve BLOCK]
 *
 * Stories go to standard output, one message a line. --order shuffles the records with a seed, --spread deals
 * the times out again in the new order, so that arrival and event time agree. --bench times whole replays in
 * seconds of processor time. --curve replays once and prints one JSON line for each BLOCK records: what is
 * live, records a second of processor time, percentiles of one record's time in microseconds, and the bytes
 * that the core holds. */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "cluster.h"
#include "settings.h"

struct input {
    json_t *lines; /* keeps the text of the records alive */
    struct cluster_record *records;
    size_t n;
};

static struct text_slice text_of(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? (struct text_slice){json_string_value(value), json_string_length(value)}
                                 : (struct text_slice){NULL, 0};
}

static void read_input(struct input *input, const char *path) {
    FILE *file = strcmp(path, "-") ? fopen(path, "r") : stdin;
    char *line = NULL;
    size_t capacity = 0;
    if (!file) {
        perror(path);
        exit(2);
    }
    input->lines = json_array();
    for (ssize_t n; (n = getline(&line, &capacity, file)) > 0;) {
        json_t *object = json_loadb(line, (size_t)n, 0, NULL);
        if (object)
            json_array_append_new(input->lines, object);
    }
    free(line);
    if (file != stdin)
        fclose(file);
    input->records = calloc(json_array_size(input->lines) + 1, sizeof(*input->records));
    size_t i;
    json_t *object;
    json_array_foreach(input->lines, i, object) {
        input->records[input->n++] = (struct cluster_record){
            .id = text_of(object, "id"),
            .version = (uint64_t)json_integer_value(json_object_get(object, "version")),
            .outlet = text_of(object, "outlet"),
            .owner = text_of(object, "owner"),
            .url = text_of(object, "url"),
            .title = text_of(object, "title"),
            .text = text_of(object, "text"),
            .primary = json_is_true(json_object_get(object, "primary")),
            .published_ms = json_integer_value(json_object_get(object, "published_ms")),
            .fetched_ms = json_integer_value(json_object_get(object, "fetched_ms")),
        };
    }
}

static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int by_time(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void shuffle(struct input *input, uint64_t seed, bool spread) {
    int64_t *times = calloc(input->n + 1, sizeof(*times));
    for (size_t i = 0; i < input->n; i++)
        times[i] = input->records[i].published_ms;
    qsort(times, input->n, sizeof(*times), by_time);
    for (size_t i = input->n; i > 1; i--) {
        size_t k = next_random(&seed) % i;
        struct cluster_record swap = input->records[i - 1];
        input->records[i - 1] = input->records[k];
        input->records[k] = swap;
    }
    for (size_t i = 0; spread && i < input->n; i++)
        input->records[i].published_ms = input->records[i].fetched_ms = times[i];
    free(times);
}

static int print_story(void *arg, const struct cluster_story *story) {
    if (arg)
        return 0;
    json_t *records = json_array();
    for (uint32_t i = 0; i < story->n_records; i++)
        json_array_append_new(records, json_stringn(story->records[i].data, story->records[i].len));
    json_t *line =
        json_pack("{s:s, s:s, s:I, s:o, s:s, s:s, s:b, s:s%, s:f}", "schema", "telex.story/1", "id",
                  story->id, "version", (json_int_t)story->version, "records", records, "state", story->state,
                  "gate", story->gate, "news", (int)story->news, "label",
                  story->label.data ? story->label.data : "", story->label.len, "breaking", story->breaking);
    if (story->merged_into[0])
        json_object_set_new(line, "merged_into", json_string(story->merged_into));
    if (story->split_from[0])
        json_object_set_new(line, "split_from", json_string(story->split_from));
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(line);
    return 0;
}

static int take_event(void *arg, const struct cluster_event *event) {
    (void)arg, (void)event;
    return 0;
}

static int take_number(void *arg, uint64_t number) {
    (void)arg, (void)number;
    return 0;
}

static int take_memory(void *arg, const struct cluster_memory *memory) {
    (void)arg, (void)memory;
    return 0;
}

static void print_line(void *arg, const char *line) {
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int replay(const struct input *input, const struct cluster_options *options, bool quiet,
                  bool explain) {
    struct cluster_sink sink = {
        quiet ? &quiet : NULL,       print_story, take_event, take_number, take_memory, take_number,
        explain ? print_line : NULL, false};
    struct cluster *cluster;
    int err = cluster_create(options, &sink, &cluster);
    for (size_t i = 0; !err && i < input->n; i++)
        err = cluster_add(cluster, &input->records[i]);
    if (err)
        fprintf(stderr, "cluster-replay: %s\n", strerror(-err));
    if (quiet)
        fprintf(stderr, "live: %u stories, %u records\n", cluster_live_stories(cluster),
                cluster_live_records(cluster));
    cluster_destroy(cluster);
    return err;
}

static double wall_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Feed `n` records and print the block's line. `us` has room for n numbers. */
static int curve_block(struct cluster *cluster, const struct cluster_record *records, size_t n, double *us,
                       size_t bytes_before) {
    double start = now_s();
    for (size_t i = 0; i < n; i++) {
        double begin = wall_us();
        int err = cluster_add(cluster, &records[i]);
        if (err)
            return err;
        us[i] = wall_us() - begin;
    }
    double seconds = now_s() - start;
    qsort(us, n, sizeof(*us), by_value);
    printf("{\"stories\":%u,\"records\":%u,\"per_s\":%.0f,\"p50_us\":%.2f,\"p99_us\":%.2f,"
           "\"max_us\":%.1f,\"bytes\":%zu}\n",
           cluster_live_stories(cluster), cluster_live_records(cluster), (double)n / seconds, us[n / 2],
           us[n - 1 - n / 100], us[n - 1], mallinfo2().uordblks - bytes_before);
    return 0;
}

static int curve(const struct input *input, const struct cluster_options *options, size_t block) {
    bool quiet = true;
    struct cluster_sink sink = {&quiet,      print_story, take_event, take_number,
                                take_memory, take_number, NULL,       false};
    struct cluster *cluster;
    double *us = calloc(block, sizeof(*us));
    size_t bytes_before = mallinfo2().uordblks;
    int err = us ? cluster_create(options, &sink, &cluster) : -ENOMEM;
    if (err) {
        free(us);
        return err;
    }
    for (size_t i = 0; !err && i < input->n; i += block) {
        size_t n = input->n - i < block ? input->n - i : block;
        err = curve_block(cluster, &input->records[i], n, us, bytes_before);
    }
    if (err)
        fprintf(stderr, "cluster-replay: %s\n", strerror(-err));
    cluster_destroy(cluster);
    free(us);
    return err;
}

int main(int argc, char **argv) {
    static const struct option longs[] = {{"order", 1, NULL, 'r'},
                                          {"spread", 0, NULL, 's'},
                                          {"explain", 0, NULL, 'e'},
                                          {"bench", 1, NULL, 'b'},
                                          {"quiet", 0, NULL, 'q'},
                                          {"curve", 1, NULL, 'c'},
                                          {0}};
    struct cluster_options options;
    struct input input = {0};
    uint64_t seed = 0;
    bool spread = false, explain = false, quiet = false;
    int rounds = 0, c;
    long block = 0;
    settings_default(&options);
    while ((c = getopt_long(argc, argv, "o:", longs, NULL)) != -1) {
        if (c == 'o' && settings_set(&options, optarg) == 0)
            continue;
        if (c == 'o' || c == '?') {
            fprintf(stderr, "cluster-replay: no such option: %s\n", optarg ? optarg : "");
            return 2;
        }
        seed = c == 'r' ? strtoull(optarg, NULL, 10) : seed;
        rounds = c == 'b' ? atoi(optarg) : rounds;
        spread |= c == 's';
        block = c == 'c' ? strtol(optarg, NULL, 10) : block;
        explain |= c == 'e';
        quiet |= c == 'q';
    }
    if (optind != argc - 1)
        return 2;
    read_input(&input, argv[optind]);
    if (seed)
        shuffle(&input, seed, spread);
    int err = block > 0 ? curve(&input, &options, (size_t)block) : 0;
    double start = now_s();
    for (int i = 0; !err && block <= 0 && i < (rounds ? rounds : 1); i++)
        err = replay(&input, &options, quiet || rounds, explain);
    double seconds = now_s() - start;
    if (rounds)
        printf("%zu records, %d rounds, %.3f s, %.0f records/s\n", input.n, rounds, seconds,
               (double)input.n * rounds / seconds);
    json_decref(input.lines);
    free(input.records);
    return err ? 1 : 0;
}
