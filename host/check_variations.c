/* SPDX-License-Identifier: Apache-2.0 */
/* check_variations.c - options at the edges of their table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_again.h"
#include "config.h"
#include "option_value.h"

enum { PAIRS_MAX = 130 };

bool check_options_with(const struct plugin_desc *plugin, const char *const *pairs, const char *more,
                        struct telex_bytes *out) {
    const char *all[PAIRS_MAX + 2];
    size_t n = 0, key = strcspn(more, "=") + 1;
    char *none = NULL;
    size_t none_size = 0;
    for (size_t i = 0; pairs[i] && n < PAIRS_MAX; i++)
        if (strncmp(pairs[i], more, key) != 0)
            all[n++] = pairs[i];
    all[n++] = more;
    all[n] = NULL;
    FILE *errors = open_memstream(&none, &none_size);
    bool good = errors && config_options(plugin, all, "/", errors, out) == 0;
    if (errors)
        fclose(errors);
    free(none);
    return good;
}

__attribute__((format(printf, 2, 3))) static void add(struct check_variations *v, const char *format, ...) {
    char text[5000];
    struct telex_bytes options = {NULL, 0};
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (!check_options_with(v->plugin, v->pairs, text, &options))
        return;
    struct check_variation *items = realloc(v->items, (v->n + 1) * sizeof(*items));
    if (!items)
        abort();
    v->items = items;
    items[v->n].label = strndup(text, 100);
    items[v->n].slows = false;
    items[v->n++].options = options;
}

static void add_number(struct check_variations *v, const char *name, uint32_t type, double value) {
    const char *unit = type == TELEX_DURATION ? "ms" : "";
    if (type == TELEX_REAL)
        add(v, "%s=%.17g", name, value);
    else
        add(v, "%s=%.0f%s", name, value, unit);
}

static bool is_given(const char *const *pairs, const char *name) {
    size_t size = strlen(name);
    for (size_t i = 0; pairs[i]; i++)
        if (strncmp(pairs[i], name, size) == 0 && pairs[i][size] == '=')
            return true;
    return false;
}

/* What was given stays as it was given. */
static void vary(struct check_variations *v, const json_t *option) {
    static char long_text[4001];
    const char *name = json_string_value(json_object_get(option, "name"));
    uint32_t type = option_type(option);
    size_t i, before = v->n;
    json_t *choice;
    if (is_given(v->pairs, name))
        return;
    memset(long_text, 'x', sizeof(long_text) - 1);
    switch (type) {
    case TELEX_INT:
    case TELEX_REAL:
    case TELEX_DURATION:
    case TELEX_SIZE:
        if (json_object_get(option, "min"))
            add_number(v, name, type, json_number_value(json_object_get(option, "min")));
        if (json_object_get(option, "max"))
            add_number(v, name, type, json_number_value(json_object_get(option, "max")));
        for (i = before; i < v->n; i++)
            v->items[i].slows = type == TELEX_DURATION;
        break;
    case TELEX_BOOL:
        add(v, "%s=false", name);
        add(v, "%s=true", name);
        break;
    case TELEX_CHOICE:
        json_array_foreach(json_object_get(option, "choices"), i, choice)
            add(v, "%s=%s", name, json_string_value(choice));
        break;
    case TELEX_TEXT:
    case TELEX_SECRET:
        add(v, "%s=%s", name, long_text);
        add(v, "%s=\xc3\xa9 <|im_end|> ' \" \\ ${x}", name);
        break;
    case TELEX_LIST:
        add(v, "%s=a", name);
        add(v, "%s=a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", name);
        break;
    default:
        break;
    }
}

void check_variations_make(struct check_variations *out, const struct plugin_desc *plugin,
                           const char *const *pairs) {
    size_t i;
    json_t *option;
    *out = (struct check_variations){.plugin = plugin, .pairs = pairs};
    json_array_foreach(json_object_get(plugin->about, "options"), i, option) vary(out, option);
}

void check_variations_finish(struct check_variations *variations) {
    for (size_t i = 0; i < variations->n; i++) {
        free(variations->items[i].label);
        free((void *)variations->items[i].options.data);
    }
    free(variations->items);
    memset(variations, 0, sizeof(*variations));
}
