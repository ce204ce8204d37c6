/* SPDX-License-Identifier: Apache-2.0 */
/* describe.h - first contact with a plugin, in a child process. */
#ifndef HOST_DESCRIBE_H
#define HOST_DESCRIBE_H

#include <jansson.h>
#include <stddef.h>

#include <telex/plugin.h>

/* The class table that a loaded entry gives, after the checks that both the child and the loader need. NULL
 * with "what; remedy" in why. *class_id is static. */
const void *describe_class(const struct telex_plugin *plugin, const char **class_id, char *why,
                           size_t why_size);

/* Run the child on a private copy, or on the image of this descriptor (0: none), which copy names, and read
 * what it prints. Gives an object that is well formed as loader.h says; NULL with "what; remedy" in why: also
 * when the child crashes, hangs for 5 s or talks too much. */
json_t *describe_in_child(const char *copy, int image, char *why, size_t why_size);

#endif
