/* SPDX-License-Identifier: Apache-2.0 */
/* reload.h - a running pipeline reads its config file again.
 *
 * Everything that may take long (reading, describing plugins, creating stages, waiting for steps to end)
 * happens on a thread of its own; the loop only takes requests and gives answers. Requests are done one after
 * another; signals that come meanwhile make one more. An answer is an object:
 *
 *     outcome     switched | unchanged | accepted | invalid | failed
 *     generation  the one that runs now
 *     file        the config that was read
 *     restarted   names of the stages that were restarted; untouched: how many were not
 *     ms, pause_ms   all of it; for how long the restarted stages took no input
 *     errors      invalid: [{file, line, column, path, error}]; untrusted: a plugin is not trusted
 *     error       failed: which stage and why; the old config runs on */
#ifndef HOST_RELOAD_H
#define HOST_RELOAD_H

#include "control.h"
#include "engine.h"

struct reload;
struct registry;

struct reload_spec {
    const char *path;             /* of the config; borrowed until reload_stop, like all of this */
    const char *const *overrides; /* NULL-ended, or NULL */
    struct registry *(*make_registry)(void);
};

/* Take requests for an engine; becomes engine->reload. 0 or -errno. [loop] */
int reload_start(struct reload **out, struct engine *engine, const struct reload_spec *spec);

/* Read the config again. The request is answered when all is done, or without `waits` when the new config is
 * found to be good; NULL: nobody asks. drain_ms: how long open steps may end, -1 for the config's `drain`.
 * [loop] */
void reload_ask(struct reload *reload, struct control_request *request, bool waits, int64_t drain_ms);

/* Wait for what is under way, answer what is not done, free. Once the engine is stopping, but before it is
 * destroyed. NULL is fine. [loop] */
void reload_stop(struct reload *reload);

/* Free the configs; after the engine was destroyed, whose stages point at them. NULL is fine. */
void reload_destroy(struct reload *reload);

#endif
