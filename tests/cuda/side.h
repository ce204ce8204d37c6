/* SPDX-License-Identifier: Apache-2.0 */
/* side.h - a session for tests: one set of weights, texts fed in batches, logits taken. */
#ifndef TELEX_TESTS_CUDA_SIDE_H
#define TELEX_TESTS_CUDA_SIDE_H

#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "check.h"
#include "side_c.h"
#include "tiny.h"

/* A model file that goes away with its scope. */
struct tiny_file {
    std::string path;
    explicit tiny_file(const tiny_sizes &sizes) {
        char name[] = "/tmp/telex-cuda-XXXXXX";
        const int fd = mkstemp(name);
        path = name;
        if (fd < 0 || write_tiny(sizes, name) != 0)
            printf("cannot write %s\n", name);
        if (fd >= 0)
            close(fd);
    }
    ~tiny_file() {
        unlink(path.c_str());
    }
    tiny_file(const tiny_file &) = delete;
};

/* The device's side of a comparison. */
struct side {
    struct side_session *s = nullptr;
    char why[640] = "";
    int err = 0;
    side(const std::string &path, uint32_t n_seq, uint32_t n_tokens, bool cublas = false) {
        err = side_open(path.c_str(), n_seq, n_tokens, cublas, &s, why);
        if (err)
            printf("open: %d %s\n", err, why);
    }
    ~side() {
        side_close(s);
    }
    side(const side &) = delete;

    /* Logits behind the last token of ids[0..n), fed `chunk` a batch to sequence `seq` from its start. */
    std::vector<float> logits(const std::vector<int32_t> &ids, uint32_t chunk, uint32_t seq = 0) {
        std::vector<float> out(side_n_vocab(s));
        side_trim(s, seq, 0);
        for (uint32_t at = 0; at < ids.size() && !err; at += chunk) {
            const uint32_t n = static_cast<uint32_t>(ids.size()) - at < chunk
                                   ? static_cast<uint32_t>(ids.size()) - at
                                   : chunk;
            err = side_feed(s, seq, ids.data() + at, at, n, at + n == ids.size() ? out.data() : nullptr, why);
        }
        if (err)
            printf("decode: %d %s\n", err, why);
        return out;
    }
};

inline std::vector<int32_t> some_text(uint32_t n, uint32_t n_vocab, uint32_t seed) {
    std::vector<int32_t> ids(n);
    for (uint32_t i = 0; i < n; i++)
        ids[i] = static_cast<int32_t>((seed * 31 + 7 * i * i + 3 * i) % (n_vocab - 3) + 3);
    return ids;
}

inline bool same_bits(const std::vector<float> &a, const std::vector<float> &b) {
    return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/* Sum of squared differences over the sum of squares. */
inline double relative_error(const float *a, const float *b, size_t n) {
    double difference = 0.0, all = 0.0;
    for (size_t i = 0; i < n; i++) {
        difference += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
        all += static_cast<double>(b[i]) * b[i];
    }
    return difference / all;
}

#endif
