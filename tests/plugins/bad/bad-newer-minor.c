/* SPDX-License-Identifier: Apache-2.0 */
/* bad-newer-minor - needs a minor that this host does not have. */
#include "manifest.h"

BAD_MANIFEST("bad-newer-minor", "[1,9]")

const struct telex_plugin *telex_entry_v1(uint32_t host_minor) {
    return host_minor < 9 ? NULL : (const void *)manifest;
}
