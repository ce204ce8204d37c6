/* SPDX-License-Identifier: Apache-2.0 */
/* check_fuzz.h - cases that are made from a seed and a number, and made smaller.
 *
 * A case is one option at an edge of its table, or none, and a few messages. Every message has a schema that
 * its port takes and an id, as a host guarantees; everything else in it may be anything. */
#ifndef HOST_CHECK_FUZZ_H
#define HOST_CHECK_FUZZ_H

#include "check_again.h"

enum { FUZZ_RECORDS_MAX = 4, FUZZ_FIELDS_MAX = 24 };

/* A key and its value, as a message of this one key. */
struct fuzz_field {
    struct telex_bytes body; /* owned */
};

struct fuzz_record {
    const char *schema;
    char id[33];
    struct fuzz_field fields[FUZZ_FIELDS_MAX];
    uint32_t n_fields;
};

struct fuzz_case {
    const struct check_variation *option; /* borrowed; NULL: as they were given */
    struct fuzz_record records[FUZZ_RECORDS_MAX];
    uint32_t n_records;
};

/* Make the case of a number. Deterministic in (seed, number) and the plugin's tables. fuzz_case_finish. */
void fuzz_case_make(struct fuzz_case *c, uint64_t seed, uint64_t number, const struct telex_stage *class,
                    const struct check_variations *variations);
void fuzz_case_finish(struct fuzz_case *c);

/* The body of a message. Gives its data. */
struct telex_bytes fuzz_record_body(const struct fuzz_record *record);

/* The n-th way to make a case smaller, applied to a copy; false when there are no more. fuzz_case_finish. */
bool fuzz_case_smaller(const struct fuzz_case *c, uint32_t n, struct fuzz_case *out);

#endif
