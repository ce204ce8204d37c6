/* SPDX-License-Identifier: Apache-2.0 */
/* repair.h - XML that people wrote, to XML that a parser reads. */
#ifndef SIGNAL_REPAIR_H
#define SIGNAL_REPAIR_H

#include "buf.h"

/* Append a well-formed reading of n bytes of UTF-8. Unknown and bare '&' become text, HTML's entity names
 * become characters, characters that XML forbids go, a '<' that starts no tag becomes text, attributes get
 * their quotes and keep their first value, tags that are left open are closed and stray end tags go. The
 * document type declaration goes whole, so that no entity it declares is ever expanded. */
void repair_xml(struct buf *out, const char *xml, size_t n);

#endif
