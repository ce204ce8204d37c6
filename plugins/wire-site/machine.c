/* SPDX-License-Identifier: Apache-2.0 */
/* machine.c - a dispatch for programs: the record itself, ninjs 3.1, evidence, and linked data.
 *
 * All four say what the page says and nothing more. Keys are sorted, so bytes depend on the record alone. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static const char source_type_uri[] =
    "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";

static void set(json_t *object, const char *key, json_t *value) {
    if (value)
        json_object_set_new(object, key, value);
}

static void set_text(json_t *object, const char *key, const char *value) {
    if (value && *value)
        json_object_set_new(object, key, json_string(value));
}

static json_t *time_text(int64_t ms) {
    struct text out = {0};
    text_put(&out, "%t", ms);
    json_t *value = json_string(out.data);
    text_finish(&out);
    return value;
}

static json_t *address(const struct site *site, const char *path, const char *name) {
    char whole[ADDRESS_BYTES], full[ADDRESS_BYTES];
    snprintf(whole, sizeof(whole), "%.*s%s", (int)(sizeof(whole) / 2), path, name);
    address_absolute(site, whole, full);
    return json_string(full);
}

void machine_dispatch(struct text *out, const struct entry *entry) {
    if (entry_is(entry, "usable")) {
        text_json(out, entry->dispatch, false, true);
        return;
    }
    json_t *stone =
        json_pack("{s:s, s:s, s:I, s:s, s:s}", "schema", "telex.dispatch/1", "id", entry->id, "version",
                  (json_int_t)entry->version, "status", entry->status, "ed_note", entry->note);
    text_json(out, stone, false, true);
    json_decref(stone);
}

/* --- ninjs --------------------------------------------------------------------------------- */

static json_t *valued(const char *role, const char *type, const char *value) {
    json_t *list = json_array();
    json_array_append_new(list,
                          json_pack("{s:s, s:s, s:s}", "role", role, "contentType", type, "value", value));
    return list;
}

static json_t *ninjs_body(const struct entry *entry) {
    struct text html = {0};
    const json_t *faq = json_object_get(entry->dispatch, "faq"), *question;
    const char *heading = json_text(entry->dispatch, "section_heading");
    size_t i;
    if (*heading)
        text_put(&html, "<h2>%h</h2>\n", heading);
    page_body(&html, entry->dispatch, NULL);
    json_array_foreach(faq, i, question) {
        text_put(&html, "<h3>%h</h3>\n", json_text(question, "question"));
        page_answer(&html, entry->dispatch, i, NULL);
    }
    json_t *bodies = valued("main", "text/html", html.data ? html.data : "");
    json_object_set_new(json_array_get(bodies, 0), "wordCount",
                        json_integer((json_int_t)dispatch_words(entry->dispatch)));
    text_finish(&html);
    return bodies;
}

static json_t *ninjs_sources(const struct entry *entry) {
    json_t *sources = json_array();
    const json_t *citation;
    size_t i;
    char host[128];
    json_array_foreach(json_object_get(entry->dispatch, "citations"), i, citation) {
        json_t *source = json_pack("{s:s, s:s}", "name", citation_outlet(citation, host), "role", "source");
        set_text(source, "uri", citation_address(citation));
        set_text(source, "literal", citation_record(citation));
        json_array_append_new(sources, source);
    }
    return sources;
}

static void add_ninjs_content(json_t *item, const struct site *site, const struct entry *entry) {
    char beat[ADDRESS_BYTES];
    snprintf(beat, sizeof(beat), "beat/%s/", entry->slug);
    set_text(item, "title", entry->headline);
    set(item, "headlines", valued("main", "text/plain", entry->headline));
    if (*entry->dek)
        set(item, "descriptions", valued("summary", "text/plain", entry->dek));
    set(item, "bodies", ninjs_body(entry));
    set(item, "infoSources", ninjs_sources(entry));
    set(item, "subjects",
        json_pack("[{s:s, s:s, s:o}]", "name", entry->beat, "rel", "about", "uri", address(site, beat, "")));
    set(item, "genres", json_pack("[{s:s}]", "name", entry->kind));
}

void machine_ninjs(struct text *out, const struct site *site, const struct entry *entry) {
    char path[ADDRESS_BYTES], urn[64], printed[64], version[24];
    address_of_dispatch(entry, path);
    address_urn(entry, urn);
    address_printed(entry, printed);
    snprintf(version, sizeof(version), "%lld", (long long)entry->version);
    json_t *item =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s}", "type", "text", "representationType",
                  entry_is(entry, "usable") ? "full" : "partial", "profile", "telex-dispatch", "version",
                  version, "pubStatus", entry->status, "language", entry->lang, "urgency",
                  (int)json_number(entry->dispatch, "urgency", 5) >= 1 &&
                          (int)json_number(entry->dispatch, "urgency", 5) <= 9
                      ? (int)json_number(entry->dispatch, "urgency", 5)
                      : 5,
                  "uri", urn, "slugline", printed);
    set(item, "standard",
        json_pack("{s:s, s:s, s:s}", "name", "ninjs", "version", "3.1", "schema",
                  "http://www.iptc.org/std/ninjs/ninjs-schema_3.1.json#"));
    set(item, "firstCreated", time_text(entry->first_time_ms));
    set(item, "versionCreated", time_text(entry->time_ms));
    set(item, "altIds",
        json_pack("[{s:s, s:s}, {s:s, s:o}]", "role", "dispatch", "value", entry->id, "role", "address",
                  "value", address(site, path, "")));
    set(item, "digitalSourceType",
        json_pack("{s:s, s:s}", "name", "Created using Generative AI", "uri", source_type_uri));
    set(item, "trustIndicators",
        json_pack("[{s:s, s:o}, {s:s, s:o}, {s:s, s:o}]", "title", "Method", "href",
                  address(site, "method/", ""), "title", "Corrections", "href",
                  address(site, "corrections/", ""), "title", "Evidence", "href",
                  address(site, path, "evidence.json")));
    set_text(item, "copyrightHolder", site->config.publisher);
    set_text(item, "edNote", entry->note);
    set_text(item, "by", "Written by an AI system; no human editor intervened");
    if (entry_is(entry, "usable"))
        add_ninjs_content(item, site, entry);
    text_json(out, item, false, true);
    json_decref(item);
}

/* --- splits -------------------------------------------------------------------------------- */

static json_t *reference(const struct site *site, const struct entry *other) {
    char path[ADDRESS_BYTES], urn[64], printed[64];
    address_of_dispatch(other, path);
    address_urn(other, urn);
    address_printed(other, printed);
    return json_pack("{s:s, s:s, s:o}", "dsp", printed, "id", urn, "url", address(site, path, ""));
}

json_t *machine_split(const struct site *site, const struct entry *entry) {
    const struct entry *parts[RELATED_MAX], *origin = related_origin(site, entry);
    size_t n = related_parts(site, entry, parts);
    json_t *split = json_object(), *into = json_array();
    if (origin)
        set(split, "split_from", reference(site, origin));
    for (size_t i = 0; i < n; i++)
        json_array_append_new(into, reference(site, parts[i]));
    if (n > 0)
        json_object_set(split, "split_into", into);
    json_decref(into);
    return split;
}

/* --- evidence ------------------------------------------------------------------------------ */

static json_t *evidence_spans(const struct entry *entry, const json_t *sentence) {
    json_t *spans = json_array();
    const json_t *span;
    size_t i;
    json_array_foreach(json_object_get(sentence, "citations"), i, span) {
        const char *record = citation_record(span);
        size_t number = citation_number(entry->dispatch, record);
        const json_t *source = json_array_get(json_object_get(entry->dispatch, "citations"), number - 1);
        json_t *copy = json_copy((json_t *)(uintptr_t)span);
        if (number > 0) {
            set(copy, "source", json_integer((json_int_t)number));
            set_text(copy, "sha256", json_text(source, "sha256"));
        }
        json_array_append_new(spans, copy);
    }
    return spans;
}

static void add_line(json_t *sentences, const struct entry *entry, const json_t *sentence, const char *id) {
    json_t *line = json_pack("{s:s, s:s, s:o}", "id", id, "text", sentence_text(sentence), "spans",
                             evidence_spans(entry, sentence));
    const json_t *checks = json_object_get(sentence, "checks");
    if (checks)
        json_object_set(line, "checks", (json_t *)(uintptr_t)checks);
    json_array_append_new(sentences, line);
}

static void add_evidence(json_t *sentences, const struct entry *entry, const json_t *part, char kind,
                         size_t number) {
    char id[48];
    for (size_t i = 0; i < sentence_count(part); i++) {
        snprintf(id, sizeof(id), "%c%zu-%zu", kind, number + 1, i + 1);
        add_line(sentences, entry, sentence_at(part, i), id);
    }
}

/* What supports headline, dek and section heading, where the writer says so. */
static void add_support(json_t *sentences, const struct entry *entry) {
    static const char *const fields[] = {"headline", "dek", "section_heading"};
    const json_t *support = json_object_get(entry->dispatch, "support");
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (*json_text(json_object_get(support, fields[i]), "text"))
            add_line(sentences, entry, json_object_get(support, fields[i]), fields[i]);
}

void machine_evidence(struct text *out, const struct site *site, const struct entry *entry) {
    char path[ADDRESS_BYTES];
    const json_t *question;
    size_t i;
    address_of_dispatch(entry, path);
    json_t *sentences = json_array();
    json_t *evidence = json_pack("{s:s, s:s, s:I, s:s, s:o, s:o}", "schema", "telex.evidence/1", "id",
                                 entry->id, "version", (json_int_t)entry->version, "status", entry->status,
                                 "address", address(site, path, ""), "sentences", sentences);
    json_t *split = machine_split(site, entry);
    if (evidence && split)
        json_object_update(evidence, split);
    json_decref(split);
    if (evidence && entry_is(entry, "usable")) {
        add_support(sentences, entry);
        for (i = 0; i < paragraph_count(entry->dispatch); i++)
            add_evidence(sentences, entry, paragraph_at(entry->dispatch, i), 'p', i);
        json_array_foreach(json_object_get(entry->dispatch, "faq"), i, question) {
            add_evidence(sentences, entry, faq_answer(question), 'q', i);
        }
        static const char *const copied[] = {"citations", "provenance", "records_used", "story"};
        for (i = 0; i < sizeof(copied) / sizeof(copied[0]); i++)
            if (json_object_get(entry->dispatch, copied[i]))
                json_object_set(evidence, copied[i], json_object_get(entry->dispatch, copied[i]));
    }
    text_json(out, evidence, false, true);
    json_decref(evidence);
}

/* --- linked data --------------------------------------------------------------------------- */

static json_t *plain_answer(const struct entry *entry, const json_t *question) {
    struct text words = {0};
    const json_t *part = faq_answer(question);
    (void)entry;
    for (size_t i = 0; i < sentence_count(part); i++)
        text_put(&words, "%r%r", i > 0 ? " " : "", sentence_text(sentence_at(part, i)));
    json_t *answer = json_string(words.data ? words.data : "");
    text_finish(&words);
    return answer;
}

static json_t *faq_page(const struct site *site, const struct entry *entry, const char *path) {
    json_t *questions = json_array();
    const json_t *question;
    size_t i;
    json_array_foreach(json_object_get(entry->dispatch, "faq"), i, question) {
        json_array_append_new(questions, json_pack("{s:s, s:s, s:{s:s, s:o}}", "@type", "Question", "name",
                                                   json_text(question, "question"), "acceptedAnswer", "@type",
                                                   "Answer", "text", plain_answer(entry, question)));
    }
    if (json_array_size(questions) == 0) {
        json_decref(questions);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:o}", "@type", "FAQPage", "@id", address(site, path, "#faq"), "mainEntity",
                     questions);
}

static json_t *cited_works(const struct entry *entry) {
    json_t *works = json_array();
    const json_t *citation;
    size_t i;
    char host[128];
    json_array_foreach(json_object_get(entry->dispatch, "citations"), i, citation) {
        json_t *work = json_pack("{s:s, s:{s:s, s:s}}", "@type", "CreativeWork", "publisher", "@type",
                                 "Organization", "name", citation_outlet(citation, host));
        set_text(work, "name", json_text(citation, "title"));
        set_text(work, "url", citation_address(citation));
        if (json_number(citation, "published_ms", 0) > 0)
            set(work, "datePublished", time_text(json_number(citation, "published_ms", 0)));
        json_array_append_new(works, work);
    }
    return works;
}

static json_t *organisation(const struct site *site) {
    const char *name = *site->config.publisher ? site->config.publisher : site->config.title;
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "@type", "NewsMediaOrganization", "name", name, "url",
                     address(site, "", ""), "publishingPrinciples", address(site, "method/", ""),
                     "correctionsPolicy", address(site, "method/#changes", ""));
}

static void add_corrections(json_t *article, const struct entry *entry) {
    json_t *list = json_array();
    const json_t *version;
    size_t i;
    json_array_foreach(json_object_get(entry->json, "history"), i, version) {
        if (strcmp(json_text(version, "act"), "correction") == 0)
            json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "@type", "CorrectionComment", "text",
                                                  json_text(version, "note"), "datePublished",
                                                  time_text(json_number(version, "time_ms", 0))));
    }
    if (json_array_size(list) > 0)
        json_object_set(article, "correction", list);
    json_decref(list);
}

json_t *machine_linked_data(const struct site *site, const struct entry *entry) {
    char path[ADDRESS_BYTES], urn[64], printed[64];
    address_of_dispatch(entry, path);
    address_urn(entry, urn);
    address_printed(entry, printed);
    char *headline = text_clip(entry->headline, 110);
    json_t *article = json_pack("{s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:s, s:s, s:I, s:I, s:b}", "@type",
                                "NewsArticle", "@id", address(site, path, ""), "headline",
                                headline ? headline : "", "url", address(site, path, ""), "mainEntityOfPage",
                                address(site, path, ""), "datePublished", time_text(entry->first_time_ms),
                                "dateModified", time_text(entry->time_ms), "articleSection", entry->beat,
                                "inLanguage", entry->lang, "version", (json_int_t)entry->version, "wordCount",
                                (json_int_t)dispatch_words(entry->dispatch), "isAccessibleForFree", 1);
    free(headline);
    if (!article)
        return NULL;
    set_text(article, "description", entry->dek);
    set(article, "identifier", json_pack("[s, s]", printed, urn));
    set(article, "author", organisation(site));
    set(article, "publisher", organisation(site));
    set(article, "citation", cited_works(entry));
    set_text(article, "backstory", json_text(entry->dispatch, "methodology"));
    set_text(article, "creativeWorkStatus", "Published");
    set_text(article, "digitalSourceType", "https://schema.org/TrainedAlgorithmicMediaDigitalSource");
    add_corrections(article, entry);
    json_t *graph = json_array();
    json_array_append_new(graph, article);
    json_t *questions = faq_page(site, entry, path);
    if (questions)
        json_array_append_new(graph, questions);
    return json_pack("{s:s, s:o}", "@context", "https://schema.org", "@graph", graph);
}
