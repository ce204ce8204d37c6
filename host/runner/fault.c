/* SPDX-License-Identifier: Apache-2.0 */
/* fault.c - decides when a planned fault strikes. Counting happens before striking: the process may be gone
 * after. */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x746c756166786c74) /* "tlxfault" */

struct fault_page *fault_map(const char *folder, const char *stage, int create) {
    char path[PATH_MAX];
    struct stat st;
    int n = snprintf(path, sizeof(path), "%s/%s", folder, stage);
    if (n < 0 || n >= PATH_MAX)
        return errno = ENAMETOOLONG, NULL;
    int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
    if (fd < 0)
        return NULL;
    if (create && ftruncate(fd, sizeof(struct fault_page)) < 0) {
        close(fd);
        return NULL;
    }
    struct fault_page *page = MAP_FAILED;
    if (fstat(fd, &st) == 0 && st.st_size == (off_t)sizeof(struct fault_page))
        page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page == MAP_FAILED)
        return NULL;
    if (create)
        page->magic = MAGIC;
    return page->magic == MAGIC && page->n_faults <= FAULTS_MAX ? page : NULL;
}

static const struct fault *count(struct fault *fault) {
    fault->struck++;
    return fault;
}

const struct fault *fault_of_record(struct fault_page *page, struct telex_bytes id, uint64_t version) {
    bool met = false; /* by a fault, earlier */
    for (uint32_t i = 0; i < page->n_faults; i++) {
        struct fault *fault = &page->faults[i];
        if (fault->struck == 0 || fault->version != version || fault->id_bytes != id.size ||
            memcmp(fault->id, id.data, fault->id_bytes) != 0)
            continue;
        met = true;
        if (fault->struck < fault->times)
            return count(fault);
    }
    if (met)
        return NULL;
    page->n_records++;
    for (uint32_t i = 0; i < page->n_faults; i++) {
        struct fault *fault = &page->faults[i];
        if (fault->at != page->n_records || fault->struck > 0 || id.size > sizeof(fault->id))
            continue;
        fault->version = version;
        fault->id_bytes = (uint32_t)id.size;
        memcpy(fault->id, id.data, id.size);
        return count(fault);
    }
    return NULL;
}

const struct fault *fault_of_start(struct fault_page *page) {
    for (uint32_t i = 0; i < page->n_faults; i++)
        if (page->faults[i].kind == FAULT_FAIL && page->faults[i].struck < page->faults[i].times)
            return count(&page->faults[i]);
    return NULL;
}

const struct fault *fault_of_open(struct fault_page *page) {
    uint32_t n = __atomic_add_fetch(&page->n_opened, 1, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < page->n_faults; i++)
        if (page->faults[i].kind != FAULT_FAIL && page->faults[i].at == n && page->faults[i].struck == 0)
            return count(&page->faults[i]);
    return NULL;
}

void fault_strike(const struct fault *fault) {
    if (fault->kind == FAULT_CRASH) {
        signal(SIGSEGV, SIG_DFL); /* whoever handles it, a sanitizer say */
        raise(SIGSEGV);
    }
    while (fault->kind == FAULT_HANG)
        pause();
}
