/* SPDX-License-Identifier: Apache-2.0 */
/* telex/ext/http.h - "telex.http/1": show a folder to readers.
 *
 * The host serves the folder on its public listener. Live readers are told of every telex.event/1 that the stage
 * commits; the host replays those events from its journal, so a stage keeps no list of its own. */
#ifndef TELEX_EXT_HTTP_H
#define TELEX_EXT_HTTP_H

#include "../host.h"

#define TELEX_HTTP "telex.http/1"

struct telex_http {
    uint32_t size;
    /* Serve the files below `root` (absolute path, copied) at the public listener's root, replacing the stage's
     * earlier folder. OK, or UNSUPPORTED where the pipeline has no listener. [any] */
    telex_status (*site)(const struct telex_host *host, const char *root);
    /* The public base address without a trailing slash, such as "http://127.0.0.1:8080"; "" without a listener.
     * Lives as long as the host handle. [any] */
    const char *(*base)(const struct telex_host *host);
};

#endif
