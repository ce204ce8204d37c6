/* SPDX-License-Identifier: Apache-2.0 */
#include "last_words.h"

#include <execinfo.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STACK_BYTES = 64 << 10, FRAMES_MAX = 32 };

static void (*say_where)(void);

void last_words_say_bytes(struct telex_bytes text) {
    (void)!write(STDERR_FILENO, text.data, text.size);
}

void last_words_say(const char *text) {
    (void)!write(STDERR_FILENO, text, strlen(text));
}

static void say_hex(uint64_t value) {
    char digits[19] = "0x";
    for (int i = 0; i < 16; i++)
        digits[2 + i] = "0123456789abcdef"[value >> (60 - 4 * i) & 15];
    last_words_say(digits);
}

/* Only calls that are safe in a handler, but for the stack, which was warmed up before. The default action is
 * back in place (SA_RESETHAND), so that the process dies of the signal when the handler returns. */
static void on_crash(int sig, siginfo_t *info, void *context) {
    (void)context;
    void *frames[FRAMES_MAX];
    last_words_say("crash: ");
    last_words_say(sigdescr_np(sig) ? sigdescr_np(sig) : "signal");
    last_words_say(" at ");
    say_hex((uint64_t)(uintptr_t)info->si_addr);
    last_words_say("\n");
    if (say_where)
        say_where();
    int n = backtrace(frames, FRAMES_MAX);
    backtrace_symbols_fd(frames, n, STDERR_FILENO);
    raise(sig);
}

void last_words_install(void (*where)(void)) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)where;
    return;
#endif
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    void *frames[2];
    say_where = where;
    (void)backtrace(frames, 2); /* loads what it needs now, not in the handler */
    struct sigaction action = {.sa_sigaction = on_crash,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
        sigaction(signals[i], &action, NULL);
}

void last_words_thread_begin(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return;
#endif
    stack_t stack = {.ss_size = STACK_BYTES};
    stack.ss_sp = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp != MAP_FAILED && sigaltstack(&stack, NULL) < 0)
        munmap(stack.ss_sp, STACK_BYTES);
}

void last_words_thread_end(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return;
#endif
    stack_t none = {.ss_flags = SS_DISABLE}, old = {.ss_flags = SS_DISABLE};
    if (sigaltstack(&none, &old) == 0 && !(old.ss_flags & SS_DISABLE))
        munmap(old.ss_sp, old.ss_size);
}
