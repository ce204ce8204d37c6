/* SPDX-License-Identifier: Apache-2.0 */
/* arch.c - see arch.h. */
#include "arch.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LAYERS = 1024, MAX_WIDTH = 1 << 20, MAX_HEADS = 1024, MAX_HEAD_DIM = 512, MAX_CONTEXT = 1 << 24 };

/* What the architectures differ in. */
static const struct family {
    const char *name;
    bool rope_halves, qkv_bias;
} families[] = {
    {"llama", false, false},
    {"qwen2", true, true},
};

/* "llama.block_count" and so on. */
static const char *key_of(char key[96], const struct arch *arch, const char *name) {
    snprintf(key, 96, "%s.%s", arch->name, name);
    return key;
}

static int read_count(const struct gguf *file, const struct arch *arch, const char *name, uint32_t most,
                      uint32_t *out, struct model_fail *fail) {
    char key[96];
    int err = gguf_u32_required(file, key_of(key, arch, name), out, fail);

    if (!err && (*out == 0 || *out > most))
        err = model_fail(fail, -EINVAL, "%s: %s is %u, not between 1 and %u; convert the model again",
                         file->path, key, *out, most);
    return err;
}

static int read_family(const struct gguf *file, struct arch *arch, struct model_fail *fail) {
    struct gguf_text name;
    int err = gguf_text_required(file, "general.architecture", &name, fail);

    for (size_t i = 0; !err && i < sizeof(families) / sizeof(families[0]); i++) {
        if (!gguf_text_is(name, families[i].name))
            continue;
        snprintf(arch->name, sizeof(arch->name), "%s", families[i].name);
        arch->rope_halves = families[i].rope_halves;
        arch->qkv_bias = families[i].qkv_bias;
        return 0;
    }
    if (err)
        return err;
    return model_fail(fail, -ENOTSUP,
                      "%s: the architecture %.*s is not known; this build runs llama and qwen2", file->path,
                      (int)name.n, name.p);
}

/* Scaled rotations would silently give wrong text. */
static int refuse_scaling(const struct gguf *file, const struct arch *arch, struct model_fail *fail) {
    char key[96];
    const struct gguf_value *v = gguf_find(file, key_of(key, arch, "rope.scaling.type"));
    struct gguf_text type;
    int err;

    if (!v)
        return 0;
    err = gguf_text_required(file, key, &type, fail);
    if (!err && !gguf_text_is(type, "none"))
        err =
            model_fail(fail, -ENOTSUP, "%s: %s is %.*s, which this build does not do; use a model without it",
                       file->path, key, (int)type.n, type.p);
    return err;
}

static int read_rope(const struct gguf *file, struct arch *arch, struct model_fail *fail) {
    char key[96];
    int err =
        gguf_u32(file, key_of(key, arch, "rope.dimension_count"), arch->head_dim, &arch->rope_dim, fail);

    if (!err)
        err = gguf_f32(file, key_of(key, arch, "rope.freq_base"), 10000.0f, &arch->rope_base, fail);
    if (!err)
        err = gguf_f32(file, key_of(key, arch, "attention.layer_norm_rms_epsilon"), 1e-5f, &arch->norm_eps,
                       fail);
    if (!err && (arch->rope_dim == 0 || arch->rope_dim > arch->head_dim || arch->rope_dim % 2 != 0))
        err = model_fail(fail, -EINVAL,
                         "%s: %s.rope.dimension_count is %u, not an even number up to the head size %u; "
                         "convert the model again",
                         file->path, arch->name, arch->rope_dim, arch->head_dim);
    if (!err && !(arch->rope_base >= 1.0f && arch->rope_base <= 1e12f && arch->norm_eps >= 0.0f &&
                  arch->norm_eps <= 1.0f))
        err =
            model_fail(fail, -EINVAL,
                       "%s: the rope base %g or the norm epsilon %g is out of range; convert the model again",
                       file->path, (double)arch->rope_base, (double)arch->norm_eps);
    return err ? err : refuse_scaling(file, arch, fail);
}

static int read_heads(const struct gguf *file, struct arch *arch, struct model_fail *fail) {
    char key[96];
    int err = read_count(file, arch, "attention.head_count", MAX_HEADS, &arch->n_heads, fail);

    if (!err)
        err = gguf_u32(file, key_of(key, arch, "attention.head_count_kv"), arch->n_heads, &arch->n_kv_heads,
                       fail);
    if (!err)
        err = gguf_u32(file, key_of(key, arch, "attention.key_length"), arch->n_embd / arch->n_heads,
                       &arch->head_dim, fail);
    if (err)
        return err;
    if (arch->n_kv_heads == 0 || arch->n_heads % arch->n_kv_heads != 0)
        return model_fail(fail, -EINVAL,
                          "%s: %u heads cannot share %u key-value heads; convert the model again", file->path,
                          arch->n_heads, arch->n_kv_heads);
    if (arch->head_dim == 0 || arch->head_dim > MAX_HEAD_DIM || arch->head_dim % 16 != 0)
        return model_fail(fail, -ENOTSUP,
                          "%s: heads of %u dimensions; this build runs multiples of 16 up to %d", file->path,
                          arch->head_dim, MAX_HEAD_DIM);
    return 0;
}

int arch_read(const struct gguf *file, struct arch *arch, struct model_fail *fail) {
    int err;

    memset(arch, 0, sizeof(*arch));
    err = read_family(file, arch, fail);
    if (!err)
        err = read_count(file, arch, "block_count", MAX_LAYERS, &arch->n_layers, fail);
    if (!err)
        err = read_count(file, arch, "embedding_length", MAX_WIDTH, &arch->n_embd, fail);
    if (!err)
        err = read_count(file, arch, "feed_forward_length", MAX_WIDTH, &arch->n_ff, fail);
    if (!err)
        err = read_count(file, arch, "context_length", MAX_CONTEXT, &arch->n_context, fail);
    if (!err)
        err = read_heads(file, arch, fail);
    if (!err)
        err = read_rope(file, arch, fail);
    if (!err && (arch->n_embd % 32 != 0 || arch->n_ff % 32 != 0 || arch->n_heads * arch->head_dim % 32 != 0))
        err = model_fail(fail, -ENOTSUP, "%s: widths %u, %u and %u; this build runs multiples of 32",
                         file->path, arch->n_embd, arch->n_ff, arch->n_heads * arch->head_dim);
    return err;
}

struct step *arch_plan(const struct arch *arch, size_t *n_steps) {
    const size_t per_layer = STEP_DOWN - STEP_ATTN_NORM + 1;
    struct step *steps = calloc(arch->n_layers * per_layer + 3, sizeof(*steps));
    size_t n = 0;

    if (!steps)
        return NULL;
    steps[n++] = (struct step){STEP_EMBED, 0};
    for (uint32_t layer = 0; layer < arch->n_layers; layer++)
        for (int op = STEP_ATTN_NORM; op <= STEP_DOWN; op++)
            steps[n++] = (struct step){(enum step_op)op, layer};
    steps[n++] = (struct step){STEP_LAST_NORM, arch->n_layers};
    steps[n++] = (struct step){STEP_HEAD, arch->n_layers};
    *n_steps = n;
    return steps;
}

static void print_formula(const struct arch *a, enum step_op op, FILE *out) {
    const uint32_t q = a->n_heads * a->head_dim, kv = a->n_kv_heads * a->head_dim;

    switch (op) {
    case STEP_EMBED:
        fprintf(out, "x(%u) = table[token]", a->n_embd);
        break;
    case STEP_ATTN_NORM:
    case STEP_FFN_NORM:
    case STEP_LAST_NORM:
        fprintf(out, "h(%u) = x / rms(x, %g) * w", a->n_embd, (double)a->norm_eps);
        break;
    case STEP_QKV:
        fprintf(out, "q(%u) k(%u) v(%u) = W h%s; q, k turn %u of %u in %s, base %g", q, kv, kv,
                a->qkv_bias ? " + b" : "", a->rope_dim, a->head_dim, a->rope_halves ? "halves" : "pairs",
                (double)a->rope_base);
        break;
    case STEP_ATTEND:
        fprintf(out, "h(%u) = softmax(q k' / sqrt(%u)) v, %u heads on %u", q, a->head_dim, a->n_heads,
                a->n_kv_heads);
        break;
    case STEP_ATTN_OUT:
        fprintf(out, "x(%u) += W h", a->n_embd);
        break;
    case STEP_GATE_UP:
        fprintf(out, "g(%u) = silu(Wg h) * (Wu h)", a->n_ff);
        break;
    case STEP_DOWN:
        fprintf(out, "x(%u) += W g", a->n_embd);
        break;
    case STEP_HEAD:
        fprintf(out, "logits = W h, for the rows asked for");
        break;
    }
}

void arch_print_plan(const struct arch *arch, const struct step *steps, size_t n_steps, FILE *out) {
    static const char *const names[] = {"embed",    "attn-norm", "qkv",  "attend",    "attn-out",
                                        "ffn-norm", "gate-up",   "down", "last-norm", "head"};

    fprintf(out, "%s: %u layers, %zu steps\n", arch->name, arch->n_layers, n_steps);
    for (size_t i = 0; i < n_steps; i++) {
        fprintf(out, "%4zu  ", i);
        if (steps[i].op >= STEP_ATTN_NORM && steps[i].op <= STEP_DOWN)
            fprintf(out, "layer %-3u ", steps[i].layer);
        else
            fprintf(out, "%-10s", "");
        fprintf(out, "%-10s", names[steps[i].op]);
        print_formula(arch, steps[i].op, out);
        fputc('\n', out);
    }
}
