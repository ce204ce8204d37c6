/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - the flat list of steps of a forward pass, and how it is printed. */
#include <stdlib.h>

#include "arch.h"

static bool has_step(const struct arch *arch, enum step_op op) {
    return arch->post_norms || (op != STEP_ATTN_POST && op != STEP_FFN_POST);
}

struct step *arch_plan(const struct arch *arch, size_t *n_steps) {
    const size_t per_layer = STEP_FFN_POST - STEP_ATTN_NORM + 1;
    struct step *steps = calloc(arch->n_layers * per_layer + 3, sizeof(*steps));
    size_t n = 0;

    if (!steps)
        return NULL;
    steps[n++] = (struct step){STEP_EMBED, 0};
    for (uint32_t layer = 0; layer < arch->n_layers; layer++)
        for (int op = STEP_ATTN_NORM; op <= STEP_FFN_POST; op++)
            if (has_step(arch, (enum step_op)op))
                steps[n++] = (struct step){(enum step_op)op, layer};
    steps[n++] = (struct step){STEP_LAST_NORM, arch->n_layers};
    steps[n++] = (struct step){STEP_HEAD, arch->n_layers};
    *n_steps = n;
    return steps;
}

static void print_rope(const struct arch *a, uint32_t layer, FILE *out) {
    const struct rope *rope = &a->rope[a->is_local[layer]];

    fprintf(out, "; q, k turn %u of %u in %s, base %g", a->rope_dim, a->head_dim,
            a->rope_halves ? "halves" : "pairs", (double)rope->base);
    if (rope->scaling == ROPE_LINEAR)
        fprintf(out, ", positions / %g", (double)rope->factor);
    if (rope->scaling == ROPE_YARN)
        fprintf(out, ", yarn %g over %u", (double)rope->factor, rope->n_original);
}

static void print_qkv(const struct arch *a, uint32_t layer, FILE *out) {
    const uint32_t q = a->n_heads * a->head_dim, kv = a->n_kv_heads * a->head_dim;

    fprintf(out, "q(%u) k(%u) v(%u) = W h%s", q, kv, kv, a->qkv_bias ? " + b" : "");
    if (a->qk_norm)
        fprintf(out, "; q, k = q, k / rms(%u, %g) * w", a->head_dim, (double)a->norm_eps);
    print_rope(a, layer, out);
}

static void print_attend(const struct arch *a, uint32_t layer, FILE *out) {
    fprintf(out, "h(%u) = softmax(q k' * %g) v, %u heads on %u", a->n_heads * a->head_dim,
            (double)a->attn_scale, a->n_heads, a->n_kv_heads);
    if (a->is_local[layer])
        fprintf(out, ", last %u positions", a->window);
}

static void print_formula(const struct arch *a, const struct step *step, FILE *out) {
    switch (step->op) {
    case STEP_EMBED:
        fprintf(out, "x(%u) = table[token]", a->n_embd);
        if (a->embed_scale != 1.0f)
            fprintf(out, " * %g", (double)a->embed_scale);
        break;
    case STEP_ATTN_NORM:
    case STEP_FFN_NORM:
    case STEP_LAST_NORM:
        fprintf(out, "h(%u) = x / rms(x, %g) * w", a->n_embd, (double)a->norm_eps);
        break;
    case STEP_QKV:
        print_qkv(a, step->layer, out);
        break;
    case STEP_ATTEND:
        print_attend(a, step->layer, out);
        break;
    case STEP_ATTN_OUT:
    case STEP_DOWN:
        fprintf(out, "%s(%u) %s W %c", a->post_norms ? "y" : "x", a->n_embd,
                a->post_norms ? "=" : "+=", step->op == STEP_DOWN ? 'g' : 'h');
        break;
    case STEP_ATTN_POST:
    case STEP_FFN_POST:
        fprintf(out, "x(%u) += y / rms(y, %g) * w", a->n_embd, (double)a->norm_eps);
        break;
    case STEP_GATE_UP:
        fprintf(out, "g(%u) = %s(Wg h) * (Wu h)", a->n_ff, a->gelu ? "gelu" : "silu");
        break;
    case STEP_HEAD:
        fprintf(out, "logits = W h, for the rows asked for");
        break;
    }
}

void arch_print_plan(const struct arch *arch, const struct step *steps, size_t n_steps, FILE *out) {
    static const char *const names[] = {"embed",    "attn-norm", "qkv",  "attend",   "attn-out",  "attn-post",
                                        "ffn-norm", "gate-up",   "down", "ffn-post", "last-norm", "head"};

    fprintf(out, "%s: %u layers, %zu steps\n", arch->name, arch->n_layers, n_steps);
    for (size_t i = 0; i < n_steps; i++) {
        fprintf(out, "%4zu  ", i);
        if (steps[i].op >= STEP_ATTN_NORM && steps[i].op <= STEP_FFN_POST)
            fprintf(out, "layer %-3u ", steps[i].layer);
        else
            fprintf(out, "%-10s", "");
        fprintf(out, "%-10s", names[steps[i].op]);
        print_formula(arch, &steps[i], out);
        fputc('\n', out);
    }
}
