/* SPDX-License-Identifier: Apache-2.0 */
/* isolate.c - the engine's side of an isolated stage: the calls of struct telex_stage as messages.
 *
 * No call here waits for the runner except create, start, drain, stop and destroy, which have deadlines of
 * their own; a runner that does not answer in time is killed. A record that the runner holds stays retained,
 * and its copy in shared memory stays as it is, until the runner lets go of it or dies. */
#include "isolate_internal.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <telex-sdk/message.h>

#include "runner/setup.h"

enum { OUTGOING_MAX = 1 << 16, LENT_MAX = 1 << 20, WAKE_EVERY = 64 };

/* ---- messages ---- */

void isolate_kill_locked(struct isolate *iso, const char *why) {
    if (iso->pid == 0 || iso->dead)
        return;
    if (!iso->why[0])
        snprintf(iso->why, sizeof(iso->why), "%s", why);
    kill(-iso->pid, SIGKILL);
}

static int keep(struct isolate *iso, const struct message *message, const void *payload, uint64_t slot_bytes,
                bool passes) {
    struct outgoing *o = malloc(sizeof(*o) + message->inline_size);
    if (!o || iso->n_outgoing >= OUTGOING_MAX) {
        free(o);
        isolate_kill_locked(iso, "runner took no messages");
        return 0; /* its end settles everything */
    }
    o->next = NULL;
    o->message = *message;
    o->slot_bytes = slot_bytes;
    o->passes = passes;
    if (payload)
        memcpy(o->inline_bytes, payload, message->inline_size);
    *iso->last = o;
    iso->last = &o->next;
    iso->n_outgoing++;
    return 0;
}

/* The same for a slot that was filled already and stays (`passes` false) or passes. */
static int send_slot(struct isolate *iso, const struct message *message, const void *beside,
                     uint64_t slot_bytes, bool passes) {
    if (iso->dead)
        return 0;
    int err = iso->first ? -EAGAIN : link_send_slot(&iso->out, message, beside, slot_bytes, passes);
    return err == -EAGAIN ? keep(iso, message, beside, slot_bytes, passes) : err;
}

int isolate_send_slot(struct isolate *iso, const struct message *message, uint64_t slot_bytes, bool passes) {
    int err = send_slot(iso, message, NULL, slot_bytes, passes);
    link_wake(&iso->out);
    return err;
}

int isolate_send(struct isolate *iso, struct message message, const void *payload, uint64_t size) {
    if (iso->dead)
        return 0;
    if (size > INLINE_MAX_BYTES) {
        message.slot = link_slot_take(&iso->out, size);
        message.slot_size = size;
        if (message.slot == 0)
            return -ENOMEM;
        memcpy(link_at(&iso->out, message.slot), payload, size);
        return isolate_send_slot(iso, &message, size, true);
    }
    message.slot = message.slot_size = 0;
    message.inline_size = (uint32_t)size;
    int err = iso->first ? -EAGAIN : link_send(&iso->out, message, payload, size);
    if (err == -EAGAIN)
        err = keep(iso, &message, payload, 0, false);
    link_wake(&iso->out);
    return err;
}

void isolate_flush(struct isolate *iso) {
    struct outgoing *o;
    bool sent = false;
    while ((o = iso->first)) {
        int err = o->slot_bytes
                      ? link_send_slot(&iso->out, &o->message, o->inline_bytes, o->slot_bytes, o->passes)
                      : link_send(&iso->out, o->message, o->inline_bytes, o->message.inline_size);
        if (err == -EAGAIN)
            break;
        iso->first = o->next;
        iso->n_outgoing--;
        free(o);
        sent = true;
    }
    if (!iso->first)
        iso->last = &iso->first;
    if (sent)
        link_wake(&iso->out);
}

/* ---- records ---- */

static int more_lent(struct isolate *iso) {
    uint32_t n = iso->n_lent ? 2 * iso->n_lent : 64;
    if (n > LENT_MAX)
        return -ENOMEM;
    struct lent *lent = realloc(iso->lent, n * sizeof(*lent));
    if (!lent)
        return -ENOMEM;
    iso->lent = lent;
    for (uint32_t i = iso->n_lent; i < n; i++) {
        struct lent fresh = {.next_free = i + 1 < n ? i + 1 : UINT32_MAX};
        lent[i] = fresh;
    }
    iso->free_lent = iso->n_lent;
    iso->n_lent = n;
    return 0;
}

uint64_t isolate_lend(struct isolate *iso, struct telex_rec *rec, struct telex_bytes body, uint64_t *slot) {
    if (iso->free_lent == UINT32_MAX && more_lent(iso) < 0)
        return 0;
    *slot = link_slot_take(&iso->out, body.size);
    if (*slot == 0)
        return 0;
    memcpy(link_at(&iso->out, *slot), body.data, body.size);
    uint32_t index = iso->free_lent;
    struct lent *lent = &iso->lent[index];
    iso->free_lent = lent->next_free;
    lent->rec = rec;
    lent->slot = *slot;
    lent->bytes = body.size;
    return (uint64_t)lent->generation << 32 | (index + 1);
}

struct lent *isolate_lent(struct isolate *iso, uint64_t handle) {
    uint32_t index = (uint32_t)handle - 1;
    if ((uint32_t)handle == 0 || index >= iso->n_lent || !iso->lent[index].rec ||
        iso->lent[index].generation != handle >> 32)
        return NULL;
    return &iso->lent[index];
}

struct telex_rec *isolate_take_back(struct isolate *iso, uint64_t handle) {
    struct lent *lent = isolate_lent(iso, handle);
    if (!lent)
        return NULL;
    struct telex_rec *rec = lent->rec;
    link_slot_give(&iso->out, lent->slot, lent->bytes);
    lent->rec = NULL;
    lent->generation++;
    lent->next_free = iso->free_lent;
    iso->free_lent = (uint32_t)(lent - iso->lent);
    return rec;
}

/* ---- calls that wait ---- */

static struct timespec after_ms(int64_t ms) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

int64_t isolate_clock_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void forget_call(struct isolate *iso, const struct call *call) {
    struct call **at = &iso->calls;
    while (*at && *at != call)
        at = &(*at)->next;
    if (*at)
        *at = call->next;
}

/* Ask and wait at most so long, under the lock. true when it was answered; dead or late otherwise. */
static bool ask(struct isolate *iso, struct message message, const void *payload, uint64_t size,
                int64_t timeout_ms, telex_status *status) {
    struct call call = {.next = iso->calls, .number = ++iso->last_call, .is_last = message.type == TO_STOP};
    struct timespec until = after_ms(timeout_ms);
    message.call = call.number;
    iso->calls = &call;
    int err = isolate_send(iso, message, payload, size);
    while (err == 0 && !call.done && !iso->settled)
        err = pthread_cond_timedwait(&iso->changed, &iso->lock, &until);
    forget_call(iso, &call);
    *status = call.status;
    return call.done;
}

/* Wait until a runner that was killed, or asked to end, has ended and everything of it is settled. */
static void await_end(struct isolate *iso, int64_t timeout_ms, const char *why) {
    struct timespec until = after_ms(timeout_ms);
    while (!iso->settled && pthread_cond_timedwait(&iso->changed, &iso->lock, &until) != ETIMEDOUT)
        ;
    if (!iso->settled)
        isolate_kill_locked(iso, why);
    while (!iso->settled)
        pthread_cond_wait(&iso->changed, &iso->lock);
}

/* ---- create and destroy ---- */

static void free_isolate(struct isolate *iso) {
    struct lease_node *node;
    while ((node = lease_take_any(&iso->steps)))
        free(node);
    free(iso->spent);
    for (; iso->free_steps; iso->free_steps = (struct step *)(void *)node) {
        node = iso->free_steps->node.next;
        free(iso->free_steps);
    }
    for (struct outgoing *next, *o = iso->first; o; o = next) {
        next = o->next;
        free(o);
    }
    if (iso->out.mine)
        link_out_finish(&iso->out);
    isolate_close(iso);
    pthread_cond_destroy(&iso->changed);
    pthread_mutex_destroy(&iso->lock);
    free(iso->lent);
    isolate_words_finish(&iso->bounds);
    free(iso->name);
    free(iso->runner);
    free(iso->plugin);
    free(iso);
}

static struct isolate *new_isolate(const struct isolate_spec *spec, const struct telex_host *host) {
    struct isolate *iso = calloc(1, sizeof(*iso));
    char runner[PATH_MAX];
    pthread_condattr_t attr;
    if (!iso)
        return NULL;
    isolate_runner_path(runner, sizeof(runner));
    iso->host = host;
    iso->name = strdup(spec->name ? spec->name : spec->plugin->name);
    iso->runner = strdup(spec->runner ? spec->runner : runner);
    iso->plugin = strdup(spec->plugin->name);
    iso->died = spec->died;
    iso->died_arg = spec->died_arg;
    iso->gather = spec->gather;
    iso->gather_arg = spec->gather_arg;
    iso->blame = spec->blame;
    iso->blame_arg = spec->blame_arg;
    iso->create_timeout_ms = spec->create_timeout_ms ? spec->create_timeout_ms : 180000;
    iso->start_timeout_ms = spec->start_timeout_ms ? spec->start_timeout_ms : 60000;
    iso->stop_timeout_ms = spec->stop_timeout_ms ? spec->stop_timeout_ms : 5000;
    iso->kv = host->ext(host, TELEX_KV);
    iso->metrics = host->ext(host, TELEX_METRICS);
    iso->timer = host->ext(host, TELEX_TIMER);
    iso->http = host->ext(host, TELEX_HTTP);
    iso->pidfd = iso->channel = iso->wake_runner = iso->wake_host = -1;
    iso->output[0].fd = iso->output[1].fd = -1;
    iso->output[0].level = TELEX_INFO;
    iso->output[1].level = TELEX_WARN;
    iso->last = &iso->first;
    iso->nap_ms = -1;
    iso->free_lent = UINT32_MAX;
    iso->start_error = 1;
    pthread_mutex_init(&iso->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&iso->changed, &attr);
    pthread_condattr_destroy(&attr);
    return iso;
}

/* Run the proxy's thread and wait until it has started the runner. 0 or a negative errno: no thread is left.
 */
static int start_thread(struct isolate *iso) {
    int err = iso->name && iso->runner && iso->plugin ? isolate_open(iso) : -ENOMEM;
    if (err == 0)
        err = -pthread_create(&iso->thread, NULL, isolate_serve, iso);
    if (err < 0)
        return err;
    pthread_mutex_lock(&iso->lock);
    while (iso->start_error == 1)
        pthread_cond_wait(&iso->changed, &iso->lock);
    err = iso->start_error;
    pthread_mutex_unlock(&iso->lock);
    if (err < 0)
        pthread_join(iso->thread, NULL);
    return err;
}

static uint32_t services_of(const struct isolate *iso) {
    return (iso->kv ? SERVICE_KV : 0u) | (iso->metrics ? SERVICE_METRICS : 0u) |
           (iso->timer ? SERVICE_TIMER : 0u) | (iso->http ? SERVICE_HTTP : 0u) |
           (iso->host->ext(iso->host, TELEX_IO) ? SERVICE_IO : 0u);
}

static telex_status refuse(const struct telex_host *host, const char *format, const char *a, const char *b) {
    char why[WHY_BYTES + PATH_MAX];
    snprintf(why, sizeof(why), format, a, b);
    return host->fail(host, 0, TELEX_FATAL, telex_text(why));
}

/* The setting up of a started runner. What create returned; FATAL when it ended or was too late. */
static telex_status set_up(struct isolate *iso, const struct isolate_spec *spec) {
    struct telex_builder setup;
    struct message m = {.type = TO_CREATE};
    telex_status status = TELEX_FATAL;
    int err = setup_write(spec, &iso->images, services_of(iso), &setup);
    struct telex_bytes body = telex_build_body(&setup);
    pthread_mutex_lock(&iso->lock);
    bool answered = err == 0 && ask(iso, m, body.data, body.size, iso->create_timeout_ms, &status);
    bool gone = !answered || (status == TELEX_OK && iso->dead);
    iso->created = !gone && status == TELEX_OK;
    if (gone)
        await_end(iso, 0, "killed: create took too long");
    pthread_mutex_unlock(&iso->lock);
    telex_build_finish(&setup);
    return gone ? refuse(iso->host, "%s%s", iso->why, "") : status;
}

static void add_image(struct isolate_images *images, const struct plugin_desc *plugin) {
    if (plugin->image > 0 && isolate_image_at(images, plugin->image) == 0 && images->n < ISOLATE_IMAGES_MAX)
        images->fd[images->n++] = plugin->image;
}

telex_status isolate_create(const struct isolate_spec *spec, const struct telex_host *host, void **self) {
    struct isolate *iso = new_isolate(spec, host);
    if (!iso)
        return refuse(host, "out of memory%s%s", "", "");
    add_image(&iso->images, spec->plugin);
    for (size_t i = 0; i < spec->n_models; i++)
        add_image(&iso->images, spec->models[i].plugin);
    int err = isolate_bounds(spec, &iso->bounds);
    if (err == 0)
        err = start_thread(iso);
    if (err < 0) {
        telex_status status =
            refuse(host, "cannot start %s: %s", iso->runner ? iso->runner : "telex-runner", strerror(-err));
        free_isolate(iso);
        return status;
    }
    telex_status status = set_up(iso, spec);
    if (status == TELEX_OK)
        *self = iso;
    else
        isolate_stage.destroy(iso);
    return status;
}

static void isolate_destroy(void *self) {
    struct isolate *iso = self;
    struct message m = {.type = TO_DESTROY};
    telex_status status;
    pthread_mutex_lock(&iso->lock);
    iso->ending = true;
    if (!iso->settled && !ask(iso, m, NULL, 0, iso->stop_timeout_ms, &status))
        isolate_kill_locked(iso, "killed: destroy took too long");
    await_end(iso, iso->stop_timeout_ms, "killed: did not end after destroy");
    pthread_mutex_unlock(&iso->lock);
    pthread_join(iso->thread, NULL);
    free_isolate(iso);
}

/* ---- the life of an instance ---- */

static telex_status isolate_start(void *self) {
    struct isolate *iso = self;
    struct message m = {.type = TO_START};
    telex_status status = TELEX_FATAL;
    pthread_mutex_lock(&iso->lock);
    bool answered = !iso->dead && ask(iso, m, NULL, 0, iso->start_timeout_ms, &status);
    if (!answered)
        await_end(iso, 0, "killed: start took too long");
    pthread_mutex_unlock(&iso->lock);
    return answered ? status : refuse(iso->host, "%s%s", iso->why, "");
}

/* A record for a runner that is gone or full. Its lease is the caller's to complete. */
static telex_status put_off(struct isolate *iso, telex_lease lease, struct telex_rec *rec, const char *why) {
    iso->host->release(iso->host, rec);
    return iso->host->fail(iso->host, lease, TELEX_AGAIN, telex_text(why));
}

static struct step *new_step_locked(struct isolate *iso) {
    struct step *step = iso->free_steps;
    if (step)
        iso->free_steps = (struct step *)(void *)step->node.next;
    else if (!(step = malloc(sizeof(*step))))
        return NULL;
    step->spoiled = TELEX_OK;
    return step;
}

/* Where schema and id lie in the body; false when they do not. */
static bool find_head(const struct telex_view *view, struct delivered *head) {
    uintptr_t body = (uintptr_t)view->body.data;
    uint64_t schema_at = (uintptr_t)view->schema.data - body, id_at = (uintptr_t)view->id.data - body;
    if (schema_at > view->body.size || id_at > view->body.size || view->body.size > TELEX_BODY_MAX_BYTES)
        return false;
    *head = (struct delivered){view->version, (uint32_t)schema_at, (uint32_t)view->schema.size,
                               (uint32_t)id_at, (uint32_t)view->id.size};
    return true;
}

/* Lend a record and hand it over as a step. False: no room, nothing was done. */
static bool deliver_locked(struct isolate *iso, telex_lease lease, struct telex_rec *in,
                           const struct telex_view *view) {
    struct delivered head;
    struct message m = {.type = TO_DELIVER, .lease = lease, .slot_size = view->body.size};
    struct step *step = new_step_locked(iso);
    m.a = step ? isolate_lend(iso, in, view->body, &m.slot) : 0;
    if (m.a == 0) {
        free(step);
        return false;
    }
    uint64_t n = view->id.size < TELEX_ID_MAX_BYTES ? view->id.size : TELEX_ID_MAX_BYTES;
    memcpy(step->id, view->id.data, n);
    step->id[n] = 0;
    step->node.lease = lease;
    m.b = step->number = ++iso->deliveries;
    bool known = find_head(view, &head);
    m.inline_size = known ? sizeof(head) : 0;
    lease_add(&iso->steps, &step->node);
    (void)send_slot(iso, &m, known ? &head : NULL, view->body.size, false);
    if (!iso->holds || ++iso->n_unwoken % WAKE_EVERY == 0)
        link_wake(&iso->out);
    return true;
}

static telex_status isolate_process(void *self, telex_lease lease, struct telex_rec *in) {
    struct isolate *iso = self;
    struct telex_view view = {.size = sizeof(view)};
    if (iso->host->view(iso->host, in, &view) != TELEX_OK)
        return TELEX_AGAIN;
    iso->host->retain(iso->host, in);
    pthread_mutex_lock(&iso->lock);
    bool dead = iso->dead || iso->stopped;
    bool delivered = !dead && deliver_locked(iso, lease, in, &view);
    pthread_mutex_unlock(&iso->lock);
    if (delivered)
        return TELEX_PENDING;
    return put_off(iso, lease, in,
                   dead ? "the stage's runner is gone" : "the stage holds all the records it may");
}

void isolate_hold(void *self, bool holds) {
    struct isolate *iso = self;
    pthread_mutex_lock(&iso->lock);
    iso->holds = holds;
    if (!holds && !iso->dead)
        link_wake(&iso->out);
    pthread_mutex_unlock(&iso->lock);
}

static void tell(struct isolate *iso, struct message m) {
    pthread_mutex_lock(&iso->lock);
    (void)isolate_send(iso, m, NULL, 0);
    pthread_mutex_unlock(&iso->lock);
}

static void isolate_on_credit(void *self) {
    struct message m = {.type = TO_CREDIT};
    tell(self, m);
}

static void isolate_on_timer(void *self, uint64_t timer) {
    struct message m = {.type = TO_TIMER, .a = timer};
    tell(self, m);
}

static void isolate_cancel(void *self, telex_lease lease) {
    struct message m = {.type = TO_CANCEL, .lease = lease};
    tell(self, m);
}

static void isolate_drain(void *self, int64_t deadline_ms) {
    struct isolate *iso = self;
    struct message m = {.type = TO_DRAIN, .a = (uint64_t)deadline_ms};
    telex_status status;
    int64_t left_ms = deadline_ms - iso->host->now_ms(iso->host, TELEX_CLOCK_MONO);
    pthread_mutex_lock(&iso->lock);
    if (!iso->dead && left_ms > 0)
        (void)ask(iso, m, NULL, 0, left_ms, &status);
    pthread_mutex_unlock(&iso->lock);
}

static void isolate_stop(void *self) {
    struct isolate *iso = self;
    struct message m = {.type = TO_STOP};
    telex_status status;
    if (!iso)
        return;
    pthread_mutex_lock(&iso->lock);
    iso->stopping = true;
    if (!iso->settled && !ask(iso, m, NULL, 0, iso->stop_timeout_ms, &status))
        await_end(iso, 0, "killed: stop took too long");
    pthread_mutex_unlock(&iso->lock);
}

const struct telex_stage isolate_stage = {
    .size = sizeof(struct telex_stage),
    .max_outputs = UINT32_MAX,
    .name = "isolated",
    .version = "1",
    .doc = "a stage in a process of its own",
    .start = isolate_start,
    .process = isolate_process,
    .on_credit = isolate_on_credit,
    .on_timer = isolate_on_timer,
    .cancel = isolate_cancel,
    .drain = isolate_drain,
    .stop = isolate_stop,
    .destroy = isolate_destroy,
};

void isolate_kill(void *self, const char *why) {
    struct isolate *iso = self;
    pthread_mutex_lock(&iso->lock);
    isolate_kill_locked(iso, why);
    pthread_mutex_unlock(&iso->lock);
}

int64_t isolate_turn_ms(void *self, telex_lease lease) {
    struct isolate *iso = self;
    int64_t turn_ms = 0;
    pthread_mutex_lock(&iso->lock);
    const struct step *step = (const struct step *)(const void *)lease_find(&iso->steps, lease);
    /* What the runner says of `begun` only chooses between two moments that this side has seen. */
    if (step && step->number != 0 && step->number >= atomic_load(&iso->in.theirs->begun))
        turn_ms = iso->turn_ms;
    pthread_mutex_unlock(&iso->lock);
    return turn_ms;
}

pid_t isolate_pid(void *self) {
    struct isolate *iso = self;
    pthread_mutex_lock(&iso->lock);
    pid_t pid = iso->pid;
    pthread_mutex_unlock(&iso->lock);
    return pid;
}
