/* SPDX-License-Identifier: Apache-2.0 */
/* config_env.c - replaces environment variables after parsing.
 *
 * What a variable holds is text and stays text: it is never parsed as YAML and never replaced again. */
#include "config_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

enum { RESULT_MAX_BYTES = 1 << 20 };

static bool is_name(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        bool letter =
            (text[i] >= 'A' && text[i] <= 'Z') || (text[i] >= 'a' && text[i] <= 'z') || text[i] == '_';
        if (!letter && !(i > 0 && text[i] >= '0' && text[i] <= '9'))
            return false;
    }
    return size > 0;
}

static int refuse(char *why, size_t why_size, const char *name, size_t size, const char *what) {
    snprintf(why, why_size, "${env:%.*s} %s", size < 60 ? (int)size : 60, name, what);
    return -1;
}

/* Write the value of what stands between "${env:" and "}". */
static int put_value(FILE *out, const char *inside, size_t size, char *why, size_t why_size) {
    const char *mark = memmem(inside, size, ":-", 2);
    size_t name_size = mark ? (size_t)(mark - inside) : size;
    char name[128];
    if (!is_name(inside, name_size) || name_size >= sizeof(name))
        return refuse(why, why_size, inside, name_size,
                      "names no variable; write ${env:NAME} or ${env:NAME:-default}");
    memcpy(name, inside, name_size);
    name[name_size] = 0;
    const char *value = getenv(name);
    if ((!value || !*value) && mark) {
        fwrite(mark + 2, 1, size - name_size - 2, out);
        return 0;
    }
    if (!value)
        return refuse(why, why_size, name, name_size,
                      "is not set; set it, or give a default: ${env:NAME:-default}");
    json_t *utf8 = json_string(value);
    if (!utf8)
        return refuse(why, why_size, name, name_size, "is not UTF-8; set it to text");
    json_decref(utf8);
    fputs(value, out);
    return 0;
}

static int put_all(FILE *out, const char *text, bool *changed, char *why, size_t why_size) {
    while (*text) {
        if (strncmp(text, "$${", 3) == 0) {
            fputs("${", out);
            text += 3;
        } else if (strncmp(text, "${", 2) == 0) {
            const char *end = strchr(text, '}');
            if (strncmp(text, "${env:", 6) != 0 || !end) {
                snprintf(why, why_size,
                         "'%.20s' is not known; write ${env:NAME}, or $${ for the two characters", text);
                return -1;
            }
            if (put_value(out, text + 6, (size_t)(end - text) - 6, why, why_size) < 0)
                return -1;
            *changed = true;
            text = end + 1;
        } else {
            fputc(*text++, out);
        }
        if (ftell(out) > RESULT_MAX_BYTES) {
            snprintf(why, why_size, "is over 1 MiB with its variables; make them shorter");
            return -1;
        }
    }
    return 0;
}

char *env_replace(const char *text, bool *changed, char *why, size_t why_size) {
    char *result = NULL;
    size_t size;
    *changed = false;
    if (!strstr(text, "${"))
        return strdup(text);
    FILE *out = open_memstream(&result, &size);
    if (!out) {
        snprintf(why, why_size, "does not fit into memory; free some");
        return NULL;
    }
    int err = put_all(out, text, changed, why, why_size);
    if (fclose(out) != 0 || err < 0) {
        free(result);
        return NULL;
    }
    return result;
}
