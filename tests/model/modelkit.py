# SPDX-License-Identifier: Apache-2.0
"""What the model tests share: where things are, GGUF vocabularies, and the tool that speaks for the C code."""
import os
import pathlib
import struct
import subprocess

import pytest

SMOLLM = "SmolLM2-135M-Instruct.Q4_1.gguf"
QWEN_SMALL = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
QWEN = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
GEMMA = "gemma-3-270m-q4_k_m.gguf"
GEMMA = "gemma-3-270m-q4_k_m.gguf"


def models_dir():
    cache = os.environ.get("XDG_CACHE_HOME") or str(pathlib.Path.home() / ".cache")
    return pathlib.Path(os.environ.get("TELEX_MODELS") or pathlib.Path(cache) / "telex" / "models")


def model_path(name):
    """The model's file; a test that needs one which is not here says so and is skipped."""
    path = models_dir() / name
    if not path.exists():
        pytest.skip(f"{path} is missing; `telex model pull` fetches it")
    return path


def all_models():
    """The files of the models at hand; those that are missing are named."""
    paths = [models_dir() / name for name in (SMOLLM, GEMMA, QWEN_SMALL, QWEN)]
    for path in paths:
        if not path.exists():
            print(f"{path} is missing; `telex model pull` fetches it")
    return [path for path in paths if path.exists()]


def tool():
    return os.environ.get("TELEX_MODEL_TOOL", "build/tests/model/model-tool")


def run_tool(*args, stdin=b"", env=None):
    """Standard output of model-tool; its error text fails the test."""
    done = subprocess.run([tool(), *map(str, args)], input=stdin, capture_output=True,
                          env={**os.environ, **(env or {})}, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def can_run(cpu, path):
    """Whether this machine has the path that TELEX_CPU=cpu names."""
    done = subprocess.run([tool(), "plan", str(path)], capture_output=True, env={**os.environ, "TELEX_CPU": cpu}, timeout=60)
    return done.returncode == 0


def vocabulary(path):
    """(tokens, kinds, merges, scores, pre-tokenizer, space in front) as the file spells them. SPM files have no merges and
    no pre-tokenizer, others no scores."""
    from gguf import GGUFReader
    fields = GGUFReader(str(path)).fields

    def texts(key):
        field = fields[key]
        return [bytes(field.parts[i]).decode("utf-8") for i in field.data]

    def numbers(key):
        field = fields[key]
        return [field.parts[i][0].item() for i in field.data]

    tokens, kinds = texts("tokenizer.ggml.tokens"), numbers("tokenizer.ggml.token_type")
    if texts("tokenizer.ggml.model") == ["llama"]:
        space = fields.get("tokenizer.ggml.add_space_prefix")
        return tokens, kinds, [], numbers("tokenizer.ggml.scores"), None, space is None or bool(space.parts[-1][0])
    return tokens, kinds, texts("tokenizer.ggml.merges"), [], texts("tokenizer.ggml.pre")[0], False


def tokenize(path, texts, mode="plain"):
    """[(ids, text of the ids)] for each of the texts (bytes)."""
    out = run_tool("tokenize", path, mode, stdin=b"".join(struct.pack("<I", len(t)) + t for t in texts))
    at, result = 0, []
    for _ in texts:
        (n,) = struct.unpack_from("<I", out, at)
        ids = list(struct.unpack_from(f"<{n}i", out, at + 4))
        at += 4 + 4 * n
        (n_bytes,) = struct.unpack_from("<I", out, at)
        result.append((ids, out[at + 4:at + 4 + n_bytes]))
        at += 4 + n_bytes
    assert at == len(out)
    return result
