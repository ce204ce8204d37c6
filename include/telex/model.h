/* SPDX-License-Identifier: Apache-2.0 */
/* telex/model.h - model backends, on two levels.
 *
 * "telex.generate/1" turns a job into text; the desk uses only this. A remote server implements it directly.
 * "telex.model/1" is one set of weights with contexts of many sequences; the SDK's driver (chat template, grammar,
 * sampler, prefix cache, scheduler) turns any model/1 into generate/1 in the process that owns the weights, so jobs
 * cross process boundaries, never logits.
 *
 * Determinism: with the same weights, prompt, sampler and seed a job gives the same tokens whatever else runs. */
#ifndef TELEX_MODEL_H
#define TELEX_MODEL_H

#include "host.h"
#include "option.h"

/* ---- jobs: telex.generate/1 ---- */

enum { TELEX_ROLE_SYSTEM = 0, TELEX_ROLE_USER = 1, TELEX_ROLE_ASSISTANT = 2 };

/* One turn of the conversation. Its text is data: control tokens are never made from it. */
struct telex_message {
    uint32_t size, role;
    struct telex_bytes text;
};

/* How a token is chosen. temperature 0 takes the most likely one. The order of the steps is fixed: repeat penalty,
 * top-k, top-p, min-p, temperature, draw. */
struct telex_sampler {
    uint32_t size, top_k; /* 0: off */
    float temperature, top_p, min_p, repeat_penalty; /* top_p 1, min_p 0, repeat_penalty 1: off */
};

/* A request for text. Everything is borrowed until generate() returns. */
struct telex_job {
    uint32_t size, n_messages, n_drafts, max_tokens;
    uint64_t seed;
    int64_t timeout_ms; /* from now; 0: none */
    const struct telex_message *const *messages;
    const struct telex_sampler *sampler; /* NULL: greedy */
    struct telex_bytes schema;           /* JSON Schema that the text must satisfy; empty: free text */
    const struct telex_bytes *drafts;    /* texts likely to be repeated; a hint that never changes the result */
};

enum { TELEX_FINISH_STOP = 1, TELEX_FINISH_LENGTH = 2, TELEX_FINISH_FAILED = 3 };

/* What came of a job. Borrowed until the callback returns. */
struct telex_result {
    uint32_t size;
    telex_status status; /* OK, RETRY (server down, slow, cut off), CANCELLED, REJECT (this prompt), FATAL */
    uint32_t finish, prompt_tokens, cached_tokens, output_tokens;
    int64_t prefill_us, decode_us;
    struct telex_bytes text;  /* UTF-8; with a schema: JSON that satisfies it when finish is STOP */
    struct telex_bytes error; /* why, when status is not OK */
    /* Since 1.1: ask TELEX_HAS before reading what follows. 0 where the backend does not count. */
    uint32_t passes;          /* batches that brought tokens: output_tokens / passes is what one pass gave */
    uint32_t forced_tokens;   /* of output_tokens, those that the schema left no choice about */
    uint32_t drafted_tokens;  /* guessed from drafts and prompt, and verified */
    uint32_t accepted_tokens; /* of these, those that were right */
};

/* Called exactly once per accepted job, on a thread of the backend; must not block for long. [any] */
typedef void (*telex_job_done)(void *arg, const struct telex_result *result);

/* What a backend is; all text lives as long as the backend. Set size first. */
struct telex_backend_info {
    uint32_t size, context_tokens;
    const char *model;          /* such as "SmolLM2 135M Instruct" */
    const char *weights_sha256; /* hex; "" when unknown */
    const char *backend;        /* such as "model-cpu avx512" */
};

/* The class "telex.generate/1". */
struct telex_generate {
    uint32_t size, flags;
    const char *name, *version, *doc;
    const struct telex_option *const *options;
    const char *const *needs;

    /* 0: cannot run on this machine; higher is better. Starts no driver. [any] */
    int32_t (*probe)(void);
    /* May take long. Sets *self only on OK. [control] */
    telex_status (*open)(const struct telex_host *host, struct telex_bytes options, void **self);
    telex_status (*info)(void *self, struct telex_backend_info *out); /* [any] */
    /* Accept a job: OK and `done` will be called, AGAIN when too many wait, INVALID, UNSUPPORTED (schema). [any] */
    telex_status (*generate)(void *self, const struct telex_job *job, telex_job_done done, void *arg,
                             uint64_t *job_id);
    void (*cancel)(void *self, uint64_t job_id); /* a hint; done is still called [any] */
    void (*close)(void *self);                   /* after the last done [control] */
};

/* ---- weights: telex.model/1 ---- */

enum {
    TELEX_MODEL_EMBED = 1,          /* embed() works */
    TELEX_MODEL_BATCH_INVARIANT = 2, /* a row's bits do not depend on what else is in the batch */
    TELEX_MODEL_LOSSY_TEXT = 4,      /* tokenize normalises: what it gives back may differ from what it got */
    TELEX_MODEL_ENCODER = 8          /* since 1.1: gives vectors and no text; decode, seq_* are UNSUPPORTED, and embed
                                      * puts what opens and ends a text around its ids */
};

struct telex_model_info {
    uint32_t size, flags;
    uint32_t n_vocab, n_embd, context_tokens, max_batch;
    int32_t bos, eos, eot; /* -1: none. eot ends a turn of the chat template */
    int32_t add_bos;       /* 1: a prompt begins with bos */
    uint64_t weight_bytes, kv_bytes_per_token;
    const char *arch, *quant, *device, *model, *weights_sha256;
    const char *chat; /* "chatml" "llama3" "gemma" "": which template the weights expect */
};

/* What the caller asks of one row of a batch. */
enum {
    TELEX_ROW_NONE = 0,
    TELEX_ROW_LOGITS = 1, /* logits: n_vocab values */
    TELEX_ROW_SUBSET = 2, /* ids in: n; logits out: n, in the order of ids; other rows of the head may be skipped */
    TELEX_ROW_TOPK = 3,   /* n in; ids and logits out: the n largest, descending, ties by lower id */
    TELEX_ROW_SAMPLE = 4  /* ids out: 1, drawn as sdk/driver/sample.h states; mask, temperature, seed, counter in */
};

struct telex_row {
    uint32_t size, kind, n;
    float temperature;
    uint64_t seed, counter;
    const uint32_t *mask; /* SAMPLE: bit (id % 32) of word id / 32 allows a token; NULL allows all */
    int32_t *ids;         /* caller's memory */
    float *logits;        /* caller's memory */
};

/* n tokens, each of one sequence at one position. Rows of one sequence ascend in position without a gap. */
struct telex_batch {
    uint32_t size, n;
    const int32_t *token;
    const int32_t *pos;
    const uint32_t *seq;
    struct telex_row *const *rows; /* n pointers; NULL asks nothing */
};

enum { TELEX_TOKENIZE_CONTROL = 1 /* the text may name control tokens such as <|im_end|> */ };

/* The class "telex.model/1". */
struct telex_model {
    uint32_t size, flags;
    const char *name, *version, *doc;
    const struct telex_option *const *options; /* "path" names the weights */
    const char *const *needs;

    /* 0: cannot run on this machine; higher is better. Starts no driver. [any] */
    int32_t (*probe)(void);
    /* Map and check the weights; one process shares one copy. Sets *self only on OK. [control] */
    telex_status (*open)(const struct telex_host *host, struct telex_bytes options, void **self);
    telex_status (*info)(void *self, struct telex_model_info *out); /* [any] */

    /* Text to ids. Returns how many there are (write at most `capacity`), or a failure. Never adds bos. [any] */
    int64_t (*tokenize)(void *self, struct telex_bytes text, uint32_t flags, int32_t *ids, uint64_t capacity);
    /* Ids to bytes, control tokens as nothing. Returns the number of bytes, whatever the capacity, or a failure:
     * INVALID for an id outside the vocabulary. [any] */
    int64_t (*detokenize)(void *self, const int32_t *ids, uint64_t n, uint8_t *out, uint64_t capacity);

    /* A context: n_seq sequences that together hold n_tokens positions. One caller at a time per context. [any] */
    telex_status (*context_open)(void *self, uint32_t n_seq, uint32_t n_tokens, void **context);
    /* Run a batch and fill the rows asked for. OK; AGAIN (no room for the positions, or no memory now), INVALID,
     * CANCELLED, RETRY (a passing fault): nothing changed; FATAL (the device is lost). */
    telex_status (*decode)(void *context, const struct telex_batch *batch);
    /* Make dst's positions [from, to) those of src (to < 0: to the end). dst is cut at `from` first. */
    telex_status (*seq_copy)(void *context, uint32_t dst, uint32_t src, int32_t from, int32_t to);
    /* Forget positions >= from. */
    telex_status (*seq_trim)(void *context, uint32_t seq, int32_t from);
    /* Mean-pooled, L2-normalised vector of n_embd values for one text; UNSUPPORTED without the flag. */
    telex_status (*embed)(void *context, const int32_t *ids, uint32_t n, float *out);
    void (*cancel)(void *context); /* make a running decode return CANCELLED soon [any] */
    void (*context_close)(void *context);
    void (*close)(void *self); /* contexts closed first [control] */

    /* Since 1.1: ask TELEX_HAS before reading what follows. */
    /* Why probe answers 0 here and what would help, in a sentence; NULL when it does not. May be NULL. [any] */
    const char *(*probe_why)(void);
};

#endif
