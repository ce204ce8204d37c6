/* SPDX-License-Identifier: Apache-2.0 */
/* about.h - whether a description from a child is one that the host can rely on. */
#ifndef HOST_ABOUT_H
#define HOST_ABOUT_H

#include <jansson.h>
#include <stddef.h>

/* Check an `about` object (see loader.h) against its own rules and the file's manifest. 0, or -1 with "what;
 * remedy" in why. */
int about_check(const json_t *about, const json_t *manifest, char *why, size_t why_size);

#endif
