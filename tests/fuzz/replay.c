/* SPDX-License-Identifier: Apache-2.0 */
/* replay.c - what runs a fuzz target where there is no fuzzer: every file that it is given, then ROUNDS
 * damaged copies of each, the same every time.
 *
 *   replay-TARGET ROUNDS FILE... */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MAX_BYTES = 1 << 20 };

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* An edge of the number formats, a flipped bit, or a piece of the file copied elsewhere in it. */
static void damage(uint8_t *bytes, size_t n) {
    static const uint64_t edges[] = {0,          1,         0x7fffffff,     0xffffffff,
                                     UINT64_MAX, INT64_MAX, UINT64_MAX / 8, 1 << 20};
    const size_t at = next_random() % n, from = next_random() % n;
    const size_t width = (size_t)1 << next_random() % 4, longest = n - (at > from ? at : from);
    const uint64_t edge = edges[next_random() % (sizeof(edges) / sizeof(*edges))];
    switch (next_random() % 4) {
    case 0:
        bytes[at] ^= (uint8_t)(1u << next_random() % 8);
        break;
    case 1:
        memmove(bytes + at, bytes + from, next_random() % (longest < 64 ? longest + 1 : 64));
        break;
    default:
        memcpy(bytes + at, &edge, width < n - at ? width : n - at);
    }
}

/* The input in a block of exactly its size, so that a sanitizer sees every read behind it. */
static void feed(const uint8_t *data, size_t n, int hurt) {
    uint8_t *bytes = malloc(n ? n : 1);
    if (!bytes)
        abort();
    memcpy(bytes, data, n);
    /* most of a model file is weights; the first eighth has the header */
    for (uint64_t i = hurt && n ? next_random() % 3 + 1 : 0; i > 0; i--)
        damage(bytes, next_random() % 4 ? n / 8 + 1 : n);
    LLVMFuzzerTestOneInput(bytes, n);
    free(bytes);
}

int main(int argc, char **argv) {
    static uint8_t data[MAX_BYTES];
    const long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    long n_inputs = 0;
    for (int i = 2; i < argc; i++) {
        FILE *in = fopen(argv[i], "rb");
        if (!in) {
            fprintf(stderr, "replay: cannot read %s\n", argv[i]);
            return 1;
        }
        const size_t n = fread(data, 1, sizeof(data), in);
        fclose(in);
        feed(data, n, 0);
        for (long k = 0; k < rounds; k++, n_inputs++)
            feed(data, next_random() % 8 ? n : n ? next_random() % n : 0, 1);
        n_inputs++;
    }
    printf("%ld inputs\n", n_inputs);
    return 0;
}
