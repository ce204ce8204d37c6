/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox.c - four bounds, by need:
 *
 *                    network namespace   files (Landlock)                 system calls (seccomp)
 *   always                               system libraries, what is named  no new programs or processes, no
 * signal to others, no mounts, modules, tracing, keys... without "net"    an empty one        no TCP no
 * sockets but pairs "fs:read"                            everything to read "fs:write" what its options name
 * to write "gpu"                                not bounded                      new programs and processes
 * allowed (drivers start helpers)
 *
 * Landlock's calls are made by number and its structs are written out here: Debian's header lacks what came
 * after its first release (linux/landlock.h, Documentation/userspace-api/landlock.rst). */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A sanitizer's leak check forks and traces at the end. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct bounds {
    bool net, read, write, gpu;
    char *const *words;
    int n;
};

static bool has_word(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += n)
        if ((at == list || at[-1] == ',') && (at[n] == ',' || at[n] == 0))
            return true;
    return false;
}

static void lack(char *lacks, size_t size, const char *what) {
    size_t used = strlen(lacks);
    snprintf(lacks + used, size - used, "%s%s", used ? "; " : "", what);
}

/* ---- network namespace ---- */

static int write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, strlen(text));
    int err = n < 0 ? -errno : 0;
    close(fd);
    return err;
}

/* Stay who we are inside a user namespace, which is what lets others than root have a network of their own.
 */
static int map_ids(uid_t uid, gid_t gid) {
    char text[64];
    int err = write_text("/proc/self/setgroups", "deny");
    snprintf(text, sizeof(text), "%u %u 1", (unsigned)uid, (unsigned)uid);
    err = err ? err : write_text("/proc/self/uid_map", text);
    snprintf(text, sizeof(text), "%u %u 1", (unsigned)gid, (unsigned)gid);
    return err ? err : write_text("/proc/self/gid_map", text);
}

static void leave_network(char *lacks, size_t lacks_size) {
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWNET) == 0)
        return;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 || map_ids(uid, gid) < 0)
        lack(lacks, lacks_size, "no network namespace (sockets are refused all the same)");
}

/* ---- files: Landlock ---- */

/* The second and later releases' members and rights. */
struct ruleset {
    uint64_t fs, net, scoped;
};
enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_FIRST = (1 << 13) - 1, /* what the first release knew */
    FS_REFER = 1 << 13,       /* release 2 */
    FS_TRUNCATE = 1 << 14,    /* 3 */
    NET_TCP = 3,              /* 4: bind and connect */
    FS_IOCTL_DEV = 1 << 15,   /* 5 */
    SCOPE_ALL = 3,            /* 6: abstract sockets and signals stay inside */
    FS_READ_ALL = FS_EXECUTE | FS_READ_FILE | FS_READ_DIR,
    FS_OF_A_FILE = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV,
};

static uint64_t rights_of(long abi) {
    uint64_t rights = FS_FIRST;
    rights |= abi >= 2 ? FS_REFER : 0;
    rights |= abi >= 3 ? FS_TRUNCATE : 0;
    return rights;
}

/* Allow `rights` at and below a path; one that is not there needs nothing. 0 or negative errno. */
static int allow(int ruleset, const char *path, uint64_t rights) {
    struct stat info;
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = -1};
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
    int err = fstat(rule.parent_fd, &info) < 0 ? -errno : 0;
    if (err == 0 && !S_ISDIR(info.st_mode))
        rule.allowed_access &= FS_OF_A_FILE;
    if (err == 0 && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        err = -errno;
    close(rule.parent_fd);
    return err;
}

static int allow_all(int ruleset, const struct bounds *bounds, uint64_t known) {
    static const char *const system[] = {"/usr",      "/lib",        "/lib32",      "/lib64",    "/opt",
                                         "/etc",      "/proc",       "/sys",        "/dev/null", "/dev/zero",
                                         "/dev/full", "/dev/random", "/dev/urandom"};
    int err = 0;
    for (size_t i = 0; i < sizeof(system) / sizeof(*system) && err == 0; i++)
        err = allow(ruleset, system[i], FS_READ_ALL);
    if (err == 0)
        err = allow(ruleset, "/dev/null", known & (FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE));
    if (err == 0 && bounds->read)
        err = allow(ruleset, "/", FS_READ_ALL);
    for (int i = 0; i < bounds->n && err == 0; i++) {
        const char *word = bounds->words[i];
        if (strncmp(word, SANDBOX_READ, strlen(SANDBOX_READ)) == 0)
            err = allow(ruleset, word + strlen(SANDBOX_READ), FS_READ_ALL);
        else if (strncmp(word, SANDBOX_WRITE, strlen(SANDBOX_WRITE)) == 0 && bounds->write)
            err = allow(ruleset, word + strlen(SANDBOX_WRITE), known & ~(uint64_t)FS_EXECUTE);
    }
    return err;
}

static int bound_files(const struct bounds *bounds, char *lacks, size_t lacks_size) {
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) {
        lack(lacks, lacks_size, "no Landlock (files are not bounded)");
        return 0;
    }
    struct ruleset rules = {.fs = rights_of(abi),
                            .net = abi >= 4 && !bounds->net ? NET_TCP : 0,
                            .scoped = abi >= 6 ? SCOPE_ALL : 0};
    size_t size = abi >= 6   ? sizeof(rules)
                  : abi >= 4 ? offsetof(struct ruleset, scoped)
                             : offsetof(struct ruleset, net);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
    if (ruleset < 0)
        return -errno;
    int err = allow_all(ruleset, bounds, rules.fs);
    if (err == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        err = -errno;
    close(ruleset);
    return err;
}

/* ---- system calls: seccomp ---- */

/* Never of use to a stage, and each a way out or a way into the kernel. */
static const char *const refused[] = {"acct",
                                      "add_key",
                                      "bpf",
                                      "chroot",
                                      "clock_adjtime",
                                      "clock_settime",
                                      "delete_module",
                                      "fanotify_init",
                                      "finit_module",
                                      "fsconfig",
                                      "fsmount",
                                      "fsopen",
                                      "fspick",
                                      "init_module",
                                      "io_uring_enter",
                                      "io_uring_setup",
                                      "io_uring_register",
                                      "ioperm",
                                      "iopl",
                                      "kexec_file_load",
                                      "kexec_load",
                                      "keyctl",
                                      "mount",
                                      "mount_setattr",
                                      "move_mount",
                                      "move_pages",
                                      "name_to_handle_at",
                                      "open_by_handle_at",
                                      "open_tree",
                                      "perf_event_open",
                                      "pidfd_getfd",
                                      "pidfd_open",
                                      "pidfd_send_signal",
                                      "pivot_root",
                                      "process_madvise",
                                      "process_vm_readv",
                                      "process_vm_writev",
                                      "quotactl",
                                      "reboot",
                                      "request_key",
                                      "setdomainname",
                                      "sethostname",
                                      "setns",
                                      "settimeofday",
                                      "swapoff",
                                      "swapon",
                                      "syslog",
                                      "umount2",
                                      "unshare",
                                      "userfaultfd",
                                      "vhangup"};

static int refuse(scmp_filter_ctx filter, const char *name) {
    int call = seccomp_syscall_resolve_name(name);
    if (call == __NR_SCMP_ERROR) /* an older libseccomp does not know it */
        return 0;
    int err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
    return err == -EDOM ? 0 : err; /* not on this machine */
}

/* Threads yes, processes no. clone3 hides its flags in memory, so it is "not there" and libc takes clone. */
static int refuse_processes(scmp_filter_ctx filter) {
    int err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                               SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    err = err ? err : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    static const char *const names[] = {"fork", "vfork", "execve", "execveat", "ptrace"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names) && err == 0; i++)
        err = refuse(filter, names[i]);
    return err;
}

/* Signals to itself only. */
static int refuse_signals(scmp_filter_ctx filter) {
    const struct scmp_arg_cmp others = {.arg = 0, .op = SCMP_CMP_NE, .datum_a = (scmp_datum_t)getpid()};
    int err = 0;
    static const int calls[] = {SCMP_SYS(kill), SCMP_SYS(tgkill), SCMP_SYS(rt_sigqueueinfo),
                                SCMP_SYS(rt_tgsigqueueinfo)};
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls) && err == 0; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 1, others);
    return err ? err : refuse(filter, "tkill");
}

static int bound_calls(const struct bounds *bounds, char *lacks, size_t lacks_size) {
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter)
        return -ENOMEM;
    int err = 0;
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused) && err == 0; i++)
        err = refuse(filter, refused[i]);
    if (err == 0 && !bounds->gpu && !SANITIZED)
        err = refuse_processes(filter);
    if (err == 0 && !SANITIZED)
        err = refuse_signals(filter);
    if (err == 0 && !bounds->net)
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 0);
    if (err == 0) {
        err = seccomp_load(filter);
        if (err == -EINVAL || err == -ENOSYS || err == -ECANCELED) {
            lack(lacks, lacks_size, "no seccomp (system calls are not bounded)");
            err = 0;
        }
    }
    seccomp_release(filter);
    return err;
}

int sandbox_enter(char *const *words, int n, char *lacks, size_t lacks_size) {
    struct bounds bounds = {.words = words, .n = n};
    *lacks = 0;
    for (int i = 0; i < n; i++) {
        if (strcmp(words[i], SANDBOX_OFF) == 0)
            return 0;
        if (strncmp(words[i], SANDBOX_NEEDS, strlen(SANDBOX_NEEDS)) != 0)
            continue;
        const char *needs = words[i] + strlen(SANDBOX_NEEDS);
        bounds.net = has_word(needs, "net");
        bounds.read = has_word(needs, "fs:read");
        bounds.write = has_word(needs, "fs:write");
        bounds.gpu = has_word(needs, "gpu");
    }
    if (!bounds.net)
        leave_network(lacks, lacks_size);
    int err = bounds.gpu ? 0 : bound_files(&bounds, lacks, lacks_size);
    return err ? err : bound_calls(&bounds, lacks, lacks_size);
}
