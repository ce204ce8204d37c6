/* SPDX-License-Identifier: Apache-2.0 */
/* plugin_file.h - a plugin's file before any of its code has run.
 *
 * The file is read once. What was hashed, inspected and copied are the same bytes, whatever happens to the
 * path. */
#ifndef HOST_PLUGIN_FILE_H
#define HOST_PLUGIN_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "elf_file.h"

struct plugin_file {
    unsigned char *data; /* owned */
    size_t size;
    char sha256[65];
    struct elf elf;   /* after inspect */
    json_t *manifest; /* owned; after inspect: has name, version, abi, provides */
};

/* Read a file of at most 512 MiB. 0, or -1 with a clause in why. */
int plugin_file_read(struct plugin_file *file, const char *path, char *why, size_t why_size);
void plugin_file_finish(struct plugin_file *file); /* accepts a zeroed one */

/* Check that it is a shared object for this machine, has a manifest, wants an ABI that this program has,
 * exports the entry and nothing else and takes no static TLS. 0, or -1 with "what; remedy" in why. */
int plugin_file_inspect(struct plugin_file *file, char *why, size_t why_size);

/* Whether the ABI that its manifest names is one of this program's. */
bool plugin_file_fits(const struct plugin_file *file);

/* Write the bytes to a private file <folder>/<sha256>/<name>.so that only this user can change, or find them
 * there, and read them back to be sure. Gives the path (free); NULL with a clause in why. */
char *plugin_file_copy(const struct plugin_file *file, const char *name, char *why, size_t why_size);

/* The same bytes in memory that nobody can change any more, this process included: a sealed memfd, read back
 * to be sure. Gives a descriptor of at least 32, above those that a runner is given; -1 with a clause in why.
 */
int plugin_file_seal(const struct plugin_file *file, const char *name, char *why, size_t why_size);

/* Whether a descriptor, which came from another process, is sealed so and has these bytes. 0, or -1 with a
 * clause in why. */
int plugin_image_check(int fd, const char *sha256, char *why, size_t why_size);

/* The folder of the private copies: chosen once, kept for the life of the process. NULL: none can be made. */
const char *plugin_copies_folder(void);

#endif
