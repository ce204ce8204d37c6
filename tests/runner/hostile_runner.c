/* SPDX-License-Identifier: Apache-2.0 */
/* A runner that keeps no rule. HOSTILE names what it does once the host has asked it to create an instance;
 * most acts first answer that everything is well. It has what a plugin that took over its process would have:
 * the descriptors, the shared memory and the layout of every message. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runner/link.h"

static struct region theirs, ours;
static struct link_in in;
static struct link_out out;

static struct region_page *page(void) {
    return (struct region_page *)(void *)ours.base;
}

static void send_message(struct message m, const void *payload, uint64_t size) {
    while (link_send(&out, m, payload, size) != 0)
        usleep(100);
    link_wake(&out);
}

static void answer(uint64_t call) {
    struct message m = {.type = FROM_ANSWER, .call = call};
    send_message(m, NULL, 0);
}

/* The next message from the host; waits. */
static struct message hear(void) {
    static uint8_t inline_bytes[INLINE_MAX_BYTES];
    struct message m;
    while (link_take(&in, &m, inline_bytes) == 0) {
        struct pollfd fd = {.fd = FD_CHANNEL, .events = POLLIN};
        if (poll(&fd, 1, 1) > 0)
            _exit(0);
    }
    link_done(&in);
    return m;
}

static void raw(uint32_t type, uint64_t lease, uint64_t a, uint64_t slot, uint64_t slot_size) {
    struct message m = {.type = type, .lease = lease, .a = a, .slot = slot, .slot_size = slot_size};
    while (link_send_slot(&out, &m, NULL, 0, false) != 0)
        usleep(100);
    link_wake(&out);
}

static void wake(void) {
    uint64_t one = 1;
    (void)!write(FD_WAKE_HOST, &one, sizeof(one));
}

/* Messages of every type with noise in every field. */
static void babble(unsigned seed) {
    uint8_t noise[256];
    srand(seed);
    for (int i = 0; i < 20000; i++) {
        struct message m;
        uint8_t *bytes = (uint8_t *)&m;
        for (size_t k = 0; k < sizeof(m); k++)
            bytes[k] = (uint8_t)(rand() >> 7);
        for (size_t k = 0; k < sizeof(noise); k++)
            noise[k] = (uint8_t)(rand() >> 7);
        m.type = FROM_ANSWER + (uint32_t)rand() % (FROM_LAST - FROM_ANSWER + 1);
        m.lease = (uint64_t)(rand() % 4);
        m.a = rand() % 2 ? (uint64_t)(rand() % 300) : m.a;
        m.b = rand() % 2 ? (uint64_t)(rand() % 300) : m.b;
        send_message(m, noise, (uint64_t)(rand() % 256));
    }
}

static void act(const char *what, telex_lease lease, uint64_t handle) {
    uint64_t arena = region_bytes(0), end = ours.bytes;
    if (strcmp(what, "ring-huge") == 0)
        atomic_store(&page()->written, UINT64_MAX - 7), wake();
    else if (strcmp(what, "ring-odd") == 0)
        atomic_store(&page()->written, out.written + 61), wake();
    else if (strcmp(what, "ring-back") == 0)
        atomic_store(&page()->written, 64), wake();
    else if (strcmp(what, "slot-before") == 0)
        raw(FROM_OUTPUT, lease, 64, 0, 64);
    else if (strcmp(what, "slot-after") == 0)
        raw(FROM_OUTPUT, lease, 64, end - 8, 64);
    else if (strcmp(what, "slot-wraps") == 0)
        raw(FROM_OUTPUT, lease, UINT64_MAX, arena, UINT64_MAX - 8);
    else if (strcmp(what, "type") == 0)
        raw(7, 0, 0, 0, 0);
    else if (strcmp(what, "release") == 0)
        raw(FROM_RELEASE, 0, handle + (1ull << 32), 0, 0);
    else if (strcmp(what, "release-twice") == 0)
        raw(FROM_RELEASE, 0, handle, 0, 0), raw(FROM_RELEASE, 0, handle, 0, 0);
    else if (strcmp(what, "forward-unheld") == 0)
        raw(FROM_FORWARD, lease, 99, 0, 0);
    else if (strcmp(what, "lengths") == 0)
        raw(FROM_OUTPUT, lease, 1u << 30, arena, 64);
    else if (strcmp(what, "kv-sizes") == 0)
        raw(FROM_KV_PUT, lease, UINT64_MAX, arena, 64);
    else if (strcmp(what, "get-sizes") == 0)
        raw(FROM_GET, lease, 200, 0, 0);
    else if (strcmp(what, "foreign-lease") == 0)
        raw(FROM_COMPLETE, lease + 1, 0, 0, 0), raw(FROM_OUTPUT, lease + 1, 0, 0, 0),
            raw(FROM_COMPLETE, lease, 0, 0, 0);
    else if (strcmp(what, "not-msgpack") == 0) {
        memset(ours.base + arena, 0xc1, 64);
        raw(FROM_OUTPUT, lease, 64, arena, 64);
        raw(FROM_COMPLETE, lease, 0, 0, 0);
    } else if (strcmp(what, "deaf") == 0) {
        /* asks without end and reads no answer */
        struct message m = {.type = FROM_NOW, .call = 1};
        for (;;)
            send_message(m, NULL, 0);
    } else if (strncmp(what, "babble-", 7) == 0)
        babble((unsigned)atoi(what + 7));
}

/* What the runner must not be able to do to the records it was lent; the answer is its exit status. */
static int try_to_write(void) {
    void *again = mmap(NULL, theirs.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, FD_HOST_REGION, 0);
    if (again != MAP_FAILED || mprotect(theirs.base, 4096, PROT_READ | PROT_WRITE) == 0)
        return 50;
    if (ftruncate(FD_RUNNER_REGION, 4096) == 0 || ftruncate(FD_HOST_REGION, 4096) == 0)
        return 51;
    char byte = 1;
    if (pwrite(FD_HOST_REGION, &byte, 1, 8192) == 1)
        return 52;
    return 40;
}

int main(void) {
    const char *what = getenv("HOSTILE");
    if (!what || region_map(&theirs, FD_HOST_REGION, region_bytes(HOST_ARENA_BYTES), false) < 0 ||
        region_map(&ours, FD_RUNNER_REGION, region_bytes(RUNNER_ARENA_BYTES), true) < 0 ||
        link_out_init(&out, &ours, &theirs, FD_WAKE_HOST) < 0)
        return 60;
    link_in_init(&in, &ours, &theirs);
    if (strcmp(what, "silent") == 0)
        for (;;)
            pause();
    if (strcmp(what, "write") == 0)
        return try_to_write();
    for (;;) {
        struct message m = hear();
        if (m.type == TO_DELIVER)
            act(what, m.lease, m.a);
        else if (m.call != 0)
            answer(m.call);
        if (m.type == TO_DESTROY)
            return 0;
    }
}
