/* SPDX-License-Identifier: Apache-2.0 */
/* schemas.c - see schemas.h. */
#include "schemas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t random_next(uint64_t *stream) {
    uint64_t x = *stream += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

/* ---- random schemas ---- */

static json_t *random_scalar(uint64_t *r) {
    static const char *const words[] = {"a",          "ab",   "abc", "the oil",     "caf\xc3\xa9",
                                        "say \"no\"", "x\\y", "",    "\xe4\xb8\xad"};
    switch (random_below(r, 4)) {
    case 0:
        return json_integer((json_int_t)random_below(r, 300) - 100);
    case 1:
        return json_boolean(random_below(r, 2));
    default:
        return json_string(words[random_below(r, sizeof(words) / sizeof(words[0]))]);
    }
}

static json_t *random_object(uint64_t *r, int depth) {
    static const char *const names[] = {"headline", "dek",        "body",       "a",
                                        "name",     "quest\"ion", "k\xc3\xa9y", "line"};
    json_t *properties = json_object(), *required = json_array();
    uint32_t n = random_below(r, 5), first = random_below(r, 8);
    for (uint32_t i = 0; i < n; i++) {
        const char *name = names[(first + i * 3) % 8];
        json_object_set_new(properties, name, schema_random(r, depth - 1));
        json_array_append_new(required, json_string(name));
    }
    return json_pack("{s:s,s:o,s:o,s:b}", "type", "object", "properties", properties, "required", required,
                     "additionalProperties", 0);
}

json_t *schema_random(uint64_t *r, int depth) {
    uint32_t low = random_below(r, 4);
    int high = (int)(low + random_below(r, 30)), few = (int)(low + random_below(r, 4));
    switch (random_below(r, depth > 0 ? 12 : 8)) {
    case 0:
        return json_pack("{s:s}", "type", "boolean");
    case 1:
        return json_pack("{s:s}", "type", "integer");
    case 2:
        return json_pack("{s:s}", "type", "number");
    case 3:
        return json_pack("{s:s,s:i,s:i}", "type", "integer", "minimum", -5, "maximum",
                         (int)random_below(r, 200));
    case 4: {
        json_t *list = json_array();
        for (uint32_t i = 0; i <= random_below(r, 6); i++)
            json_array_append_new(list, random_scalar(r));
        return json_pack("{s:o}", "enum", list);
    }
    case 5:
        return json_pack("{s:o}", "const", random_scalar(r));
    case 6:
    case 7:
        return json_pack("{s:s,s:i,s:i}", "type", "string", "minLength", (int)low, "maxLength", high);
    case 8:
    case 9:
        return json_pack("{s:s,s:o,s:i,s:i}", "type", "array", "items", schema_random(r, depth - 1),
                         "minItems", (int)low, "maxItems", few);
    default:
        return random_object(r, depth);
    }
}

/* ---- the check ---- */

static bool fail(char *why, size_t size, const char *what) {
    snprintf(why, size, "%s", what);
    return false;
}

static size_t characters(const char *text, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

static bool clean(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && i + 1 < size && (unsigned char)text[i + 1] < 0xa0))
            return false;
    }
    return true;
}

static json_int_t bound(json_t *schema, const char *key, json_int_t otherwise) {
    json_t *value = json_object_get(schema, key);
    return value ? json_integer_value(value) : otherwise;
}

static bool satisfies(json_t *schema, json_t *value, char *why, size_t size);

static bool object_satisfies(json_t *schema, json_t *value, char *why, size_t size) {
    json_t *properties = json_object_get(schema, "properties"), *child;
    const char *key;
    if (!json_is_object(value) || json_object_size(value) != json_object_size(properties))
        return fail(why, size, "not an object of as many properties");
    void *at = json_object_iter(value);
    json_object_foreach(properties, key, child) {
        if (strcmp(json_object_iter_key(at), key) != 0)
            return fail(why, size, "properties out of order");
        if (!satisfies(child, json_object_iter_value(at), why, size))
            return false;
        at = json_object_iter_next(value, at);
    }
    return true;
}

static bool array_satisfies(json_t *schema, json_t *value, char *why, size_t size) {
    json_int_t n = (json_int_t)json_array_size(value);
    if (!json_is_array(value) || n < bound(schema, "minItems", 0) || n > bound(schema, "maxItems", 1 << 30))
        return fail(why, size, "not an array of the right length");
    for (json_int_t i = 0; i < n; i++)
        if (!satisfies(json_object_get(schema, "items"), json_array_get(value, (size_t)i), why, size))
            return false;
    return true;
}

static bool satisfies(json_t *schema, json_t *value, char *why, size_t size) {
    json_t *list = json_object_get(schema, "enum"), *constant = json_object_get(schema, "const");
    if (constant)
        return json_equal(constant, value) || fail(why, size, "not the constant");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), value))
            return true;
    if (list)
        return fail(why, size, "not in the list");
    const char *type = json_string_value(json_object_get(schema, "type"));
    if (strcmp(type, "object") == 0)
        return object_satisfies(schema, value, why, size);
    if (strcmp(type, "array") == 0)
        return array_satisfies(schema, value, why, size);
    if (strcmp(type, "boolean") == 0)
        return json_is_boolean(value) || fail(why, size, "not a boolean");
    if (strcmp(type, "number") == 0)
        return json_is_number(value) || fail(why, size, "not a number");
    if (strcmp(type, "integer") == 0) {
        json_int_t n = json_integer_value(value);
        return (json_is_integer(value) && n >= bound(schema, "minimum", INT64_MIN) &&
                n <= bound(schema, "maximum", INT64_MAX)) ||
               fail(why, size, "not a whole number in range");
    }
    json_int_t n = (json_int_t)characters(json_string_value(value), json_string_length(value));
    return (json_is_string(value) && clean(json_string_value(value), json_string_length(value)) &&
            n >= bound(schema, "minLength", 0) && n <= bound(schema, "maxLength", 1 << 30)) ||
           fail(why, size, "not a clean string of the right length");
}

bool schema_satisfied(json_t *schema, const char *text, size_t size, char *why, size_t why_size) {
    json_error_t error;
    json_t *value = json_loadb(text, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (!value)
        return fail(why, why_size, error.text);
    bool ok = satisfies(schema, value, why, why_size);
    char *rules = json_dumps(schema, JSON_COMPACT);
    char *again = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    /* jansson writes a real number in its own way */
    if (ok && !strstr(rules, "\"number\"") && (strlen(again) != size || memcmp(again, text, size) != 0))
        ok = fail(why, why_size, "not in canonical form");
    free(rules);
    free(again);
    json_decref(value);
    return ok;
}
