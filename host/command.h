/* SPDX-License-Identifier: Apache-2.0 */
/* command.h - what a running pipeline does when a command reaches it through its control socket.
 *
 *     {"command": "status"}                                    -> the pipeline as /healthz shows it
 *     {"command": "stop"}                                      -> begins to drain, as on SIGTERM
 *     {"command": "quarantine", "act": "retry", "edge": 2, "seq": 41}   act: retry | drop
 *     {"command": "reload", "wait": true, "drain_ms": 500}   -> what reload.h says; drain_ms may be left out
 */
#ifndef HOST_COMMAND_H
#define HOST_COMMAND_H

#include "control.h"
#include "engine.h"

/* Listen beside the engine's journal; *out stays NULL with `durability: memory`. 0 or -errno with the reason
 * and remedy in why. End it with control_stop. [loop] */
int command_start(struct control **out, struct engine *engine, char *why, size_t why_size);

#endif
