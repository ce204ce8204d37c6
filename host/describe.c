/* SPDX-License-Identifier: Apache-2.0 */
/* describe.c - the child that meets a plugin first, and the parent that listens to it.
 *
 * The child may crash, hang or lie: the parent waits for a bounded time and takes a bounded amount. On its
 * output the child says "@load", "@entry", "@classes" before each act, so that the parent can name the one
 * that it died in, and then one JSON object. The plugin's own output goes nowhere. */
#include "describe.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <telex-sdk/table.h>

#include "loader.h"

enum { LIST_MAX = 512, CHILD_MS = 5000, CHILD_OUTPUT_MAX_BYTES = 1 << 20, CHILD_FILES = 256 };

static const char *const type_names[] = {NULL,   "text",   "int",  "real", "bool",  "duration",
                                         "size", "choice", "path", "list", "secret"};
static const char *const role_names[] = {NULL, "signal", "cluster", "write", "wire", "filter"};

/* ---- in the child: from class table to JSON ---- */

static json_t *texts(const char *const *list) {
    json_t *out = json_array();
    for (int i = 0; list && list[i] && i < LIST_MAX; i++)
        json_array_append_new(out, json_string(list[i]));
    return out;
}

static void set_text(json_t *object, const char *key, const char *text) {
    if (text)
        json_object_set_new(object, key, json_string(text));
}

static json_t *option_about(const struct telex_option *option) {
    json_t *out = json_object();
    set_text(out, "name", option->name);
    if (option->type > 0 && option->type < sizeof(type_names) / sizeof(*type_names))
        set_text(out, "type", type_names[option->type]);
    json_object_set_new(out, "required", json_boolean(option->flags & TELEX_OPTION_REQUIRED));
    set_text(out, "doc", option->doc);
    set_text(out, "initial", option->initial);
    set_text(out, "unit", option->unit);
    if (option->min != 0 || option->max != 0) {
        json_object_set_new(out, "min", json_real(option->min));
        json_object_set_new(out, "max", json_real(option->max));
    }
    if (option->choices)
        json_object_set_new(out, "choices", texts(option->choices));
    return out;
}

static json_t *options_about(const struct telex_option *const *options) {
    json_t *out = json_array();
    for (int i = 0; options && options[i] && i < LIST_MAX; i++)
        json_array_append_new(out, option_about(options[i]));
    return out;
}

static json_t *ports_about(const struct telex_port *const *ports) {
    json_t *out = json_array();
    for (int i = 0; ports && ports[i] && i < LIST_MAX; i++) {
        json_t *port = json_object();
        set_text(port, "name", ports[i]->name);
        set_text(port, "direction",
                 ports[i]->direction == TELEX_IN    ? "in"
                 : ports[i]->direction == TELEX_OUT ? "out"
                                                    : NULL);
        json_object_set_new(port, "schemas", texts(ports[i]->schemas));
        json_array_append_new(out, port);
    }
    return out;
}

static void stage_about(json_t *about, const struct telex_stage *stage) {
    if (stage->role > 0 && stage->role < sizeof(role_names) / sizeof(*role_names))
        set_text(about, "role", role_names[stage->role]);
    json_t *flags = json_array();
    if (stage->flags & TELEX_STAGE_STATEFUL)
        json_array_append_new(flags, json_string("stateful"));
    json_object_set_new(about, "flags", flags);
    json_object_set_new(about, "max_outputs", json_integer(stage->max_outputs));
    json_object_set_new(about, "ports", ports_about(stage->ports));
}

/* The members that all three classes have under the same names. */
#define COMMON_ABOUT(about, table)                                                                           \
    do {                                                                                                     \
        set_text(about, "name", (table)->name);                                                              \
        set_text(about, "version", (table)->version);                                                        \
        set_text(about, "doc", (table)->doc);                                                                \
        json_object_set_new(about, "options", options_about((table)->options));                              \
        json_object_set_new(about, "needs", texts((table)->needs));                                          \
    } while (0)

static json_t *class_about(const char *class_id, const void *table) {
    json_t *about = json_object();
    set_text(about, "class", class_id);
    if (strcmp(class_id, TELEX_CLASS_STAGE) == 0) {
        const struct telex_stage *stage = table;
        COMMON_ABOUT(about, stage);
        stage_about(about, stage);
    } else if (strcmp(class_id, TELEX_CLASS_GENERATE) == 0) {
        const struct telex_generate *generate = table;
        COMMON_ABOUT(about, generate);
        json_object_set_new(about, "probe", json_integer(generate->probe ? generate->probe() : 1));
    } else {
        const struct telex_model *model = table;
        COMMON_ABOUT(about, model);
        json_object_set_new(about, "probe", json_integer(model->probe ? model->probe() : 1));
        if (TELEX_HAS(model, probe_why) && model->probe_why)
            set_text(about, "probe_why", model->probe_why());
    }
    return about;
}

/* Calls that a host makes without asking. */
static const char *missing_call(const char *class_id, const void *table) {
    if (strcmp(class_id, TELEX_CLASS_STAGE) == 0) {
        const struct telex_stage *s = table;
        return !s->create                     ? "create"
               : !s->destroy                  ? "destroy"
               : !s->process && !s->on_credit ? "process"
                                              : NULL;
    }
    if (strcmp(class_id, TELEX_CLASS_GENERATE) == 0) {
        const struct telex_generate *g = table;
        return !g->open ? "open" : !g->close ? "close" : !g->generate ? "generate" : !g->info ? "info" : NULL;
    }
    const struct telex_model *m = table;
    return !m->open ? "open" : !m->close ? "close" : !m->decode ? "decode" : !m->tokenize ? "tokenize" : NULL;
}

/* The size of each class as ABI 1.0 has it: a table is never shorter. */
static uint32_t class_size(const char *class_id) {
    return strcmp(class_id, TELEX_CLASS_STAGE) == 0      ? TELEX_UP_TO(struct telex_stage, destroy)
           : strcmp(class_id, TELEX_CLASS_GENERATE) == 0 ? TELEX_UP_TO(struct telex_generate, close)
                                                         : TELEX_UP_TO(struct telex_model, close);
}

const void *describe_class(const struct telex_plugin *plugin, const char **class_id, char *why,
                           size_t why_size) {
    static const char *const ids[] = {TELEX_CLASS_STAGE, TELEX_CLASS_GENERATE, TELEX_CLASS_MODEL};
    const void *found = NULL;
    int n_found = 0;
    if (!plugin)
        return snprintf(why, why_size, "refuses this host (ABI %u.%u); update telex", TELEX_ABI_MAJOR,
                        TELEX_ABI_MINOR),
               NULL;
    if (plugin->abi_major != TELEX_ABI_MAJOR || plugin->min_minor > TELEX_ABI_MINOR)
        return snprintf(why, why_size,
                        "is for ABI %u.%u though its manifest fits this telex's %u.%u; build it against one "
                        "set of "
                        "headers",
                        plugin->abi_major, plugin->min_minor, TELEX_ABI_MAJOR, TELEX_ABI_MINOR),
               NULL;
    if (plugin->size < TELEX_UP_TO(struct telex_plugin, provides) || !plugin->provides)
        return snprintf(why, why_size, "gives a plugin table that is too short; set .size and .provides"),
               NULL;
    for (int i = 0; i < 3; i++) {
        const void *const *list = plugin->provides(ids[i]);
        for (int k = 0; list && list[k] && k < LIST_MAX; k++, n_found++) {
            found = list[k];
            *class_id = ids[i];
        }
    }
    if (n_found != 1)
        return snprintf(why, why_size, "provides %d classes; give exactly one stage or model a plugin",
                        n_found),
               NULL;
    uint32_t size;
    memcpy(&size, found, sizeof(size));
    if (size < class_size(*class_id))
        return snprintf(why, why_size,
                        "gives a %s table of %u bytes, ABI 1.0 has %u; set .size = sizeof(table)", *class_id,
                        size, class_size(*class_id)),
               NULL;
    const char *missing = missing_call(*class_id, found);
    if (missing)
        return snprintf(why, why_size, "leaves out the call %s of %s; give it one", missing, *class_id), NULL;
    return found;
}

static void say(int fd, const char *text) {
    for (size_t left = strlen(text); left > 0;) {
        ssize_t n = write(fd, text, left);
        if (n <= 0)
            _exit(3);
        text += n;
        left -= (size_t)n;
    }
}

int plugin_describe_main(const char *path) {
    char why[512];
    const char *class_id = NULL;
    json_t *about = NULL;
    int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10), null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (out < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return 1;
    say(out, "@load\n");
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    const struct telex_plugin *(*entry)(uint32_t) = NULL;
    if (library)
        *(void **)&entry = dlsym(library, "telex_entry_v1");
    if (!entry) {
        const char *error = dlerror();
        snprintf(why, sizeof(why), "cannot be loaded: %s; install what is missing or link it in",
                 error ? error : "?");
    } else {
        say(out, "@entry\n");
        const struct telex_plugin *plugin = entry(TELEX_ABI_MINOR);
        say(out, "@classes\n");
        const void *table = describe_class(plugin, &class_id, why, sizeof(why));
        about = table ? class_about(class_id, table) : NULL;
        if (about)
            set_text(about, "license", plugin->license);
    }
    if (!about)
        about = json_pack("{s:s}", "error", why);
    char *line = about ? json_dumps(about, JSON_COMPACT) : NULL;
    say(out, line ? line : "{\"error\":\"describes itself in text that is not UTF-8\"}");
    say(out, "\n");
    _exit(0); /* no destructor of the plugin runs */
}

/* ---- in the parent ---- */

static int64_t mono_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void limit(int resource, rlim_t value) {
    struct rlimit limits = {value, value};
    setrlimit(resource, &limits);
}

/* Only calls that are safe after fork in a program with threads. Does not return. */
static void become_child(int out, const char *copy, int image) {
    char *argv[] = {"telex", PLUGIN_DESCRIBE_FLAG, (char *)copy, NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(out, STDOUT_FILENO);
    int null = open("/dev/null", O_WRONLY);
    if (null >= 0)
        dup2(null, STDERR_FILENO);
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    if (image > 0)
        fcntl(image, F_SETFD, 0); /* copy names it by its number */
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, CHILD_MS / 1000 + 1);
    limit(RLIMIT_NOFILE, CHILD_FILES);
    limit(RLIMIT_FSIZE, CHILD_OUTPUT_MAX_BYTES);
    execv("/proc/self/exe", argv);
    _exit(127);
}

/* Read until the end, the deadline or the bound. Gives the text; *timed_out says how it ended. */
static char *listen_to(int fd, int64_t deadline_ms, int *timed_out) {
    size_t used = 0;
    char *text = malloc(CHILD_OUTPUT_MAX_BYTES + 1);
    *timed_out = 0;
    while (text && used < CHILD_OUTPUT_MAX_BYTES) {
        struct pollfd wait = {fd, POLLIN, 0};
        int64_t left_ms = deadline_ms - mono_ms();
        int ready = left_ms > 0 ? poll(&wait, 1, (int)left_ms) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0) {
            *timed_out = 1;
            break;
        }
        ssize_t n = read(fd, text + used, CHILD_OUTPUT_MAX_BYTES - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    if (text)
        text[used] = 0;
    return text;
}

static int reap(pid_t pid, int64_t deadline_ms, int *timed_out) {
    int status = 0;
    for (;;) {
        pid_t got = waitpid(pid, &status, *timed_out ? 0 : WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR))
            return status;
        if (mono_ms() > deadline_ms && !*timed_out) {
            *timed_out = 1;
            kill(-pid, SIGKILL);
            kill(pid, SIGKILL);
        }
        struct timespec nap = {0, 2000000};
        if (!*timed_out)
            nanosleep(&nap, NULL);
    }
}

static const char *died_in(const char *text) {
    return strstr(text, "@classes\n") ? "while it gave its classes"
           : strstr(text, "@entry\n") ? "in telex_entry_v1"
           : strstr(text, "@load\n")  ? "while it was loaded"
                                      : "before it was loaded";
}

static void tell_death(const char *text, int status, int timed_out, char *why, size_t why_size) {
    if (timed_out)
        snprintf(why, why_size, "hangs %s (stopped after %d s); do nothing there that waits", died_in(text),
                 CHILD_MS / 1000);
    else if (WIFSIGNALED(status))
        snprintf(why, why_size, "crashes %s (SIG%s); run `telex check` on it in a debugger", died_in(text),
                 sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(why, why_size, "ends the process %s (exit status %d); a plugin never calls exit",
                 died_in(text), WEXITSTATUS(status));
}

static json_t *parse_about(const char *text, int status, int timed_out, char *why, size_t why_size) {
    json_error_t error;
    const char *object = strchr(text, '{');
    json_t *about = object && !timed_out && WIFEXITED(status) && WEXITSTATUS(status) == 0
                        ? json_loads(object, JSON_REJECT_DUPLICATES, &error)
                        : NULL;
    const char *refused = json_string_value(json_object_get(about, "error"));
    if (about && !refused)
        return about;
    if (refused)
        snprintf(why, why_size, "%s", refused);
    else
        tell_death(text, status, timed_out, why, why_size);
    json_decref(about);
    return NULL;
}

json_t *describe_in_child(const char *copy, int image, char *why, size_t why_size) {
    int pipe_fds[2], timed_out;
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return snprintf(why, why_size, "cannot be described: %s", strerror(errno)), NULL;
    int64_t deadline_ms = mono_ms() + CHILD_MS;
    pid_t pid = fork();
    if (pid == 0)
        become_child(pipe_fds[1], copy, image);
    close(pipe_fds[1]);
    if (pid < 0) {
        close(pipe_fds[0]);
        return snprintf(why, why_size, "cannot be described: %s", strerror(errno)), NULL;
    }
    char *text = listen_to(pipe_fds[0], deadline_ms, &timed_out);
    close(pipe_fds[0]);
    if (timed_out) {
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL);
    }
    int status = reap(pid, deadline_ms, &timed_out);
    json_t *about = parse_about(text ? text : "", status, timed_out, why, why_size);
    free(text);
    return about;
}
