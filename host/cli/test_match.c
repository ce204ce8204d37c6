/* SPDX-License-Identifier: Apache-2.0 */
/* test_match.c - values, matchers and dotted paths of expectations. */
#include "test_match.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const matchers[] = {"contains", "matches", "absent", "at_least",
                                       "at_most",  "one_of",  "length"};
enum { N_MATCHERS = sizeof(matchers) / sizeof(*matchers) };

static bool is_matcher(const char *key) {
    for (size_t i = 0; i < N_MATCHERS; i++)
        if (strcmp(key, matchers[i]) == 0)
            return true;
    return false;
}

/* A mapping whose first key is a matcher; any other mapping is a value. */
static bool has_matchers(const struct node *want) {
    return want->kind == NODE_MAP && want->count > 0 && is_matcher(want->keys[0]);
}

static void show(const json_t *value, char *out, size_t size) {
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    snprintf(out, size, "%.110s%s", text ? text : "absent", text && strlen(text) > 110 ? "..." : "");
    free(text);
}

void match_describe(const struct node *want, char *out, size_t size) {
    size_t used = 0;
    char text[120];
    *out = 0;
    if (!has_matchers(want)) {
        json_t *value = test_value(want);
        show(value, out, size);
        json_decref(value);
        return;
    }
    for (size_t i = 0; i < want->count && used < size; i++) {
        json_t *value = test_value(want->items[i]);
        show(value, text, sizeof(text));
        bool absent = strcmp(want->keys[i], "absent") == 0;
        int n = absent ? snprintf(out + used, size - used, "%s%s", i ? " and " : "",
                                  json_is_true(value) ? "absent" : "there")
                       : snprintf(out + used, size - used, "%s%s %s", i ? " and " : "", want->keys[i], text);
        used += n > 0 ? (size_t)n : 0;
        for (char *c = out; *c; c++)
            *c = *c == '_' && strncmp(c - 2, "at_", 3) == 0 ? ' ' : *c;
        json_decref(value);
    }
}

static bool same(const json_t *want, const json_t *got) {
    if (json_is_number(want) && json_is_number(got))
        return json_number_value(want) == json_number_value(got);
    return got && json_equal(want, got);
}

static bool contains(const json_t *want, const json_t *got) {
    size_t i;
    json_t *item;
    if (json_is_string(got))
        return json_is_string(want) && strstr(json_string_value(got), json_string_value(want));
    json_array_foreach((json_t *)got, i, item) if (same(want, item)) return true;
    return false;
}

static bool matches(const char *pattern, const json_t *got) {
    regex_t regex;
    if (!json_is_string(got) || !pattern || regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    bool found = regexec(&regex, json_string_value(got), 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

static bool is_one_of(const json_t *list, const json_t *got) {
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)list, i, item) if (same(item, got)) return true;
    return false;
}

static double size_of(const json_t *got) {
    return json_is_array(got)    ? (double)json_array_size(got)
           : json_is_object(got) ? (double)json_object_size(got)
           : json_is_string(got) ? (double)json_string_length(got)
                                 : -1;
}

static bool satisfies(const char *matcher, const json_t *want, const json_t *got) {
    if (strcmp(matcher, "absent") == 0)
        return json_is_true(want) == (got == NULL);
    if (strcmp(matcher, "contains") == 0)
        return contains(want, got);
    if (strcmp(matcher, "matches") == 0)
        return matches(json_string_value(want), got);
    if (strcmp(matcher, "one_of") == 0)
        return is_one_of(want, got);
    if (strcmp(matcher, "length") == 0)
        return size_of(got) == json_number_value(want);
    if (!json_is_number(got))
        return false;
    return strcmp(matcher, "at_least") == 0 ? json_number_value(got) >= json_number_value(want)
                                            : json_number_value(got) <= json_number_value(want);
}

bool match_value(const struct node *want, const json_t *got, char why[MATCH_WHY_BYTES]) {
    char shown[130], wanted[200];
    bool good = true;
    if (has_matchers(want)) {
        for (size_t i = 0; i < want->count && good; i++) {
            json_t *value = test_value(want->items[i]);
            good = satisfies(want->keys[i], value, got);
            json_decref(value);
        }
    } else {
        json_t *value = test_value(want);
        good = same(value, got);
        json_decref(value);
    }
    if (good)
        return true;
    show(got, shown, sizeof(shown));
    match_describe(want, wanted, sizeof(wanted));
    snprintf(why, MATCH_WHY_BYTES, "is %s, expected %s", shown, wanted);
    return false;
}

/* What stands at "body.0.text"; NULL where there is nothing. */
static const json_t *at_path(const json_t *message, const char *path) {
    char word[256];
    for (const json_t *at = message;;) {
        const char *dot = strchr(path, '.');
        snprintf(word, sizeof(word), "%.*s", dot ? (int)(dot - path) : (int)strlen(path), path);
        at = json_is_array(at) ? json_array_get(at, strtoul(word, NULL, 10)) : json_object_get(at, word);
        if (!dot || !at)
            return at;
        path = dot + 1;
    }
}

bool match_all(const struct node *want, const json_t *message, char why[MATCH_WHY_BYTES]) {
    char what[MATCH_WHY_BYTES];
    for (size_t i = 0; want && want->kind == NODE_MAP && i < want->count; i++)
        if (!match_value(want->items[i], at_path(message, want->keys[i]), what)) {
            snprintf(why, MATCH_WHY_BYTES, "%.80s %.300s", want->keys[i], what);
            return false;
        }
    return true;
}

/* ---- notation ---- */

static void check_matcher(const char *key, const struct node *want, struct mark mark, const char *path,
                          struct config_errors *errors) {
    char near[300], why[160];
    regex_t regex;
    if (!is_matcher(key)) {
        tell(errors, mark, path, "has no matcher '%.40s'; %s", key,
             did_you_mean(key, matchers, N_MATCHERS, near, sizeof(near)));
        return;
    }
    json_t *value = test_value(want);
    if (strcmp(key, "matches") == 0) {
        int err = json_is_string(value) ? regcomp(&regex, json_string_value(value), REG_EXTENDED | REG_NOSUB)
                                        : REG_BADPAT;
        if (err != 0)
            regerror(err, &regex, why, sizeof(why));
        else
            regfree(&regex);
        if (err != 0)
            tell(errors, mark, path, "is no regular expression: %s; put it in quotes", why);
    } else if (strcmp(key, "absent") == 0     ? !json_is_boolean(value)
               : strcmp(key, "one_of") == 0   ? !json_is_array(value)
               : strcmp(key, "contains") == 0 ? false
                                              : !json_is_number(value)) {
        tell(errors, mark, path, "%s wants %s", key,
             strcmp(key, "absent") == 0   ? "true or false"
             : strcmp(key, "one_of") == 0 ? "a list: [a, b]"
                                          : "a number");
    }
    json_decref(value);
}

void match_check(const struct node *want, const char *path, struct config_errors *errors) {
    for (size_t i = 0; has_matchers(want) && i < want->count; i++)
        check_matcher(want->keys[i], want->items[i], want->key_marks[i], path, errors);
}

void match_check_all(const struct node *want, const char *path, struct config_errors *errors) {
    char below[512];
    if (want && want->kind != NODE_MAP)
        tell(errors, want->mark, path, "is no mapping; write `PATH: VALUE`, such as `title: {contains: x}`");
    for (size_t i = 0; want && want->kind == NODE_MAP && i < want->count; i++) {
        snprintf(below, sizeof(below), "%.300s.%.200s", path, want->keys[i]);
        match_check(want->items[i], below, errors);
    }
}
