/* SPDX-License-Identifier: Apache-2.0 */
/* stage-escape - tries what a plugin should not do and says how each try went: the record goes on with one key a try,
 * 0 where it worked, else the errno. Built several times with other needs (ESCAPE_NAME, ESCAPE_NEEDS). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <pthread.h>
#include <unistd.h>

#include <telex-sdk/plugin.h>

struct escape {
    const struct telex_host *host; /* borrowed */
    char *path, *secret;           /* in `memory` */
    int64_t port;
    void *memory; /* owned */
};

static const struct telex_option *const options[] = {
    TELEX_OPTION(.name = "path", .type = TELEX_PATH, .offset = offsetof(struct escape, path),
                 .flags = TELEX_OPTION_REQUIRED, .doc = "a file of its own"),
    TELEX_OPTION(.name = "secret", .type = TELEX_TEXT, .offset = offsetof(struct escape, secret),
                 .flags = TELEX_OPTION_REQUIRED, .doc = "somebody else's file"),
    TELEX_OPTION(.name = "port", .type = TELEX_INT, .offset = offsetof(struct escape, port), .initial = "0", .min = 0,
                 .max = 65535, .doc = "where someone listens on 127.0.0.1"),
    NULL,
};

static telex_status escape_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct escape *escape = calloc(1, sizeof(*escape));
    if (!escape || telex_options_read(options, given, escape, &escape->memory) < 0) {
        free(escape);
        return TELEX_FATAL;
    }
    escape->host = host;
    *self = escape;
    return TELEX_OK;
}

static int try_open(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int err = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return err;
}

static int try_connect(int64_t port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int err = fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return err;
}

static int try_fork(void) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    int err = pid < 0 ? errno : 0;
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return err;
}

static void *nothing(void *arg) {
    return arg;
}

static int try_thread(void) {
    pthread_t thread;
    int err = pthread_create(&thread, NULL, nothing, NULL);
    if (err == 0)
        pthread_join(thread, NULL);
    return err;
}

static int worked(long result) {
    return result < 0 ? errno : 0;
}

static void put(struct telex_builder *b, const char *key, int err) {
    telex_build_key(b, key);
    telex_build_int(b, err);
}

static telex_status escape_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct escape *escape = self;
    struct telex_view view = {.size = sizeof(view)};
    char beside[4096];
    struct telex_builder b;
    escape->host->view(escape->host, in, &view);
    snprintf(beside, sizeof(beside), "%s.beside", escape->path);
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "schema"), telex_build_text(&b, "telex.record/1");
    telex_build_key(&b, "id"), telex_build_bytes(&b, view.id);
    put(&b, "thread", try_thread());
    put(&b, "read_own", try_open(escape->path, O_RDONLY));
    put(&b, "read_secret", try_open(escape->secret, O_RDONLY));
    put(&b, "write_own", try_open(escape->path, O_WRONLY));
    put(&b, "write_beside", try_open(beside, O_WRONLY | O_CREAT));
    put(&b, "write_secret", try_open(escape->secret, O_WRONLY));
    put(&b, "connect", try_connect(escape->port));
    put(&b, "unix_socket", worked(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    put(&b, "fork", try_fork());
    put(&b, "exec", worked(execl("/bin/true/not-there", "true", (char *)NULL)));
    put(&b, "signal_host", worked(kill(getppid(), 0)));
    put(&b, "trace_host", worked(ptrace(PTRACE_SEIZE, getppid(), NULL, NULL)));
    put(&b, "mount", worked(mount("none", "/mnt", "tmpfs", 0, NULL)));
    put(&b, "namespace", worked(unshare(CLONE_NEWUSER)));
    telex_build_map_end(&b);
    telex_status status = telex_build_commit(&b, escape->host, lease, 0);
    telex_build_finish(&b);
    return status;
}

static void escape_destroy(void *self) {
    struct escape *escape = self;
    free(escape->memory);
    free(escape);
}

static const struct telex_port *const ports[] = {
    TELEX_PORT(TELEX_IN, "in", "telex.record/1"),
    TELEX_PORT(TELEX_OUT, "out", "telex.record/1"),
    NULL,
};

static const char *const needs[] = {ESCAPE_NEEDS NULL};

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_FILTER,
    .max_outputs = 1,
    .name = ESCAPE_NAME,
    .version = "0.1.0",
    .doc = "tries to get out",
    .ports = ports,
    .options = options,
    .needs = needs,
    .create = escape_create,
    .process = escape_process,
    .destroy = escape_destroy,
};

TELEX_STAGE_PLUGIN(stage, ESCAPE_NAME, "0.1.0", "Apache-2.0", "tries to get out")
