/* SPDX-License-Identifier: Apache-2.0 */
/* limit.c - the sanitizer's allocation hooks as a meter. One thread. */
#include "limit.h"

#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_HOOKS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_HOOKS 1
#endif
#endif

static size_t limit, held;

#ifdef HAS_HOOKS
/* Of sanitizer/allocator_interface.h, which clang has and gcc lacks; both have the functions. */
int __sanitizer_install_malloc_and_free_hooks(void (*taken)(const volatile void *, size_t),
                                              void (*given)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *p);

static void taken(const volatile void *p, size_t size) {
    (void)p;
    if (!limit)
        return;
    held += size;
    if (held > limit) {
        fprintf(stderr, "limit: %zu bytes held where the input explains %zu\n", held, limit);
        limit = 0;
        abort();
    }
}

/* What was taken before the beginning and is given back now would count below zero. */
static void given(const volatile void *p) {
    const size_t size = limit && p ? __sanitizer_get_allocated_size(p) : 0;
    held -= size < held ? size : held;
}
#endif

void limit_begin(size_t bytes) {
#ifdef HAS_HOOKS
    static int installed;
    if (!installed)
        installed = __sanitizer_install_malloc_and_free_hooks(taken, given);
#endif
    held = 0;
    limit = bytes;
}

void limit_end(void) {
    limit = 0;
}
