/* SPDX-License-Identifier: Apache-2.0 */
/* model-script - a stand-in for a model: telex.generate/1 that answers the desk by rule.
 *
 * It has no weights and no luck: the same job always gets the same answer, in no time or after a stated
 * pause. Tests of everything around the model use it, and the soak test. `mode` says what it is made to do
 * wrong. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include <telex-sdk/option.h>
#include <telex-sdk/plugin.h>

enum { QUEUE_MAX = 64, TEXT_MAX = 2048 };

struct script_config {
    const char *mode;
    int64_t delay_ms, fail_every;
};

struct task {
    struct task *next;
    telex_job_done done;
    void *arg;
    uint64_t id;
    bool cancelled;
    char asked[TEXT_MAX]; /* the last message of the desk that states a task */
};

struct script {
    struct script_config config;
    void *options; /* owned */
    pthread_t worker;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct task *first, *last;
    size_t n_queued;
    uint64_t n_jobs;
    bool ending;
};

static const char *const modes[] = {"echo", "lie", "garbage", "silent", NULL};
static const struct telex_option *const script_options[] = {
    TELEX_OPTION(.name = "mode", .type = TELEX_CHOICE, .offset = offsetof(struct script_config, mode),
                 .initial = "echo", .choices = modes,
                 .doc = "echo repeats the sentence; lie changes its numbers; garbage is no JSON; silent "
                        "fails every job"),
    TELEX_OPTION(.name = "delay", .type = TELEX_DURATION, .offset = offsetof(struct script_config, delay_ms),
                 .initial = "0ms", .doc = "pause before each answer"),
    TELEX_OPTION(.name = "fail_every", .type = TELEX_INT,
                 .offset = offsetof(struct script_config, fail_every), .initial = "0", .min = 0,
                 .max = 1000000, .doc = "every n-th job ends with RETRY; 0: none"),
    NULL,
};

static bool is_capital(char c) {
    return c >= 'A' && c <= 'Z';
}

/* The longest run of words in capitals in a sentence, else its first long word. */
static void topic_of(const char *sentence, char *out, size_t cap) {
    size_t best = 0, best_at = 0, at = 0, len = strlen(sentence);
    while (at < len) {
        size_t end = at, word = at;
        while (word < len && is_capital(sentence[word])) {
            end = word + strcspn(sentence + word, " ,.;:\"'()");
            word = end + (sentence[end] == ' ');
            if (sentence[end] != ' ')
                break;
        }
        if (end - at > best && at > 0) {
            best = end - at;
            best_at = at;
        }
        at = end > at ? end : at + strcspn(sentence + at, " ");
        at += strspn(sentence + at, " ,.;:\"'()");
    }
    if (best < 3) {
        best_at = 0;
        best = strcspn(sentence, " ");
    }
    snprintf(out, cap, "%.*s", (int)best, sentence + best_at);
}

static void lie_about_numbers(char *text) {
    for (char *c = text; *c; c++)
        if (*c >= '0' && *c <= '9')
            *c = (char)('0' + (*c - '0' + 3) % 10);
}

/* What follows `label` on its line, or "". */
static void field_of(const char *asked, const char *label, char *out, size_t cap) {
    const char *at = strstr(asked, label);
    at = at ? at + strlen(label) : "";
    snprintf(out, cap, "%.*s", (int)strcspn(at, "\n"), at);
}

static void answer(const struct script *script, const char *asked, char *out, size_t cap) {
    char kind[32], sentence[TEXT_MAX], topic[256];
    field_of(asked, "Task: ", kind, sizeof(kind));
    field_of(asked, "Sentence: ", sentence, sizeof(sentence));
    topic_of(sentence, topic, sizeof(topic));
    if (strcmp(kind, "question") == 0)
        snprintf(out, cap, "What was said about %s?", topic);
    else if (strncmp(kind, "heading", 7) == 0)
        snprintf(out, cap, "What is said of %s", topic);
    else
        snprintf(out, cap, "%s", sentence);
    if (strcmp(script->config.mode, "lie") == 0)
        lie_about_numbers(out);
}

static void finish_task(struct script *script, struct task *task, uint64_t number) {
    char text[TEXT_MAX];
    struct telex_result result = {.size = sizeof(result), .status = TELEX_OK, .finish = TELEX_FINISH_STOP};
    json_t *root = NULL;
    char *json = NULL;
    bool fails = script->config.fail_every > 0 && number % (uint64_t)script->config.fail_every == 0;
    if (task->cancelled) {
        result.status = TELEX_CANCELLED;
        result.finish = TELEX_FINISH_FAILED;
    } else if (fails || strcmp(script->config.mode, "silent") == 0) {
        result.status = TELEX_RETRY;
        result.finish = TELEX_FINISH_FAILED;
        result.error = telex_text("the script says no");
    } else if (strcmp(script->config.mode, "garbage") == 0) {
        result.text = telex_text("{\"text\": \"Broken o");
        result.finish = TELEX_FINISH_LENGTH;
    } else {
        answer(script, task->asked, text, sizeof(text));
        root = json_pack("{s:s}", "text", text);
        json = root ? json_dumps(root, JSON_COMPACT) : NULL;
        result.text = telex_text(json);
    }
    result.prompt_tokens = (uint32_t)strlen(task->asked) / 4;
    result.output_tokens = (uint32_t)result.text.size / 4;
    result.cached_tokens = 1; /* of every job alike, so that sums can be told */
    result.passes = 2;
    result.forced_tokens = 3;
    result.drafted_tokens = 5;
    result.accepted_tokens = 4;
    task->done(task->arg, &result);
    free(json);
    json_decref(root);
    free(task);
}

static void pause_ms(int64_t ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    if (ms > 0)
        nanosleep(&time, NULL);
}

static void *work(void *arg) {
    struct script *script = arg;
    pthread_mutex_lock(&script->lock);
    while (!script->ending || script->first) {
        if (!script->first) {
            pthread_cond_wait(&script->changed, &script->lock);
            continue;
        }
        pthread_mutex_unlock(&script->lock);
        pause_ms(script->config.delay_ms);
        pthread_mutex_lock(&script->lock);
        struct task *task = script->first;
        script->first = task->next;
        script->last = script->first ? script->last : NULL;
        script->n_queued--;
        uint64_t number = ++script->n_jobs;
        pthread_mutex_unlock(&script->lock);
        finish_task(script, task, number);
        pthread_mutex_lock(&script->lock);
    }
    pthread_mutex_unlock(&script->lock);
    return NULL;
}

static int32_t script_probe(void) {
    return 1;
}

static telex_status script_open(const struct telex_host *host, struct telex_bytes options, void **self) {
    struct script *script = calloc(1, sizeof(*script));
    if (!script)
        return telex_fail(host, 0, TELEX_RETRY, "out of memory");
    if (telex_options_read(script_options, options, &script->config, &script->options) < 0) {
        free(script);
        return telex_fail(host, 0, TELEX_FATAL, "options cannot be read");
    }
    pthread_mutex_init(&script->lock, NULL);
    pthread_cond_init(&script->changed, NULL);
    if (pthread_create(&script->worker, NULL, work, script) != 0) {
        free(script->options);
        free(script);
        return telex_fail(host, 0, TELEX_RETRY, "no thread");
    }
    *self = script;
    return TELEX_OK;
}

static telex_status script_info(void *self, struct telex_backend_info *out) {
    (void)self;
    out->context_tokens = 4096;
    out->model = "script";
    out->weights_sha256 = "";
    out->backend = "model-script";
    return TELEX_OK;
}

static telex_status script_generate(void *self, const struct telex_job *job, telex_job_done done, void *arg,
                                    uint64_t *job_id) {
    struct script *script = self;
    static uint64_t next_id;
    struct task *task = calloc(1, sizeof(*task));
    if (!task)
        return TELEX_AGAIN;
    for (uint32_t i = 0; i < job->n_messages; i++) {
        const struct telex_message *message = job->messages[i];
        if (message->role == TELEX_ROLE_USER && message->text.size > 5 &&
            memcmp(message->text.data, "Task:", 5) == 0)
            snprintf(task->asked, sizeof(task->asked), "%.*s", (int)message->text.size,
                     (const char *)message->text.data);
    }
    task->done = done;
    task->arg = arg;
    pthread_mutex_lock(&script->lock);
    bool full = script->n_queued == QUEUE_MAX;
    if (!full) {
        task->id = *job_id = ++next_id;
        if (script->last)
            script->last->next = task;
        else
            script->first = task;
        script->last = task;
        script->n_queued++;
        pthread_cond_signal(&script->changed);
    }
    pthread_mutex_unlock(&script->lock);
    if (full)
        free(task);
    return full ? TELEX_AGAIN : TELEX_OK;
}

static void script_cancel(void *self, uint64_t job_id) {
    struct script *script = self;
    pthread_mutex_lock(&script->lock);
    for (struct task *task = script->first; task; task = task->next)
        task->cancelled |= task->id == job_id;
    pthread_mutex_unlock(&script->lock);
}

static void script_close(void *self) {
    struct script *script = self;
    pthread_mutex_lock(&script->lock);
    script->ending = true;
    pthread_cond_signal(&script->changed);
    pthread_mutex_unlock(&script->lock);
    pthread_join(script->worker, NULL);
    pthread_cond_destroy(&script->changed);
    pthread_mutex_destroy(&script->lock);
    free(script->options);
    free(script);
}

static const struct telex_generate script = {
    .size = sizeof(script),
    .name = "model-script",
    .version = "0.1.0",
    .doc = "answers the desk by rule, for tests",
    .options = script_options,
    .probe = script_probe,
    .open = script_open,
    .info = script_info,
    .generate = script_generate,
    .cancel = script_cancel,
    .close = script_close,
};

TELEX_GENERATE_PLUGIN(script, "model-script", "0.1.0", "Apache-2.0", "answers the desk by rule, for tests")
