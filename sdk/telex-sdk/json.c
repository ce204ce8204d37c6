/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - messages to JSON and back, through jansson. */
#include <telex-sdk/json.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Length of the well-formed UTF-8 sequence at p, or 0 (RFC 3629 table 3-7: no overlong form, no surrogate). */
static size_t utf8_length(const uint8_t *p, size_t left) {
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

char *telex_utf8_repair(const char *text, size_t size, size_t *out_size) {
    char *out = malloc(3 * size + 1);
    if (!out)
        return NULL;
    size_t used = 0;
    for (size_t i = 0; i < size;) {
        size_t n = utf8_length((const uint8_t *)text + i, size - i);
        memcpy(out + used, n ? text + i : "\xef\xbf\xbd", n ? n : 3);
        used += n ? n : 3;
        i += n ? n : 1;
    }
    out[used] = 0;
    *out_size = used;
    return out;
}

static json_t *text_from(const char *text, size_t size) {
    json_t *value = json_stringn(text, size);
    if (value)
        return value;
    size_t repaired_size;
    char *repaired = telex_utf8_repair(text, size, &repaired_size);
    value = repaired ? json_stringn_nocheck(repaired, repaired_size) : NULL;
    free(repaired);
    return value;
}

static json_t *hex_from(const char *data, size_t size) {
    char *hex = malloc(2 * size + 1);
    if (!hex)
        return NULL;
    for (size_t i = 0; i < size; i++)
        snprintf(hex + 2 * i, 3, "%02x", (uint8_t)data[i]);
    json_t *value = json_stringn_nocheck(hex, 2 * size);
    free(hex);
    return value;
}

static json_t *map_from(const msgpack_object *object) {
    json_t *out = json_object();
    for (uint32_t i = 0; out && i < object->via.map.size; i++) {
        const msgpack_object_kv *kv = &object->via.map.ptr[i];
        if (kv->key.type != MSGPACK_OBJECT_STR)
            continue;
        size_t size;
        char *key = telex_utf8_repair(kv->key.via.str.ptr, kv->key.via.str.size, &size);
        if (!key || json_object_set_new(out, key, telex_json_from(&kv->val)) != 0) {
            json_decref(out);
            out = NULL;
        }
        free(key);
    }
    return out;
}

static json_t *array_from(const msgpack_object *object) {
    json_t *out = json_array();
    for (uint32_t i = 0; out && i < object->via.array.size; i++)
        if (json_array_append_new(out, telex_json_from(&object->via.array.ptr[i])) != 0) {
            json_decref(out);
            return NULL;
        }
    return out;
}

json_t *telex_json_from(const msgpack_object *object) {
    switch (object->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        return json_boolean(object->via.boolean);
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return object->via.u64 <= INT64_MAX ? json_integer((json_int_t)object->via.u64)
                                            : json_real((double)object->via.u64);
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return json_integer(object->via.i64);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64: {
        json_t *real = json_real(object->via.f64); /* NULL for NaN and infinities, which JSON has not */
        return real ? real : json_null();
    }
    case MSGPACK_OBJECT_STR:
        return text_from(object->via.str.ptr, object->via.str.size);
    case MSGPACK_OBJECT_BIN:
        return hex_from(object->via.bin.ptr, object->via.bin.size);
    case MSGPACK_OBJECT_MAP:
        return map_from(object);
    case MSGPACK_OBJECT_ARRAY:
        return array_from(object);
    default:
        return json_null();
    }
}

void telex_build_json(struct telex_builder *b, const json_t *value) {
    const char *key;
    json_t *child;
    size_t i;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        telex_build_map_begin(b);
        json_object_foreach((json_t *)value, key, child) {
            telex_build_key(b, key);
            telex_build_json(b, child);
        }
        telex_build_map_end(b);
        break;
    case JSON_ARRAY:
        telex_build_array(b, (uint32_t)json_array_size(value));
        json_array_foreach(value, i, child) telex_build_json(b, child);
        break;
    case JSON_STRING: {
        struct telex_bytes text = {(const uint8_t *)json_string_value(value), json_string_length(value)};
        telex_build_bytes(b, text);
        break;
    }
    case JSON_INTEGER:
        telex_build_int(b, json_integer_value(value));
        break;
    case JSON_REAL:
        telex_build_real(b, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        telex_build_flag(b, json_is_true(value));
        break;
    case JSON_NULL:
        telex_build_nil(b);
        break;
    }
}

char *telex_json_line(struct telex_bytes body) {
    struct telex_map map;
    if (telex_map_open(&map, body) < 0)
        return NULL;
    json_t *value = telex_json_from(map.root);
    char *line = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    telex_map_close(&map);
    return line;
}

int telex_json_parse(const char *line, size_t size, struct telex_builder *b, char *why, size_t why_size) {
    json_error_t error;
    if (size > TELEX_BODY_MAX_BYTES) {
        snprintf(why, why_size, "line of %zu bytes is over the limit of %d", size, TELEX_BODY_MAX_BYTES);
        return -EBADMSG;
    }
    json_t *value = json_loadb(line, size, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (!value) {
        snprintf(why, why_size, "column %d: %s", error.column, error.text);
        return -EBADMSG;
    }
    if (!json_is_object(value)) {
        json_decref(value);
        snprintf(why, why_size, "not a JSON object");
        return -EBADMSG;
    }
    size_t before = b->buffer.size;
    telex_build_json(b, value);
    json_decref(value);
    struct telex_bytes added = {(const uint8_t *)b->buffer.data + before, b->buffer.size - before};
    if (b->broken || telex_scan(added) < 0) {
        snprintf(why, why_size, "nested deeper than %d", TELEX_BODY_MAX_DEPTH);
        return -EBADMSG;
    }
    return 0;
}
