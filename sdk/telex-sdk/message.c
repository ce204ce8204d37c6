/* SPDX-License-Identifier: Apache-2.0 */
/* message.c - the scanner, the reader and the builder of message.h.
 *
 * The scanner walks a body without recursion: `left` holds, for each open container, how many objects are still
 * due. A container may not claim more objects than bytes remain, so a five-byte header cannot ask for gigabytes. */
#include <telex-sdk/message.h>

#include <errno.h>
#include <stdlib.h>

struct cursor {
    const uint8_t *at, *end;
};

static uint64_t big_endian(const uint8_t *p, int n) {
    uint64_t value = 0;
    for (int i = 0; i < n; i++)
        value = value << 8 | p[i];
    return value;
}

/* What one header announces. */
struct header {
    uint64_t payload; /* bytes that follow and hold no further object */
    uint64_t objects; /* objects that follow */
    const uint8_t *data;
    uint64_t number; /* of an unsigned integer */
    bool container, map, text, natural;
};

static void set_container(struct header *h, uint64_t count, bool map) {
    h->container = true;
    h->map = map;
    h->objects = map ? 2 * count : count;
}

/* The fixed-size families: 0x00-0xbf and 0xe0-0xff. */
static bool read_short_header(uint8_t tag, struct header *h) {
    if (tag <= 0x7f || tag >= 0xe0) {
        h->natural = tag <= 0x7f;
        h->number = tag;
        return true;
    }
    if (tag <= 0x8f)
        set_container(h, tag & 0x0f, true);
    else if (tag <= 0x9f)
        set_container(h, tag & 0x0f, false);
    else if (tag <= 0xbf) {
        h->payload = tag & 0x1f;
        h->text = true;
    } else
        return false;
    return true;
}

/* The families 0xc0-0xdf whose length follows. Returns 0 or -EBADMSG. */
static int read_long_header(uint8_t tag, struct cursor *c, struct header *h) {
    /* bytes of the length field; 0xff: not allowed */
    static const uint8_t width[32] = {0, 0xff, 0, 0, 1, 2, 4, 1, 2, 4, 0, 0, 0, 0, 0, 0,
                                      0, 0,    0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4};
    static const uint8_t fixed[32] = {0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 4, 8, 1, 2, 4, 8,
                                      1, 2, 4, 8, 2, 3, 5, 9, 17, 0, 0, 0, 0, 0, 0, 0};
    int n = width[tag - 0xc0];
    if (n == 0xff || c->end - c->at < n)
        return -EBADMSG;
    uint64_t length = big_endian(c->at, n);
    c->at += n;
    if (tag >= 0xdc)
        set_container(h, length, tag >= 0xde);
    else
        h->payload = length + fixed[tag - 0xc0];
    h->text = tag >= 0xd9 && tag <= 0xdb;
    h->natural = tag >= 0xcc && tag <= 0xcf;
    return 0;
}

static int read_header(struct cursor *c, struct header *h) {
    memset(h, 0, sizeof(*h));
    if (c->at == c->end)
        return -EBADMSG;
    uint8_t tag = *c->at++;
    if (!read_short_header(tag, h) && read_long_header(tag, c, h) < 0)
        return -EBADMSG;
    uint64_t remain = (uint64_t)(c->end - c->at);
    if (h->payload > remain || h->objects > remain)
        return -EBADMSG;
    h->data = c->at;
    if (h->natural && h->payload)
        h->number = big_endian(c->at, (int)h->payload);
    c->at += h->payload;
    return 0;
}

/* Take note of a top-level value that the host reads. */
static void note_head(struct telex_head *head, const struct header *key, const struct header *value) {
    struct telex_bytes text = {value->data, value->payload};
    if (value->text && key->payload == 6 && memcmp(key->data, "schema", 6) == 0)
        head->schema = text;
    else if (value->text && key->payload == 2 && memcmp(key->data, "id", 2) == 0)
        head->id = text;
    else if (value->natural && key->payload == 7 && memcmp(key->data, "version", 7) == 0)
        head->version = value->number;
}

int telex_scan(struct telex_bytes body) {
    struct telex_head head;
    return telex_scan_head(body, &head);
}

int telex_scan_head(struct telex_bytes body, struct telex_head *head) {
    memset(head, 0, sizeof(*head));
    if (body.size > TELEX_BODY_MAX_BYTES)
        return -E2BIG;
    struct cursor c = {body.data, body.data + body.size};
    struct {
        uint64_t left;
        bool map;
    } open[TELEX_BODY_MAX_DEPTH];
    struct header h, top_key = {0};
    if (read_header(&c, &h) < 0 || !h.map)
        return -EBADMSG;
    uint32_t depth = 0;
    open[depth].left = h.objects;
    open[depth++].map = true;
    while (depth > 0) {
        if (open[depth - 1].left == 0) {
            depth--;
            continue;
        }
        bool key = open[depth - 1].map && open[depth - 1].left % 2 == 0;
        open[depth - 1].left--;
        if (read_header(&c, &h) < 0 || (key && !h.text))
            return -EBADMSG;
        if (depth == 1 && key)
            top_key = h;
        else if (depth == 1)
            note_head(head, &top_key, &h);
        if (!h.container)
            continue;
        if (depth == TELEX_BODY_MAX_DEPTH)
            return -EBADMSG;
        open[depth].left = h.objects;
        open[depth++].map = h.map;
    }
    return c.at == c.end ? 0 : -EBADMSG;
}

int telex_map_open(struct telex_map *map, struct telex_bytes body) {
    memset(map, 0, sizeof(*map));
    int err = telex_scan(body);
    if (err < 0)
        return err;
    msgpack_unpacked_init(&map->unpacked);
    size_t offset = 0;
    msgpack_unpack_return got =
        msgpack_unpack_next(&map->unpacked, (const char *)body.data, body.size, &offset);
    if (got != MSGPACK_UNPACK_SUCCESS) {
        msgpack_unpacked_destroy(&map->unpacked);
        memset(map, 0, sizeof(*map));
        return got == MSGPACK_UNPACK_NOMEM_ERROR ? -ENOMEM : -EBADMSG;
    }
    map->root = &map->unpacked.data;
    return 0;
}

void telex_map_close(struct telex_map *map) {
    if (map->root)
        msgpack_unpacked_destroy(&map->unpacked);
    memset(map, 0, sizeof(*map));
}

const msgpack_object *telex_map_find(const msgpack_object *map, const char *key) {
    if (!map || map->type != MSGPACK_OBJECT_MAP)
        return NULL;
    size_t n = strlen(key);
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_kv *kv = &map->via.map.ptr[i];
        if (kv->key.type == MSGPACK_OBJECT_STR && kv->key.via.str.size == n &&
            memcmp(kv->key.via.str.ptr, key, n) == 0)
            return &kv->val;
    }
    return NULL;
}

struct telex_bytes telex_object_text(const msgpack_object *object) {
    struct telex_bytes none = {(const uint8_t *)"", 0};
    if (!object || object->type != MSGPACK_OBJECT_STR)
        return none;
    struct telex_bytes text = {(const uint8_t *)object->via.str.ptr, object->via.str.size};
    return text;
}

struct telex_bytes telex_map_text(const msgpack_object *map, const char *key) {
    return telex_object_text(telex_map_find(map, key));
}

int64_t telex_map_int(const msgpack_object *map, const char *key, int64_t otherwise) {
    const msgpack_object *value = telex_map_find(map, key);
    if (!value)
        return otherwise;
    if (value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        return value->via.i64;
    if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER && value->via.u64 <= INT64_MAX)
        return (int64_t)value->via.u64;
    return otherwise;
}

double telex_map_real(const msgpack_object *map, const char *key, double otherwise) {
    const msgpack_object *value = telex_map_find(map, key);
    if (!value)
        return otherwise;
    switch (value->type) {
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return value->via.f64;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return (double)value->via.u64;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return (double)value->via.i64;
    default:
        return otherwise;
    }
}

bool telex_map_flag(const msgpack_object *map, const char *key, bool otherwise) {
    const msgpack_object *value = telex_map_find(map, key);
    return value && value->type == MSGPACK_OBJECT_BOOLEAN ? value->via.boolean : otherwise;
}

const msgpack_object *telex_map_array(const msgpack_object *map, const char *key, uint32_t *count) {
    const msgpack_object *value = telex_map_find(map, key);
    *count = 0;
    if (!value || value->type != MSGPACK_OBJECT_ARRAY)
        return NULL;
    *count = value->via.array.size;
    return value->via.array.ptr;
}

void telex_build_init(struct telex_builder *b) {
    memset(b, 0, sizeof(*b));
    msgpack_sbuffer_init(&b->buffer);
    msgpack_packer_init(&b->packer, &b->buffer, msgpack_sbuffer_write);
}

void telex_build_finish(struct telex_builder *b) {
    msgpack_sbuffer_destroy(&b->buffer);
    memset(b, 0, sizeof(*b));
}

static void note(struct telex_builder *b, int packed) {
    if (packed != 0)
        b->broken = true;
}

void telex_build_map_begin(struct telex_builder *b) {
    static const char map32[5] = {(char)0xdf, 0, 0, 0, 0};
    if (b->depth == TELEX_BODY_MAX_DEPTH) {
        b->broken = true;
        return;
    }
    b->open[b->depth].at = b->buffer.size;
    b->open[b->depth++].count = 0;
    note(b, msgpack_sbuffer_write(&b->buffer, map32, sizeof(map32)));
}

void telex_build_map_end(struct telex_builder *b) {
    if (b->depth == 0 || b->broken) {
        b->broken = true;
        return;
    }
    b->depth--;
    uint8_t *header = (uint8_t *)b->buffer.data + b->open[b->depth].at;
    uint32_t count = b->open[b->depth].count;
    for (int i = 0; i < 4; i++)
        header[1 + i] = (uint8_t)(count >> (24 - 8 * i));
}

void telex_build_key(struct telex_builder *b, const char *key) {
    if (b->depth == 0)
        b->broken = true;
    else
        b->open[b->depth - 1].count++;
    telex_build_text(b, key);
}

void telex_build_array(struct telex_builder *b, uint32_t count) {
    note(b, msgpack_pack_array(&b->packer, count));
}

void telex_build_bytes(struct telex_builder *b, struct telex_bytes text) {
    note(b, msgpack_pack_str(&b->packer, text.size));
    note(b, text.size ? msgpack_pack_str_body(&b->packer, text.data, text.size) : 0);
}

void telex_build_text(struct telex_builder *b, const char *text) {
    if (text)
        telex_build_bytes(b, telex_text(text));
    else
        telex_build_nil(b);
}

void telex_build_int(struct telex_builder *b, int64_t value) {
    note(b, msgpack_pack_int64(&b->packer, value));
}

void telex_build_real(struct telex_builder *b, double value) {
    note(b, msgpack_pack_double(&b->packer, value));
}

void telex_build_flag(struct telex_builder *b, bool value) {
    note(b, value ? msgpack_pack_true(&b->packer) : msgpack_pack_false(&b->packer));
}

void telex_build_nil(struct telex_builder *b) {
    note(b, msgpack_pack_nil(&b->packer));
}

void telex_build_object(struct telex_builder *b, const msgpack_object *object) {
    note(b, msgpack_pack_object(&b->packer, *object));
}

struct telex_bytes telex_build_body(const struct telex_builder *b) {
    struct telex_bytes body = {(const uint8_t *)b->buffer.data, b->buffer.size};
    return body;
}

telex_status telex_build_commit(struct telex_builder *b, const struct telex_host *host, telex_lease lease,
                                uint32_t port) {
    if (b->broken || b->depth != 0)
        return host->fail(host, lease, TELEX_INVALID, telex_text("message is not complete"));
    struct telex_loan loan = {.size = sizeof(loan)};
    telex_status status = host->loan(host, lease, port, b->buffer.size, &loan);
    if (status != TELEX_OK)
        return status;
    memcpy(loan.data, b->buffer.data, b->buffer.size);
    return host->commit(host, &loan, b->buffer.size);
}
