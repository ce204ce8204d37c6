/* SPDX-License-Identifier: Apache-2.0 */
/* option.c - fills a plugin's struct from its checked options. */
#include <telex-sdk/option.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <telex-sdk/message.h>

/* One block for every text and list; sized before anything is copied. */
struct arena {
    char *at;
};

static size_t text_bytes(const msgpack_object *value) {
    if (value->type == MSGPACK_OBJECT_STR)
        return value->via.str.size + 1;
    size_t total = 0;
    if (value->type == MSGPACK_OBJECT_ARRAY) {
        total = value->via.array.size * sizeof(char *) + sizeof(char *);
        for (uint32_t i = 0; i < value->via.array.size; i++)
            total += telex_object_text(&value->via.array.ptr[i]).size + 1;
    }
    return total;
}

static const char *copy_text(struct arena *arena, const msgpack_object *value) {
    struct telex_bytes text = telex_object_text(value);
    char *out = arena->at;
    memcpy(out, text.data, text.size);
    out[text.size] = 0;
    arena->at += text.size + 1;
    return out;
}

static struct telex_texts copy_list(struct arena *arena, const msgpack_object *value) {
    struct telex_texts list = {NULL, value->via.array.size};
    size_t misaligned = (uintptr_t)arena->at % sizeof(char *);
    arena->at += misaligned ? sizeof(char *) - misaligned : 0;
    list.items = (const char **)(void *)arena->at;
    arena->at += list.count * sizeof(char *);
    for (uint32_t i = 0; i < list.count; i++)
        list.items[i] = copy_text(arena, &value->via.array.ptr[i]);
    return list;
}

/* Text that a C string can hold. */
static bool is_text(const msgpack_object *value) {
    struct telex_bytes text = telex_object_text(value);
    return value->type == MSGPACK_OBJECT_STR && !memchr(text.data, 0, text.size);
}

static bool is_text_list(const msgpack_object *value) {
    if (value->type != MSGPACK_OBJECT_ARRAY)
        return false;
    for (uint32_t i = 0; i < value->via.array.size; i++)
        if (!is_text(&value->via.array.ptr[i]))
            return false;
    return true;
}

static int put(const struct telex_option *option, const msgpack_object *value, void *member, struct arena *arena) {
    switch (option->type) {
    case TELEX_INT:
    case TELEX_DURATION:
    case TELEX_SIZE:
        if (value->type != MSGPACK_OBJECT_POSITIVE_INTEGER && value->type != MSGPACK_OBJECT_NEGATIVE_INTEGER)
            return -EBADMSG;
        *(int64_t *)member = value->via.i64;
        return 0;
    case TELEX_REAL:
        if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
            *(double *)member = (double)value->via.u64;
        else if (value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
            *(double *)member = (double)value->via.i64;
        else if (value->type == MSGPACK_OBJECT_FLOAT64 || value->type == MSGPACK_OBJECT_FLOAT32)
            *(double *)member = value->via.f64;
        else
            return -EBADMSG;
        return 0;
    case TELEX_BOOL:
        if (value->type != MSGPACK_OBJECT_BOOLEAN)
            return -EBADMSG;
        *(bool *)member = value->via.boolean;
        return 0;
    case TELEX_LIST:
        if (!is_text_list(value))
            return -EBADMSG;
        *(struct telex_texts *)member = copy_list(arena, value);
        return 0;
    default:
        if (!is_text(value))
            return -EBADMSG;
        *(const char **)member = copy_text(arena, value);
        return 0;
    }
}

/* A text that nobody gave is "", so that a plugin never meets a NULL. */
static void default_text(const struct telex_option *option, void *config) {
    const char **member = (const char **)(void *)((char *)config + option->offset);
    switch (option->type) {
    case TELEX_TEXT:
    case TELEX_CHOICE:
    case TELEX_PATH:
    case TELEX_SECRET:
        if (!*member)
            *member = "";
    }
}

int telex_options_read(const struct telex_option *const *table, struct telex_bytes body, void *config,
                       void **memory) {
    struct telex_map map;
    *memory = NULL;
    int err = telex_map_open(&map, body);
    if (err < 0)
        return err;
    size_t bytes = 1;
    for (const struct telex_option *const *o = table; o && *o; o++) {
        const msgpack_object *value = telex_map_find(map.root, (*o)->name);
        bytes += value ? text_bytes(value) : 0;
    }
    struct arena arena = {malloc(bytes)};
    if (!arena.at) {
        telex_map_close(&map);
        return -ENOMEM;
    }
    *memory = arena.at;
    for (const struct telex_option *const *o = table; o && *o && err == 0; o++) {
        const msgpack_object *value = telex_map_find(map.root, (*o)->name);
        if (value && value->type != MSGPACK_OBJECT_NIL)
            err = put(*o, value, (char *)config + (*o)->offset, &arena);
        else
            default_text(*o, config);
    }
    telex_map_close(&map);
    if (err < 0) {
        free(*memory);
        *memory = NULL;
    }
    return err;
}
