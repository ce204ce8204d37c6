/* SPDX-License-Identifier: Apache-2.0 */
/* telex/option.h - a setting of a plugin, described once.
 *
 * The host checks a config against the table, fills in defaults and hands create() one msgpack map with every
 * option in its checked form, so a plugin never sees a value out of range. The SDK reads that map into a struct
 * through `offset`. The same table documents the plugin and yields the JSON Schema that editors use. */
#ifndef TELEX_OPTION_H
#define TELEX_OPTION_H

#include "abi.h"

/* Type: how a config writes it -> how the map holds it -> the C member that the SDK fills. */
enum {
    TELEX_TEXT = 1,     /* text                      -> str  -> const char * */
    TELEX_INT = 2,      /* whole number              -> int  -> int64_t */
    TELEX_REAL = 3,     /* number                    -> f64  -> double */
    TELEX_BOOL = 4,     /* true, false               -> bool -> bool */
    TELEX_DURATION = 5, /* 250ms 10s 5m 2h 3d        -> int  -> int64_t, milliseconds */
    TELEX_SIZE = 6,     /* 4096, 64KiB, 10MiB, 1GiB  -> int  -> int64_t, bytes */
    TELEX_CHOICE = 7,   /* one of `choices`          -> str  -> const char * */
    TELEX_PATH = 8,     /* path, relative to config  -> str, absolute -> const char * */
    TELEX_LIST = 9,     /* list of text              -> array of str -> struct telex_texts (SDK) */
    TELEX_SECRET = 10   /* text never shown          -> str  -> const char * */
};

enum { TELEX_OPTION_REQUIRED = 1 };

struct telex_option {
    uint32_t size, type, flags;
    uint32_t offset;     /* of the member in the plugin's own struct; the host ignores it */
    const char *name;    /* lower case, underscores */
    const char *doc;     /* one line */
    const char *initial; /* default as a config would write it; NULL: zero, empty or absent */
    const char *unit;    /* such as "ms"; NULL: none */
    double min, max;     /* numbers: inclusive range; both 0: any */
    const char *const *choices; /* TELEX_CHOICE: NULL-ended */
};

#endif
