# SPDX-License-Identifier: Apache-2.0
"""Compare token ids with the Hugging Face library's, built from each file's own vocabulary, over many random texts.

    check_tokenizers.py [--build BUILD] [--texts 100000] [MODEL.gguf ...]

Half as many texts more have bytes lost or changed, so that they are no UTF-8. For SentencePiece models llama.cpp is asked too,
over the texts that do not spell a control token or `<0x0A>`: it makes the token out of plain text, and takes `</s>` for one
whatever the file says. Vocabularies made here stand for the kinds of which no model is at hand. Every id must be equal; exit 1 otherwise."""
import argparse
import os
import pathlib
import random
import re
import sys
import tempfile

import modelkit
import tinyvocab
import tokenizer_reference as ref

BATCH = 5000


def differ(path, texts, theirs):
    """Texts that come out otherwise than theirs (None: no answer)."""
    pairs = zip(texts, modelkit.tokenize(path, texts), theirs)
    return [(text, ids, want) for text, (ids, _), want in pairs if want is not None and ids != want]


def check(path, name, n_texts, peer):
    plain, _, kinds, byte_ids, tokens, space_prefix = ref.model_of(path)
    names = re.compile("|".join(map(re.escape, ["</s>", *(t for t, k in zip(tokens, kinds) if k in (ref.CONTROL, ref.BYTE))])))
    rng = random.Random(1)
    counts, wrong, asked = [0, 0, 0], [], peer is not None
    for _ in range(0, n_texts, BATCH):
        texts = [ref.random_text(rng) for _ in range(BATCH)]
        data = [t.encode() for t in texts]
        found = modelkit.tokenize(path, data)
        theirs = [r.ids for r in plain.encode_batch(texts, add_special_tokens=False)]
        wrong += [(t, o, r) for t, (o, _), r in zip(texts, found, theirs) if o != r]
        counts[0] += BATCH
        if not space_prefix:
            broken = [ref.random_bytes(rng, t) for t in texts[:BATCH // 2]]
            want = [ref.ids_of_bytes(plain, b, byte_ids) for b in broken]
            wrong += differ(path, broken, want)
            counts[1] += sum(w is not None for w in want)
        for t, d, (o, _) in zip(texts, data, found) if asked else ():
            if names.search(t):
                continue
            counts[2] += 1
            theirs = peer.tokenize(d, add_bos=False, special=False)
            wrong += [(t, o, theirs)] if o != theirs else []
    print(f"{name}: {counts[0]} texts, {counts[1]} that are no UTF-8, {counts[2]} asked of llama.cpp: {len(wrong)} differ", flush=True)
    for text, ours, theirs in wrong[:3]:
        print(f"   {text!r}\n      ours {ours}\n      theirs {theirs}")
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("models", nargs="*")
    args = parser.parse_args()
    os.environ["TELEX_MODEL_TOOL"] = os.path.join(args.build, "tests", "model", "model-tool")
    paths = args.models or [str(modelkit.models_dir() / n) for n in (modelkit.SMOLLM, modelkit.QWEN_SMALL, modelkit.GEMMA)]
    with tempfile.TemporaryDirectory() as folder:
        made = [] if args.models else [(tinyvocab.write(pathlib.Path(folder) / f"{n}.gguf", n), f"{n} (made here)")
                                       for n in ("llama-bpe", "llama-spm")]
        results = []
        for path, name in [*made, *((p, os.path.basename(p)) for p in paths)]:
            peer = None
            if modelkit.vocabulary(path)[4] is None:
                from llama_cpp import Llama
                peer = Llama(str(path), vocab_only=True, verbose=False)
            results.append(check(path, name, args.texts, peer))
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
