/* SPDX-License-Identifier: Apache-2.0 */
/* fault.h - faults that `telex test` puts into a stage's process.
 *
 * TELEX_FAULTS names a folder; the runner of stage NAME maps the file NAME in it, before it gives up the
 * right to open files. The page outlives the runner, so a fault that ended it is known to have struck. The
 * plugin is not asked: the fault comes in its place, and a crash is a signal that ends the process. */
#ifndef HOST_RUNNER_FAULT_H
#define HOST_RUNNER_FAULT_H

#include <stdint.h>

#include <telex/record.h>

#define FAULTS_VARIABLE "TELEX_FAULTS"

enum fault_kind {
    FAULT_CRASH,  /* SIGSEGV with the record in hand, or when a source opens a step */
    FAULT_HANG,   /* does not return, until the host kills the process */
    FAULT_FAIL,   /* a record: RETRY; a source: start gives FATAL */
    FAULT_REJECT, /* REJECT */
    FAULT_KINDS
};
enum { FAULTS_MAX = 16 };

struct fault {
    uint32_t kind;
    uint32_t at;     /* the n-th record that the stage is handed for the first time, from 1 */
    uint32_t times;  /* how often it strikes: again when that record comes again */
    uint32_t struck; /* so often it did */
    uint64_t version;
    uint32_t id_bytes;
    char id[TELEX_ID_MAX_BYTES]; /* of the record, once it struck */
};

struct fault_page {
    uint64_t magic;
    uint32_t n_faults;
    uint32_t n_records; /* handed to the stage, those that a fault met once only */
    uint32_t n_opened;  /* steps that a source opened */
    struct fault faults[FAULTS_MAX];
};

/* Map the page of a stage; made, empty, with `create`. NULL: there is none, or errno says why not. Stays
 * mapped. */
struct fault_page *fault_map(const char *folder, const char *stage, int create);

/* The fault that is due for a record now, counted as struck; or NULL. */
const struct fault *fault_of_record(struct fault_page *page, struct telex_bytes id, uint64_t version);
/* The same for a source's start, and for a step that it opens. */
const struct fault *fault_of_start(struct fault_page *page);
const struct fault *fault_of_open(struct fault_page *page);

/* A crash or a hang happens here; others return. */
void fault_strike(const struct fault *fault);

#endif
