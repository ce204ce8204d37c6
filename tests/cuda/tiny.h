/* SPDX-License-Identifier: Apache-2.0 */
/* tiny.h - writes a small GGUF model with random weights of any type and architecture, on any machine. */
#ifndef TELEX_TESTS_CUDA_TINY_H
#define TELEX_TESTS_CUDA_TINY_H

#include <stdint.h>
#include <stdio.h>

#include <string>
#include <vector>

extern "C" {
#include "quant.h"
}

struct tiny_sizes {
    const char *arch = "llama";
    uint32_t type = QUANT_Q8_0; /* of every matrix */
    uint32_t mixed = 0;         /* not 0: the type of attn_v and ffn_down */
    uint32_t embd = 256, ff = 512, heads = 4, kv_heads = 2, head_dim = 64, layers = 2, context = 1024,
             window = 0;
    uint32_t seed = 1;
    bool own_head = false, broken_norm = false; /* broken: one weight of the last norm is no number */
};

class tiny_writer {
  public:
    explicit tiny_writer(const tiny_sizes &sizes) : z(sizes), state(sizes.seed * 2654435761u + 12345u) {}

    /* 0, or -1. */
    int write(const char *path) {
        add_values();
        add_tensors();
        FILE *f = fopen(path, "wb");
        if (!f)
            return -1;
        std::string head = "GGUF";
        u32(head, 3);
        u64(head, n_tensors);
        u64(head, n_values);
        head += values + infos;
        head.resize((head.size() + 31) / 32 * 32);
        const bool good = fwrite(head.data(), 1, head.size(), f) == head.size() &&
                          fwrite(data.data(), 1, data.size(), f) == data.size();
        return fclose(f) == 0 && good ? 0 : -1;
    }

  private:
    const tiny_sizes z;
    uint32_t state;
    std::string values, infos, data;
    uint64_t n_values = 0, n_tensors = 0;

    static void u32(std::string &out, uint32_t v) {
        out.append(reinterpret_cast<const char *>(&v), 4);
    }
    static void u64(std::string &out, uint64_t v) {
        out.append(reinterpret_cast<const char *>(&v), 8);
    }
    static void text(std::string &out, const std::string &t) {
        u64(out, t.size());
        out += t;
    }
    uint32_t random() {
        state = state * 1664525u + 1013904223u;
        return state >> 8;
    }
    /* About normal, deviation 1. */
    float bell() {
        float sum = 0.0f;
        for (int i = 0; i < 12; i++)
            sum += static_cast<float>(random()) / 16777216.0f;
        return sum - 6.0f;
    }

    void key(const std::string &name, uint32_t type) {
        text(values, name);
        u32(values, type);
        n_values++;
    }
    void number(const std::string &name, uint32_t v) {
        key(std::string(z.arch) + "." + name, 4);
        u32(values, v);
    }
    void real(const std::string &name, float v) {
        key(std::string(z.arch) + "." + name, 6);
        values.append(reinterpret_cast<const char *>(&v), 4);
    }
    void word(const std::string &name, const std::string &v) {
        key(name, 8);
        text(values, v);
    }
    void array(const std::string &name, uint32_t type, uint64_t n) {
        key(name, 9);
        u32(values, type);
        u64(values, n);
    }

    void add_values() {
        word("general.architecture", z.arch);
        word("general.name", "tiny");
        number("block_count", z.layers);
        number("context_length", z.context);
        number("embedding_length", z.embd);
        number("feed_forward_length", z.ff);
        number("attention.head_count", z.heads);
        number("attention.head_count_kv", z.kv_heads);
        number("attention.key_length", z.head_dim);
        number("attention.value_length", z.head_dim);
        real("attention.layer_norm_rms_epsilon", 1e-5f);
        real("rope.freq_base", 10000.0f);
        if (z.window)
            number("attention.sliding_window", z.window);
        add_vocabulary();
    }

    static void letter(std::vector<std::string> &out, uint32_t code) {
        char bytes[3] = {static_cast<char>(code), 0, 0};
        if (code >= 0x80) {
            bytes[0] = static_cast<char>(0xc0 | code >> 6);
            bytes[1] = static_cast<char>(0x80 | (code & 63));
        }
        out.push_back(bytes);
    }
    static std::vector<std::string> vocabulary() {
        std::vector<std::string> tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
        uint32_t hidden = 0;
        for (uint32_t b = 0; b < 256; b++) {
            const bool shown = (b >= 0x21 && b < 0x7f) || (b >= 0xa1 && b != 0xad);
            letter(tokens, shown ? b : 256 + hidden++);
        }
        for (const char *m : {"th", "the", "\xc4\xa0the", "op", "ope", "in",
                              "\xc4\xa0"
                              "a"})
            tokens.push_back(m);
        return tokens;
    }
    void add_vocabulary() {
        const std::vector<std::string> tokens = vocabulary();
        const char *merges[] = {"t h", "th e", "\xc4\xa0 the", "o p", "op e", "i n", "\xc4\xa0 a"};
        word("tokenizer.ggml.model", "gpt2");
        word("tokenizer.ggml.pre", "smollm");
        array("tokenizer.ggml.tokens", 8, tokens.size());
        for (const std::string &t : tokens)
            text(values, t);
        array("tokenizer.ggml.token_type", 5, tokens.size());
        for (size_t i = 0; i < tokens.size(); i++)
            u32(values, i < 3 ? 3 : 1);
        array("tokenizer.ggml.merges", 8, sizeof(merges) / sizeof(merges[0]));
        for (const char *m : merges)
            text(values, m);
        key("tokenizer.ggml.bos_token_id", 4);
        u32(values, 1);
        key("tokenizer.ggml.eos_token_id", 4);
        u32(values, 2);
    }

    void tensor(const std::string &name, uint32_t type, uint64_t cols, uint64_t rows,
                const std::string &bytes) {
        data.resize((data.size() + 31) / 32 * 32);
        text(infos, name);
        u32(infos, rows ? 2 : 1);
        u64(infos, cols);
        if (rows)
            u64(infos, rows);
        u32(infos, type);
        u64(infos, data.size());
        data += bytes;
        n_tensors++;
    }
    void vector(const std::string &name, uint32_t n, float mean, bool broken = false) {
        std::string bytes;
        for (uint32_t i = 0; i < n; i++) {
            const float v = mean + 0.1f * bell();
            uint32_t bits;
            memcpy(&bits, &v, 4);
            u32(bytes, broken && i == n / 2 ? 0x7fc00000u : bits);
        }
        tensor(name, QUANT_F32, n, 0, bytes);
    }
    static void put_half(uint8_t *at, float v) {
        const uint16_t bits = quant_to_f16(v);
        memcpy(at, &bits, 2);
    }
    /* Random integers under scales that give numbers of a deviation of about 0.05. */
    void block(uint32_t type, uint8_t *b) {
        const uint32_t bytes = quant_info(type)->block_bytes;
        const float jitter = 0.5f + static_cast<float>(random() % 1024) / 1024.0f;
        float v = 0.05f * bell();

        for (uint32_t i = 0; i < bytes; i++)
            b[i] = static_cast<uint8_t>(random());
        switch (type) {
        case QUANT_F32:
            memcpy(b, &v, 4);
            break;
        case QUANT_F16:
            put_half(b, v);
            break;
        case QUANT_BF16: {
            uint32_t bits;
            memcpy(&bits, &v, 4);
            bits >>= 16;
            memcpy(b, &bits, 2);
            break;
        }
        case QUANT_Q4_0:
        case QUANT_Q4_1:
            put_half(b, 0.011f * jitter);
            if (type == QUANT_Q4_1)
                put_half(b + 2, -0.082f * jitter);
            break;
        case QUANT_Q5_0:
        case QUANT_Q5_1:
            put_half(b, 0.0054f * jitter);
            if (type == QUANT_Q5_1)
                put_half(b + 2, -0.083f * jitter);
            break;
        case QUANT_Q8_0:
            put_half(b, 0.00068f * jitter);
            break;
        case QUANT_Q6_K:
            put_half(b + 208, 0.00004f * jitter);
            break;
        default: /* Q4_K, Q5_K */
            put_half(b, (type == QUANT_Q4_K ? 0.0004f : 0.0002f) * jitter);
            put_half(b + 2, 0.003f * jitter);
        }
    }
    void matrix(const std::string &name, uint32_t type, uint32_t rows, uint32_t cols) {
        const quant_info_t *info = quant_info(type);
        std::string bytes(static_cast<size_t>(rows) * cols / info->block_values * info->block_bytes, 0);
        for (size_t at = 0; at < bytes.size(); at += info->block_bytes)
            block(type, reinterpret_cast<uint8_t *>(&bytes[at]));
        tensor(name, type, cols, rows, bytes);
    }
    bool is(const char *arch) const {
        return std::string(z.arch) == arch;
    }
    void add_layer(uint32_t i) {
        const std::string p = "blk." + std::to_string(i) + ".";
        const uint32_t q = z.heads * z.head_dim, kv = z.kv_heads * z.head_dim,
                       other = z.mixed ? z.mixed : z.type;
        matrix(p + "attn_q.weight", z.type, q, z.embd);
        matrix(p + "attn_k.weight", z.type, kv, z.embd);
        matrix(p + "attn_v.weight", other, kv, z.embd);
        matrix(p + "attn_output.weight", z.type, z.embd, q);
        matrix(p + "ffn_gate.weight", z.type, z.ff, z.embd);
        matrix(p + "ffn_up.weight", z.type, z.ff, z.embd);
        matrix(p + "ffn_down.weight", other, z.embd, z.ff);
        vector(p + "attn_norm.weight", z.embd, 1.0f);
        vector(p + "ffn_norm.weight", z.embd, 1.0f);
        if (is("qwen2")) {
            vector(p + "attn_q.bias", q, 0.0f);
            vector(p + "attn_k.bias", kv, 0.0f);
            vector(p + "attn_v.bias", kv, 0.0f);
        }
        if (is("qwen3") || is("gemma3")) {
            vector(p + "attn_q_norm.weight", z.head_dim, 1.0f);
            vector(p + "attn_k_norm.weight", z.head_dim, 1.0f);
        }
        if (is("gemma3")) {
            vector(p + "post_attention_norm.weight", z.embd, 1.0f);
            vector(p + "post_ffw_norm.weight", z.embd, 1.0f);
        }
    }
    void add_tensors() {
        const uint32_t n_vocab = static_cast<uint32_t>(vocabulary().size());
        matrix("token_embd.weight", z.type, n_vocab, z.embd);
        if (z.own_head)
            matrix("output.weight", z.type, n_vocab, z.embd);
        vector("output_norm.weight", z.embd, 1.0f, z.broken_norm);
        for (uint32_t i = 0; i < z.layers; i++)
            add_layer(i);
    }
    typedef struct quant_info quant_info_t;
};

inline int write_tiny(const tiny_sizes &sizes, const char *path) {
    return tiny_writer(sizes).write(path);
}

#endif
