/* SPDX-License-Identifier: Apache-2.0 */
/* model_feed.c - tokens into a context, and the text that bench and compare run on. */
#include "model_feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

const char feed_text[] = "The harbour of Ardel opened again on Monday morning, three days after a storm had "
                         "closed it. Two freighters "
                         "left at noon and eleven more waited outside the bay, the harbour master said. "
                         "Engineers had worked through the "
                         "weekend to secure the north pier, where the wind tore down one of four cranes and "
                         "bent the rails of another. "
                         "\"Nobody was hurt, and that is what counts,\" said Mara Hellin, who runs the port "
                         "authority. She put the damage "
                         "at 14.5 million and said that repairs would take six weeks. Ferries to the islands "
                         "start again on Tuesday; until "
                         "then a navy ship carries food and mail.\n\n"
                         "Exporters had feared a longer stop. A fifth of the country's grain leaves through "
                         "Ardel, and prices rose by 3.2% "
                         "on Friday when the port shut. They fell back on Monday. \"Every idle day costs us "
                         "about two thousand tonnes,\" a "
                         "trader in the capital said. Insurers have sent a team; its report is expected by "
                         "the end of the month. In the "
                         "old town, where water stood a metre deep on Friday night, shops were cleaning up. "
                         "The town council met on Sunday "
                         "and released 600,000 for families whose homes were flooded. It also asked the "
                         "ministry for a wall on the west "
                         "side of the bay, a plan that was put off twice, in 2009 and in 2017.\n\n"
                         "The storm was the fourth this winter. Meteorologists say that the sea off the "
                         "coast is warmer than in any year "
                         "since records began in 1931, and that warm water feeds such storms. They expect "
                         "calmer weather until Thursday, "
                         "then rain. Fishermen are less sure. \"The gulls sit on the wall again,\" said one "
                         "of them, mending a net in the "
                         "small harbour behind the church. \"They did that last week too.\" Eight boats are "
                         "missing from their moorings, "
                         "and two were found on the beach at Sorn, nine kilometres to the south. The coast "
                         "guard asks owners to report "
                         "what they have lost; a list is kept at the customs house.\n\n"
                         "Schools stay shut until Wednesday. Trains run again except on the line along the "
                         "shore, where the track bed was "
                         "washed out over a length of 200 metres. The railway hopes to repair it within ten "
                         "days and sends buses until "
                         "then. Power is back in most of the town; the last 340 homes should have it by the "
                         "evening, the utility said. A "
                         "concert for the volunteers is planned for Saturday in the market hall, with a "
                         "choir from the islands that had "
                         "been stuck in Ardel since the ferries stopped. Admission is free.\n";

double feed_now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

long long feed_resident_bytes(void) {
    long long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%lld %lld", &size, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

int feed_open(struct feed *feed, struct models *models, uint32_t n_seq, uint32_t n_tokens, const char *who,
              const char *why_needed) {
    memset(feed, 0, sizeof(*feed));
    feed->info.size = sizeof(feed->info);
    if (models_weights(models, 0, &feed->model_class, &feed->model) != TELEX_OK) {
        fprintf(stderr,
                "telex: %s only answers jobs (telex.generate/1); %s needs a backend with weights "
                "(telex.model/1)\n",
                who, why_needed);
        return EXIT_FAILED;
    }
    if (feed->model_class->info(feed->model, &feed->info) != TELEX_OK) {
        fprintf(stderr, "telex: %s does not say what it is\n", who);
        return EXIT_FAILED;
    }
    if (feed->info.max_batch == 0)
        feed->info.max_batch = 64;
    size_t n = feed->info.max_batch;
    telex_status status = feed->model_class->context_open(feed->model, n_seq, n_tokens, &feed->context);
    if (status != TELEX_OK) {
        feed->context = NULL;
        fprintf(stderr, "telex: %s: no context of %u sequences and %u tokens (%llu MiB)\n", who, n_seq,
                n_tokens, (unsigned long long)(n_tokens * feed->info.kv_bytes_per_token >> 20));
        return EXIT_FAILED;
    }
    feed->pos = calloc(n, sizeof(*feed->pos));
    feed->seq = calloc(n, sizeof(*feed->seq));
    feed->rows = calloc(n, sizeof(struct telex_row *));
    if (feed->pos && feed->seq && feed->rows)
        return 0;
    fprintf(stderr, "telex: out of memory\n");
    feed_close(feed);
    return EXIT_FAILED;
}

void feed_close(struct feed *feed) {
    if (feed->context)
        feed->model_class->context_close(feed->context);
    free(feed->pos);
    free(feed->seq);
    free(feed->rows);
    memset(feed, 0, sizeof(*feed));
}

static telex_status run(struct feed *feed, uint32_t seq, uint32_t from, const int32_t *ids, uint32_t n,
                        struct telex_row *const *rows, struct telex_row *last) {
    telex_status status = TELEX_OK;
    for (uint32_t done = 0, size; done < n && status == TELEX_OK; done += size) {
        size = n - done < feed->info.max_batch ? n - done : feed->info.max_batch;
        for (uint32_t i = 0; i < size; i++) {
            feed->pos[i] = (int32_t)(from + done + i);
            feed->seq[i] = seq;
            feed->rows[i] = rows ? rows[done + i] : done + i == n - 1 ? last : NULL;
        }
        struct telex_batch batch = {.size = sizeof(batch),
                                    .n = size,
                                    .token = ids + done,
                                    .pos = feed->pos,
                                    .seq = feed->seq,
                                    .rows = feed->rows};
        status = feed->model_class->decode(feed->context, &batch);
    }
    return status;
}

telex_status feed_tokens(struct feed *feed, uint32_t seq, uint32_t from, const int32_t *ids, uint32_t n,
                         struct telex_row *const *rows) {
    return run(feed, seq, from, ids, n, rows, NULL);
}

telex_status feed_prompt(struct feed *feed, uint32_t seq, uint32_t from, const int32_t *ids, uint32_t n,
                         struct telex_row *last) {
    return run(feed, seq, from, ids, n, NULL, last);
}

telex_status feed_step(struct feed *feed, uint32_t n, const int32_t *ids, uint32_t pos,
                       struct telex_row *const *rows) {
    for (uint32_t i = 0; i < n; i++) {
        feed->pos[i] = (int32_t)pos;
        feed->seq[i] = i;
    }
    struct telex_batch batch = {
        .size = sizeof(batch), .n = n, .token = ids, .pos = feed->pos, .seq = feed->seq, .rows = rows};
    return feed->model_class->decode(feed->context, &batch);
}

int32_t *feed_tokenize(const struct feed *feed, struct telex_bytes text, uint32_t *n) {
    const struct telex_model *c = feed->model_class;
    uint32_t bos = feed->info.add_bos && feed->info.bos >= 0;
    int64_t count = c->tokenize(feed->model, text, 0, NULL, 0);
    if (count < 0 || count > INT32_MAX / 4)
        return NULL;
    int32_t *ids = malloc(((size_t)count + 1 + bos) * sizeof(*ids));
    if (!ids)
        return NULL;
    if (bos)
        ids[0] = feed->info.bos;
    if (c->tokenize(feed->model, text, 0, ids + bos, (uint64_t)count) != count) {
        free(ids);
        return NULL;
    }
    *n = (uint32_t)count + bos;
    return ids;
}
