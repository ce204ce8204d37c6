# SPDX-License-Identifier: Apache-2.0
"""Keys and values of eight bits: the same bits whatever computes them, near to f16, in half the memory."""
import os
import re
import struct
import subprocess

import modelkit
import pytest
import tinymodel

np = pytest.importorskip("numpy")
pytest.importorskip("gguf")

PROMPT = [(7 * i * i + 3 * i) % 250 + 3 for i in range(150)]  # two pages and a part, tiles of 16 and a part


def logits(path, threads=1, chunk=512, cpu="", kv="int8", ids=PROMPT, start=0):
    request = struct.pack("<II", len(ids), start) + struct.pack(f"<{len(ids)}i", *ids)
    raw = modelkit.run_tool("logits", path, threads, chunk, stdin=request, env={"TELEX_CPU": cpu, "TELEX_KV": kv})
    return np.frombuffer(raw, dtype=np.float32).reshape(len(ids) - start, -1)


@pytest.fixture(scope="module", params=["llama", "qwen2", "qwen3", "gemma3"])
def model(request, tmp_path_factory):
    return tinymodel.write(tmp_path_factory.mktemp("kv") / "tiny.gguf", "Q8_0", request.param)


def test_every_path_batch_and_thread_gives_the_same_bits(model):
    want = logits(model, cpu="scalar")
    for cpu in ("avx2", "avx512", "amx-emulated"):
        if modelkit.can_run(cpu, model):
            assert np.array_equal(logits(model, cpu=cpu), want), cpu
    for threads, chunk in ((2, 512), (1, 1), (3, 7), (2, 64)):
        assert np.array_equal(logits(model, threads, chunk), want), (threads, chunk)


def test_logits_are_near_to_those_of_f16_and_not_they(model):
    from reference import nmse
    error = nmse(logits(model), logits(model, kv="f16"))
    assert 0 < error < 1e-3, error


def test_logits_of_the_small_model_are_near_to_those_of_f16():
    from reference import nmse
    path = modelkit.model_path(modelkit.SMOLLM)
    ids = [1, 4093, 198] + [i * 37 % 40000 + 20 for i in range(200)]
    small, full = (logits(path, 2, ids=ids, start=150, kv=kv) for kv in ("int8", "f16"))
    error = nmse(small, full)
    assert 0 < error < 5e-3, error
    assert np.mean(small.argmax(1) == full.argmax(1)) > 0.9


def shown(path, spec):
    done = subprocess.run([os.environ["TELEX_PROGRAM"], "model", "show", f"{path}{spec}", "-P", os.environ["TELEX_MODEL_SO"]],
                          capture_output=True, text=True, timeout=60)
    return done.returncode, dict(re.findall(r"^(\w+) +(.*)$", done.stdout, re.M)), done.stderr


def test_the_option_halves_the_memory_and_says_so(tmp_path):
    path = tinymodel.write(tmp_path / "tiny.gguf", "Q8_0")
    (_, full, _), (_, small, _) = shown(path, ""), shown(path, ":kv=int8")
    # A number takes one byte instead of two; each head's row has a scale of four bytes.
    rows = tinymodel.SIZES["block_count"] * tinymodel.SIZES["head_count_kv"] * 2
    assert int(small["kv_bytes_per_token"]) == int(full["kv_bytes_per_token"]) // 2 + 4 * rows
    assert "int8 keys and values" in small["device"] and "int8" not in full["device"]


def test_exact_arithmetic_refuses_it(tmp_path):
    path = tinymodel.write(tmp_path / "tiny.gguf", "Q8_0")
    code, _, error = shown(path, ":kv=int8,precision=exact")
    assert code != 0 and "kv: int8 with precision: exact" in error
    code, _, error = shown(path, ":kv=int4")
    assert code != 0 and "int8" in error
