// SPDX-License-Identifier: Apache-2.0
// SmolLM2 135M through the emulated kernels, against model-cpu: a prompt, then tokens one by one and two at a
// time.
//
// The bound is that of test_forward.cpp; over thirty layers a squared error of 9e-7 of the logits'
// square was seen; 1e-5 is allowed, and the most likely token is the same.
#include <algorithm>

#include "cpu_side.h"
#include "side.h"

namespace {

std::string model_file() {
    const char *set = getenv("TELEX_MODELS"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const std::string folder = set               ? set
                               : cache && *cache ? std::string(cache) + "/telex/models"
                                                 : std::string(home ? home : "") + "/.cache/telex/models";
    return folder + "/SmolLM2-135M-Instruct.Q4_1.gguf";
}

size_t most_likely(const float *logits, size_t n) {
    return static_cast<size_t>(std::max_element(logits, logits + n) - logits);
}

/* "The news of the day:" and some more, as ids of this vocabulary. */
const std::vector<int32_t> text = {504, 3291, 282, 260, 1194, 42, 378, 5091, 2120, 338, 357, 523, 6190};

TEST(the_135m_model_gives_what_model_cpu_gives) {
    side device(model_file(), 2, 256);
    const uint32_t n_vocab = side_n_vocab(device.s), n = static_cast<uint32_t>(text.size());
    std::vector<float> want(static_cast<size_t>(n) * n_vocab);
    char why[640] = "";

    CHECK(device.err == 0);
    CHECK(cpu_logits(model_file().c_str(), text.data(), n, 0, want.data()) == n_vocab);
    for (uint32_t at = 0, count; at < n; at += count) { /* tiles of tensor cores, then two rows, then one */
        std::vector<float> got(n_vocab);
        count = at == 0 ? 10 : at == 10 ? 2 : 1;
        CHECK(side_feed(device.s, 0, text.data() + at, at, count, got.data(), why) == 0);
        const float *theirs = want.data() + static_cast<size_t>(at + count - 1) * n_vocab;
        const double error = relative_error(got.data(), theirs, n_vocab);
        printf("  %u rows at %u: %.1e\n", count, at, error);
        CHECK(error < 1e-5);
        CHECK(most_likely(got.data(), n_vocab) == most_likely(theirs, n_vocab));
    }
    printf("%s", why);
}

} // namespace

int main() {
    if (access(model_file().c_str(), R_OK) != 0) {
        printf("skipped: %s is missing; `telex model pull smollm2-135m` fetches it\n", model_file().c_str());
        return 77;
    }
    return run_tests();
}
