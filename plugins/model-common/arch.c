/* SPDX-License-Identifier: Apache-2.0 */
/* arch.c - read the numbers of a model; see arch.h. The steps are in plan.c. */
#include "arch.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { MAX_WIDTH = 1 << 20, MAX_HEADS = 1024, MAX_HEAD_DIM = 512, MAX_CONTEXT = 1 << 24 };

/* Layers of gemma3 27B, whose scores are scaled by the width over the heads instead of the head's own. */
enum { GEMMA3_27B_LAYERS = 62 };

/* What the architectures differ in. */
static const struct family {
    const char *name;
    bool rope_halves, qkv_bias, qk_norm, post_norms, gelu, embed_scaled;
    uint32_t period; /* with a window, every so many layers one is global; 0: windows are not heeded */
} families[] = {
    {.name = "llama"},
    {.name = "qwen2", .rope_halves = true, .qkv_bias = true},
    {.name = "qwen3", .rope_halves = true, .qk_norm = true},
    {.name = "gemma3",
     .rope_halves = true,
     .qk_norm = true,
     .post_norms = true,
     .gelu = true,
     .embed_scaled = true,
     .period = 6},
};

/* Numbers that change what is computed and that no family here heeds: silence would give wrong text. */
static const char *const unheeded[] = {
    "expert_count", "final_logit_softcapping", "attn_logit_softcapping",
    "logit_scale",  "residual_scale",          "embedding_scale",
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

static int read_number(const struct gguf *file, const struct arch *arch, const char *name, float fallback,
                       float *out, struct model_fail *fail) {
    char key[96];

    return gguf_f32(file, key_of(key, arch, name), fallback, out, fail);
}

static int read_family(const struct gguf *file, struct arch *arch, const struct family **family,
                       struct model_fail *fail) {
    struct gguf_text name;
    int err = gguf_text_required(file, "general.architecture", &name, fail);

    for (size_t i = 0; !err && i < sizeof(families) / sizeof(families[0]); i++) {
        const struct family *f = &families[i];

        if (!gguf_text_is(name, f->name))
            continue;
        snprintf(arch->name, sizeof(arch->name), "%s", f->name);
        arch->rope_halves = f->rope_halves;
        arch->qkv_bias = f->qkv_bias;
        arch->qk_norm = f->qk_norm;
        arch->post_norms = f->post_norms;
        arch->gelu = f->gelu;
        *family = f;
        return 0;
    }
    if (err)
        return err;
    return model_fail(fail, -ENOTSUP,
                      "%s: the architecture %.*s is not known; this build runs llama, qwen2, qwen3 and "
                      "gemma3",
                      file->path, (int)name.n, name.p);
}

/* A number that is not zero, of whatever type the writer chose. */
static bool is_set(const struct gguf_value *v) {
    static const uint8_t zeros[8];

    return v && !v->is_array && v->type != GGUF_STRING && v->end > v->at &&
           memcmp(v->at, zeros, (size_t)(v->end - v->at) < 8 ? (size_t)(v->end - v->at) : 8) != 0;
}

static int refuse_unheeded(const struct gguf *file, const struct arch *arch, struct model_fail *fail) {
    char key[96];

    for (size_t i = 0; i < sizeof(unheeded) / sizeof(unheeded[0]); i++)
        if (is_set(gguf_find(file, key_of(key, arch, unheeded[i]))))
            return model_fail(fail, -ENOTSUP,
                              "%s: the file sets %s, which this build does not do; use a model without it",
                              file->path, key);
    return 0;
}

/* ---- positions ---- */

static int read_yarn(const struct gguf *file, const struct arch *arch, struct rope *rope,
                     struct model_fail *fail) {
    char key[96];
    int err = gguf_u32(file, key_of(key, arch, "rope.scaling.original_context_length"), arch->n_context,
                       &rope->n_original, fail);

    if (!err)
        err = read_number(file, arch, "rope.scaling.attn_factor", 1.0f, &rope->magnitude, fail);
    if (!err)
        err = read_number(file, arch, "rope.scaling.yarn_beta_fast", 32.0f, &rope->beta_fast, fail);
    if (!err)
        err = read_number(file, arch, "rope.scaling.yarn_beta_slow", 1.0f, &rope->beta_slow, fail);
    if (!err && !(rope->n_original > 0 && rope->magnitude > 0.0f && rope->magnitude < 100.0f &&
                  rope->beta_slow > 0.0f && rope->beta_fast >= rope->beta_slow && rope->beta_fast < 1e6f))
        err = model_fail(fail, -EINVAL,
                         "%s: the numbers of %s.rope.scaling are out of range; convert the model again",
                         file->path, arch->name);
    return err;
}

/* Scaling is linear where a file names a factor and no type. */
static int read_scaling(const struct gguf *file, const struct arch *arch, struct rope *rope,
                        struct model_fail *fail) {
    char key[96], type_key[96];
    const char *name = gguf_find(file, key_of(key, arch, "rope.scaling.factor")) ? "rope.scaling.factor"
                                                                                 : "rope.scale_linear";
    struct gguf_text type = {"linear", 6};
    float factor;
    int err = read_number(file, arch, name, 1.0f, &factor, fail);

    if (!err && gguf_find(file, key_of(type_key, arch, "rope.scaling.type")))
        err = gguf_text_required(file, type_key, &type, fail);
    if (err || gguf_text_is(type, "none"))
        return err;
    if (!gguf_text_is(type, "linear") && !gguf_text_is(type, "yarn"))
        return model_fail(fail, -ENOTSUP,
                          "%s: %s is %.*s; this build does linear and yarn: use a model with one of them",
                          file->path, type_key, (int)type.n, type.p);
    factor = factor == 0.0f ? 1.0f : factor;
    if (!(factor >= 1.0f && factor <= 1e6f))
        return model_fail(fail, -EINVAL, "%s: %s is %g, not between 1 and 10^6; convert the model again",
                          file->path, key, (double)factor);
    if (factor == 1.0f)
        return 0;
    rope->factor = factor;
    rope->scaling = gguf_text_is(type, "yarn") ? ROPE_YARN : ROPE_LINEAR;
    return rope->scaling == ROPE_YARN ? read_yarn(file, arch, rope, fail) : 0;
}

static bool is_base(float base) {
    return base >= 1.0f && base <= 1e12f;
}

static int read_rope(const struct gguf *file, struct arch *arch, struct model_fail *fail) {
    struct rope *global = &arch->rope[ROPE_GLOBAL], *local = &arch->rope[ROPE_LOCAL];
    char key[96];
    int err =
        gguf_u32(file, key_of(key, arch, "rope.dimension_count"), arch->head_dim, &arch->rope_dim, fail);

    *global = *local = (struct rope){.factor = 1.0f, .magnitude = 1.0f};
    if (!err)
        err = read_number(file, arch, "rope.freq_base", 10000.0f, &global->base, fail);
    if (!err)
        err = read_number(file, arch, "rope.freq_base_swa", 10000.0f, &local->base, fail);
    if (!err && (arch->rope_dim == 0 || arch->rope_dim > arch->head_dim || arch->rope_dim % 2 != 0))
        err = model_fail(fail, -EINVAL,
                         "%s: %s.rope.dimension_count is %u, not an even number up to the head size %u; "
                         "convert the model again",
                         file->path, arch->name, arch->rope_dim, arch->head_dim);
    if (!err && !(is_base(global->base) && is_base(local->base)))
        err = model_fail(fail, -EINVAL, "%s: the rope base %g is out of range; convert the model again",
                         file->path, (double)(is_base(global->base) ? local->base : global->base));
    return err ? err : read_scaling(file, arch, global, fail);
}

double arch_rope_frequencies(const struct arch *arch, int kind, const float *divisors, double *frequencies) {
    const struct rope *rope = &arch->rope[kind];
    const uint32_t n = arch->rope_dim;
    double first = 0.0, last = 0.0; /* pairs between which YaRN goes from the old to the new */

    if (rope->scaling == ROPE_YARN) {
        const double scale = n / (2.0 * log((double)rope->base)), turns = rope->n_original / (2.0 * M_PI);

        first = fmax(0.0, floor(scale * log(turns / (double)rope->beta_fast)));
        last = fmin(n - 1.0, ceil(scale * log(turns / (double)rope->beta_slow)));
    }
    for (uint32_t i = 0; i < n / 2; i++) {
        const double old = pow((double)rope->base, -2.0 * i / n) / (divisors ? (double)divisors[i] : 1.0);
        double share = 1.0; /* of the scaled frequency */

        if (rope->scaling == ROPE_YARN)
            share = fmin(1.0, fmax(0.0, (i - first) / fmax(0.001, last - first)));
        frequencies[i] = old * (1.0 - share) + old / (double)rope->factor * share;
    }
    if (rope->scaling != ROPE_YARN)
        return 1.0;
    return (double)rope->magnitude * (1.0 + 0.1 * log((double)rope->factor));
}

/* ---- layers that see a window only ---- */

static int read_pattern(const struct gguf *file, struct arch *arch, uint32_t period,
                        struct model_fail *fail) {
    char key[96];
    const struct gguf_value *v = gguf_find(file, key_of(key, arch, "attention.sliding_window_pattern"));
    int err = 0;

    if (v && v->is_array) {
        if (v->type != GGUF_BOOL || v->count != arch->n_layers)
            return model_fail(fail, -EINVAL,
                              "%s: %s does not say true or false for each of %u layers; convert the model "
                              "again",
                              file->path, key, arch->n_layers);
        for (uint32_t i = 0; i < arch->n_layers; i++)
            arch->is_local[i] = gguf_array_int(v, i) != 0;
        return 0;
    }
    if (v)
        err = gguf_u32(file, key, period, &period, fail);
    for (uint32_t i = 0; !err && period > 0 && i < arch->n_layers; i++)
        arch->is_local[i] = i % period < period - 1;
    return err;
}

static int read_window(const struct gguf *file, struct arch *arch, uint32_t period, struct model_fail *fail) {
    char key[96];
    int err = gguf_u32(file, key_of(key, arch, "attention.sliding_window"), 0, &arch->window, fail);

    if (err || arch->window == 0 || period == 0)
        return err;
    return read_pattern(file, arch, period, fail);
}

/* ---- heads ---- */

static int read_heads(const struct gguf *file, struct arch *arch, struct model_fail *fail) {
    char key[96];
    uint32_t value_dim = 0;
    int err = read_count(file, arch, "attention.head_count", MAX_HEADS, &arch->n_heads, fail);

    if (!err)
        err = gguf_u32(file, key_of(key, arch, "attention.head_count_kv"), arch->n_heads, &arch->n_kv_heads,
                       fail);
    if (!err)
        err = gguf_u32(file, key_of(key, arch, "attention.key_length"), arch->n_embd / arch->n_heads,
                       &arch->head_dim, fail);
    if (!err)
        err = gguf_u32(file, key_of(key, arch, "attention.value_length"), arch->head_dim, &value_dim, fail);
    if (err)
        return err;
    if (arch->n_kv_heads == 0 || arch->n_heads % arch->n_kv_heads != 0)
        return model_fail(fail, -EINVAL,
                          "%s: %u heads cannot share %u key-value heads; convert the model again", file->path,
                          arch->n_heads, arch->n_kv_heads);
    if (arch->head_dim == 0 || arch->head_dim > MAX_HEAD_DIM || arch->head_dim % 16 != 0 ||
        value_dim != arch->head_dim)
        return model_fail(fail, -ENOTSUP,
                          "%s: heads of %u dimensions with values of %u; this build runs equal multiples of "
                          "16 up to %d",
                          file->path, arch->head_dim, value_dim, MAX_HEAD_DIM);
    return 0;
}

static int read_scales(const struct gguf *file, struct arch *arch, bool embed_scaled,
                       struct model_fail *fail) {
    const bool is_27b = embed_scaled && arch->n_layers == GEMMA3_27B_LAYERS;
    const uint32_t d = is_27b ? arch->n_embd / arch->n_heads : arch->head_dim;
    int err = read_number(file, arch, "attention.layer_norm_rms_epsilon", 1e-5f, &arch->norm_eps, fail);

    if (!err)
        err = read_number(file, arch, "attention.scale", 0.0f, &arch->attn_scale, fail);
    if (!err && arch->attn_scale == 0.0f)
        arch->attn_scale = 1.0f / sqrtf((float)d);
    arch->embed_scale = embed_scaled ? sqrtf((float)arch->n_embd) : 1.0f;
    if (!err && !(arch->norm_eps >= 0.0f && arch->norm_eps <= 1.0f && arch->attn_scale > 0.0f &&
                  arch->attn_scale <= 16.0f))
        err = model_fail(fail, -EINVAL,
                         "%s: the norm epsilon %g or the attention scale %g is out of range; convert the "
                         "model again",
                         file->path, (double)arch->norm_eps, (double)arch->attn_scale);
    return err;
}

int arch_read(const struct gguf *file, struct arch *arch, struct model_fail *fail) {
    const struct family *family = NULL;
    int err;

    memset(arch, 0, sizeof(*arch));
    err = read_family(file, arch, &family, fail);
    if (!err)
        err = refuse_unheeded(file, arch, fail);
    if (!err)
        err = read_count(file, arch, "block_count", ARCH_MAX_LAYERS, &arch->n_layers, fail);
    if (!err)
        err = read_count(file, arch, "embedding_length", MAX_WIDTH, &arch->n_embd, fail);
    if (!err)
        err = read_count(file, arch, "feed_forward_length", MAX_WIDTH, &arch->n_ff, fail);
    if (!err)
        err = read_count(file, arch, "context_length", MAX_CONTEXT, &arch->n_context, fail);
    if (!err)
        err = read_heads(file, arch, fail);
    if (!err)
        err = read_scales(file, arch, family->embed_scaled, fail);
    if (!err)
        err = read_rope(file, arch, fail);
    if (!err)
        err = read_window(file, arch, family->period, fail);
    return err;
}
