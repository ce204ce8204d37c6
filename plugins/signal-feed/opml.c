/* SPDX-License-Identifier: Apache-2.0 */
/* opml.c - the feeds of an OPML document, as feed readers export it: every <outline> with an xmlUrl.
 *
 * It is the operator's own file, so what is wrong in it is an error with its place; an outline whose address
 * we cannot follow is left out with a line in the log, because exports are long and old. */
#include "stage.h"

#include <limits.h>
#include <string.h>
#include <strings.h>

#include <expat.h>

#define FILE_MAX_BYTES ((size_t)8 << 20)

struct opml {
    struct stage *stage;
    const char *path;
    XML_Parser parser;
    telex_status status;
};

static void start_element(void *user, const char *name, const char **attributes) {
    struct opml *opml = user;
    struct source source = {.name = NULL};
    const char *address = NULL, *title = NULL;
    char where[512];
    if (strcasecmp(name, "outline") != 0 || opml->status != TELEX_OK)
        return;
    for (size_t i = 0; attributes[i]; i += 2) {
        if (!strcasecmp(attributes[i], "xmlUrl"))
            address = attributes[i + 1];
        else if (!strcasecmp(attributes[i], "title") || (!strcasecmp(attributes[i], "text") && !title))
            title = attributes[i + 1];
    }
    if (!address || !*address)
        return;
    snprintf(where, sizeof(where), "%.400s:%lu", opml->path, XML_GetCurrentLineNumber(opml->parser));
    const char *why = list_address(opml->stage, &source, address);
    if (why) {
        telex_say(opml->stage->host, TELEX_WARN, 0, "%s: \"%.100s\" %s; left out", where, address, why);
        return;
    }
    source.name = title && *title ? arena_text(&opml->stage->list, title) : NULL;
    opml->status = list_add(opml->stage, &source, where);
}

static void entity_declared(void *user, const char *name, int is_parameter, const char *value,
                            int value_bytes, const char *base, const char *system_id, const char *public_id,
                            const char *notation) {
    struct opml *opml = user;
    (void)name, (void)is_parameter, (void)value, (void)value_bytes;
    (void)base, (void)system_id, (void)public_id, (void)notation;
    XML_StopParser(opml->parser, XML_FALSE);
}

telex_status opml_read(struct stage *stage, FILE *file, const char *path) {
    struct buf text = {.limit = FILE_MAX_BYTES};
    struct opml opml = {.stage = stage, .path = path};
    char chunk[65536];
    size_t n;
    while (!text.full && (n = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_add(&text, chunk, n);
    opml.parser = ferror(file) || text.full ? NULL : XML_ParserCreate(NULL);
    if (!opml.parser) {
        buf_finish(&text);
        return telex_fail(stage->host, 0, TELEX_FATAL,
                          "feeds_file %s cannot be read, or is larger than 8 MiB", path);
    }
    XML_SetUserData(opml.parser, &opml);
    XML_SetStartElementHandler(opml.parser, start_element);
    XML_SetEntityDeclHandler(opml.parser, entity_declared);
    if (XML_Parse(opml.parser, buf_text(&text), (int)text.len, 1) != XML_STATUS_OK && opml.status == TELEX_OK)
        opml.status = telex_fail(
            stage->host, 0, TELEX_FATAL, "%s:%lu:%lu: %s", path, XML_GetCurrentLineNumber(opml.parser),
            XML_GetCurrentColumnNumber(opml.parser) + 1, XML_ErrorString(XML_GetErrorCode(opml.parser)));
    XML_ParserFree(opml.parser);
    buf_finish(&text);
    return opml.status;
}
