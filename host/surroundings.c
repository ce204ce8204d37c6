/* SPDX-License-Identifier: Apache-2.0 */
/* surroundings.c - about ten system calls a look, so callers look once a batch or tick, not once a record. */
#include "surroundings.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPIES_ABOVE = 10 };

static const int watched[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
enum { N_WATCHED = sizeof(watched) / sizeof(*watched) };

static struct {
    pthread_mutex_t lock;
    bool noted;
    char *locale; /* owned */
    struct sigaction actions[N_WATCHED];
    struct {
        int copy; /* owned; -1: was not open */
        dev_t dev;
        ino_t ino;
    } files[3];
} before = {.lock = PTHREAD_MUTEX_INITIALIZER};

void surroundings_note(void) {
    pthread_mutex_lock(&before.lock);
    const char *name = setlocale(LC_ALL, NULL);
    free(before.locale);
    before.locale = strdup(name ? name : "C");
    for (int i = 0; i < N_WATCHED; i++)
        sigaction(watched[i], NULL, &before.actions[i]);
    for (int fd = 0; fd < 3; fd++) {
        struct stat st;
        if (before.noted && before.files[fd].copy >= 0)
            close(before.files[fd].copy);
        before.files[fd].copy = fstat(fd, &st) == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, COPIES_ABOVE) : -1;
        before.files[fd].dev = st.st_dev;
        before.files[fd].ino = st.st_ino;
    }
    before.noted = before.locale != NULL;
    pthread_mutex_unlock(&before.lock);
}

void surroundings_note_thread(struct thread_surroundings *own) {
    own->noted = pthread_sigmask(SIG_SETMASK, NULL, &own->mask) == 0;
}

static void add(char *what, size_t size, const char *text) {
    size_t used = strlen(what);
    snprintf(what + used, size - used, "%s%s", used ? ", " : "", text);
}

/* Signals of this thread that are taken or let through otherwise than before. */
static void mend_mask(const struct thread_surroundings *own, char *what, size_t size) {
    sigset_t now;
    if (!own->noted || pthread_sigmask(SIG_SETMASK, NULL, &now) != 0)
        return;
    int changed = 0;
    for (int sig = 1; sig < SIGRTMIN && !changed; sig++)
        if (sigismember(&now, sig) != sigismember(&own->mask, sig))
            changed = sig;
    if (!changed)
        return;
    char text[96];
    snprintf(text, sizeof(text), "it %s signals (SIG%s)",
             sigismember(&now, changed) ? "blocked" : "unblocked",
             sigabbrev_np(changed) ? sigabbrev_np(changed) : "?");
    pthread_sigmask(SIG_SETMASK, &own->mask, NULL);
    add(what, size, text);
}

static bool mend_locale(char *what, size_t size) {
    const char *now = setlocale(LC_ALL, NULL);
    if (!now || strcmp(now, before.locale) == 0)
        return false;
    char text[160];
    snprintf(text, sizeof(text), "it changed the locale to %.100s", now);
    setlocale(LC_ALL, before.locale);
    add(what, size, text);
    return true;
}

/* A handler in the program or one of its own libraries is the host's doing (libuv's come and go). */
static bool is_plugins(const struct sigaction *now, int sig) {
    static const char ending[] = ".so";
    Dl_info info;
    if (now->sa_handler == SIG_DFL)
        return false;
    if (now->sa_handler == SIG_IGN)
        return sig != SIGPIPE;
    if (!dladdr((void *)(uintptr_t)now->sa_handler, &info) || !info.dli_fname)
        return true;
    size_t n = strlen(info.dli_fname); /* a plugin's copy is NAME.so; libraries are lib*.so.VERSION */
    return n > 3 && strcmp(info.dli_fname + n - 3, ending) == 0;
}

static bool mend_handlers(char *what, size_t size) {
    bool any = false;
    for (int i = 0; i < N_WATCHED; i++) {
        struct sigaction now;
        if (sigaction(watched[i], NULL, &now) < 0 || now.sa_handler == before.actions[i].sa_handler)
            continue;
        if (!is_plugins(&now, watched[i])) {
            before.actions[i] = now;
            continue;
        }
        char text[80];
        snprintf(text, sizeof(text), "it took SIG%s for itself", sigabbrev_np(watched[i]));
        sigaction(watched[i], &before.actions[i], NULL);
        add(what, size, text);
        any = true;
    }
    return any;
}

static bool mend_files(char *what, size_t size) {
    static const char *const names[] = {"stdin", "stdout", "stderr"};
    bool any = false;
    for (int fd = 0; fd < 3; fd++) {
        struct stat st;
        bool open = fstat(fd, &st) == 0;
        if (before.files[fd].copy < 0 ||
            (open && st.st_dev == before.files[fd].dev && st.st_ino == before.files[fd].ino))
            continue;
        char text[80];
        snprintf(text, sizeof(text), "it %s %s", open ? "replaced" : "closed", names[fd]);
        dup2(before.files[fd].copy, fd);
        add(what, size, text);
        any = true;
    }
    return any;
}

bool surroundings_mend(const struct thread_surroundings *own, char *what, size_t size, bool *shared) {
    *what = 0;
    *shared = false;
    mend_mask(own, what, size);
    if (uselocale((locale_t)0) != LC_GLOBAL_LOCALE) {
        uselocale(LC_GLOBAL_LOCALE);
        add(what, size, "it changed its thread's locale");
    }
    pthread_mutex_lock(&before.lock);
    if (before.noted) {
        bool locale = mend_locale(what, size), handlers = mend_handlers(what, size);
        *shared = mend_files(what, size) || locale || handlers;
    }
    pthread_mutex_unlock(&before.lock);
    return *what != 0;
}
