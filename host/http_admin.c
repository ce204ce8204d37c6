/* SPDX-License-Identifier: Apache-2.0 */
/* http_admin.c - /healthz, /metrics and an index for the operator.
 *
 * Nothing here changes anything: control goes through the control socket. A browser on the same
 * machine must not be led here by a foreign name that resolves to loopback, so the Host header has to
 * be a number or localhost. */
#include "http_internal.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char text_type[] = "text/plain; charset=utf-8";

static bool host_is_plain(struct MHD_Connection *connection) {
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    struct in6_addr address;
    char name[64];
    if (!host)
        return true; /* HTTP/1.0: not a browser */
    size_t n = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
    if (n >= sizeof(name))
        return false;
    memcpy(name, host, n);
    name[n] = '\0';
    if (name[0] == '[')
        return inet_pton(AF_INET6, name + 1, &address) == 1;
    return strcmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &address) == 1;
}

static void write_counter(FILE *out, const char *name, const char *help, uint64_t value) {
    fprintf(out, "# TYPE %s counter\n# HELP %s %s\n%s_total %" PRIu64 "\n", name, name, help, name, value);
}

static void write_own_metrics(struct http *http, FILE *out) {
    write_counter(out, "telex_http_requests", "Requests answered on both listeners.",
                  atomic_load(&http->requests));
    write_counter(out, "telex_http_not_modified", "Answers that said the reader's copy is current.",
                  atomic_load(&http->not_modified));
    write_counter(out, "telex_http_client_errors", "Answers with a 4xx status.",
                  atomic_load(&http->client_errors));
    write_counter(out, "telex_live_events", "Events put on a stream.", atomic_load(&http->events));
    write_counter(out, "telex_live_resets", "Readers told to reload because they were too far behind.",
                  atomic_load(&http->resets));
    write_counter(out, "telex_live_shed", "Readers sent away because the streams were full.",
                  atomic_load(&http->shed));
    fprintf(out,
            "# TYPE telex_live_streams gauge\n# HELP telex_live_streams Readers of event streams.\n"
            "telex_live_streams %" PRIu32 "\n# EOF\n",
            http->stream_count);
}

static void write_index(struct http *http, FILE *out) {
    fputs("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>telex</title>"
          "<meta name=\"viewport\" content=\"width=device-width\"><h1>telex</h1>"
          "<ul><li><a href=\"/healthz\">health</a></li><li><a href=\"/metrics\">metrics</a></li></ul>",
          out);
    uint32_t count = atomic_load(&http->site_count);
    fprintf(out, "<h2>Sites</h2><ul>");
    for (uint32_t i = 0; i < count; i++) /* mounts are [a-z0-9-_/] */
        fprintf(out, "<li>%s on the public port %u</li>", http->sites[i]->mount, http_public_port(http));
    fprintf(out, "</ul><p>%" PRIu32 " readers of event streams.</p>", http->stream_count);
    if (http->config.index)
        http->config.index(http->config.admin_ctx, out);
    fputs("</html>\n", out);
}

enum MHD_Result http_admin_answer(struct http *http, struct MHD_Connection *connection, const char *path) {
    if (!host_is_plain(connection))
        return http_answer_text(http, connection, MHD_HTTP_FORBIDDEN, text_type,
                                "The operator's pages answer to an address or to localhost only.\n");
    char *body = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&body, &bytes);
    if (!out)
        return MHD_NO;
    int status = MHD_HTTP_OK;
    const char *type = text_type;
    if (strcmp(path, "/healthz") == 0) {
        type = "application/json; charset=utf-8";
        if (http->config.health)
            status = http->config.health(http->config.admin_ctx, out);
        else
            fputs("{\"status\":\"ok\"}\n", out);
    } else if (strcmp(path, "/metrics") == 0) {
        type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        if (http->config.metrics)
            http->config.metrics(http->config.admin_ctx, out);
        write_own_metrics(http, out);
    } else if (strcmp(path, "/") == 0) {
        type = "text/html; charset=utf-8";
        write_index(http, out);
    } else {
        status = MHD_HTTP_NOT_FOUND;
        fputs("Here are /healthz and /metrics.\n", out);
    }
    enum MHD_Result result = MHD_NO;
    if (fclose(out) == 0)
        result = http_answer_text(http, connection, (unsigned)status, type, body);
    free(body);
    return result;
}
