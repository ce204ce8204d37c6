/* SPDX-License-Identifier: Apache-2.0 */
/* bad-hang-entry - waits for ever in its entry. */
#include <unistd.h>

#include "entry.h"

BAD_ENTRY("bad-hang-entry", "hangs in its entry") {
    for (volatile int forever = 1; forever;)
        pause();
    return host_minor || *telex_manifest_ ? NULL : NULL;
}
