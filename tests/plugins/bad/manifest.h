/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.h - a manifest whose ABI is not that of the headers. */
#ifndef TESTS_BAD_MANIFEST_H
#define TESTS_BAD_MANIFEST_H

#include <telex/plugin.h>

#define BAD_MANIFEST(name, abi)                                                                              \
    __attribute__((section(TELEX_MANIFEST_SECTION), used)) static const char manifest[] =                    \
        TELEX_MANIFEST_MAGIC "{\"name\":\"" name "\",\"version\":\"0.1.0\",\"abi\":" abi                     \
                             ",\"provides\":[\"telex.stage/1\"],\"license\":\"Apache-2.0\",\"doc\":\"" name  \
                             "\"}";

#endif
