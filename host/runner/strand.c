/* SPDX-License-Identifier: Apache-2.0 */
/* strand.c - the plugin's strand: one piece of work after the other, from create to destroy.
 *
 * Work is done in the order in which it was added. Once stop was heard, what still waits is dropped: the host
 * knows which leases were never begun. */
#include "remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confine.h"

static void free_work(struct work *work) {
    if (work)
        free(work->data);
    free(work);
}

void strand_add(struct remote *remote, struct work *work) {
    work->next = NULL;
    pthread_mutex_lock(&remote->work_lock);
    if (work->kind == TO_STOP || work->kind == TO_DESTROY)
        remote->stopping = true;
    bool was_empty = remote->first == NULL;
    *remote->last = work;
    remote->last = &work->next;
    if (was_empty)
        pthread_cond_signal(&remote->work_came);
    pthread_mutex_unlock(&remote->work_lock);
}

static struct work *next_work(struct remote *remote, bool *dropped) {
    pthread_mutex_lock(&remote->work_lock);
    while (!remote->first)
        pthread_cond_wait(&remote->work_came, &remote->work_lock);
    struct work *work = remote->first;
    remote->first = work->next;
    if (!remote->first)
        remote->last = &remote->first;
    *dropped = remote->stopping && work->kind != TO_STOP && work->kind != TO_DESTROY && work->call == 0;
    pthread_mutex_unlock(&remote->work_lock);
    return work;
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

void strand_cancel(struct remote *remote, telex_lease lease) {
    pthread_mutex_lock(&remote->lock);
    struct open_lease *open = (struct open_lease *)(void *)lease_find(&remote->leases, lease);
    if (open)
        open->cancelled = true;
    bool tell = open && open->begun;
    pthread_mutex_unlock(&remote->lock);
    pthread_mutex_lock(&remote->cancel_lock);
    if (tell && remote->self && !remote->canceller_ends)
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

static const void *load_plugin(const struct plugin_desc *plugin, char *why, size_t why_size) {
    return plugin_load_file(plugin->path, plugin->sha256, plugin->name, plugin->class_id, why, why_size);
}

static telex_status do_create(struct remote *remote, const struct work *work) {
    char why[512];
    struct telex_bytes body = {work->data, work->size};
    doing(remote, DOING_LOAD);
    if (setup_read(&remote->setup, body) < 0 || strcmp(remote->setup.plugin.class_id, TELEX_CLASS_STAGE) != 0)
        return refuse(remote, "the runner does not understand its set-up");
    if (confine_limits(&remote->setup.limits, why, sizeof(why)) < 0)
        return refuse(remote, why);
    remote->stage = load_plugin(&remote->setup.plugin, why, sizeof(why));
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

static void do_deliver(struct remote *remote, const struct work *work) {
    struct region_page *page = (struct region_page *)(void *)remote->ours.base;
    doing(remote, DOING_PROCESS);
    atomic_store(&page->begun, work->b);
    telex_status status = TELEX_FATAL;
    if (!remote_lease_begin(remote, work->lease))
        status = TELEX_CANCELLED;
    else if (remote->stage->process)
        status = remote->stage->process(remote->self, work->lease, work->rec);
    uint64_t release = rec_drop(work->rec);
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
        return remote->stage->start ? remote->stage->start(remote->self) : TELEX_OK;
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

int strand_main(struct remote *remote) {
    for (;;) {
        bool dropped;
        struct work *work = next_work(remote, &dropped);
        uint32_t kind = work->kind;
        if (dropped) {
            (void)rec_drop(work->rec);
            free_work(work);
            continue;
        }
        telex_status status = perform(remote, work);
        doing(remote, DOING_NOTHING);
        if (work->call != 0) {
            struct message m = {.type = FROM_ANSWER, .call = work->call, .status = status};
            remote_say(remote, m, NULL, 0, true);
        }
        free_work(work);
        if (kind == TO_DESTROY)
            return 0;
    }
}
