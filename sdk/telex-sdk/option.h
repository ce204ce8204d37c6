/* SPDX-License-Identifier: Apache-2.0 */
/* telex-sdk/option.h - from an option table to a filled struct. */
#ifndef TELEX_SDK_OPTION_H
#define TELEX_SDK_OPTION_H

#include <stdbool.h>

#include <telex/option.h>

/* One entry of a table: TELEX_OPTION(.name = "path", .type = TELEX_PATH, .offset = offsetof(struct config, path),
 * .doc = "file to read"). A table is `static const struct telex_option *const options[] = {..., NULL}`. */
#define TELEX_OPTION(...)                                                                                              \
    &(const struct telex_option) {                                                                                     \
        .size = sizeof(struct telex_option), __VA_ARGS__                                                               \
    }

/* What a TELEX_LIST becomes. */
struct telex_texts {
    const char **items;
    uint32_t count;
};

/* Fill `config` from the checked map that create() got. An option without a value leaves its member as it is, but for
 * text, which is never NULL afterwards: it becomes "" where it was NULL. Text and lists lie in one block that *memory gives (free it
 * with free once config is done with). 0, -EBADMSG (not the map the table describes) or -ENOMEM. */
int telex_options_read(const struct telex_option *const *table, struct telex_bytes map, void *config, void **memory);

#endif
