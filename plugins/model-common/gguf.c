/* SPDX-License-Identifier: Apache-2.0 */
/* gguf.c - read a GGUF file.
 *
 * One cursor walks the header from front to back. It never passes `end`, and once it has failed it stays
 * failed, so the parsing below reads like the format: magic, version, counts, values, tensors, data. */
#include "gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "quant.h"

#define REMEDY "download the model again and compare its sha256"

enum {
    DEFAULT_ALIGNMENT = 32,
    MAX_ALIGNMENT = 1 << 16,
    MAX_NAME_BYTES = 256,
    MIN_VALUE_BYTES = 8 + 4 + 1,          /* empty key, type, one byte */
    MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8, /* empty name, dims, one dim, type, offset */
    MAX_ENTRIES = 1 << 20,
};

static const uint8_t value_bytes[GGUF_N_VALUE_TYPES] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
    [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

struct cursor {
    struct gguf *file;
    struct model_fail *fail;
    const uint8_t *at;
    const uint8_t *end;
    int err; /* first failure, kept */
};

static int corrupt(struct cursor *c, const char *what) {
    if (!c->err)
        c->err = model_fail(c->fail, -EINVAL, "%s: not a sound GGUF file: %s at byte %zu of %zu; " REMEDY,
                            c->file->path, what, (size_t)(c->at - c->file->map), c->file->n_bytes);
    return c->err;
}

/* Take n bytes, or NULL once the file is too short. */
static const uint8_t *take(struct cursor *c, uint64_t n, const char *what) {
    const uint8_t *at = c->at;

    if (c->err)
        return NULL;
    if (n > (uint64_t)(c->end - c->at)) {
        c->err =
            model_fail(c->fail, -EINVAL,
                       "%s: cut off: %s at byte %zu needs %" PRIu64 " bytes, the file ends at %zu; " REMEDY,
                       c->file->path, what, (size_t)(c->at - c->file->map), n, c->file->n_bytes);
        return NULL;
    }
    c->at += n;
    return at;
}

static uint32_t take_u32(struct cursor *c, const char *what) {
    const uint8_t *at = take(c, 4, what);
    uint32_t v = 0;

    if (at)
        memcpy(&v, at, 4);
    return v;
}

static uint64_t take_u64(struct cursor *c, const char *what) {
    const uint8_t *at = take(c, 8, what);
    uint64_t v = 0;

    if (at)
        memcpy(&v, at, 8);
    return v;
}

static struct gguf_text take_text(struct cursor *c, const char *what) {
    uint64_t n = take_u64(c, what);
    const uint8_t *at = take(c, n, what);

    return at ? (struct gguf_text){(const char *)at, (size_t)n} : (struct gguf_text){"", 0};
}

static struct gguf_text take_name(struct cursor *c, const char *what) {
    struct gguf_text name = take_text(c, what);

    if (!c->err && (name.n == 0 || name.n > MAX_NAME_BYTES || memchr(name.p, 0, name.n)))
        corrupt(c, what);
    return name;
}

/* Step over an array's elements, or over the one value. */
static void take_elements(struct cursor *c, struct gguf_value *value) {
    value->at = c->at;
    if (value->type == GGUF_STRING) {
        if (value->count > (uint64_t)(c->end - c->at) / 8)
            corrupt(c, "a string array longer than the file");
        for (uint64_t i = 0; i < value->count && !c->err; i++)
            take_text(c, "a string in the metadata");
    } else if (value->type >= GGUF_N_VALUE_TYPES || value->type == GGUF_ARRAY) {
        corrupt(c, "a metadata value of unknown type");
    } else if (value->count > (uint64_t)(c->end - c->at)) {
        corrupt(c, "an array longer than the file");
    } else {
        take(c, value->count * value_bytes[value->type], "a metadata value");
    }
    value->end = c->at;
}

static void take_value(struct cursor *c, struct gguf_value *value) {
    value->key = take_name(c, "a metadata key");
    value->type = take_u32(c, "a metadata type");
    value->count = 1;
    if (value->type == GGUF_ARRAY) {
        value->is_array = true;
        value->type = take_u32(c, "an array's element type");
        value->count = take_u64(c, "an array's length");
    }
    if (!c->err)
        take_elements(c, value);
}

/* Bytes of the tensor's data, or 0 after reporting what is wrong with its shape. */
static size_t tensor_bytes(struct cursor *c, const struct gguf_tensor *t) {
    const struct quant_info *info = quant_info(t->type);
    uint64_t n = 1;

    if (!info) {
        c->err = model_fail(c->fail, -ENOTSUP,
                            "%s: tensor %.*s has the type %s, which this build cannot read; use a file "
                            "quantised as one of %s",
                            c->file->path, (int)t->name.n, t->name.p, quant_name(t->type), quant_list());
        return 0;
    }
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] == 0 || t->dims[i] > INT32_MAX || n > (UINT64_C(1) << 40) / t->dims[i]) {
            corrupt(c, "a tensor with an impossible shape");
            return 0;
        }
        n *= t->dims[i];
    }
    if (t->dims[0] % info->block_values != 0) {
        corrupt(c, "a tensor whose rows are not whole blocks");
        return 0;
    }
    return (size_t)(n / info->block_values * info->block_bytes);
}

/* Read one tensor's description; its offset is resolved once the data section's start is known. */
static void take_tensor(struct cursor *c, struct gguf_tensor *t, uint64_t *offset) {
    t->name = take_name(c, "a tensor's name");
    t->n_dims = take_u32(c, "a tensor's dimensions");
    for (int i = 0; i < GGUF_MAX_DIMS; i++)
        t->dims[i] = 1;
    if (!c->err && (t->n_dims == 0 || t->n_dims > GGUF_MAX_DIMS))
        corrupt(c, "a tensor with an impossible number of dimensions");
    for (uint32_t i = 0; !c->err && i < t->n_dims; i++)
        t->dims[i] = take_u64(c, "a tensor's dimension");
    t->type = take_u32(c, "a tensor's type");
    *offset = take_u64(c, "a tensor's offset");
    if (!c->err)
        t->n_bytes = tensor_bytes(c, t);
}

static int order_texts(struct gguf_text a, struct gguf_text b) {
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int order_values(const void *a, const void *b) {
    return order_texts(((const struct gguf_value *)a)->key, ((const struct gguf_value *)b)->key);
}

static int order_tensors(const void *a, const void *b) {
    return order_texts(((const struct gguf_tensor *)a)->name, ((const struct gguf_tensor *)b)->name);
}

/* Two entries of one name would make the answer depend on the search; refuse. */
static int refuse_twins(struct cursor *c) {
    const struct gguf *f = c->file;

    qsort(f->values, f->n_values, sizeof(*f->values), order_values);
    qsort(f->tensors, f->n_tensors, sizeof(*f->tensors), order_tensors);
    for (size_t i = 1; i < f->n_values; i++)
        if (order_values(&f->values[i - 1], &f->values[i]) == 0)
            return corrupt(c, "two metadata values with one key");
    for (size_t i = 1; i < f->n_tensors; i++)
        if (order_tensors(&f->tensors[i - 1], &f->tensors[i]) == 0)
            return corrupt(c, "two tensors with one name");
    return 0;
}

static int take_header(struct cursor *c, uint64_t *n_values, uint64_t *n_tensors) {
    const uint8_t *magic = take(c, 4, "the magic number");
    size_t left;

    if (magic && memcmp(magic, "GGUF", 4) != 0)
        return c->err = model_fail(
                   c->fail, -EINVAL,
                   "%s: not a GGUF file: it begins with %02x %02x %02x %02x; give the path of a .gguf model",
                   c->file->path, magic[0], magic[1], magic[2], magic[3]);
    c->file->version = take_u32(c, "the version");
    if (!c->err && c->file->version != 2 && c->file->version != 3)
        return c->err = model_fail(
                   c->fail, -ENOTSUP,
                   "%s: GGUF version %" PRIu32
                   " at byte 4; this build reads versions 2 and 3, little-endian: convert the model again",
                   c->file->path, c->file->version);
    *n_tensors = take_u64(c, "the tensor count");
    *n_values = take_u64(c, "the metadata count");
    left = (size_t)(c->end - c->at);
    if (!c->err && (*n_values > MAX_ENTRIES || *n_tensors > MAX_ENTRIES ||
                    *n_values > left / MIN_VALUE_BYTES || *n_tensors > left / MIN_TENSOR_BYTES))
        return corrupt(c, "a count larger than the file");
    return c->err;
}

/* The data section begins at the next multiple of the alignment; every tensor must lie inside it. */
static int place_tensors(struct cursor *c, const uint64_t *offsets) {
    struct gguf *f = c->file;
    size_t align = f->alignment;
    size_t start = ((size_t)(c->at - f->map) + align - 1) / align * align;
    size_t room = start <= f->n_bytes ? f->n_bytes - start : 0;

    for (size_t i = 0; i < f->n_tensors; i++) {
        struct gguf_tensor *t = &f->tensors[i];

        if (offsets[i] % align != 0)
            return model_fail(c->fail, -EINVAL,
                              "%s: not a sound GGUF file: tensor %.*s starts at the unaligned offset %" PRIu64
                              "; " REMEDY,
                              f->path, (int)t->name.n, t->name.p, offsets[i]);
        if (offsets[i] > room || t->n_bytes > room - offsets[i])
            return model_fail(c->fail, -EINVAL,
                              "%s: cut off: tensor %.*s needs %zu bytes at byte %" PRIu64
                              ", the file ends at %zu; " REMEDY,
                              f->path, (int)t->name.n, t->name.p, t->n_bytes, offsets[i] + start, f->n_bytes);
        t->data = f->map + start + offsets[i];
    }
    return 0;
}

static int read_alignment(struct cursor *c) {
    int err = gguf_u32(c->file, "general.alignment", DEFAULT_ALIGNMENT, &c->file->alignment, c->fail);
    uint32_t align = c->file->alignment;

    if (!err && (align == 0 || align > MAX_ALIGNMENT || (align & (align - 1)) != 0))
        err = corrupt(c, "an alignment that is no power of two");
    return err;
}

static int parse(struct cursor *c) {
    struct gguf *f = c->file;
    uint64_t n_values = 0, n_tensors = 0;
    uint64_t *offsets = NULL;
    int err = take_header(c, &n_values, &n_tensors);

    if (err)
        return err;
    f->values = calloc(n_values + 1, sizeof(*f->values));
    f->tensors = calloc(n_tensors + 1, sizeof(*f->tensors));
    offsets = calloc(n_tensors + 1, sizeof(*offsets));
    if (!f->values || !f->tensors || !offsets) {
        err = model_fail(c->fail, -ENOMEM, "%s: out of memory for its index", f->path);
        goto out;
    }
    for (; f->n_values < n_values && !c->err; f->n_values++)
        take_value(c, &f->values[f->n_values]);
    for (; f->n_tensors < n_tensors && !c->err; f->n_tensors++)
        take_tensor(c, &f->tensors[f->n_tensors], &offsets[f->n_tensors]);
    err = c->err;
    if (!err) {
        qsort(f->values, f->n_values, sizeof(*f->values), order_values);
        err = read_alignment(c);
    }
    if (!err)
        err = place_tensors(c, offsets);
    if (!err)
        err = refuse_twins(c);
out:
    free(offsets);
    return err;
}

int gguf_parse(struct gguf *file, const char *path, const void *bytes, size_t n_bytes,
               struct model_fail *fail) {
    struct cursor c = {.file = file, .fail = fail, .at = bytes, .end = (const uint8_t *)bytes + n_bytes};
    int err;

    memset(file, 0, sizeof(*file));
    file->path = strdup(path);
    if (!file->path)
        return model_fail(fail, -ENOMEM, "%s: out of memory", path);
    file->map = bytes;
    file->n_bytes = n_bytes;
    err = parse(&c);
    if (err) {
        file->map = NULL; /* the caller's */
        gguf_close(file);
    }
    return err;
}

int gguf_open(struct gguf *file, const char *path, struct model_fail *fail) {
    struct stat st;
    void *map;
    int err = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    memset(file, 0, sizeof(*file));
    if (fd < 0)
        return model_fail(
            fail, -errno,
            "%s: cannot open the model: %s; check the path, or fetch it with `telex model pull`", path,
            strerror(errno));
    if (fstat(fd, &st) < 0)
        err = model_fail(fail, -errno, "%s: cannot look at the model: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        err = model_fail(fail, -EINVAL, "%s: not a regular file; give the path of a .gguf model", path);
    else if (st.st_size == 0)
        err = model_fail(fail, -EINVAL, "%s: the model file is empty; " REMEDY, path);
    if (err)
        goto out;
    map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        err = model_fail(fail, -errno, "%s: cannot map the model: %s", path, strerror(errno));
        goto out;
    }
    err = gguf_parse(file, path, map, (size_t)st.st_size, fail);
    if (err)
        munmap(map, (size_t)st.st_size);
    else
        file->is_mapped = true;
out:
    close(fd);
    return err;
}

void gguf_sha256(const struct gguf *file, char hex[65]) {
    unsigned char sum[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(sum, file->map, file->n_bytes);
    sodium_bin2hex(hex, 65, sum, sizeof(sum));
}

void gguf_close(struct gguf *file) {
    if (file->is_mapped)
        munmap((void *)(uintptr_t)file->map, file->n_bytes);
    free(file->values);
    free(file->tensors);
    free(file->path);
    memset(file, 0, sizeof(*file));
}

const struct gguf_value *gguf_find(const struct gguf *file, const char *key) {
    struct gguf_value want = {.key = {key, strlen(key)}};

    return bsearch(&want, file->values, file->n_values, sizeof(want), order_values);
}

const struct gguf_tensor *gguf_tensor(const struct gguf *file, const char *name) {
    struct gguf_tensor want = {.name = {name, strlen(name)}};

    return bsearch(&want, file->tensors, file->n_tensors, sizeof(want), order_tensors);
}

/* Any integer type, as the writers of model files do not agree on one. */
static bool read_int(const struct gguf_value *v, uint64_t i, int64_t *out) {
    static const bool is_signed[GGUF_N_VALUE_TYPES] = {
        [GGUF_I8] = 1, [GGUF_I16] = 1, [GGUF_I32] = 1, [GGUF_I64] = 1};
    size_t n = v->type < GGUF_N_VALUE_TYPES ? value_bytes[v->type] : 0;
    uint64_t raw = 0;

    if (n == 0 || v->type == GGUF_F32 || v->type == GGUF_F64)
        return false;
    memcpy(&raw, v->at + i * n, n);
    if (is_signed[v->type] && n < 8 && (raw >> (8 * n - 1)) != 0)
        raw |= ~UINT64_C(0) << (8 * n);
    if (v->type == GGUF_U64 && raw > INT64_MAX)
        return false;
    *out = (int64_t)raw;
    return true;
}

int64_t gguf_array_int(const struct gguf_value *value, uint64_t i) {
    int64_t v = 0;

    read_int(value, i, &v);
    return v;
}

int gguf_u32(const struct gguf *file, const char *key, uint32_t fallback, uint32_t *out,
             struct model_fail *fail) {
    const struct gguf_value *v = gguf_find(file, key);
    int64_t n = fallback;

    if (v && (v->is_array || !read_int(v, 0, &n) || n < 0 || n > UINT32_MAX))
        return model_fail(
            fail, -EINVAL,
            "%s: the metadata value %s is not a number between 0 and 2^32-1; convert the model again",
            file->path, key);
    *out = (uint32_t)n;
    return 0;
}

int gguf_u32_required(const struct gguf *file, const char *key, uint32_t *out, struct model_fail *fail) {
    if (!gguf_find(file, key))
        return model_fail(fail, -EINVAL, "%s: the metadata value %s is missing; convert the model again",
                          file->path, key);
    return gguf_u32(file, key, 0, out, fail);
}

int gguf_f32(const struct gguf *file, const char *key, float fallback, float *out, struct model_fail *fail) {
    const struct gguf_value *v = gguf_find(file, key);
    double wide;

    *out = fallback;
    if (!v)
        return 0;
    if (!v->is_array && v->type == GGUF_F32) {
        memcpy(out, v->at, sizeof(*out));
        return 0;
    }
    if (!v->is_array && v->type == GGUF_F64) {
        memcpy(&wide, v->at, sizeof(wide));
        *out = (float)wide;
        return 0;
    }
    return model_fail(fail, -EINVAL,
                      "%s: the metadata value %s is not a floating-point number; convert the model again",
                      file->path, key);
}

int gguf_bool(const struct gguf *file, const char *key, bool fallback, bool *out, struct model_fail *fail) {
    const struct gguf_value *v = gguf_find(file, key);

    *out = fallback;
    if (!v)
        return 0;
    if (v->is_array || v->type != GGUF_BOOL)
        return model_fail(fail, -EINVAL,
                          "%s: the metadata value %s is not true or false; convert the model again",
                          file->path, key);
    *out = *v->at != 0;
    return 0;
}

int gguf_text_required(const struct gguf *file, const char *key, struct gguf_text *out,
                       struct model_fail *fail) {
    const struct gguf_value *v = gguf_find(file, key);
    const uint8_t *at;

    if (!v || v->is_array || v->type != GGUF_STRING)
        return model_fail(fail, -EINVAL, "%s: the metadata text %s is missing; convert the model again",
                          file->path, key);
    at = v->at;
    *out = gguf_next_text(&at);
    return 0;
}

struct gguf_text gguf_next_text(const uint8_t **at) {
    struct gguf_text text;
    uint64_t n;

    memcpy(&n, *at, sizeof(n));
    text = (struct gguf_text){(const char *)*at + 8, (size_t)n};
    *at += 8 + n;
    return text;
}

bool gguf_text_is(struct gguf_text text, const char *literal) {
    return text.n == strlen(literal) && memcmp(text.p, literal, text.n) == 0;
}

char *gguf_text_or(const struct gguf *file, const char *key, const char *fallback) {
    struct gguf_text text = {0};

    if (gguf_text_required(file, key, &text, NULL) != 0)
        return strdup(fallback);
    return strndup(text.p, text.n);
}
