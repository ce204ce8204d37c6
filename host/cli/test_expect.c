/* SPDX-License-Identifier: Apache-2.0 */
/* test_expect.c - goes through the expectations of a test in the order of the file. */
#include "test_expect.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/json.h>

#include "../config_build.h"
#include "cli.h"
#include "journal_view.h"
#include "test_match.h"

enum { DETAILS_MAX = 12 };

/* ---- failures ---- */

/* Give the new failure, for its details; borrowed. */
__attribute__((format(printf, 4, 5))) static json_t *fail(json_t *failures, struct mark mark,
                                                          const char *path, const char *format, ...) {
    char text[MATCH_WHY_BYTES + 200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    json_t *failure = json_pack("{s:i, s:i, s:s, s:s, s:[]}", "line", mark.line, "column", mark.column,
                                "path", path, "text", text, "detail");
    json_array_append_new(failures, failure);
    return failure;
}

__attribute__((format(printf, 2, 3))) static void add_detail(json_t *failure, const char *format, ...) {
    char text[MATCH_WHY_BYTES + 200];
    va_list args;
    json_t *details = json_object_get(failure, "detail");
    if (!details || json_array_size(details) > DETAILS_MAX)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    json_array_append_new(details, json_string(json_array_size(details) == DETAILS_MAX ? "..." : text));
}

/* ---- what was published, quarantined and put out ---- */

static json_t *row_message(sqlite3_stmt *row, int column) {
    struct telex_map map;
    struct telex_bytes body = {sqlite3_column_blob(row, column), (uint64_t)sqlite3_column_bytes(row, column)};
    if (telex_map_open(&map, body) < 0)
        return json_null();
    json_t *message = telex_json_from(map.root);
    telex_map_close(&map);
    return message;
}

/* [{"from": [...], "message"}] of the whole journal. What a stage forwarded comes from it too. */
static json_t *read_messages(struct journal_view *view) {
    json_t *list = json_array();
    sqlite3_stmt *row =
        view_query(view, "SELECT m.origin, m.body, group_concat(substr(e.name, 1, instr(e.name, '>') - 1))"
                         " FROM msg m LEFT JOIN delivery d ON d.seq = m.seq LEFT JOIN edge e"
                         " ON e.id = d.edge GROUP BY m.seq ORDER BY m.seq");
    while (sqlite3_step(row) == SQLITE_ROW) {
        const char *carried = (const char *)sqlite3_column_text(row, 2);
        char *origins = carried ? strdup(carried) : NULL, *rest = origins, *one;
        json_t *from = json_pack("[s]", sqlite3_column_text(row, 0));
        while (rest && (one = strsep(&rest, ",")))
            json_array_append_new(from, json_string(one));
        json_array_append_new(list, json_pack("{s:o, s:o}", "from", from, "message", row_message(row, 1)));
        free(origins);
    }
    sqlite3_finalize(row);
    return list;
}

static json_t *read_quarantine(struct journal_view *view) {
    json_t *list = json_array();
    sqlite3_stmt *row =
        view_query(view, "SELECT q.stage, q.reason, q.attempts, m.id, m.schema, m.version FROM "
                         "quarantine q JOIN msg m USING(seq) ORDER BY q.seq");
    while (sqlite3_step(row) == SQLITE_ROW)
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:I, s:s, s:s, s:I}", "stage", sqlite3_column_text(row, 0), "reason",
                            sqlite3_column_text(row, 1), "attempts", (json_int_t)sqlite3_column_int64(row, 2),
                            "id", sqlite3_column_text(row, 3), "schema", sqlite3_column_text(row, 4),
                            "version", (json_int_t)sqlite3_column_int64(row, 5)));
    sqlite3_finalize(row);
    return list;
}

/* ---- one kind of expectation each ---- */

struct truth {
    const struct test_plan *plan;
    const struct test_outcome *outcome;
    json_t *failures, *messages, *quarantine;
    const char *state;
};

/* A number under key, `usual` where the test does not say; `usual` < 0: anything goes. */
static json_t *check_number(struct truth *t, const char *key, json_int_t got, json_int_t usual) {
    const struct node *want = node_get(t->plan->expect, key);
    char why[MATCH_WHY_BYTES], path[100];
    json_t *value = json_integer(got), *failure = NULL;
    snprintf(path, sizeof(path), "expect.%s", key);
    if (want && !match_value(want, value, why))
        failure = fail(t->failures, node_key_mark(t->plan->expect, key), path, "%s", why);
    else if (!want && usual >= 0 && got != usual)
        failure = fail(t->failures, t->plan->mark, path, "is %lld, expected %lld (as nothing else is said)",
                       (long long)got, (long long)usual);
    json_decref(value);
    return failure;
}

static void check_end(struct truth *t) {
    const struct test_outcome *o = t->outcome;
    if (o->timed_out)
        fail(t->failures, t->plan->mark, "timeout",
             "the pipeline was not through after %lld ms; give `timeout` more, or look "
             "into the log (--keep)",
             (long long)t->plan->timeout_ms);
    else if (o->signal)
        fail(t->failures, t->plan->mark, "expect.exit", "the host was ended by SIG%s",
             sigabbrev_np(o->signal));
    else
        check_number(t, "exit", o->exit_code, 0);
}

static void check_faults(struct truth *t) {
    uint32_t n_host = 0;
    for (size_t i = 0; i < t->plan->n_faults; i++) {
        const struct test_fault *fault = &t->plan->faults[i];
        bool host = fault->stage == SIZE_MAX, struck = host && t->outcome->lives > ++n_host;
        const struct fault_page *page = host || fault->stage >= 64 ? NULL : t->outcome->pages[fault->stage];
        for (uint32_t k = 0; page && k < page->n_faults; k++)
            struck = struck || (page->faults[k].kind == fault->fault.kind &&
                                page->faults[k].at == fault->fault.at && page->faults[k].struck > 0);
        bool given = false;
        for (size_t k = 0; k < t->plan->n_sources; k++)
            given = given || t->plan->sources[k].stage == fault->stage;
        if (struck || given)
            continue;
        if (host)
            fail(t->failures, fault->mark, "faults",
                 "the host was through before its commit %u; name an earlier one", fault->fault.at);
        else
            fail(t->failures, fault->mark, "faults",
                 "never struck: %s was handed %u records; name one of those",
                 t->plan->config->stages[fault->stage].name, page ? page->n_records : 0);
    }
}

static void check_quarantine(struct truth *t) {
    const struct node *list = node_get(t->plan->expect, "quarantine");
    size_t i, k;
    json_t *held;
    char why[MATCH_WHY_BYTES], path[100];
    json_int_t usual = list ? (json_int_t)list->count : 0;
    json_t *failure = check_number(t, "quarantined", (json_int_t)json_array_size(t->quarantine), usual);
    json_array_foreach(t->quarantine, i, held) add_detail(
        failure, "%s %s, stage %s: %s", json_string_value(json_object_get(held, "schema")),
        json_string_value(json_object_get(held, "id")), json_string_value(json_object_get(held, "stage")),
        json_string_value(json_object_get(held, "reason")));
    for (i = 0; list && i < list->count; i++) {
        const struct node *want = list->items[i];
        bool found = false;
        json_array_foreach(t->quarantine, k, held) found = found || match_all(want, held, why);
        snprintf(path, sizeof(path), "expect.quarantine[%zu]", i);
        if (found)
            continue;
        failure = fail(t->failures, want->count ? want->key_marks[0] : want->mark, path,
                       "no such record is in quarantine");
        json_array_foreach(t->quarantine, k, held) {
            match_all(want, held, why);
            add_detail(failure, "%s: %s", json_string_value(json_object_get(held, "id")), why);
        }
    }
}

static void check_published(struct truth *t) {
    size_t i;
    json_t *entry;
    json_int_t n = 0;
    json_t *seen = json_object();
    json_array_foreach(t->messages, i, entry) {
        const json_t *message = json_object_get(entry, "message");
        const char *schema = json_string_value(json_object_get(message, "schema"));
        const char *id = json_string_value(json_object_get(message, "id"));
        if (!schema || strcmp(schema, "telex.event/1") != 0 || !id)
            continue;
        n += json_object_get(seen, id) == NULL;
        json_object_set_new(seen, id, json_true());
    }
    json_decref(seen);
    check_number(t, "published", n, -1);
}

static void check_stages(struct truth *t) {
    const struct node *stages = node_get(t->plan->expect, "stages");
    for (size_t i = 0; stages && i < stages->count; i++) {
        size_t k;
        json_t *at, *stage = NULL;
        char path[300], why[MATCH_WHY_BYTES];
        json_array_foreach(json_object_get(t->outcome->status, "stages"), k,
                           at) if (strcmp(json_string_value(json_object_get(at, "name")), stages->keys[i]) ==
                                   0) stage = at;
        for (k = 0; k < stages->items[i]->count; k++) {
            snprintf(path, sizeof(path), "expect.stages.%.100s.%.100s", stages->keys[i],
                     stages->items[i]->keys[k]);
            if (!match_value(stages->items[i]->items[k], json_object_get(stage, stages->items[i]->keys[k]),
                             why))
                fail(t->failures, stages->items[i]->key_marks[k], path, "%s", why);
        }
    }
}

/* ---- messages ---- */

static bool comes_from(const char *origin, const char *from) {
    size_t size = strlen(from);
    return strncmp(origin, from, size) == 0 && (origin[size] == 0 || origin[size] == '.');
}

static bool comes_from_any(const json_t *origins, const char *from) {
    size_t i;
    json_t *origin;
    json_array_foreach((json_t *)origins, i,
                       origin) if (comes_from(json_string_value(origin), from)) return true;
    return false;
}

static const char *text_at(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static const char *node_text(const struct node *map, const char *key) {
    const struct node *node = node_get(map, key);
    return node && node->kind == NODE_TEXT ? node->text : NULL;
}

/* Those that an item speaks of; borrowed messages. What `where` leaves out is said in `others`. */
static json_t *select_messages(const struct truth *t, const struct node *item, json_t *others) {
    size_t i;
    json_t *entry, *found = json_array();
    const char *from = node_text(item, "from"), *schema = node_text(item, "schema");
    char why[MATCH_WHY_BYTES], line[MATCH_WHY_BYTES + 100];
    json_array_foreach(t->messages, i, entry) {
        json_t *message = json_object_get(entry, "message");
        if ((from && !comes_from_any(json_object_get(entry, "from"), from)) ||
            (schema && strcmp(text_at(message, "schema"), schema) != 0))
            continue;
        if (match_all(node_get(item, "where"), message, why)) {
            json_array_append(found, message);
            continue;
        }
        snprintf(line, sizeof(line), "- %.64s: %s", text_at(message, "id"), why);
        json_array_append_new(others, json_string(line));
    }
    return found;
}

static void show_messages(json_t *failure, const json_t *found, const json_t *others) {
    size_t i;
    json_t *message, *line;
    json_array_foreach((json_t *)found, i, message)
        add_detail(failure, "+ %s (%s) %.80s", text_at(message, "id"), text_at(message, "schema"),
                   *text_at(message, "title") ? text_at(message, "title") : text_at(message, "headline"));
    json_array_foreach((json_t *)others, i, line) add_detail(failure, "%s", json_string_value(line));
    if (json_array_size(found) + json_array_size(others) == 0)
        add_detail(failure, "no message of this stage and schema came at all");
}

static void check_ids(struct truth *t, const struct node *item, const char *path, const json_t *found,
                      const json_t *others) {
    const struct node *ids = node_get(item, "ids");
    bool same = ids && ids->count == json_array_size(found);
    for (size_t k = 0; same && k < ids->count; k++)
        same = ids->items[k]->kind == NODE_TEXT &&
               strcmp(ids->items[k]->text, text_at(json_array_get(found, k), "id")) == 0;
    if (!ids || same)
        return;
    json_t *failure =
        fail(t->failures, node_key_mark(item, "ids"), path, "other messages came, or in another order");
    for (size_t k = 0; k < ids->count || k < json_array_size(found); k++) {
        const char *want =
            k < ids->count && ids->items[k]->kind == NODE_TEXT ? ids->items[k]->text : "(none)";
        const char *got = k < json_array_size(found) ? text_at(json_array_get(found, k), "id") : "(none)";
        add_detail(failure, "%c expected %.64s, came %.64s", strcmp(want, got) == 0 ? ' ' : '!', want, got);
    }
    (void)others;
}

static void check_item(struct truth *t, const struct node *item, size_t index) {
    char path[120], why[MATCH_WHY_BYTES];
    size_t i;
    json_t *message, *failure = NULL, *others = json_array(), *found = select_messages(t, item, others);
    const struct node *count = node_get(item, "count"), *each = node_get(item, "each");
    json_t *n = json_integer((json_int_t)json_array_size(found));
    snprintf(path, sizeof(path), "expect.messages[%zu]", index);
    if (count && !match_value(count, n, why))
        failure = fail(t->failures, node_key_mark(item, "count"), path, "the count %s", why);
    else if (!count && !node_get(item, "ids") && json_array_size(found) == 0)
        failure = fail(t->failures, item->key_marks[0], path, "no message is like this");
    if (failure)
        show_messages(failure, found, others);
    check_ids(t, item, path, found, others);
    failure = NULL;
    json_array_foreach(found, i, message) {
        if (match_all(each, message, why))
            continue;
        if (!failure)
            failure = fail(t->failures, node_key_mark(item, "each"), path, "not every one is like this");
        add_detail(failure, "! %.64s: %s", text_at(message, "id"), why);
    }
    json_decref(n);
    json_decref(found);
    json_decref(others);
}

static void check_log(struct truth *t) {
    const struct node *texts = node_get(t->plan->expect, "log");
    char path[PATH_MAX], name[60], *log = NULL;
    snprintf(path, sizeof(path), "%s/log", t->state);
    FILE *in = texts ? fopen(path, "r") : NULL;
    size_t capacity = 0;
    const bool read = in && getdelim(&log, &capacity, 0, in) >= 0;
    if (in)
        fclose(in);
    for (size_t i = 0; texts && i < texts->count; i++) {
        snprintf(name, sizeof(name), "expect.log[%zu]", i);
        const struct node *want = texts->items[i];
        if (want->kind == NODE_TEXT && (!read || !strstr(log, want->text)))
            fail(t->failures, want->mark, name, "nothing in the log says '%.200s'", want->text);
    }
    free(log);
}

static void check_audit(struct truth *t, struct journal_view *view) {
    const char *wanted = node_text(t->plan->expect, "audit");
    size_t i;
    json_t *finding, *edges = json_array();
    if (wanted && strcmp(wanted, "any") == 0) {
        json_decref(edges);
        return;
    }
    json_t *findings = audit(view, edges), *failure = NULL;
    if (json_array_size(findings) > 0)
        failure = fail(t->failures, t->plan->mark, "expect.audit",
                       "not every record is accounted for, or one was published twice");
    json_array_foreach(findings, i, finding) add_detail(failure, "%s", json_string_value(finding));
    json_decref(findings);
    json_decref(edges);
}

static int by_line(const void *a, const void *b) {
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    json_int_t p = json_integer_value(json_object_get(x, "line")),
               q = json_integer_value(json_object_get(y, "line"));
    return (p > q) - (p < q);
}

/* In the order of the file. Takes list. */
static json_t *sorted(json_t *list) {
    size_t n = json_array_size(list);
    json_t **items = calloc(n + 1, sizeof(*items)), *out = json_array();
    for (size_t i = 0; items && i < n; i++)
        items[i] = json_array_get(list, i);
    if (items && n > 1)
        qsort(items, n, sizeof(*items), by_line);
    for (size_t i = 0; items && i < n; i++)
        json_array_append(out, items[i]);
    free(items);
    json_decref(list);
    return out;
}

json_t *test_expect(const struct test_plan *plan, const char *state, const struct test_outcome *outcome) {
    struct journal_view view;
    char path[PATH_MAX];
    struct truth t = {.plan = plan, .outcome = outcome, .failures = json_array(), .state = state};
    check_end(&t);
    check_faults(&t);
    check_log(&t);
    check_stages(&t);
    snprintf(path, sizeof(path), "%s/test.journal", state);
    int code = view_open(&view, "test", path);
    if (code == 0) {
        const struct node *messages = node_get(plan->expect, "messages");
        t.messages = read_messages(&view);
        t.quarantine = read_quarantine(&view);
        check_audit(&t, &view);
        check_published(&t);
        check_quarantine(&t);
        for (size_t i = 0; messages && i < messages->count; i++)
            check_item(&t, messages->items[i], i);
        view_close(&view);
        json_decref(t.messages);
        json_decref(t.quarantine);
    } else {
        fail(t.failures, plan->mark, "journal", "the pipeline left no journal");
    }
    return sorted(t.failures);
}

/* ---- notation ---- */

static void check_list(const struct node *expect, const char *key, const char *example, const char *path,
                       struct config_errors *errors) {
    const struct node *list = node_get(expect, key);
    if (list && list->kind != NODE_LIST)
        tell(errors, node_key_mark(expect, key), path, "%s is no list; write %s", key, example);
}

static void check_notation_messages(struct build *b, const struct test_plan *plan, const struct node *list,
                                    const char *path) {
    static const char *const known[] = {"from", "schema", "where", "count", "ids", "each"};
    char below[PATH_TEXT_BYTES], deeper[PATH_TEXT_BYTES];
    for (size_t i = 0; list && list->kind == NODE_LIST && i < list->count; i++) {
        const struct node *item = list->items[i];
        snprintf(below, sizeof(below), "%.400s.messages[%zu]", path, i);
        if (item->kind != NODE_MAP || item->count == 0) {
            tell(b->errors, item->mark, below, "is no mapping; write {from: STAGE, count: 1}");
            continue;
        }
        build_check_keys(b, item, below, known, COUNT(known));
        const char *from = build_text(b, item, below, "from", NULL);
        bool known_stage = !from;
        for (size_t k = 0; from && k < plan->config->n_stages; k++)
            known_stage = known_stage || comes_from(from, plan->config->stages[k].name);
        if (!known_stage)
            tell(b->errors, node_get(item, "from")->mark, below,
                 "names no stage of the config; write STAGE or STAGE.PORT");
        check_list(item, "ids", "[a, b]", below, b->errors);
        if (node_get(item, "count"))
            match_check(node_get(item, "count"), below, b->errors);
        for (int k = 0; k < 2; k++) {
            snprintf(deeper, sizeof(deeper), "%.400s.%s", below, k ? "each" : "where");
            match_check_all(node_get(item, k ? "each" : "where"), deeper, b->errors);
        }
    }
}

static void check_notation_stages(struct build *b, const struct test_plan *plan, const struct node *stages,
                                  const char *path) {
    static const char *const known[] = {"steps",       "outputs",  "failures", "retries",
                                        "quarantined", "restarts", "state"};
    const char *names[64];
    char below[PATH_TEXT_BYTES], near[512];
    size_t n = 0;
    for (; n < plan->config->n_stages && n < 64; n++)
        names[n] = plan->config->stages[n].name;
    for (size_t i = 0; stages && stages->kind == NODE_MAP && i < stages->count; i++) {
        bool found = false;
        snprintf(below, sizeof(below), "%.300s.stages.%.100s", path, stages->keys[i]);
        for (size_t k = 0; k < n; k++)
            found = found || strcmp(names[k], stages->keys[i]) == 0;
        if (!found)
            tell(b->errors, stages->key_marks[i], below, "names no stage; %s",
                 did_you_mean(stages->keys[i], names, n, near, sizeof(near)));
        build_check_keys(b, stages->items[i], below, known, COUNT(known));
        match_check_all(stages->items[i], below, b->errors);
    }
}

void test_expect_check(const struct test_plan *plan, const char *path, struct config_errors *errors) {
    static const char *const known[] = {"exit",   "audit",    "quarantined", "published",
                                        "stages", "messages", "quarantine",  "log"};
    static const char *const numbers[] = {"exit", "quarantined", "published"}, *const audits[] = {"clean",
                                                                                                  "any"};
    const struct node *expect = plan->expect, *quarantine = node_get(expect, "quarantine");
    struct build b = {.errors = errors};
    char below[PATH_TEXT_BYTES];
    if (!expect)
        return;
    snprintf(below, sizeof(below), "%.400s.expect", path);
    build_check_keys(&b, expect, below, known, COUNT(known));
    build_word(&b, expect, below, "audit", audits, 2, 0);
    for (size_t i = 0; i < COUNT(numbers); i++)
        if (node_get(expect, numbers[i]))
            match_check(node_get(expect, numbers[i]), below, errors);
    check_list(expect, "messages", "[{from: STAGE, count: 1}]", below, errors);
    check_list(expect, "quarantine", "[{stage: STAGE}]", below, errors);
    check_list(expect, "log", "[\"a text\"]", below, errors);
    check_notation_messages(&b, plan, node_get(expect, "messages"), below);
    check_notation_stages(&b, plan, node_get(expect, "stages"), below);
    for (size_t i = 0; quarantine && quarantine->kind == NODE_LIST && i < quarantine->count; i++)
        match_check_all(quarantine->items[i], below, errors);
}
