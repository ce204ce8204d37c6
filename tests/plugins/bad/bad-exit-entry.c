/* SPDX-License-Identifier: Apache-2.0 */
/* bad-exit-entry - ends the process in its entry. */
#include <unistd.h>

#include "entry.h"

BAD_ENTRY("bad-exit-entry", "ends the process in its entry") {
    _exit(host_minor || *telex_manifest_ ? 7 : 8);
}
