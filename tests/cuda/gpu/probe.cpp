// SPDX-License-Identifier: Apache-2.0
// Is there a device? Exit 0 and its name, or 1 and why not.
#include <stdio.h>

#include "rt.h"

int main() {
    struct model_fail fail;
    struct rt *rt = nullptr;
    char why[256];

    if (!rt_probe(why, sizeof(why))) {
        printf("%s\n", why);
        return 1;
    }
    if (rt_open(0, &rt, &fail) != 0) {
        printf("%s\n", fail.text);
        return 1;
    }
    printf("%s\n", rt_device(rt));
    rt_close(rt);
    return 0;
}
