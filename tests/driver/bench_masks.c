/* SPDX-License-Identifier: Apache-2.0 */
/* bench_masks MODEL.gguf PLUGIN-FOLDER - what a schema costs per token on a real vocabulary.
 *
 * Walks a dispatch's schema with random allowed tokens, no weights needed but the vocabulary's: time of a
 * mask that is new, of one that is known, and how many tokens were forced. Prints one JSON line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <driver/mask.h>
#include <telex-sdk/message.h>

#include "loader.h"
#include "models.h"
#include "schemas.h"

static const char schema[] =
    "{\"type\":\"object\",\"properties\":{\"headline\":{\"type\":\"string\",\"minLength\":20,\"maxLength\":"
    "90},"
    "\"dek\":{\"type\":\"string\",\"minLength\":40,\"maxLength\":200},\"body\":{\"type\":\"array\",\"items\":"
    "{\"type\":"
    "\"object\",\"properties\":{\"text\":{\"type\":\"string\",\"minLength\":20,\"maxLength\":300},\"cites\":{"
    "\"type\":"
    "\"array\",\"items\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9},\"minItems\":1,\"maxItems\":3}},"
    "\"required\":[\"text\",\"cites\"],\"additionalProperties\":false},\"minItems\":3,\"maxItems\":5}},"
    "\"required\":["
    "\"headline\",\"dek\",\"body\"],\"additionalProperties\":false}";

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

struct count {
    uint64_t texts, forced, chosen, hits;
    double hit_us, slowest_us;
};

static int32_t any_token(const struct mask *mask, uint32_t n_vocab, uint64_t *stream) {
    if (mask->ids)
        return mask->ids[random_below(stream, mask->count)];
    for (;;) {
        uint32_t id = random_below(stream, n_vocab);
        if (mask->bits[id / 32] >> id % 32 & 1)
            return (int32_t)id;
    }
}

static void walk(struct mask_cache *cache, const struct vocab *v, const struct constraint *constraint,
                 uint64_t *stream, struct count *count) {
    struct grammar_state state;
    int32_t forced[256];
    grammar_start(constraint->grammar, &state);
    while (state.depth > 0) {
        count->forced += mask_forced(cache, constraint, &state, forced, 256);
        if (state.depth == 0)
            break;
        uint64_t misses = mask_cache_stats(cache).misses;
        double start = now_us();
        struct mask *mask = mask_get(cache, constraint, &state);
        double took = now_us() - start;
        if (mask_cache_stats(cache).misses == misses) {
            count->hits++;
            count->hit_us += took;
        } else if (took > count->slowest_us) {
            count->slowest_us = took;
        }
        int32_t id = any_token(mask, v->n, stream);
        mask_unpin(mask);
        count->chosen++;
        for (uint32_t i = 0; i < vocab_size(v, id); i++)
            grammar_step(constraint->grammar, &state, vocab_bytes(v, id)[i]);
    }
    count->texts++;
}

static int bench(const struct telex_model *model_class, void *model) {
    struct telex_model_info info = {.size = sizeof(info)};
    struct vocab *v;
    struct grammar *grammar;
    char why[256];
    model_class->info(model, &info);
    double start = now_us();
    if (vocab_create(model_class, model, &info, &v) != TELEX_OK ||
        grammar_compile(telex_text(schema), &grammar, why, sizeof(why)) != TELEX_OK)
        return 1;
    double build_ms = (now_us() - start) / 1e3;
    struct mask_cache *cache = mask_cache_create(v, model_class, model, 64 << 20);
    struct constraint constraint = {grammar, 1};
    struct count count = {0};
    uint64_t stream = 1;
    while (count.texts < 200)
        walk(cache, v, &constraint, &stream, &count);
    struct mask_stats stats = mask_cache_stats(cache);
    printf(
        "{\"vocab\":%u,\"build_ms\":%.1f,\"texts\":%llu,\"chosen\":%llu,\"forced\":%llu,\"new_masks\":%llu,"
        "\"new_mask_us\":%.1f,\"slowest_us\":%.1f,\"known_mask_us\":%.3f,\"mean_us_per_token\":%.2f,\"mib\":%"
        ".1f}\n",
        v->n, build_ms, (unsigned long long)count.texts, (unsigned long long)count.chosen,
        (unsigned long long)count.forced, (unsigned long long)stats.misses,
        (double)stats.miss_ns / 1e3 / (double)stats.misses, count.slowest_us,
        count.hit_us / (double)count.hits,
        (count.hit_us + (double)stats.miss_ns / 1e3) / (double)(count.chosen + count.forced),
        (double)stats.bytes / (1 << 20));
    mask_cache_destroy(cache);
    grammar_destroy(grammar);
    vocab_destroy(v);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], PLUGIN_DESCRIBE_FLAG) == 0)
        return plugin_describe_main(argv[2]);
    if (argc != 3)
        return fprintf(stderr, "usage: bench_masks MODEL.gguf PLUGIN-FOLDER\n"), 2;
    const char *dirs[] = {argv[2], NULL};
    char why[512];
    struct registry *registry = registry_create(dirs);
    const struct plugin_desc *plugin = registry_find(registry, "model-cpu", why, sizeof(why));
    struct telex_builder options;
    telex_build_init(&options);
    telex_build_map_begin(&options);
    telex_build_key(&options, "path");
    telex_build_text(&options, argv[1]);
    telex_build_map_end(&options);
    struct models_spec spec = {"bench", plugin, telex_build_body(&options)};
    struct models *models;
    const struct telex_model *model_class;
    void *model;
    if (!plugin || models_open(NULL, &spec, 1, &models, why, sizeof(why)) != TELEX_OK)
        return fprintf(stderr, "%s\n", why), 1;
    models_weights(models, 0, &model_class, &model);
    int code = bench(model_class, model);
    telex_build_finish(&options);
    models_close(models);
    registry_destroy(registry);
    return code;
}
