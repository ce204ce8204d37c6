# SPDX-License-Identifier: Apache-2.0
"""What the model tests share: where things are, GGUF vocabularies, and the tool that speaks for the C code."""
import os
import pathlib
import struct
import subprocess

import pytest

SMOLLM = "SmolLM2-135M-Instruct.Q4_1.gguf"
QWEN = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
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
    """(tokens, kinds, merges) as the file spells them."""
    from gguf import GGUFReader
    fields = GGUFReader(str(path)).fields

    def texts(key):
        field = fields[key]
        return [bytes(field.parts[i]).decode("utf-8") for i in field.data]

    kinds = fields["tokenizer.ggml.token_type"]
    return texts("tokenizer.ggml.tokens"), [int(kinds.parts[i][0]) for i in kinds.data], texts("tokenizer.ggml.merges")


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
