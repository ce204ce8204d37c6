/* SPDX-License-Identifier: Apache-2.0 */
/* check_lint.c - what a plugin's file says before any of it runs. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "plugin_file.h"

/* Constructors that compilers and their run-time libraries bring. */
static bool is_compilers_own(const char *name) {
    static const char *const prefixes[] = {"frame_dummy",
                                           "asan.module_ctor",
                                           "_sub_I_",
                                           "tsan.module_ctor",
                                           "__sti____cudaRegister",
                                           "_GLOBAL__sub_I",
                                           "sancov.module_ctor",
                                           "init_cpu_features",
                                           "__cpu_indicator_init",
                                           "_ZL24__sti____cudaRegisterAllv",
                                           "__do_init"};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

struct constructors {
    json_t *findings;
    unsigned n_nameless;
};

static void note_constructor(void *arg, const char *name) {
    struct constructors *constructors = arg;
    char text[300];
    if (!*name) {
        constructors->n_nameless++;
        return;
    }
    if (is_compilers_own(name))
        return;
    snprintf(text, sizeof(text), "%.200s runs when the file is loaded; do its work in create", name);
    check_add(constructors->findings, "lint.constructor", "lint", text);
}

/* What a plugin never does to the process that it shares. */
static const struct {
    const char *name, *instead;
} forbidden[] = {
    {"exit", "return a status"},
    {"_exit", "return a status"},
    {"_Exit", "return a status"},
    {"quick_exit", "return a status"},
    {"fork", "use a thread, or `isolation: process`"},
    {"vfork", "use a thread, or `isolation: process`"},
    {"system", "link what the program does"},
    {"popen", "link what the program does"},
    {"posix_spawn", "link what the program does"},
    {"posix_spawnp", "link what the program does"},
    {"execv", "link what the program does"},
    {"execve", "link what the program does"},
    {"execvp", "link what the program does"},
    {"execl", "link what the program does"},
    {"execlp", "link what the program does"},
    {"daemon", "the process is the host's"},
    {"signal", "signals are the host's; use telex.io/1 or a pipe"},
    {"sigaction", "signals are the host's; use telex.io/1 or a pipe"},
    {"sigprocmask", "signals are the host's"},
    {"setlocale", "use newlocale and the _l functions"},
    {"setenv", "the environment is the host's; use options"},
    {"unsetenv", "the environment is the host's; use options"},
    {"putenv", "the environment is the host's; use options"},
    {"clearenv", "the environment is the host's; use options"},
    {"chdir", "options of type path are absolute"},
    {"fchdir", "options of type path are absolute"},
    {"umask", "give open and mkdir a mode"},
};

static void note_import(void *arg, const char *name) {
    char text[300];
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(*forbidden); i++)
        if (strcmp(name, forbidden[i].name) == 0) {
            snprintf(text, sizeof(text), "calls %s; %s", name, forbidden[i].instead);
            check_add(arg, "lint.symbol", "lint", text);
        }
}

/* Which rule a file breaks that plugin_file_inspect refuses with these words. */
static const char *broken_rule(struct plugin_file *file, const char *refused) {
    char why[256];
    struct elf elf;
    if (elf_open(&elf, file->data, file->size, why, sizeof(why)) < 0)
        return "lint.file";
    if (!file->manifest)
        return "lint.manifest";
    if (!plugin_file_fits(file))
        return "lint.abi";
    return strstr(refused, "static TLS") ? "lint.tls" : "lint.export";
}

bool check_lint(const char *path, json_t *findings) {
    struct plugin_file file;
    char why[1024];
    struct constructors constructors = {findings, 0};
    bool read = plugin_file_read(&file, path, why, sizeof(why)) == 0;
    bool good = read && plugin_file_inspect(&file, why, sizeof(why)) == 0;
    if (!good)
        check_add(findings, read ? broken_rule(&file, why) : "lint.file", "lint", why);
    else {
        elf_each_constructor(&file.elf, note_constructor, &constructors);
        elf_each_import(&file.elf, note_import, findings);
    }
    /* A stripped file names none; the compiler's own is one. */
    if (constructors.n_nameless > 1)
        check_add(findings, "lint.constructor", "lint",
                  "several functions run when the file is loaded; build it with "
                  "symbols to see their names");
    plugin_file_finish(&file);
    return good;
}
