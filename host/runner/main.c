/* SPDX-License-Identifier: Apache-2.0 */
/* telex-runner - runs one stage in a process of its own, for a telex that started it.
 *
 * Reading order: protocol.h (what is said), link.c (how), remote.c and services.c (the host that the plugin
 * sees), hear.c and strand.c (the two threads), confine.c and sandbox.c (what the process gives up). Not
 * meant to be called by hand. */
#include "remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../last_words.h"
#include "../surroundings.h"
#include "confine.h"
#include "sandbox.h"

int main(int argc, char **argv) {
    static struct remote remote;
    pthread_t hearer;
    if (argc < 4) {
        fprintf(stderr,
                "telex-runner: started by telex for a stage with `isolation: process`, not by hand\n");
        return 2;
    }
    int err = confine_early((pid_t)atol(argv[2]), atoi(argv[3]));
    if (err < 0) {
        fprintf(stderr, "telex-runner: %s\n", strerror(-err));
        return EXIT_SETUP;
    }
    const char *faults = getenv(FAULTS_VARIABLE);
    struct fault_page *page = faults ? fault_map(faults, argv[1], 0) : NULL;
    unsetenv(FAULTS_VARIABLE);
    char lacks[256];
    err = sandbox_enter(argv + 4, argc - 4, lacks, sizeof(lacks));
    if (err < 0) {
        fprintf(stderr, "telex-runner: cannot bound this process: %s; `sandbox: off` leaves it out\n",
                strerror(-err));
        return EXIT_SETUP;
    }
    if (*lacks)
        fprintf(stderr, "telex-runner: this kernel has %s\n", lacks);
    last_words_install(NULL);
    last_words_thread_begin();
    surroundings_note();
    setvbuf(stdout, NULL, _IOLBF, 0);
    err = remote_init(&remote, argv[1]);
    if (err < 0) {
        fprintf(stderr, "telex-runner: no shared memory with the host: %s\n", strerror(-err));
        return EXIT_SETUP;
    }
    remote.faults = page;
    if (pthread_create(&hearer, NULL, hear_main, &remote) != 0) {
        fprintf(stderr, "telex-runner: no thread\n");
        return EXIT_SETUP;
    }
    int status = strand_main(&remote);
    uint64_t one = 1;
    atomic_store(&remote.done, true);
    (void)!write(FD_WAKE_RUNNER, &one, sizeof(one));
    pthread_join(hearer, NULL);
    remote_finish(&remote);
    return status;
}
