/* SPDX-License-Identifier: Apache-2.0 */
/* poll.c - ask the feeds whose time has come, and judge what they answer.
 *
 * A feed is busy from the question until its answer is stored, so it is never asked twice at once; a site is
 * busy from the question until the answer. Every answer, good or bad, becomes an arrival: what is remembered
 * of the feed changes only in the step that stores it. */
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <telex-sdk/id.h>

#include "discover.h"
#include "url.h"

#define HOUR_MS                 (3600 * 1000ll)
#define WEEK_MS                 (7 * 24 * HOUR_MS)
#define TICK_MAX_MS             60000
#define FAILS_BEFORE_GOING_BACK 3
#define ONWARD_WAIT_MS          60000 /* a redirect waits no longer than this for the other site's turn */

static int64_t wall_ms(const struct stage *stage) {
    return stage->host->now_ms(stage->host, TELEX_CLOCK_WALL);
}

/* From -1 to 1, different for each feed and each time, the same in a replay. */
static double jitter(const struct source *source, int64_t now_ms) {
    uint64_t x = strtoull(source->key + 16, NULL, 16) ^ (uint64_t)now_ms * 0x9E3779B97F4A7C15ull;
    x ^= x >> 31;
    x *= 0xBF58476D1CE4E5B9ull;
    x ^= x >> 29;
    return (double)(x >> 11) / (double)(1ull << 52) - 1;
}

static struct schedule plan(const struct stage *stage, const struct source *source,
                            const struct fetch_result *result, int64_t now_ms) {
    struct schedule s = {
        .now_ms = now_ms,
        .interval_ms = stage->options.interval_ms,
        .max_interval_ms = stage->options.max_interval_ms,
        .every_ms = source->every_ms,
        .jitter = jitter(source, now_ms),
    };
    if (!result)
        return s;
    s.max_age_ms = schedule_max_age(result->cache_control);
    s.retry_ms = schedule_retry_after(result->retry_after, now_ms);
    int64_t expires = date_parse(result->expires);
    s.expires_ms = expires == DATE_NONE ? 0 : expires;
    return s;
}

static void say_failure(struct stage *stage, const struct source *source, const struct memory *m,
                        const char *why) {
    bool often = m->fails > 4 && (m->fails & (m->fails - 1));
    int64_t minutes = (m->next_ms - m->last_ms + 59999) / 60000;
    telex_say(stage->host, often ? TELEX_DEBUG : TELEX_WARN, 0,
              "%s: %s; failure %" PRId64 " in a row, next try in %" PRId64 " min", source->address, why,
              m->fails, minutes);
}

/* The answer is no document: remember the failure. */
static void fail(struct stage *stage, struct arrival *arrival, const struct fetch_result *result,
                 const char *why) {
    struct memory *m = &arrival->memory;
    struct schedule s = plan(stage, arrival->source, result, arrival->fetched_ms);
    m->fails++;
    m->next_ms = schedule_after_failure(&s, m->fails);
    memory_set(&m->why, why);
    if (m->fails >= FAILS_BEFORE_GOING_BACK && strcmp(m->url, arrival->source->address) != 0) {
        telex_say(stage->host, TELEX_WARN, 0, "%s: goes back to the address in the config, from %s",
                  arrival->source->address, m->url);
        memory_set(&m->url, arrival->source->address);
    }
    stage_count(stage, stage->failed, 1);
    say_failure(stage, arrival->source, m, why);
}

static void unchanged(struct stage *stage, struct arrival *arrival, const struct fetch_result *result) {
    struct memory *m = &arrival->memory;
    struct schedule s = plan(stage, arrival->source, result, arrival->fetched_ms);
    m->fails = 0;
    m->next_ms = schedule_after_answer(&s, 0);
    m->ok_ms = arrival->fetched_ms;
    memory_set(&m->why, "unchanged");
    stage_count(stage, stage->unchanged, 1);
    telex_say(stage->host, TELEX_DEBUG, 0, "%s: unchanged", arrival->source->address);
}

/* Items of the last seven days; a feed without dates says nothing. */
static int64_t of_this_week(const struct feed *feed, int64_t now_ms) {
    int64_t n = 0;
    for (size_t i = 0; i < feed->n_items; i++) {
        int64_t at = feed->items[i].published_ms != DATE_NONE ? feed->items[i].published_ms
                                                              : feed->items[i].updated_ms;
        n += at != DATE_NONE && at > now_ms - WEEK_MS && at <= now_ms + HOUR_MS;
    }
    return n;
}

/* The address in the config is a page: follow the feed that it names. True when there is one. */
static bool take_discovery(struct stage *stage, struct arrival *arrival, const struct fetch_result *result) {
    struct memory *m = &arrival->memory;
    struct arena scratch = {.limit = 1 << 20};
    const char *found = NULL;
    if (!arrival->source->is_file && !strcmp(m->url, arrival->source->address))
        found = discover_feed(&scratch, result->body, result->body_bytes, result->url);
    if (found && strcmp(found, m->url) != 0) {
        telex_say(stage->host, TELEX_INFO, 0, "%s: is a page; its feed is %s; put that in the config",
                  arrival->source->address, found);
        memory_set(&m->url, found);
        memory_set(&m->why, "is a page; the feed that it names is followed");
        m->fails = 0;
        m->next_ms = arrival->fetched_ms;
        arrival->again = true;
    }
    arena_finish(&scratch);
    return arrival->again;
}

/* A document that differs from the last one. True when it is a feed. */
static bool read_document(struct stage *stage, struct arrival *arrival, const struct fetch_result *result) {
    struct feed_limits limits = {
        .document_bytes = (size_t)stage->options.body_bytes,
        .items = (size_t)stage->options.items,
        .text_bytes = (size_t)stage->options.text_bytes,
    };
    struct feed_hints hints = {
        .content_type = result->content_type,
        .content_language = result->content_language,
        .content_location = *result->content_location ? result->content_location : NULL,
        .url = result->url,
    };
    if (feed_parse(&arrival->feed, result->body, result->body_bytes, &hints, &limits) < 0) {
        if (!take_discovery(stage, arrival, result))
            fail(stage, arrival, result, *arrival->feed.problem ? arrival->feed.problem : "cannot be parsed");
        feed_finish(&arrival->feed);
        return false;
    }
    memory_set(&arrival->memory.title, arrival->feed.title);
    memory_set(&arrival->memory.home, arrival->feed.link);
    memory_set(&arrival->memory.why, arrival->feed.problem);
    if (*arrival->feed.problem)
        telex_say(stage->host, TELEX_INFO, 0, "%s: %s; read all the same", arrival->source->address,
                  arrival->feed.problem);
    return true;
}

static void take_validators(struct memory *m, const struct fetch_result *result) {
    bool never = !strcmp(result->expires, "0") || strcasestr(result->cache_control, "no-store");
    memory_set(&m->etag, never ? "" : result->etag);
    memory_set(&m->last_modified, never ? "" : result->last_modified);
    memory_set(&m->validator_url, m->url);
}

/* Where a feed has moved for good; that another feed of the list is there already is worth a word. */
static void take_move(struct stage *stage, struct arrival *arrival, const struct fetch_result *result) {
    struct memory *m = &arrival->memory;
    if (!result->moved || !strcmp(m->url, result->url))
        return;
    telex_say(stage->host, TELEX_INFO, 0, "%s: moved for good to %s; change the config",
              arrival->source->address, result->url);
    memory_set(&m->url, result->url);
    for (size_t i = 0; i < stage->n_sources; i++)
        if (&stage->sources[i] != arrival->source && !strcmp(stage->sources[i].memory.url, result->url))
            telex_say(stage->host, TELEX_WARN, 0, "%s: is now the same feed as %s", arrival->source->address,
                      stage->sources[i].address);
}

static void document(struct stage *stage, struct arrival *arrival, const struct fetch_result *result) {
    struct memory *m = &arrival->memory;
    struct telex_bytes body = {(const uint8_t *)result->body, result->body_bytes};
    char sha256[65];
    telex_sha256_hex(sha256, body);
    if (!strcmp(sha256, m->sha256)) {
        take_move(stage, arrival, result);
        take_validators(m, result);
        unchanged(stage, arrival, result);
        return;
    }
    if (!read_document(stage, arrival, result))
        return;
    struct schedule s = plan(stage, arrival->source, result, arrival->fetched_ms);
    s.ttl_ms = arrival->feed.ttl_minutes * 60000ll;
    memcpy(m->sha256, sha256, sizeof(sha256));
    take_move(stage, arrival, result);
    take_validators(m, result);
    m->fails = 0;
    m->ok_ms = arrival->fetched_ms;
    m->week = of_this_week(&arrival->feed, arrival->fetched_ms);
    m->next_ms = schedule_after_answer(&s, m->week);
}

/* A site that says wait, is not asked for another of its feeds either. */
static void hold_domain(struct stage *stage, struct domain *domain, int64_t until_ms) {
    if (!domain || until_ms <= domain->free_ms)
        return;
    domain->free_ms = until_ms;
    domain->dirty = until_ms > wall_ms(stage) + 60000;
}

static struct arrival *arrival_new(struct stage *stage, struct source *source, struct domain *domain) {
    struct arrival *arrival = calloc(1, sizeof(*arrival));
    if (!arrival || memory_copy(&arrival->memory, &source->memory) < 0) {
        free(arrival);
        return NULL;
    }
    arrival->source = source;
    arrival->domain = domain;
    arrival->fetched_ms = wall_ms(stage);
    arrival->memory.last_ms = arrival->fetched_ms;
    return arrival;
}

static void judge(struct stage *stage, struct arrival *arrival, const struct fetch_result *result) {
    char why[64];
    struct schedule s = plan(stage, arrival->source, result, arrival->fetched_ms);
    if ((result->status == 429 || result->status == 503) && s.retry_ms)
        hold_domain(stage, arrival->domain, s.retry_ms);
    snprintf(why, sizeof(why), "answered %ld", result->status);
    if (result->err) {
        fail(stage, arrival, NULL, result->why);
        if (result->err == -EBUSY && arrival->domain->free_ms > arrival->memory.next_ms)
            arrival->memory.next_ms = arrival->domain->free_ms;
    } else if (result->status == 304) {
        unchanged(stage, arrival, result);
    } else if (result->status == 200) {
        document(stage, arrival, result);
    } else if (result->status == 410) {
        arrival->memory.gone = true;
        memory_set(&arrival->memory.why, "gone (410); not asked again");
        stage_count(stage, stage->failed, 1);
        telex_say(stage->host, TELEX_WARN, 0, "%s: gone (410); not asked again", arrival->source->address);
    } else {
        fail(stage, arrival, result, why);
    }
}

static void question_free(struct question *question) {
    free(question->onward);
    free(question);
}

/* The end of a question: its answer is judged and waits to be stored. */
static void take_answer(struct question *question, const struct fetch_result *result) {
    struct stage *stage = question->stage;
    struct source *source = question->source;
    struct arrival *arrival = arrival_new(stage, source, question->domain);
    question_free(question);
    stage->n_asked--;
    if (!arrival) {
        source->busy = false;
        return;
    }
    judge(stage, arrival, result);
    emit_push(stage, arrival);
}

/* A redirect leads to another site: the question goes on when that site's turn has come. */
static bool go_onward(struct question *question, const struct fetch_result *result) {
    struct stage *stage = question->stage;
    struct arena scratch = {.limit = 0};
    free(question->onward);
    question->onward = strdup(result->onward);
    question->hops = result->hops;
    question->temporary = !result->all_permanent;
    if (question->onward)
        question->domain = list_domain(stage, url_host(&scratch, question->onward));
    arena_finish(&scratch);
    if (!question->onward || !question->domain)
        return false;
    question->next = stage->onward;
    stage->onward = question;
    return true;
}

static void on_answer(void *arg, const struct fetch_result *result) {
    struct question *question = arg;
    struct stage *stage = question->stage;
    struct fetch_result lost = *result;
    question->domain->busy = false;
    if (result->err == -ECANCELED) {
        stage->n_asked--;
        question->source->busy = false;
        question_free(question);
        return;
    }
    hold_domain(stage, question->domain, wall_ms(stage) + stage->options.domain_gap_ms);
    poll_soon(stage);
    stage_count(stage, stage->bytes, (double)result->wire_bytes);
    if (result->onward && go_onward(question, result))
        return;
    if (result->onward) {
        lost.err = -ENOMEM;
        snprintf(lost.why, sizeof(lost.why), "out of memory");
    }
    take_answer(question, &lost);
}

/* ---- files ---- */

static int read_file(const char *path, struct buf *out, char etag[64]) {
    char chunk[65536];
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
    if (file < 0)
        return -errno;
    if (fstat(file, &info) < 0 || !S_ISREG(info.st_mode))
        err = -EINVAL;
    snprintf(etag, 64, "%lld.%09ld-%lld", (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
             (long long)info.st_size);
    ssize_t n = 0;
    while (!err && !out->full && (n = read(file, chunk, sizeof(chunk))) > 0)
        buf_add(out, chunk, (size_t)n);
    if (n < 0)
        err = -errno;
    close(file);
    return err ? err : out->full ? -EFBIG : 0;
}

/* A feed in a file is read as if it had been sent. */
static void ask_file(struct stage *stage, struct source *source) {
    const char *path = !strncasecmp(source->address, "file://", 7) ? source->address + 7 : source->address;
    struct buf body = {.limit = (size_t)stage->options.body_bytes};
    char etag[64] = "";
    struct fetch_result result = {.status = 200, .url = source->memory.url, .etag = etag};
    result.last_modified = result.content_type = result.content_language = result.content_location = "";
    result.retry_after = result.cache_control = result.expires = result.date = "";
    struct arrival *arrival = arrival_new(stage, source, NULL);
    if (!arrival) {
        source->busy = false;
        return;
    }
    result.err = read_file(path, &body, etag);
    if (result.err)
        snprintf(result.why, sizeof(result.why), "%s",
                 result.err == -EINVAL  ? "is no file"
                 : result.err == -EFBIG ? "larger than body_limit"
                                        : strerror(-result.err));
    result.body = buf_text(&body);
    result.body_bytes = body.len;
    if (!result.err && *etag && !strcmp(etag, source->memory.etag))
        result.status = 304;
    judge(stage, arrival, &result);
    buf_finish(&body);
    emit_push(stage, arrival);
}

/* ---- whose turn it is ---- */

/* Send what a question asks next. False: no memory. */
static bool send_question(struct question *question) {
    const struct memory *m = &question->source->memory;
    struct fetch_start start = {.url = m->url};
    if (question->onward)
        start = (struct fetch_start){
            .url = question->onward, .hops = question->hops, .temporary = question->temporary};
    else if (!strcmp(m->validator_url, m->url)) {
        start.etag = m->etag;
        start.last_modified = m->last_modified;
    }
    if (fetcher_get(question->stage->fetcher, &start, on_answer, question) < 0)
        return false;
    question->domain->busy = true;
    return true;
}

static void ask(struct stage *stage, struct source *source) {
    source->busy = source->asked = true;
    stage_count(stage, stage->polls, 1);
    if (source->is_file) {
        ask_file(stage, source);
        return;
    }
    struct question *question = calloc(1, sizeof(*question));
    if (question) {
        question->stage = stage;
        question->source = source;
        question->domain = source->domain;
    }
    if (!question || !send_question(question)) {
        telex_say(stage->host, TELEX_ERROR, 0, "%s: out of memory; tried again in a minute", source->address);
        source->memory.next_ms = wall_ms(stage) + 60000;
        source->busy = false;
        free(question);
        return;
    }
    stage->n_asked++;
}

/* A redirect to a site that wants no question for long is a failure until then. */
static void give_up_onward(struct question *question) {
    struct stage *stage = question->stage;
    struct fetch_result result = {.err = -EBUSY, .url = question->source->memory.url};
    int64_t free_ms = question->domain->free_ms;
    result.retry_after = result.cache_control = result.expires = "";
    snprintf(result.why, sizeof(result.why),
             "redirected to %.120s, which asked not to be asked for %" PRId64 " min", question->domain->name,
             (free_ms - wall_ms(stage)) / 60000 + 1);
    take_answer(question, &result);
}

/* Questions that were redirected to another site, as far as its turn has come. The next moment to look again.
 */
static int64_t ask_onward(struct stage *stage, int64_t now_ms, int64_t next_ms) {
    struct question *waiting = stage->onward;
    stage->onward = NULL;
    while (waiting) {
        struct question *question = waiting;
        struct domain *domain = question->domain;
        waiting = question->next;
        if (domain->free_ms > now_ms + ONWARD_WAIT_MS) {
            give_up_onward(question);
        } else if (domain->busy || domain->free_ms > now_ms || !send_question(question)) {
            question->next = stage->onward;
            stage->onward = question;
            if (!domain->busy && domain->free_ms < next_ms)
                next_ms = domain->free_ms > now_ms ? domain->free_ms : now_ms + 1000;
        }
    }
    return next_ms;
}

void poll_finish(struct stage *stage) {
    while (stage->onward) {
        struct question *next = stage->onward->next;
        question_free(stage->onward);
        stage->onward = next;
    }
}

/* When a feed may be asked; INT64_MAX: not again. */
static int64_t due_ms(const struct stage *stage, const struct source *source) {
    if (source->busy || source->memory.gone || (stage->options.once && source->asked))
        return INT64_MAX;
    int64_t at = source->memory.next_ms;
    if (source->domain && source->domain->busy)
        return INT64_MAX; /* its answer will look again */
    return source->domain && source->domain->free_ms > at ? source->domain->free_ms : at;
}

static bool is_finished(const struct stage *stage, int64_t now_ms) {
    if (!stage->options.once || stage->n_asked || stage->first)
        return false;
    for (size_t i = 0; i < stage->n_sources; i++) {
        const struct source *source = &stage->sources[i];
        bool soon = source->domain && source->domain->free_ms > now_ms &&
                    source->domain->free_ms <= now_ms + stage->options.domain_gap_ms;
        if (due_ms(stage, source) <= now_ms || (soon && !source->asked && source->memory.next_ms <= now_ms))
            return false;
    }
    return true;
}

static void on_tick(uv_timer_t *timer) {
    poll_due(timer->data);
}

void poll_soon(struct stage *stage) {
    if (!atomic_load(&stage->stopping))
        uv_timer_start(&stage->tick, on_tick, 0, 0);
}

void poll_due(struct stage *stage) {
    if (stage->broken || atomic_load(&stage->draining) || atomic_load(&stage->stopping))
        return;
    int64_t now_ms = wall_ms(stage), next_ms = now_ms + TICK_MAX_MS;
    state_prune(stage, now_ms);
    next_ms = ask_onward(stage, now_ms, next_ms);
    size_t first = stage->next_source;
    for (size_t k = 0; k < stage->n_sources; k++) {
        struct source *source = &stage->sources[(first + k) % stage->n_sources];
        bool room = (int64_t)stage->n_asked < stage->options.parallel && stage->n_waiting < WAITING_MAX;
        int64_t due = due_ms(stage, source);
        if (due <= now_ms && room) {
            stage->next_source = (first + k + 1) % stage->n_sources;
            ask(stage, source);
        } else if (due < next_ms && due > now_ms) {
            next_ms = due;
        }
    }
    if (is_finished(stage, now_ms) && !stage->said_exhausted) {
        stage->said_exhausted = true;
        stage->host->exhausted(stage->host);
        return;
    }
    uv_timer_start(&stage->tick, on_tick, (uint64_t)(next_ms - now_ms + 1), 0);
}
