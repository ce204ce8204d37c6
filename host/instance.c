/* SPDX-License-Identifier: Apache-2.0 */
/* instance.c - lives of plugin objects. `calls` is the plugin's own table, or the runner's proxy for it. */
#include "instance.h"

#include <stdlib.h>

#include <telex-sdk/message.h>

#include "log.h"

struct instance *instance_create_locked(struct stage *stage) {
    struct instance *instance = calloc(1, sizeof(*instance));
    if (!instance)
        return NULL;
    instance->stage = stage;
    instance->calls = stage->class;
    instance->state = INSTANCE_STARTING;
    instance->starved = true;
    instance->last_task = &instance->first_task;
    instance->refs = 1;
    service_fill(instance);
    stage->instance = instance;
    stage->restart = false;
    return instance;
}

void instance_unref_locked(struct instance *instance) {
    if (--instance->refs > 0)
        return;
    while (instance->first_task) {
        struct task *task = instance->first_task;
        instance->first_task = task->next;
        free(task);
    }
    while (instance->loans) {
        struct loan *loan = instance->loans;
        instance->loans = loan->next;
        free(loan->data);
        free(loan);
    }
    free(instance->why);
    free(instance);
}

telex_status instance_begin(struct instance *instance) {
    struct stage *stage = instance->stage;
    telex_status status = instance->calls->create(&instance->host, stage->config->options, &instance->self);
    if (status != TELEX_OK) {
        log_say(TELEX_ERROR, stage->config->name, "plugin %s could not be created (status %d): %s",
                stage->class->name, status, instance->why ? instance->why : "it gave no reason");
        return status;
    }
    instance->created = true;
    if (instance->calls->start)
        status = instance->calls->start(instance->self);
    if (status != TELEX_OK)
        log_say(TELEX_ERROR, stage->config->name, "plugin %s could not start (status %d): %s",
                stage->class->name, status, instance->why ? instance->why : "it gave no reason");
    else
        log_say(TELEX_DEBUG, stage->config->name, "started");
    return status;
}

void instance_end(struct instance *instance) {
    if (!instance->created)
        return;
    if (instance->calls->stop)
        instance->calls->stop(instance->self);
    instance->calls->destroy(instance->self);
    instance->created = false;
}

void instance_kill(struct instance *instance) {
    (void)instance;
}
