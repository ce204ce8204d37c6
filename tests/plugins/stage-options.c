/* SPDX-License-Identifier: Apache-2.0 */
/* stage-options - has an option of every type; it answers every record with what it was given. */
#include "filter.h"

struct settings {
    const char *text, *choice, *path, *secret;
    int64_t number, wait_ms, bytes;
    double real;
    bool flag;
    struct telex_texts list;
};

#define ROW(name_, type_, member, ...)                                                                       \
    TELEX_OPTION(.name = name_, .type = type_, .offset = offsetof(struct settings, member),                  \
                 .doc = "an option of type " name_, __VA_ARGS__)

static const char *const colours[] = {"red", "green", "blue", NULL};

static const struct telex_option *const options[] = {
    ROW("text", TELEX_TEXT, text, .initial = "usual"),
    ROW("int", TELEX_INT, number, .initial = "-3", .min = -10, .max = 10),
    ROW("real", TELEX_REAL, real, .initial = "0.5", .min = 0, .max = 1),
    ROW("bool", TELEX_BOOL, flag, .initial = "true"),
    ROW("duration", TELEX_DURATION, wait_ms, .initial = "2m", .min = 1000, .max = 86400e3, .unit = "ms"),
    ROW("size", TELEX_SIZE, bytes, .initial = "64KiB", .unit = "bytes"),
    ROW("choice", TELEX_CHOICE, choice, .initial = "green", .choices = colours),
    ROW("path", TELEX_PATH, path, .initial = "x/y"),
    ROW("list", TELEX_LIST, list, .initial = "a,b"),
    ROW("secret", TELEX_SECRET, secret, .flags = 0),
    NULL,
};

struct told {
    struct filter filter;
    struct settings settings;
    void *memory;
};

static telex_status told_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct told *told = calloc(1, sizeof(*told));
    if (!told || telex_options_read(options, given, &told->settings, &told->memory) < 0) {
        free(told);
        return telex_fail(host, 0, TELEX_FATAL, "options are not what the table describes");
    }
    told->filter.host = host;
    *self = told;
    return TELEX_OK;
}

static telex_status told_process(void *self, telex_lease lease, struct telex_rec *in) {
    const struct told *told = self;
    const struct settings *s = &told->settings;
    struct telex_builder b;
    (void)in;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "schema"), telex_build_text(&b, "telex.record/1");
    telex_build_key(&b, "id"), telex_build_text(&b, "settings");
    telex_build_key(&b, "text"), telex_build_text(&b, s->text);
    telex_build_key(&b, "int"), telex_build_int(&b, s->number);
    telex_build_key(&b, "real"), telex_build_real(&b, s->real);
    telex_build_key(&b, "bool"), telex_build_flag(&b, s->flag);
    telex_build_key(&b, "duration"), telex_build_int(&b, s->wait_ms);
    telex_build_key(&b, "size"), telex_build_int(&b, s->bytes);
    telex_build_key(&b, "choice"), telex_build_text(&b, s->choice);
    telex_build_key(&b, "path"), telex_build_text(&b, s->path);
    telex_build_key(&b, "list"), telex_build_array(&b, s->list.count);
    for (uint32_t i = 0; i < s->list.count; i++)
        telex_build_text(&b, s->list.items[i]);
    telex_build_key(&b, "secret_bytes"), telex_build_int(&b, (int64_t)strlen(s->secret));
    telex_build_map_end(&b);
    telex_status status = telex_build_commit(&b, told->filter.host, lease, 0);
    telex_build_finish(&b);
    return status;
}

static void told_destroy(void *self) {
    struct told *told = self;
    free(told->memory);
    free(told);
}

static const struct telex_stage stage = {
    .size = sizeof(stage),
    .role = TELEX_FILTER,
    .max_outputs = 1,
    .name = "stage-options",
    .version = "0.1.0",
    .doc = "has an option of every type",
    .ports = filter_ports,
    .options = options,
    .create = told_create,
    .process = told_process,
    .destroy = told_destroy,
};

TELEX_STAGE_PLUGIN(stage, "stage-options", "0.1.0", "Apache-2.0", "has an option of every type")
