/* SPDX-License-Identifier: Apache-2.0 */
/* check_process.c - a child process for each scenario, and what its parent makes of it.
 *
 * The child says "@call" on its pipe before each call into the plugin, a JSON object for each finding and
 * "@end" when it is through; the parent makes a finding of a child that ends, crashes or hangs before. */
#include "check_process.h"

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <telex-sdk/json.h>

enum { OUTPUT_MAX_BYTES = 1 << 20, RULES_MAX = 128 };

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- in the child ---- */

void check_say(const struct check_run *run, const char *call) {
    fprintf(run->out, "@%s\n", call);
    fflush(run->out);
}

static void write_finding(FILE *out, const char *rule, const char *text) {
    size_t used = 0;
    char *clean = telex_utf8_repair(text, strlen(text), &used); /* a plugin's words may be anything */
    json_t *finding = json_pack("{s:s,s:s}", "rule", rule, "text", clean ? clean : "");
    char *line = finding ? json_dumps(finding, JSON_COMPACT) : NULL;
    if (line)
        fprintf(out, "%s\n", line);
    fflush(out);
    free(line);
    free(clean);
    json_decref(finding);
}

void check_vreport(FILE *out, const char *rule, const char *format, va_list args) {
    static const char *told[RULES_MAX];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    char text[512];
    vsnprintf(text, sizeof(text), format, args);
    pthread_mutex_lock(&lock);
    size_t i = 0;
    while (i < RULES_MAX - 1 && told[i] && strcmp(told[i], rule) != 0)
        i++;
    if (!told[i]) {
        told[i] = rule;
        write_finding(out, rule, text);
    }
    pthread_mutex_unlock(&lock);
}

void check_report(FILE *out, const char *rule, const char *format, ...) {
    va_list args;
    va_start(args, format);
    check_vreport(out, rule, format, args);
    va_end(args);
}

static size_t count_entries(const char *folder) {
    size_t n = 0;
    DIR *dir = opendir(folder);
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

size_t check_settled_count(const char *folder, size_t wanted) {
    size_t n = count_entries(folder);
    for (int i = 0; i < 100 && n > wanted; i++) {
        usleep(5000);
        n = count_entries(folder);
    }
    return n;
}

/* ---- parent and child ---- */

/* The plugin runs with this program's rights, so the kernel keeps it from signalling its parent: such a call
 * ends the child with SIGSYS, which is found as a crash. Where the kernel knows no filters it goes without.
 */
static void guard_parent(void) {
    const uint32_t parent = (uint32_t)getppid(), group = (uint32_t)-getpgid(getppid()), all = (uint32_t)-1;
    const uint32_t low = offsetof(struct seccomp_data, args[0]); /* of a little-endian word */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kill, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tkill, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigqueueinfo, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, parent, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, group, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, all, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(*code), code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void become_child(int fd, const struct plugin_desc *plugin, struct check_run *run) {
    char why[1024];
    struct rlimit none = {0, 0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    setrlimit(RLIMIT_CORE, &none);
    guard_parent();
    dup2(STDERR_FILENO, STDOUT_FILENO); /* a plugin prints where people read */
    run->out = fdopen(fd, "w");
    if (!run->out)
        _exit(3);
    check_say(run, "load");
    run->table = plugin_load(plugin, why, sizeof(why));
    if (!run->table) {
        fprintf(run->out, "@unloadable %s\n", why);
        fflush(run->out);
        _exit(3);
    }
    if (run->scenario->fits && !run->scenario->fits(run->table)) {
        fprintf(run->out, "@skip\n");
        fflush(run->out);
        _exit(0);
    }
    run->scenario->run(run);
    check_say(run, "end");
    _exit(0);
}

/* Everything the child says until it closes its pipe or its time is over. Gives it. */
static char *hear(int fd, int life_ms, bool *timed_out) {
    size_t used = 0;
    char *text = calloc(1, OUTPUT_MAX_BYTES + 1);
    int64_t deadline_ms = now_ms() + life_ms;
    *timed_out = false;
    while (text && used < OUTPUT_MAX_BYTES) {
        struct pollfd wait = {fd, POLLIN, 0};
        int64_t left_ms = deadline_ms - now_ms();
        int ready = left_ms > 0 ? poll(&wait, 1, (int)left_ms) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        *timed_out = ready <= 0;
        ssize_t n = ready > 0 ? read(fd, text + used, OUTPUT_MAX_BYTES - used) : 0;
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    return text;
}

/* Turn what a child said and how it ended into findings. Cuts text up. */
static bool take_findings(char *text, int status, bool timed_out, const char *scenario, json_t *findings) {
    char call[256] = "load", what[500];
    long long number = -1; /* of the fuzzed case */
    bool ended = false, skipped = false;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        if (*line == '{') {
            json_t *finding = json_loads(line, 0, NULL);
            const char *rule = json_string_value(json_object_get(finding, "rule"));
            const char *what_text = json_string_value(json_object_get(finding, "text"));
            json_t *added = rule && what_text && check_rule_find(rule)
                                ? check_add(findings, rule, scenario, what_text)
                                : NULL;
            if (added && number >= 0 && !json_object_get(added, "case"))
                json_object_set_new(added, "case", json_integer(number));
            json_decref(finding);
        } else if (*line == '@') {
            if (sscanf(line, "@case %lld", &number) == 1)
                continue;
            ended = strcmp(line, "@end") == 0;
            skipped = strcmp(line, "@skip") == 0;
            if (!ended)
                snprintf(call, sizeof(call), "%s", line + 1);
        }
    }
    if (ended || skipped)
        return !skipped;
    if (timed_out)
        snprintf(what, sizeof(what), "did not return from %s in time", call);
    else if (WIFSIGNALED(status))
        snprintf(what, sizeof(what), "crashed in %s (SIG%s)", call, sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(what, sizeof(what), "ended the process in %s (exit status %d)", call, WEXITSTATUS(status));
    json_t *added = check_add(findings, timed_out ? "life.hang" : "life.crash", scenario, what);
    if (number >= 0 && !json_object_get(added, "case"))
        json_object_set_new(added, "case", json_integer(number));
    return true;
}

/* False when it hung. */
static bool run_one(const struct plugin_desc *plugin, struct check_run *run, json_t *findings,
                    json_t *names) {
    int fds[2], status = 0;
    bool timed_out;
    if (pipe(fds) < 0)
        return false;
    fflush(NULL);
    pid_t pid = fork(); /* this program has one thread and no library that minds */
    if (pid == 0) {
        close(fds[0]);
        become_child(fds[1], plugin, run);
    }
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return false;
    }
    char *text = hear(fds[0], run->life_ms, &timed_out);
    close(fds[0]);
    kill(-pid, SIGKILL); /* nothing that it started stays */
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (text && take_findings(text, status, timed_out, run->scenario->name, findings))
        json_array_append_new(names, json_string(run->scenario->name));
    free(text);
    return !timed_out;
}

void check_scenarios(const struct plugin_desc *plugin, struct telex_bytes options, int life_ms,
                     const struct check_scenario *all, size_t n, const void *arg, json_t *findings,
                     json_t *names) {
    for (size_t i = 0; i < n; i++) {
        struct check_run run = {.options = options, .life_ms = life_ms, .arg = arg, .scenario = &all[i]};
        if (!run_one(plugin, &run, findings, names))
            break;
    }
}
