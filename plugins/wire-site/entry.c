/* SPDX-License-Identifier: Apache-2.0 */
/* entry.c - reading one dispatch. Every reader accepts any JSON and never fails on a missing part:
 * what a page cannot do without is checked once, in dispatch_check, before the dispatch gets a number. */
#include "entry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

enum { PARAGRAPHS_MAX = 200, FAQ_MAX = 50, CITATIONS_MAX = 2000, TEXT_MAX = 64 * 1024 };

const char *json_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

int64_t json_number(const json_t *object, const char *key, int64_t otherwise) {
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

int entry_read(struct entry *entry, json_t *json) {
    memset(entry, 0, sizeof(*entry));
    const json_t *dispatch = json_object_get(json, "dispatch");
    const json_t *target = json_object_get(json, "target");
    if (!json_is_object(dispatch) || !*json_text(json, "dsp"))
        return -EBADMSG;
    entry->json = json_incref(json);
    entry->dispatch = dispatch;
    entry->id = json_text(dispatch, "id");
    entry->status = json_text(dispatch, "status");
    entry->headline = json_text(dispatch, "headline");
    entry->dek = json_text(dispatch, "dek");
    entry->beat = *json_text(dispatch, "beat") ? json_text(dispatch, "beat") : "General";
    entry->kind = *json_text(dispatch, "kind") ? json_text(dispatch, "kind") : "News";
    entry->lang = *json_text(dispatch, "lang") ? json_text(dispatch, "lang") : "en";
    entry->version = json_number(dispatch, "version", 0);
    entry->dsp = json_text(json, "dsp");
    entry->act = json_text(json, "act");
    entry->note = json_text(json, "note");
    entry->seq = json_number(json, "seq", 0);
    entry->first_seq = json_number(json, "first_seq", 0);
    entry->time_ms = json_number(json, "time_ms", 0);
    entry->first_time_ms = json_number(json, "first_time_ms", 0);
    entry->records = json_number(json, "records", 0);
    entry->web = json_number(json, "web", 0);
    entry->corrected_ms = json_number(json_object_get(json, "corrected"), "time_ms", 0);
    entry->corrected_note = json_text(json_object_get(json, "corrected"), "note");
    entry->target_id = json_text(target, "id");
    entry->target_dsp = json_text(target, "dsp");
    entry->target_relation = json_text(target, "relation");
    entry->split_from = json_text(json, "split_from");
    text_slug(entry->beat, entry->slug);
    return 0;
}

void entry_finish(struct entry *entry) {
    json_decref(entry->json);
    memset(entry, 0, sizeof(*entry));
}

bool entry_is_listed(const struct entry *entry) {
    return entry_is(entry, "usable") && strcmp(entry->target_relation, "merged_into") != 0;
}

json_t *entry_summary(const json_t *json) {
    static const char *const long_parts[] = {"body",        "faq",         "citations",    "provenance",
                                             "methodology", "corrections", "records_used", "support"};
    json_t *summary = json_copy((json_t *)(uintptr_t)json);
    json_t *dispatch = json_copy(json_object_get(json, "dispatch"));
    for (size_t i = 0; i < sizeof(long_parts) / sizeof(long_parts[0]); i++)
        json_object_del(dispatch, long_parts[i]);
    json_object_del(summary, "history");
    if (!summary || json_object_set_new(summary, "dispatch", dispatch) != 0) {
        json_decref(summary);
        return NULL;
    }
    return summary;
}

/* --- parts --------------------------------------------------------------------------------- */

static const json_t *sentences_of(const json_t *part) {
    const json_t *inner = json_object_get(part, "sentences");
    return json_is_array(part) ? part : json_is_array(inner) ? inner : NULL;
}

size_t sentence_count(const json_t *part) {
    const json_t *list = sentences_of(part);
    if (list)
        return json_array_size(list);
    return json_is_string(part) || json_is_string(json_object_get(part, "text")) ? 1 : 0;
}

const json_t *sentence_at(const json_t *part, size_t i) {
    const json_t *list = sentences_of(part);
    return list ? json_array_get(list, i) : part;
}

const char *sentence_text(const json_t *sentence) {
    return json_is_string(sentence) ? json_string_value(sentence) : json_text(sentence, "text");
}

static bool body_is_flat(const json_t *body) {
    const json_t *first = json_array_get(body, 0);
    return json_is_object(first) && json_is_string(json_object_get(first, "text"));
}

size_t paragraph_count(const json_t *dispatch) {
    const json_t *body = json_object_get(dispatch, "body");
    if (!json_is_array(body))
        return sentence_count(body) ? 1 : 0;
    return body_is_flat(body) ? 1 : json_array_size(body);
}

const json_t *paragraph_at(const json_t *dispatch, size_t i) {
    const json_t *body = json_object_get(dispatch, "body");
    return !json_is_array(body) || body_is_flat(body) ? body : json_array_get(body, i);
}

const json_t *faq_answer(const json_t *faq) {
    static const char *const keys[] = {"answer", "sentences", "answer_sentences"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (sentence_count(json_object_get(faq, keys[i])) > 0)
            return json_object_get(faq, keys[i]);
    return NULL;
}

const char *citation_record(const json_t *citation) {
    const char *record = json_text(citation, "record");
    return *record ? record : json_text(citation, "record_id");
}

size_t citation_number(const json_t *dispatch, const char *record) {
    size_t i;
    const json_t *citation;
    if (!*record)
        return 0;
    json_array_foreach(json_object_get(dispatch, "citations"), i, citation) {
        if (strcmp(citation_record(citation), record) == 0)
            return i + 1;
    }
    return 0;
}

const char *citation_address(const json_t *citation) {
    const char *url = json_text(citation, "url");
    return text_is_web_address(url) ? url : "";
}

const char *citation_outlet(const json_t *citation, char host[128]) {
    const char *outlet = json_text(citation, "outlet");
    if (*outlet)
        return outlet;
    text_host(citation_address(citation), host, 128);
    return *host ? host : citation_record(citation);
}

/* Distinct values that `read` gives for the citations, empty ones left out. */
static int64_t count_distinct(const json_t *dispatch, const char *(*read)(const json_t *citation)) {
    json_t *seen = json_object();
    size_t i;
    const json_t *citation;
    json_array_foreach(json_object_get(dispatch, "citations"), i, citation) {
        if (*read(citation))
            json_object_set_new(seen, read(citation), json_true());
    }
    int64_t count = (int64_t)json_object_size(seen);
    json_decref(seen);
    return count;
}

int64_t dispatch_records(const json_t *dispatch) {
    const json_t *used = json_object_get(dispatch, "records_used");
    if (json_is_array(used))
        return (int64_t)json_array_size(used);
    if (json_is_integer(used))
        return (int64_t)json_integer_value(used);
    return count_distinct(dispatch, citation_record);
}

int64_t dispatch_web_citations(const json_t *dispatch) {
    return count_distinct(dispatch, citation_address);
}

static int64_t count_words(const char *text) {
    int64_t words = 0;
    for (const char *p = text; *p; p++)
        words += *p != ' ' && (p == text || p[-1] == ' ');
    return words;
}

static int64_t count_part(const json_t *part) {
    int64_t words = 0;
    for (size_t i = 0; i < sentence_count(part); i++)
        words += count_words(sentence_text(sentence_at(part, i)));
    return words;
}

int64_t dispatch_words(const json_t *dispatch) {
    size_t i;
    const json_t *faq;
    int64_t words = count_words(json_text(dispatch, "headline")) + count_words(json_text(dispatch, "dek"));
    for (i = 0; i < paragraph_count(dispatch); i++)
        words += count_part(paragraph_at(dispatch, i));
    json_array_foreach(json_object_get(dispatch, "faq"), i, faq) {
        words += count_words(json_text(faq, "question")) + count_part(faq_answer(faq));
    }
    return words;
}

/* --- checking ------------------------------------------------------------------------------ */

static int refuse(char *why, size_t why_bytes, const char *field, const char *remedy) {
    snprintf(why, why_bytes, "dispatch: %s: %s", field, remedy);
    return -EBADMSG;
}

static int check_texts(const json_t *dispatch, char *why, size_t why_bytes) {
    static const char *const fields[] = {"headline", "dek", "section_heading", "beat", "kind", "methodology"};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const json_t *value = json_object_get(dispatch, fields[i]);
        if (value && !json_is_null(value) && !json_is_string(value))
            return refuse(why, why_bytes, fields[i], "must be text");
        if (json_string_length(value) > TEXT_MAX)
            return refuse(why, why_bytes, fields[i], "is over 64 KiB");
    }
    return 0;
}

static int check_lists(const json_t *dispatch, char *why, size_t why_bytes) {
    static const struct {
        const char *field;
        size_t max;
    } lists[] = {{"body", PARAGRAPHS_MAX}, {"faq", FAQ_MAX}, {"citations", CITATIONS_MAX}};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        if (json_array_size(json_object_get(dispatch, lists[i].field)) > lists[i].max)
            return refuse(why, why_bytes, lists[i].field, "has more parts than a dispatch can have");
    return 0;
}

static bool has_words(const json_t *dispatch) {
    for (size_t i = 0; i < paragraph_count(dispatch); i++) {
        const json_t *paragraph = paragraph_at(dispatch, i);
        for (size_t k = 0; k < sentence_count(paragraph); k++)
            if (*sentence_text(sentence_at(paragraph, k)))
                return true;
    }
    return false;
}

int dispatch_check(const json_t *dispatch, char *why, size_t why_bytes) {
    const char *status = json_text(dispatch, "status");
    const char *id = json_text(dispatch, "id");
    const json_t *version = json_object_get(dispatch, "version");
    if (strcmp(json_text(dispatch, "schema"), "telex.dispatch/1") != 0)
        return refuse(why, why_bytes, "schema", "must be telex.dispatch/1");
    if (!*id || strlen(id) > 64)
        return refuse(why, why_bytes, "id", "must be text of 1 to 64 bytes");
    if (version && (!json_is_integer(version) || json_integer_value(version) < 0))
        return refuse(why, why_bytes, "version", "must be a whole number, 0 or above");
    if (strcmp(status, "usable") != 0 && strcmp(status, "withheld") != 0 && strcmp(status, "canceled") != 0)
        return refuse(why, why_bytes, "status", "must be usable, withheld or canceled");
    int err = check_texts(dispatch, why, why_bytes);
    if (!err)
        err = check_lists(dispatch, why, why_bytes);
    if (err || strcmp(status, "usable") != 0)
        return err;
    if (!*json_text(dispatch, "headline"))
        return refuse(why, why_bytes, "headline", "is missing or has no visible character");
    if (!has_words(dispatch))
        return refuse(why, why_bytes, "body", "has no sentence");
    return 0;
}
