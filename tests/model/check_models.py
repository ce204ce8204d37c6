# SPDX-License-Identifier: Apache-2.0
"""Compare the CPU backend with llama.cpp and with a float64 reference on whole models.

    check_models.py [--build BUILD] [--greedy-only] [MODEL.gguf ...]

For ten prompts: 64 greedy tokens equal llama.cpp's, except where the two best logits of one of the two lie within 0.15, or
where the reference sides with us (the walk then goes on from llama.cpp's token); the logits' normalised squared
error against NumPy is not above llama.cpp's own; and with precision: exact it is below 1e-9. Exit 1 if one fails. llama.cpp is the one that llama-cpp-python built."""
import argparse
import os
import struct
import sys

import modelkit
import numpy as np
from reference import Reference, nmse

N_NEW, MARGIN = 64, 0.15
PROMPTS = [
    "Oil prices rose on Monday after", "The central bank said it would",
    "<|im_start|>user\nSummarise: OPEC ministers ruled out an emergency meeting.<|im_end|>\n<|im_start|>assistant\n",
    "def fibonacci(n):\n    ", "1, 2, 3, 5, 8, 13,", "Kuwait's oil minister told reporters that no talks",
    "<|im_start|>user\nWrite a headline about a hotel sold for $12.5 million.<|im_end|>\n<|im_start|>assistant\n",
    "Shareholders of the company approved the merger, which", "In Paris, l'été dernier, the 3 banks",
    "The quick brown fox jumps over the lazy dog. The quick brown fox",
]


class Peer:
    """llama.cpp, one thread context, all logits."""

    def __init__(self, path):
        from llama_cpp import Llama
        self.llm = Llama(str(path), n_ctx=512, n_batch=512, n_threads=2, n_threads_batch=2, logits_all=True, verbose=False)

    def ids(self, text):
        adds_bos = self.llm.metadata.get("tokenizer.ggml.add_bos_token", "false") == "true"
        return self.llm.tokenize(text.encode(), add_bos=adds_bos, special=True)

    def logits(self, ids):
        self.llm.reset()
        self.llm.eval(ids)
        return np.array(self.llm.scores[:len(ids)], dtype=np.float32)

    def greedy(self, ids, n):
        """n tokens, and how far the best logit was ahead of the second at each."""
        self.llm.reset()
        self.llm.eval(ids)
        out, leads = [], []
        for _ in range(n):
            row = self.llm.scores[self.llm.n_tokens - 1]
            out.append(int(np.argmax(row)))
            leads.append(float(np.diff(np.sort(row)[-2:])[0]))
            self.llm.eval([out[-1]])
        return out, leads


def ours(path, prompts, froms, chunk, threads=2, env=None):
    """Our logits for positions >= from of each prompt."""
    request = b"".join(struct.pack("<II", len(p), f) + struct.pack(f"<{len(p)}i", *p) for p, f in zip(prompts, froms))
    raw = np.frombuffer(modelkit.run_tool("logits", path, threads, chunk, stdin=request, env=env), dtype=np.float32)
    rows = sum(len(p) - f for p, f in zip(prompts, froms))
    raw, out, at = raw.reshape(rows, -1), [], 0
    for p, f in zip(prompts, froms):
        out.append(raw[at:at + len(p) - f])
        at += len(p) - f
    return out


def compare_greedy(path, peer, prompts):
    """(tokens that differ without excuse, within the margin, where llama.cpp is off the reference)"""
    hard, soft, walks = [], 0, []
    for ids in prompts:
        theirs, leads = peer.greedy(ids, N_NEW)
        walks.append((ids + theirs)[:-1])
        (rows,) = ours(path, [walks[-1]], [len(ids) - 1], chunk=1)
        for i, (row, token, lead) in enumerate(zip(rows, theirs, leads)):
            best, second = np.argsort(row)[-1:-3:-1]
            if best != token and min(lead, row[best] - row[second]) <= MARGIN:
                soft += 1
            elif best != token:
                hard.append((len(walks) - 1, len(ids) - 1 + i, best, token, row[best] - row[second], lead))
    # Where the two are far apart one of them is wrong; the reference says which.
    wrong = sorted({h[0] for h in hard})
    exact = dict(zip(wrong, Reference(path).logits([walks[w] for w in wrong]))) if wrong else {}
    ours_wrong = 0
    for walk, at, best, token, our_lead, lead in hard:
        row = exact[walk][at]
        ours_wrong += int(np.argmax(row)) != best
        print(f"   prompt {walk} position {at}: we {best}, {our_lead:.3f} ahead; llama.cpp {token}, {lead:.3f} ahead; "
              f"reference {int(np.argmax(row))}, {row[best] - row[token]:.3f} between ours and theirs")
    return ours_wrong, soft, len(hard) - ours_wrong


def compare_logits(path, peer, prompts):
    """Mean NMSE of ours, of ours with precision: exact, and of llama.cpp's."""
    reference = Reference(path).logits(prompts)
    mine = ours(path, prompts, [0] * len(prompts), chunk=512)
    exact = ours(path, prompts, [0] * len(prompts), chunk=512, env={"TELEX_PRECISION": "exact"})
    errors = []
    for ids, ref, our, precise in zip(prompts, reference, mine, exact):
        errors.append((nmse(our, ref), nmse(precise, ref), nmse(peer.logits(ids), ref)))
        print(f"   {len(ids):3} tokens  ours {errors[-1][0]:.3e}  exact {errors[-1][1]:.3e}  llama.cpp {errors[-1][2]:.3e}")
    return np.mean(errors, 0)


def check(path, greedy_only=False, texts=PROMPTS):
    peer = Peer(path)
    prompts = [peer.ids(text) for text in texts]
    hard, soft, theirs = compare_greedy(path, peer, prompts)
    print(f"{os.path.basename(path)}: greedy {N_NEW} tokens x {len(prompts)} prompts: {hard} differ, {soft} within {MARGIN}, "
          f"{theirs} where llama.cpp is off the reference", flush=True)
    if greedy_only:
        return hard == 0
    our, exact, their = compare_logits(path, peer, prompts)
    print(f"{os.path.basename(path)}: logits NMSE ours {our:.3e}, exact {exact:.3e}, llama.cpp {their:.3e}", flush=True)
    return hard == 0 and our <= their and exact < 1e-9


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", help="the build folder that has model-tool")
    parser.add_argument("--greedy-only", action="store_true")
    parser.add_argument("models", nargs="*")
    args = parser.parse_args()
    if args.build:
        os.environ["TELEX_MODEL_TOOL"] = os.path.join(args.build, "tests", "model", "model-tool")
    paths = args.models or [str(path) for path in modelkit.all_models()]
    results = [check(path, args.greedy_only) for path in paths]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
