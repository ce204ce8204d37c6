/* SPDX-License-Identifier: Apache-2.0 */
/* check_fuzz.c - lives over messages and options that nobody thought of; what breaks a rule is made as small
 * as it goes and can be run again by its number.
 *
 * Cases run in batches, a child each; a case that breaks something runs again alone, and then smaller and
 * smaller, for as long as it breaks the same rule. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <telex-sdk/json.h>

#include "check_fuzz.h"

enum { BATCH = 25, SHRINKS_MAX = 400, SHOWN_BYTES = 400 };

/* What a child has to do: cases of a seed, or the one that is given. */
struct fuzz_work {
    const struct check_variations *variations;
    const struct fuzz_case *one; /* NULL: those from `first` on */
    uint64_t seed, first;
    uint32_t count;
};

/* ---- in the child ---- */

static void live_case(struct life *life, const struct fuzz_case *c) {
    life->options = c->option ? c->option->options : life->run->options;
    life->may_refuse = c->option != NULL;
    if (!check_make(life, "fuzz"))
        return;
    bool started = check_begin(life);
    for (uint32_t i = 0; i < c->n_records && started; i++) {
        struct telex_bytes body = fuzz_record_body(&c->records[i]);
        struct telex_rec *rec = check_record(&life->host, body);
        free((void *)body.data);
        if (!rec)
            continue;
        check_deliver(life, rec);
        check_expect_settled(life);
    }
    check_end(life, started);
    check_host_free(&life->host);
}

static void run_fuzz(struct check_run *run) {
    static struct life life;
    static struct fuzz_case c;
    char call[40];
    const struct fuzz_work *work = run->arg;
    check_life_init(&life, run);
    if (work->one) {
        live_case(&life, work->one);
        return;
    }
    for (uint64_t i = work->first; i < work->first + work->count; i++) {
        snprintf(call, sizeof(call), "case %llu", (unsigned long long)i);
        check_say(run, call);
        fuzz_case_make(&c, work->seed, i, run->table, work->variations);
        live_case(&life, &c);
        fuzz_case_finish(&c);
    }
}

static bool takes_records(const void *table) {
    return ((const struct telex_stage *)table)->process != NULL;
}

/* ---- in the parent ---- */

struct fuzz {
    const struct check_how *how;
    const struct plugin_desc *plugin;
    struct telex_bytes options;
    const struct check_variations *variations;
    json_t *findings;
    int64_t deadline_ms;
    int shrinks_left;
};

/* What a child finds over some work. Gives a list; *fits: the scenario is one for this plugin. */
static json_t *run_work(const struct fuzz *f, const struct fuzz_work *work, int life_ms, bool *fits) {
    static const struct check_scenario fuzz = {"fuzz", run_fuzz, takes_records};
    json_t *found = json_array(), *names = json_array();
    check_scenarios(f->plugin, f->options, life_ms, &fuzz, 1, work, found, names);
    if (fits)
        *fits = json_array_size(names) > 0;
    json_decref(names);
    return found;
}

/* The finding of a rule, or NULL. Borrowed. */
static json_t *finding_of(const json_t *found, const char *rule) {
    size_t i;
    json_t *finding;
    json_array_foreach((json_t *)found, i,
                       finding) if (strcmp(json_string_value(json_object_get(finding, "rule")), rule) ==
                                    0) return finding;
    return NULL;
}

/* Does this case break the rule? A case alone gets a part of a life's time. */
static bool breaks(struct fuzz *f, const struct fuzz_case *c, const char *rule) {
    struct fuzz_work work = {.variations = f->variations, .one = c};
    f->shrinks_left--;
    json_t *found = run_work(f, &work, f->how->life_ms / 5 > 1000 ? f->how->life_ms / 5 : 1000, NULL);
    bool broken = finding_of(found, rule) != NULL;
    json_decref(found);
    return broken;
}

static void shrink(struct fuzz *f, struct fuzz_case *c, const char *rule) {
    struct fuzz_case smaller;
    uint32_t n = 0;
    while (f->shrinks_left > 0 && check_now_ms() < f->deadline_ms && fuzz_case_smaller(c, n, &smaller)) {
        if (breaks(f, &smaller, rule)) {
            fuzz_case_finish(c);
            *c = smaller; /* what was tried before may work now, but seldom does: go on from here */
            continue;
        }
        fuzz_case_finish(&smaller);
        n++;
    }
}

/* Text, and for machines the whole case. */
static void report(struct fuzz *f, const char *rule, const char *text, uint64_t number,
                   const struct fuzz_case *c, bool alone) {
    char line[4096];
    json_t *records = json_array();
    size_t used = (size_t)snprintf(line, sizeof(line), "%.300s; %s", text,
                                   alone ? "with" : "after the cases before it, with");
    if (c->option)
        used += (size_t)snprintf(line + used, sizeof(line) - used, " -o '%.100s' and", c->option->label);
    for (uint32_t i = 0; i < c->n_records; i++) {
        struct telex_bytes body = fuzz_record_body(&c->records[i]);
        char *shown = telex_json_line(body);
        size_t size = 0;
        char *clean = shown ? telex_utf8_repair(shown, strlen(shown), &size) : NULL;
        used += (size_t)snprintf(line + used, sizeof(line) - used, " %.*s%s", SHOWN_BYTES,
                                 clean ? clean : "?", size > SHOWN_BYTES ? "..." : "");
        json_array_append_new(records, json_string(clean ? clean : ""));
        free(clean);
        free(shown);
        free((void *)body.data);
    }
    snprintf(line + used, sizeof(line) - used, "; again: --seed %llu --case %llu",
             (unsigned long long)f->how->seed, (unsigned long long)number);
    size_t size;
    char *clean =
        telex_utf8_repair(line, strlen(line), &size); /* a record may have been cut within a letter */
    json_t *finding = check_add(f->findings, rule, "fuzz", clean ? clean : "");
    json_object_set_new(finding, "seed", json_integer((json_int_t)f->how->seed));
    json_object_set_new(finding, "case", json_integer((json_int_t)number));
    json_object_set_new(finding, "option", c->option ? json_string(c->option->label) : json_null());
    json_object_set_new(finding, "records", records);
    free(clean);
}

/* Make what a batch found small and report it. */
static void take(struct fuzz *f, const json_t *finding, const struct telex_stage *class) {
    const char *rule = json_string_value(json_object_get(finding, "rule"));
    uint64_t number = (uint64_t)json_integer_value(json_object_get(finding, "case"));
    struct fuzz_case c;
    if (finding_of(f->findings, rule))
        return; /* one case for each rule */
    fuzz_case_make(&c, f->how->seed, number, class, f->variations);
    bool alone = breaks(f, &c, rule);
    if (alone)
        shrink(f, &c, rule);
    if (alone || strcmp(rule, "life.hang") != 0) /* a batch may just be slow */
        report(f, rule, json_string_value(json_object_get(finding, "text")), number, &c, alone);
    fuzz_case_finish(&c);
}

/* The ports of a plugin without loading it: what check_input_schema reads. */
struct described {
    struct telex_stage class;
    struct telex_port ports[32];
    const struct telex_port *list[33];
    const char *schemas[32][17];
};

static void describe(struct described *d, const struct plugin_desc *plugin) {
    size_t i, k, n = 0;
    json_t *port, *schema;
    memset(d, 0, sizeof(*d));
    json_array_foreach(json_object_get(plugin->about, "ports"), i, port) {
        if (n == 32)
            break;
        json_array_foreach(json_object_get(port, "schemas"), k, schema) if (k < 16) d->schemas[n][k] =
            json_string_value(schema);
        bool in = strcmp(json_string_value(json_object_get(port, "direction")), "in") == 0;
        d->ports[n] = (struct telex_port){.size = sizeof(struct telex_port),
                                          .direction = in ? TELEX_IN : TELEX_OUT,
                                          .schemas = d->schemas[n]};
        d->list[n] = &d->ports[n];
        n++;
    }
    d->class.ports = d->list;
}

void check_fuzz(const struct check_how *how, const struct plugin_desc *plugin, struct telex_bytes options,
                const struct check_variations *variations, json_t *findings, json_t *scenarios) {
    static struct described described;
    bool fits = true, any = false;
    struct fuzz f = {.how = how,
                     .plugin = plugin,
                     .options = options,
                     .variations = variations,
                     .findings = findings,
                     .deadline_ms = check_now_ms() + 2 * how->life_ms,
                     .shrinks_left = SHRINKS_MAX};
    describe(&described, plugin);
    uint64_t first = how->one_case >= 0 ? (uint64_t)how->one_case : 0;
    uint64_t end = how->one_case >= 0 ? first + 1 : how->n_cases;
    for (uint64_t at = first; at < end && fits && check_now_ms() < f.deadline_ms; at += BATCH) {
        uint32_t count = end - at < BATCH ? (uint32_t)(end - at) : BATCH;
        struct fuzz_work work = {.variations = variations, .seed = how->seed, .first = at, .count = count};
        json_t *finding, *found = run_work(&f, &work, how->life_ms, &fits);
        size_t i;
        any = any || fits;
        json_array_foreach(found, i, finding) take(&f, finding, &described.class);
        json_decref(found);
    }
    if (any)
        json_array_append_new(scenarios, json_string("fuzz"));
}
