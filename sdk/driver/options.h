/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - what an operator may say about the driver, for the option table of a plugin with weights.
 *
 * The plugin only lists them (and keeps a struct driver_options, which it need not read); whoever opens the driver
 * reads them from the checked map:
 *
 *     static const struct telex_option *const options[] = {..., TELEX_DRIVER_OPTIONS(struct config, driver), NULL}; */
#ifndef SDK_DRIVER_OPTIONS_H
#define SDK_DRIVER_OPTIONS_H

#include <telex-sdk/option.h>

struct driver_options {
    int64_t parallel, kv_tokens;
    const char *record;
    bool prefix_cache, drafts, forced, masked_head;
};

#define TELEX_DRIVER_OPTIONS(config, member)                                                                           \
    TELEX_OPTION(.name = "parallel", .type = TELEX_INT, .offset = offsetof(config, member.parallel), .initial = "8",   \
                 .min = 1, .max = 256, .doc = "jobs that share a batch"),                                              \
        TELEX_OPTION(.name = "kv_tokens", .type = TELEX_INT, .offset = offsetof(config, member.kv_tokens),             \
                     .initial = "0", .min = 0, .max = 1 << 22,                                                         \
                     .doc = "positions held for all jobs together; 0: what 512 MiB hold, one context at least"),       \
        TELEX_OPTION(.name = "record", .type = TELEX_PATH, .offset = offsetof(config, member.record),                  \
                     .doc = "file to which each job and its outcome are appended as JSON, texts included"),            \
        TELEX_OPTION(.name = "prefix_cache", .type = TELEX_BOOL, .offset = offsetof(config, member.prefix_cache),      \
                     .initial = "true", .doc = "copy the part of a prompt that the context already holds"),            \
        TELEX_OPTION(.name = "drafts", .type = TELEX_BOOL, .offset = offsetof(config, member.drafts),                  \
                     .initial = "true",                                                                                \
                     .doc = "verify several tokens at a time that a job probably repeats; never changes a text"),      \
        TELEX_OPTION(.name = "forced", .type = TELEX_BOOL, .offset = offsetof(config, member.forced),                  \
                     .initial = "true",                                                                                \
                     .doc = "put out what the schema forces without a pass of its own; never changes a text"),         \
        TELEX_OPTION(.name = "masked_head", .type = TELEX_BOOL, .offset = offsetof(config, member.masked_head),        \
                     .initial = "true",                                                                                \
                     .doc = "ask for the logits of allowed tokens only, where they are few; never changes a text")

#endif
