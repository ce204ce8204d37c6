# SPDX-License-Identifier: Apache-2.0
"""AMX: the product holds the real instructions, and whole models on emulated tiles give the bits of the other paths."""
import functools
import os
import pathlib
import shutil
import struct
import subprocess

import modelkit
import pytest
import tinymodel

np = pytest.importorskip("numpy")
pytest.importorskip("gguf")

PROMPT = [(7 * i * i + 3 * i) % 250 + 3 for i in range(45)]


def cpu_flags():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return line.split(":", 1)[1].split()
    return []


def logits(path, cpu, chunk, threads=2, ids=PROMPT, start=0):
    request = struct.pack("<II", len(ids), start) + struct.pack(f"<{len(ids)}i", *ids)
    return modelkit.run_tool("logits", path, threads, chunk, stdin=request, env={"TELEX_CPU": cpu})


MIXED = {"token_embd": "Q8_0", "attn_q": "Q4_0", "attn_v": "Q5_0", "ffn_gate": "Q4_1", "ffn_up": "Q5_1"}


@pytest.fixture(scope="module", params=[*tinymodel.TYPES, "mixed"])
def model(request, tmp_path_factory):
    kind, mixed = ("Q4_K", MIXED) if request.param == "mixed" else (request.param, None)
    return tinymodel.write(tmp_path_factory.mktemp("amx") / f"{request.param}.gguf", kind, "qwen2", mixed=mixed)


@functools.lru_cache
def plain_logits(path):
    return logits(path, "scalar", 45)


def needs_emulation(path):
    if not modelkit.can_run("amx-emulated", path):
        pytest.skip("emulated tiles lie beside AVX-512 kernels, which this machine cannot run")


# 2, 4 and 8 rows are tiles of their own; of 13 rows and of 45 the last five and the last one are not eight.
@pytest.mark.parametrize("chunk", [1, 2, 3, 8, 11, 13, 45])
def test_batches_on_tiles_give_the_same_bits(model, chunk):
    needs_emulation(model)
    assert logits(model, "amx-emulated", chunk) == plain_logits(model)


def test_real_tiles_give_the_same_bits_where_there_are_some(model):
    if not modelkit.can_run("amx", model):
        pytest.skip("this machine has no AMX")
    for chunk in (1, 8, 13, 45):
        assert logits(model, "amx", chunk) == plain_logits(model)


def test_the_small_model_gives_the_same_bits_on_tiles():
    path = modelkit.model_path(modelkit.SMOLLM)
    needs_emulation(path)
    ids = [1, 4093, 198] + [i * 37 % 40000 + 20 for i in range(30)]
    want = logits(path, "avx2", 512, ids=ids, start=20)
    for chunk in (8, 512):
        assert logits(path, "amx-emulated", chunk, ids=ids, start=20) == want


def test_the_product_holds_the_real_instructions():
    if not shutil.which("objdump"):
        pytest.skip("objdump is missing")
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", os.environ["TELEX_MODEL_SO"]], capture_output=True, text=True,
                          check=True).stdout
    for instruction in ("ldtilecfg", "tileloadd", "tdpbssd", "tilestored", "tilerelease"):
        assert instruction in text, instruction
    assert "tile_emulated" not in text


def test_without_amx_the_next_path_is_chosen_and_the_reason_is_shown(tmp_path):
    path = tinymodel.write(tmp_path / "tiny.gguf", "Q8_0")
    if "amx_int8" in cpu_flags() or "avx512_vnni" not in cpu_flags():
        pytest.skip("for machines with AVX-512 VNNI and without AMX")
    asked = subprocess.run([modelkit.tool(), "plan", str(path)], capture_output=True, text=True,
                           env={**os.environ, "TELEX_CPU": "amx"}, timeout=60)
    assert asked.returncode == 1 and "TELEX_CPU=amx: not in this processor" in asked.stderr
    shown = subprocess.run([os.environ["TELEX_PROGRAM"], "model", "show", str(path), "-P", os.environ["TELEX_MODEL_SO"]],
                           capture_output=True, text=True, timeout=60, env={**os.environ, "TELEX_CPU": ""})
    assert shown.returncode == 0, shown.stderr
    assert "cpu avx512 (amx: not in this processor), " in shown.stdout
