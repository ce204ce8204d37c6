/* SPDX-License-Identifier: Apache-2.0 */
/* files.h - write a batch of files below a root so that a reader sees each one old or new, never half. */
#ifndef WIRE_SITE_FILES_H
#define WIRE_SITE_FILES_H

#include <jansson.h>
#include <stdbool.h>

#include "text.h"

struct files {
    int root;         /* owned descriptor */
    bool precompress; /* also write NAME.gz */
    bool bulk;        /* many files: one sync of the file system at the flush instead of one each */
    json_t *listing;  /* owned: [{path, sha256, bytes}] in the order of writing */
    json_t *touched;  /* owned: folders that wait for their fsync */
    int error;        /* the first failure, negative errno; later puts do nothing */
    char failed[256]; /* its path */
};

/* Open the root, making it and its parents where they are missing. 0 or negative errno. */
int files_open(struct files *files, const char *root, bool precompress);

/* Write one file at `path`, below the root: a-z, 0-9, and "-_./", no part beginning with a dot. A file
 * that already has this content is left alone, so its time and ETag stay. `announced` files are listed.
 * Takes the text. */
void files_put(struct files *files, const char *path, struct text *text, bool announced);

/* Remove a file; one that is not there is fine. */
void files_remove(struct files *files, const char *path);

/* Append what stands at `path` to out: false when nothing readable of at most 64 KiB does. */
bool files_read(const struct files *files, const char *path, struct text *out);

/* Make the names durable. Gives the listing and starts a new one; *listing is NULL on failure.
 * 0, or the first failure of the batch. */
int files_flush(struct files *files, json_t **listing);

void files_finish(struct files *files);

#endif
