/* SPDX-License-Identifier: Apache-2.0 */
/* stage_table.h - what the engine needs to know of a stage whose plugin it does not load.
 *
 * A stage with `isolation: process` is loaded by its runner alone, so nothing of it, constructors included,
 * runs in this process. Its table is made of the description that the host checked; every call of it is NULL.
 */
#ifndef HOST_STAGE_TABLE_H
#define HOST_STAGE_TABLE_H

#include <telex/stage.h>

#include "loader.h"

/* The table of a described stage; its texts are borrowed from desc. NULL: out of memory. */
struct telex_stage *stage_table_create(const struct plugin_desc *desc);
void stage_table_destroy(const struct telex_stage *table); /* accepts NULL */

#endif
