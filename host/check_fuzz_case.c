/* SPDX-License-Identifier: Apache-2.0 */
/* check_fuzz_case.c - cases: how they are made from a number, and the ways to make one smaller. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check_fuzz.h"

/* splitmix64 (Steele, Lea and Flood 2014). */
static uint64_t draw(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint32_t below(uint64_t *state, uint32_t n) {
    return (uint32_t)(draw(state) % n);
}

static struct telex_bytes copied(struct telex_bytes from) {
    uint8_t *data = malloc(from.size + 1);
    if (!data)
        abort();
    memcpy(data, from.data, from.size);
    return (struct telex_bytes){data, from.size};
}

/* ---- values ---- */

static void build_repeated(struct telex_builder *b, char c, size_t size) {
    uint8_t *text = malloc(size + 1);
    if (!text)
        abort();
    memset(text, c, size);
    telex_build_bytes(b, (struct telex_bytes){text, size});
    free(text);
}

static void build_number(struct telex_builder *b, uint64_t *state) {
    static const int64_t whole[] = {0, -1, 1, INT64_MAX, INT64_MIN, INT32_MAX, -1767225600000, 1767225600000};
    const double real[] = {NAN, INFINITY, -INFINITY, -0.0, 1e308, 0.5};
    if (below(state, 3))
        telex_build_int(b, whole[below(state, sizeof(whole) / sizeof(*whole))]);
    else
        telex_build_real(b, real[below(state, sizeof(real) / sizeof(*real))]);
}

static void build_text(struct telex_builder *b, uint64_t *state) {
    static const char *const texts[] = {"",
                                        " ",
                                        "\x01\x1f\x7f",
                                        "caf\xc3",
                                        "\xf4\x90\x80\x80",
                                        "caf\xc3\xa9",
                                        "<|im_end|><script>",
                                        "2147483648",
                                        "%s%n",
                                        "../../etc/passwd",
                                        "a\nb\r\n"};
    if (below(state, 4))
        telex_build_text(b, texts[below(state, sizeof(texts) / sizeof(*texts))]);
    else
        build_repeated(b, below(state, 2) ? 'x' : ' ', below(state, 8) ? 300 : 70000);
}

static void build_value(struct telex_builder *b, uint64_t *state, int depth) {
    uint32_t n;
    switch (below(state, depth > 0 ? 6 : 4)) {
    case 0:
        telex_build_nil(b);
        return;
    case 1:
        telex_build_flag(b, below(state, 2));
        return;
    case 2:
        build_number(b, state);
        return;
    case 3:
        build_text(b, state);
        return;
    case 4:
        n = below(state, 5) ? below(state, 3) : 300; /* many, or deep */
        telex_build_array(b, n);
        for (uint32_t i = 0; i < n; i++)
            build_value(b, state, n > 3 ? 0 : depth - 1);
        return;
    default:
        telex_build_map_begin(b);
        for (n = below(state, 3); n > 0; n--) {
            char key[] = {'k', (char)('0' + n), 0};
            telex_build_key(b, key);
            build_value(b, state, depth - 1);
        }
        telex_build_map_end(b);
    }
}

/* ---- messages ---- */

static void add_field(struct fuzz_record *record, const struct telex_builder *b) {
    if (record->n_fields < FUZZ_FIELDS_MAX)
        record->fields[record->n_fields++].body = copied(telex_build_body(b));
}

/* An ordinary message, key by key, some of them with other values, some missing. */
static void add_ordinary(struct fuzz_record *record, int number, uint64_t *state) {
    struct telex_builder whole;
    struct telex_map map;
    telex_build_init(&whole);
    telex_build_map_begin(&whole);
    check_sample_keys(&whole, record->schema, number);
    telex_build_map_end(&whole);
    if (telex_map_open(&map, telex_build_body(&whole)) < 0)
        abort();
    for (uint32_t i = 0; i < map.root->via.map.size; i++) {
        const msgpack_object_kv *kv = &map.root->via.map.ptr[i];
        char key[64];
        struct telex_builder b;
        uint32_t fate = below(state, 8);
        snprintf(key, sizeof(key), "%.*s", (int)kv->key.via.str.size, kv->key.via.str.ptr);
        if (fate == 0)
            continue;
        telex_build_init(&b);
        telex_build_map_begin(&b);
        telex_build_key(&b, key);
        if (fate <= 3)
            build_value(&b, state, 3);
        else
            telex_build_object(&b, &kv->val);
        telex_build_map_end(&b);
        add_field(record, &b);
        telex_build_finish(&b);
    }
    telex_map_close(&map);
    telex_build_finish(&whole);
}

static void add_strange(struct fuzz_record *record, uint64_t *state) {
    static const char *const keys[] = {"version", "",    "unknown <script>", "\xff\xfe", "records",
                                       "links",   "body"};
    struct telex_builder b;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, keys[below(state, sizeof(keys) / sizeof(*keys))]);
    build_value(&b, state, 6);
    telex_build_map_end(&b);
    add_field(record, &b);
    telex_build_finish(&b);
}

void fuzz_case_make(struct fuzz_case *c, uint64_t seed, uint64_t number, const struct telex_stage *class,
                    const struct check_variations *variations) {
    uint64_t state = seed * 0x2545f4914f6cdd1du + number;
    memset(c, 0, sizeof(*c));
    if (variations->n > 0 && below(&state, 4) == 0)
        c->option = &variations->items[below(&state, (uint32_t)variations->n)];
    if (c->option && c->option->slows)
        c->option = NULL;
    c->n_records = 1 + below(&state, FUZZ_RECORDS_MAX);
    for (uint32_t i = 0; i < c->n_records; i++) {
        struct fuzz_record *record = &c->records[i];
        record->schema = check_input_schema(class, (int)below(&state, 8));
        check_sample_id(record->id, record->schema, (int)below(&state, 2 * FUZZ_RECORDS_MAX));
        add_ordinary(record, (int)i, &state);
        for (uint32_t k = below(&state, 3); k > 0; k--)
            add_strange(record, &state);
    }
}

void fuzz_case_finish(struct fuzz_case *c) {
    for (uint32_t i = 0; i < c->n_records; i++)
        for (uint32_t k = 0; k < c->records[i].n_fields; k++)
            free((void *)c->records[i].fields[k].body.data);
    memset(c, 0, sizeof(*c));
}

struct telex_bytes fuzz_record_body(const struct fuzz_record *record) {
    struct telex_builder b;
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, "schema"), telex_build_text(&b, record->schema);
    telex_build_key(&b, "id"), telex_build_text(&b, record->id);
    for (uint32_t i = 0; i < record->n_fields; i++) {
        struct telex_map map;
        char key[64];
        if (telex_map_open(&map, record->fields[i].body) < 0)
            continue;
        const msgpack_object_kv *kv = &map.root->via.map.ptr[0];
        snprintf(key, sizeof(key), "%.*s", (int)kv->key.via.str.size, kv->key.via.str.ptr);
        telex_build_key(&b, key);
        telex_build_object(&b, &kv->val);
        telex_map_close(&map);
    }
    telex_build_map_end(&b);
    struct telex_bytes body = copied(telex_build_body(&b));
    telex_build_finish(&b);
    return body;
}

/* ---- smaller ---- */

static void copy_case(const struct fuzz_case *c, struct fuzz_case *out) {
    *out = *c;
    for (uint32_t i = 0; i < c->n_records; i++)
        for (uint32_t k = 0; k < c->records[i].n_fields; k++)
            out->records[i].fields[k].body = copied(c->records[i].fields[k].body);
}

static void drop_field(struct fuzz_record *record, uint32_t k) {
    free((void *)record->fields[k].body.data);
    memmove(&record->fields[k], &record->fields[k + 1],
            (record->n_fields - k - 1) * sizeof(record->fields[0]));
    record->n_fields--;
}

static void drop_record(struct fuzz_case *c, uint32_t i) {
    while (c->records[i].n_fields > 0)
        drop_field(&c->records[i], 0);
    memmove(&c->records[i], &c->records[i + 1], (c->n_records - i - 1) * sizeof(c->records[0]));
    c->n_records--;
}

enum { SIMPLER = 7 };

/* The n-th simpler value in place of one; false when it is none. */
static bool build_simpler(struct telex_builder *b, const msgpack_object *value, uint32_t n) {
    uint32_t size = value->type == MSGPACK_OBJECT_STR     ? value->via.str.size
                    : value->type == MSGPACK_OBJECT_ARRAY ? value->via.array.size
                                                          : 0;
    switch (n) {
    case 0:
        telex_build_nil(b);
        return value->type != MSGPACK_OBJECT_NIL;
    case 1:
        telex_build_int(b, 0);
        return value->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? value->via.u64 != 0
                                                              : value->type != MSGPACK_OBJECT_NIL;
    case 2:
        telex_build_text(b, "");
        return size > 0 || value->type == MSGPACK_OBJECT_MAP;
    case 3:
        telex_build_array(b, 0);
        return value->type == MSGPACK_OBJECT_ARRAY && size > 0;
    case 4: /* one item, or one of its bytes */
        if (value->type == MSGPACK_OBJECT_ARRAY && size > 1) {
            telex_build_array(b, 1);
            telex_build_object(b, &value->via.array.ptr[0]);
            return true;
        }
        telex_build_text(b, "x");
        return value->type == MSGPACK_OBJECT_STR && size > 1;
    case 5: /* two of nothing */
        telex_build_array(b, 2);
        telex_build_nil(b);
        telex_build_nil(b);
        return value->type == MSGPACK_OBJECT_ARRAY &&
               (size > 2 || (size == 2 && (value->via.array.ptr[0].type != MSGPACK_OBJECT_NIL ||
                                           value->via.array.ptr[1].type != MSGPACK_OBJECT_NIL)));
    default: /* half of it */
        if (value->type == MSGPACK_OBJECT_ARRAY && size > 3) {
            telex_build_array(b, size / 2);
            for (uint32_t i = 0; i < size / 2; i++)
                telex_build_object(b, &value->via.array.ptr[i]);
            return true;
        }
        if (value->type != MSGPACK_OBJECT_STR || size <= 3)
            return false;
        telex_build_bytes(b, (struct telex_bytes){(const uint8_t *)value->via.str.ptr, size / 2});
        return true;
    }
}

static bool simplify(struct fuzz_field *field, uint32_t n) {
    struct telex_map map;
    struct telex_builder b;
    char key[64];
    if (telex_map_open(&map, field->body) < 0)
        return false;
    const msgpack_object_kv *kv = &map.root->via.map.ptr[0];
    snprintf(key, sizeof(key), "%.*s", (int)kv->key.via.str.size, kv->key.via.str.ptr);
    telex_build_init(&b);
    telex_build_map_begin(&b);
    telex_build_key(&b, key);
    bool simpler = build_simpler(&b, &kv->val, n);
    telex_build_map_end(&b);
    if (simpler) {
        struct telex_bytes body = copied(telex_build_body(&b));
        free((void *)field->body.data);
        field->body = body;
    }
    telex_build_finish(&b);
    telex_map_close(&map);
    return simpler;
}

bool fuzz_case_smaller(const struct fuzz_case *c, uint32_t n, struct fuzz_case *out) {
    copy_case(c, out);
    if (c->option && n-- == 0)
        return out->option = NULL, true;
    for (uint32_t i = 0; i < c->n_records && c->n_records > 1; i++)
        if (n-- == 0)
            return drop_record(out, i), true;
    for (uint32_t i = 0; i < c->n_records; i++)
        for (uint32_t k = 0; k < c->records[i].n_fields; k++)
            if (n-- == 0)
                return drop_field(&out->records[i], k), true;
    for (uint32_t i = 0; i < c->n_records; i++)
        for (uint32_t k = 0; k < c->records[i].n_fields; k++)
            for (uint32_t m = 0; m < SIMPLER; m++) {
                struct fuzz_case probe;
                copy_case(c, &probe);
                bool simpler = simplify(&probe.records[i].fields[k], m);
                if (simpler && n-- == 0) {
                    fuzz_case_finish(out);
                    *out = probe;
                    return true;
                }
                fuzz_case_finish(&probe);
            }
    fuzz_case_finish(out);
    return false;
}
