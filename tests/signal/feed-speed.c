/* SPDX-License-Identifier: Apache-2.0 */
/* feed-speed - seconds to read feed documents: the feed parser beside libxml2's tree.
 *
 *     feed-speed [--only-ours] ROUNDS FILE...
 *
 * Each round reads every file once with each reader, in turn, from memory. A line a file: its name, bytes,
 * and the median nanoseconds of processor time of both (0 for a reader that was left out). Ours is everything
 * from bytes to clean items, HTML included; libxml2's is xmlReadMemory, which recovers from errors and
 * expands nothing, and xmlFreeDoc. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libxml/parser.h>

#include "feed.h"

enum { READER_OURS, READER_LIBXML2, READERS_N };

struct document {
    const char *path;
    struct buf bytes;
    int64_t *ns[READERS_N]; /* (rounds) each, owned */
};

static int64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int read_file(const char *path, struct buf *out) {
    char chunk[65536];
    FILE *file = fopen(path, "rb");
    if (!file)
        return -errno;
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_add(out, chunk, n);
    int err = ferror(file) ? -EIO : 0;
    fclose(file);
    return err;
}

static int64_t time_ours(const struct document *d) {
    struct feed_hints hints = {.url = "https://feed.example/rss"};
    struct feed feed;
    int64_t began = cpu_ns();
    int err = feed_parse(&feed, d->bytes.data, d->bytes.len, &hints, NULL);
    feed_finish(&feed);
    int64_t took = cpu_ns() - began;
    return err ? -1 : took;
}

static int64_t time_libxml2(const struct document *d) {
    int options = XML_PARSE_RECOVER | XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING;
    int64_t began = cpu_ns();
    xmlDocPtr tree = xmlReadMemory(d->bytes.data, (int)d->bytes.len, NULL, NULL, options);
    xmlFreeDoc(tree);
    int64_t took = cpu_ns() - began;
    return tree ? took : -1;
}

static int by_value(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int64_t median(int64_t *ns, int rounds) {
    qsort(ns, (size_t)rounds, sizeof(*ns), by_value);
    return ns[rounds / 2];
}

int main(int argc, char **argv) {
    bool alone = argc > 1 && !strcmp(argv[1], "--only-ours");
    int at = 1 + alone, rounds = argc > at ? atoi(argv[at]) : 0, n = argc - at - 1;
    struct document *all = n > 0 ? calloc((size_t)n, sizeof(*all)) : NULL;
    if (rounds < 1 || !all) {
        fprintf(stderr, "feed-speed: usage: feed-speed [--only-ours] ROUNDS FILE...\n");
        return 2;
    }
    for (int i = 0; i < n; i++) {
        all[i].path = argv[at + 1 + i];
        int err = read_file(all[i].path, &all[i].bytes);
        for (int k = 0; k < READERS_N; k++)
            all[i].ns[k] = calloc((size_t)rounds, sizeof(int64_t));
        if (err < 0 || !all[i].ns[READER_OURS] || !all[i].ns[READER_LIBXML2]) {
            fprintf(stderr, "feed-speed: %s: %s\n", all[i].path, strerror(err < 0 ? -err : ENOMEM));
            return 1;
        }
    }
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < n; i++) {
            all[i].ns[READER_OURS][round] = time_ours(&all[i]);
            if (!alone)
                all[i].ns[READER_LIBXML2][round] = time_libxml2(&all[i]);
        }
    for (int i = 0; i < n; i++) {
        printf("%s\t%zu\t%lld\t%lld\n", all[i].path, all[i].bytes.len,
               (long long)median(all[i].ns[READER_OURS], rounds),
               (long long)median(all[i].ns[READER_LIBXML2], rounds));
        for (int k = 0; k < READERS_N; k++)
            free(all[i].ns[k]);
        buf_finish(&all[i].bytes);
    }
    free(all);
    return 0;
}
