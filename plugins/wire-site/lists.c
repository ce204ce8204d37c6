/* SPDX-License-Identifier: Apache-2.0 */
/* lists.c - front page, beats, archive and corrections: all made from summaries alone. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* --- items --------------------------------------------------------------------------------- */

static void put_item(struct text *out, const struct entry *entry, const char *up, const char *level,
                     const char *lede) {
    char printed[64];
    address_printed(entry, printed);
    text_put(out, "<article class=\"item\" lang=\"%h\" data-id=\"%h\">\n<p class=\"when\">", entry->lang,
             entry->id);
    page_time(out, entry->first_time_ms, true);
    text_put(out, "</p>\n<p class=\"filed\"><a href=\"%hbeat/%h/\">%h</a></p>\n", up, entry->slug,
             entry->beat);
    text_put(out, "<%r%r dir=\"auto\"><a href=\"%hd/%h/\">%h</a></%r>\n", level,
             page_is_long(entry->headline) ? " class=\"long\"" : "", up, entry->dsp, entry->headline, level);
    if (*entry->dek)
        text_put(out, "<p class=\"dek\" dir=\"auto\">%h</p>\n", entry->dek);
    if (*lede)
        text_put(out, "<p class=\"lede\" dir=\"auto\">%h</p>\n", lede);
    text_put(out, "<p class=\"meta\"><span class=\"dsp\">%h</span> ", printed);
    page_counts(out, entry);
    if (entry->seq != entry->first_seq)
        text_put(out, " <span class=\"updated\">%r</span>",
                 entry->corrected_ms > 0 ? "Corrected" : "Updated");
    text_put(out, "</p>\n</article>\n");
}

static void put_empty(struct text *out, const char *what) {
    text_put(out, "<p class=\"empty\">%r</p>\n", what);
}

/* --- front --------------------------------------------------------------------------------- */

static const struct entry *next_listed(const struct site *site, size_t *i) {
    while (*i < site->count) {
        const struct entry *entry = index_newest(site, (*i)++);
        if (entry_is_listed(entry))
            return entry;
    }
    return NULL;
}

static void put_front_lists(struct text *out, const struct site *site) {
    size_t i = 0;
    int64_t shown = 0;
    const struct entry *entry = next_listed(site, &i);
    const struct entry *second = next_listed(site, &i);
    text_put(out, "<section class=\"top%r\" aria-label=\"Newest dispatches\">\n<div class=\"first\">\n",
             second ? "" : " alone");
    put_item(out, entry, "./", "h2", json_text(entry->json, "lede"));
    text_put(out, "</div>\n");
    if (second) {
        text_put(out, "<div class=\"second\">\n");
        put_item(out, second, "./", "h3", "");
        if ((entry = next_listed(site, &i)))
            put_item(out, entry, "./", "h3", "");
        text_put(out, "</div>\n");
    }
    text_put(out, "</section>\n<section class=\"wirelist\" aria-labelledby=\"wire\">\n<h2 id=\"wire\">On the "
                  "wire</h2>\n<div id=\"wire-list\">\n");
    for (; shown < site->config.front_items && (entry = next_listed(site, &i)); shown++)
        put_item(out, entry, "./", "h3", "");
    text_put(out, "</div>\n");
    if (shown == 0)
        put_empty(out, "Nothing older is on the wire yet.");
    text_put(out,
             "<p class=\"more\"><a href=\"./archive/\">All dispatches in the archive</a></p>\n</section>\n");
}

void list_front(struct text *out, const struct site *site) {
    size_t i = 0;
    struct page page = {.title = site->config.title,
                        .description = site->config.tagline,
                        .path = "",
                        .up = "./",
                        .name = "front",
                        .live = "front",
                        .seq = site->last_seq};
    page_begin(out, site, &page);
    text_put(
        out,
        "<h1 class=\"vh\">%h: live wire</h1>\n<p class=\"onair\"><span class=\"on-air\">Live wire</span> ",
        site->config.title);
    if (site->count > 0) {
        text_put(out, "<span class=\"state\">newest ");
        page_time(out, site->newest_ms, true);
        text_put(out, "</span> ");
    }
    text_put(out, "<a class=\"reload\" href=\"./\">Refresh</a></p>\n");
    if (next_listed(site, &i))
        put_front_lists(out, site);
    else
        text_put(
            out,
            "<section class=\"wirelist\"><h2>On the wire</h2><div id=\"wire-list\"></div>\n<p "
            "class=\"empty\">Nothing has been published yet. The first dispatch appears here as soon as a "
            "story has enough records.</p></section>\n");
    page_label(out, "./");
    page_end(out, site, &page);
}

/* --- beats --------------------------------------------------------------------------------- */

struct tally {
    const struct entry *newest; /* names the group */
    const char *key;
    char day[16];
    int64_t count;
};

static int by_name(const void *a, const void *b) {
    const struct tally *x = a, *y = b;
    int order = strcmp(x->newest->beat, y->newest->beat);
    return order ? order : strcmp(x->key, y->key);
}

void list_beats(struct text *out, const struct site *site) {
    struct page page = {.title = "Beats",
                        .description = "Every beat of the wire and its newest dispatch.",
                        .path = "beat/",
                        .up = "../",
                        .name = "beats",
                        .seq = site->last_seq};
    struct tally *tallies = calloc(site->count + 1, sizeof(*tallies));
    size_t n = 0;
    const struct entry *entry;
    if (!tallies) {
        out->broken = true;
        return;
    }
    for (size_t i = 0; (entry = next_listed(site, &i));) {
        size_t k = 0;
        while (k < n && strcmp(tallies[k].key, entry->slug) != 0)
            k++;
        if (k == n)
            tallies[n++] = (struct tally){.newest = entry, .key = entry->slug};
        tallies[k].count++;
    }
    qsort(tallies, n, sizeof(*tallies), by_name);
    page_begin(out, site, &page);
    text_put(out, "<header class=\"lead\"><h1>Beats</h1></header>\n<ul class=\"beats\">\n");
    for (size_t k = 0; k < n; k++) {
        text_put(out, "<li><h2><a href=\"%h/\">%h</a></h2> <span class=\"counts\">%d %r, newest ",
                 tallies[k].key, tallies[k].newest->beat, tallies[k].count,
                 tallies[k].count == 1 ? "dispatch" : "dispatches");
        page_time(out, tallies[k].newest->first_time_ms, true);
        text_put(out, "</span></li>\n");
    }
    text_put(out, "</ul>\n");
    if (n == 0)
        put_empty(out, "No beat has a dispatch yet.");
    page_end(out, site, &page);
    free(tallies);
}

void list_beat(struct text *out, const struct site *site, const char *slug) {
    char path[ADDRESS_BYTES];
    const struct entry *entry, *newest = NULL;
    int64_t shown = 0;
    for (size_t i = 0; i < site->count && !newest; i++)
        if (strcmp(index_newest(site, i)->slug, slug) == 0)
            newest = index_newest(site, i);
    snprintf(path, sizeof(path), "beat/%s/", slug);
    const char *name = newest ? newest->beat : slug;
    struct page page = {.title = name,
                        .description = "Dispatches filed under this beat, newest first.",
                        .path = path,
                        .up = "../../",
                        .name = "beats",
                        .seq = site->last_seq};
    page_begin(out, site, &page);
    text_put(out,
             "<header class=\"lead\"><p class=\"kicker\"><span>Filed under</span></p><h1 dir=\"auto\">%h</h1>"
             "</header>\n<section class=\"wirelist\" aria-label=\"Dispatches\">\n",
             name);
    for (size_t i = 0; shown < BEAT_ITEMS && (entry = next_listed(site, &i));) {
        if (strcmp(entry->slug, slug) != 0)
            continue;
        put_item(out, entry, "../../", "h2", "");
        shown++;
    }
    if (shown == 0)
        put_empty(out, "Nothing is filed here now.");
    text_put(
        out,
        "<p class=\"more\"><a href=\"../../archive/\">Older dispatches in the archive</a></p>\n</section>\n");
    page_end(out, site, &page);
}

/* --- archive ------------------------------------------------------------------------------- */

static int newest_day_first(const void *a, const void *b) {
    return strcmp(((const struct tally *)b)->day, ((const struct tally *)a)->day);
}

/* One tally per day that has a dispatch with a page, newest first. Gives it; *n days. */
static struct tally *count_days(const struct site *site, size_t *n) {
    struct tally *days = calloc(site->count + 1, sizeof(*days));
    *n = 0;
    if (!days)
        return NULL;
    for (size_t i = 0; i < site->count; i++) {
        days[i].newest = index_newest(site, i);
        text_day(days[i].newest->first_time_ms, days[i].day);
    }
    qsort(days, site->count, sizeof(*days), newest_day_first);
    for (size_t i = 0; i < site->count; i++) {
        if (*n == 0 || strcmp(days[*n - 1].day, days[i].day) != 0)
            days[(*n)++] = days[i];
        days[*n - 1].count++;
    }
    return days;
}

void list_archive(struct text *out, const struct site *site) {
    size_t n;
    struct tally *days = count_days(site, &n);
    struct page page = {.title = "Archive",
                        .description = "Every dispatch of the wire by day.",
                        .path = "archive/",
                        .up = "../",
                        .name = "archive",
                        .seq = site->last_seq};
    if (!days) {
        out->broken = true;
        return;
    }
    page_begin(out, site, &page);
    text_put(out,
             "<header class=\"lead\"><h1>Archive</h1><p class=\"dek\">%d %r on the wire.</p></header>\n<ul "
             "class=\"days\">\n",
             (int64_t)site->count, site->count == 1 ? "dispatch" : "dispatches");
    for (size_t i = 0; i < n; i++)
        text_put(out, "<li><a href=\"%h/\">%D</a> <span class=\"counts\">%d %r</span></li>\n", days[i].day,
                 days[i].newest->first_time_ms, days[i].count,
                 days[i].count == 1 ? "dispatch" : "dispatches");
    text_put(out, "</ul>\n");
    if (n == 0)
        put_empty(out, "The archive is empty.");
    page_end(out, site, &page);
    free(days);
}

/* A dispatch that is not listed stays findable: its line says what became of it. */
static void put_unlisted(struct text *out, const struct entry *entry) {
    char printed[64];
    address_printed(entry, printed);
    bool merged = strcmp(entry->target_relation, "merged_into") == 0;
    text_put(out, "<article class=\"item gone\"><p class=\"when\">");
    page_time(out, entry->first_time_ms, true);
    text_put(out, "</p><h2><a href=\"../../d/%h/\">%h</a></h2><p class=\"meta\">%r</p></article>\n",
             entry->dsp, printed,
             merged                        ? "Merged into another dispatch"
             : entry_is(entry, "canceled") ? "Withdrawn"
                                           : "Withheld");
}

void list_day(struct text *out, const struct site *site, const char *day) {
    char path[ADDRESS_BYTES], own[16];
    int64_t ms = 0;
    for (size_t i = 0; i < site->count && !ms; i++) {
        text_day(index_newest(site, i)->first_time_ms, own);
        ms = strcmp(own, day) == 0 ? index_newest(site, i)->first_time_ms : 0;
    }
    struct text title = {0};
    text_put(&title, "%D", ms);
    snprintf(path, sizeof(path), "archive/%s/", day);
    struct page page = {.title = title.data,
                        .description = "Every dispatch of this day.",
                        .path = path,
                        .up = "../../",
                        .name = "archive",
                        .seq = site->last_seq};
    page_begin(out, site, &page);
    text_put(
        out,
        "<header class=\"lead\"><p class=\"kicker\"><a href=\"../\">Archive</a></p><h1>%h</h1></header>\n"
        "<section class=\"wirelist\" aria-label=\"Dispatches\">\n",
        title.data);
    for (size_t i = 0; i < site->count; i++) {
        const struct entry *entry = index_newest(site, i);
        text_day(entry->first_time_ms, own);
        if (strcmp(own, day) != 0)
            continue;
        if (entry_is_listed(entry))
            put_item(out, entry, "../../", "h2", "");
        else
            put_unlisted(out, entry);
    }
    text_put(out, "</section>\n");
    page_end(out, site, &page);
    text_finish(&title);
}

/* --- corrections --------------------------------------------------------------------------- */

void list_corrections(struct text *out, const struct site *site) {
    char printed[64];
    size_t shown = 0;
    struct page page = {.title = "Corrections",
                        .description = "Every dispatch that was corrected or withdrawn, and why.",
                        .path = "corrections/",
                        .up = "../",
                        .name = "corrections",
                        .seq = site->last_seq};
    page_begin(out, site, &page);
    text_put(
        out,
        "<header class=\"lead\"><h1>Corrections</h1><p class=\"dek\">A dispatch is never changed in silence. "
        "What was corrected or withdrawn stands here and on its own page.</p></header>\n<section "
        "class=\"wirelist\" aria-label=\"Corrections\">\n");
    for (size_t i = 0; i < site->count; i++) {
        const struct entry *entry = index_newest(site, i);
        bool gone = !entry_is(entry, "usable");
        if (strcmp(entry->act, "merge") == 0 || (!gone && entry->corrected_ms == 0))
            continue;
        address_printed(entry, printed);
        text_put(out, "<article class=\"item\"><p class=\"when\">");
        page_time(out, gone ? entry->time_ms : entry->corrected_ms, true);
        text_put(out, "</p><p class=\"filed\">%r</p><h2 dir=\"auto\"><a href=\"../d/%h/\">%h</a></h2>",
                 !gone                         ? "Corrected"
                 : entry_is(entry, "canceled") ? "Withdrawn"
                                               : "Withheld",
                 entry->dsp, gone ? printed : entry->headline);
        text_put(out, "<p class=\"dek\" dir=\"auto\">%h</p></article>\n",
                 gone ? entry->note : entry->corrected_note);
        shown++;
    }
    if (shown == 0)
        put_empty(out, "Nothing has been corrected or withdrawn.");
    text_put(out, "</section>\n");
    page_end(out, site, &page);
}
