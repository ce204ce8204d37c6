/* SPDX-License-Identifier: Apache-2.0 */
/* desk.c - one instance of the stage: a story in, a dispatch out.
 *
 * A step keeps nothing: all that it reads and makes lies in one arena with a limit, given back when the step
 * ends. The dispatch depends on the story, its records, the model and the options only. */
#include "desk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/id.h>
#include <telex-sdk/message.h>
#include <telex-sdk/plugin.h>
#include <telex/ext/models.h>

#include "beat.h"
#include "dispatch.h"
#include "draft.h"

struct desk {
    const struct telex_host *host; /* borrowed */
    struct desk_config config;
    void *options; /* owned, what config's texts lie in */
};

/* One story in hand. */
struct story {
    const char *id, *merged_into, *split_from;
    const msgpack_object *ids; /* of all its records; borrowed from the message */
    uint32_t n_ids;
    bool stale; /* the dispatch that stands cites a record that is not in the story any more */
    uint64_t version;
    int64_t first_ms, last_ms;
    struct brief brief;
    struct arena arena;
};

telex_status desk_create(const struct telex_host *host, struct telex_bytes options, void **self) {
    struct desk *desk = calloc(1, sizeof(*desk));
    if (!desk)
        return telex_fail(host, 0, TELEX_RETRY, "out of memory");
    desk->host = host;
    int err = telex_options_read(desk_options, options, &desk->config, &desk->options);
    if (err < 0) {
        free(desk);
        return telex_fail(host, 0, TELEX_FATAL, "options cannot be read: %s", strerror(-err));
    }
    *self = desk;
    return TELEX_OK;
}

static telex_status find_model(const struct desk *desk, telex_lease lease, const struct telex_models **models,
                               struct telex_backend_info *info) {
    *models = desk->host->ext(desk->host, TELEX_MODELS);
    *info = (struct telex_backend_info){.size = sizeof(*info)};
    if (*models && (*models)->info(desk->host, desk->config.model, info) == TELEX_OK)
        return TELEX_OK;
    return telex_fail(desk->host, lease, TELEX_FATAL,
                      "no model is bound to this stage; give it one in the config (model: NAME)");
}

telex_status desk_start(void *self) {
    const struct telex_models *models;
    struct telex_backend_info info;
    return find_model(self, 0, &models, &info);
}

void desk_destroy(void *self) {
    struct desk *desk = self;
    if (!desk)
        return;
    free(desk->options);
    free(desk);
}

static char *keep(struct arena *arena, const msgpack_object *map, const char *key) {
    struct telex_bytes text = telex_map_text(map, key);
    return arena_copy(arena, (const char *)text.data, text.data ? text.size : 0);
}

/* Copy what the desk needs of a record. 0, -ENODATA for one without text, or -ENOMEM. */
static int read_record(struct arena *arena, const msgpack_object *map, const char *id,
                       struct brief_record *record) {
    struct telex_bytes text = telex_map_text(map, "text");
    if (!text.data || text.size == 0)
        return -ENODATA;
    size_t n = text.size < BRIEF_TEXT_MAX_BYTES ? text.size : BRIEF_TEXT_MAX_BYTES;
    *record = (struct brief_record){.id = id, .text_bytes = n};
    record->text = arena_copy(arena, (const char *)text.data, n);
    record->url = keep(arena, map, "url");
    record->title = keep(arena, map, "title");
    record->outlet = keep(arena, map, "outlet");
    record->author = keep(arena, map, "author");
    record->lang = keep(arena, map, "lang");
    char *sha256 = keep(arena, map, "sha256");
    if (sha256 && !sha256[0] && (sha256 = arena_alloc(arena, 65)))
        telex_sha256_hex(sha256, text);
    record->sha256 = sha256;
    record->published_ms = telex_map_int(map, "published_ms", 0);
    bool whole =
        record->text && record->url && record->title && record->outlet && record->author && record->lang;
    return whole && sha256 ? 0 : -ENOMEM;
}

static int fetch_record(struct desk *desk, telex_lease lease, struct story *story, struct telex_bytes id) {
    const struct telex_host *host = desk->host;
    struct telex_rec *rec = NULL;
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map = {.root = NULL};
    if (host->get(host, lease, "telex.record/1", id, UINT64_MAX, &rec) != TELEX_OK)
        return -ENODATA;
    int err = host->view(host, rec, &view) == TELEX_OK ? telex_map_open(&map, view.body) : -EBADMSG;
    if (err == 0) {
        char *own_id = arena_copy(&story->arena, (const char *)id.data, id.size);
        err = own_id ? read_record(&story->arena, map.root, own_id,
                                   &story->brief.records[story->brief.n_records])
                     : -ENOMEM;
        story->brief.n_records += err == 0;
        telex_map_close(&map);
    }
    host->release(host, rec);
    return err;
}

/* Oldest first, by time and then by id: the order in which a paragraph tells them. */
static void sort_records(struct brief *brief) {
    struct brief_record *records = brief->records;
    for (size_t i = 1; i < brief->n_records; i++)
        for (size_t k = i; k > 0; k--) {
            bool later = records[k - 1].published_ms > records[k].published_ms ||
                         (records[k - 1].published_ms == records[k].published_ms &&
                          strcmp(records[k - 1].id, records[k].id) > 0);
            if (!later)
                break;
            struct brief_record swap = records[k];
            records[k] = records[k - 1];
            records[k - 1] = swap;
        }
}

static telex_status read_story(struct desk *desk, telex_lease lease, const msgpack_object *map,
                               struct story *story) {
    story->ids = telex_map_array(map, "records", &story->n_ids);
    uint32_t n = story->n_ids;
    size_t n_lost = 0;
    for (uint32_t i = 0; i < n && story->brief.n_records < (size_t)desk->config.max_records; i++) {
        struct telex_bytes id = telex_object_text(&story->ids[i]);
        int err = id.size ? fetch_record(desk, lease, story, id) : -ENODATA;
        if (err == -ENOMEM)
            return telex_fail(desk->host, lease, TELEX_RETRY, "out of memory");
        n_lost += err < 0;
    }
    if (story->brief.n_records == 0)
        return telex_fail(desk->host, lease, TELEX_REJECT, "story %.64s: none of its %u records can be read",
                          story->id, n);
    if (n_lost)
        telex_say(desk->host, TELEX_WARN, lease,
                  DESK_NAME ": story %.64s: %zu of %u records cannot be read; written without", story->id,
                  n_lost, n);
    sort_records(&story->brief);
    story->first_ms = story->brief.records[0].published_ms;
    story->last_ms = story->brief.records[story->brief.n_records - 1].published_ms;
    return TELEX_OK;
}

static void dispatch_id(char out[33], const char *story_id) {
    struct telex_bytes part = telex_text(story_id);
    telex_id(out, "dispatch", &part, 1);
}

/* A story that went into another: its dispatch, if there was one, points there from now on. */
static telex_status write_merged(struct desk *desk, telex_lease lease, const struct story *story) {
    char id[33], into_id[33];
    struct telex_rec *earlier = NULL;
    dispatch_id(id, story->id);
    dispatch_id(into_id, story->merged_into);
    if (desk->host->get(desk->host, lease, "telex.dispatch/1", telex_text(id), UINT64_MAX, &earlier) !=
        TELEX_OK)
        return TELEX_OK; /* nothing was published, nothing to take back */
    desk->host->release(desk->host, earlier);
    struct telex_builder b;
    telex_build_init(&b);
    dispatch_build_merged(&b, id, story->version, story->id, story->merged_into, into_id);
    telex_status status = telex_build_commit(&b, desk->host, lease, 0);
    telex_build_finish(&b);
    return status;
}

static bool has_record(const struct story *story, struct telex_bytes id) {
    for (uint32_t i = 0; i < story->n_ids; i++) {
        struct telex_bytes own = telex_object_text(&story->ids[i]);
        if (own.size == id.size && memcmp(own.data, id.data, id.size) == 0)
            return true;
    }
    return false;
}

/* Whether a dispatch cites a record that the story has no more. */
static bool cites_moved(const struct story *story, const msgpack_object *dispatch) {
    uint32_t n = 0;
    const msgpack_object *citations = telex_map_array(dispatch, "citations", &n);
    for (uint32_t i = 0; i < n; i++) {
        struct telex_bytes id = telex_map_text(&citations[i], "record");
        if (id.size > 0 && !has_record(story, id))
            return true;
    }
    return false;
}

/* Nothing can be written. A dispatch that cites what moved to another story must not stand: it is withheld
 * until there is enough again. Any other stands. */
static telex_status write_nothing(struct desk *desk, telex_lease lease, const struct story *story,
                                  const char *id, const char *why) {
    if (!story->stale)
        return telex_fail(desk->host, lease, TELEX_REJECT, "story %.64s: %s", story->id, why);
    telex_say(desk->host, TELEX_WARN, lease,
              DESK_NAME ": story %.64s: %s; its dispatch cites records that moved to another story and is "
                        "withheld",
              story->id, why);
    char from_id[33];
    dispatch_id(from_id, story->split_from);
    struct dispatch_head head = {.id = id,
                                 .story = story->id,
                                 .version = story->version,
                                 .split_from = story->split_from,
                                 .split_from_id = from_id};
    struct telex_builder b;
    telex_build_init(&b);
    dispatch_build_withheld(&b, &head);
    telex_status status = telex_build_commit(&b, desk->host, lease, 0);
    telex_build_finish(&b);
    return status;
}

static telex_status commit_dispatch(struct desk *desk, telex_lease lease, struct story *story,
                                    const struct draft *draft, const struct telex_backend_info *info) {
    char from_id[33];
    dispatch_id(from_id, story->split_from);
    struct dispatch_head head = {.id = draft->seed_id,
                                 .story = story->id,
                                 .split_from = story->split_from,
                                 .split_from_id = from_id,
                                 .version = story->version,
                                 .lang = desk->config.lang,
                                 .first_ms = story->first_ms,
                                 .last_ms = story->last_ms,
                                 .model = info->model,
                                 .model_sha256 = info->weights_sha256,
                                 .backend = info->backend,
                                 .plugin_version = DESK_VERSION,
                                 .temperature = (float)desk->config.temperature,
                                 .n_read = story->brief.n_records};
    head.kind = beat_choose(&story->brief, &desk->config.kinds);
    head.beat = beat_choose(&story->brief, &desk->config.beats);
    if (!head.kind || !head.beat)
        return telex_fail(desk->host, lease, TELEX_RETRY, "out of memory");
    struct telex_builder b;
    telex_build_init(&b);
    int err = dispatch_build(&b, draft, &head);
    telex_status status = err == 0 ? telex_build_commit(&b, desk->host, lease, 0)
                                   : telex_fail(desk->host, lease, TELEX_RETRY, "out of memory");
    telex_build_finish(&b);
    return status;
}

static void say_done(struct desk *desk, telex_lease lease, const struct story *story,
                     const struct draft *draft) {
    const struct draft_tally *tally = &draft->tally;
    const struct ask_counts *n = &tally->counts;
    telex_say(
        desk->host, TELEX_INFO, lease,
        DESK_NAME ": story %.64s: %zu records, %u jobs, %u+%u tokens (%u cached) in %u passes (%u forced, "
                  "%u drafted, %u accepted); %u written, %u rewritten, %u quoted, %u dropped",
        story->id, story->brief.n_records, tally->jobs, n->prompt, n->output, n->cached, n->passes, n->forced,
        n->drafted, n->accepted, tally->written, tally->rewritten, tally->quoted, tally->dropped);
}

/* What the gate refused, for whoever looks for the reason: never part of a dispatch. */
static void say_refusals(struct desk *desk, telex_lease lease, const struct draft *draft) {
    for (size_t i = 0; i < draft->n_pieces; i++)
        for (size_t r = 0; r < draft->pieces[i].n_refusals; r++) {
            const struct refusal *refusal = &draft->pieces[i].refusals[r];
            telex_say(desk->host, TELEX_DEBUG, lease, DESK_NAME ": %s refused (%s: %s): %s",
                      refusal->question ? "question" : gate_field_names[draft->pieces[i].field],
                      gate_rule_name((enum gate_rule)refusal->rule), refusal->why, refusal->text);
        }
}

/* The dispatch that stands for this story, if there is one. Without it nothing is lost but time. */
static const struct previous *read_previous(struct desk *desk, telex_lease lease, struct story *story,
                                            const char *id) {
    const struct telex_host *host = desk->host;
    struct previous *previous = arena_alloc(&story->arena, sizeof(*previous));
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map = {.root = NULL};
    struct telex_rec *rec = NULL;
    if (!previous || host->get(host, lease, "telex.dispatch/1", telex_text(id), UINT64_MAX, &rec) != TELEX_OK)
        return NULL;
    bool read = host->view(host, rec, &view) == TELEX_OK && telex_map_open(&map, view.body) == 0 &&
                previous_read(previous, &story->arena, map.root) == 0;
    story->stale = read && cites_moved(story, map.root);
    telex_map_close(&map);
    host->release(host, rec);
    return read ? previous : NULL;
}

static telex_status write_story(struct desk *desk, telex_lease lease, struct story *story) {
    const struct telex_host *host = desk->host;
    const struct telex_models *models;
    struct telex_backend_info info;
    telex_status found = find_model(desk, lease, &models, &info);
    if (found != TELEX_OK)
        return found;
    struct draft *draft = arena_alloc(&story->arena, sizeof(*draft));
    char *id = arena_alloc(&story->arena, 33);
    if (!draft || !id || brief_read(&story->brief) < 0)
        return telex_fail(host, lease, TELEX_RETRY, "out of memory");
    dispatch_id(id, story->id);
    draft->brief = &story->brief;
    draft->rewrites = (uint32_t)desk->config.rewrites;
    draft->temperature = (float)desk->config.temperature;
    draft->seed_id = id;
    draft->seed_version = story->version;
    draft->previous = story->version > 1 ? read_previous(desk, lease, story, id) : NULL;
    if (story->stale)
        draft->previous = NULL; /* its words may be of the part that left */
    if (plan_make(&story->brief, (size_t)desk->config.min_sentences, &draft->plan) < 0) {
        char few[96];
        snprintf(few, sizeof(few), "its records hold fewer than %d sentences to write from",
                 (int)desk->config.min_sentences);
        return write_nothing(desk, lease, story, id, few);
    }
    struct ask ask = {.host = host,
                      .models = models,
                      .model = desk->config.model,
                      .lease = lease,
                      .timeout_ms = desk->config.job_timeout_ms,
                      .arena = &story->arena};
    const char *why = "";
    telex_status status = draft_write(draft, &ask, &why);
    if (status != TELEX_OK)
        return telex_fail(host, lease, status, "story %.64s: the model could not be used: %s", story->id,
                          why);
    const char *missing = draft_stands(draft, (size_t)desk->config.min_body, (size_t)desk->config.min_faq);
    say_refusals(desk, lease, draft);
    say_done(desk, lease, story, draft);
    if (missing) {
        char unfit[160];
        snprintf(unfit, sizeof(unfit), "the dispatch cannot stand: %s", missing);
        return write_nothing(desk, lease, story, id, unfit);
    }
    return commit_dispatch(desk, lease, story, draft, &info);
}

static telex_status take_story(struct desk *desk, telex_lease lease, const struct telex_view *view,
                               const msgpack_object *map, struct story *story) {
    story->arena.limit_bytes = (size_t)desk->config.memory_bytes;
    story->brief.arena = &story->arena;
    story->id = arena_copy(&story->arena, (const char *)view->id.data, view->id.size);
    story->merged_into = keep(&story->arena, map, "merged_into");
    story->version = view->version;
    story->split_from = keep(&story->arena, map, "split_from");
    if (!story->id || !story->merged_into || !story->split_from)
        return telex_fail(desk->host, lease, TELEX_RETRY, "out of memory");
    if (story->merged_into[0])
        return write_merged(desk, lease, story);
    telex_status status = read_story(desk, lease, map, story);
    return status == TELEX_OK ? write_story(desk, lease, story) : status;
}

telex_status desk_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct desk *desk = self;
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map = {.root = NULL};
    if (desk->host->view(desk->host, in, &view) != TELEX_OK || telex_map_open(&map, view.body) < 0)
        return telex_fail(desk->host, lease, TELEX_REJECT, "not a readable story");
    struct story *story = calloc(1, sizeof(*story));
    telex_status status = story ? take_story(desk, lease, &view, map.root, story)
                                : telex_fail(desk->host, lease, TELEX_RETRY, "out of memory");
    telex_map_close(&map);
    if (story)
        arena_finish(&story->arena);
    free(story);
    return status;
}
