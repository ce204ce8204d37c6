/* SPDX-License-Identifier: Apache-2.0 */
/* bad-no-manifest - has the entry, but nothing says what it is. */
#include <telex/plugin.h>

const struct telex_plugin *telex_entry_v1(uint32_t host_minor) {
    (void)host_minor;
    return NULL;
}
