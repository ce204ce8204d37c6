/* SPDX-License-Identifier: Apache-2.0 */
/* html-both - HTML fragments read with and without a tree.
 *
 *     html-both < FRAGMENTS
 *
 * Fragments are separated by the byte 0x1E. A JSON line for each whose clean text or links differ, then one
 * with how many there were and how many needed no tree. What gets no tree because it is too deep is not
 * compared. Exit 0 when none differs, 1 when one does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "html-plain.h"
#include "text.h"

#define BASE "https://base.example/dir/page"

struct reading {
    struct buf raw, clean;
    struct html_links links;
    struct arena arena;
};

static void clean(struct reading *r) {
    text_clean(&r->clean, buf_text(&r->raw), r->raw.len, TEXT_PARAGRAPHS);
}

static void reading_finish(struct reading *r) {
    buf_finish(&r->raw);
    buf_finish(&r->clean);
    arena_finish(&r->arena);
}

static bool is_same(const struct reading *a, const struct reading *b) {
    if (a->clean.len != b->clean.len || a->links.n != b->links.n)
        return false;
    for (size_t i = 0; i < a->links.n; i++)
        if (strcmp(a->links.url[i], b->links.url[i]) != 0)
            return false;
    return !a->clean.len || !memcmp(a->clean.data, b->clean.data, a->clean.len);
}

static json_t *json_of(const struct reading *r) {
    json_t *links = json_array();
    for (size_t i = 0; i < r->links.n; i++)
        json_array_append_new(links, json_string(r->links.url[i]));
    return json_pack("{s:s%, s:o}", "text", buf_text(&r->clean), r->clean.len, "links", links);
}

/* 0: needs a tree; 1: the same; -1: not the same. */
static int compare(const char *html, size_t n) {
    struct reading plain = {.links = {.n = 0}}, tree = {.links = {.n = 0}};
    bool done = html_plain(&plain.raw, html, n, BASE, &plain.links, &plain.arena), same = true;
    if (done && html_tree_text(&tree.raw, html, n, BASE, &tree.links, &tree.arena)) {
        clean(&plain);
        clean(&tree);
        same = is_same(&plain, &tree);
    }
    if (!same) {
        json_t *line = json_pack("{s:o?, s:o, s:o}", "html", json_stringn(html, n), "plain", json_of(&plain),
                                 "tree", json_of(&tree));
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(line);
    }
    reading_finish(&plain);
    reading_finish(&tree);
    return !done ? 0 : same ? 1 : -1;
}

int main(void) {
    struct buf all = {.limit = 0};
    char chunk[65536];
    size_t n, fragments = 0, without = 0;
    bool differ = false;
    while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
        buf_add(&all, chunk, n);
    for (const char *at = buf_text(&all), *end = at + all.len; at < end;) {
        const char *stop = memchr(at, 0x1E, (size_t)(end - at));
        stop = stop ? stop : end;
        int how = compare(at, (size_t)(stop - at));
        fragments++;
        without += how != 0;
        differ |= how < 0;
        at = stop + 1;
    }
    printf("{\"fragments\":%zu,\"without_tree\":%zu}\n", fragments, without);
    buf_finish(&all);
    return differ;
}
