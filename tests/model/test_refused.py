# SPDX-License-Identifier: Apache-2.0
"""What this build does not run is refused by name, and before a large model costs memory."""
import os
import pathlib
import resource
import subprocess

import modelkit
import pytest
import tinymodel

pytest.importorskip("gguf")

LAYERS, WIDE = 24, 2048


def write_large(path, arch="llama", kind="Q8_0", extra=None, model="gpt2", pre="smollm", odd=None):
    """A sound file of over a gigabyte, sparse: its weights take no room on the disk, and all memory when they are read."""
    import gguf
    types = gguf.GGMLQuantizationType
    writer = gguf.GGUFWriter(str(path), arch)
    tinymodel.add_sizes(writer, {"embedding_length": WIDE, "feed_forward_length": 8192, "head_count": 16, "head_count_kv": 4,
                                 "block_count": LAYERS, "context_length": 2048}, WIDE // 16)
    for name, value in (extra or {}).items():
        writer.add_key_value(f"{arch}.{name}", value, gguf.GGUFValueType.STRING if isinstance(value, str) else
                             gguf.GGUFValueType.FLOAT32 if isinstance(value, float) else gguf.GGUFValueType.UINT32)
    n_vocab = tinymodel.add_vocabulary(writer, model, pre)
    total = 0

    def add(name, shape, of):
        nonlocal total
        block, size = gguf.GGML_QUANT_SIZES[of]
        n = shape[0] * (shape[1] if len(shape) > 1 else 1) // block * size
        total += (n + 31) // 32 * 32
        raw = (shape[0], shape[1] // block * size) if len(shape) > 1 and block > 1 else shape
        writer.add_tensor_info(name, raw, tinymodel.np.dtype("uint8" if block > 1 else "float32"), n, of)

    matrix = types[kind]
    add("token_embd.weight", (n_vocab, WIDE), matrix)
    add("output_norm.weight", (WIDE,), types.F32)
    for i in range(LAYERS):
        for name, rows, cols in (("attn_q", WIDE, WIDE), ("attn_k", 512, WIDE), ("attn_v", 512, WIDE), ("attn_output", WIDE, WIDE),
                                 ("ffn_gate", 8192, WIDE), ("ffn_up", 8192, WIDE), ("ffn_down", WIDE, 8192)):
            add(f"blk.{i}.{name}.weight", (rows, cols), matrix)
        add(f"blk.{i}.attn_norm.weight", (WIDE,), types.F32)
        add(f"blk.{i}.ffn_norm.weight", (WIDE,), types.F32)
    if odd:
        add(odd, (WIDE,), types.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    header = path.stat().st_size
    os.truncate(path, (header + 31) // 32 * 32 + total)
    return path


def open_model(path):
    """(exit status, what it says, MiB in memory beyond this process's own) of opening a model."""
    out = pathlib.Path(str(path) + ".said")
    with out.open("wb") as said:
        child = subprocess.Popen([modelkit.tool(), "plan", str(path)], stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(child.pid, 0)
    # A child begins with its parent's peak.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return os.waitstatus_to_exitcode(status), out.read_text(), (usage.ru_maxrss - own) / 1024


CASES = {
    "architecture": ({"arch": "mamba9"}, ["the architecture mamba9 is not known", "llama, qwen2, qwen3 and gemma3"]),
    "type": ({"kind": "IQ4_NL"}, ["tensor", "has the type IQ4_NL", "Q4_K, Q5_K, Q6_K"]),
    "tokenizer": ({"model": "rwkv"}, ["the tokenizer model rwkv is not known", "gpt2", "llama"]),
    "pre-tokenizer": ({"pre": "tekken"}, ["the pre-tokenizer tekken is not known", "smollm, qwen2, llama-bpe"]),
    "rope scaling": ({"extra": {"rope.scaling.type": "longrope", "rope.scaling.factor": 4.0}},
                     ["llama.rope.scaling.type is longrope", "linear and yarn"]),
    "experts": ({"extra": {"expert_count": 8}}, ["sets llama.expert_count"]),
    "soft cap": ({"extra": {"final_logit_softcapping": 30.0}}, ["sets llama.final_logit_softcapping"]),
    "values of another size": ({"extra": {"attention.value_length": 64}}, ["heads of 128 dimensions with values of 64"]),
    "tensor": ({"odd": "blk.3.attn_output.bias"}, ["the tensor blk.3.attn_output.bias has no place in the architecture llama"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_known_is_refused_by_name_before_memory_is_taken(tmp_path, case):
    how, words = CASES[case]
    path = write_large(tmp_path / "large.gguf", **how)
    assert path.stat().st_size > 500 << 20
    code, said, more = open_model(path)
    assert code == 1 and str(path) in said
    assert all(word in said for word in words), said
    assert more < 16, f"{more:.0f} MiB"


def test_the_large_model_itself_is_sound_and_takes_its_memory(tmp_path):
    code, said, more = open_model(write_large(tmp_path / "large.gguf"))
    assert code == 0, said
    assert more > 400
