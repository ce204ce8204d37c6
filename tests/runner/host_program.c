/* SPDX-License-Identifier: Apache-2.0 */
/* A host with one isolated stage, for test_host_death.py to kill: prints "runner PID", then gives records
 * without end when asked to (argument "busy"), or waits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kit.h"

int main(int argc, char **argv) {
    struct life life;
    const char *mode = argc > 1 ? argv[1] : "idle";
    life_init(&life, "stage-trouble", strcmp(mode, "hang") == 0 ? "hang" : "", 1);
    life.mh->keeps_outputs = false;
    if (life_begin(&life, true) != TELEX_OK)
        return 1;
    printf("runner %d\n", (int)isolate_pid(life.self));
    fflush(stdout);
    if (strcmp(mode, "hang") == 0)
        (void)life_give(&life, "r", 0, "", 10);
    for (int i = 0; strcmp(mode, "busy") == 0; i++) {
        (void)life_give(&life, "r", (uint64_t)i, "", 2000);
        (void)memory_host_idle(life.mh, 60000);
    }
    for (;;)
        pause();
}
