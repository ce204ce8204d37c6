/* SPDX-License-Identifier: Apache-2.0 */
/* check_model_text.c - what a model says of itself, and its tokenizer. */
#include "check_model.h"

#include <stdlib.h>
#include <string.h>

#include <telex-sdk/message.h>

enum { GUARD = 0x5a5a5a5a, IDS_MAX = 1 << 16 };

/* ---- open ---- */

static bool is_id(const struct check_model *m, int32_t id) {
    return id >= -1 && id < (int64_t)m->info.n_vocab;
}

static void check_info(struct check_model *m) {
    struct telex_model_info *info = &m->info, small;
    const struct {
        bool good;
        const char *what;
    } all[] = {
        {info->n_vocab > 0 && info->n_vocab <= 1 << 24, "n_vocab"},
        {info->n_embd > 0, "n_embd"},
        {info->context_tokens >= 32, "context_tokens (32 at least)"},
        {info->max_batch > 0, "max_batch"},
        {is_id(m, info->bos), "bos"},
        {is_id(m, info->eos), "eos"},
        {is_id(m, info->eot), "eot"},
        {!info->add_bos || info->bos >= 0, "add_bos without bos"},
        {info->arch && info->quant && info->device && info->model, "arch, quant, device or model is NULL"},
        {info->weights_sha256 && (strlen(info->weights_sha256) == 64 || !*info->weights_sha256),
         "weights_sha256 (64 hex digits, or empty)"},
        {info->chat && (strcmp(info->chat, "chatml") == 0 || strcmp(info->chat, "llama3") == 0 ||
                        strcmp(info->chat, "gemma") == 0 || !*info->chat),
         "chat (chatml, llama3, gemma or empty)"},
        {info->kv_bytes_per_token > 0, "kv_bytes_per_token"},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        check_that(m, all[i].good, "model.info", "info is wrong about %s", all[i].what);
    /* an older caller's struct is shorter: what lies behind it is not the backend's */
    memset(&small, 0x5a, sizeof(small));
    small.size = 8;
    m->class->info(m->self, &small);
    for (size_t i = 8; i < sizeof(small); i++)
        if (((const uint8_t *)&small)[i] != 0x5a) {
            check_report(m->run->out, "model.info",
                         "info wrote beyond the 8 bytes of a struct whose size is 8");
            break;
        }
}

void check_model_once(struct check_run *run) {
    static struct check_model m;
    const struct check_model_args *args = run->arg;
    if (!check_model_open_bare(&m, run, run->options)) {
        check_report(run->out, "model.open", "open with checked options gave no model%s%s",
                     *m.said ? ": " : "", m.said);
        return;
    }
    m.info.size = sizeof(m.info);
    check_say(run, "info");
    telex_status status = m.class->info(m.self, &m.info);
    check_that(&m, status == TELEX_OK, "model.info", "info gave status %d", status);
    if (status == TELEX_OK)
        check_info(&m);
    check_model_close(&m);
    if (!args->missing.data)
        return;
    bool opened = check_model_open_bare(&m, run, args->missing);
    check_that(&m, !opened, "model.says-why", "open of a file that does not exist gave a model");
    check_that(&m, opened || *m.said, "model.says-why",
               "open of a file that does not exist failed without a reason");
    if (opened)
        check_model_close(&m);
}

/* ---- text ---- */

static const char *const texts[] = {"",
                                    " ",
                                    "a",
                                    "Hello, world.",
                                    "  two  spaces\n\n\nand lines\t\ttabs \r\n",
                                    "caf\xc3\xa9 na\xc3\xafve \xe2\x80\x99 \xe2\x82\xac",
                                    "\xe4\xb8\xad\xe5\x9b\xbd\xe9\x80\x9a\xe8\xae\xaf",
                                    "\xf0\x9f\x98\x80\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80",
                                    "e\xcc\x81 A\xcc\x8a",
                                    "1234567890 3.14 -7 1,000,000",
                                    "x = {\"key\": [1, 2, null]};",
                                    "\xd8\xb3\xd9\x84\xd8\xa7\xd9\x85",
                                    "don't can't I'LL we've",
                                    "\x01\x02\x7f",
                                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                    ("\xef\xbb\xbf"
                                     "bom"),
                                    "\xe3\x80\x80wide",
                                    "\xf4\x8f\xbf\xbf",
                                    "Ends in a space ",
                                    "http://example.org/a?b=c&d=%20#e"};

static const char *const broken[] = {"\xff\xfe", "a\xc3", "\xed\xa0\x80", "\xc0\xaf ok", "x\x80y"};

static int64_t text_of(struct check_model *m, const int32_t *ids, int64_t n, uint8_t *out,
                       uint64_t capacity) {
    check_say(m->run, "detokenize");
    return m->class->detokenize(m->self, ids, (uint64_t)n, out, capacity);
}

static int64_t ids_of(struct check_model *m, struct telex_bytes text, uint32_t flags, int32_t *ids) {
    check_say(m->run, "tokenize");
    return m->class->tokenize(m->self, text, flags, ids, IDS_MAX);
}

static void round_trip(struct check_model *m, const char *text, const char *rule, int32_t *ids,
                       uint8_t *out) {
    int64_t n = ids_of(m, telex_text(text), 0, ids), size;
    if (n < 0 || n > IDS_MAX) {
        check_report(m->run->out, rule, "tokenize of a text of %zu bytes gave %lld", strlen(text),
                     (long long)n);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= m->info.n_vocab) {
            check_report(m->run->out, "model.tokenize", "tokenize gave id %d of a vocabulary of %u", ids[i],
                         m->info.n_vocab);
            return;
        }
    size = text_of(m, ids, n, out, IDS_MAX);
    if (size == (int64_t)strlen(text) && memcmp(out, text, strlen(text)) == 0)
        return;
    if (m->info.flags & TELEX_MODEL_LOSSY_TEXT) { /* declared: then what comes back must stay as it is */
        int32_t *again = ids + IDS_MAX;
        struct telex_bytes back = {out, size > 0 ? (uint64_t)size : 0};
        if (size >= 0 && ids_of(m, back, 0, again) == n && memcmp(ids, again, (size_t)n * sizeof(*ids)) == 0)
            return;
    }
    check_report(m->run->out, rule, "a text of %zu bytes came back as %lld other bytes: %.60s", strlen(text),
                 (long long)size, text);
}

static void check_capacity(struct check_model *m, int32_t *ids, uint8_t *out) {
    struct telex_bytes text = telex_text("The open sea, twelve ships.");
    int64_t n = ids_of(m, text, 0, ids), size = text_of(m, ids, n, out, IDS_MAX);
    int32_t few[64];
    uint8_t bytes[64];
    for (uint64_t room = 0; room <= 3; room++) {
        for (int i = 0; i < 64; i++)
            few[i] = GUARD, bytes[i] = 0x5a;
        check_say(m->run, "tokenize");
        int64_t count = m->class->tokenize(m->self, text, 0, room ? few : NULL, room);
        check_that(m, count == n, "model.tokenize",
                   "tokenize with room for %llu ids gave %lld instead of %lld", (unsigned long long)room,
                   (long long)count, (long long)n);
        check_that(m, few[room] == GUARD, "model.tokenize", "tokenize wrote beyond its room for %llu ids",
                   (unsigned long long)room);
        count = text_of(m, ids, n, room ? bytes : NULL, room);
        check_that(m, count == size, "model.detokenize",
                   "detokenize with room for %llu bytes gave %lld instead of %lld", (unsigned long long)room,
                   (long long)count, (long long)size);
        check_that(m, bytes[room] == 0x5a, "model.detokenize",
                   "detokenize wrote beyond its room for %llu bytes", (unsigned long long)room);
    }
}

static void check_control(struct check_model *m, int32_t *ids, uint8_t *out) {
    static const char *const names[] = {"<|im_start|>",
                                        "<|im_end|>",
                                        "<|endoftext|>",
                                        "<|eot_id|>",
                                        "<|begin_of_text|>",
                                        "<|start_header_id|>",
                                        "<start_of_turn>",
                                        "<end_of_turn>",
                                        "<bos>",
                                        "<eos>",
                                        "<s>",
                                        "</s>"};
    const int32_t special[] = {m->info.bos, m->info.eos, m->info.eot};
    bool found = m->info.eot < 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        int64_t n = ids_of(m, telex_text(names[i]), 0, ids);
        for (int64_t k = 0; k < n && n <= IDS_MAX; k++)
            for (int s = 0; s < 3; s++)
                check_that(m, special[s] < 0 || ids[k] != special[s], "model.control",
                           "the text %s became the control token %d without TELEX_TOKENIZE_CONTROL", names[i],
                           ids[k]);
        n = ids_of(m, telex_text(names[i]), TELEX_TOKENIZE_CONTROL, ids);
        found = found || (n == 1 && ids[0] == m->info.eot);
    }
    check_that(m, found || !*m->info.chat, "model.control",
               "no control token of the template %s comes out of its name with TELEX_TOKENIZE_CONTROL",
               m->info.chat);
    for (int s = 0; s < 3; s++)
        if (special[s] >= 0 && (uint32_t)special[s] < m->info.n_vocab)
            check_that(m, text_of(m, &special[s], 1, out, 64) == 0, "model.detokenize",
                       "the control token %d is not spelled as nothing", special[s]);
}

void check_model_text(struct check_run *run) {
    static struct check_model m;
    static int32_t ids[2 * IDS_MAX];
    static uint8_t out[IDS_MAX];
    if (!check_model_open(&m, run))
        return;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        round_trip(&m, texts[i], "model.round-trip", ids, out);
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
        round_trip(&m, broken[i], "model.round-trip-bytes", ids, out);
    check_capacity(&m, ids, out);
    check_control(&m, ids, out);
    const int32_t bad[] = {-1, (int32_t)m.info.n_vocab, INT32_MAX, INT32_MIN};
    for (int i = 0; i < 4; i++)
        check_that(&m, text_of(&m, &bad[i], 1, out, 64) < 0, "model.detokenize",
                   "id %d, outside the vocabulary, is no failure", bad[i]);
    check_model_close(&m);
}
