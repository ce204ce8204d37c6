# SPDX-License-Identifier: Apache-2.0
"""Write a small GGUF model with random weights of any type: a fixture for what must hold without a download."""
import numpy as np

TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
BLOCKS = {"Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210)}
SIZES = {"embedding_length": 256, "feed_forward_length": 512, "head_count": 4, "head_count_kv": 2, "block_count": 2,
         "context_length": 512}
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def f16(values):
    return np.asarray(values, dtype=np.float16).view(np.uint8)


def random_blocks(rng, name, rows, cols):
    """Blocks of a K type with random integers and small scales, as bytes (rows, bytes)."""
    values, size = BLOCKS[name]
    n = rows * cols // values
    raw = rng.integers(0, 256, (n, size), dtype=np.uint8)
    scale = f16(rng.uniform(0.5, 1.5, (n, 1)) * (0.00004 if name == "Q6_K" else 0.0004)).reshape(n, 2)
    if name == "Q6_K":
        raw[:, 208:210] = scale
    else:
        raw[:, 0:2] = scale
        raw[:, 2:4] = f16(rng.uniform(0.5, 1.5, (n, 1)) * (0.003 if name == "Q4_K" else 0.0062)).reshape(n, 2)
    return raw.reshape(rows, -1)


def tensor(rng, name, rows, cols):
    """(data, type) of a random matrix."""
    import gguf
    kind = gguf.GGMLQuantizationType[name]
    if name in BLOCKS:
        return random_blocks(rng, name, rows, cols), kind
    values = rng.normal(0, 0.05, (rows, cols)).astype(np.float32)
    if name == "F32":
        return values, kind
    if name == "F16":
        return values.astype(np.float16), kind
    return gguf.quants.quantize(values, kind), kind


def add_vocabulary(writer, model="gpt2", pre="smollm", control=CONTROL):
    shown = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    hidden = [b for b in range(256) if b not in shown]
    letters = [chr(b) for b in shown] + [chr(256 + i) for i in range(len(hidden))]
    merges = ["t h", "th e", "Ġ the", "o p", "op e", "i n", "Ġ a"]
    tokens = list(control) + letters + [m.replace(" ", "") for m in merges]
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(control) + [1] * (len(tokens) - len(control)))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    return len(tokens)


def add_sizes(writer, size, head_dim):
    writer.add_name("tiny")
    writer.add_block_count(size["block_count"])
    writer.add_context_length(size["context_length"])
    writer.add_embedding_length(size["embedding_length"])
    writer.add_feed_forward_length(size["feed_forward_length"])
    writer.add_head_count(size["head_count"])
    writer.add_head_count_kv(size["head_count_kv"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    if head_dim != size["embedding_length"] // size["head_count"]:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)


def add_layer(add, add_vector, arch, i, embd, q, kv, ff, head_dim):
    for name, rows, cols in (("attn_q", q, embd), ("attn_k", kv, embd), ("attn_v", kv, embd), ("attn_output", embd, q),
                             ("ffn_gate", ff, embd), ("ffn_up", ff, embd), ("ffn_down", embd, ff)):
        add(f"blk.{i}.{name}.weight", rows, cols)
    add_vector(f"blk.{i}.attn_norm.weight", embd, 1)
    add_vector(f"blk.{i}.ffn_norm.weight", embd, 1)
    if arch == "qwen2":
        for name, n in (("q", q), ("k", kv), ("v", kv)):
            add_vector(f"blk.{i}.attn_{name}.bias", n, 0)
    if arch in ("qwen3", "gemma3"):
        add_vector(f"blk.{i}.attn_q_norm.weight", head_dim, 1)
        add_vector(f"blk.{i}.attn_k_norm.weight", head_dim, 1)
    if arch == "gemma3":
        add_vector(f"blk.{i}.post_attention_norm.weight", embd, 1)
        add_vector(f"blk.{i}.post_ffw_norm.weight", embd, 1)


def write(path, kind="Q4_0", arch="llama", seed=1, head_dim=None, extra=None, divisors=None, vocabulary=None, mixed=None, **sizes):
    """Write the model; every matrix has the type `kind`, but for those that `mixed` names (as attn_q). `extra` adds metadata (numbers, texts, lists of bool) below the
    architecture's name, `divisors` a tensor of rope factors, `vocabulary` a tokenizer of one's own (returns its size)."""
    import gguf
    size = {**SIZES, **sizes}
    embd, ff = size["embedding_length"], size["feed_forward_length"]
    head_dim = head_dim or embd // size["head_count"]
    q, kv = head_dim * size["head_count"], head_dim * size["head_count_kv"]
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), arch)
    add_sizes(writer, size, head_dim)
    for name, value in (extra or {}).items():
        key = f"{arch}.{name}"
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        else:
            writer.add_float32(key, value)
    n_vocab = (vocabulary or add_vocabulary)(writer)

    def add(name, rows, cols):
        data, quant = tensor(rng, (mixed or {}).get(name.split(".")[-2], kind), rows, cols)
        writer.add_tensor(name, data, raw_dtype=quant)

    def add_vector(name, n, mean):
        writer.add_tensor(name, (mean + rng.normal(0, 0.1, n)).astype(np.float32))

    add("token_embd.weight", n_vocab, embd)
    add_vector("output_norm.weight", embd, 1)
    for i in range(size["block_count"]):
        add_layer(add, add_vector, arch, i, embd, q, kv, ff, head_dim)
    if divisors is not None:
        writer.add_tensor("rope_freqs.weight", np.asarray(divisors, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
