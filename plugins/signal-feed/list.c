/* SPDX-License-Identifier: Apache-2.0 */
/* list.c - the feeds of the config: from the option `feeds`, then from `feeds_file`, which holds such lines
 * or is OPML.
 *
 * A line is an address and words behind it: primary, name="...", owner="...", outlet=..., lang=.., every=30m.
 * Each address counts once; the first line with it holds. */
#include "stage.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <telex-sdk/id.h>

#include "url.h"

#define LINE_MAX_BYTES 4096
#define SOURCES_MAX    20000
#define DOMAINS_MORE   256

/* "90s", "30m", "2h", "1d" to ms; -1 when it is none. */
static int64_t duration(const char *text) {
    char *end;
    double value = strtod(text, &end);
    double unit = !strcmp(end, "ms")  ? 1
                  : !strcmp(end, "s") ? 1e3
                  : !strcmp(end, "m") ? 60e3
                  : !strcmp(end, "h") ? 3600e3
                  : !strcmp(end, "d") ? 86400e3
                                      : -1;
    return end == text || unit < 0 || value <= 0 || value * unit > 366 * 86400e3 ? -1
                                                                                 : (int64_t)(value * unit);
}

/* The next word of a line; quotes hold blanks together. NULL at the end. */
static char *next_word(char **at) {
    char *from = *at, *to, *word;
    while (isspace((unsigned char)*from))
        from++;
    if (!*from || *from == '#')
        return NULL;
    word = to = from;
    char quote = 0;
    for (; *from && (quote || !isspace((unsigned char)*from)); from++) {
        if (*from == '"' && (!quote || quote == '"'))
            quote = quote ? 0 : '"';
        else
            *to++ = *from;
    }
    *at = *from ? from + 1 : from;
    *to = 0;
    return word;
}

/* What is wrong with a word, or NULL when it was understood. */
static const char *read_word(struct stage *stage, struct source *source, const char *word) {
    static const char *const keys[] = {"name=", "owner=", "outlet=", "lang="};
    const char **const to[] = {&source->name, &source->owner, &source->outlet, &source->lang};
    if (!strcmp(word, "primary")) {
        source->primary = true;
        return NULL;
    }
    if (!strncmp(word, "every=", 6)) {
        source->every_ms = duration(word + 6);
        return source->every_ms >= 1000 ? NULL : "every= wants a duration of at least 1s, such as 30m";
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (!strncmp(word, keys[i], strlen(keys[i]))) {
            *to[i] = arena_text(&stage->list, word + strlen(keys[i]));
            return NULL;
        }
    return "is not one of primary, name=, owner=, outlet=, lang=, every=";
}

const char *list_address(struct stage *stage, struct source *source, const char *word) {
    bool path = *word == '/';
    source->is_file = path || !strncasecmp(word, "file://", 7);
    if (!source->is_file && !url_is_web(word))
        return "is no http, https or file address";
    if (strlen(word) > URL_LIMIT_BYTES)
        return "is longer than 2,048 bytes";
    source->address = arena_text(&stage->list, word);
    if (!source->address)
        return "finds no memory";
    struct telex_bytes part = telex_text(source->address);
    telex_id(source->key, "feed", &part, 1);
    return NULL;
}

static bool is_listed(const struct stage *stage, const char *key) {
    for (size_t i = 0; i < stage->n_sources; i++)
        if (!memcmp(stage->sources[i].key, key, 32))
            return true;
    return false;
}

telex_status list_add(struct stage *stage, const struct source *source, const char *where) {
    if (is_listed(stage, source->key))
        return TELEX_OK;
    if (stage->n_sources == SOURCES_MAX)
        return telex_fail(stage->host, 0, TELEX_FATAL, "%s: more than %d feeds", where, SOURCES_MAX);
    if (!(stage->n_sources & (stage->n_sources + 1))) { /* room for 1, 3, 7 ... */
        struct source *more = realloc(stage->sources, (2 * stage->n_sources + 1) * sizeof(*more));
        if (!more)
            return TELEX_FATAL;
        stage->sources = more;
    }
    stage->sources[stage->n_sources++] = *source;
    return TELEX_OK;
}

/* One line. `where` names it in the error. */
static telex_status add_line(struct stage *stage, const char *line, const char *where) {
    char copy[LINE_MAX_BYTES], *at = copy, *word;
    struct source source = {.name = NULL};
    if (strlen(line) >= sizeof(copy))
        return telex_fail(stage->host, 0, TELEX_FATAL, "%s: longer than %d bytes", where, LINE_MAX_BYTES);
    snprintf(copy, sizeof(copy), "%s", line);
    for (int i = 0; (word = next_word(&at)); i++) {
        const char *why = i ? read_word(stage, &source, word) : list_address(stage, &source, word);
        if (why)
            return telex_fail(stage->host, 0, TELEX_FATAL, "%s: \"%.100s\" %s", where, word, why);
    }
    return source.address ? list_add(stage, &source, where) : TELEX_OK;
}

static telex_status read_lines(struct stage *stage, FILE *file, const char *path) {
    char line[LINE_MAX_BYTES], where[512];
    telex_status status = TELEX_OK;
    for (int number = 1; status == TELEX_OK && fgets(line, sizeof(line), file); number++) {
        snprintf(where, sizeof(where), "%.400s:%d", path, number);
        status = add_line(stage, line, where);
    }
    if (status == TELEX_OK && ferror(file))
        status = telex_fail(stage->host, 0, TELEX_FATAL, "feeds_file %s cannot be read", path);
    return status;
}

static telex_status read_list_file(struct stage *stage) {
    const char *path = stage->options.feeds_file;
    telex_status status = TELEX_OK;
    FILE *file = fopen(path, "re");
    if (!file)
        return telex_fail(stage->host, 0, TELEX_FATAL, "feeds_file %s: %s", path, strerror(errno));
    int first = getc(file);
    while (first != EOF && (isspace(first) || strchr("\xEF\xBB\xBF", first)))
        first = getc(file);
    rewind(file);
    if (first == '<')
        status = opml_read(stage, file, path);
    else
        status = read_lines(stage, file, path);
    fclose(file);
    return status;
}

struct domain *list_domain(struct stage *stage, const char *host) {
    if (!host)
        return NULL;
    const char *name = url_registrable(host);
    size_t k = 0;
    while (k < stage->n_domains && strcmp(stage->domains[k].name, name) != 0)
        k++;
    if (k < stage->n_domains)
        return &stage->domains[k];
    const char *kept = k < stage->domains_max ? arena_text(&stage->list, name) : NULL;
    if (!kept)
        return &stage->domains[stage->domains_max];
    stage->domains[k].name = kept;
    stage->n_domains++;
    return &stage->domains[k];
}

void list_settle(struct stage *stage, struct source *source) {
    struct arena scratch = {.limit = 0};
    const char *url = source->memory.url ? source->memory.url : source->address;
    source->domain = source->is_file ? NULL : list_domain(stage, url_host(&scratch, url));
    if (!source->is_file && !source->domain)
        source->domain = &stage->domains[stage->domains_max];
    arena_finish(&scratch);
}

/* Room for the sites of all feeds, and of those they may move to. */
static telex_status find_domains(struct stage *stage) {
    stage->domains_max = 2 * stage->n_sources + DOMAINS_MORE;
    stage->domains = calloc(stage->domains_max + 1, sizeof(*stage->domains));
    if (!stage->domains)
        return TELEX_FATAL;
    stage->domains[stage->domains_max].name = "";
    for (size_t i = 0; i < stage->n_sources; i++)
        list_settle(stage, &stage->sources[i]);
    return TELEX_OK;
}

telex_status list_read(struct stage *stage) {
    char where[64];
    telex_status status = TELEX_OK;
    for (uint32_t i = 0; status == TELEX_OK && i < stage->options.feeds.count; i++) {
        snprintf(where, sizeof(where), "feeds[%u]", i);
        status = add_line(stage, stage->options.feeds.items[i], where);
    }
    if (status == TELEX_OK && *stage->options.feeds_file)
        status = read_list_file(stage);
    if (status == TELEX_OK && !stage->n_sources)
        status = telex_fail(stage->host, 0, TELEX_FATAL, "no feed named: set feeds or feeds_file");
    return status == TELEX_OK ? find_domains(stage) : status;
}

void list_finish(struct stage *stage) {
    for (size_t i = 0; i < stage->n_sources; i++)
        memory_finish(&stage->sources[i].memory);
    free(stage->sources);
    free(stage->domains);
    arena_finish(&stage->list);
}
