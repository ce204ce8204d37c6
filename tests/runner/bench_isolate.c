/* SPDX-License-Identifier: Apache-2.0 */
/* Records per second through stage-noop, in this process and isolated, against the host in memory.
 *
 *     TEST_PLUGIN_DIR=build/tests/plugins TELEX_RUNNER=build/host/runner/telex-runner \
 *         build/tests/runner/bench-isolate [RECORDS [BYTES]]
 *
 * `open` is how many steps may be open at once: 1 is a ping-pong, more lets both sides work at the same time.
 */
#include <stdlib.h>

#include "kit.h"

static double run(bool isolated, uint64_t n, size_t bytes, uint64_t open) {
    struct life life;
    life_init(&life, "stage-noop", NULL, 0);
    life.mh->keeps_outputs = false;
    if (life_begin(&life, isolated) != TELEX_OK) {
        fprintf(stderr, "bench: %s\n", memory_host_reason(life.mh, 0));
        exit(1);
    }
    struct telex_bytes body = memory_record("r", 0, "", bytes);
    int64_t began = kit_now_ms();
    for (uint64_t i = 0; i < n; i++) {
        (void)memory_host_deliver(life.mh, life.calls, life.self, body);
        pthread_mutex_lock(&life.mh->lock);
        while (life.mh->n_open >= open)
            pthread_cond_wait(&life.mh->changed, &life.mh->lock);
        pthread_mutex_unlock(&life.mh->lock);
    }
    (void)memory_host_idle(life.mh, 600000);
    double seconds = (double)(kit_now_ms() - began) / 1000;
    free((void *)(uintptr_t)body.data);
    life_finish(&life);
    return (double)n / seconds;
}

int main(int argc, char **argv) {
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    size_t bytes = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
    static const uint64_t open[] = {1, 16, 64, 1024};
    printf("in process:         %10.0f records/s (%zu bytes)\n", run(false, n, bytes, 1), bytes);
    for (size_t i = 0; i < 4; i++)
        printf("isolated, open %4llu: %8.0f records/s\n", (unsigned long long)open[i],
               run(true, open[i] == 1 ? n / 10 : n, bytes, open[i]));
    return 0;
}
