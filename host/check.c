/* SPDX-License-Identifier: Apache-2.0 */
/* check.c - the rules of the conformance kit, and those of them that need no life: the file and its
 * description. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_model.h"
#include "config.h"
#include "plugin_file.h"

const struct check_rule check_rules[] = {
    {"lint.file", CHECK_ERROR,
     "the file is a shared object that a host may load: manifest, ABI, one export, no static TLS"},
    {"lint.constructor", CHECK_WARNING, "no code of the plugin's own runs when it is loaded"},
    {"describe", CHECK_ERROR, "the entry returns at once, and classes and manifest say the same"},
    {"life.create", CHECK_ERROR, "create with checked options gives OK and an instance"},
    {"life.start", CHECK_ERROR, "start gives OK where the needs of the plugin are met"},
    {"life.crash", CHECK_ERROR, "no call crashes or ends the process"},
    {"life.hang", CHECK_ERROR, "every call returns"},
    {"life.after-stop", CHECK_ERROR, "stop is the barrier: nothing of the instance calls the host after it"},
    {"life.thread-left", CHECK_ERROR, "no thread of the instance is alive after destroy"},
    {"life.file-left", CHECK_ERROR, "no descriptor of the instance is open after destroy"},
    {"lease.twice", CHECK_ERROR, "a lease completes exactly once"},
    {"lease.lost", CHECK_ERROR,
     "a lease that process kept (PENDING) is completed, at the latest when it is cancelled"},
    {"lease.returned", CHECK_ERROR,
     "process returns PENDING when the lease was or will be completed by complete()"},
    {"lease.unknown", CHECK_ERROR, "a call names a lease that the host gave"},
    {"lease.closed", CHECK_ERROR, "outputs and state belong to an open step"},
    {"loan.kept", CHECK_ERROR, "every loan is committed or abandoned before its step ends"},
    {"loan.dead", CHECK_ERROR, "a loan is used once"},
    {"loan.overrun", CHECK_ERROR, "nothing is written beyond a loan's capacity"},
    {"output.msgpack", CHECK_ERROR,
     "an output is one msgpack map with text keys, within the bounds of telex/record.h"},
    {"output.identity", CHECK_ERROR, "an output has a schema, and an id of 1 to 64 bytes"},
    {"output.schema", CHECK_ERROR, "an output's schema is one that its port declares"},
    {"output.port", CHECK_ERROR, "an output names a port that the stage has"},
    {"output.count", CHECK_ERROR, "a step gives at most max_outputs messages"},
    {"output.differs", CHECK_WARNING, "the same inputs give the same outputs"},
    {"record.unknown", CHECK_ERROR, "a record is one that the host gave"},
    {"record.after-end", CHECK_ERROR, "a record is used inside process(), or between retain and release"},
    {"record.release", CHECK_ERROR, "each retain and each get has one release"},
    {"record.kept", CHECK_ERROR, "no record is held after destroy"},
    {"status.unknown", CHECK_ERROR, "a status is one of telex/abi.h"},
    {"table.size", CHECK_ERROR, "a struct that the plugin hands in has its size set"},
    {"process.rejects-all", CHECK_WARNING, "an ordinary record is accepted"},
    {"kv.lease", CHECK_ERROR, "state changes within an open step"},
    {"kv.undeclared", CHECK_ERROR, "a stage that keeps state declares TELEX_STAGE_STATEFUL"},
    {"timer.handler", CHECK_ERROR, "a stage that sets timers has on_timer"},
    {"log.text", CHECK_WARNING, "log and fail get one line of UTF-8"},
    {"log.level", CHECK_WARNING, "a log level is one of telex/abi.h"},
    {"metrics.name", CHECK_WARNING, "a metric has a kind, a doc and a name in snake case"},
    {"http.root", CHECK_ERROR, "a site is an absolute path"},
    {"model.open", CHECK_ERROR, "open with checked options gives OK and a model"},
    {"model.says-why", CHECK_ERROR, "open of weights that are not there fails, and says why through fail"},
    {"model.info", CHECK_ERROR,
     "info is OK and its numbers and names make sense; it writes no more than size"},
    {"model.tokenize", CHECK_ERROR,
     "tokenize gives ids of the vocabulary, counts all of them whatever the room, and stays within it"},
    {"model.round-trip", CHECK_ERROR,
     "detokenize(tokenize(x)) is x for valid UTF-8; with TELEX_MODEL_LOSSY_TEXT it is stable at least"},
    {"model.round-trip-bytes", CHECK_WARNING, "the same for bytes that are no UTF-8"},
    {"model.control", CHECK_ERROR,
     "text becomes a control token only with TELEX_TOKENIZE_CONTROL, and with it those of the template do"},
    {"model.detokenize", CHECK_ERROR,
     "control tokens are spelled as nothing, ids outside the vocabulary fail, and it stays within its room"},
    {"model.context", CHECK_ERROR, "context_open gives OK and a context"},
    {"model.finite", CHECK_ERROR, "logits are finite"},
    {"model.rows", CHECK_ERROR,
     "SUBSET, TOPK and SAMPLE say what LOGITS says; SAMPLE draws as sdk/driver/sample.h"},
    {"model.batch", CHECK_ERROR,
     "a row does not depend on other sequences of its batch (to the bit with TELEX_MODEL_BATCH_INVARIANT)"},
    {"model.chunks", CHECK_ERROR, "nor on how a prompt is cut into batches"},
    {"model.copy", CHECK_ERROR,
     "copied positions are as good as computed ones, and their source stays as it is"},
    {"model.trim", CHECK_ERROR, "positions that were forgotten leave no trace"},
    {"model.bad-batch", CHECK_ERROR, "bad ids, sequences and positions are INVALID, and nothing changes"},
    {"model.room", CHECK_ERROR,
     "a context holds what it was opened for; without room decode answers AGAIN, beyond the model's context "
     "INVALID, "
     "and nothing changes"},
    {"model.embed", CHECK_ERROR, "embed gives a vector of length 1, or UNSUPPORTED without the flag"},
    {"model.cancel", CHECK_ERROR,
     "cancel makes a running decode return soon, and the context goes on as before"},
    {"model.leak", CHECK_ERROR, "contexts and models that are closed leave no memory behind"},
    {"model.two-contexts", CHECK_ERROR, "two contexts decode at the same time"},
    {"model.reference", CHECK_ERROR, "logits are near those of the reference (--reference)"},
    {"generate.open", CHECK_ERROR, "open with checked options gives OK and an instance"},
    {"generate.info", CHECK_ERROR, "info is OK and names model and backend"},
    {"generate.answers", CHECK_WARNING, "an ordinary job is answered"},
    {"generate.done", CHECK_ERROR, "done is called exactly once for an accepted job, never for another"},
    {"generate.result", CHECK_ERROR, "a result has UTF-8 and a finish, or a reason"},
    {"generate.limit", CHECK_ERROR, "a text has at most max_tokens tokens"},
    {"generate.cancel", CHECK_ERROR, "a cancelled job is done soon"},
    {"generate.schema", CHECK_ERROR, "a text satisfies the job's schema, or the job is UNSUPPORTED"},
    {"generate.seed", CHECK_WARNING, "the same job gives the same text"},
    {"generate.drafts", CHECK_ERROR, "drafts never change the text"},
    {"generate.bad-job", CHECK_ERROR, "a job that makes no sense is refused"},
    {"generate.leak", CHECK_ERROR, "instances that are closed leave no memory behind"},
    {0},
};

const struct check_rule *check_rule_find(const char *id) {
    for (const struct check_rule *rule = check_rules; rule->id; rule++)
        if (strcmp(rule->id, id) == 0)
            return rule;
    return NULL;
}

void check_add(json_t *findings, const char *rule, const char *scenario, const char *text) {
    size_t i;
    json_t *there;
    const struct check_rule *known = check_rule_find(rule);
    json_array_foreach(findings, i, there) {
        if (strcmp(json_string_value(json_object_get(there, "rule")), rule) == 0 &&
            strcmp(json_string_value(json_object_get(there, "text")), text) == 0) {
            json_array_append_new(json_object_get(there, "scenarios"), json_string(scenario));
            return;
        }
    }
    json_array_append_new(findings, json_pack("{s:s,s:s,s:[s],s:s}", "rule", rule, "level",
                                              known && known->level == CHECK_WARNING ? "warning" : "error",
                                              "scenarios", scenario, "text", text));
}

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

/* False when the file is not worth going on with. */
static bool lint(const char *path, json_t *findings) {
    struct plugin_file file;
    char why[1024];
    struct constructors constructors = {findings, 0};
    bool good = plugin_file_read(&file, path, why, sizeof(why)) == 0 &&
                plugin_file_inspect(&file, why, sizeof(why)) == 0;
    if (!good)
        check_add(findings, "lint.file", "lint", why);
    else
        elf_each_constructor(&file.elf, note_constructor, &constructors);
    /* A stripped file names none; the compiler's own is one. */
    if (constructors.n_nameless > 1)
        check_add(findings, "lint.constructor", "lint",
                  "several functions run when the file is loaded; build it with "
                  "symbols to see their names");
    plugin_file_finish(&file);
    return good;
}

static json_t *result(const char *path, const struct plugin_desc *plugin, json_t *findings,
                      json_t *scenarios) {
    return json_pack("{s:s,s:s,s:o,s:o}", "plugin", plugin ? plugin->name : "", "path", path, "findings",
                     findings, "scenarios", scenarios);
}

json_t *check_plugin(struct registry *registry, const char *path, const char *const *pairs,
                     const char *reference, int life_ms) {
    json_t *findings = json_array(), *scenarios = json_array();
    char why[1024], file[4096];
    const struct plugin_desc *plugin = NULL;
    snprintf(file, sizeof(file), "%s%s", strchr(path, '/') ? "" : "./", path);
    if (!lint(file, findings))
        return result(path, NULL, findings, scenarios);
    plugin = registry_find(registry, file, why, sizeof(why));
    if (!plugin) {
        size_t skip = strncmp(why, file, strlen(file)) == 0 ? strlen(file) + 2 : 0;
        check_add(findings, "describe", "describe", why + skip);
        return result(path, NULL, findings, scenarios);
    }
    json_array_append_new(scenarios, json_string("lint"));
    json_array_append_new(scenarios, json_string("describe"));
    char cwd[4096];
    struct telex_bytes options;
    if (config_options(plugin, pairs, getcwd(cwd, sizeof(cwd)) ? cwd : "/", stderr, &options) != 0) {
        json_decref(findings);
        json_decref(scenarios);
        return NULL;
    }
    int err = 0;
    if (strcmp(plugin->class_id, TELEX_CLASS_STAGE) == 0)
        check_lives(plugin, options, life_ms, findings, scenarios);
    else
        err = check_backend(plugin, pairs, options, reference, life_ms, findings, scenarios);
    free((void *)options.data);
    if (err < 0) {
        json_decref(findings);
        json_decref(scenarios);
        return NULL;
    }
    return result(path, plugin, findings, scenarios);
}
