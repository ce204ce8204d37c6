/* SPDX-License-Identifier: Apache-2.0 */
/* site.c - which files an entry changes, and in what order they are written.
 *
 * Own page and data first, then lists, then feeds and sitemaps: nothing names a page that is not there.
 * Every byte comes from the entry, the index and the config; no clock, no locale, no environment. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/id.h>

static const char theme_path[] = "assets/theme.txt";
enum { VERSION_OF_PAGES = 1 }; /* raise it when the code that makes pages changes what they say */

/* --- opening ------------------------------------------------------------------------------- */

static void name_asset(char *out, size_t out_bytes, const char *stem, const char *ending, const char *data,
                       size_t bytes) {
    char digest[65];
    telex_sha256_hex(digest, (struct telex_bytes){(const uint8_t *)data, bytes});
    snprintf(out, out_bytes, "assets/%s.%.10s.%s", stem, digest, ending);
}

/* Names all that decides a page beside its record; a change means every page is written anew. */
static void name_theme(struct site *site) {
    const struct site_config *config = &site->config;
    struct text all = {0};
    text_put(&all, "%d\n%r\n%r\n%r\n%r\n%r\n%r\n%r\n%r\n%d\n%d\n%d\n", (int64_t)VERSION_OF_PAGES, site->css,
             site->script, site->icon, config->base, config->title, config->tagline, config->publisher,
             config->contact, config->front_items, config->feed_items, (int64_t)config->precompress);
    telex_sha256_hex(site->theme, (struct telex_bytes){(const uint8_t *)all.data, all.bytes});
    text_finish(&all);
}

int site_open(const struct site_config *config, const struct site_store *store, struct site **out, char *why,
              size_t why_bytes) {
    struct site *site = calloc(1, sizeof(*site));
    if (!site)
        return -ENOMEM;
    site->config = *config;
    site->store = *store;
    int err = files_open(&site->files, config->root, config->precompress);
    if (err) {
        snprintf(why, why_bytes, "cannot use the folder %s: %s", config->root, strerror(-err));
        free(site);
        return err;
    }
    err = index_load(site);
    if (!err)
        err = related_load(site);
    if (err) {
        snprintf(why, why_bytes, "cannot read what is published: %s", strerror(-err));
        site_close(site);
        return err;
    }
    name_asset(site->css, sizeof(site->css), "site", "css", asset_site_css, asset_site_css_bytes);
    name_asset(site->script, sizeof(site->script), "live", "js", asset_live_js, asset_live_js_bytes);
    name_asset(site->icon, sizeof(site->icon), "icon", "svg", asset_icon_svg, asset_icon_svg_bytes);
    name_theme(site);
    *out = site;
    return 0;
}

void site_close(struct site *site) {
    if (!site)
        return;
    json_decref(site->ties);
    index_finish(site);
    files_finish(&site->files);
    free(site);
}

/* --- writing ------------------------------------------------------------------------------- */

static void put_asset(struct site *site, const char *path, const char *data, size_t bytes) {
    struct text copy = {0};
    text_add(&copy, data, bytes);
    files_put(&site->files, path, &copy, false);
}

static void put_assets(struct site *site) {
    put_asset(site, site->css, asset_site_css, asset_site_css_bytes);
    put_asset(site, site->script, asset_live_js, asset_live_js_bytes);
    put_asset(site, site->icon, asset_icon_svg, asset_icon_svg_bytes);
}

static void put_own(struct site *site, const struct entry *entry, const char *name, struct text *text) {
    char path[ADDRESS_BYTES];
    snprintf(path, sizeof(path), "d/%s/%s", entry->dsp, name);
    files_put(&site->files, path, text, true);
}

/* The text of every earlier version of a withdrawn dispatch goes; which versions there were, stays. */
static void put_version(struct site *site, const struct entry *entry, const json_t *version, bool gone) {
    char name[48], key[128];
    struct text out = {0};
    int64_t number = json_number(version, "version", 0);
    snprintf(name, sizeof(name), "v%lld.json", (long long)number);
    snprintf(key, sizeof(key), "v/%s/%016llx", entry->id, (unsigned long long)number);
    json_t *held = NULL;
    if (!gone)
        held = number == entry->version ? json_incref((json_t *)(uintptr_t)entry->dispatch)
                                        : site->store.get(site->store.ctx, key);
    json_t *stone =
        json_pack("{s:s, s:s, s:I, s:s, s:s}", "schema", "telex.dispatch/1", "id", entry->id, "version",
                  (json_int_t)number, "status", entry->status, "sha256", json_text(version, "sha256"));
    text_json(&out, held ? held : stone, false, true);
    json_decref(held);
    json_decref(stone);
    put_own(site, entry, name, &out);
}

static void put_dispatch(struct site *site, const struct entry *entry) {
    struct text out = {0};
    const json_t *version;
    size_t i;
    bool gone = !entry_is(entry, "usable");
    json_array_foreach(json_object_get(entry->json, "history"), i, version) {
        put_version(site, entry, version, gone);
    }
    machine_dispatch(&out, entry);
    put_own(site, entry, "dispatch.json", &out);
    machine_ninjs(&out, site, entry);
    put_own(site, entry, "ninjs.json", &out);
    machine_evidence(&out, site, entry);
    put_own(site, entry, "evidence.json", &out);
    if (gone) {
        char path[ADDRESS_BYTES];
        snprintf(path, sizeof(path), "d/%s/article.jsonld", entry->dsp);
        files_remove(&site->files, path);
    } else {
        json_t *data = machine_linked_data(site, entry);
        text_json(&out, data, false, true);
        json_decref(data);
        put_own(site, entry, "article.jsonld", &out);
    }
    page_dispatch(&out, site, entry);
    put_own(site, entry, "index.html", &out);
}

static void put_beat(struct site *site, const char *slug) {
    char path[ADDRESS_BYTES];
    struct text out = {0};
    snprintf(path, sizeof(path), "beat/%s/index.html", slug);
    list_beat(&out, site, slug);
    files_put(&site->files, path, &out, false);
}

static void put_day(struct site *site, int64_t ms) {
    char path[ADDRESS_BYTES], day[16];
    struct text out = {0};
    text_day(ms, day);
    snprintf(path, sizeof(path), "archive/%s/index.html", day);
    list_day(&out, site, day);
    files_put(&site->files, path, &out, false);
}

/* Newest entries in whole: usable ones, and withdrawn ones for as long as they are announced. `fresh` is
 * the entry being rendered, which the store does not hold as published yet. Gives items and count. */
static json_t **collect_items(struct site *site, json_t *fresh, size_t *count) {
    size_t room = (size_t)site->config.feed_items;
    json_t **items = calloc(room + 1, sizeof(*items));
    const char *fresh_id = json_text(json_object_get(fresh, "dispatch"), "id");
    *count = 0;
    for (size_t i = 0; items && i < site->count && *count < room; i++) {
        const struct entry *entry = index_newest(site, i);
        bool mourned = !entry_is(entry, "usable") && entry->time_ms >= site->newest_ms - TOMBSTONE_WINDOW_MS;
        if (!entry_is_listed(entry) && !mourned)
            continue;
        json_t *whole = strcmp(entry->id, fresh_id) == 0 ? json_incref(fresh) : index_whole(site, entry);
        if (whole)
            items[(*count)++] = whole;
    }
    return items;
}

static void put_feeds(struct site *site, json_t *fresh) {
    static const struct {
        const char *path;
        void (*make)(struct text *out, const struct site *site, json_t *const *items, size_t count);
    } feeds[] = {{"feed.rss", feed_rss}, {"feed.atom", feed_atom}, {"feed.json", feed_json}};
    size_t count;
    struct text out = {0};
    json_t **items = collect_items(site, fresh, &count);
    for (size_t i = 0; items && i < sizeof(feeds) / sizeof(feeds[0]); i++) {
        feeds[i].make(&out, site, items, count);
        files_put(&site->files, feeds[i].path, &out, false);
    }
    for (size_t i = 0; items && i < count; i++)
        json_decref(items[i]);
    free(items);
}

static void put_plain(struct site *site) {
    static const struct {
        const char *path;
        void (*make)(struct text *out, const struct site *site);
    } pages[] = {
        {"method/index.html", page_method},
        {"404.html", page_missing},
        {"archive/index.html", list_archive},
        {"beat/index.html", list_beats},
        {"corrections/index.html", list_corrections},
        {"index.html", list_front},
        {"sitemap.xml", feed_sitemap},
        {"news-sitemap.xml", feed_news_sitemap},
        {"robots.txt", feed_robots},
        {"status.json", feed_status},
    };
    struct text out = {0};
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        pages[i].make(&out, site);
        files_put(&site->files, pages[i].path, &out, false);
    }
}

static int finish_batch(struct site *site, json_t **files, char *why, size_t why_bytes) {
    char failed[256];
    snprintf(failed, sizeof(failed), "%s", site->files.failed);
    int err = files_flush(&site->files, files);
    if (err)
        snprintf(why, why_bytes, "cannot write %s below %s: %s", *failed ? failed : "a folder",
                 site->config.root, strerror(-err));
    return err;
}

/* The pages of others that say something of this entry. They are on disk from before and keep their version.
 */
static void put_related(struct site *site, const struct entry *entry) {
    const struct entry *pages[RELATED_MAX + 1];
    size_t n = related_pages(site, entry, pages);
    for (size_t i = 0; i < n; i++) {
        json_t *whole = index_whole(site, pages[i]);
        struct entry other;
        if (whole && entry_read(&other, whole) == 0) {
            put_dispatch(site, &other);
            entry_finish(&other);
        }
        json_decref(whole);
    }
}

int site_render(struct site *site, json_t *entry_json, json_t **files, char *why, size_t why_bytes) {
    struct entry entry;
    char old_slug[64] = "";
    if (entry_read(&entry, entry_json) != 0) {
        snprintf(why, why_bytes, "the stored entry cannot be read");
        return -EBADMSG;
    }
    const struct entry *held = index_find(site, entry.id);
    if (held && strcmp(held->slug, entry.slug) != 0)
        memcpy(old_slug, held->slug, sizeof(old_slug));
    int err = index_update(site, entry_json);
    if (err) {
        entry_finish(&entry);
        return err;
    }
    put_assets(site);
    put_dispatch(site, &entry);
    put_related(site, &entry);
    put_beat(site, entry.slug);
    if (*old_slug)
        put_beat(site, old_slug);
    put_day(site, entry.first_time_ms);
    put_feeds(site, entry_json);
    put_plain(site);
    entry_finish(&entry);
    return finish_batch(site, files, why, why_bytes);
}

/* --- writing everything -------------------------------------------------------------------- */

/* The pages on disk are of this theme and not behind the store. */
static bool is_current(struct site *site) {
    struct text theme = {0}, status = {0};
    bool current = files_read(&site->files, theme_path, &theme) &&
                   files_read(&site->files, "status.json", &status) && strcmp(theme.data, site->theme) == 0;
    json_t *seen = current ? json_loads(status.data, 0, NULL) : NULL;
    current = current && json_number(seen, "seq", -1) >= site->last_seq;
    json_decref(seen);
    text_finish(&theme);
    text_finish(&status);
    return current;
}

static void put_all_lists(struct site *site) {
    char day[16], before[16] = "";
    json_t *slugs = json_object(), *mark;
    const char *slug;
    for (size_t i = 0; i < site->count; i++) {
        const struct entry *entry = index_newest(site, i);
        json_object_set_new(slugs, entry->slug, json_true());
        text_day(entry->first_time_ms, day);
        if (strcmp(day, before) != 0)
            put_day(site, entry->first_time_ms);
        memcpy(before, day, sizeof(day));
    }
    json_object_foreach(slugs, slug, mark) {
        put_beat(site, slug);
    }
    json_decref(slugs);
}

int site_refresh(struct site *site, char *why, size_t why_bytes) {
    json_t *files = NULL;
    struct text theme = {0};
    if (is_current(site))
        return 0;
    files_remove(&site->files, theme_path); /* what is on disk is of two themes until the end */
    int err = finish_batch(site, &files, why, why_bytes);
    json_decref(files);
    if (err)
        return err;
    site->files.bulk = true;
    put_assets(site);
    for (size_t i = 0; i < site->count; i++) {
        json_t *whole = index_whole(site, &site->entries[i]);
        struct entry entry;
        if (whole && entry_read(&entry, whole) == 0) {
            put_dispatch(site, &entry);
            entry_finish(&entry);
        }
        json_decref(whole);
    }
    put_all_lists(site);
    put_feeds(site, NULL);
    put_plain(site);
    err = finish_batch(site, &files, why, why_bytes);
    json_decref(files);
    site->files.bulk = false;
    if (err)
        return err;
    text_put(&theme, "%r", site->theme);
    files_put(&site->files, theme_path, &theme, false); /* once all is on disk: it vouches for them */
    err = finish_batch(site, &files, why, why_bytes);
    json_decref(files);
    return err;
}
