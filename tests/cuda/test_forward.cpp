// SPDX-License-Identifier: Apache-2.0
// Whole forward passes against model-cpu, over every architecture and every type of weights.
//
// The bound. Products of integers are exact and their inputs the same, so both backends differ in two things:
// the order of float sums (relative 2^-24 a term), and an activation that lies so near the middle between two
// integers that those differences decide how it rounds. One such step is 1/32004 of a slice's largest value
// where activations have two terms and 1/127 where they have one. Seen are squared errors of up to 1e-8
// and 1.2e-4 of the logits' square; a wrong term anywhere gives more than 1e-2.
#include "cpu_side.h"
#include "side.h"

namespace {

struct kind {
    const char *name;
    uint32_t type;
    double bound;
};
const double FINE = 1e-7, COARSE = 1e-3;
const kind kinds[] = {{"F32", QUANT_F32, FINE},     {"F16", QUANT_F16, FINE},    {"BF16", QUANT_BF16, FINE},
                      {"Q8_0", QUANT_Q8_0, FINE},   {"Q4_0", QUANT_Q4_0, FINE},  {"Q4_1", QUANT_Q4_1, FINE},
                      {"Q5_0", QUANT_Q5_0, FINE},   {"Q5_1", QUANT_Q5_1, FINE},  {"Q4_K", QUANT_Q4_K, COARSE},
                      {"Q5_K", QUANT_Q5_K, COARSE}, {"Q6_K", QUANT_Q6_K, COARSE}};

/* n tokens in one batch on both sides; the logits of all rows from `from` on. */
double error_of(const tiny_sizes &sizes, uint32_t n, uint32_t from) {
    const tiny_file file(sizes);
    side device(file.path, 1, n);
    const std::vector<int32_t> ids = some_text(n, 266, 5);
    std::vector<float> ours(static_cast<size_t>(n - from) * side_n_vocab(device.s)), theirs(ours.size());
    char why[640] = "";

    CHECK(device.err == 0);
    if (device.err || side_all(device.s, ids.data(), n, from, ours.data(), why) != 0) {
        printf("%s\n", why);
        return 1.0;
    }
    CHECK(cpu_logits(file.path.c_str(), ids.data(), n, from, theirs.data()) == side_n_vocab(device.s));
    return relative_error(ours.data(), theirs.data(), ours.size());
}

TEST(every_type_of_weights_gives_what_model_cpu_gives) {
    for (const kind &k : kinds)
        for (uint32_t n : {1u, 2u, 5u, 17u}) { /* one, two, tiles, the kernels of prompts */
            tiny_sizes sizes;
            sizes.type = k.type;
            const double error = error_of(sizes, n, n > 8 ? n - 8 : 0);
            printf("  %s, %u rows: %.1e\n", k.name, n, error);
            CHECK(error < k.bound);
        }
}

TEST(every_architecture_gives_what_model_cpu_gives) {
    for (const char *arch : {"llama", "qwen2", "qwen3", "gemma3"})
        for (uint32_t n : {3u, 24u}) {
            tiny_sizes sizes;
            sizes.arch = arch;
            sizes.type = QUANT_Q4_0;
            sizes.layers = 7;
            sizes.window = std::string(arch) == "gemma3" ? 16 : 0;
            sizes.head_dim = std::string(arch) == "gemma3" ? 128 : 64;
            sizes.own_head = std::string(arch) == "qwen2";
            const double error = error_of(sizes, n, n > 8 ? n - 8 : 0);
            printf("  %s, %u rows: %.1e\n", arch, n, error);
            CHECK(error < FINE);
        }
}

TEST(heads_of_any_size_and_mixed_types) {
    const struct {
        uint32_t heads, kv_heads, head_dim;
    } shapes[] = {{4, 4, 32}, {8, 1, 96}, {3, 1, 64}, {7, 1, 64}, {2, 2, 256}, {2, 1, 512}};

    for (const auto &shape : shapes) {
        tiny_sizes sizes;
        sizes.type = QUANT_Q4_K;
        sizes.mixed = QUANT_Q6_K;
        sizes.heads = shape.heads;
        sizes.kv_heads = shape.kv_heads;
        sizes.head_dim = shape.head_dim;
        if (sizes.heads * sizes.head_dim % 256 != 0)
            sizes.type = sizes.mixed = QUANT_Q5_1;
        const double error = error_of(sizes, 6, 0);
        printf("  %u heads on %u of %u: %.1e\n", shape.heads, shape.kv_heads, shape.head_dim, error);
        CHECK(error < COARSE);
    }
}

TEST(a_rows_bits_do_not_depend_on_how_the_text_was_cut) {
    for (uint32_t type : {QUANT_Q4_1, QUANT_Q6_K, QUANT_F16}) {
        tiny_sizes sizes;
        sizes.type = type;
        const tiny_file file(sizes);
        side device(file.path, 2, 1024);
        const std::vector<int32_t> ids = some_text(90, 266, 3);
        const std::vector<float> whole = device.logits(ids, 90);

        CHECK(same_bits(whole, device.logits(ids, 40)));
        CHECK(same_bits(whole, device.logits(ids, 37, 1)));
        const std::vector<int32_t> few(ids.begin(), ids.begin() + 20);
        const std::vector<float> short_text = device.logits(few, 20);
        CHECK(same_bits(short_text, device.logits(few, 1)));
        CHECK(same_bits(short_text, device.logits(few, 2, 1)));
        CHECK(same_bits(short_text, device.logits(few, 16)));
        CHECK(device.err == 0);
    }
}

TEST(a_window_and_splits_do_not_depend_on_the_batch_either) {
    tiny_sizes sizes;
    sizes.arch = "gemma3";
    sizes.layers = 6; /* the sixth one sees everything */
    sizes.window = 100;
    sizes.embd = sizes.ff = 64;
    sizes.heads = 2;
    sizes.kv_heads = 1;
    sizes.head_dim = 32;
    const tiny_file file(sizes);
    side device(file.path, 1, 1024);
    const std::vector<int32_t> ids = some_text(600, 266, 9);
    std::vector<float> whole(side_n_vocab(device.s)), single(whole);
    char why[640] = "";

    CHECK(side_feed(device.s, 0, ids.data(), 0, 512, nullptr, why) == 0);
    CHECK(side_feed(device.s, 0, ids.data() + 512, 512, 88, whole.data(), why) == 0);
    side_trim(device.s, 0, 590);
    CHECK(side_feed(device.s, 0, ids.data() + 590, 590, 9, nullptr, why) ==
          0); /* splits in blocks of their own */
    CHECK(side_feed(device.s, 0, ids.data() + 599, 599, 1, single.data(), why) == 0);
    CHECK(same_bits(whole, single));
    printf("%s", why);
}

TEST(sequences_of_one_batch_do_not_touch_each_other) {
    const tiny_file file(tiny_sizes{});
    side device(file.path, 12, 2048);
    const uint32_t n_vocab = side_n_vocab(device.s);
    char why[640] = "";

    for (uint32_t n : {2u, 3u, 9u, 12u}) {
        std::vector<std::vector<float>> alone;
        std::vector<float> together(static_cast<size_t>(n) * n_vocab);
        std::vector<int32_t> last(n), pos(n);

        for (uint32_t i = 0; i < n; i++)
            alone.push_back(device.logits(some_text(10 + 3 * i, n_vocab, i), 64, i));
        for (uint32_t i = 0; i < n; i++) {
            pos[i] = static_cast<int32_t>(9 + 3 * i);
            last[i] = some_text(10 + 3 * i, n_vocab, i).back();
            side_trim(device.s, i, static_cast<uint32_t>(pos[i]));
        }
        CHECK(side_step(device.s, last.data(), pos.data(), n, together.data(), why) == 0);
        for (uint32_t i = 0; i < n; i++)
            CHECK(memcmp(alone[i].data(), together.data() + static_cast<size_t>(i) * n_vocab, n_vocab * 4) ==
                  0);
    }
}

} // namespace

int main() {
    return run_tests();
}
