/* SPDX-License-Identifier: Apache-2.0 */
/* layer.h - the tensors of one layer: what a file calls them, and their shapes. */
#ifndef TELEX_MODEL_LAYER_H
#define TELEX_MODEL_LAYER_H

#include "arch.h"
#include "tensors.h"

enum layer_matrix {
    LAYER_Q,
    LAYER_K,
    LAYER_V,
    LAYER_OUT,
    LAYER_GATE,
    LAYER_UP,
    LAYER_DOWN,
    N_LAYER_MATRICES
};
enum layer_vector {
    LAYER_ATTN_NORM,
    LAYER_FFN_NORM,
    LAYER_Q_NORM,
    LAYER_K_NORM,
    LAYER_ATTN_POST,
    LAYER_FFN_POST,
    LAYER_Q_BIAS,
    LAYER_K_BIAS,
    LAYER_V_BIAS,
    N_LAYER_VECTORS
};

struct layer_tensor {
    char name[TENSOR_NAME_BYTES];
    uint32_t n_rows, n_cols; /* a vector: n_rows numbers, one column */
    bool is_there;           /* this architecture has it; what it has not is left unread, and so refused */
    bool optional;           /* the file may lack it */
};

struct layer_tensor layer_matrix(const struct arch *arch, uint32_t layer, enum layer_matrix which);
struct layer_tensor layer_vector(const struct arch *arch, uint32_t layer, enum layer_vector which);

#endif
