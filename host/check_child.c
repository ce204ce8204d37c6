/* SPDX-License-Identifier: Apache-2.0 */
/* check_child.c - lives of a stage, each in a child process of its own (check_process.c). */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <telex/ext/io.h>
#include <telex-sdk/id.h>
#include <telex-sdk/json.h>

#include "check.h"
#include "check_host.h"
#include "check_process.h"

enum { SOURCE_MS = 3000, RECORDS = 16 };

/* One life in the making. */
struct life {
    struct check_run *run;
    struct check_host host;
    const struct telex_stage *stage;
    struct telex_bytes options;
    void *self;
    FILE *out;
    int64_t settle_ms; /* what a step may take, a fifth of what a life may */
};

static void say(const struct life *life, const char *call) {
    check_say(life->run, call);
}

/* ---- sample records ---- */

static void add_text(struct telex_builder *b, const char *key, const char *text) {
    telex_build_key(b, key);
    telex_build_text(b, text);
}

static void sample_id(char out[33], const char *kind, int number) {
    char text[16];
    snprintf(text, sizeof(text), "%d", number);
    struct telex_bytes part = telex_text(text);
    telex_id(out, kind, &part, 1);
}

static void add_record(struct telex_builder *b, int number) {
    static const char *const texts[] = {"The port of Ardel reopened on Monday after a storm had closed it "
                                        "for three days. Two ships left at noon, the "
                                        "harbour master said. Eleven more were waiting outside the bay. The "
                                        "storm had torn down a crane on the north "
                                        "pier. Nobody was hurt.",
                                        "Ardel's harbour is open again. A storm had closed the port on "
                                        "Friday and broken one of its four cranes. Ferry "
                                        "traffic to the islands starts on Tuesday, the port authority said "
                                        "in a statement. Repairs of the crane will "
                                        "take six weeks."};
    char text[80];
    add_text(b, "source", "check");
    snprintf(text, sizeof(text), "outlet%d.example", number % 3);
    add_text(b, "outlet", text);
    snprintf(text, sizeof(text), "https://outlet%d.example/%d", number % 3, number);
    add_text(b, "url", text);
    snprintf(text, sizeof(text), "Port of Ardel reopens after storm, report %d", number / 2);
    add_text(b, "title", text);
    add_text(b, "text", texts[number % 2]);
    add_text(b, "lang", "en");
    telex_build_key(b, "published_ms"), telex_build_int(b, 1767225600000 + number * 60000ll);
    telex_build_key(b, "number"), telex_build_int(b, number);
}

static void add_story(struct telex_builder *b) {
    char id[33];
    telex_build_key(b, "records"), telex_build_array(b, 2);
    for (int i = 0; i < 2; i++) {
        sample_id(id, "telex.record/1", i);
        telex_build_text(b, id);
    }
    telex_build_key(b, "outlets"), telex_build_int(b, 2);
    telex_build_key(b, "first_ms"), telex_build_int(b, 1767225600000);
    telex_build_key(b, "last_ms"), telex_build_int(b, 1767225660000);
    add_text(b, "label", "port of Ardel");
    add_text(b, "state", "open");
}

static void add_dispatch(struct telex_builder *b) {
    add_text(b, "status", "usable"), add_text(b, "kind", "News"), add_text(b, "beat", "Shipping");
    add_text(b, "headline", "Port of Ardel reopens after storm");
    add_text(b, "dek", "Two ships left at noon.");
    telex_build_key(b, "body"), telex_build_array(b, 1);
    telex_build_map_begin(b);
    add_text(b, "text", "The port of Ardel reopened on Monday after a storm had closed it for three days.");
    telex_build_map_end(b);
    telex_build_key(b, "faq"), telex_build_array(b, 0);
    telex_build_key(b, "citations"), telex_build_array(b, 0);
}

/* A message of a schema. `odd` adds what a stage has to live with: unknown keys, control characters, a long
 * text. */
static struct telex_rec *sample(struct life *life, const char *schema, int number, bool odd) {
    char id[33];
    struct telex_builder b;
    sample_id(id, schema, number);
    telex_build_init(&b);
    telex_build_map_begin(&b);
    add_text(&b, "schema", schema);
    add_text(&b, "id", id);
    telex_build_key(&b, "version"), telex_build_int(&b, 1);
    if (strcmp(schema, "telex.story/1") == 0)
        add_story(&b);
    else if (strcmp(schema, "telex.dispatch/1") == 0)
        add_dispatch(&b);
    else
        add_record(&b, number);
    if (odd) {
        char *text = calloc(1, (1 << 20) + 1);
        if (!text)
            abort();
        memset(text, number % 2 ? 'x' : '\x01', 1 << 20);
        add_text(&b, "unknown <script>", text);
        telex_build_key(&b, "deep");
        telex_build_map_begin(&b);
        telex_build_key(&b, "<|im_end|>"), telex_build_nil(&b);
        telex_build_map_end(&b);
        free(text);
    }
    telex_build_map_end(&b);
    struct telex_rec *rec = check_record(&life->host, telex_build_body(&b));
    telex_build_finish(&b);
    return rec;
}

/* A message with nothing in it but what every message has. */
static struct telex_rec *bare(struct life *life, const char *schema, int number) {
    char id[33];
    struct telex_builder b;
    sample_id(id, "bare", number);
    telex_build_init(&b);
    telex_build_map_begin(&b);
    add_text(&b, "schema", schema);
    add_text(&b, "id", id);
    telex_build_map_end(&b);
    struct telex_rec *rec = check_record(&life->host, telex_build_body(&b));
    telex_build_finish(&b);
    return rec;
}

/* The schema that the n-th sample has: the input ports' schemas in turn. */
static const char *input_schema(const struct telex_stage *stage, int n) {
    const char *all[64];
    int count = 0;
    for (const struct telex_port *const *port = stage->ports; *port; port++)
        for (const char *const *s = (*port)->schemas; (*port)->direction == TELEX_IN && *s && count < 64; s++)
            all[count++] = strcmp(*s, "*") == 0 ? "telex.record/1" : *s;
    return count ? all[n % count] : "telex.record/1";
}

/* ---- the moves of a life ---- */

static bool make(struct life *life, const char *scenario) {
    check_host_init(&life->host, life->stage, scenario, life->out);
    for (int i = 0; i < RECORDS; i++)
        sample(life, "telex.record/1", i, false); /* so that stories find their records */
    say(life, "create");
    life->self = NULL;
    telex_status status = life->stage->create(&life->host.table, life->options, &life->self);
    if (status == TELEX_OK && life->self)
        return true;
    check_find(&life->host, "life.create", "create with %s options gave status %d%s", "checked", status,
               status == TELEX_OK ? " but set no instance" : "");
    return false;
}

static bool begin(struct life *life) {
    say(life, "start");
    telex_status status = life->stage->start ? life->stage->start(life->self) : TELEX_OK;
    if (status != TELEX_OK)
        check_find(&life->host, "life.start", "start gave status %d", status);
    return status == TELEX_OK;
}

static void end(struct life *life, bool started) {
    if (started) {
        say(life, "drain");
        if (life->stage->drain)
            life->stage->drain(life->self, check_now_ms() + 1000);
    }
    say(life, "stop");
    if (life->stage->stop && started)
        life->stage->stop(life->self);
    pthread_mutex_lock(&life->host.lock);
    life->host.stopped = true;
    pthread_mutex_unlock(&life->host.lock);
    say(life, "destroy");
    life->stage->destroy(life->self);
    check_host_finish(&life->host);
}

/* Make the calls that are due on the strand: posts, timers, descriptors. */
static void turn(struct life *life) {
    struct check_host *host = &life->host;
    int64_t now = check_now_ms();
    pthread_mutex_lock(&host->lock);
    while (host->n_posts > 0) {
        void (*fn)(void *) = host->posts[0].fn;
        void *arg = host->posts[0].arg;
        memmove(host->posts, host->posts + 1, --host->n_posts * sizeof(*host->posts));
        pthread_mutex_unlock(&host->lock);
        fn(arg);
        pthread_mutex_lock(&host->lock);
    }
    for (int i = 0; i < CHECK_TIMERS_MAX; i++) {
        if (host->timers[i] < 0 || host->timers[i] > now || !life->stage->on_timer)
            continue;
        uint64_t name = host->timer_names[i];
        host->timers[i] = -1;
        pthread_mutex_unlock(&host->lock);
        life->stage->on_timer(life->self, name);
        pthread_mutex_lock(&host->lock);
    }
    struct pollfd fds[CHECK_WATCHES_MAX];
    size_t n = host->n_watches;
    for (size_t i = 0; i < n; i++)
        fds[i] = (struct pollfd){host->watches[i].fd,
                                 (short)((host->watches[i].events & TELEX_READABLE ? POLLIN : 0) |
                                         (host->watches[i].events & TELEX_WRITABLE ? POLLOUT : 0)),
                                 0};
    pthread_mutex_unlock(&host->lock);
    poll(fds, n, 1);
    for (size_t i = 0; i < n; i++) {
        if (!fds[i].revents)
            continue;
        pthread_mutex_lock(&host->lock);
        size_t k = 0;
        while (k < host->n_watches && host->watches[k].fd != fds[i].fd)
            k++;
        void (*fn)(void *, uint32_t) = k < host->n_watches ? host->watches[k].fn : NULL;
        void *arg = fn ? host->watches[k].arg : NULL;
        if (fn)
            host->watches[k] = host->watches[--host->n_watches];
        pthread_mutex_unlock(&host->lock);
        if (fn)
            fn(arg, (uint32_t)((fds[i].revents & ~POLLOUT ? TELEX_READABLE : 0) |
                               (fds[i].revents & POLLOUT ? TELEX_WRITABLE : 0)));
    }
}

/* Turn until no lease is open, or the time is over. */
static bool settle(struct life *life, int64_t wait_ms) {
    int64_t deadline_ms = check_now_ms() + wait_ms;
    while (check_leases_open(&life->host) > 0 && check_now_ms() < deadline_ms)
        turn(life);
    return check_leases_open(&life->host) == 0;
}

static telex_lease feed(struct life *life, struct telex_rec *rec) {
    telex_lease lease = check_lease_open(&life->host);
    pthread_mutex_lock(&life->host.lock);
    rec->lent = true;
    pthread_mutex_unlock(&life->host.lock);
    say(life, "process");
    telex_status status = life->stage->process(life->self, lease, rec);
    pthread_mutex_lock(&life->host.lock);
    rec->lent = false;
    pthread_mutex_unlock(&life->host.lock);
    check_lease_returned(&life->host, lease, status);
    return lease;
}

/* Every lease must end: by itself, or soon after it is cancelled. */
static void expect_settled(struct life *life) {
    if (settle(life, life->settle_ms))
        return;
    for (telex_lease i = 1; i <= life->host.n_leases && life->stage->cancel; i++)
        life->stage->cancel(life->self, i);
    if (!settle(life, life->stage->cancel ? life->settle_ms / 2 : 0))
        check_find(&life->host, "lease.lost", "steps are open long after their delivery");
}

/* A stage that keeps state, or answers later, is fed as a host feeds it: one step at a time where it says so.
 */
static void feed_all(struct life *life, int count, bool odd) {
    bool serial = life->stage->flags & TELEX_STAGE_STATEFUL;
    for (int i = 0; i < count; i++) {
        const char *schema = input_schema(life->stage, i);
        struct telex_rec *rec = odd && i % 3 == 2 ? bare(life, schema, i) : sample(life, schema, i, odd);
        feed(life, rec);
        if (serial)
            expect_settled(life);
    }
    expect_settled(life);
}

/* ---- the lives ---- */

static void life_create_destroy(struct life *life) {
    for (int i = 0; i < 3; i++)
        if (make(life, "create-destroy"))
            end(life, false);
}

static void life_start_stop(struct life *life) {
    size_t threads = 0, files = 0;
    for (int i = 0; i < 4; i++) {
        if (!make(life, "start-stop"))
            return;
        end(life, begin(life));
        if (i == 0) { /* what a library keeps for the process is not counted */
            threads = check_settled_count("/proc/self/task", SIZE_MAX);
            files = check_settled_count("/proc/self/fd", SIZE_MAX);
        }
    }
    if (check_settled_count("/proc/self/task", threads) > threads)
        check_find(&life->host, "life.thread-left", "threads are left after destroy");
    /* each life brings one stream of the check's own */
    if (check_settled_count("/proc/self/fd", files) > files)
        check_find(&life->host, "life.file-left", "descriptors are left open after destroy");
}

static void life_process(struct life *life) {
    if (!make(life, "process"))
        return;
    bool started = begin(life);
    if (started) {
        feed_all(life, RECORDS, false);
        if (life->host.n_rejected == RECORDS)
            check_find(&life->host, "process.rejects-all",
                       "every one of %d ordinary records was rejected, the last one because: %s", RECORDS,
                       *life->host.last_fail ? life->host.last_fail : "(no reason given)");
    }
    end(life, started);
}

static void life_odd_records(struct life *life) {
    if (!make(life, "odd-records"))
        return;
    bool started = begin(life);
    if (started)
        feed_all(life, RECORDS / 2, true);
    end(life, started);
}

static void life_refused_loans(struct life *life) {
    if (!make(life, "refused-loans"))
        return;
    bool started = begin(life);
    life->host.refuse_loans = true;
    if (started)
        feed_all(life, RECORDS / 2, false);
    end(life, started);
}

/* Stop while steps are open: they are dropped, and nothing of the instance is alive after. */
static void life_stop_early(struct life *life) {
    if (!make(life, "stop-early"))
        return;
    bool started = begin(life);
    for (int i = 0; i < (life->stage->flags & TELEX_STAGE_STATEFUL ? 1 : RECORDS) && started; i++)
        feed(life, sample(life, input_schema(life->stage, i), i, false));
    end(life, started);
    usleep(50000); /* what is still alive shows itself */
}

/* Twice the same records give twice the same bytes. */
static void life_again(struct life *life) {
    char *first = NULL;
    for (int i = 0; i < 2; i++) {
        if (!make(life, "again"))
            break;
        bool started = begin(life);
        if (started)
            feed_all(life, RECORDS, false);
        end(life, started);
        if (i == 0)
            first = strdup(life->host.outputs ? life->host.outputs : "");
        else if (first && strcmp(first, life->host.outputs ? life->host.outputs : "") != 0)
            check_find(&life->host, "output.differs",
                       "the same %d records gave other outputs the second time", RECORDS);
    }
    free(first);
}

static void give_credit(struct life *life, uint32_t steps) {
    pthread_mutex_lock(&life->host.lock);
    life->host.credits = steps;
    pthread_mutex_unlock(&life->host.lock);
    say(life, "on_credit");
    life->stage->on_credit(life->self);
}

static void life_source(struct life *life) {
    if (!make(life, "source"))
        return;
    bool started = begin(life);
    int64_t deadline_ms = check_now_ms() + SOURCE_MS;
    while (started && !life->host.exhausted && check_now_ms() < deadline_ms) {
        give_credit(life, 3);
        for (int i = 0; i < 5; i++)
            turn(life);
        if (life->host.n_committed > 2000)
            break;
    }
    if (started)
        expect_settled(life);
    end(life, started);
}

/* A source without credit opens nothing, and is not woken in vain for ever. */
static void life_source_without_credit(struct life *life) {
    if (!make(life, "no-credit"))
        return;
    bool started = begin(life);
    if (started)
        give_credit(life, 0);
    for (int i = 0; i < 20 && started; i++)
        turn(life);
    end(life, started);
}

static bool takes_records(const void *table) {
    const struct telex_stage *stage = table;
    return stage->process != NULL;
}

static bool takes_and_gives(const void *table) {
    const struct telex_stage *stage = table;
    return stage->process != NULL && stage->max_outputs > 0;
}

static bool is_source(const void *table) {
    const struct telex_stage *stage = table;
    return stage->on_credit != NULL;
}

static bool is_any(const void *table) {
    const struct telex_stage *stage = table;
    (void)stage;
    return true;
}

static const struct {
    const char *name;
    void (*live)(struct life *life);
    bool (*fits)(const void *table);
} lives[] = {
    {"create-destroy", life_create_destroy, is_any},
    {"start-stop", life_start_stop, is_any},
    {"process", life_process, takes_records},
    {"odd-records", life_odd_records, takes_records},
    {"refused-loans", life_refused_loans, takes_and_gives},
    {"stop-early", life_stop_early, takes_records},
    {"again", life_again, takes_records},
    {"source", life_source, is_source},
    {"no-credit", life_source_without_credit, is_source},
};
enum { N_LIVES = sizeof(lives) / sizeof(*lives) };

static void live(struct check_run *run) {
    static struct life life; /* on no stack that a plugin could smash */
    life.run = run;
    life.out = run->out;
    life.stage = run->table;
    life.options = run->options;
    life.settle_ms = run->life_ms / 5;
    for (size_t i = 0; i < N_LIVES; i++)
        if (strcmp(lives[i].name, run->scenario->name) == 0)
            lives[i].live(&life);
}

void check_lives(const struct plugin_desc *plugin, struct telex_bytes options, int life_ms, json_t *findings,
                 json_t *scenarios) {
    struct check_scenario all[N_LIVES];
    for (size_t i = 0; i < N_LIVES; i++)
        all[i] = (struct check_scenario){lives[i].name, live, lives[i].fits};
    check_scenarios(plugin, options, life_ms, all, N_LIVES, NULL, findings, scenarios);
}
