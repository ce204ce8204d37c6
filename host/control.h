/* SPDX-License-Identifier: Apache-2.0 */
/* control.h - the socket through which commands reach a running pipeline.
 *
 * A Unix socket beside the journal, mode 0600, for the host's own user and root. A client sends one JSON
 * object a line,
 * {"command": NAME, ...}, and gets one line for each, in order: {"ok": true, ...} or {"ok": false, "error":
 * TEXT}. Whatever a client sends, it costs a bounded amount of memory and time. */
#ifndef HOST_CONTROL_H
#define HOST_CONTROL_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct control;
struct control_request;

/* What a command does with a request (borrowed until it returns). It answers with control_answer or
 * control_refuse, exactly once, at once or later. [loop] */
typedef void (*control_run)(void *arg, struct control_request *request, const json_t *body);

struct control_command {
    const char *name; /* NULL ends a list */
    control_run run;
};

/* Room for a path; "<journal>.sock". */
enum { CONTROL_PATH_MAX = 4096 };
void control_path(const char *journal_path, char out[CONTROL_PATH_MAX]);

/* Listen at path. A socket that a dead host left there is replaced; -EADDRINUSE when a living one answers.
 * `commands` and arg outlive control_stop. 0, or a negative errno with the reason and remedy in why. [loop]
 */
int control_start(struct control **out, uv_loop_t *loop, const char *path,
                  const struct control_command *commands, void *arg, char *why, size_t why_size);

/* Close every connection, remove the socket, free; runs the loop until that is done. A request that was not
 * answered yet is still to be, to no effect. NULL is fine. [loop] */
void control_stop(struct control *control);

/* Answer with an object, to which "ok": true is added. Takes answer; NULL: only ok. [loop] */
void control_answer(struct control_request *request, json_t *answer);
/* Answer with an error. [loop] */
__attribute__((format(printf, 2, 3))) void control_refuse(struct control_request *request, const char *format,
                                                          ...);

/* ---- the other end, for commands ---- */

/* Send one request and wait for its answer. 0 and *reply (a reference) when the command was done; -EREMOTEIO
 * when the host refused (why holds its words); -ENOENT or -ECONNREFUSED when no host listens at path; another
 * negative errno with the reason in why. */
int control_call(const char *path, const json_t *request, int64_t timeout_ms, json_t **reply, char *why,
                 size_t why_size);

#endif
