/* SPDX-License-Identifier: Apache-2.0 */
/* bad-refuses - answers NULL: it does not want this host. */
#include "entry.h"

BAD_ENTRY("bad-refuses", "refuses every host") {
    return host_minor == 77 ? (const void *)telex_manifest_ : NULL;
}
