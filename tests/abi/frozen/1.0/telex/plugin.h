/* SPDX-License-Identifier: Apache-2.0 */
/* telex/plugin.h - how a shared object says what it is.
 *
 * A plugin exports one symbol, the function telex_entry_v1. It also carries a manifest, readable without loading
 * it: in the ELF section ".telex.manifest" stand the eight bytes "TELEXMF1" and then one JSON object ended by a zero
 * byte: {"name","version","abi":[major,min_minor],"provides":["telex.stage/1"...],"doc","license"}. The host refuses
 * a plugin whose manifest and classes disagree. */
#ifndef TELEX_PLUGIN_H
#define TELEX_PLUGIN_H

#include "host.h"
#include "model.h"
#include "stage.h"

#define TELEX_CLASS_STAGE    "telex.stage/1"
#define TELEX_CLASS_GENERATE "telex.generate/1"
#define TELEX_CLASS_MODEL    "telex.model/1"

#define TELEX_MANIFEST_SECTION ".telex.manifest"
#define TELEX_MANIFEST_MAGIC   "TELEXMF1"

struct telex_plugin {
    uint32_t size;
    uint32_t abi_major;   /* must equal the host's */
    uint32_t min_minor;   /* what the plugin needs; must not exceed the host's */
    uint32_t built_minor; /* what it was compiled with; for messages only */
    const char *name, *version, *license, *doc;
    /* The classes it provides under a class id: a NULL-ended list of pointers to struct telex_stage,
     * telex_generate or telex_model; NULL for an id it does not know. [any] */
    const void *const *(*provides)(const char *class_id);
};

/* Touches no thread, file or device. NULL: the plugin refuses this host. [control] */
#ifdef __cplusplus
extern "C"
#endif
__attribute__((visibility("default"))) const struct telex_plugin *telex_entry_v1(uint32_t host_minor);

#endif
