/* SPDX-License-Identifier: Apache-2.0 */
/* index.c - every published dispatch as a summary, in the order of first publication, and addresses.
 *
 * The index holds exactly what the store says is published plus the entry being rendered now, so the
 * lists that a repeated render writes are the same bytes. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <ctype.h>

#include <telex-sdk/id.h>

const struct entry *index_find(const struct site *site, const char *id) {
    for (size_t i = 0; i < site->count; i++)
        if (strcmp(index_newest(site, i)->id, id) == 0)
            return index_newest(site, i);
    return NULL;
}

static int grow(struct site *site) {
    if (site->count < site->room)
        return 0;
    size_t room = site->room ? site->room * 2 : 64;
    struct entry *grown = realloc(site->entries, room * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    site->entries = grown;
    site->room = room;
    return 0;
}

/* Entries mostly arrive in order; one that does not is moved down to its place. */
static int insert(struct site *site, struct entry entry) {
    int err = grow(site);
    if (err)
        return err;
    size_t at = site->count++;
    while (at > 0 && site->entries[at - 1].first_seq > entry.first_seq) {
        site->entries[at] = site->entries[at - 1];
        at--;
    }
    site->entries[at] = entry;
    return 0;
}

int index_update(struct site *site, const json_t *entry_json) {
    struct entry entry;
    json_t *summary = entry_summary(entry_json);
    int err = summary ? entry_read(&entry, summary) : -ENOMEM;
    json_decref(summary);
    if (err)
        return err;
    if (entry.seq > site->last_seq)
        site->last_seq = entry.seq;
    if (entry.time_ms > site->newest_ms)
        site->newest_ms = entry.time_ms;
    struct entry *held = (struct entry *)(uintptr_t)index_find(site, entry.id);
    if (held) { /* first_seq never changes, so neither does the place */
        entry_finish(held);
        *held = entry;
        return 0;
    }
    err = insert(site, entry);
    if (err)
        entry_finish(&entry);
    return err;
}

static int compare_first(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    return x->first_seq < y->first_seq ? -1 : x->first_seq > y->first_seq;
}

static int append_published(void *arg, const char *key, json_t *value) {
    struct site *site = arg;
    struct entry entry;
    (void)key;
    if (grow(site) == 0 && entry_read(&entry, value) == 0) {
        site->entries[site->count++] = entry;
        if (entry.seq > site->last_seq)
            site->last_seq = entry.seq;
        if (entry.time_ms > site->newest_ms)
            site->newest_ms = entry.time_ms;
    }
    return 0;
}

int index_load(struct site *site) {
    int err = site->store.scan(site->store.ctx, "i/", append_published, site);
    if (!err && site->count > 1)
        qsort(site->entries, site->count, sizeof(*site->entries), compare_first);
    return err;
}

void index_finish(struct site *site) {
    for (size_t i = 0; i < site->count; i++)
        entry_finish(&site->entries[i]);
    free(site->entries);
    site->entries = NULL;
    site->count = site->room = 0;
}

json_t *index_whole(const struct site *site, const struct entry *summary) {
    char key[80];
    snprintf(key, sizeof(key), "d/%s", summary->id);
    return site->store.get(site->store.ctx, key);
}

int64_t site_last_seq(const struct site *site) {
    return site->last_seq;
}

int64_t site_count(const struct site *site) {
    return (int64_t)site->count;
}

/* --- addresses ----------------------------------------------------------------------------- */

void address_of_dispatch(const struct entry *entry, char path[ADDRESS_BYTES]) {
    snprintf(path, ADDRESS_BYTES, "d/%s/", entry->dsp);
}

void address_absolute(const struct site *site, const char *path, char out[ADDRESS_BYTES]) {
    snprintf(out, ADDRESS_BYTES, "%s/%s", site->config.base, path);
}

void address_urn(const struct entry *entry, char out[64]) {
    char hex[33];
    if (strlen(entry->id) == 32 && strspn(entry->id, "0123456789abcdef") == 32) {
        memcpy(hex, entry->id, 33);
    } else {
        struct telex_bytes part = {(const uint8_t *)entry->id, strlen(entry->id)};
        telex_id(hex, "dispatch", &part, 1);
    }
    snprintf(out, 64, "urn:uuid:%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

void address_printed(const struct entry *entry, char out[64]) {
    char upper[40];
    size_t n = strlen(entry->dsp);
    if (n >= sizeof(upper))
        n = sizeof(upper) - 1;
    for (size_t i = 0; i < n; i++)
        upper[i] = (char)toupper((unsigned char)entry->dsp[i]);
    upper[n] = '\0';
    snprintf(out, 64, "DSP\xc2\xb7%s", upper);
}
