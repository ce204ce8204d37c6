/* SPDX-License-Identifier: Apache-2.0 */
/* catalogue.h - the models of configs/models.yaml, and where their files are.
 *
 * The same rules as scripts/model_fetch.py, which fetches them. */
#ifndef HOST_CLI_CATALOGUE_H
#define HOST_CLI_CATALOGUE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct catalogue_entry {
    const char *name, *about, *file, *sha256, *licence; /* borrowed from the catalogue; "" when not stated */
    int64_t bytes;
    char *path;   /* owned: where the file is, or would be */
    bool present; /* it is there with the right size */
};

struct catalogue {
    struct catalogue_entry *entries;
    size_t n;
    void *tree; /* owned */
};

/* Read the list: TELEX_CATALOGUE, else that of the source tree or of the installation. 0 (catalogue_finish),
 * or -1 with the errors printed. */
int catalogue_read(struct catalogue *out, FILE *errors);
void catalogue_finish(struct catalogue *catalogue);

/* The entry of a name, or NULL. */
const struct catalogue_entry *catalogue_find(const struct catalogue *catalogue, const char *name);

/* Where the script that fetches models is. Gives it (free); NULL: not found. */
char *catalogue_script(void);

#endif
