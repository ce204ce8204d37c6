/* SPDX-License-Identifier: Apache-2.0 */
/* archive.h - what the files of signal-archive share. */
#ifndef SIGNAL_ARCHIVE_H
#define SIGNAL_ARCHIVE_H

#include <telex-sdk/plugin.h>

#include "buf.h"

/* Checked options (plugin.c). Text is "" where not given. */
struct archive_config {
    const char *path;
    struct telex_texts paths;
    const char *format, *order, *source, *outlet, *owner, *lang;
    bool primary;
    double speed;
    int64_t batch, text_bytes, memory_bytes;
};

/* One record on its way out. */
struct archive_entry {
    uint8_t *body; /* owned: a msgpack map */
    size_t size;
    int64_t published_ms;
    uint64_t order; /* in which the files gave it */
    char id[TELEX_ID_MAX_BYTES + 1];
};

void archive_entry_finish(struct archive_entry *entry);

/* ---- reader.c: files to entries, one after another ---- */

struct archive_reader {
    const struct telex_host *host;       /* borrowed */
    const struct archive_config *config; /* borrowed */
    char **files;                        /* owned, in the order in which they are read */
    size_t n_files, next_file;
    void *lines;                 /* owned gzFile of the JSONL file being read, or NULL */
    uint64_t line;               /* its line number */
    struct archive_entry *ready; /* owned: entries of the last whole document, a queue */
    size_t n_ready, next_ready, ready_cap;
    uint64_t given, left_out, files_left_out; /* entries given; records and files that could not be read */
};

/* Find the files. TELEX_OK, or TELEX_FATAL with the reason attached. */
telex_status archive_reader_open(struct archive_reader *reader, const struct telex_host *host,
                                 const struct archive_config *config);
/* The next entry, which the caller then owns. 1, 0 at the end, -ENOMEM. What cannot be read is logged and
 * left out. */
int archive_reader_next(struct archive_reader *reader, struct archive_entry *entry);
void archive_reader_close(struct archive_reader *reader); /* accepts zeroed memory */

/* For the format files: queue one record that was built. Takes the builder's bytes by copy. 0 or -ENOMEM. */
int archive_reader_add(struct archive_reader *reader, const struct telex_builder *b, const char *id,
                       int64_t published_ms);
/* Log what was wrong with a part of a file and count it as left out. */
__attribute__((format(printf, 3, 4))) void archive_reader_skip(struct archive_reader *reader,
                                                               const char *path, const char *format, ...);

/* ---- one document to entries; each logs what it leaves out. 0 or -ENOMEM ---- */

int reuters_read(struct archive_reader *reader, const char *path, const char *data, size_t n); /* reuters.c */
int feeds_read(struct archive_reader *reader, const char *path, const char *data, size_t n);   /* feeds.c */
int jsonl_read(struct archive_reader *reader, const char *path, const char *line, size_t n);   /* jsonl.c */

#endif
