/* SPDX-License-Identifier: Apache-2.0 */
/* isolate_process.c - the runner as a process: how it starts, what it prints, how it ended.
 *
 * It is started afresh (no fork of this image: a CUDA driver does not survive one) in a process group of its
 * own, with empty signal settings and only the descriptors of protocol.h. What it leaves behind in its group
 * dies with it. */
#include "isolate_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <telex-sdk/json.h>
#include <telex-sdk/message.h>

enum { FD_ABOVE = 32, LINES_PER_SECOND = 500 };

static_assert((int)FD_ABOVE > (int)FD_IMAGES + (int)ISOLATE_IMAGES_MAX,
              "no number is taken before it was given");

extern char **environ;

void isolate_runner_path(char *out, size_t size) {
    static const char *const places[] = {"", "runner/", "../" TELEX_RUNNER_DIR_FROM_BIN "/",
                                         "../../host/runner/"};
    const char *given = getenv("TELEX_RUNNER");
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[n > 0 ? n : 0] = 0;
    char *slash = strrchr(exe, '/');
    if (given && *given) {
        snprintf(out, size, "%s", given);
        return;
    }
    for (size_t i = 0; slash && i < sizeof(places) / sizeof(*places); i++) {
        int length = snprintf(out, size, "%.*s/%stelex-runner", (int)(slash - exe), exe, places[i]);
        if (length > 0 && (size_t)length < size && access(out, X_OK) == 0)
            return;
    }
    snprintf(out, size, "%s/telex-runner", TELEX_RUNNER_DIR);
}

/* ---- what exists before the process ---- */

/* Sealed shared memory. `ours` cannot be mapped writable again once this side has mapped it. Gives a
 * descriptor. */
static int make_region(struct region *region, const char *name, uint64_t arena_bytes, bool ours) {
    uint64_t bytes = region_bytes(arena_bytes);
    int seals = F_SEAL_SHRINK | F_SEAL_GROW, fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int err = ftruncate(fd, (off_t)bytes) < 0 ? -errno : region_map(region, fd, bytes, ours);
    if (err == 0 && fcntl(fd, F_ADD_SEALS, seals | (ours ? F_SEAL_FUTURE_WRITE : 0) | F_SEAL_SEAL) < 0)
        err = -errno;
    if (err == 0)
        return fd;
    close(fd);
    return err;
}

int isolate_open(struct isolate *iso) {
    iso->wake_runner = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    iso->wake_host = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return iso->wake_runner < 0 || iso->wake_host < 0 ? -errno : 0;
}

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void isolate_close(struct isolate *iso) {
    close_fd(&iso->wake_runner);
    close_fd(&iso->wake_host);
    close_fd(&iso->channel);
    close_fd(&iso->pidfd);
    close_fd(&iso->output[0].fd);
    close_fd(&iso->output[1].fd);
    region_unmap(&iso->ours);
    region_unmap(&iso->theirs);
}

/* ---- starting ---- */

/* The runner's ends, numbered as the runner will see them; -1: not made. */
struct ends {
    int fd[FD_AFTER];
};

/* Move a descriptor out of the way of the numbers that the runner gets. */
static int lift(int fd) {
    int high = fcntl(fd, F_DUPFD_CLOEXEC, FD_ABOVE);
    int err = -errno;
    close(fd);
    return high < 0 ? err : high;
}

/* Keep ours, lift theirs; ours does not block. */
static int keep_pair(const int pair[2], int ours_at, int *ours, int *theirs) {
    *ours = pair[ours_at];
    *theirs = lift(pair[1 - ours_at]);
    if (*theirs < 0)
        return *theirs;
    return fcntl(*ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int make_ends(struct isolate *iso, struct ends *ends) {
    int pair[2], err;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    if ((err = keep_pair(pair, 0, &iso->channel, &ends->fd[FD_CHANNEL])) < 0)
        return err;
    for (int i = 0; i < 2; i++) {
        if (pipe2(pair, O_CLOEXEC) < 0)
            return -errno;
        if ((err = keep_pair(pair, 0, &iso->output[i].fd, &ends->fd[STDOUT_FILENO + i])) < 0)
            return err;
    }
    ends->fd[STDIN_FILENO] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int ours = make_region(&iso->ours, "telex-host", HOST_ARENA_BYTES, true);
    ends->fd[FD_HOST_REGION] = ours < 0 ? -1 : lift(ours);
    int theirs = make_region(&iso->theirs, "telex-runner", RUNNER_ARENA_BYTES, false);
    ends->fd[FD_RUNNER_REGION] = theirs < 0 ? -1 : lift(theirs);
    ends->fd[FD_WAKE_RUNNER] = fcntl(iso->wake_runner, F_DUPFD_CLOEXEC, FD_ABOVE);
    ends->fd[FD_WAKE_HOST] = fcntl(iso->wake_host, F_DUPFD_CLOEXEC, FD_ABOVE);
    if (ours < 0 || theirs < 0)
        return ours < 0 ? ours : theirs;
    for (int i = 0; i < FD_AFTER; i++)
        if (ends->fd[i] < 0)
            return -EMFILE;
    if (ends->fd[STDIN_FILENO] < FD_ABOVE)
        ends->fd[STDIN_FILENO] = lift(ends->fd[STDIN_FILENO]);
    return ends->fd[STDIN_FILENO] < 0 ? -EMFILE : 0;
}

static int spawn_with(struct isolate *iso, const struct ends *ends, pid_t *pid) {
    char parent[24], n_images[12];
    char name[] = "telex-runner";
    snprintf(parent, sizeof(parent), "%ld", (long)getpid());
    snprintf(n_images, sizeof(n_images), "%d", iso->images.n);
    char *argv[4 + ISOLATE_WORDS_MAX + 1] = {name, iso->name, parent, n_images};
    memcpy(argv + 4, iso->bounds.items, (iso->bounds.n + 1) * sizeof(*argv));
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    int err = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                  POSIX_SPAWN_SETSIGDEF);
    err = err ? err : posix_spawnattr_setpgroup(&attr, 0);
    err = err ? err : posix_spawnattr_setsigmask(&attr, &none);
    err = err ? err : posix_spawnattr_setsigdefault(&attr, &all);
    for (int i = 0; i < FD_AFTER && !err; i++)
        err = posix_spawn_file_actions_adddup2(&actions, ends->fd[i], i);
    for (int i = 0; i < iso->images.n && !err; i++)
        err = posix_spawn_file_actions_adddup2(&actions, iso->images.fd[i], FD_IMAGES + i);
    err = err ? err : posix_spawn_file_actions_addclosefrom_np(&actions, FD_IMAGES + iso->images.n);
    err = err ? err : posix_spawn(pid, iso->runner, &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return -err;
}

static int make_links(struct isolate *iso) {
    struct region_page *page = (struct region_page *)(void *)iso->ours.base;
    page->version = PROTOCOL_VERSION;
    link_in_init(&iso->in, &iso->ours, &iso->theirs);
    return link_out_init(&iso->out, &iso->ours, &iso->theirs, iso->wake_runner);
}

int isolate_spawn(struct isolate *iso) {
    struct ends ends;
    pid_t pid = 0;
    memset(&ends, -1, sizeof(ends));
    int err = make_ends(iso, &ends);
    if (err == 0)
        err = make_links(iso);
    if (err == 0)
        err = spawn_with(iso, &ends, &pid);
    for (int i = 0; i < FD_AFTER; i++)
        close_fd(&ends.fd[i]);
    if (err < 0)
        return err;
    iso->pidfd = pidfd_open(pid, 0);
    if (iso->pidfd < 0) {
        err = -errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return err;
    }
    pthread_mutex_lock(&iso->lock);
    iso->pid = pid;
    pthread_mutex_unlock(&iso->lock);
    return 0;
}

/* ---- what it prints ---- */

/* Counted by the second, so that a plugin that prints without end does not drown the log. */
static bool may_log(struct isolate *iso, struct line_reader *reader) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec != reader->second) {
        if (reader->dropped > 0) {
            char text[64];
            snprintf(text, sizeof(text), "%u lines of its output were dropped", reader->dropped);
            iso->host->log(iso->host, TELEX_WARN, 0, telex_text(text));
        }
        reader->second = now.tv_sec;
        reader->lines = reader->dropped = 0;
    }
    bool may = reader->lines < LINES_PER_SECOND;
    reader->lines += may;
    reader->dropped += !may;
    return may;
}

static void log_line(struct isolate *iso, struct line_reader *reader, const char *text, size_t size) {
    size_t n;
    if (size == 0 || !may_log(iso, reader))
        return;
    char *clean = telex_utf8_repair(text, size, &n);
    struct telex_bytes line = {(const uint8_t *)clean, n};
    if (clean)
        iso->host->log(iso->host, reader->level, 0, line);
    free(clean);
}

/* Log the whole lines in the buffer; a line longer than the buffer comes in pieces. */
static void log_lines(struct isolate *iso, struct line_reader *reader, bool last) {
    char *start = reader->text, *end = reader->text + reader->n, *newline;
    while ((newline = memchr(start, '\n', (size_t)(end - start)))) {
        log_line(iso, reader, start, (size_t)(newline - start));
        start = newline + 1;
    }
    if (last || (size_t)(end - start) == sizeof(reader->text)) {
        log_line(iso, reader, start, (size_t)(end - start));
        start = end;
    }
    reader->n = (size_t)(end - start);
    memmove(reader->text, start, reader->n);
}

void isolate_read_output(struct isolate *iso, struct line_reader *reader, bool last) {
    /* A bounded number of reads: a plugin that never stops printing must not keep this thread. */
    for (int i = 0; i < (last ? 64 : 4) && reader->fd >= 0; i++) {
        ssize_t n = read(reader->fd, reader->text + reader->n, sizeof(reader->text) - reader->n);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            close_fd(&reader->fd);
        if (n < 0)
            break;
        reader->n += (size_t)n;
        log_lines(iso, reader, n == 0);
    }
    if (last)
        log_lines(iso, reader, true);
}

/* ---- how it ended ---- */

static const char *where(uint32_t doing) {
    static const char *const names[DOING_KINDS] = {"between two steps",
                                                   "while loading",
                                                   "while opening its models",
                                                   "in create",
                                                   "in start",
                                                   "in process",
                                                   "in on_credit",
                                                   "in on_timer",
                                                   "in posted work",
                                                   "in io",
                                                   "in drain",
                                                   "in stop",
                                                   "in destroy"};
    return doing < DOING_KINDS ? names[doing] : "somewhere";
}

const struct step *isolate_step_in_process(struct isolate *iso) {
    uint64_t begun = atomic_load(&iso->in.theirs->begun);
    if (atomic_load(&iso->in.theirs->doing) != DOING_PROCESS)
        return NULL;
    for (size_t i = 0; i < LEASE_BUCKETS; i++)
        for (struct lease_node *node = iso->steps.buckets[i]; node; node = node->next)
            if (((struct step *)(void *)node)->number == begun && begun != 0)
                return (struct step *)(void *)node;
    return NULL;
}

static void put_why(struct isolate *iso, const siginfo_t *info) {
    uint32_t doing = atomic_load(&iso->in.theirs->doing);
    char what[WHY_BYTES / 2];
    pthread_mutex_lock(&iso->lock);
    const struct step *step = isolate_step_in_process(iso);
    if (iso->why[0])
        snprintf(what, sizeof(what), "%.*s", (int)sizeof(what) - 1, iso->why);
    else if (info->si_code == CLD_EXITED)
        snprintf(what, sizeof(what), "runner exited with status %d", info->si_status);
    else
        snprintf(what, sizeof(what), "runner died: signal %d (%s)", info->si_status,
                 sigdescr_np(info->si_status) ? sigdescr_np(info->si_status) : "unknown");
    snprintf(iso->why, sizeof(iso->why), "%s %s%s%s", what, where(doing), step ? " of record " : "",
             step ? step->id : "");
    pthread_mutex_unlock(&iso->lock);
}

void isolate_reap(struct isolate *iso) {
    siginfo_t info = {.si_code = CLD_EXITED};
    pthread_mutex_lock(&iso->lock);
    pid_t pid = iso->pid;
    iso->pid = 0; /* from here on no one sends it a signal: the number may be given anew */
    bool wanted = iso->ending && !iso->why[0];
    pthread_mutex_unlock(&iso->lock);
    kill(-pid, SIGKILL); /* what it started; its leader still holds the group's number */
    while (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 && errno == EINTR)
        ;
    if (!wanted) {
        put_why(iso, &info);
    } else if (info.si_code != CLD_EXITED || info.si_status != 0) {
        char text[80];
        snprintf(text, sizeof(text), "runner ended with %s %d after destroy",
                 info.si_code == CLD_EXITED ? "status" : "signal", info.si_status);
        iso->host->log(iso->host, TELEX_WARN, 0, telex_text(text));
    }
}
