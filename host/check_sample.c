/* SPDX-License-Identifier: Apache-2.0 */
/* check_sample.c - the messages that the kit gives to a stage. */
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/id.h>
#include <telex-sdk/json.h>

#include "check_life.h"

static void add_text(struct telex_builder *b, const char *key, const char *text) {
    telex_build_key(b, key);
    telex_build_text(b, text);
}

void check_sample_id(char out[33], const char *kind, int number) {
    char text[16];
    snprintf(text, sizeof(text), "%d", number);
    struct telex_bytes part = telex_text(text);
    telex_id(out, kind, &part, 1);
}

static void add_record(struct telex_builder *b, int number) {
    static const char *const texts[] = {"The port of Ardel reopened on Monday after a storm had closed it "
                                        "for three days. Two ships left at noon, the "
                                        "harbour master said. Eleven more were waiting outside the bay. The "
                                        "storm had torn down a crane on the north "
                                        "pier. Nobody was hurt.",
                                        "Ardel's harbour is open again. A storm had closed the port on "
                                        "Friday and broken one of its four cranes. Ferry "
                                        "traffic to the islands starts on Tuesday, the port authority said "
                                        "in a statement. Repairs of the crane will "
                                        "take six weeks."};
    char text[80];
    add_text(b, "source", "check");
    snprintf(text, sizeof(text), "outlet%d.example", number % 3);
    add_text(b, "outlet", text);
    snprintf(text, sizeof(text), "https://outlet%d.example/%d", number % 3, number);
    add_text(b, "url", text);
    snprintf(text, sizeof(text), "Port of Ardel reopens after storm, report %d", number / 2);
    add_text(b, "title", text);
    add_text(b, "text", texts[number % 2]);
    add_text(b, "lang", "en");
    telex_build_key(b, "published_ms"), telex_build_int(b, 1767225600000 + number * 60000ll);
    telex_build_key(b, "number"), telex_build_int(b, number);
}

static void add_story(struct telex_builder *b) {
    char id[33];
    telex_build_key(b, "records"), telex_build_array(b, 2);
    for (int i = 0; i < 2; i++) {
        check_sample_id(id, "telex.record/1", i);
        telex_build_text(b, id);
    }
    telex_build_key(b, "outlets"), telex_build_int(b, 2);
    telex_build_key(b, "first_ms"), telex_build_int(b, 1767225600000);
    telex_build_key(b, "last_ms"), telex_build_int(b, 1767225660000);
    add_text(b, "label", "port of Ardel");
    add_text(b, "state", "open");
}

static void add_dispatch(struct telex_builder *b) {
    add_text(b, "status", "usable"), add_text(b, "kind", "News"), add_text(b, "beat", "Shipping");
    add_text(b, "headline", "Port of Ardel reopens after storm");
    add_text(b, "dek", "Two ships left at noon.");
    telex_build_key(b, "body"), telex_build_array(b, 1);
    telex_build_map_begin(b);
    add_text(b, "text", "The port of Ardel reopened on Monday after a storm had closed it for three days.");
    telex_build_map_end(b);
    telex_build_key(b, "faq"), telex_build_array(b, 0);
    telex_build_key(b, "citations"), telex_build_array(b, 0);
}

void check_sample_keys(struct telex_builder *b, const char *schema, int number) {
    if (strcmp(schema, "telex.story/1") == 0)
        add_story(b);
    else if (strcmp(schema, "telex.dispatch/1") == 0)
        add_dispatch(b);
    else
        add_record(b, number);
}

struct telex_rec *check_sample(struct life *life, const char *schema, int number, bool odd) {
    char id[33];
    struct telex_builder b;
    check_sample_id(id, schema, number);
    telex_build_init(&b);
    telex_build_map_begin(&b);
    add_text(&b, "schema", schema);
    add_text(&b, "id", id);
    telex_build_key(&b, "version"), telex_build_int(&b, 1);
    check_sample_keys(&b, schema, number);
    if (odd) {
        char *text = calloc(1, (1 << 20) + 1);
        if (!text)
            abort();
        memset(text, number % 2 ? 'x' : '\x01', 1 << 20);
        add_text(&b, "unknown <script>", text);
        telex_build_key(&b, "deep");
        telex_build_map_begin(&b);
        telex_build_key(&b, "<|im_end|>"), telex_build_nil(&b);
        telex_build_map_end(&b);
        free(text);
    }
    telex_build_map_end(&b);
    struct telex_rec *rec = check_record(&life->host, telex_build_body(&b));
    telex_build_finish(&b);
    return rec;
}

/* A message with nothing in it but what every message has. */
static struct telex_rec *bare(struct life *life, const char *schema, int number) {
    char id[33];
    struct telex_builder b;
    check_sample_id(id, "bare", number);
    telex_build_init(&b);
    telex_build_map_begin(&b);
    add_text(&b, "schema", schema);
    add_text(&b, "id", id);
    telex_build_map_end(&b);
    struct telex_rec *rec = check_record(&life->host, telex_build_body(&b));
    telex_build_finish(&b);
    return rec;
}

struct telex_rec *check_message(struct life *life, const char *schema, int number, bool odd) {
    return odd && number % 3 == 2 ? bare(life, schema, number) : check_sample(life, schema, number, odd);
}

const char *check_input_schema(const struct telex_stage *stage, int n) {
    const char *all[64];
    int count = 0;
    for (const struct telex_port *const *port = stage->ports; *port; port++)
        for (const char *const *s = (*port)->schemas; (*port)->direction == TELEX_IN && *s && count < 64; s++)
            all[count++] = strcmp(*s, "*") == 0 ? "telex.record/1" : *s;
    return count ? all[n % count] : "telex.record/1";
}
