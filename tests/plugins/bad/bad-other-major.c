/* SPDX-License-Identifier: Apache-2.0 */
/* bad-other-major - built for an ABI that does not exist yet, whose entry has another name. */
#include "manifest.h"

BAD_MANIFEST("bad-other-major", "[2,0]")

__attribute__((visibility("default"))) const void *telex_entry_v2(uint32_t host_minor);

const void *telex_entry_v2(uint32_t host_minor) {
    return host_minor ? manifest : 0;
}
