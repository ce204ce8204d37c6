/* SPDX-License-Identifier: Apache-2.0 */
/* stage-run - one source stage in a host of a few hundred lines, for the tests of the signal stages.
 *
 *     stage-run PLUGIN.so [-o key=value]... [--kv FILE] [--steps N] [--seconds S] [--crash N] [--full N]
 * [--refuse N]
 *
 * Committed messages go to stdout as JSON lines, the log to stderr. State is read from FILE at the start and
 * written to it after each committed step. It ends when the source is exhausted, after N steps or S seconds.
 * --crash N: the process dies inside step N, before it commits. --full N: the first N calls of open find the
 * edge full. --refuse N: completing step N fails it and the instance is made anew, as the host does. A broken
 * contract ends it with 3. */
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <telex/ext/kv.h>
#include <telex/ext/metrics.h>
#include <telex/ext/timer.h>
#include <telex-sdk/json.h>
#include <telex-sdk/plugin.h>

enum { TIMERS_MAX = 64, OUT_MAX = 4096, TASKS_MAX = 1024, ARGS_MAX = 64 };

struct pair {
    char *key;
    uint8_t *value;
    size_t size;
    bool dead; /* a deletion, among the changes of a step */
};

struct pairs {
    struct pair *items;
    size_t n;
};

struct task {
    void (*fn)(void *arg);
    void *arg;
};

static struct run {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct pairs committed, changes;
    telex_lease open_lease, last_lease;
    char *out[OUT_MAX]; /* lines of the open step */
    size_t n_out;
    uint64_t loan_handle;
    uint8_t *loan;
    uint64_t loan_capacity;
    int64_t timer_due[TIMERS_MAX];
    struct task tasks[TASKS_MAX];
    size_t n_tasks;
    bool credit_due, exhausted, draining, recreate;
    int64_t steps, max_steps, crash, full, refuse, attempts;
    const char *kv_path;
    const struct telex_stage *stage;
} run = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static void broken(const char *what) {
    fprintf(stderr, "stage-run: contract broken: %s\n", what);
    fflush(NULL);
    _exit(3);
}

static int64_t clock_ms(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- state ---- */

static struct pair *find(struct pairs *pairs, const char *key, size_t size) {
    for (size_t i = 0; i < pairs->n; i++)
        if (strlen(pairs->items[i].key) == size && !memcmp(pairs->items[i].key, key, size))
            return &pairs->items[i];
    return NULL;
}

static void set(struct pairs *pairs, const char *key, size_t key_size, const void *value, size_t size,
                bool dead) {
    struct pair *pair = find(pairs, key, key_size);
    if (!pair) {
        pairs->items = realloc(pairs->items, (pairs->n + 1) * sizeof(*pair));
        pair = &pairs->items[pairs->n++];
        pair->key = strndup(key, key_size);
        pair->value = NULL;
    }
    free(pair->value);
    pair->value = malloc(size + 1);
    memcpy(pair->value, value, size);
    pair->size = size;
    pair->dead = dead;
}

static void clear(struct pairs *pairs) {
    for (size_t i = 0; i < pairs->n; i++) {
        free(pairs->items[i].key);
        free(pairs->items[i].value);
    }
    free(pairs->items);
    *pairs = (struct pairs){0};
}

static void save(void) {
    char temp[4096];
    if (!run.kv_path)
        return;
    snprintf(temp, sizeof(temp), "%s.new", run.kv_path);
    FILE *file = fopen(temp, "wb");
    for (size_t i = 0; file && i < run.committed.n; i++) {
        const struct pair *pair = &run.committed.items[i];
        if (pair->dead)
            continue;
        fprintf(file, "%zu %zu\n%s", strlen(pair->key), pair->size, pair->key);
        fwrite(pair->value, 1, pair->size, file);
        fputc('\n', file);
    }
    if (!file || fclose(file) != 0 || rename(temp, run.kv_path) != 0)
        broken("state cannot be written");
}

static void load(void) {
    FILE *file = run.kv_path ? fopen(run.kv_path, "rb") : NULL;
    size_t key_size, size;
    while (file && fscanf(file, "%zu %zu", &key_size, &size) == 2 && fgetc(file) == '\n') {
        char *key = malloc(key_size + 1);
        void *value = malloc(size + 1);
        if (fread(key, 1, key_size, file) == key_size && fread(value, 1, size, file) == size)
            set(&run.committed, key, key_size, value, size, false);
        free(key);
        free(value);
    }
    if (file)
        fclose(file);
}

static int64_t kv_get(const struct telex_host *host, telex_lease lease, struct telex_bytes key, void *out,
                      uint64_t capacity) {
    (void)host;
    pthread_mutex_lock(&run.lock);
    struct pair *pair = lease ? find(&run.changes, (const char *)key.data, key.size) : NULL;
    if (!pair)
        pair = find(&run.committed, (const char *)key.data, key.size);
    int64_t size = pair && !pair->dead ? (int64_t)pair->size : TELEX_NOT_FOUND;
    if (size > 0)
        memcpy(out, pair->value, (uint64_t)size < capacity ? (size_t)size : capacity);
    pthread_mutex_unlock(&run.lock);
    return size;
}

static telex_status change(telex_lease lease, struct telex_bytes key, struct telex_bytes value, bool dead) {
    pthread_mutex_lock(&run.lock);
    if (!lease || lease != run.open_lease)
        broken("kv change without an open step");
    if (!key.size || key.size > TELEX_KV_KEY_MAX_BYTES || value.size > TELEX_KV_VALUE_MAX_BYTES)
        broken("kv key or value too large");
    set(&run.changes, (const char *)key.data, key.size, value.data, value.size, dead);
    pthread_mutex_unlock(&run.lock);
    return TELEX_OK;
}

static telex_status kv_put(const struct telex_host *host, telex_lease lease, struct telex_bytes key,
                           struct telex_bytes value) {
    (void)host;
    return change(lease, key, value, false);
}

static telex_status kv_del(const struct telex_host *host, telex_lease lease, struct telex_bytes key) {
    struct telex_bytes none = {(const uint8_t *)"", 0};
    (void)host;
    return change(lease, key, none, true);
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

static telex_status kv_scan(const struct telex_host *host, telex_lease lease, struct telex_bytes prefix,
                            int32_t (*visit)(void *, struct telex_bytes, struct telex_bytes), void *arg) {
    (void)host, (void)lease;
    pthread_mutex_lock(&run.lock);
    if (run.committed.n)
        qsort(run.committed.items, run.committed.n, sizeof(struct pair), by_key);
    for (size_t i = 0; i < run.committed.n; i++) {
        struct pair *pair = &run.committed.items[i];
        struct telex_bytes value = {pair->value, pair->size};
        if (!pair->dead && !strncmp(pair->key, (const char *)prefix.data, prefix.size) &&
            visit(arg, telex_text(pair->key), value))
            break;
    }
    pthread_mutex_unlock(&run.lock);
    return TELEX_OK;
}

/* ---- services ---- */

static telex_status timer_set(const struct telex_host *host, uint64_t timer, int64_t delay_ms) {
    (void)host;
    if (timer >= TIMERS_MAX)
        return TELEX_LIMIT;
    pthread_mutex_lock(&run.lock);
    run.timer_due[timer] = clock_ms(CLOCK_MONOTONIC) + (delay_ms > 0 ? delay_ms : 0);
    pthread_cond_signal(&run.wake);
    pthread_mutex_unlock(&run.lock);
    return TELEX_OK;
}

static void timer_clear(const struct telex_host *host, uint64_t timer) {
    (void)host;
    pthread_mutex_lock(&run.lock);
    if (timer < TIMERS_MAX)
        run.timer_due[timer] = 0;
    pthread_mutex_unlock(&run.lock);
}

static int32_t metric_define(const struct telex_host *host, int32_t kind, const char *name, const char *doc) {
    static int32_t n;
    (void)host, (void)kind, (void)name, (void)doc;
    return n++;
}

static void metric_add(const struct telex_host *host, int32_t metric, double amount) {
    (void)host, (void)metric, (void)amount;
}

static const struct telex_kv kv = {sizeof(kv), kv_get, kv_put, kv_del, kv_scan};
static const struct telex_timer timer = {sizeof(timer), timer_set, timer_clear};
static const struct telex_metrics metrics = {sizeof(metrics), metric_define, metric_add, metric_add};

static const void *host_ext(const struct telex_host *host, const char *id) {
    (void)host;
    return !strcmp(id, TELEX_KV)        ? (const void *)&kv
           : !strcmp(id, TELEX_TIMER)   ? (const void *)&timer
           : !strcmp(id, TELEX_METRICS) ? (const void *)&metrics
                                        : NULL;
}

static void host_log(const struct telex_host *host, int32_t level, telex_lease lease,
                     struct telex_bytes text) {
    static const char *const names[] = {"debug", "info", "warn", "error"};
    (void)host, (void)lease;
    fprintf(stderr, "%s %.*s\n", names[level], (int)text.size, (const char *)text.data);
}

static telex_status host_fail(const struct telex_host *host, telex_lease lease, telex_status status,
                              struct telex_bytes why) {
    (void)host, (void)lease;
    fprintf(stderr, "fail %d %.*s\n", status, (int)why.size, (const char *)why.data);
    return status;
}

static int64_t host_now(const struct telex_host *host, int32_t clock) {
    (void)host;
    return clock_ms(clock == TELEX_CLOCK_WALL ? CLOCK_REALTIME : CLOCK_MONOTONIC);
}

static telex_status host_open(const struct telex_host *host, telex_lease *out) {
    (void)host;
    telex_status status = TELEX_OK;
    pthread_mutex_lock(&run.lock);
    if (run.draining || run.exhausted) {
        status = TELEX_CANCELLED;
    } else if (run.attempts++ < run.full || run.open_lease || run.recreate) {
        status = TELEX_AGAIN;
        run.credit_due = true;
        pthread_cond_signal(&run.wake);
    } else {
        *out = run.open_lease = ++run.last_lease;
    }
    pthread_mutex_unlock(&run.lock);
    return status;
}

static telex_status host_loan(const struct telex_host *host, telex_lease lease, uint32_t port,
                              uint64_t capacity, struct telex_loan *loan) {
    (void)host;
    if (!lease || lease != run.open_lease || run.loan)
        broken("loan without an open step");
    if (run.n_out >= run.stage->max_outputs || run.n_out == OUT_MAX || capacity > TELEX_BODY_MAX_BYTES)
        return TELEX_LIMIT;
    run.loan = malloc(capacity + 1);
    run.loan_capacity = capacity;
    *loan = (struct telex_loan){sizeof(*loan), port, ++run.loan_handle, capacity, run.loan};
    return TELEX_OK;
}

static telex_status host_commit(const struct telex_host *host, struct telex_loan *loan, uint64_t length) {
    struct telex_bytes body = {loan->data, length};
    struct telex_head head;
    (void)host;
    if (loan->handle != run.loan_handle || !run.loan || length > run.loan_capacity)
        broken("commit of what was not lent");
    if (telex_scan_head(body, &head) < 0 || !telex_bytes_equal(head.schema, "telex.record/1") ||
        !head.id.size || head.id.size > TELEX_ID_MAX_BYTES)
        broken("message without schema or id");
    run.out[run.n_out++] = telex_json_line(body);
    free(run.loan);
    run.loan = NULL;
    return TELEX_OK;
}

static void host_abandon(const struct telex_host *host, struct telex_loan *loan) {
    (void)host, (void)loan;
    free(run.loan);
    run.loan = NULL;
}

static void commit_step(void) {
    for (size_t i = 0; i < run.n_out; i++)
        puts(run.out[i] ? run.out[i] : "null");
    fflush(stdout);
    for (size_t i = 0; i < run.changes.n; i++) {
        struct pair *pair = &run.changes.items[i];
        set(&run.committed, pair->key, strlen(pair->key), pair->value, pair->size, pair->dead);
    }
    save();
}

static telex_status host_complete(const struct telex_host *host, telex_lease lease, telex_status status) {
    (void)host;
    pthread_mutex_lock(&run.lock);
    if (!lease || lease != run.open_lease)
        broken("complete of a lease that is not open");
    run.steps++;
    if (run.crash && run.steps == run.crash)
        _exit(9);
    bool refused = run.refuse && run.steps == run.refuse;
    if (status == TELEX_OK && !refused)
        commit_step();
    else
        run.recreate = refused || status == TELEX_FATAL;
    for (size_t i = 0; i < run.n_out; i++)
        free(run.out[i]);
    run.n_out = 0;
    clear(&run.changes);
    run.open_lease = 0;
    run.credit_due = true;
    if (run.max_steps && run.steps >= run.max_steps)
        run.exhausted = true;
    pthread_cond_signal(&run.wake);
    pthread_mutex_unlock(&run.lock);
    return TELEX_OK;
}

static int32_t host_cancelled(const struct telex_host *host, telex_lease lease) {
    (void)host, (void)lease;
    return 0;
}

static telex_status host_post(const struct telex_host *host, void (*fn)(void *), void *arg) {
    (void)host;
    pthread_mutex_lock(&run.lock);
    if (run.n_tasks < TASKS_MAX)
        run.tasks[run.n_tasks++] = (struct task){fn, arg};
    pthread_cond_signal(&run.wake);
    pthread_mutex_unlock(&run.lock);
    return TELEX_OK;
}

static void host_exhausted(const struct telex_host *host) {
    (void)host;
    pthread_mutex_lock(&run.lock);
    run.exhausted |= !run.recreate; /* an instance whose step failed says nothing more */
    pthread_cond_signal(&run.wake);
    pthread_mutex_unlock(&run.lock);
}

static const struct telex_host the_host = {
    .size = sizeof(the_host),
    .abi_minor = TELEX_ABI_MINOR,
    .ext = host_ext,
    .log = host_log,
    .fail = host_fail,
    .now_ms = host_now,
    .open = host_open,
    .loan = host_loan,
    .commit = host_commit,
    .abandon = host_abandon,
    .complete = host_complete,
    .cancelled = host_cancelled,
    .post = host_post,
    .exhausted = host_exhausted,
};

/* ---- options ---- */

static int64_t scaled(const char *text) {
    static const struct {
        const char *unit;
        int64_t factor;
    } units[] = {{"ms", 1},        {"s", 1000},      {"m", 60000},     {"h", 3600000}, {"d", 86400000},
                 {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"", 1}};
    char *end;
    double value = strtod(text, &end);
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
        if (!strcmp(units[i].unit, end))
            return (int64_t)(value * (double)units[i].factor);
    broken("an option's value has no known unit");
    return 0;
}

static void build_value(struct telex_builder *b, const struct telex_option *option, char **given,
                        int n_given) {
    const char *text = option->initial ? option->initial : "";
    const char *list[ARGS_MAX];
    uint32_t n = 0;
    size_t len = strlen(option->name);
    for (int i = 0; i < n_given; i++)
        if (!strncmp(given[i], option->name, len) && given[i][len] == '=')
            list[n++] = text = given[i] + len + 1;
    if (!n && !option->initial)
        return; /* as in the host, what was not given is not there */
    telex_build_key(b, option->name);
    if (option->type == TELEX_LIST) {
        telex_build_array(b, n);
        for (uint32_t i = 0; i < n; i++)
            telex_build_text(b, list[i]);
    } else if (option->type == TELEX_INT || option->type == TELEX_DURATION || option->type == TELEX_SIZE) {
        telex_build_int(b, *text ? scaled(text) : 0);
    } else if (option->type == TELEX_REAL) {
        telex_build_real(b, strtod(text, NULL));
    } else if (option->type == TELEX_BOOL) {
        telex_build_flag(b, !strcmp(text, "true"));
    } else {
        telex_build_text(b, text);
    }
}

static void build_options(struct telex_builder *b, const struct telex_stage *stage, char **given,
                          int n_given) {
    for (int i = 0; i < n_given; i++) {
        bool known = false;
        for (const struct telex_option *const *option = stage->options; *option; option++)
            known |= !strncmp(given[i], (*option)->name, strlen((*option)->name)) &&
                     given[i][strlen((*option)->name)] == '=';
        if (!known)
            broken("no such option");
    }
    telex_build_map_begin(b);
    for (const struct telex_option *const *option = stage->options; *option; option++)
        build_value(b, *option, given, n_given);
    telex_build_map_end(b);
}

/* ---- the strand ---- */

static void *make(const struct telex_stage *stage, struct telex_bytes options) {
    void *self = NULL;
    if (stage->create(&the_host, options, &self) != TELEX_OK)
        exit(1);
    if (stage->start && stage->start(self) != TELEX_OK) {
        if (stage->stop)
            stage->stop(self);
        stage->destroy(self);
        exit(1);
    }
    pthread_mutex_lock(&run.lock);
    run.credit_due = true;
    pthread_mutex_unlock(&run.lock);
    return self;
}

static void unmake(const struct telex_stage *stage, void *self) {
    if (stage->drain)
        stage->drain(self, clock_ms(CLOCK_MONOTONIC) + 1000);
    if (stage->stop)
        stage->stop(self);
    run.n_tasks = 0;
    memset(run.timer_due, 0, sizeof(run.timer_due));
    stage->destroy(self);
}

static int due_timer(int64_t now) {
    for (int i = 0; i < TIMERS_MAX; i++)
        if (run.timer_due[i] && run.timer_due[i] <= now) {
            run.timer_due[i] = 0;
            return i;
        }
    return -1;
}

/* Wait until something is to be done or `end_ms` has come. The lock is held. */
static void wait_for_work(int64_t end_ms) {
    int64_t until = clock_ms(CLOCK_MONOTONIC) + 20, wall = clock_ms(CLOCK_REALTIME) + 20;
    struct timespec at = {wall / 1000, wall % 1000 * 1000000};
    if (!run.credit_due && !run.n_tasks && !run.exhausted && until <= end_ms)
        pthread_cond_timedwait(&run.wake, &run.lock, &at);
}

static void live(const struct telex_stage *stage, struct telex_bytes options, int64_t end_ms) {
    void *self = make(stage, options);
    pthread_mutex_lock(&run.lock);
    while (!run.exhausted && clock_ms(CLOCK_MONOTONIC) < end_ms) {
        int due = due_timer(clock_ms(CLOCK_MONOTONIC));
        struct task task = {0};
        bool credit = false, recreate = run.recreate && !run.open_lease;
        if (!recreate && run.n_tasks) {
            task = run.tasks[0];
            memmove(run.tasks, run.tasks + 1, --run.n_tasks * sizeof(task));
        } else if (!recreate && due < 0) {
            credit = run.credit_due;
            run.credit_due = false;
        }
        pthread_mutex_unlock(&run.lock);
        if (recreate) {
            unmake(stage, self);
            run.recreate = false; /* not before: what the old instance still says counts for nothing */
            self = make(stage, options);
        } else if (task.fn)
            task.fn(task.arg);
        else if (due >= 0)
            stage->on_timer(self, (uint64_t)due);
        else if (credit && stage->on_credit)
            stage->on_credit(self);
        pthread_mutex_lock(&run.lock);
        wait_for_work(end_ms);
    }
    run.draining = true;
    pthread_mutex_unlock(&run.lock);
    unmake(stage, self);
    if (run.open_lease)
        broken("a step was left open");
}

int main(int argc, char **argv) {
    char *given[ARGS_MAX];
    int n_given = 0;
    double seconds = 60;
    if (argc < 2)
        return 2;
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (!strcmp(argv[i], "-o") && n_given < ARGS_MAX)
            given[n_given++] = argv[i + 1];
        else if (!strcmp(argv[i], "--kv"))
            run.kv_path = value;
        else if (!strcmp(argv[i], "--steps"))
            run.max_steps = atoll(value);
        else if (!strcmp(argv[i], "--seconds"))
            seconds = atof(value);
        else if (!strcmp(argv[i], "--crash"))
            run.crash = atoll(value);
        else if (!strcmp(argv[i], "--full"))
            run.full = atoll(value);
        else if (!strcmp(argv[i], "--refuse"))
            run.refuse = atoll(value);
        else
            return 2;
    }
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    const struct telex_plugin *(*entry)(uint32_t) = NULL;
    if (library)
        *(void **)&entry = dlsym(library, "telex_entry_v1");
    const struct telex_plugin *plugin = entry ? entry(TELEX_ABI_MINOR) : NULL;
    const void *const *classes = plugin ? plugin->provides(TELEX_CLASS_STAGE) : NULL;
    if (!classes) {
        fprintf(stderr, "stage-run: %s\n", library ? "no stage in it" : dlerror());
        return 1;
    }
    struct telex_builder options;
    run.stage = classes[0];
    telex_build_init(&options);
    build_options(&options, run.stage, given, n_given);
    load();
    live(run.stage, telex_build_body(&options), clock_ms(CLOCK_MONOTONIC) + (int64_t)(seconds * 1000));
    telex_build_finish(&options);
    clear(&run.committed);
    clear(&run.changes);
    free(run.changes.items);
    return 0;
}
