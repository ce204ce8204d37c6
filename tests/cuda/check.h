/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - as much of a test framework as a machine without one needs.
 *
 *     TEST(what_holds) { CHECK(1 + 1 == 2); }
 *     int main() { return run_tests(); } */
#ifndef TELEX_TESTS_CUDA_CHECK_H
#define TELEX_TESTS_CUDA_CHECK_H

#include <stdio.h>
#include <string.h>

#include <vector>

struct test_case {
    const char *name;
    void (*run)();
};
inline std::vector<test_case> &all_tests() {
    static std::vector<test_case> tests;
    return tests;
}
inline int &n_failed_checks() {
    static int n;
    return n;
}
struct test_entry {
    test_entry(const char *name, void (*run)()) {
        all_tests().push_back({name, run});
    }
};

#define TEST(name)                                                                                           \
    static void name();                                                                                      \
    static const test_entry entry_of_##name(#name, name);                                                    \
    static void name()

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                           \
            n_failed_checks()++;                                                                             \
        }                                                                                                    \
    } while (0)

/* Text `part` occurs in `whole`; both are shown when not. */
inline bool has_text(const char *whole, const char *part) {
    if (strstr(whole, part))
        return true;
    printf("no \"%s\" in \"%s\"\n", part, whole);
    return false;
}

inline int run_tests() {
    int failed = 0;

    for (const test_case &t : all_tests()) {
        const int before = n_failed_checks();

        t.run();
        printf("%s %s\n", n_failed_checks() == before ? "ok    " : "FAILED", t.name);
        fflush(stdout);
        failed += n_failed_checks() != before;
    }
    printf("%zu tests, %d failed\n", all_tests().size(), failed);
    return failed ? 1 : 0;
}

#endif
