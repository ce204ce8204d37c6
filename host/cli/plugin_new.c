/* SPDX-License-Identifier: Apache-2.0 */
/* plugin_new.c - `telex plugin new NAME`: a folder with a plugin that builds, passes `telex check` and has a
 * test.
 *
 * The templates are real plugins, in sdk/templates/KIND; what all stages share is in sdk/templates/common. In
 * each of their files @NAME@ stands for the plugin's name and @ROLE@ for its kind. The source of a model is
 * sdk/model-byte, under another name. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../loader.h"
#include "cli.h"
#include "help.h"

#define MODEL_NAME "model-byte"
enum { NAME_BYTES_MAX = 64, FILE_BYTES_MAX = 1 << 20 };

static const char *const kinds[] = {"signal", "cluster", "write", "wire", "filter", "model", NULL};

struct new_args {
    const char *name, *folder, *kind;
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct new_args *args = state->input;
    switch (key) {
    case 'k':
        args->kind = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (args->folder)
            argp_usage(state);
        *(args->name ? &args->folder : &args->name) = arg;
        return 0;
    case ARGP_KEY_END:
        if (!args->name)
            argp_error(state, "how is it to be called? such as signal-mine");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"kind", 'k', "KIND", 0, "signal, cluster, write, wire, filter or model; default: the name's first word",
     0},
    {0}};
static const struct argp argp = {.options = options,
                                 .parser = parse,
                                 .args_doc = "NAME [FOLDER]",
                                 .doc = "Begin a plugin: a folder with source, build, test and README.\v"
                                        "It builds with meson against the installed telex:\n"
                                        "  telex plugin new signal-mine && cd signal-mine\n"
                                        "  meson setup build && ninja -C build && meson test -C build"};

static bool is_name(const char *text) {
    size_t n = strlen(text);
    return n > 0 && n <= NAME_BYTES_MAX && *text >= 'a' && *text <= 'z' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == n && text[n - 1] != '-';
}

/* One of `kinds`, from --kind or from the name's first word; NULL with a line on stderr. */
static const char *kind_of(const struct new_args *args) {
    const char *text = args->kind ? args->kind : args->name;
    size_t n = args->kind ? strlen(text) : strcspn(text, "-");
    for (int i = 0; kinds[i]; i++)
        if (strlen(kinds[i]) == n && strncmp(kinds[i], text, n) == 0)
            return kinds[i];
    if (args->kind)
        fprintf(stderr,
                "telex plugin new: no kind '%s'; there are signal, cluster, write, wire, filter and model\n",
                args->kind);
    else
        fprintf(
            stderr,
            "telex plugin new: '%s' does not begin with a kind; say --kind, or call it such as filter-%s\n",
            args->name, args->name);
    return NULL;
}

static int complain(const char *path) {
    fprintf(stderr, "telex plugin new: %s: %s\n", path, strerror(errno));
    return -1;
}

/* The content of a file of at most 1 MiB. Gives it; NULL with a line on stderr. */
static char *read_text(const char *path) {
    FILE *in = fopen(path, "re");
    char *text = in ? calloc(1, FILE_BYTES_MAX + 1) : NULL;
    if (!text)
        complain(path);
    else if (fread(text, 1, FILE_BYTES_MAX, in) == 0 && ferror(in)) {
        complain(path);
        free(text);
        text = NULL;
    }
    if (in)
        fclose(in);
    return text;
}

/* `text` with every `mark` replaced. Takes text, gives the other. */
static char *replaced(char *text, const char *mark, const char *word) {
    char *all = NULL;
    size_t size = 0;
    FILE *out = text ? open_memstream(&all, &size) : NULL;
    if (out) {
        const char *rest = text;
        for (const char *at; (at = strstr(rest, mark)); rest = at + strlen(mark))
            fprintf(out, "%.*s%s", (int)(at - rest), rest, word);
        fputs(rest, out);
        fclose(out);
    }
    free(text);
    return all;
}

/* The content of a template with the names put in. Gives it; NULL with a line on stderr. */
static char *filled(const char *path, const struct new_args *args, const char *kind) {
    char *text = replaced(replaced(read_text(path), "@NAME@", args->name), "@ROLE@", kind);
    return strcmp(kind, "model") == 0 ? replaced(text, MODEL_NAME, args->name) : text;
}

static int write_file(const char *path, const char *text, mode_t mode) {
    FILE *out = fopen(path, "wxe");
    if (!out)
        return complain(path);
    bool good = fputs(text, out) >= 0 && fchmod(fileno(out), mode & 0777) == 0;
    good = fclose(out) == 0 && good;
    return good ? 0 : complain(path);
}

/* Copy one template. 0, or -1 with a line on stderr. */
static int copy_file(const char *source, const char *target, const struct new_args *args, const char *kind) {
    struct stat info;
    if (stat(source, &info) < 0)
        return complain(source);
    char *text = filled(source, args, kind);
    int err = text ? write_file(target, text, info.st_mode) : -1;
    free(text);
    return err;
}

/* Copy a folder of templates into one that exists. 0, or -1 with a line on stderr. */
static int copy_folder(const char *from, const char *to, const struct new_args *args, const char *kind) {
    DIR *dir = opendir(from);
    struct dirent *entry;
    int err = dir ? 0 : complain(from);
    while (err == 0 && (entry = readdir(dir))) {
        char source[PATH_MAX], target[PATH_MAX];
        struct stat info;
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(source, sizeof(source), "%s/%s", from, entry->d_name) >= PATH_MAX ||
            snprintf(target, sizeof(target), "%s/%s", to, entry->d_name) >= PATH_MAX) {
            errno = ENAMETOOLONG;
            err = complain(entry->d_name);
        } else if (stat(source, &info) < 0)
            err = complain(source);
        else if (S_ISDIR(info.st_mode))
            err = mkdir(target, 0777) < 0 && errno != EEXIST ? complain(target)
                                                             : copy_folder(source, target, args, kind);
        else
            err = copy_file(source, target, args, kind);
    }
    if (dir)
        closedir(dir);
    return err;
}

/* The source of a model, and the maker of its weights. 0, or -1 with a line on stderr. */
static int copy_model(const char *root, const char *folder, const struct new_args *args, const char *kind) {
    static const char *const files[][2] = {{MODEL_NAME ".c", "plugin.c"},
                                           {"make-weights.py", "make-weights.py"}};
    int err = 0;
    for (int i = 0; i < 2 && err == 0; i++) {
        char from[PATH_MAX], to[PATH_MAX];
        snprintf(from, sizeof(from), "%s/../" MODEL_NAME "/%s", root, files[i][0]);
        snprintf(to, sizeof(to), "%s/%s", folder, files[i][1]);
        err = copy_file(from, to, args, kind);
    }
    return err;
}

static int create(const struct new_args *args, const char *kind) {
    const char *folder = args->folder ? args->folder : args->name;
    bool model = strcmp(kind, "model") == 0;
    const char *const parts[] = {kind, model ? NULL : "common"};
    char *root = cli_data_file("sdk/templates", "templates");
    if (!root) {
        fprintf(stderr,
                "telex plugin new: the templates are not installed; install telex with its tag devel\n");
        return EXIT_FAILED;
    }
    int err = mkdir(folder, 0777) < 0 ? complain(folder) : 0;
    for (int i = 0; err == 0 && i < 2 && parts[i]; i++) {
        char from[PATH_MAX];
        snprintf(from, sizeof(from), "%s/%s", root, parts[i]);
        err = copy_folder(from, folder, args, kind);
    }
    if (err == 0 && model)
        err = copy_model(root, folder, args, kind);
    free(root);
    if (err < 0)
        return EXIT_FAILED;
    printf(
        "%s: a %s plugin. Next:\n\n  cd %s\n  meson setup build && ninja -C build && meson test -C build\n",
        folder, kind, folder);
    return EXIT_FINE;
}

static int new_plugin(int argc, char **argv) {
    struct new_args args = {0};
    int code = cli_parse(&argp, argc, argv, &args);
    if (code)
        return code;
    if (!is_name(args.name)) {
        fprintf(stderr,
                "telex plugin new: '%s' is no name for a plugin; use lower case letters, digits and hyphens, "
                "a letter "
                "first\n",
                args.name);
        return EXIT_USAGE;
    }
    const char *kind = kind_of(&args);
    return kind ? create(&args, kind) : EXIT_USAGE;
}

int cmd_plugin(int argc, char **argv) {
    static char name[] = "plugin new";
    static const struct help_below below[] = {{"new", "NAME [FOLDER]", "begin a plugin", new_plugin}, {0}};
    if (help_wanted(argc, argv))
        return help_json(NULL, argv[0], below), EXIT_FINE;
    bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0);
    if (argc > 1 && strcmp(argv[1], "new") == 0) {
        argv[1] = name;
        return new_plugin(argc - 1, argv + 1);
    }
    fprintf(help ? stdout : stderr,
            "Usage: telex plugin new NAME [FOLDER]\n\n"
            "`telex plugin new --help` explains it; `telex plugins` lists what is installed.\n");
    return help ? EXIT_FINE : EXIT_USAGE;
}
