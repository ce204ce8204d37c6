/* SPDX-License-Identifier: Apache-2.0 */
/* zoo.h - what the plugins of the zoo share: the entry, and tables that end where readable memory ends.
 *
 * They see the frozen contract of one minor and nothing else, not even the SDK. A table handed to the host stands at
 * the end of a page with nothing behind it, so a host that goes by its own idea of the size dies on the spot. */
#ifndef TESTS_ABI_ZOO_H
#define TESTS_ABI_ZOO_H

#include <string.h>
#include <sys/mman.h>

#include <telex/ext/kv.h>
#include <telex/ext/timer.h>
#include <telex/plugin.h>

#define ZOO_STRING_(x) #x
#define ZOO_STRING(x)  ZOO_STRING_(x)

/* The manifest and the entry of a plugin with one class; `name` without quotes. */
#define ZOO_PLUGIN(name_, class_id, table)                                                                             \
    __attribute__((section(TELEX_MANIFEST_SECTION), used)) static const char manifest[] =                              \
        TELEX_MANIFEST_MAGIC "{\"name\":\"" name_ "\",\"version\":\"1.0.0\",\"abi\":[1," ZOO_STRING(ZOO_NEEDS_MINOR)    \
                             "],\"provides\":[\"" class_id "\"],\"license\":\"Apache-2.0\",\"doc\":\"a plugin of old\"}"; \
    static const void *const *zoo_provides(const char *id) {                                                           \
        static const void *const classes[] = {&(table), NULL};                                                         \
        return strcmp(id, class_id) == 0 ? classes : NULL;                                                             \
    }                                                                                                                  \
    __attribute__((visibility("default"))) const struct telex_plugin *telex_entry_v1(uint32_t host_minor) {            \
        static const struct telex_plugin plugin = {.size = sizeof(plugin),                                             \
                                                   .abi_major = TELEX_ABI_MAJOR,                                       \
                                                   .min_minor = ZOO_NEEDS_MINOR,                                       \
                                                   .built_minor = TELEX_ABI_MINOR,                                     \
                                                   .name = name_,                                                      \
                                                   .version = "1.0.0",                                                 \
                                                   .license = "Apache-2.0",                                            \
                                                   .doc = "a plugin of old",                                           \
                                                   .provides = zoo_provides};                                          \
        (void)manifest;                                                                                                \
        return host_minor + 1u > ZOO_NEEDS_MINOR ? &plugin : NULL;                                                         \
    }

#ifndef ZOO_NEEDS_MINOR
#define ZOO_NEEDS_MINOR 0
#endif

/* `size` zeroed bytes whose last one is the last of a readable page. Never freed; NULL without memory. */
static inline void *zoo_at_the_edge(size_t size) {
    enum { PAGE = 65536 };
    uint8_t *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + PAGE, PAGE, PROT_NONE) != 0)
        return NULL;
    return pages + PAGE - size;
}

/* Copy as much of our table as the caller's has room for; both begin with their size. */
static inline telex_status zoo_answer(void *out, const void *full) {
    uint32_t theirs, ours;
    memcpy(&theirs, out, sizeof(theirs));
    memcpy(&ours, full, sizeof(ours));
    ours = ours < theirs ? ours : theirs;
    memcpy(out, full, ours);
    memcpy(out, &ours, sizeof(ours));
    return TELEX_OK;
}

static inline struct telex_bytes zoo_text(const char *text) {
    struct telex_bytes bytes = {(const uint8_t *)text, strlen(text)};
    return bytes;
}

#endif
