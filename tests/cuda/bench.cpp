// SPDX-License-Identifier: Apache-2.0
// Speed on a device, on weights of real shapes made there: tokens a second, and the share of what the
// device's memory gives to a copy. --small: shapes that the emulation can run, to see that the benchmark
// itself works.
#include <stdio.h>
#include <string.h>

#include "synth.h"

extern "C" {
#include "quant.h"
}

namespace {

const synth_shape shapes[] = {
    {"8B-shaped (llama, Q4_K + Q6_K)", 32, 4096, 14336, 32, 8, 128, 128256, 8960, 0, QUANT_Q4_K, QUANT_Q6_K},
    {"1.5B-shaped (qwen2, Q4_K + Q6_K)", 28, 1536, 8960, 12, 2, 128, 151936, 8960, 1, QUANT_Q4_K, QUANT_Q6_K},
};
const synth_shape small = {
    "small (llama, Q4_K + Q6_K)", 2, 256, 512, 4, 2, 64, 512, 2048, 0, QUANT_Q4_K, QUANT_Q6_K};

int steps(synth *s, uint32_t batches, uint32_t contexts, const uint32_t *context, double bandwidth) {
    char why[640] = "";

    printf("%8s %8s %12s %12s %10s %10s\n", "batch", "context", "ms a step", "tokens/s", "GB/s", "% of copy");
    for (uint32_t c = 0; c < contexts; c++)
        for (uint32_t b = 1; b <= batches; b *= 2) {
            const double seconds = synth_step(s, b, context[c], 15, why);

            if (seconds <= 0) {
                printf("%8u %8u  %s\n", b, context[c], why);
                continue;
            }
            const double rate = synth_step_bytes(s, b, context[c]) / seconds;
            printf("%8u %8u %12.3f %12.1f %10.1f %10.1f\n", b, context[c], 1e3 * seconds, b / seconds,
                   1e-9 * rate, 100.0 * rate / bandwidth);
            fflush(stdout);
        }
    return 0;
}

int run(const synth_shape &shape, uint32_t batches, uint32_t contexts, const uint32_t *context,
        uint32_t prompt) {
    char why[640] = "";
    synth *s = nullptr;
    const uint32_t n_tokens = batches * (context[contexts - 1] + 64) + prompt;

    printf("\n%s\n", shape.name);
    if (synth_open(&shape, batches, n_tokens, &s, why) != 0) {
        printf("%s\n", why);
        return 1;
    }
    const double bandwidth = synth_copy_bandwidth(s, why);
    if (bandwidth <= 0) {
        printf("%s\n", why);
        synth_close(s);
        return 1;
    }
    printf("%s; a copy moves %.1f GB/s; %.2f GB of weights\n", synth_device(s), 1e-9 * bandwidth,
           1e-9 * synth_step_bytes(s, 0, 0));
    steps(s, batches, contexts, context, bandwidth);
    const double seconds = synth_prompt(s, prompt, why);
    if (seconds > 0)
        printf("a prompt of %u tokens: %.1f ms, %.0f tokens/s\n", prompt, 1e3 * seconds, prompt / seconds);
    else
        printf("a prompt of %u tokens: %s\n", prompt, why);
    synth_close(s);
    return seconds > 0 ? 0 : 1;
}

} // namespace

int main(int argc, char **argv) {
    const uint32_t contexts[] = {0, 2048, 8192}, few[] = {0, 300};
    int failed = 0;

    if (argc > 1 && strcmp(argv[1], "--small") == 0)
        return run(small, 4, 2, few, 40);
    for (const synth_shape &shape : shapes)
        failed |= run(shape, 32, 3, contexts, 2048);
    return failed;
}
