/* SPDX-License-Identifier: Apache-2.0 */
/* page.c - the page of one dispatch.
 *
 * Every sentence carries the numbers of the sources that support it, and every number leads to its
 * source in the list. A withdrawn or withheld dispatch keeps its address and loses its text. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static const char up[] = "../../";

/* --- sentences ----------------------------------------------------------------------------- */

static void put_marker(struct text *out, const json_t *dispatch, size_t number, const char *sources) {
    char host[128];
    const json_t *citation = json_array_get(json_object_get(dispatch, "citations"), number - 1);
    text_put(out, "<a href=\"%h%d\" title=\"%h\"><span class=\"vh\">source </span>%d</a>", sources,
             (int64_t)number, citation_outlet(citation, host), (int64_t)number);
}

static void put_markers(struct text *out, const json_t *dispatch, const json_t *sentence,
                        const char *sources) {
    size_t i, count = 0, seen[16];
    const json_t *citation;
    json_array_foreach(json_object_get(sentence, "citations"), i, citation) {
        size_t number = citation_number(dispatch, citation_record(citation));
        bool repeated = number == 0 || count == sizeof(seen) / sizeof(seen[0]);
        for (size_t k = 0; k < count; k++)
            repeated |= seen[k] == number;
        if (repeated)
            continue;
        text_put(out, count == 0 ? "<span class=\"cites\">" : " ");
        seen[count++] = number;
        put_marker(out, dispatch, number, sources);
    }
    if (count > 0)
        text_put(out, "</span>");
}

static void put_sentences(struct text *out, const json_t *dispatch, const json_t *part, const char *sources,
                          char kind, size_t number) {
    char id[48];
    for (size_t i = 0; i < sentence_count(part); i++) {
        const json_t *sentence = sentence_at(part, i);
        if (!*sentence_text(sentence))
            continue;
        text_put(out, i > 0 ? " " : "");
        if (!sources) {
            text_put(out, "%h", sentence_text(sentence));
            continue;
        }
        snprintf(id, sizeof(id), "%c%zu-%zu", kind, number + 1, i + 1);
        text_put(out, "<span id=\"%r\">%h", id, sentence_text(sentence));
        put_markers(out, dispatch, sentence, sources);
        text_put(out, "</span>");
    }
}

void page_body(struct text *out, const json_t *dispatch, const char *sources) {
    for (size_t i = 0; i < paragraph_count(dispatch); i++) {
        text_put(out, "<p dir=\"auto\">");
        put_sentences(out, dispatch, paragraph_at(dispatch, i), sources, 'p', i);
        text_put(out, "</p>\n");
    }
}

void page_answer(struct text *out, const json_t *dispatch, size_t faq, const char *sources) {
    text_put(out, "<p dir=\"auto\">");
    put_sentences(out, dispatch, faq_answer(json_array_get(json_object_get(dispatch, "faq"), faq)), sources,
                  'q', faq);
    text_put(out, "</p>\n");
}

/* --- parts --------------------------------------------------------------------------------- */

static void put_kicker(struct text *out, const struct entry *entry) {
    char printed[64];
    address_printed(entry, printed);
    text_put(
        out,
        "<p class=\"kicker\"><a class=\"on-air\" href=\"%r\">Live wire</a> <span>Dispatch</span> <span "
        "class=\"dsp\">%h</span></p>\n<p class=\"filed\">Filed under <a href=\"%rbeat/%h/\">%h</a></p>\n",
        up, printed, up, entry->slug, entry->beat);
}

static void put_link(struct text *out, const struct entry *entry) {
    char printed[64];
    address_printed(entry, printed);
    text_put(out, "<a href=\"../%h/\">%h</a>", entry->dsp, printed);
}

/* The dispatch that it was split from, and those that were split from it. */
static void put_split(struct text *out, const struct site *site, const struct entry *entry) {
    const struct entry *parts[RELATED_MAX], *origin = related_origin(site, entry);
    size_t n = related_parts(site, entry, parts);
    if (origin) {
        text_put(out, "<p class=\"notice split\">Split from ");
        put_link(out, origin);
        text_put(out, ": its records turned out to report another event.</p>\n");
    }
    if (n == 0)
        return;
    text_put(out, "<p class=\"notice split\">Part of this story moved to ");
    for (size_t i = 0; i < n; i++) {
        text_put(out, i > 0 ? ", " : "");
        put_link(out, parts[i]);
    }
    text_put(out, ", which reports it as an event of its own.</p>\n");
}

static void put_target(struct text *out, const struct site *site, const struct entry *entry) {
    if (!*entry->target_relation)
        return;
    const struct entry *found = index_find(site, entry->target_id);
    struct entry target = {.dsp = found ? found->dsp : entry->target_dsp};
    text_put(out, "<p class=\"notice\">%r ",
             strcmp(entry->target_relation, "merged_into") == 0
                 ? "This story was merged with another. It goes on in"
                 : "Newer events overtook this dispatch. See");
    if (*target.dsp)
        put_link(out, &target);
    else
        text_put(out, "another dispatch");
    text_put(out, ".</p>\n");
}

static void put_notice(struct text *out, const struct site *site, const struct entry *entry) {
    put_target(out, site, entry);
    put_split(out, site, entry);
    if (entry->corrected_ms == 0)
        return;
    text_put(out, "<p class=\"notice correction\"><strong>Correction, ");
    page_time(out, entry->corrected_ms, true);
    text_put(out, ".</strong> %h</p>\n",
             *entry->corrected_note ? entry->corrected_note
                                    : "An earlier version of this dispatch was wrong.");
}

static void put_facts(struct text *out, const struct entry *entry) {
    text_put(out, "<p class=\"facts\">");
    page_time(out, entry->first_time_ms, true);
    if (entry->seq != entry->first_seq) {
        text_put(out, " <span class=\"updated\">%r ",
                 strcmp(entry->act, "correction") == 0 ? "Corrected" : "Updated");
        page_time(out, entry->time_ms, true);
        text_put(out, "</span>");
    }
    text_put(out, "</p>\n");
}

static void put_story(struct text *out, const struct entry *entry) {
    const char *heading = json_text(entry->dispatch, "section_heading");
    text_put(out, "<section class=\"story\" aria-label=\"Dispatch\">\n");
    if (*heading)
        text_put(out, "<h2 dir=\"auto\">%h</h2>\n", heading);
    page_body(out, entry->dispatch, "#s");
    text_put(out, "<p class=\"tally\">");
    page_counts(out, entry);
    text_put(out, " <span class=\"kind\">%h</span></p>\n</section>\n", entry->kind);
}

static void put_faq(struct text *out, const struct entry *entry) {
    const json_t *faq = json_object_get(entry->dispatch, "faq"), *question;
    size_t i;
    if (json_array_size(faq) == 0)
        return;
    text_put(out, "<section class=\"faq\" id=\"faq\">\n<h2>Frequently asked</h2>\n");
    json_array_foreach(faq, i, question) {
        text_put(out, "<h3 dir=\"auto\">%h</h3>\n", json_text(question, "question"));
        page_answer(out, entry->dispatch, i, "#s");
    }
    text_put(out, "</section>\n");
}

static void put_sources(struct text *out, const struct entry *entry) {
    const json_t *citations = json_object_get(entry->dispatch, "citations"), *citation;
    char host[128], web_host[128];
    size_t i;
    if (json_array_size(citations) == 0)
        return;
    text_put(
        out,
        "<aside class=\"sources\" aria-labelledby=\"sources\">\n<h2 id=\"sources\">Sources</h2>\n<ol>\n");
    json_array_foreach(citations, i, citation) {
        const char *address = citation_address(citation);
        const char *title = json_text(citation, "title");
        const char *outlet = citation_outlet(citation, host);
        int64_t ms = json_number(citation, "published_ms", 0);
        text_put(out, "<li id=\"s%d\"><span class=\"outlet\"><bdi>%h</bdi></span> ", (int64_t)i + 1, outlet);
        if (*address)
            text_put(out, "<a href=\"%u\" rel=\"noopener nofollow ugc\"><bdi>%h</bdi></a>", address,
                     *title ? title : address);
        else
            text_put(out, "<bdi>%h</bdi>", *title ? title : citation_record(citation));
        text_host(address, web_host, sizeof(web_host));
        text_put(out, " <span class=\"where\">");
        if (ms > 0)
            page_time(out, ms, true);
        text_put(out, "%r%h%r</span></li>\n",
                 ms > 0 && (!*address || strcmp(web_host, outlet) != 0) ? " \xc2\xb7 " : "",
                 !*address                       ? ""
                 : strcmp(web_host, outlet) != 0 ? web_host
                                                 : "",
                 *address ? "" : "no web address");
    }
    text_put(out, "</ol>\n</aside>\n");
}

/* --- how it was made ----------------------------------------------------------------------- */

/* A value for people: lists with commas, maps as "name value", underscores as spaces. */
static void put_value(struct text *out, const json_t *value, int depth) {
    const json_t *member;
    const char *key;
    size_t i, n = 0;
    if (json_is_string(value)) {
        text_put(out, "%h", json_string_value(value));
    } else if (json_is_array(value) && depth < 4) {
        json_array_foreach(value, i, member) {
            text_put(out, i > 0 ? ", " : "");
            put_value(out, member, depth + 1);
        }
    } else if (json_is_object(value) && depth < 4) {
        json_object_foreach((json_t *)(uintptr_t)value, key, member) {
            bool nested = json_is_object(member);
            text_put(out, n++ > 0 ? ", " : "");
            for (const char *p = key; *p; p++) {
                char letter[2] = {*p == '_' ? ' ' : *p, 0};
                text_put(out, "%h", letter);
            }
            text_put(out, nested ? " (" : " ");
            put_value(out, member, depth + 1);
            text_put(out, nested ? ")" : "");
        }
    } else {
        text_json(out, value, true, false);
    }
}

static void put_fact(struct text *out, const char *name, const json_t *value, bool code) {
    struct text plain = {0};
    if (value && !json_is_null(value))
        put_value(&plain, value, 0);
    if (plain.bytes > 0)
        text_put(out, "<dt>%r</dt><dd>%r%r%r</dd>", name, code ? "<code>" : "", plain.data,
                 code ? "</code>" : "");
    text_finish(&plain);
}

static void put_made(struct text *out, const struct entry *entry) {
    static const struct {
        const char *key, *label;
        bool code;
    } facts[] = {
        {"model", "Model", false},     {"model_sha256", "Model file", true},
        {"backend", "Backend", false}, {"sampler", "Sampler", false},
        {"seed", "Seed", true},        {"prompt_sha256", "Prompt", true},
        {"plugins", "Plugins", false}, {"checks", "Checks", false},
    };
    const char *method = json_text(entry->dispatch, "methodology");
    const json_t *provenance = json_object_get(entry->dispatch, "provenance");
    text_put(out, "<section class=\"made\">\n<h2>Wire methodology</h2>\n");
    if (*method)
        text_put(out, "<p dir=\"auto\">%h</p>\n", method);
    else
        text_put(out,
                 "<p>This dispatch was assembled autonomously from %d source %r. No human editor "
                 "intervened.</p>\n",
                 entry->records, entry->records == 1 ? "record" : "records");
    text_put(
        out,
        "<details><summary>How to check this dispatch</summary>\n<p>Every sentence is bound to the passages "
        "that support it: <a href=\"evidence.json\">evidence</a>. The record itself: <a "
        "href=\"dispatch.json\">dispatch</a>, <a href=\"ninjs.json\">ninjs</a>.</p>\n");
    if (json_object_size(provenance) > 0) {
        text_put(out, "<dl>");
        for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
            put_fact(out, facts[i].label, json_object_get(provenance, facts[i].key), facts[i].code);
        text_put(out, "</dl>\n");
    }
    text_put(out, "</details>\n</section>\n");
}

static const char *act_label(const char *act) {
    static const char *const labels[][2] = {
        {"dispatch", "Published"}, {"update", "Updated"}, {"correction", "Corrected"},
        {"withhold", "Withheld"},  {"kill", "Withdrawn"}, {"merge", "Merged"},
    };
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
        if (strcmp(act, labels[i][0]) == 0)
            return labels[i][1];
    return "Changed";
}

static void put_versions(struct text *out, const struct entry *entry) {
    const json_t *history = json_object_get(entry->json, "history"), *version;
    size_t i;
    bool gone = !entry_is(entry, "usable");
    if (json_array_size(history) < 2 && !gone)
        return;
    text_put(out, "<section class=\"versions\">\n<h2>Versions</h2>\n<ol>\n");
    json_array_foreach(history, i, version) {
        const char *note = json_text(version, "note");
        text_put(out, "<li><a href=\"v%d.json\">Version %d</a> <span class=\"act\">%r</span> ",
                 json_number(version, "version", 0), json_number(version, "version", 0),
                 act_label(json_text(version, "act")));
        page_time(out, json_number(version, "time_ms", 0), true);
        text_put(out, *note ? " <span class=\"why\">%h</span>" : "%h", note);
        text_put(out, "</li>\n");
    }
    text_put(out, "</ol>\n</section>\n");
}

/* --- the page ------------------------------------------------------------------------------ */

static void put_head_extras(struct text *head, const struct site *site, const struct entry *entry) {
    char address[ADDRESS_BYTES], path[ADDRESS_BYTES];
    json_t *data = machine_linked_data(site, entry);
    address_of_dispatch(entry, path);
    address_absolute(site, path, address);
    text_put(
        head,
        "<link rel=\"alternate\" type=\"application/json\" title=\"ninjs 3.1\" href=\"%hninjs.json\">\n"
        "<meta property=\"og:type\" content=\"article\">\n<meta property=\"article:published_time\" "
        "content=\"%t\">\n<meta property=\"article:modified_time\" content=\"%t\">\n<meta "
        "property=\"article:section\" content=\"%h\">\n<meta name=\"twitter:card\" content=\"summary\">\n"
        "<meta name=\"ai-disclosure\" content=\"ai-generated\">\n",
        address, entry->first_time_ms, entry->time_ms, entry->beat);
    if (data) {
        text_put(head, "<script type=\"application/ld+json\">");
        text_json(head, data, true, false);
        text_put(head, "</script>\n");
        json_decref(data);
    }
}

static const struct {
    const char *act, *title, *what, *word;
} gone_texts[] = {
    {"kill", "This dispatch was withdrawn",
     "Its text should not be relied on. The address stays, so that whoever followed a link learns it.",
     "Withdrawn"},
    {"merge", "This story goes on in another dispatch",
     "Its records turned out to report the same event as those of another dispatch.", "Merged"},
    {"withhold", "This dispatch is withheld", "Its text is not shown while it is being checked.", "Withheld"},
};

static void put_gone(struct text *out, const struct site *site, const struct entry *entry) {
    size_t i = 0;
    while (i + 1 < sizeof(gone_texts) / sizeof(gone_texts[0]) && strcmp(entry->act, gone_texts[i].act) != 0)
        i++;
    text_put(out, "<h1>%r</h1>\n<p class=\"dek\">%r</p>\n", gone_texts[i].title, gone_texts[i].what);
    put_target(out, site, entry);
    put_split(out, site, entry);
    text_put(out, "<p class=\"notice correction\"><strong>%r ", gone_texts[i].word);
    page_time(out, entry->time_ms, true);
    text_put(out, ".</strong> %h</p>\n</header>\n<div class=\"columns\">\n", entry->note);
}

void page_dispatch(struct text *out, const struct site *site, const struct entry *entry) {
    char path[ADDRESS_BYTES];
    struct text head = {0};
    bool gone = !entry_is(entry, "usable");
    address_of_dispatch(entry, path);
    if (!gone)
        put_head_extras(&head, site, entry);
    char *summary = text_clip(*entry->dek ? entry->dek : entry->headline, 200);
    struct page page = {.title = gone ? "Dispatch" : entry->headline,
                        .description = gone ? "This dispatch is no longer shown." : summary,
                        .path = path,
                        .up = up,
                        .name = "",
                        .noindex = gone,
                        .live = "dispatch",
                        .head = head.data ? &head : NULL,
                        .seq = entry->seq};
    page_begin(out, site, &page);
    text_put(out, "<article class=\"dispatch\" lang=\"%h\" data-id=\"%h\">\n<header class=\"lead\">\n",
             entry->lang, entry->id);
    put_kicker(out, entry);
    if (gone) {
        put_gone(out, site, entry);
    } else {
        text_put(out, "<h1%r dir=\"auto\">%h</h1>\n", page_is_long(entry->headline) ? " class=\"long\"" : "",
                 entry->headline);
        if (*entry->dek)
            text_put(out, "<p class=\"dek\" dir=\"auto\">%h</p>\n", entry->dek);
        put_notice(out, site, entry);
        put_facts(out, entry);
        page_label(out, up);
        text_put(out, "</header>\n<div class=\"columns\">\n");
        put_story(out, entry);
        put_sources(out, entry);
        put_faq(out, entry);
        put_made(out, entry);
    }
    put_versions(out, entry);
    text_put(out, "</div>\n</article>\n");
    page_end(out, site, &page);
    text_finish(&head);
    free(summary);
}
