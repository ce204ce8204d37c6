/* SPDX-License-Identifier: Apache-2.0 */
/* kit.h - what the tests of isolated stages share: a plugin on disk, its options, one life of an instance.
 *
 * Environment: TEST_PLUGIN_DIR (where tests/plugins were built), TELEX_RUNNER (the runner). */
#ifndef TESTS_RUNNER_KIT_H
#define TESTS_RUNNER_KIT_H

#include "isolate.h"
#include "memory_host.h"

/* Describe a test plugin by name: path and sha256. Fails the program when it is not there. */
struct plugin_desc kit_plugin(const char *name);
void kit_plugin_finish(struct plugin_desc *plugin);

/* A checked options map: {"act": act, "at": at} or {"greeting": at} when act is NULL. Free data. */
struct telex_bytes kit_options(const char *act, int64_t at);

/* The options of model-script: how long an answer takes. Free data. */
struct telex_bytes kit_model_options(int64_t delay_ms);

/* One life of a stage in a memory host, isolated or in this process. */
struct life {
    struct plugin_desc plugin;
    struct telex_bytes options;
    struct isolate_spec spec;
    const struct telex_stage *class; /* the plugin's own, loaded here as well */
    const struct telex_stage *calls; /* class or isolate_stage */
    struct memory_host *mh;
    void *self;
    int deaths; /* calls of died */
    char why[600];
};

/* Prepare; change life.spec before life_begin as needed. */
void life_init(struct life *life, const char *plugin, const char *act, int64_t at);
/* create and start; the first failure, or OK. */
telex_status life_begin(struct life *life, bool isolated);
telex_lease life_give(struct life *life, const char *id, uint64_t version, const char *title,
                      size_t text_bytes);
/* stop and destroy the instance, if there is one. */
void life_end(struct life *life);
/* life_end, and free everything. Fails the program when a sanitizer in the runner complained. */
void life_finish(struct life *life);
/* Wait until died was called; how often it was by then, and what it said (until life_finish). */
int life_await_death(struct life *life, int64_t timeout_ms);

/* How many descriptors this process has open. */
int kit_open_files(void);
/* Whether a process is there (a zombie counts). */
bool kit_process_lives(pid_t pid);
/* Sleep until a process is gone. false after timeout_ms. */
bool kit_process_ends(pid_t pid, int64_t timeout_ms);
int64_t kit_now_ms(void);
void kit_sleep_ms(int64_t ms);

#endif
