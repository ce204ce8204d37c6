# SPDX-License-Identifier: Apache-2.0
"""Logits: right against a float32 reference, and the same bits whatever computes them."""
import struct

import modelkit
import pytest
import tinymodel

np = pytest.importorskip("numpy")
pytest.importorskip("gguf")

TYPES = tinymodel.TYPES
PROMPT = [(7 * i * i + 3 * i) % 250 + 3 for i in range(100)]


def run(path, ids, threads=1, chunk=512, cpu=None, start=0, precision="fast"):
    """Logits (positions from `start`, n_vocab) as the backend computes them."""
    request = struct.pack("<II", len(ids), start) + struct.pack(f"<{len(ids)}i", *ids)
    raw = modelkit.run_tool("logits", path, threads, chunk, stdin=request,
                            env={"TELEX_CPU": cpu or "", "TELEX_PRECISION": precision})
    return np.frombuffer(raw, dtype=np.float32).reshape(len(ids) - start, -1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("tiny"), {}

    def get(kind, arch="llama"):
        if (kind, arch) not in made:
            made[kind, arch] = tinymodel.write(folder / f"{arch}-{kind}.gguf", kind, arch)
        return made[kind, arch]
    return get


@pytest.mark.parametrize("kind", TYPES)
def test_dequantised_weights_equal_the_gguf_package_bit_for_bit(tiny, kind):
    from gguf import GGUFReader, dequantize
    path = tiny(kind)
    for t in GGUFReader(str(path)).tensors[:4]:
        ours = np.frombuffer(modelkit.run_tool("dequantise", path, t.name), dtype=np.float32)
        assert np.array_equal(ours, dequantize(t.data, t.tensor_type).astype(np.float32).ravel()), t.name


@pytest.mark.parametrize("arch", ["llama", "qwen2"])
@pytest.mark.parametrize("kind", TYPES)
def test_logits_of_every_type_and_architecture_agree_with_numpy(tiny, kind, arch):
    from reference import Reference, nmse
    path = tiny(kind, arch)
    (reference,) = Reference(path).logits([PROMPT])
    error = nmse(run(path, PROMPT), reference)
    assert error < (2e-3 if kind.endswith("K") else 1e-6), error


@pytest.mark.parametrize("arch", ["llama", "qwen2"])
@pytest.mark.parametrize("kind", TYPES)
def test_exact_logits_of_every_type_are_those_of_float64_to_the_rounding_of_float32(tiny, kind, arch):
    from reference import Reference, nmse
    path = tiny(kind, arch)
    (reference,) = Reference(path).logits([PROMPT])
    assert nmse(run(path, PROMPT, precision="exact"), reference) < 1e-10


@pytest.mark.parametrize("kind", TYPES)
def test_every_path_gives_the_same_bits(tiny, kind):
    path = tiny(kind, "qwen2")
    want = run(path, PROMPT, cpu="scalar")
    for cpu in ("avx2", "avx512"):
        if modelkit.can_run(cpu, path):
            assert np.array_equal(run(path, PROMPT, cpu=cpu), want), cpu


@pytest.mark.parametrize("other", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "F16"])
def test_beside_k_types_other_types_take_eight_bits_too_on_every_path(tmp_path, other):
    from reference import Reference, nmse
    path = tinymodel.write(tmp_path / "mixed.gguf", "Q4_K", "qwen2",
                           mixed=dict.fromkeys(["token_embd", "attn_v", "ffn_gate", "attn_output"], other))
    (reference,) = Reference(path).logits([PROMPT])
    want = run(path, PROMPT, cpu="scalar")
    assert nmse(want, reference) < 2e-3
    for cpu in ("avx2", "avx512"):
        if modelkit.can_run(cpu, path):
            assert np.array_equal(run(path, PROMPT, threads=2, chunk=5, cpu=cpu), want), cpu


@pytest.mark.parametrize("kind", ["F16", "Q8_0", "Q4_1", "Q4_K", "Q6_K"])
def test_threads_and_chunks_never_change_a_bit(tiny, kind):
    path = tiny(kind)
    want = run(path, PROMPT)
    for threads, chunk in ((2, 512), (3, 512), (1, 1), (2, 3), (3, 7), (2, 64)):
        assert np.array_equal(run(path, PROMPT, threads, chunk), want), (threads, chunk)


def test_the_small_model_gives_the_same_bits_over_threads_chunks_and_paths():
    path = modelkit.model_path(modelkit.SMOLLM)
    ids = [1, 4093, 198] + [i * 37 % 40000 + 20 for i in range(150)]
    want = run(path, ids, 2, 512, start=100)
    for threads, chunk, cpu in ((1, 512, None), (3, 50, None), (2, 1, None), (2, 512, "avx2")):
        if cpu is None or modelkit.can_run(cpu, path):
            assert np.array_equal(run(path, ids, threads, chunk, cpu, 100), want), (threads, chunk, cpu)


def test_the_small_model_answers_like_llama_cpp():
    pytest.importorskip("llama_cpp")
    import check_models
    # Four of the ten prompts that `make check-models` takes.
    assert check_models.check(modelkit.model_path(modelkit.SMOLLM), texts=check_models.PROMPTS[:4])
