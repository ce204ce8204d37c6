/* SPDX-License-Identifier: Apache-2.0 */
/* judge.h - what becomes of a piece that was answered: it stands, is asked again, quoted, or dropped. */
#ifndef DESK_JUDGE_H
#define DESK_JUDGE_H

#include "draft.h"

/* Judge every open piece, in order. 0 or -ENOMEM. [any] */
int judge_all(struct draft *draft);

#endif
