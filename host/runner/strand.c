/* SPDX-License-Identifier: Apache-2.0 */
/* strand.c - the plugin's strand: one piece of work after the other, from create to destroy.
 *
 * Work is done in the order in which it was added. Once stop was heard, what still waits is dropped: the host
 * knows which leases were never begun. */
#include "remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "confine.h"

static _Thread_local bool this_is_strand;

bool strand_is_this(void) {
    return this_is_strand;
}

static bool work_reserve(struct work_list *list, size_t more) {
    size_t n = list->capacity ? list->capacity : 64;
    while (n < list->n + more)
        n *= 2;
    if (n == list->capacity)
        return true;
    struct work *items = realloc(list->items, n * sizeof(*items));
    if (!items)
        return false;
    list->items = items;
    list->capacity = n;
    return true;
}

bool work_add(struct work_list *list, const struct work *work) {
    if (!work_reserve(list, 1))
        return false;
    list->items[list->n++] = *work;
    return true;
}

bool strand_add_all(struct remote *remote, struct work_list *list) {
    pthread_mutex_lock(&remote->work_lock);
    bool was_empty = remote->queue.n == 0, room = work_reserve(&remote->queue, list->n);
    for (size_t i = 0; room && i < list->n; i++) {
        const struct work *work = &list->items[i];
        if (work->kind == TO_STOP || work->kind == TO_DESTROY)
            atomic_store(&remote->stopping, true);
        remote->queue.items[remote->queue.n++] = *work;
    }
    if (was_empty && room)
        pthread_cond_signal(&remote->work_came);
    pthread_mutex_unlock(&remote->work_lock);
    if (room)
        list->n = 0;
    return room;
}

bool strand_add(struct remote *remote, const struct work *work) {
    struct work copy = *work;
    struct work_list one = {&copy, 1, 1};
    return strand_add_all(remote, &one);
}

/* Nothing waits and all that came has been begun, so no early cancel is of use any more. */
static void forget_early(struct remote *remote) {
    pthread_mutex_lock(&remote->lock);
    remote->n_early = 0;
    link_wake(&remote->out); /* the host hears of what was completed before this thread sleeps */
    pthread_mutex_unlock(&remote->lock);
}

/* Take all that waits, in exchange for an empty list. */
static void take_works(struct remote *remote, struct work_list *works) {
    works->n = 0;
    pthread_mutex_lock(&remote->work_lock);
    if (remote->queue.n == 0)
        forget_early(remote);
    while (remote->queue.n == 0)
        pthread_cond_wait(&remote->work_came, &remote->work_lock);
    struct work_list taken = remote->queue;
    remote->queue = *works;
    *works = taken;
    pthread_mutex_unlock(&remote->work_lock);
}

/* ---- cancelling ---- */

/* Calls the plugin's cancel, which may itself talk to the host, for the leases in the order they came. */
static void *canceller_main(void *arg) {
    struct remote *remote = arg;
    pthread_mutex_lock(&remote->cancel_lock);
    while (!remote->canceller_ends) {
        if (remote->n_cancels == 0) {
            pthread_cond_wait(&remote->cancel_came, &remote->cancel_lock);
            continue;
        }
        telex_lease lease = remote->cancels[0];
        memmove(remote->cancels, remote->cancels + 1, --remote->n_cancels * sizeof(lease));
        pthread_mutex_unlock(&remote->cancel_lock);
        jobs_cancel_lease(remote, lease);
        if (remote->stage->cancel)
            remote->stage->cancel(remote->self, lease);
        pthread_mutex_lock(&remote->cancel_lock);
    }
    pthread_mutex_unlock(&remote->cancel_lock);
    return NULL;
}

/* Queue a lease for the canceller. The lock is held. */
static void add_cancel(struct remote *remote, telex_lease lease) {
    if (remote->n_cancels == remote->n_cancels_max) {
        size_t n = remote->n_cancels_max ? 2 * remote->n_cancels_max : 16;
        telex_lease *cancels = realloc(remote->cancels, n * sizeof(*cancels));
        if (!cancels)
            return; /* the flag is set; only the hint is lost */
        remote->cancels = cancels;
        remote->n_cancels_max = n;
    }
    if (!remote->canceller_runs)
        remote->canceller_runs = pthread_create(&remote->canceller, NULL, canceller_main, remote) == 0;
    remote->cancels[remote->n_cancels++] = lease;
    pthread_cond_signal(&remote->cancel_came);
}

/* Remember a lease that the strand has not come to. The lock is held. */
static void add_early(struct remote *remote, telex_lease lease) {
    if (remote->n_early == remote->n_early_max) {
        size_t n = remote->n_early_max ? 2 * remote->n_early_max : 16;
        telex_lease *early = realloc(remote->early, n * sizeof(*early));
        if (!early)
            return; /* only a hint is lost */
        remote->early = early;
        remote->n_early_max = n;
    }
    remote->early[remote->n_early++] = lease;
}

void strand_cancel(struct remote *remote, telex_lease lease) {
    pthread_mutex_lock(&remote->lock);
    struct open_lease *open = (struct open_lease *)(void *)lease_find(&remote->leases, lease);
    if (open)
        open->cancelled = true;
    else
        add_early(remote, lease);
    pthread_mutex_unlock(&remote->lock);
    pthread_mutex_lock(&remote->cancel_lock);
    if (open && remote->self && !remote->canceller_ends)
        add_cancel(remote, lease);
    pthread_mutex_unlock(&remote->cancel_lock);
}

static void end_canceller(struct remote *remote) {
    pthread_mutex_lock(&remote->cancel_lock);
    bool runs = remote->canceller_runs;
    remote->canceller_ends = true;
    remote->canceller_runs = false;
    pthread_cond_signal(&remote->cancel_came);
    pthread_mutex_unlock(&remote->cancel_lock);
    if (runs)
        pthread_join(remote->canceller, NULL);
}

/* ---- the life of an instance ---- */

static telex_status refuse(struct remote *remote, const char *why) {
    struct telex_bytes text = telex_text(why);
    return remote->host.fail(&remote->host, 0, TELEX_FATAL, text);
}

static void learn_ports(struct remote *remote) {
    for (const struct telex_port *const *p = remote->stage->ports; p && *p; p++)
        if ((*p)->direction == TELEX_OUT && remote->n_outputs < 64)
            remote->outputs[remote->n_outputs++] = *p;
}

static telex_status do_create(struct remote *remote, const struct work *work) {
    char why[512];
    doing(remote, DOING_LOAD);
    int err = setup_read(&remote->setup, work->body);
    free((void *)(uintptr_t)work->body.data);
    if (err < 0 || strcmp(remote->setup.plugin.class_id, TELEX_CLASS_STAGE) != 0)
        return refuse(remote, "the runner does not understand its set-up");
    if (confine_limits(&remote->setup.limits, why, sizeof(why)) < 0)
        return refuse(remote, why);
    remote->stage = plugin_load(&remote->setup.plugin, why, sizeof(why));
    if (!remote->stage)
        return refuse(remote, why);
    learn_ports(remote);
    doing(remote, DOING_MODELS);
    if (jobs_start(remote, why, sizeof(why)) < 0)
        return refuse(remote, why);
    doing(remote, DOING_CREATE);
    void *self = NULL;
    telex_status status = remote->stage->create(&remote->host, remote->setup.options, &self);
    pthread_mutex_lock(&remote->cancel_lock);
    remote->self = self;
    pthread_mutex_unlock(&remote->cancel_lock);
    return status;
}

enum { FEW_WORKS = 16 };

/* What did the call that the strand has left change of the process? Asked when a clock tick has passed, when
 * nothing more waits or little did, or when it was caught before: so a line may name one of several records.
 */
static void look_around(struct remote *remote) {
    struct timespec tick;
    char what[512], line[640];
    bool shared;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &tick);
    int64_t now_ms = (int64_t)tick.tv_sec * 1000 + tick.tv_nsec / 1000000;
    remote->n_unlooked++;
    if (remote->goes_on && now_ms == remote->looked_ms && !remote->looks_each)
        return;
    uint32_t n = remote->n_unlooked;
    remote->n_unlooked = 0;
    remote->looked_ms = now_ms;
    if (!surroundings_mend(&remote->surroundings, what, sizeof(what), &shared))
        return;
    remote->looks_each = remote->caught = true;
    if (n > 1)
        snprintf(line, sizeof(line), "%s; put right (in this call or one of the %u before it)", what, n - 1);
    else
        snprintf(line, sizeof(line), "%s; put right", what);
    remote_broken(remote, "life.surroundings", line);
}

/* True when a planned fault stands for the plugin's answer. */
static bool strike_record(struct remote *remote, telex_lease lease, const struct telex_rec *rec,
                          telex_status *status) {
    struct telex_view view = {.size = sizeof(view)};
    const struct telex_host *host = &remote->host;
    if (!remote->faults || host->view(host, rec, &view) != TELEX_OK)
        return false;
    const struct fault *fault = fault_of_record(remote->faults, view.id, view.version);
    if (!fault)
        return false;
    fault_strike(fault);
    *status = host->fail(host, lease, fault->kind == FAULT_REJECT ? TELEX_REJECT : TELEX_RETRY,
                         telex_text("a fault that `telex test` planned"));
    return true;
}

static telex_status do_start(struct remote *remote) {
    if (remote->faults && !remote->stage->process && fault_of_start(remote->faults))
        return refuse(remote, "a fault that `telex test` planned");
    return remote->stage->start ? remote->stage->start(remote->self) : TELEX_OK;
}

static void do_deliver(struct remote *remote, const struct work *work) {
    struct region_page *page = (struct region_page *)(void *)remote->ours.base;
    doing(remote, DOING_PROCESS);
    atomic_store_explicit(&page->begun, work->b, memory_order_release);
    telex_status status = TELEX_FATAL;
    struct telex_rec *rec = rec_create(work->a, work->body, &work->head);
    int go = rec ? remote_lease_begin(remote, work->lease) : -ENOMEM;
    if (go < 0) {
        fprintf(stderr, "telex-runner: out of memory\n");
        _exit(EXIT_MEMORY);
    }
    if (go == 0)
        status = TELEX_AGAIN; /* cancelled before its turn came: it did nothing that could count against it */
    else if (!strike_record(remote, work->lease, rec, &status) && remote->stage->process) {
        atomic_store_explicit(&remote->lease, work->lease, memory_order_relaxed);
        status = remote->stage->process(remote->self, work->lease, rec);
        look_around(remote);
        atomic_store_explicit(&remote->lease, 0, memory_order_relaxed);
    }
    uint64_t release = rec_drop(rec);
    if (status != TELEX_PENDING) {
        (void)remote_complete(remote, work->lease, status, release);
    } else if (release != 0) {
        struct message m = {.type = FROM_RELEASE, .a = release};
        remote_say(remote, m, NULL, 0, false);
    }
}

static void do_stop(struct remote *remote) {
    if (remote->self && remote->stage->stop)
        remote->stage->stop(remote->self);
    watch_stop(remote);
    end_canceller(remote);
}

static void do_destroy(struct remote *remote) {
    end_canceller(remote);
    watch_stop(remote);
    if (remote->self && remote->stage->destroy)
        remote->stage->destroy(remote->self);
    remote->self = NULL;
    jobs_stop(remote);
}

static telex_status perform(struct remote *remote, const struct work *work) {
    switch (work->kind) {
    case TO_CREATE:
        return do_create(remote, work);
    case TO_START:
        doing(remote, DOING_START);
        return do_start(remote);
    case TO_DELIVER:
        do_deliver(remote, work);
        break;
    case TO_CREDIT:
        doing(remote, DOING_CREDIT);
        if (remote->stage->on_credit)
            remote->stage->on_credit(remote->self);
        break;
    case TO_TIMER:
        doing(remote, DOING_TIMER);
        if (remote->stage->on_timer)
            remote->stage->on_timer(remote->self, work->a);
        break;
    case TO_DRAIN:
        doing(remote, DOING_DRAIN);
        if (remote->stage->drain)
            remote->stage->drain(remote->self, (int64_t)work->a);
        break;
    case TO_STOP:
        doing(remote, DOING_STOP);
        do_stop(remote);
        break;
    case TO_DESTROY:
        doing(remote, DOING_DESTROY);
        do_destroy(remote);
        break;
    case WORK_POSTED:
        doing(remote, DOING_POSTED);
        work->fn(work->arg);
        break;
    case WORK_IO:
        doing(remote, DOING_IO);
        watch_run(remote, work);
        break;
    default:
        break;
    }
    return TELEX_OK;
}

/* One piece of work. False after the last, destroy. */
static bool do_work(struct remote *remote, const struct work *work) {
    bool ends = work->kind == TO_STOP || work->kind == TO_DESTROY;
    if (!ends && work->call == 0 && atomic_load_explicit(&remote->stopping, memory_order_relaxed))
        return true;
    telex_status status = perform(remote, work);
    if (work->kind != TO_DELIVER)
        look_around(remote);
    doing(remote, DOING_NOTHING);
    if (work->call != 0) {
        struct message m = {.type = FROM_ANSWER, .call = work->call, .status = status};
        remote_say(remote, m, NULL, 0, true);
    }
    return work->kind != TO_DESTROY;
}

int strand_main(struct remote *remote) {
    struct work_list works = {NULL, 0, 0};
    this_is_strand = true;
    surroundings_note_thread(&remote->surroundings);
    for (bool lives = true; lives;) {
        take_works(remote, &works);
        remote->looks_each = remote->caught || works.n <= FEW_WORKS;
        for (size_t i = 0; lives && i < works.n; i++) {
            remote->goes_on = i + 1 < works.n;
            lives = do_work(remote, &works.items[i]);
        }
    }
    free(works.items);
    return 0;
}
