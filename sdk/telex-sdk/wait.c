/* SPDX-License-Identifier: Apache-2.0 */
/* wait.c - the blocking form of telex.models/1. */
#include <telex-sdk/table.h>
#include <telex-sdk/wait.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t done;
    int finished;
    struct telex_answer *answer;
};

static struct telex_bytes keep(char **at, struct telex_bytes text) {
    struct telex_bytes copy = {(const uint8_t *)*at, text.size};
    if (text.size)
        memcpy(*at, text.data, text.size);
    (*at)[text.size] = 0;
    *at += text.size + 1;
    return copy;
}

static void on_done(void *arg, const struct telex_result *result) {
    struct waiter *w = arg;
    struct telex_answer *answer = w->answer;
    telex_table_read(&answer->result, sizeof(answer->result), result);
    answer->memory = malloc(result->text.size + result->error.size + 2);
    if (answer->memory) {
        char *at = answer->memory;
        answer->result.text = keep(&at, result->text);
        answer->result.error = keep(&at, result->error);
    } else {
        struct telex_bytes none = {NULL, 0};
        answer->result.text = answer->result.error = none;
        answer->result.status = TELEX_RETRY;
    }
    pthread_mutex_lock(&w->lock);
    w->finished = 1;
    pthread_cond_signal(&w->done);
    pthread_mutex_unlock(&w->lock);
}

telex_status telex_generate_wait(const struct telex_host *host, const struct telex_models *models, telex_lease lease,
                                 const char *name, const struct telex_job *job, struct telex_answer *answer) {
    struct waiter w = {.finished = 0, .answer = answer};
    uint64_t id;
    memset(answer, 0, sizeof(*answer));
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.done, NULL);
    telex_status status = models->generate(host, lease, name, job, on_done, &w, &id);
    if (status == TELEX_OK) {
        pthread_mutex_lock(&w.lock);
        while (!w.finished)
            pthread_cond_wait(&w.done, &w.lock);
        pthread_mutex_unlock(&w.lock);
        status = answer->result.status;
    } else {
        answer->result.status = status;
    }
    pthread_cond_destroy(&w.done);
    pthread_mutex_destroy(&w.lock);
    return status;
}

void telex_answer_finish(struct telex_answer *answer) {
    free(answer->memory);
    memset(answer, 0, sizeof(*answer));
}
