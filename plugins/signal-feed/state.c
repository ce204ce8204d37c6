/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - what is remembered between runs, through telex.kv/1.
 *
 * Keys: "feed/KEY" -> a msgpack map, one for each feed of the list (host/cli/feeds.c reads it too); "item/ID"
 * -> "VERSION SHA OWNER DAY", one a record that was given; "site/NAME" -> the moment before which a site
 * asked not to be asked. All is read at the start; later only written. Changes commit with the records they
 * are about. */
#include "stage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS        (24 * 3600 * 1000ll)
#define FORGET_A_STEP 200
#define LIST_A_STEP   200
#define SLOTS_START   1024

/* ---- the memory of a feed ---- */

void memory_set(char **text, const char *value) {
    char *copy = strdup(value ? value : "");
    if (copy) {
        free(*text);
        *text = copy;
    }
}

/* The texts of a memory, owned each. */
static void texts_of(struct memory *m, char **texts[7]) {
    char **all[7] = {&m->url, &m->etag, &m->last_modified, &m->validator_url, &m->title, &m->home, &m->why};
    memcpy(texts, all, sizeof(all));
}

void memory_finish(struct memory *memory) {
    char **texts[7];
    texts_of(memory, texts);
    for (size_t i = 0; i < 7; i++)
        free(*texts[i]);
    *memory = (struct memory){0};
}

static bool is_whole(struct memory *memory) {
    char **texts[7];
    bool whole = true;
    texts_of(memory, texts);
    for (size_t i = 0; i < 7; i++)
        whole &= *texts[i] != NULL;
    return whole;
}

int memory_copy(struct memory *to, const struct memory *from) {
    char **texts[7];
    *to = *from;
    texts_of(to, texts);
    for (size_t i = 0; i < 7; i++)
        *texts[i] = strdup(*texts[i]);
    if (is_whole(to))
        return 0;
    memory_finish(to);
    return -ENOMEM;
}

static char *text_of(const msgpack_object *map, const char *key) {
    struct telex_bytes text = telex_map_text(map, key);
    return strndup(text.data ? (const char *)text.data : "", text.size);
}

static void load_source(struct source *source, struct telex_bytes value) {
    struct telex_map map = {0};
    struct memory *m = &source->memory;
    if (telex_map_open(&map, value) < 0)
        return;
    struct memory read = {
        .url = text_of(map.root, "url"),
        .etag = text_of(map.root, "etag"),
        .last_modified = text_of(map.root, "last_modified"),
        .validator_url = text_of(map.root, "validator_url"),
        .title = text_of(map.root, "title"),
        .home = text_of(map.root, "home"),
        .why = text_of(map.root, "why"),
        .ok_ms = telex_map_int(map.root, "ok_ms", 0),
        .records = telex_map_int(map.root, "records", 0),
        .edits = telex_map_int(map.root, "edits", 0),
        .week = telex_map_int(map.root, "week", 0),
        .last_ms = telex_map_int(map.root, "last_ms", 0),
        .next_ms = telex_map_int(map.root, "next_ms", 0),
        .fails = telex_map_int(map.root, "fails", 0),
        .gone = telex_map_flag(map.root, "gone", false),
    };
    struct telex_bytes sha = telex_map_text(map.root, "sha256");
    if (sha.size == 64)
        memcpy(read.sha256, sha.data, 64);
    telex_map_close(&map);
    if (!is_whole(&read) || !*read.url) {
        memory_finish(&read);
        return;
    }
    memory_finish(m);
    *m = read;
    source->stored = true;
}

telex_status state_put_source(struct stage *stage, telex_lease lease, const struct source *source,
                              const struct memory *m) {
    struct telex_builder b;
    char key[48];
    if (!stage->kv)
        return TELEX_OK;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "address"), telex_build_text(&b, source->address);
    telex_build_key(&b, "url"), telex_build_text(&b, m->url);
    telex_build_key(&b, "etag"), telex_build_text(&b, m->etag);
    telex_build_key(&b, "last_modified"), telex_build_text(&b, m->last_modified);
    telex_build_key(&b, "validator_url"), telex_build_text(&b, m->validator_url);
    telex_build_key(&b, "sha256"), telex_build_text(&b, m->sha256);
    telex_build_key(&b, "last_ms"), telex_build_int(&b, m->last_ms);
    telex_build_key(&b, "next_ms"), telex_build_int(&b, m->next_ms);
    telex_build_key(&b, "fails"), telex_build_int(&b, m->fails);
    telex_build_key(&b, "gone"), telex_build_flag(&b, m->gone);
    telex_build_key(&b, "name"), telex_build_text(&b, source->name ? source->name : "");
    telex_build_key(&b, "title"), telex_build_text(&b, m->title);
    telex_build_key(&b, "home"), telex_build_text(&b, m->home);
    telex_build_key(&b, "why"), telex_build_text(&b, m->why);
    telex_build_key(&b, "ok_ms"), telex_build_int(&b, m->ok_ms);
    telex_build_key(&b, "records"), telex_build_int(&b, m->records);
    telex_build_key(&b, "edits"), telex_build_int(&b, m->edits);
    telex_build_key(&b, "week"), telex_build_int(&b, m->week);
    telex_build_map_end(&b);
    snprintf(key, sizeof(key), "feed/%s", source->key);
    telex_status status =
        b.broken ? TELEX_FATAL : stage->kv->put(stage->host, lease, telex_text(key), telex_build_body(&b));
    telex_build_finish(&b);
    return status;
}

telex_status state_list_some(struct stage *stage, telex_lease lease) {
    telex_status status = TELEX_OK;
    int n = 0;
    for (; status == TELEX_OK && stage->next_listed < stage->n_sources && n < LIST_A_STEP;
         stage->next_listed++) {
        struct source *source = &stage->sources[stage->next_listed];
        if (source->stored)
            continue;
        status = state_put_source(stage, lease, source, &source->memory);
        source->stored = true;
        n++;
    }
    return status;
}

/* ---- known records ---- */

static int hex_value(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool from_hex(uint8_t *out, const char *hex, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int high = hex_value(hex[2 * i]), low = high < 0 ? -1 : hex_value(hex[2 * i + 1]);
        if (low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static size_t slot_of(const struct known_table *table, const uint8_t id[16]) {
    uint64_t hash;
    memcpy(&hash, id, sizeof(hash)); /* ids are digests: any bits will do */
    size_t slot = (size_t)hash & (table->cap - 1);
    while (table->slots[slot].version && memcmp(table->slots[slot].id, id, 16) != 0)
        slot = (slot + 1) & (table->cap - 1);
    return slot;
}

static bool grow(struct known_table *table) {
    struct known_table more = {.n = table->n, .cap = table->cap ? table->cap * 2 : SLOTS_START};
    more.slots = calloc(more.cap, sizeof(*more.slots));
    if (!more.slots)
        return false;
    for (size_t i = 0; i < table->cap; i++)
        if (table->slots[i].version)
            more.slots[slot_of(&more, table->slots[i].id)] = table->slots[i];
    free(table->slots);
    *table = more;
    return true;
}

struct known *known_find(struct known_table *table, const char *id, bool make) {
    uint8_t bytes[16];
    if (!from_hex(bytes, id, 16))
        return NULL;
    if (make && table->n * 4 >= table->cap * 3 && !grow(table))
        return NULL;
    if (!table->cap)
        return NULL;
    struct known *known = &table->slots[slot_of(table, bytes)];
    if (known->version || !make)
        return known->version ? known : NULL;
    memcpy(known->id, bytes, 16);
    table->n++;
    return known;
}

static telex_status load_known(struct stage *stage, const char *id, struct telex_bytes value) {
    char text[64] = {0}, sha[17] = {0};
    unsigned version, owner;
    int day;
    if (value.size >= sizeof(text))
        return TELEX_OK;
    memcpy(text, value.data, value.size);
    if (sscanf(text, "%u %16s %x %d", &version, sha, &owner, &day) != 4 || !version)
        return TELEX_OK;
    struct known *known = known_find(&stage->known, id, true);
    if (!known)
        return TELEX_FATAL;
    known->version = version;
    known->owner = owner;
    known->day = day;
    from_hex(known->sha, sha, 8);
    return TELEX_OK;
}

telex_status state_put_known(struct stage *stage, telex_lease lease, const char *id,
                             const struct known *known) {
    char key[48], value[64], sha[17];
    if (!stage->kv)
        return TELEX_OK;
    for (size_t i = 0; i < 8; i++)
        snprintf(sha + 2 * i, 3, "%02x", known->sha[i]);
    snprintf(key, sizeof(key), "item/%s", id);
    snprintf(value, sizeof(value), "%u %s %x %d", known->version, sha, known->owner, known->day);
    return stage->kv->put(stage->host, lease, telex_text(key), telex_text(value));
}

/* ---- sites ---- */

telex_status state_put_domains(struct stage *stage, telex_lease lease) {
    telex_status status = TELEX_OK;
    for (size_t i = 0; stage->kv && status == TELEX_OK && i < stage->n_domains; i++) {
        char key[300], value[32];
        struct domain *domain = &stage->domains[i];
        if (!domain->dirty || strlen(domain->name) > 200)
            continue;
        snprintf(key, sizeof(key), "site/%s", domain->name);
        snprintf(value, sizeof(value), "%" PRId64, domain->free_ms);
        status = stage->kv->put(stage->host, lease, telex_text(key), telex_text(value));
        domain->dirty = false;
    }
    return status;
}

/* ---- all of it ---- */

struct loading {
    struct stage *stage;
    telex_status status;
};

static void remember_to_forget(struct stage *stage, const char *key) {
    if (!(stage->n_forget & (stage->n_forget + 1))) {
        char **more = realloc(stage->forget, (2 * stage->n_forget + 1) * sizeof(*more));
        if (!more)
            return;
        stage->forget = more;
    }
    stage->forget[stage->n_forget] = strdup(key);
    stage->n_forget += stage->forget[stage->n_forget] != NULL;
}

/* A site's wish; one whose time is over is to be forgotten. */
static void load_site(struct stage *stage, const char *key, struct telex_bytes value) {
    char text[32] = {0};
    memcpy(text, value.data, value.size < sizeof(text) ? value.size : sizeof(text) - 1);
    int64_t free_ms = strtoll(text, NULL, 10);
    if (free_ms > stage->host->now_ms(stage->host, TELEX_CLOCK_WALL))
        list_domain(stage, key + 5)->free_ms = free_ms;
    else
        remember_to_forget(stage, key);
}

/* True when a key that was to be forgotten is needed again. */
static bool is_needed(struct stage *stage, const char *key, int64_t now_ms) {
    if (!strncmp(key, "site/", 5))
        return list_domain(stage, key + 5)->free_ms > now_ms;
    bool item = !strncmp(key, "item/", 5) && strlen(key) == 37;
    const struct known *known = item ? known_find(&stage->known, key + 5, false) : NULL;
    return known && known->day >= (now_ms - stage->options.remember_ms) / DAY_MS;
}

static int32_t visit(void *arg, struct telex_bytes key, struct telex_bytes value) {
    struct loading *loading = arg;
    struct stage *stage = loading->stage;
    char name[TELEX_KV_KEY_MAX_BYTES + 1] = {0};
    memcpy(name, key.data, key.size < sizeof(name) ? key.size : sizeof(name) - 1);
    if (!strncmp(name, "item/", 5)) {
        loading->status = load_known(stage, name + 5, value);
        if (strlen(name) != 37 || !known_find(&stage->known, name + 5, false))
            remember_to_forget(stage, name); /* not in our form */
    } else if (!strncmp(name, "feed/", 5)) {
        size_t i = 0;
        while (i < stage->n_sources && strcmp(stage->sources[i].key, name + 5) != 0)
            i++;
        if (i < stage->n_sources)
            load_source(&stage->sources[i], value);
        else
            remember_to_forget(stage, name); /* left the list */
    } else if (!strncmp(name, "site/", 5)) {
        load_site(stage, name, value);
    }
    return loading->status != TELEX_OK;
}

/* Memory that a clock set back would turn into a long silence. */
static void check_clock(struct stage *stage, int64_t now_ms) {
    for (size_t i = 0; i < stage->n_sources; i++) {
        struct memory *m = &stage->sources[i].memory;
        if (m->last_ms > now_ms + DAY_MS)
            m->next_ms = now_ms;
    }
}

telex_status state_load(struct stage *stage) {
    int64_t now_ms = stage->host->now_ms(stage->host, TELEX_CLOCK_WALL);
    struct loading loading = {.stage = stage};
    for (size_t i = 0; i < stage->n_sources; i++) {
        struct memory *m = &stage->sources[i].memory;
        memory_set(&m->url, stage->sources[i].address);
        memory_set(&m->etag, "");
        memory_set(&m->last_modified, "");
        memory_set(&m->validator_url, "");
        memory_set(&m->title, "");
        memory_set(&m->home, "");
        memory_set(&m->why, "");
        if (!is_whole(m))
            return TELEX_FATAL;
    }
    if (!stage->kv)
        return TELEX_OK;
    telex_status status = stage->kv->scan(stage->host, 0, telex_text(""), visit, &loading);
    if (status != TELEX_OK || loading.status != TELEX_OK)
        return telex_fail(stage->host, 0, TELEX_FATAL, "state cannot be read");
    check_clock(stage, now_ms);
    for (size_t i = 0; i < stage->n_sources; i++)
        list_settle(stage, &stage->sources[i]);
    return TELEX_OK;
}

void state_prune(struct stage *stage, int64_t now_ms) {
    int32_t today = (int32_t)(now_ms / DAY_MS),
            oldest = (int32_t)((now_ms - stage->options.remember_ms) / DAY_MS);
    struct known_table kept = {.cap = stage->known.cap};
    if (today == stage->pruned_day)
        return;
    stage->pruned_day = today;
    kept.slots = kept.cap ? calloc(kept.cap, sizeof(*kept.slots)) : NULL;
    if (!kept.slots)
        return;
    for (size_t i = 0; i < stage->known.cap; i++) {
        const struct known *known = &stage->known.slots[i];
        char key[48] = "item/";
        if (!known->version)
            continue;
        if (known->day >= oldest) {
            kept.slots[slot_of(&kept, known->id)] = *known;
            kept.n++;
            continue;
        }
        for (size_t k = 0; k < 16; k++)
            snprintf(key + 5 + 2 * k, 3, "%02x", known->id[k]);
        remember_to_forget(stage, key);
    }
    free(stage->known.slots);
    stage->known = kept;
}

telex_status state_forget_some(struct stage *stage, telex_lease lease) {
    telex_status status = TELEX_OK;
    for (int i = 0; status == TELEX_OK && stage->n_forget && i < FORGET_A_STEP; i++) {
        char *key = stage->forget[--stage->n_forget];
        if (!is_needed(stage, key, stage->host->now_ms(stage->host, TELEX_CLOCK_WALL)))
            status = stage->kv->del(stage->host, lease, telex_text(key));
        free(key);
    }
    return status;
}
