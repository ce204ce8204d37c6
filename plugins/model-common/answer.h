/* SPDX-License-Identifier: Apache-2.0 */
/* answer.h - from a row's logits to what its caller asked for. */
#ifndef TELEX_ANSWER_H
#define TELEX_ANSWER_H

#include <telex/model.h>

/* Fill ids and logits of the row as telex/model.h states. */
void answer_row(struct telex_row *row, const float *logits, uint32_t n_vocab);

#endif
