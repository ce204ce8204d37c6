/* SPDX-License-Identifier: Apache-2.0 */
/* plugins_sign.c - `telex plugins keygen`, `sign` and `verify`: signatures in minisign's format (minisign.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../config.h"
#include "../plugin_file.h"
#include "cli.h"
#include "plugins.h"

enum { FILES_MAX = 256, KEYS_MAX = 64 };

struct sign_args {
    const char *key;                       /* sign */
    struct minisign_public keys[KEYS_MAX]; /* verify */
    size_t n_keys;
    const char *files[FILES_MAX];
    size_t n_files;
};

const char *plugins_signature_word(const struct signature_report *report) {
    static const char *const words[] = {"none", "good", "unknown", "bad"};
    return words[report->state];
}

static int complain(const char *command, const char *path, const char *why) {
    fprintf(stderr, "telex plugins %s: %s: %s\n", command, path, why);
    return EXIT_FAILED;
}

/* ---- keygen ---- */

static error_t parse_keygen(int key, char *arg, struct argp_state *state) {
    const char **name = state->input;
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    if (*name)
        argp_usage(state);
    *name = arg;
    return 0;
}

static const struct argp keygen_argp = {
    .parser = parse_keygen,
    .args_doc = "[NAME]",
    .doc = "Make a pair of keys for signing plugins: NAME.key, which only you may open, and NAME.pub, which "
           "you give "
           "to those who run your plugins. NAME is telex where none is given.\v"
           "The keys have no password: keep NAME.key where only the one who signs can read it. minisign "
           "reads both "
           "files. Nothing that is there already is overwritten.",
};

static int write_new(const char *path, const char *text, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, strlen(text));
    int err = n == (ssize_t)strlen(text) ? 0 : n < 0 ? -errno : -EIO;
    if (err == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
        err = -errno;
    if (close(fd) < 0 && err == 0)
        err = -errno;
    if (err < 0)
        unlink(path);
    return err;
}

static int write_pair(const char *name, const char *secret, const char *public_key) {
    char path[PATH_MAX];
    const struct {
        const char *ending, *text;
        mode_t mode;
    } files[] = {{"key", secret, 0600}, {"pub", public_key, 0644}};
    for (int i = 0; i < 2; i++) {
        int err = snprintf(path, sizeof(path), "%s.%s", name, files[i].ending) >= PATH_MAX
                      ? -ENAMETOOLONG
                      : write_new(path, files[i].text, files[i].mode);
        if (err == 0)
            continue;
        if (i == 1) { /* half a pair is none */
            fprintf(stderr, "telex plugins keygen: %s: %s\n", path, strerror(-err));
            snprintf(path, sizeof(path), "%s.key", name);
            unlink(path);
            return EXIT_FAILED;
        }
        return complain("keygen", path,
                        err == -EEXIST ? "is there already; give another NAME, or move it away"
                                       : strerror(-err));
    }
    return EXIT_FINE;
}

int plugins_keygen(int argc, char **argv) {
    struct minisign_secret secret;
    struct minisign_public public_key;
    const char *name = NULL;
    int code = cli_parse(&keygen_argp, argc, argv, &name);
    if (code)
        return code;
    name = name ? name : "telex";
    if (minisign_generate(&secret, &public_key) < 0)
        return complain("keygen", name, "no random numbers");
    char *ours = minisign_secret_text(&secret), *theirs = minisign_public_text(&public_key);
    minisign_forget(&secret, sizeof(secret));
    code = ours && theirs ? write_pair(name, ours, theirs) : complain("keygen", name, "out of memory");
    if (code == EXIT_FINE)
        printf("%s.key: keep it secret\n%s.pub: give it away; in a config: plugins: {keys: [%s.pub]}\n%s",
               name, name, name, strchr(theirs, '\n') + 1);
    if (ours)
        minisign_forget(ours, strlen(ours));
    free(ours);
    free(theirs);
    return code;
}

/* ---- sign ---- */

static error_t parse_files(int key, char *arg, struct argp_state *state) {
    struct sign_args *args = state->input;
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    if (args->n_files == FILES_MAX)
        argp_error(state, "more than %d files", FILES_MAX);
    args->files[args->n_files++] = arg;
    return 0;
}

static error_t parse_sign(int key, char *arg, struct argp_state *state) {
    struct sign_args *args = state->input;
    if (key == 'k') {
        args->key = arg;
        return 0;
    }
    if (key == ARGP_KEY_END && (!args->key || args->n_files == 0))
        argp_error(state, !args->key ? "whose key? --key FILE, as `telex plugins keygen` makes it"
                                     : "which plugin? give its .so");
    return parse_files(key, arg, state);
}

static const struct argp_option sign_options[] = {
    {"key", 'k', "FILE", 0, "the secret key", 0},
    {0},
};
static const struct argp sign_argp = {
    .options = sign_options,
    .parser = parse_sign,
    .args_doc = "PLUGIN.so...",
    .doc = "Sign plugins: PLUGIN.so.minisig is written beside each.\v"
           "It is a signature as minisign makes them, so `minisign -V -p NAME.pub -m PLUGIN.so` checks it. "
           "Sign a file "
           "again after every build.",
};

static int sign_one(const struct minisign_secret *key, const char *path) {
    struct plugin_file file;
    char why[600], comment[400], out[PATH_MAX];
    if (plugin_file_read(&file, path, why, sizeof(why)) < 0 ||
        plugin_file_inspect(&file, why, sizeof(why)) < 0 ||
        snprintf(out, sizeof(out), "%s.minisig", path) >= PATH_MAX) {
        plugin_file_finish(&file);
        return complain("sign", path, why);
    }
    int n = snprintf(comment, sizeof(comment), "telex plugin %.100s %.100s",
                     json_string_value(json_object_get(file.manifest, "name")),
                     json_string_value(json_object_get(file.manifest, "version")));
    for (int i = 0; i < n; i++)
        comment[i] = comment[i] >= ' ' ? comment[i] : ' ';
    struct telex_bytes bytes = {file.data, file.size};
    char *text = minisign_sign(key, bytes, comment);
    int err = text ? trust_write(out, text, strlen(text)) : -ENOMEM;
    free(text);
    plugin_file_finish(&file);
    if (err < 0)
        return complain("sign", out, strerror(-err));
    printf("%s\n", out);
    return EXIT_FINE;
}

int plugins_sign(int argc, char **argv) {
    static struct sign_args args;
    struct minisign_secret key;
    char why[300];
    int code = cli_parse(&sign_argp, argc, argv, &args);
    if (code)
        return code;
    if (minisign_secret_read(&key, args.key, why, sizeof(why)) < 0)
        return complain("sign", args.key, why);
    for (size_t i = 0; i < args.n_files && code == EXIT_FINE; i++)
        code = sign_one(&key, args.files[i]);
    minisign_forget(&key, sizeof(key));
    return code;
}

/* ---- verify ---- */

static error_t parse_verify(int key, char *arg, struct argp_state *state) {
    struct sign_args *args = state->input;
    char why[300];
    if (key == 'k') {
        if (args->n_keys == KEYS_MAX)
            argp_error(state, "more than %d keys", KEYS_MAX);
        struct minisign_public *next = &args->keys[args->n_keys];
        if (minisign_public_parse(next, arg, why, sizeof(why)) < 0 &&
            minisign_public_read(next, arg, why, sizeof(why)) < 0)
            argp_error(state, "%s: %s", arg, why);
        args->n_keys++;
        return 0;
    }
    if (key == ARGP_KEY_END && args->n_files == 0)
        argp_error(state, "what? a config, or plugins' .so with --key");
    return parse_files(key, arg, state);
}

static const struct argp_option verify_options[] = {
    {"key", 'k', "KEY", 0, "a public key that is trusted, as text or as a file; may be given more than once",
     0},
    {0},
};
static const struct argp verify_argp = {
    .options = verify_options,
    .parser = parse_verify,
    .args_doc = "CONFIG | PLUGIN.so...",
    .doc =
        "Check the plugins of a config against its lock and its keys, or signatures of files against --key.\v"
        "Nothing of a plugin that is not trusted is run. Exit codes: 0 all are trusted, 77 one is not, 78 "
        "the config "
        "is wrong.",
};

static bool is_plugin(const char *path) {
    size_t n = strlen(path);
    return n > 3 && strcmp(path + n - 3, ".so") == 0;
}

static int verify_file(const struct sign_args *args, const char *path) {
    struct plugin_file file;
    struct signature_report report;
    char why[300];
    if (plugin_file_read(&file, path, why, sizeof(why)) < 0)
        return complain("verify", path, why);
    struct telex_bytes bytes = {file.data, file.size};
    trust_signature(args->keys, args->n_keys, path, bytes, &report);
    plugin_file_finish(&file);
    if (report.state != SIGNATURE_GOOD) {
        complain("verify", path, report.why);
        return EXIT_UNTRUSTED;
    }
    printf("%s: good, by key %s: %s\n", path, report.key, report.comment);
    return EXIT_FINE;
}

/* Nothing that a config names is left of what was checked here, so a line says what the check was. */
static void show_trusted(const struct trust *trust, const struct plugin_desc *desc) {
    printf("%s %s %.12s%s%s %s\n", desc->name, desc->version, desc->sha256,
           trust && trust->require != TRUST_NONE && trust->lock_path ? " locked" : "",
           trust && trust->require == TRUST_SIGNATURE ? " signed" : "", desc->path);
}

static int verify_config(const char *path) {
    struct config *config;
    struct registry *registry = cli_registry();
    if (!registry)
        return EXIT_FAILED;
    int code =
        config_load(path, NULL, registry, stderr, &config) == 0 ? EXIT_FINE : cli_config_code(registry);
    const struct trust *trust = registry_trust(registry);
    for (size_t i = 0; code == EXIT_FINE && i < config->n_stages; i++)
        show_trusted(trust, config->stages[i].plugin);
    for (size_t i = 0; code == EXIT_FINE && i < config->n_models; i++)
        show_trusted(trust, config->models[i].plugin);
    if (code == EXIT_FINE && (!trust || trust->require == TRUST_NONE))
        fprintf(stderr,
                "telex plugins verify: %s requires nothing of its plugins; see `plugins` in telex.yaml(5)\n",
                path);
    config_destroy(config);
    registry_destroy(registry);
    return code;
}

int plugins_verify(int argc, char **argv) {
    static struct sign_args args;
    int code = cli_parse(&verify_argp, argc, argv, &args);
    if (code)
        return code;
    if (!is_plugin(args.files[0]) && args.n_files == 1)
        return verify_config(args.files[0]);
    for (size_t i = 0; i < args.n_files; i++) {
        int one = verify_file(&args, args.files[i]);
        code = one == EXIT_FINE ? code : one;
    }
    return code;
}
