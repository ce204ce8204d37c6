/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors.c - see safetensors.h. */
#include "safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#define REMEDY "download the model again and compare its sha256"

enum {
    LENGTH_BYTES = 8,
    MAX_HEADER_BYTES = 4 << 20, /* an encoder has some hundred tensors of a hundred bytes each */
    MAX_NAME_BYTES = 256,
};

static const struct {
    const char *name;
    uint32_t bytes;
} types[] = {{"F64", 8},     {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F8_E4M3", 1},
             {"F8_E5M2", 1}, {"I64", 8}, {"I32", 4}, {"I16", 2},  {"I8", 1},
             {"U64", 8},     {"U32", 4}, {"U16", 2}, {"U8", 1},   {"BOOL", 1}};

static uint32_t type_bytes(const char *name) {
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].bytes;
    return 0;
}

struct reader {
    struct safetensors *file;
    struct model_fail *fail;
    size_t n_data; /* bytes behind the header */
};

static int bad(const struct reader *r, const struct safetensor *t, const char *what) {
    return model_fail(r->fail, -EINVAL, "%s: not a sound safetensors file: tensor %.*s: %s; " REMEDY,
                      r->file->path, MAX_NAME_BYTES, t->name, what);
}

static int read_shape(const struct reader *r, struct safetensor *t, const json_t *shape) {
    uint64_t n = type_bytes(t->type);
    size_t i;
    json_t *value;

    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_MAX_DIMS)
        return bad(r, t, "no shape, or one of more than 8 dimensions");
    json_array_foreach(shape, i, value) {
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return bad(r, t, "a dimension that is no count");
        t->dims[i] = (uint64_t)json_integer_value(value);
        if (__builtin_mul_overflow(n, t->dims[i], &n) || n > SIZE_MAX / 2)
            return bad(r, t, "a shape that no memory holds");
    }
    t->n_dims = (uint32_t)json_array_size(shape);
    t->n_bytes = (size_t)n;
    return 0;
}

static int read_offsets(const struct reader *r, struct safetensor *t, const json_t *offsets) {
    const json_t *first = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    json_int_t a, b;

    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(end))
        return bad(r, t, "no data_offsets of two numbers");
    a = json_integer_value(first);
    b = json_integer_value(end);
    if (a < 0 || b < a || (uint64_t)b > r->n_data)
        return bad(r, t, "data_offsets outside the file: it is cut off, or the header is not its own");
    if ((uint64_t)(b - a) != t->n_bytes)
        return bad(r, t, "its shape and type need another number of bytes than its data_offsets give");
    t->first = (size_t)a;
    return 0;
}

static int read_tensor(const struct reader *r, const char *name, const json_t *entry, struct safetensor *t) {
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    int err;

    t->name = strdup(name);
    if (!t->name)
        return model_fail(r->fail, -ENOMEM, "%s: out of memory", r->file->path);
    if (strlen(name) == 0 || strlen(name) > MAX_NAME_BYTES)
        return bad(r, t, "a name of no or more than 256 bytes");
    if (!type || type_bytes(type) == 0)
        return bad(r, t, "no dtype, or one that the format does not have");
    snprintf(t->type, sizeof(t->type), "%s", type);
    err = read_shape(r, t, json_object_get(entry, "shape"));
    return err ? err : read_offsets(r, t, json_object_get(entry, "data_offsets"));
}

static int by_place(const void *a, const void *b) {
    const struct safetensor *x = a, *y = b;

    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct safetensor *)a)->name, ((const struct safetensor *)b)->name);
}

/* One behind the other, from the first byte to the last. */
static int check_places(const struct reader *r) {
    struct safetensors *file = r->file;
    size_t at = 0;

    qsort(file->tensors, file->n_tensors, sizeof(*file->tensors), by_place);
    for (size_t i = 0; i < file->n_tensors; i++) {
        if (file->tensors[i].first < at)
            return bad(r, &file->tensors[i], "its bytes are another tensor's too");
        if (file->tensors[i].first > at)
            return bad(r, &file->tensors[i], "bytes before it belong to no tensor");
        at += file->tensors[i].n_bytes;
    }
    if (at != r->n_data)
        return model_fail(r->fail, -EINVAL,
                          "%s: not a sound safetensors file: %zu bytes behind the last tensor; " REMEDY,
                          file->path, r->n_data - at);
    return 0;
}

static int read_tensors(struct reader *r, const json_t *header, const uint8_t *data) {
    struct safetensors *file = r->file;
    const char *name;
    json_t *entry;
    int err = 0;

    file->tensors = calloc(json_object_size(header) + 1, sizeof(*file->tensors));
    if (!file->tensors)
        return model_fail(r->fail, -ENOMEM, "%s: out of memory", file->path);
    json_object_foreach((json_t *)header, name, entry) {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        err = read_tensor(r, name, entry, &file->tensors[file->n_tensors++]);
        if (err)
            return err;
    }
    err = check_places(r);
    for (size_t i = 0; i < file->n_tensors; i++)
        file->tensors[i].data = data + file->tensors[i].first;
    qsort(file->tensors, file->n_tensors, sizeof(*file->tensors), by_name);
    return err;
}

static int read_header(struct reader *r) {
    struct safetensors *file = r->file;
    uint64_t n = 0;
    json_error_t why;
    json_t *header;
    int err;

    for (int i = 0; i < LENGTH_BYTES && file->n_bytes >= LENGTH_BYTES; i++)
        n |= (uint64_t)file->map[i] << 8 * i;
    if (file->n_bytes < LENGTH_BYTES || n > file->n_bytes - LENGTH_BYTES || n > MAX_HEADER_BYTES)
        return model_fail(r->fail, -EINVAL,
                          "%s: not a safetensors file: it begins with a header's length, %" PRIu64
                          ", which is more than 4 MiB or than the file's %zu bytes; " REMEDY,
                          file->path, n, file->n_bytes);
    header = json_loadb((const char *)file->map + LENGTH_BYTES, (size_t)n, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(header)) {
        json_decref(header);
        return model_fail(r->fail, -EINVAL,
                          "%s: not a sound safetensors file: its header is no JSON object%s%.200s; " REMEDY,
                          file->path, header ? "" : ": ", header ? "" : why.text);
    }
    r->n_data = file->n_bytes - LENGTH_BYTES - (size_t)n;
    err = read_tensors(r, header, file->map + LENGTH_BYTES + n);
    json_decref(header);
    return err;
}

static int map_file(struct safetensors *file, struct model_fail *fail) {
    struct stat st;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC), err = 0;
    void *map;

    if (fd < 0 || fstat(fd, &st) != 0) {
        err = model_fail(fail, -errno,
                         "%s: cannot open the model: %s; check the path, or fetch it with `telex model pull`",
                         file->path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size < LENGTH_BYTES) {
        err = model_fail(fail, -EINVAL, "%s: not a safetensors file: too short, or no file; " REMEDY,
                         file->path);
    } else {
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            err = model_fail(fail, -ENOMEM, "%s: cannot map: %s", file->path, strerror(errno));
        else
            *file = (struct safetensors){.path = file->path, .map = map, .n_bytes = (size_t)st.st_size};
    }
    if (fd >= 0)
        close(fd);
    return err;
}

int safetensors_open(struct safetensors *file, const char *path, struct model_fail *fail) {
    struct reader r = {.file = file, .fail = fail};
    int err;

    file->path = strdup(path);
    if (!file->path)
        return model_fail(fail, -ENOMEM, "%s: out of memory", path);
    err = map_file(file, fail);
    return err ? err : read_header(&r);
}

void safetensors_close(struct safetensors *file) {
    for (size_t i = 0; i < file->n_tensors; i++)
        free(file->tensors[i].name);
    free(file->tensors);
    free(file->path);
    if (file->map)
        munmap((void *)(uintptr_t)file->map, file->n_bytes);
    memset(file, 0, sizeof(*file));
}

const struct safetensor *safetensors_find(const struct safetensors *file, const char *name) {
    const struct safetensor wanted = {.name = (char *)(uintptr_t)name};

    return bsearch(&wanted, file->tensors, file->n_tensors, sizeof(*file->tensors), by_name);
}
