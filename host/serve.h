/* SPDX-License-Identifier: Apache-2.0 */
/* serve.h - shows a running engine to readers and operators: the listeners of http.h, fed by the engine. */
#ifndef HOST_SERVE_H
#define HOST_SERVE_H

#include "engine.h"

struct serve;

/* Open the listeners that the config names and hook them to the engine; *out is NULL when it names none. Call
 * between engine_create and engine_start. 0 or -errno with the reason and remedy in why. [loop] */
int serve_start(struct serve **out, struct engine *engine, char *why, size_t why_size);

/* "http://127.0.0.1:8080", or NULL without a public listener. */
const char *serve_base(const struct serve *serve);
const char *serve_admin(const struct serve *serve);

/* Close the listeners; runs the loop until they are. Accepts NULL. [loop] */
void serve_stop(struct serve *serve);

/* The state of the pipeline as JSON, for /healthz and the control socket. Gives a reference. [any] */
json_t *serve_status(struct engine *engine);

#endif
