/* SPDX-License-Identifier: Apache-2.0 */
/* wire.c - publication in steps of the host.
 *
 * process() accepts: number, time and printed id are put under the input's own lease and commit with it.
 * A later step - that of the next input, or one of its own that a timer opens - renders the oldest accepted
 * entry to disk and commits the receipt together with the event. Killed anywhere in between, the next start
 * finds the entry pending and renders the same bytes again; the event is committed once, because the same
 * commit forgets the entry. One step is open at a time, so what a step reads has been committed before it. */
#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <telex/ext/http.h>
#include <telex/ext/kv.h>
#include <telex/ext/metrics.h>
#include <telex/ext/timer.h>
#include <telex-sdk/json.h>

#include "site.h"

enum {
    PUBLISH_TIMER = 1,
    SOON_MS = 2,        /* between looks while the step before is being committed */
    RETRY_MS = 5000,    /* after a failed render: the disk may have room again */
    VALUE_BYTES = 65536 /* first guess at a stored value's size */
};

struct wire {
    const struct telex_host *host;
    const struct telex_kv *kv;
    const struct telex_timer *timer;
    const struct telex_http *http;       /* NULL: pages without a listener */
    const struct telex_metrics *metrics; /* may be NULL */
    struct wire_options options;
    void *options_memory;
    char *base;
    struct site *site;
    telex_lease lease;        /* the open step that store calls belong to; 0: committed state */
    int64_t refused_until_ms; /* monotonic; the disk failed a render, try no sooner */
    int64_t n_pending;        /* accepted, not settled */
    int32_t published_metric, pending_metric, failed_metric;
};

/* --- the store, over telex.kv/1 ------------------------------------------------------------ */

static json_t *parse_value(const void *data, uint64_t bytes) {
    return json_loadb(data, (size_t)bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

static json_t *store_get(void *ctx, const char *key) {
    struct wire *wire = ctx;
    uint64_t room = VALUE_BYTES;
    for (;;) {
        char *data = malloc(room);
        int64_t bytes = data ? wire->kv->get(wire->host, wire->lease, telex_text(key), data, room) : -1;
        json_t *value = bytes >= 0 && (uint64_t)bytes <= room ? parse_value(data, (uint64_t)bytes) : NULL;
        free(data);
        if (bytes < 0 || (uint64_t)bytes <= room)
            return value;
        room = (uint64_t)bytes;
    }
}

static int store_put(void *ctx, const char *key, const json_t *value) {
    struct wire *wire = ctx;
    char *data = json_dumps(value, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
    if (!data)
        return -ENOMEM;
    telex_status status = wire->kv->put(wire->host, wire->lease, telex_text(key), telex_text(data));
    free(data);
    return status == TELEX_OK ? 0 : -EIO;
}

static int store_del(void *ctx, const char *key) {
    struct wire *wire = ctx;
    return wire->kv->del(wire->host, wire->lease, telex_text(key)) == TELEX_OK ? 0 : -EIO;
}

struct visit {
    int (*each)(void *arg, const char *key, json_t *value);
    void *arg;
};

static int32_t visit_pair(void *arg, struct telex_bytes key, struct telex_bytes value) {
    struct visit *visit = arg;
    char name[TELEX_KV_KEY_MAX_BYTES + 1];
    if (key.size >= sizeof(name))
        return 0;
    memcpy(name, key.data, key.size);
    name[key.size] = '\0';
    json_t *json = parse_value(value.data, value.size);
    int32_t stop = json ? visit->each(visit->arg, name, json) : 0;
    json_decref(json);
    return stop;
}

static int store_scan(void *ctx, const char *prefix, int (*each)(void *arg, const char *key, json_t *value),
                      void *arg) {
    struct wire *wire = ctx;
    struct visit visit = {each, arg};
    return wire->kv->scan(wire->host, wire->lease, telex_text(prefix), visit_pair, &visit) == TELEX_OK ? 0
                                                                                                       : -EIO;
}

/* --- beginning ----------------------------------------------------------------------------- */

static void define_metrics(struct wire *wire) {
    wire->published_metric = wire->pending_metric = wire->failed_metric = -1;
    if (!wire->metrics)
        return;
    wire->published_metric =
        wire->metrics->define(wire->host, TELEX_COUNTER, "site_published", "Versions published.");
    wire->pending_metric = wire->metrics->define(wire->host, TELEX_GAUGE, "site_pending",
                                                 "Versions accepted and not yet on the page.");
    wire->failed_metric = wire->metrics->define(wire->host, TELEX_COUNTER, "site_render_failures",
                                                "Renders that the disk refused.");
}

static void count(struct wire *wire, int32_t metric, double amount) {
    if (metric >= 0)
        wire->metrics->add(wire->host, metric, amount);
}

static void show_pending(struct wire *wire) {
    if (wire->pending_metric >= 0)
        wire->metrics->set(wire->host, wire->pending_metric, (double)wire->n_pending);
}

/* The public address without its last slash, from the options or the listener. Gives it. */
static char *choose_base(const struct wire *wire) {
    const char *base = wire->options.base_url;
    if ((!base || !*base) && wire->http)
        base = wire->http->base(wire->host);
    if (!base || !*base)
        base = "http://localhost";
    char *copy = strdup(base);
    for (size_t n = copy ? strlen(copy) : 0; n > 0 && copy[n - 1] == '/'; n--)
        copy[n - 1] = '\0';
    return copy;
}

telex_status wire_create(const struct telex_host *host, struct telex_bytes options, void **self) {
    struct wire *wire = calloc(1, sizeof(*wire));
    if (!wire)
        return TELEX_RETRY;
    wire->host = host;
    wire->kv = host->ext(host, TELEX_KV);
    wire->timer = host->ext(host, TELEX_TIMER);
    wire->http = host->ext(host, TELEX_HTTP);
    wire->metrics = host->ext(host, TELEX_METRICS);
    telex_status status = TELEX_FATAL;
    if (!wire->kv || !wire->timer) {
        telex_fail(host, 0, status, "this host has no telex.kv/1 or no telex.timer/1, which wire-site needs");
        goto undo_wire;
    }
    if (telex_options_read(wire_option_table, options, &wire->options, &wire->options_memory) != 0) {
        telex_fail(host, 0, status, "the options are not those of wire-site");
        goto undo_wire;
    }
    wire->base = choose_base(wire);
    if (!wire->base || !text_is_web_address(wire->base)) {
        telex_fail(host, 0, status,
                   "base_url: '%s' is not a web address; write for example https://wire.example",
                   wire->base ? wire->base : "");
        goto undo_wire;
    }
    define_metrics(wire);
    *self = wire;
    return TELEX_OK;
undo_wire:
    wire_destroy(wire);
    return status;
}

static int count_one(void *arg, const char *key, json_t *value) {
    (void)key;
    (void)value;
    ++*(int64_t *)arg;
    return 0;
}

static int open_site(struct wire *wire, char *why, size_t why_bytes) {
    const struct wire_options *options = &wire->options;
    struct site_config config = {.root = options->root,
                                 .base = wire->base,
                                 .title = options->title ? options->title : "",
                                 .tagline = options->tagline ? options->tagline : "",
                                 .publisher = options->publisher ? options->publisher : "",
                                 .contact = options->contact ? options->contact : "",
                                 .front_items = options->front_items,
                                 .feed_items = options->feed_items,
                                 .event_time = strcmp(options->time, "event") == 0,
                                 .precompress = options->precompress};
    struct site_store store = {wire, store_get, store_put, store_del, store_scan};
    int err = site_open(&config, &store, &wire->site, why, why_bytes);
    return err ? err : site_refresh(wire->site, why, why_bytes);
}

telex_status wire_start(void *self) {
    struct wire *wire = self;
    char why[512] = "out of memory";
    wire->lease = 0;
    if (open_site(wire, why, sizeof(why)) != 0)
        return telex_fail(wire->host, 0, TELEX_FATAL, "%s", why);
    store_scan(wire, "p/", count_one, &wire->n_pending);
    show_pending(wire);
    if (wire->http && wire->http->site(wire->host, wire->options.root) == TELEX_OK)
        telex_say(wire->host, TELEX_INFO, 0, "%lld dispatches at %s/", (long long)site_count(wire->site),
                  wire->base);
    else
        telex_say(wire->host, TELEX_INFO, 0, "%lld dispatches in %s", (long long)site_count(wire->site),
                  wire->options.root);
    if (wire->n_pending > 0)
        wire->timer->set(wire->host, PUBLISH_TIMER, 0);
    return TELEX_OK;
}

/* --- publishing one entry ------------------------------------------------------------------ */

static telex_status announce(struct wire *wire, const json_t *entry, const json_t *files) {
    struct telex_builder builder;
    json_t *event = site_event(wire->site, entry, files);
    if (!event)
        return TELEX_FATAL;
    telex_build_init(&builder);
    telex_build_json(&builder, event);
    telex_status status = telex_build_commit(&builder, wire->host, wire->lease, 0);
    telex_build_finish(&builder);
    if (status == TELEX_OK && site_settle(wire->site, entry, files) != 0)
        status = TELEX_FATAL;
    if (status == TELEX_OK)
        telex_say(wire->host, TELEX_INFO, 0, "%s %s version %lld: %s", json_text(event, "act"),
                  json_text(event, "dsp"), (long long)json_number(event, "version", 0),
                  json_text(event, "address"));
    json_decref(event);
    return status;
}

/* Publish the oldest pending entry under wire->lease. OK also when there was none. RETRY: the disk refused.
 */
static telex_status publish_oldest(struct wire *wire) {
    char why[512] = "out of memory";
    json_t *files = NULL, *entry = site_pending(wire->site);
    if (!entry) {
        wire->n_pending = 0;
        return TELEX_OK;
    }
    telex_status status = TELEX_RETRY;
    if (site_render(wire->site, entry, &files, why, sizeof(why)) == 0) {
        status = announce(wire, entry, files);
        wire->n_pending -= status == TELEX_OK;
        count(wire, wire->published_metric, status == TELEX_OK);
    } else {
        count(wire, wire->failed_metric, 1);
        wire->refused_until_ms = wire->host->now_ms(wire->host, TELEX_CLOCK_MONO) + RETRY_MS;
        telex_say(wire->host, TELEX_ERROR, 0, "%s; it stays accepted and is tried again in %d s", why,
                  RETRY_MS / 1000);
    }
    json_decref(files);
    json_decref(entry);
    return status;
}

/* --- step one ------------------------------------------------------------------------------ */

/* Under load an input's step also publishes the entry before it, so that accepting does not run ahead of the
 * page; without load the timer does. While the disk refuses, versions are accepted and wait in the store. */
static telex_status keep_pace(struct wire *wire, telex_lease lease, bool accepted) {
    telex_status status = TELEX_OK;
    bool refused = wire->host->now_ms(wire->host, TELEX_CLOCK_MONO) < wire->refused_until_ms;
    if (wire->n_pending > 0 && !refused) {
        wire->lease = lease;
        status = publish_oldest(wire);
        wire->lease = 0;
    }
    if (status != TELEX_OK && status != TELEX_RETRY)
        return status;
    wire->n_pending += accepted;
    show_pending(wire);
    if (wire->n_pending > 0)
        wire->timer->set(wire->host, PUBLISH_TIMER, refused || status == TELEX_RETRY ? RETRY_MS : SOON_MS);
    return TELEX_OK;
}

telex_status wire_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct wire *wire = self;
    struct telex_view view = {.size = sizeof(view)};
    struct telex_map map = {0};
    char why[512] = "out of memory";
    json_t *entry = NULL;
    if (wire->host->view(wire->host, in, &view) != TELEX_OK || telex_map_open(&map, view.body) != 0)
        return telex_fail(wire->host, lease, TELEX_REJECT, "the message is no msgpack map");
    json_t *dispatch = telex_json_from(map.root);
    telex_map_close(&map);
    wire->lease = lease;
    int err = dispatch ? site_accept(wire->site, dispatch, wire->host->now_ms(wire->host, TELEX_CLOCK_WALL),
                                     &entry, why, sizeof(why))
                       : -ENOMEM;
    wire->lease = 0;
    json_decref(dispatch);
    json_decref(entry);
    if (err == -EBADMSG)
        return telex_fail(wire->host, lease, TELEX_REJECT, "%s", why);
    if (err < 0)
        return telex_fail(wire->host, lease, TELEX_RETRY, "cannot accept it: %s", strerror(-err));
    if (err == 0)
        telex_say(wire->host, TELEX_INFO, lease, "%s", why);
    return keep_pace(wire, lease, err == 1);
}

/* --- steps two and three, when no input drives them ----------------------------------------- */

/* One publication in a step of its own. OK; AGAIN: no step can be opened yet; RETRY: the disk refused;
 * CANCELLED: the host is closing, and the next start goes on from here. */
static telex_status publish_step(struct wire *wire) {
    telex_status status = wire->host->open(wire->host, &wire->lease);
    if (status != TELEX_OK) {
        wire->lease = 0;
        return status;
    }
    status = publish_oldest(wire);
    telex_lease lease = wire->lease;
    wire->lease = 0;
    show_pending(wire);
    /* A refused render has touched nothing: its step ends empty. */
    wire->host->complete(wire->host, lease, status == TELEX_RETRY ? TELEX_OK : status);
    return status;
}

void wire_on_timer(void *self, uint64_t timer) {
    struct wire *wire = self;
    (void)timer;
    if (wire->n_pending == 0)
        return;
    telex_status status = publish_step(wire);
    if (status == TELEX_CANCELLED)
        return;
    if (wire->n_pending > 0)
        wire->timer->set(wire->host, PUBLISH_TIMER, status == TELEX_RETRY ? RETRY_MS : SOON_MS);
}

void wire_drain(void *self, int64_t deadline_ms) {
    struct wire *wire = self;
    const struct timespec pause = {0, SOON_MS * 1000000L};
    wire->timer->clear(wire->host, PUBLISH_TIMER);
    while (wire->n_pending > 0 && wire->host->now_ms(wire->host, TELEX_CLOCK_MONO) < deadline_ms) {
        telex_status status = publish_step(wire);
        if (status == TELEX_AGAIN)
            nanosleep(&pause, NULL); /* the step before is being committed */
        else if (status != TELEX_OK)
            break;
    }
    if (wire->n_pending > 0)
        telex_say(wire->host, TELEX_WARN, 0,
                  "%lld accepted versions are not on the page yet; the next start publishes "
                  "them",
                  (long long)wire->n_pending);
}

/* --- end ----------------------------------------------------------------------------------- */

void wire_destroy(void *self) {
    struct wire *wire = self;
    site_close(wire->site);
    free(wire->options_memory);
    free(wire->base);
    free(wire);
}
