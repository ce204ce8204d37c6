/* SPDX-License-Identifier: Apache-2.0 */
/* entry.h - a good manifest around an entry that is the plugin's own. */
#ifndef TESTS_BAD_ENTRY_H
#define TESTS_BAD_ENTRY_H

#include <telex-sdk/plugin.h>

#define BAD_ENTRY(name, doc)                                                                                 \
    TELEX_MANIFEST(name, "0.1.0", TELEX_CLASS_STAGE, "Apache-2.0", doc)                                      \
    const struct telex_plugin *telex_entry_v1(uint32_t host_minor)

#endif
