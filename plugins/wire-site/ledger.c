/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.c - what the store holds, and how a version comes to be published exactly once.
 *
 *   schema             1
 *   seq                the last number given out
 *   a/ID               the newest accepted entry of a dispatch
 *   d/ID               its newest published entry
 *   i/ID               the summary of that entry, for the index
 *   v/ID/VERSION       every published canonical record
 *   x/PREFIX           the dispatch that owns a printed id, for ever
 *   p/SEQ              an accepted entry that is not settled
 *   r/SEQ              the receipt of a settled one
 *   l/NAMED/ID         that ID names the dispatch NAMED, published or not (related.c)
 *
 * A dispatch's version is accepted only when it is above the newest accepted one, and settling removes
 * p/SEQ in the same step that commits the event: so (id, version) gives one event, whatever repeats. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/id.h>

enum { KEY_BYTES = 128, DSP_MIN = 6, DSP_MAX = 32, LEDE_BYTES = 360 };

static int put_new(struct site *site, const char *key, json_t *value) {
    int err = value ? site->store.put(site->store.ctx, key, value) : -ENOMEM;
    json_decref(value);
    return err;
}

static json_t *get(const struct site *site, const char *key) {
    return site->store.get(site->store.ctx, key);
}

/* 32 hex digits that never change with the text: the id itself where it is that. */
static void hex_of(const char *id, char out[33]) {
    if (strlen(id) == 32 && strspn(id, "0123456789abcdef") == 32) {
        memcpy(out, id, 33);
        return;
    }
    struct telex_bytes part = {(const uint8_t *)id, strlen(id)};
    telex_id(out, "dispatch", &part, 1);
}

/* Reserve the shortest free prefix of at least six digits. 0, or -EEXIST when all 32 are another's. */
static int reserve_printed(struct site *site, const char *id, char dsp[33]) {
    char hex[33], key[KEY_BYTES];
    hex_of(id, hex);
    for (int n = DSP_MIN; n <= DSP_MAX; n++) {
        snprintf(key, sizeof(key), "x/%.*s", n, hex);
        json_t *owner = get(site, key);
        bool ours = owner && strcmp(json_string_value(owner) ? json_string_value(owner) : "", id) == 0;
        bool taken = owner != NULL;
        json_decref(owner);
        if (taken && !ours)
            continue;
        memcpy(dsp, hex, (size_t)n);
        dsp[n] = '\0';
        return ours ? 0 : put_new(site, key, json_string(id));
    }
    return -EEXIST;
}

static size_t correction_count(const json_t *dispatch) {
    return json_array_size(json_object_get(dispatch, "corrections"));
}

static const char *act_of(const json_t *earlier, const json_t *dispatch) {
    const char *status = json_text(dispatch, "status");
    const json_t *before = json_object_get(earlier, "dispatch");
    const char *asked = json_text(dispatch, "act");
    if (strcmp(status, "canceled") == 0)
        return *json_text(dispatch, "merged_into") ? "merge" : "kill";
    if (strcmp(status, "withheld") == 0)
        return "withhold";
    if (json_number(earlier, "first_seq", 0) == 0)
        return "dispatch";
    if (strcmp(asked, "correction") == 0 || strcmp(asked, "clarification") == 0 ||
        correction_count(dispatch) > correction_count(before))
        return "correction";
    return "update";
}

/* The note that goes with a correction or a kill: the newest correction's text, else ed_note. */
static const char *note_of(const json_t *dispatch) {
    const json_t *corrections = json_object_get(dispatch, "corrections");
    const json_t *last =
        json_array_size(corrections) ? json_array_get(corrections, json_array_size(corrections) - 1) : NULL;
    if (json_is_string(last))
        return json_string_value(last);
    if (*json_text(last, "text"))
        return json_text(last, "text");
    return json_text(dispatch, "ed_note");
}

static int64_t newest_citation_ms(const json_t *dispatch) {
    int64_t newest = 0;
    size_t i;
    const json_t *citation;
    json_array_foreach(json_object_get(dispatch, "citations"), i, citation) {
        int64_t ms = json_number(citation, "published_ms", 0);
        newest = ms > newest ? ms : newest;
    }
    return newest;
}

/* In event time a version is as old as the newest record it used, and no younger than now. */
static int64_t time_of(const struct site *site, const json_t *earlier, const json_t *dispatch,
                       int64_t now_ms) {
    int64_t ms = now_ms;
    if (site->config.event_time) {
        ms = json_number(dispatch, "last_ms", 0);
        if (ms <= 0)
            ms = newest_citation_ms(dispatch);
        if (ms <= 0 || ms > now_ms)
            ms = now_ms;
    }
    int64_t before = json_number(earlier, "time_ms", 0);
    return ms > before ? ms : before;
}

static json_t *target_of(struct site *site, const json_t *dispatch) {
    static const char *const relations[] = {"merged_into", "superseded_by"};
    for (size_t i = 0; i < sizeof(relations) / sizeof(relations[0]); i++) {
        char key[KEY_BYTES];
        const char *id = json_text(dispatch, relations[i]);
        if (!*id || strlen(id) > 64)
            continue;
        snprintf(key, sizeof(key), "a/%s", id);
        json_t *other = get(site, key);
        json_t *target =
            json_pack("{s:s, s:s, s:s}", "relation", relations[i], "id", id, "dsp", json_text(other, "dsp"));
        json_decref(other);
        return target;
    }
    return json_object();
}

/* The first sentences of the body, for the top of the front page. */
static json_t *lede_of(const json_t *dispatch) {
    const json_t *paragraph = paragraph_at(dispatch, 0);
    struct text words = {0};
    for (size_t i = 0; i < sentence_count(paragraph); i++) {
        const char *sentence = sentence_text(sentence_at(paragraph, i));
        if (i > 0 && words.bytes + strlen(sentence) > LEDE_BYTES)
            break;
        text_put(&words, "%r%r", i > 0 ? " " : "", sentence);
    }
    char *clipped = words.data ? text_clip(words.data, LEDE_BYTES) : NULL;
    json_t *lede = json_string(clipped ? clipped : "");
    free(clipped);
    text_finish(&words);
    return lede;
}

static void digest_of(const json_t *dispatch, char out[65]) {
    struct text canonical = {0};
    text_json(&canonical, dispatch, false, true);
    telex_sha256_hex(out, (struct telex_bytes){(const uint8_t *)canonical.data, canonical.bytes});
    text_finish(&canonical);
}

static json_t *history_of(const json_t *earlier, const json_t *entry) {
    char digest[65];
    const json_t *dispatch = json_object_get(entry, "dispatch");
    json_t *history = json_copy(json_object_get(earlier, "history"));
    if (!history)
        history = json_array();
    digest_of(dispatch, digest);
    json_array_append_new(
        history, json_pack("{s:s, s:s, s:s, s:I, s:s, s:I, s:I}", "act", json_text(entry, "act"), "headline",
                           json_text(dispatch, "headline"), "note", json_text(entry, "note"), "seq",
                           json_number(entry, "seq", 0), "sha256", digest, "time_ms",
                           json_number(entry, "time_ms", 0), "version", json_number(dispatch, "version", 0)));
    if (json_array_size(history) > HISTORY_MAX)
        json_array_remove(history, 1); /* the first version stays */
    return history;
}

static json_t *make_entry(struct site *site, const json_t *earlier, json_t *dispatch, const char *dsp,
                          int64_t seq, int64_t now_ms) {
    int64_t time_ms = time_of(site, earlier, dispatch, now_ms);
    int64_t first_seq = json_number(earlier, "first_seq", 0);
    json_t *entry =
        json_pack("{s:s, s:O, s:s, s:I, s:I, s:I, s:I, s:s, s:I, s:I, s:o}", "act", act_of(earlier, dispatch),
                  "dispatch", dispatch, "dsp", dsp, "seq", (json_int_t)seq, "first_seq",
                  (json_int_t)(first_seq ? first_seq : seq), "time_ms", (json_int_t)time_ms, "first_time_ms",
                  (json_int_t)(first_seq ? json_number(earlier, "first_time_ms", 0) : time_ms), "note",
                  note_of(dispatch), "records", (json_int_t)dispatch_records(dispatch), "web",
                  (json_int_t)dispatch_web_citations(dispatch), "target", target_of(site, dispatch));
    /* Where it came from stays so, whatever later versions say of themselves. */
    const char *origin = *json_text(dispatch, "split_from") ? json_text(dispatch, "split_from")
                                                            : json_text(earlier, "split_from");
    if (entry && *origin)
        json_object_set_new(entry, "split_from", json_string(origin));
    if (!entry || seq == 0)
        return entry;
    json_object_set_new(entry, "history", history_of(earlier, entry));
    json_object_set_new(entry, "lede", lede_of(dispatch));
    if (strcmp(json_text(entry, "act"), "correction") == 0)
        json_object_set_new(
            entry, "corrected",
            json_pack("{s:s, s:I}", "note", note_of(dispatch), "time_ms", (json_int_t)time_ms));
    else if (json_object_get(earlier, "corrected"))
        json_object_set(entry, "corrected", json_object_get(earlier, "corrected"));
    return entry;
}

static int store_entry(struct site *site, const json_t *entry, const char *id, int64_t seq) {
    char key[KEY_BYTES];
    snprintf(key, sizeof(key), "a/%s", id);
    int err = site->store.put(site->store.ctx, key, entry);
    if (!err && seq > 0) {
        err = put_new(site, "seq", json_integer((json_int_t)seq));
        snprintf(key, sizeof(key), "p/%016llx", (unsigned long long)seq);
        if (!err)
            err = site->store.put(site->store.ctx, key, entry);
    }
    return err;
}

/* What the newest accepted version says about this one. 1: go on, 0 or -EBADMSG: see why. */
static int weigh(const json_t *earlier, const json_t *dispatch, char *why, size_t why_bytes) {
    const json_t *before = json_object_get(earlier, "dispatch");
    int64_t version = json_number(dispatch, "version", 0), held = json_number(before, "version", 0);
    if (earlier && version == held) {
        snprintf(why, why_bytes,
                 json_equal(before, dispatch)
                     ? "version %lld is published already"
                     : "version %lld is published already, with another text: give a change a "
                       "new version",
                 (long long)version);
        return 0;
    }
    if (earlier && version < held) {
        snprintf(why, why_bytes, "version %lld is older than the published version %lld", (long long)version,
                 (long long)held);
        return 0;
    }
    if (strcmp(json_text(earlier, "act"), "kill") == 0 && json_number(earlier, "first_seq", 0) > 0) {
        snprintf(why, why_bytes,
                 "dispatch: status: this dispatch was withdrawn for good in version %lld; publish "
                 "a new one under a new id",
                 (long long)held);
        return -EBADMSG;
    }
    return 1;
}

/* Drafts that the gate refused say what is not so: their rule and reason are published, their text is not. */
static void drop_refused_texts(json_t *value) {
    const char *key;
    json_t *member;
    size_t i;
    json_array_foreach(value, i, member) {
        drop_refused_texts(member);
    }
    json_array_foreach(json_object_get(value, "refused"), i, member) {
        json_object_del(member, "text");
    }
    json_object_foreach(value, key, member) {
        drop_refused_texts(member);
    }
}

int site_accept(struct site *site, const json_t *raw, int64_t now_ms, json_t **out, char *why,
                size_t why_bytes) {
    char key[KEY_BYTES], dsp[33];
    json_t *entry = NULL, *earlier = NULL, *number = NULL;
    json_t *dispatch = text_clean_json(raw);
    int err = dispatch ? dispatch_check(dispatch, why, why_bytes) : -EBADMSG;
    if (!dispatch)
        snprintf(why, why_bytes, "dispatch: is nested deeper than 32 levels");
    if (err)
        goto done;
    drop_refused_texts(dispatch);
    const char *id = json_text(dispatch, "id");
    snprintf(key, sizeof(key), "a/%s", id);
    earlier = get(site, key);
    err = weigh(earlier, dispatch, why, why_bytes);
    if (err <= 0)
        goto done;
    err = reserve_printed(site, id, dsp);
    if (err) {
        snprintf(why, why_bytes, "no printed id is free for %s", id);
        goto done;
    }
    number = get(site, "seq");
    bool unseen =
        json_number(earlier, "first_seq", 0) == 0 && strcmp(json_text(dispatch, "status"), "usable") != 0;
    int64_t seq = unseen ? 0 : (int64_t)json_integer_value(number) + 1;
    entry = make_entry(site, earlier, dispatch, dsp, seq, now_ms);
    err = entry ? store_entry(site, entry, id, seq) : -ENOMEM;
    if (!err)
        err = related_note(site, dispatch);
    if (err)
        goto done;
    if (unseen) {
        snprintf(why, why_bytes, "it is %s before anyone saw it; nothing is published",
                 json_text(dispatch, "status"));
    } else {
        *out = json_incref(entry);
        err = 1;
    }
done:
    json_decref(entry);
    json_decref(earlier);
    json_decref(number);
    json_decref(dispatch);
    return err;
}

static int take_first(void *arg, const char *key, json_t *value) {
    (void)key;
    *(json_t **)arg = json_incref(value);
    return 1;
}

json_t *site_pending(struct site *site) {
    json_t *first = NULL;
    site->store.scan(site->store.ctx, "p/", take_first, &first);
    return first;
}

json_t *site_event(const struct site *site, const json_t *entry_json, const json_t *files) {
    struct entry entry;
    char path[ADDRESS_BYTES], address[ADDRESS_BYTES], printed[64];
    if (entry_read(&entry, (json_t *)(uintptr_t)entry_json) != 0)
        return NULL;
    address_of_dispatch(&entry, path);
    address_absolute(site, path, address);
    address_printed(&entry, printed);
    bool gone = !entry_is(&entry, "usable");
    json_t *event =
        json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:O}",
                  "schema", "telex.event/1", "id", entry.id, "version", (json_int_t)entry.version, "act",
                  entry.act, "status", entry.status, "dsp", printed, "headline", gone ? "" : entry.headline,
                  "dek", gone ? "" : entry.dek, "beat", entry.beat, "kind", entry.kind, "path", path,
                  "address", address, "seq", (json_int_t)entry.seq, "time_ms", (json_int_t)entry.time_ms,
                  "first_time_ms", (json_int_t)entry.first_time_ms, "files", files);
    const struct entry *origin = related_origin(site, &entry);
    if (event && origin) {
        address_printed(origin, printed);
        json_object_set_new(event, "split_from", json_string(printed));
    }
    if (event && *entry.note)
        json_object_set_new(event, "note", json_string(entry.note));
    entry_finish(&entry);
    return event;
}

int site_settle(struct site *site, const json_t *entry_json, const json_t *files) {
    char key[KEY_BYTES];
    struct entry entry;
    if (entry_read(&entry, (json_t *)(uintptr_t)entry_json) != 0)
        return -EBADMSG;
    snprintf(key, sizeof(key), "r/%016llx", (unsigned long long)entry.seq);
    int err = put_new(site, key,
                      json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:O}", "schema", "telex.receipt/1", "id",
                                entry.id, "version", (json_int_t)entry.version, "act", entry.act, "seq",
                                (json_int_t)entry.seq, "time_ms", (json_int_t)entry.time_ms, "files", files));
    snprintf(key, sizeof(key), "v/%s/%016llx", entry.id, (unsigned long long)entry.version);
    if (!err)
        err = site->store.put(site->store.ctx, key, entry.dispatch);
    snprintf(key, sizeof(key), "d/%s", entry.id);
    if (!err)
        err = site->store.put(site->store.ctx, key, entry_json);
    snprintf(key, sizeof(key), "i/%s", entry.id);
    if (!err)
        err = put_new(site, key, entry_summary(entry_json));
    snprintf(key, sizeof(key), "p/%016llx", (unsigned long long)entry.seq);
    if (!err)
        err = site->store.del(site->store.ctx, key);
    entry_finish(&entry);
    return err;
}
