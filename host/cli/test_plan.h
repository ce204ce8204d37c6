/* SPDX-License-Identifier: Apache-2.0 */
/* test_plan.h - what `telex test` reads from a file: pipelines with given records, faults and expectations.
 *
 *     config: my.yaml                        # absent: the file is itself the config, with `tests` in it
 *     env: {NAME: value}                     # for ${env:NAME} in the config, where it is not set
 *     set: {models.desk.plugin: model-http}  # overrides, as --set takes them
 *     tests:
 *       a crash costs nothing:
 *         set: {stages.short.options.least: 3}
 *         records: {feeds: [{id: a, title: x}]}      # or a JSONL file; takes the place of the source
 *         faults: [{stage: short, crash: 3, times: 1}]
 *         timeout: 60s
 *         expect: {...}                              # test_expect.c
 *
 * Faults: crash, hang, fail and reject name the n-th record of a stage; `fail` of a source how many of its
 * starts fail; {host: N} ends the host by SIGKILL after its n-th commit. */
#ifndef HOST_CLI_TEST_PLAN_H
#define HOST_CLI_TEST_PLAN_H

#include "../config.h"
#include "../config_tree.h"
#include "../runner/fault.h"

enum { TEST_OVERRIDES_MAX = 128 };

/* Records that stand for a source. */
struct test_source {
    size_t stage;               /* of the config */
    struct telex_bytes *bodies; /* owned, each */
    uint32_t *ports;            /* of the stage, for each body */
    size_t n;
    uint32_t failing_starts;
};

struct test_fault {
    size_t stage; /* SIZE_MAX: the host */
    struct fault fault;
    struct mark mark;
};

struct test_plan {
    const char *name; /* borrowed from the tree */
    struct mark mark;
    const struct node *expect; /* borrowed from the tree; NULL: none */
    struct config *config;     /* owned */
    struct test_source *sources;
    size_t n_sources;
    struct test_fault *faults;
    size_t n_faults;
    int64_t timeout_ms;
    char *overrides[TEST_OVERRIDES_MAX + 1]; /* owned */
    struct mark override_marks[TEST_OVERRIDES_MAX];
    size_t n_overrides;
};

struct test_file {
    char *path, *config_path; /* owned */
    struct node *root;        /* owned */
    struct test_plan *plans;
    size_t n_plans;
};

/* Read and check a file; `state` is the private folder that its pipelines write to, also ${env:TELEX_STATE}
 * in the file; `overrides` (NULL-ended) come after the file's own. 0 or the number of errors, in *errors.
 * test_file_finish in both cases. */
int test_file_read(struct test_file *file, const char *path, const char *state, const char *const *overrides,
                   struct registry *registry, struct config_errors *errors);
void test_file_finish(struct test_file *file);

/* A value as JSON: unquoted numbers, true, false and null are those. Gives a reference. */
json_t *test_value(const struct node *node);

#endif
