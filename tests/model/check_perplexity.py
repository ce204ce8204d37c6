# SPDX-License-Identifier: Apache-2.0
"""Compare `telex model perplexity` with llama.cpp and with NumPy.

    check_perplexity.py [--build BUILD] [--chunks 20] [--exact-chunks 4] [MODEL.gguf ...]

The text is that of the recorded Reuters stories which set-up fetches. Over 20 chunks of 512 tokens ours is within 0.5 % of
llama.cpp's, whose own logits carry the error of 8-bit activations; with precision: exact it is within 0.1 % of a float64
forward pass over 4 chunks of 128. Exit 1 if one is not. llama.cpp is the one that llama-cpp-python built."""
import argparse
import html
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import modelkit
import numpy as np
from reference import Reference

CHUNK, EXACT_CHUNK = 512, 128


def reuters():
    """Titles and bodies of the archive's stories, in the order of their files."""
    root = pathlib.Path(os.environ.get("TELEX_ARCHIVE") or modelkit.models_dir().parent / "archive")
    texts = []
    for path in sorted(root.glob("*/*.xml")):
        story = path.read_text(encoding="latin-1")
        parts = [re.search(rf"<{tag}>(.*?)</{tag}>", story, re.S) for tag in ("TITLE", "BODY")]
        if parts[1]:
            texts.append("\n\n".join(html.unescape(p.group(1)).strip() for p in parts if p))
    if not texts:
        sys.exit(f"no stories below {root}; `scripts/setup run` fetches them")
    return "\n\n".join(texts)


def surprises(rows, ids):
    """-ln p of each id under the row that foresees it."""
    out = []
    for row, token in zip(rows, ids):
        row = row.astype(np.float64)
        out.append(np.log(np.exp(row - row.max()).sum()) + row.max() - row[token])
    return out


def perplexity(parts):
    return float(np.exp(np.mean(np.concatenate(parts))))


def ours(build, path, text_path, chunk, chunks, *options):
    command = [f"{build}/host/telex", "model", "perplexity", str(path), "-P", f"{build}/plugins/model-cpu/model-cpu.so", "-f",
               str(text_path), "--chunk", str(chunk), "--chunks", str(chunks), "--json", *options]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr.decode())
    return json.loads(done.stdout)


def chunk_ids(llm, text, chunk, chunks):
    """The chunks of the text as llama-perplexity cuts them: bos counts as the first token, and opens every chunk."""
    bos = llm.token_bos() if llm.metadata.get("tokenizer.ggml.add_bos_token", "false") == "true" else None
    ids = ([] if bos is None else [bos]) + llm.tokenize(text.encode(), add_bos=False, special=False)
    out = []
    for i in range(chunks):
        ids_here = ids[i * chunk:(i + 1) * chunk]
        assert len(ids_here) == chunk, "the text is too short"
        out.append(ids_here if bos is None else [bos, *ids_here[1:]])
    return out


def theirs(llm, all_chunks):
    parts = []
    for ids in all_chunks:
        llm.reset()
        llm.eval(ids)
        half = len(ids) // 2
        parts.append(surprises(llm.scores[half:len(ids) - 1], ids[half + 1:]))
    return perplexity(parts)


def exact_reference(path, all_chunks):
    half = EXACT_CHUNK // 2
    logits = Reference(path).logits(all_chunks)
    return perplexity([surprises(rows[half:-1], ids[half + 1:]) for rows, ids in zip(logits, all_chunks)])


def check(build, path, text, text_path, chunks, exact_chunks):
    from llama_cpp import Llama
    llm = Llama(str(path), n_ctx=CHUNK, n_batch=CHUNK, n_threads=2, n_threads_batch=2, logits_all=True, verbose=False)
    mine = ours(build, path, text_path, CHUNK, chunks)
    peer = theirs(llm, chunk_ids(llm, text, CHUNK, chunks))
    off = mine["perplexity"] / peer - 1
    exact = ours(build, path, text_path, EXACT_CHUNK, exact_chunks, "-o", "precision=exact")
    fast = ours(build, path, text_path, EXACT_CHUNK, exact_chunks)
    reference = exact_reference(path, chunk_ids(llm, text, EXACT_CHUNK, exact_chunks))
    exact_off = exact["perplexity"] / reference - 1
    ok = abs(off) <= 0.005 and abs(exact_off) <= 0.001
    print(f"{os.path.basename(path)}: {chunks} chunks of {CHUNK}: ours {mine['perplexity']:.4f} +/- {mine['error']:.4f}, "
          f"llama.cpp {peer:.4f} ({100 * off:+.3f} %); {exact_chunks} of {EXACT_CHUNK}: exact {exact['perplexity']:.5f}, "
          f"float64 {reference:.5f} ({100 * exact_off:+.5f} %), fast {fast['perplexity']:.5f} "
          f"({100 * (fast['perplexity'] / reference - 1):+.3f} %){'' if ok else '  NOT WITHIN BOUNDS'}", flush=True)
    return ok


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--chunks", type=int, default=20)
    parser.add_argument("--exact-chunks", type=int, default=4)
    parser.add_argument("models", nargs="*")
    args = parser.parse_args()
    text = reuters()
    with tempfile.TemporaryDirectory() as folder:
        text_path = pathlib.Path(folder) / "reuters.txt"
        text_path.write_text(text)
        results = [check(args.build, path, text, text_path, args.chunks, args.exact_chunks)
                   for path in args.models or map(str, modelkit.all_models())]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
