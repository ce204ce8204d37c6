/* SPDX-License-Identifier: Apache-2.0 */
/* telex-sdk/plugin.h - everything a plugin's front door needs.
 *
 *     static const struct telex_stage stage = {...};
 *     TELEX_STAGE_PLUGIN(stage, "signal-mine", "0.1.0", "Apache-2.0", "what it does")
 *
 * defines the entry function and the manifest for a plugin with one class. Link with sdk/plugin.map, so that the entry
 * is the only exported symbol. */
#ifndef TELEX_SDK_PLUGIN_H
#define TELEX_SDK_PLUGIN_H

#include <stdarg.h>
#include <stdio.h>

#include <telex/plugin.h>

#include <telex-sdk/message.h>
#include <telex-sdk/option.h>
#include <telex-sdk/table.h>

/* The minor that the plugin needs of its host. */
#ifndef TELEX_TARGET_MINOR
#define TELEX_TARGET_MINOR 0
#endif

#define TELEX_STRINGIFY_(x) #x
#define TELEX_STRINGIFY(x)  TELEX_STRINGIFY_(x)

#define TELEX_MANIFEST(name, version, class_id, license, doc)                                                          \
    __attribute__((section(TELEX_MANIFEST_SECTION), used)) static const char telex_manifest_[] =                       \
        TELEX_MANIFEST_MAGIC "{\"name\":\"" name "\",\"version\":\"" version                                           \
                             "\",\"abi\":[1," TELEX_STRINGIFY(TELEX_TARGET_MINOR) "],\"provides\":[\"" class_id        \
                             "\"],\"license\":\"" license "\",\"doc\":\"" doc "\"}";

#define TELEX_PLUGIN_(table, class_id_, name_, version_, license_, doc_)                                               \
    TELEX_MANIFEST(name_, version_, class_id_, license_, doc_)                                                         \
    static const void *const telex_classes_[] = {&(table), NULL};                                                      \
    static const void *const *telex_provides_(const char *class_id) {                                                  \
        return strcmp(class_id, class_id_) == 0 ? telex_classes_ : NULL;                                               \
    }                                                                                                                  \
    __attribute__((visibility("default"))) const struct telex_plugin *telex_entry_v1(uint32_t host_minor) {            \
        static const struct telex_plugin plugin = {.size = sizeof(struct telex_plugin),                                \
                                                   .abi_major = TELEX_ABI_MAJOR,                                       \
                                                   .min_minor = TELEX_TARGET_MINOR,                                    \
                                                   .built_minor = TELEX_ABI_MINOR,                                     \
                                                   .name = name_,                                                      \
                                                   .version = version_,                                                \
                                                   .license = license_,                                                \
                                                   .doc = doc_,                                                        \
                                                   .provides = telex_provides_};                                       \
        (void)telex_manifest_;                                                                                         \
        return host_minor + 1u > TELEX_TARGET_MINOR ? &plugin : NULL;                                                     \
    }

#define TELEX_STAGE_PLUGIN(stage, name, version, license, doc)                                                         \
    TELEX_PLUGIN_(stage, TELEX_CLASS_STAGE, name, version, license, doc)
#define TELEX_GENERATE_PLUGIN(backend, name, version, license, doc)                                                    \
    TELEX_PLUGIN_(backend, TELEX_CLASS_GENERATE, name, version, license, doc)
#define TELEX_MODEL_PLUGIN(model, name, version, license, doc)                                                         \
    TELEX_PLUGIN_(model, TELEX_CLASS_MODEL, name, version, license, doc)

/* One port of a stage: TELEX_PORT(TELEX_OUT, "records", "telex.record/1"). */
#define TELEX_PORT(direction_, name_, ...)                                                                             \
    &(const struct telex_port) {                                                                                       \
        .size = sizeof(struct telex_port), .direction = direction_, .name = name_,                                     \
        .schemas = (const char *const[]){__VA_ARGS__, NULL}                                                            \
    }

/* Log a formatted line, cut at 1 KiB. [any] */
__attribute__((format(printf, 4, 5))) static inline void telex_say(const struct telex_host *host, int32_t level,
                                                                   telex_lease lease, const char *format, ...) {
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    struct telex_bytes text = {(const uint8_t *)line, n < 0                      ? 0
                                                      : n < (int)sizeof(line) ? (uint64_t)n
                                                                              : sizeof(line) - 1};
    host->log(host, level, lease, text);
}

/* Attach a formatted reason and hand back the status: `return telex_fail(host, lease, TELEX_REJECT, "...")`. [any] */
__attribute__((format(printf, 4, 5))) static inline telex_status
telex_fail(const struct telex_host *host, telex_lease lease, telex_status status, const char *format, ...) {
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    struct telex_bytes why = {(const uint8_t *)line, n < 0                      ? 0
                                                     : n < (int)sizeof(line) ? (uint64_t)n
                                                                             : sizeof(line) - 1};
    return host->fail(host, lease, status, why);
}

#endif
