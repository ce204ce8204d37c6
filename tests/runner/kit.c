/* SPDX-License-Identifier: Apache-2.0 */
/* kit.c - see kit.h. */
#include "kit.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <telex-sdk/id.h>
#include <telex-sdk/message.h>

static struct telex_bytes read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    struct telex_bytes bytes = {NULL, 0};
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        abort();
    }
    fseek(file, 0, SEEK_END);
    bytes.size = (uint64_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(bytes.size + 1);
    assert(data);
    bytes.size = fread(data, 1, bytes.size, file);
    bytes.data = data;
    fclose(file);
    return bytes;
}

static void drop(struct telex_bytes bytes) {
    free((void *)(uintptr_t)bytes.data);
}

struct plugin_desc kit_plugin(const char *name) {
    const char *dir = getenv("TEST_PLUGIN_DIR");
    struct plugin_desc plugin = {.class_id = TELEX_CLASS_STAGE};
    char path[1024];
    assert(dir);
    snprintf(path, sizeof(path), "%s/%s.so", dir, name);
    struct telex_bytes file = read_file(path);
    plugin.name = strdup(name);
    plugin.path = strdup(path);
    plugin.sha256 = malloc(65);
    assert(plugin.sha256);
    telex_sha256_hex(plugin.sha256, file);
    drop(file);
    return plugin;
}

void kit_plugin_finish(struct plugin_desc *plugin) {
    free(plugin->name);
    free(plugin->path);
    free(plugin->sha256);
}

static struct telex_bytes build_options(const char *text_key, const char *text, const char *int_key,
                                        int64_t value) {
    struct telex_builder b;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    if (text) {
        telex_build_key(&b, text_key);
        telex_build_text(&b, text);
    }
    telex_build_key(&b, int_key);
    telex_build_int(&b, value);
    telex_build_map_end(&b);
    struct telex_bytes body = telex_build_body(&b), copy = {malloc(body.size), body.size};
    assert(copy.data);
    memcpy((void *)(uintptr_t)copy.data, body.data, body.size);
    telex_build_finish(&b);
    return copy;
}

struct telex_bytes kit_options(const char *act, int64_t at) {
    return build_options("act", act, act ? "at" : "greeting", at);
}

struct telex_bytes kit_model_options(int64_t delay_ms) {
    return build_options("mode", "echo", "delay", delay_ms);
}

static void on_died(void *arg, const char *why) {
    struct life *life = arg;
    pthread_mutex_lock(&life->mh->lock);
    life->deaths++;
    snprintf(life->why, sizeof(life->why), "%s", why);
    pthread_cond_broadcast(&life->mh->changed);
    pthread_mutex_unlock(&life->mh->lock);
}

void life_init(struct life *life, const char *plugin, const char *act, int64_t at) {
    char why[512];
    memset(life, 0, sizeof(*life));
    life->plugin = kit_plugin(plugin);
    life->options = kit_options(act, at);
    life->class = plugin_load(&life->plugin, why, sizeof(why));
    if (!life->class)
        fprintf(stderr, "%s: %s\n", plugin, why);
    assert(life->class);
    life->mh = memory_host_create(life->class);
    life->spec = (struct isolate_spec){.name = "tested",
                                       .plugin = &life->plugin,
                                       .options = life->options,
                                       .create_timeout_ms = 60000,
                                       .start_timeout_ms = 60000,
                                       .stop_timeout_ms = 30000,
                                       .died = on_died,
                                       .died_arg = life};
}

telex_status life_begin(struct life *life, bool isolated) {
    life->calls = isolated ? &isolate_stage : life->class;
    life->mh->stopped = false;
    telex_status status = isolated ? isolate_create(&life->spec, &life->mh->host, &life->self)
                                   : life->class->create(&life->mh->host, life->options, &life->self);
    if (status != TELEX_OK)
        return status;
    return life->calls->start ? life->calls->start(life->self) : TELEX_OK;
}

telex_lease life_give(struct life *life, const char *id, uint64_t version, const char *title,
                      size_t text_bytes) {
    struct telex_bytes body = memory_record(id, version, title, text_bytes);
    telex_lease lease = memory_host_deliver(life->mh, life->calls, life->self, body);
    drop(body);
    return lease;
}

void life_end(struct life *life) {
    if (!life->self)
        return;
    if (life->calls->stop)
        life->calls->stop(life->self);
    pthread_mutex_lock(&life->mh->lock);
    life->mh->stopped = true;
    pthread_mutex_unlock(&life->mh->lock);
    life->calls->destroy(life->self);
    life->self = NULL;
}

int life_await_death(struct life *life, int64_t timeout_ms) {
    int64_t until = kit_now_ms() + timeout_ms;
    int deaths;
    do {
        pthread_mutex_lock(&life->mh->lock);
        deaths = life->deaths;
        pthread_mutex_unlock(&life->mh->lock);
        if (deaths == 0)
            kit_sleep_ms(2);
    } while (deaths == 0 && kit_now_ms() < until);
    return deaths;
}

/* Undefined behaviour in the runner's own code; plugins under test have theirs on purpose. */
static bool undefined_in_runner(const char *log) {
    for (const char *at = log; (at = strstr(at, ": runtime error: ")); at++) {
        const char *line = at;
        while (line > log && line[-1] != '\n')
            line--;
        if (memmem(line, (size_t)(at - line), "host/runner/", 12))
            return true;
    }
    return false;
}

/* What a sanitizer in the runner said came through its stderr into the log. */
static void check_log(const char *log) {
    static const char *const bad[] = {"WARNING: ThreadSanitizer", "LeakSanitizer: detected",
                                      "heap-buffer-overflow", "use-after-free", "double-free"};
    bool found = undefined_in_runner(log);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        found = found || strstr(log, bad[i]);
    if (found)
        fprintf(stderr, "%s\n", log);
    if (found)
        abort();
}

void life_finish(struct life *life) {
    life_end(life);
    check_log(life->mh->log);
    memory_host_destroy(life->mh);
    kit_plugin_finish(&life->plugin);
    drop(life->options);
}

int kit_open_files(void) {
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;
    assert(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 3; /* "." ".." and the folder itself */
}

bool kit_process_lives(pid_t pid) {
    return kill(pid, 0) == 0;
}

int64_t kit_now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void kit_sleep_ms(int64_t ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

bool kit_process_ends(pid_t pid, int64_t timeout_ms) {
    int64_t until = kit_now_ms() + timeout_ms;
    while (kit_process_lives(pid) && kit_now_ms() < until)
        kit_sleep_ms(5);
    return !kit_process_lives(pid);
}
