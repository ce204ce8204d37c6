/* SPDX-License-Identifier: Apache-2.0 */
/* test_run.c - the host of a test as a child process, so that it can be ended by a fault or by the clock.
 *
 * Its log and what plugins print go to STATE/log; what it counted comes back in STATE/status. */
#include "test_run.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../engine.h"
#include "../log.h"
#include "../serve.h"
#include "cli.h"

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

void test_remove_tree(const char *path) {
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- in the child ---- */

static int live(const struct config *config, const char *status_path) {
    uv_loop_t loop;
    struct engine *engine = NULL;
    char why[512] = "";
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    int err = engine_create(&engine, config, &loop, why, sizeof(why));
    if (err == 0) {
        engine->once = true;
        err = engine_start(engine, why, sizeof(why));
    }
    if (err < 0) {
        log_say(TELEX_ERROR, "host", "%s", why);
        return EXIT_FAILED;
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    int code = engine_exit_code(engine);
    json_t *status = serve_status(engine);
    json_dump_file(status, status_path, JSON_INDENT(1));
    if (!engine_hangs(engine))
        engine_destroy(engine);
    return code;
}

static void become_host(const struct test_plan *plan, const char *state, uint32_t host_crash) {
    char path[PATH_MAX], spec[40];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    snprintf(path, sizeof(path), "%s/log", state);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600), null = open("/dev/null", O_RDONLY);
    if (log < 0 || null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        _exit(EXIT_FAILED);
    snprintf(path, sizeof(path), "%s/faults", state);
    setenv(FAULTS_VARIABLE, path, 1);
    snprintf(spec, sizeof(spec), "after-commit:%u", host_crash);
    if (host_crash)
        setenv("TELEX_CRASH", spec, 1);
    log_setup(TELEX_INFO, false);
    for (size_t i = 0; i < plan->n_sources; i++)
        test_give(&plan->config->stages[plan->sources[i].stage], &plan->sources[i]);
    snprintf(path, sizeof(path), "%s/status", state);
    fflush(NULL);
    _exit(live(plan->config, path));
}

/* ---- in the parent ---- */

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Wait for the end of a child, at most until the deadline; its wait status. */
static int wait_for(pid_t pid, int64_t deadline_ms, bool *timed_out) {
    int status = 0, fd = pidfd_open(pid, 0);
    struct pollfd wait = {fd, POLLIN, 0};
    int64_t left_ms;
    int ready = 0;
    while (fd >= 0 && ready <= 0 && (left_ms = deadline_ms - now_ms()) > 0)
        ready = poll(&wait, 1, (int)left_ms);
    *timed_out = ready <= 0;
    kill(-pid, SIGKILL); /* at its end nothing of it may be left */
    if (*timed_out)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (fd >= 0)
        close(fd);
    return status;
}

/* The folders, and a page for each stage that has faults. 0 or -1 with errno. */
static int prepare(const struct test_plan *plan, const char *state, struct test_outcome *out) {
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/faults", state);
    test_remove_tree(state);
    if (mkdir(state, 0700) < 0 || mkdir(path, 0700) < 0)
        return -1;
    for (size_t i = 0; i < plan->config->n_stages; i++) { /* what a stage writes goes in here */
        char own[PATH_MAX];
        snprintf(own, sizeof(own), "%s/%s", state, plan->config->stages[i].name);
        mkdir(own, 0700);
    }
    for (size_t i = 0; i < plan->n_faults; i++) {
        const struct test_fault *fault = &plan->faults[i];
        if (fault->stage >= sizeof(out->pages) / sizeof(*out->pages))
            continue;
        struct fault_page **page = &out->pages[fault->stage];
        if (!*page)
            *page = fault_map(path, plan->config->stages[fault->stage].name, 1);
        if (!*page || (*page)->n_faults == FAULTS_MAX)
            return errno = *page ? E2BIG : errno, -1;
        (*page)->faults[(*page)->n_faults++] = fault->fault;
    }
    return 0;
}

int test_run(const struct test_plan *plan, const char *state, struct test_outcome *out) {
    char path[PATH_MAX];
    *out = (struct test_outcome){.exit_code = -1};
    if (prepare(plan, state, out) < 0)
        return fprintf(stderr, "telex test: %s: %s\n", state, strerror(errno)), -1;
    int64_t deadline_ms = now_ms() + plan->timeout_ms;
    for (bool again = true; again;) {
        uint32_t host_crash = 0, n_before = 0;
        for (size_t i = 0; i < plan->n_faults && host_crash == 0; i++)
            if (plan->faults[i].stage == SIZE_MAX && n_before++ == out->lives)
                host_crash = plan->faults[i].fault.at;
        fflush(NULL);
        pid_t pid = fork(); /* this program has one thread and has loaded no plugin */
        if (pid == 0)
            become_host(plan, state, host_crash);
        if (pid < 0)
            return fprintf(stderr, "telex test: %s\n", strerror(errno)), -1;
        int status = wait_for(pid, deadline_ms, &out->timed_out);
        again = !out->timed_out && host_crash && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        out->lives++;
        if (WIFEXITED(status))
            out->exit_code = WEXITSTATUS(status);
        else if (!again && !out->timed_out)
            out->signal = WTERMSIG(status);
    }
    snprintf(path, sizeof(path), "%s/status", state);
    out->status = json_load_file(path, 0, NULL);
    return 0;
}

void test_outcome_finish(struct test_outcome *outcome) {
    json_decref(outcome->status);
    memset(outcome, 0, sizeof(*outcome));
}
