# SPDX-License-Identifier: Apache-2.0
"""Each architecture: the plan it prints, and logits like the reference's. Small generated models, no download."""
import struct

import modelkit
import pytest
import tinymodel

np = pytest.importorskip("numpy")
pytest.importorskip("gguf")

PROMPT = [(7 * i * i + 3 * i) % 250 + 3 for i in range(150)]
WINDOW = {"attention.sliding_window": 20, "attention.sliding_window_pattern": 2, "rope.freq_base_swa": 1000.0}
YARN = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 64}
LINEAR = {"rope.scaling.type": "linear", "rope.scaling.factor": 8.0}
CASES = {
    "llama": ("llama", {}),
    "llama, wide heads": ("llama", {"head_dim": 128}),
    "llama, rope factors": ("llama", {"divisors": [1.0 + i / 4 for i in range(32)]}),
    "llama, half of a head turns": ("llama", {"extra": {"rope.dimension_count": 32}}),
    "llama, linear": ("llama", {"extra": LINEAR}),
    "llama, yarn": ("llama", {"extra": YARN}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 128}),
    "qwen3, yarn": ("qwen3", {"extra": YARN}),
    "gemma3, window of 20": ("gemma3", {"head_dim": 128, "block_count": 4, "extra": WINDOW}),
    "gemma3, window of 70": ("gemma3", {"block_count": 3, "extra": {
        **LINEAR, "attention.sliding_window": 70, "attention.sliding_window_pattern": [True, False, True]}}),
    "gemma3, seven layers": ("gemma3", {"block_count": 7, "extra": {"attention.sliding_window": 33}}),
    "gemma3, no window": ("gemma3", {}),
    "llama, heads that end within a slice": ("llama", {"embedding_length": 160, "feed_forward_length": 224, "head_count": 6,
                                                       "head_count_kv": 3, "head_dim": 80}),
    "llama, rows of two slices and a half a kv head": ("llama", {"embedding_length": 96, "head_count": 10, "head_count_kv": 2,
                                                                 "head_dim": 16}),
}

# The first steps, one whole layer, and the end; numbers are those of tinymodel.SIZES.
HEAD = "logits = W h, for the rows asked for"
PLANS = {
    "llama": ["llama: 2 layers, 17 steps", "embed x(256) = table[token]", "layer 0 attn-norm h(256) = x / rms(x, 1e-05) * w",
              "layer 0 qkv q(256) k(128) v(128) = W h; q, k turn 64 of 64 in pairs, base 10000",
              "layer 0 attend h(256) = softmax(q k' * 0.125) v, 4 heads on 2", "layer 0 attn-out x(256) += W h",
              "layer 0 ffn-norm h(256) = x / rms(x, 1e-05) * w", "layer 0 gate-up g(512) = silu(Wg h) * (Wu h)",
              "layer 0 down x(256) += W g"],
    "qwen2": ["qwen2: 2 layers, 17 steps", "embed x(256) = table[token]", "layer 0 attn-norm h(256) = x / rms(x, 1e-05) * w",
              "layer 0 qkv q(256) k(128) v(128) = W h + b; q, k turn 64 of 64 in halves, base 10000",
              "layer 0 attend h(256) = softmax(q k' * 0.125) v, 4 heads on 2", "layer 0 attn-out x(256) += W h",
              "layer 0 ffn-norm h(256) = x / rms(x, 1e-05) * w", "layer 0 gate-up g(512) = silu(Wg h) * (Wu h)",
              "layer 0 down x(256) += W g"],
    "qwen3": ["qwen3: 2 layers, 17 steps", "embed x(256) = table[token]", "layer 0 attn-norm h(256) = x / rms(x, 1e-05) * w",
              "layer 0 qkv q(512) k(256) v(256) = W h; q, k = q, k / rms(128, 1e-05) * w; q, k turn 128 of 128 in halves, "
              "base 10000",
              "layer 0 attend h(512) = softmax(q k' * 0.0883883) v, 4 heads on 2", "layer 0 attn-out x(256) += W h",
              "layer 0 ffn-norm h(256) = x / rms(x, 1e-05) * w", "layer 0 gate-up g(512) = silu(Wg h) * (Wu h)",
              "layer 0 down x(256) += W g"],
    "gemma3, window of 20": [
        "gemma3: 4 layers, 39 steps", "embed x(256) = table[token] * 16", "layer 0 attn-norm h(256) = x / rms(x, 1e-05) * w",
        "layer 0 qkv q(512) k(256) v(256) = W h; q, k = q, k / rms(128, 1e-05) * w; q, k turn 128 of 128 in halves, base 1000",
        "layer 0 attend h(512) = softmax(q k' * 0.0883883) v, 4 heads on 2, last 20 positions", "layer 0 attn-out y(256) = W h",
        "layer 0 attn-post x(256) += y / rms(y, 1e-05) * w", "layer 0 ffn-norm h(256) = x / rms(x, 1e-05) * w",
        "layer 0 gate-up g(512) = gelu(Wg h) * (Wu h)", "layer 0 down y(256) = W g",
        "layer 0 ffn-post x(256) += y / rms(y, 1e-05) * w", "layer 1 attn-norm h(256) = x / rms(x, 1e-05) * w",
        "layer 1 qkv q(512) k(256) v(256) = W h; q, k = q, k / rms(128, 1e-05) * w; q, k turn 128 of 128 in halves, base 10000",
        "layer 1 attend h(512) = softmax(q k' * 0.0883883) v, 4 heads on 2"],
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("tiny"), {}

    def get(case, kind="F32"):
        if (case, kind) not in made:
            arch, how = CASES[case]
            made[case, kind] = tinymodel.write(folder / f"{len(made)}.gguf", kind, arch, **how)
        return made[case, kind]
    return get


def run(path, ids, threads=1, chunk=512, precision="fast", cpu=""):
    """Logits (positions, n_vocab) as the backend computes them."""
    request = struct.pack("<II", len(ids), 0) + struct.pack(f"<{len(ids)}i", *ids)
    raw = modelkit.run_tool("logits", path, threads, chunk, stdin=request, env={"TELEX_PRECISION": precision, "TELEX_CPU": cpu})
    return np.frombuffer(raw, dtype=np.float32).reshape(len(ids), -1)


@pytest.mark.parametrize("case", CASES)
def test_logits_agree_with_numpy_and_exact_ones_to_the_rounding_of_float32(tiny, case):
    from reference import Reference, nmse
    path = tiny(case, "Q8_0")
    (reference,) = Reference(path).logits([PROMPT])
    assert nmse(run(path, PROMPT), reference) < 5e-7
    assert nmse(run(path, PROMPT, precision="exact"), reference) < 1e-10


@pytest.mark.parametrize("kind", ["F16", "Q6_K"])
def test_exact_logits_never_change_with_batch_threads_or_path(tiny, kind):
    path = tiny("gemma3, window of 20", kind)
    want = run(path, PROMPT, precision="exact", cpu="scalar")
    for threads, chunk, cpu in ((1, 1, "auto"), (3, 7, "auto"), (1, 512, "avx2")):
        if modelkit.can_run(cpu, path):
            assert np.array_equal(run(path, PROMPT, threads, chunk, "exact", cpu), want), (threads, chunk, cpu)


@pytest.mark.parametrize("case", [c for c in CASES if c.startswith(("gemma3", "qwen3")) or "slice" in c])
def test_batches_and_threads_never_change_a_bit(tiny, case):
    path = tiny(case, "Q4_K" if "seven" in case else "Q5_0")
    want = run(path, PROMPT)
    for threads, chunk in ((1, 1), (3, 7)):
        assert np.array_equal(run(path, PROMPT, threads, chunk), want), (threads, chunk)


@pytest.mark.parametrize("case", PLANS)
def test_the_plan_is_what_is_written_here(tiny, case):
    lines = [" ".join(line.split()) for line in modelkit.run_tool("plan", tiny(case)).decode().splitlines()]
    steps = [line.split(" ", 1)[1] for line in lines[1:]]
    want = PLANS[case]
    assert [lines[0], *steps[:len(want) - 1]] == want
    assert steps[-1] == f"head {HEAD}" and steps[-2] == "last-norm h(256) = x / rms(x, 1e-05) * w"
    assert [int(line.split()[0]) for line in lines[1:]] == list(range(len(steps)))


def test_scaled_positions_are_printed(tiny):
    assert "base 10000, positions / 8" in modelkit.run_tool("plan", tiny("llama, linear")).decode()
    assert "base 10000, yarn 4 over 64" in modelkit.run_tool("plan", tiny("llama, yarn")).decode()
    local, other = (next(line for line in modelkit.run_tool("plan", tiny("gemma3, window of 70")).decode().splitlines()
                         if f"layer {i}" in line and "qkv" in line) for i in (0, 1))
    assert "positions / 8" not in local and "positions / 8" in other
