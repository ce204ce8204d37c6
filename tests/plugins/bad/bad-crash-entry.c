/* SPDX-License-Identifier: Apache-2.0 */
/* bad-crash-entry - reads through NULL in its entry. */
#include "entry.h"

BAD_ENTRY("bad-crash-entry", "crashes in its entry") {
    const void *volatile const *volatile nowhere = NULL;
    return host_minor || *telex_manifest_ ? *nowhere : NULL;
}
