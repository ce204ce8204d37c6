/* SPDX-License-Identifier: Apache-2.0 */
/* bad-entry-missing - has a manifest, but its entry was forgotten. */
#include <telex-sdk/plugin.h>

TELEX_MANIFEST("bad-entry-missing", "0.1.0", TELEX_CLASS_STAGE, "Apache-2.0", "has no entry")

__attribute__((visibility("default"))) const char *telex_entry_v9(void);

const char *telex_entry_v9(void) {
    return telex_manifest_;
}
