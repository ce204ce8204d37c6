/* SPDX-License-Identifier: Apache-2.0 */
/* option_value.c - parses and checks one value against the row of an option table.
 *
 * Nothing is rounded, clipped or guessed: a text that is not exactly a value of the type is refused. */
#include "option_value.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <telex/option.h>

static const char *const type_names[] = {NULL,   "text",   "int",  "real", "bool",  "duration",
                                         "size", "choice", "path", "list", "secret"};

uint32_t option_type(const json_t *option) {
    const char *name = json_string_value(json_object_get(option, "type"));
    for (uint32_t i = 1; name && i < sizeof(type_names) / sizeof(*type_names); i++)
        if (strcmp(name, type_names[i]) == 0)
            return i;
    return 0;
}

struct suffix {
    const char *name;
    int64_t factor;
};

/* Digits and one of the suffixes, nothing else. */
static bool parse_scaled(const char *text, const struct suffix *suffixes, int64_t *out) {
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0)
        return false;
    for (; suffixes->name; suffixes++)
        if (strcmp(end, suffixes->name) == 0)
            return !__builtin_mul_overflow(number, suffixes->factor, out);
    return false;
}

bool parse_duration(const char *text, int64_t *out_ms) {
    static const struct suffix suffixes[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                             {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
    return parse_scaled(text, suffixes, out_ms);
}

bool parse_size(const char *text, int64_t *out_bytes) {
    static const struct suffix suffixes[] = {{"", 1},          {"B", 1},         {"KiB", 1 << 10},
                                             {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0}};
    return parse_scaled(text, suffixes, out_bytes);
}

char *absolute_path(const char *dir, const char *path) {
    char *out = NULL;
    const char *home = getenv("HOME");
    if (*path == '/')
        return strdup(path);
    if (strncmp(path, "~/", 2) == 0 && home && *home == '/')
        return asprintf(&out, "%s/%s", home, path + 2) < 0 ? NULL : out;
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    return asprintf(&out, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, path) < 0 ? NULL : out;
}

static int refuse(char *why, size_t why_size, const char *what) {
    snprintf(why, why_size, "%s", what);
    return -1;
}

static bool in_range(const json_t *option, double value) {
    const json_t *min = json_object_get(option, "min"), *max = json_object_get(option, "max");
    return !min || !max || (value >= json_number_value(min) && value <= json_number_value(max));
}

/* A bound as the option's type writes it: exact units only, the base unit otherwise. */
static void show_bound(uint32_t type, double value, char *out, size_t out_size) {
    static const struct suffix times[] = {
        {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    static const struct suffix sizes[] = {
        {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}, {"", 1}};
    if (type == TELEX_REAL || type == TELEX_INT || fabs(value) > 9e18) {
        snprintf(out, out_size, "%.15g", value);
        return;
    }
    const struct suffix *units = type == TELEX_DURATION ? times : sizes;
    int64_t number = (int64_t)value;
    int i = 0;
    while (i < 4 && (number == 0 || number % units[i].factor != 0))
        i++;
    snprintf(out, out_size, "%" PRId64 "%s", number / units[i].factor, units[i].name);
}

static int check_range(const json_t *option, uint32_t type, const char *text, double value, char *why,
                       size_t why_size) {
    char min[32], max[32];
    if (in_range(option, value))
        return 0;
    show_bound(type, json_number_value(json_object_get(option, "min")), min, sizeof(min));
    show_bound(type, json_number_value(json_object_get(option, "max")), max, sizeof(max));
    snprintf(why, why_size, "'%.40s' is out of range; give %s to %s", text, min, max);
    return -1;
}

static int parse_number(const json_t *option, const char *text, struct option_value *out, char *why,
                        size_t why_size) {
    static const char *const wants[] = {[TELEX_INT] = "a whole number",
                                        [TELEX_REAL] = "a number",
                                        [TELEX_DURATION] = "a duration such as 250ms, 10s, 5m, 2h or 3d",
                                        [TELEX_SIZE] = "a size such as 4096, 64KiB, 10MiB or 1GiB"};
    char *end = (char *)text;
    bool good;
    errno = 0;
    if (out->type == TELEX_INT) {
        out->number = strtoll(text, &end, 10);
        good = end > text && !*end && errno == 0 && text[strcspn(text, " \t\n+")] == 0;
    } else if (out->type == TELEX_REAL) {
        out->real = strtod(text, &end);
        good = end > text && !*end && isfinite(out->real) && text[strspn(text, "0123456789+-.eE")] == 0;
    } else {
        good =
            out->type == TELEX_DURATION ? parse_duration(text, &out->number) : parse_size(text, &out->number);
    }
    if (!good) {
        snprintf(why, why_size, "'%.40s' is not %s", text, wants[out->type]);
        if (out->type == TELEX_INT || out->type == TELEX_REAL)
            snprintf(why + strlen(why), why_size - strlen(why), "; write one without quotes or unit");
        else
            snprintf(why + strlen(why), why_size - strlen(why), "; write the number and its unit together");
        return -1;
    }
    return check_range(option, out->type, text, out->type == TELEX_REAL ? out->real : (double)out->number,
                       why, why_size);
}

static int parse_bool(const char *text, struct option_value *out, char *why, size_t why_size) {
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        snprintf(why, why_size, "'%.40s' is neither true nor false; write one of them", text);
        return -1;
    }
    out->number = strcmp(text, "true") == 0;
    return 0;
}

static int check_choice(const json_t *option, const char *text, char *why, size_t why_size) {
    size_t i;
    json_t *choice;
    char list[256] = "";
    json_array_foreach(json_object_get(option, "choices"), i, choice) {
        const char *name = json_string_value(choice);
        if (name && strcmp(name, text) == 0)
            return 0;
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "", name ? name : "");
    }
    snprintf(why, why_size, "'%.40s' is no choice; give one of: %s", text, list);
    return -1;
}

static int split_list(const json_t *option, const char *text, struct option_value *out, char *why,
                      size_t why_size) {
    const char *items[256];
    char *copy = strdup(text), *rest = copy, *item;
    size_t n = 0;
    while (copy && (item = strsep(&rest, ",")) && n < 256)
        if (*item)
            items[n++] = item;
    int err = copy ? option_value_list(option, items, n, out, why, why_size) : -1;
    free(copy);
    return err;
}

int option_value_parse(const json_t *option, const char *text, const char *dir, struct option_value *out,
                       char *why, size_t why_size) {
    memset(out, 0, sizeof(*out));
    out->type = option_type(option);
    switch (out->type) {
    case TELEX_INT:
    case TELEX_REAL:
    case TELEX_DURATION:
    case TELEX_SIZE:
        return parse_number(option, text, out, why, why_size);
    case TELEX_BOOL:
        return parse_bool(text, out, why, why_size);
    case TELEX_LIST:
        return split_list(option, text, out, why, why_size);
    case TELEX_CHOICE:
        if (check_choice(option, text, why, why_size) < 0)
            return -1;
        break;
    case TELEX_PATH:
        if (!*text)
            return refuse(why, why_size, "is an empty path; give one");
        break;
    case 0:
        return refuse(why, why_size, "has a type that this telex does not know; update telex");
    }
    out->text = out->type == TELEX_PATH ? absolute_path(dir, text) : strdup(text);
    return out->text ? 0 : refuse(why, why_size, "does not fit into memory; free some");
}

int option_value_list(const json_t *option, const char *const *items, size_t n_items,
                      struct option_value *out, char *why, size_t why_size) {
    memset(out, 0, sizeof(*out));
    out->type = option_type(option);
    out->items = calloc(n_items + 1, sizeof(*out->items));
    bool whole = out->items != NULL;
    for (size_t i = 0; whole && i < n_items; i++) {
        out->items[i] = strdup(items[i]);
        whole = out->items[i] != NULL;
        out->n_items += whole;
    }
    if (whole)
        return 0;
    option_value_finish(out);
    return refuse(why, why_size, "does not fit into memory; free some");
}

void option_value_build(const struct option_value *value, struct telex_builder *b) {
    switch (value->type) {
    case TELEX_INT:
    case TELEX_DURATION:
    case TELEX_SIZE:
        telex_build_int(b, value->number);
        break;
    case TELEX_REAL:
        telex_build_real(b, value->real);
        break;
    case TELEX_BOOL:
        telex_build_flag(b, value->number != 0);
        break;
    case TELEX_LIST:
        telex_build_array(b, (uint32_t)value->n_items);
        for (size_t i = 0; i < value->n_items; i++)
            telex_build_text(b, value->items[i]);
        break;
    default:
        telex_build_text(b, value->text);
    }
}

void option_value_finish(struct option_value *value) {
    for (size_t i = 0; i < value->n_items; i++)
        free(value->items[i]);
    free(value->items);
    free(value->text);
    memset(value, 0, sizeof(*value));
}
