/* SPDX-License-Identifier: Apache-2.0 */
/* fail.c - see fail.h. */
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>

int model_fail(struct model_fail *fail, int err, const char *format, ...) {
    va_list args;

    if (!fail)
        return err;
    va_start(args, format);
    vsnprintf(fail->text, sizeof(fail->text), format, args);
    va_end(args);
    return err;
}
