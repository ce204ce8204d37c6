/* SPDX-License-Identifier: Apache-2.0 */
/* settings.h - the options of this stage: one table for the plugin, its documentation and the tests' driver.
 */
#ifndef CLUSTER_SETTINGS_H
#define CLUSTER_SETTINGS_H

#include <telex/option.h>

#include "cluster.h"

/* NULL-ended; fills a struct cluster_options. */
extern const struct telex_option *const settings_table[];

/* The table's defaults. */
void settings_default(struct cluster_options *options);

/* One "name=value" as a config would write it, unchecked: for the tests' driver. Text is borrowed. 0 or
 * -ENOENT. */
int settings_set(struct cluster_options *options, const char *assignment);

#endif
