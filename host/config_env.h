/* SPDX-License-Identifier: Apache-2.0 */
/* config_env.h - ${env:NAME} in the text values of a config. */
#ifndef HOST_CONFIG_ENV_H
#define HOST_CONFIG_ENV_H

#include <stdbool.h>
#include <stddef.h>

/* A copy of text with ${env:NAME} and ${env:NAME:-default} replaced and "$${" as "${". *changed says whether
 * a variable was used. NULL with "what; remedy" in why: a variable is not set, or the notation is not closed
 * or not known. */
char *env_replace(const char *text, bool *changed, char *why, size_t why_size);

#endif
