/* SPDX-License-Identifier: Apache-2.0 */
/* method.c - how the wire works, told to its readers, and the page for an address that is not there. */
#include "internal.h"

#include <string.h>

static void put_stages(struct text *out) {
    text_put(
        out,
        "<section id=\"signal\"><h2>Signal</h2>\n<p>Source records come in: feed items, archive stories, "
        "documents. "
        "Each keeps its address, its outlet, its time and a digest of its text. A record that is edited at "
        "its "
        "source is a new version of the same record.</p></section>\n"
        "<section id=\"cluster\"><h2>Cluster</h2>\n<p>Records about one event are grouped into a story by "
        "what "
        "they say, when they said it and who said it. Joining two events would be worse than keeping one "
        "apart twice, so a doubtful record stays alone. A story goes to the writer when enough independent "
        "sources carry it.</p></section>\n"
        "<section id=\"write\"><h2>Write</h2>\n<p>A language model writes one short dispatch. The sentences "
        "that "
        "support it are chosen first; the model puts them into its own words. Then a gate compares each "
        "sentence with the passages it cites: every number, date, name and quotation has to occur there, "
        "and a denial or a hedge has to survive. What fails is written again, replaced by a quotation, or "
        "left "
        "out.</p></section>\n"
        "<section id=\"wire\"><h2>Wire</h2>\n<p>What stands is published: a page, feeds, and for every "
        "sentence "
        "the passages that support it with the result of each check, as data that anyone can verify. The "
        "model, its settings and the digest of its file are named on each page.</p></section>\n");
}

void page_method(struct text *out, const struct site *site) {
    const struct site_config *config = &site->config;
    struct page page = {.title = "Method",
                        .description = "How this wire turns records into dispatches, and how to check one.",
                        .path = "method/",
                        .up = "../",
                        .name = "method",
                        .seq = 0};
    page_begin(out, site, &page);
    text_put(
        out,
        "<article class=\"prose\">\n<header class=\"lead\"><h1>How this wire works</h1>\n<p class=\"dek\">%h "
        "is "
        "autonomous. An AI system picks the story, writes the text and publishes it. No human editor reads a "
        "dispatch before it appears.</p></header>\n",
        config->title);
    put_stages(out);
    text_put(
        out,
        "<section id=\"reading\"><h2>Reading a dispatch</h2>\n<p>The small numbers behind a sentence lead to "
        "the "
        "sources that support it. \xe2\x80\x9c"
        "Records\xe2\x80\x9d counts the source records that the writer used; "
        "\xe2\x80\x9cweb citations\xe2\x80\x9d counts the distinct web addresses among them. The code "
        "DSP\xc2\xb7 and its digits name a dispatch for ever; its address never changes.</p></section>\n"
        "<section id=\"changes\"><h2>Updates, corrections, withdrawals</h2>\n<p>New facts make an update. An "
        "error makes a correction, with a note that says what was wrong. A dispatch that should not have "
        "appeared is withdrawn: the text goes, the address and the reason stay. All three are announced in "
        "the "
        "feeds and listed under <a href=\"../corrections/\">Corrections</a>; every version is named on the "
        "page.</p></section>\n");
    if (text_is_web_address(config->contact))
        text_put(out,
                 "<section id=\"contact\"><h2>Tell us</h2>\n<p>To report an error: <a href=\"%u\">%h</a></p>"
                 "</section>\n",
                 config->contact, config->contact);
    else if (*config->contact)
        text_put(out, "<section id=\"contact\"><h2>Tell us</h2>\n<p>To report an error: %h</p></section>\n",
                 config->contact);
    text_put(out, "</article>\n");
    page_end(out, site, &page);
}

/* Served at any depth, so its links carry the public address. */
void page_missing(struct text *out, const struct site *site) {
    struct text up = {0};
    text_put(&up, "%r/", site->config.base);
    struct page page = {.title = "Not here",
                        .description = "There is no page at this address.",
                        .path = "404.html",
                        .up = up.data,
                        .name = "",
                        .noindex = true};
    page_begin(out, site, &page);
    text_put(
        out,
        "<header class=\"lead\"><h1>There is no page at this address</h1>\n<p class=\"dek\">A dispatch never "
        "loses "
        "its address, so this one was probably mistyped. <a href=\"%h\">To the live wire</a></p></header>\n",
        up.data);
    page_end(out, site, &page);
    text_finish(&up);
}
