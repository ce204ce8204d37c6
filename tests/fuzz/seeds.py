#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""seeds.py gguf|schema FOLDER - write the seeds of a fuzz run: small sound inputs of every kind that is read.

Model files are written here byte by byte, without a library, so that a seed can be as small as the format allows."""
import json
import pathlib
import random
import struct
import sys

U32, F32, STRING, ARRAY = 4, 6, 8, 9
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 12: (256, 144),
          13: (256, 176), 14: (256, 210), 30: (1, 2)}  # type: values and bytes of a block


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key, value):
    if isinstance(value, int):
        return text(key) + struct.pack("<II", U32, value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", F32, value)
    if isinstance(value, str):
        return text(key) + struct.pack("<I", STRING) + text(value)
    kind = STRING if isinstance(value[0], str) else U32 + 1  # int32
    body = b"".join(text(v) if kind == STRING else struct.pack("<i", v) for v in value)
    return text(key) + struct.pack("<IIQ", ARRAY, kind, len(value)) + body


def vocabulary():
    shown = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    letters = [chr(b) for b in shown] + [chr(256 + i) for i in range(256 - len(shown))]
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    merges = ["t h", "th e", "o p", "op e"]
    tokens = control + letters + [m.replace(" ", "") for m in merges]
    return tokens, [3] * 3 + [1] * (len(tokens) - 3), merges


def weights(rng, kind, n_bytes):
    """Random values of a float type; random blocks, whose scales may be anything, of the others."""
    if kind in (0, 1):
        n = n_bytes // (4 if kind == 0 else 2)
        return struct.pack(f"<{n}{'f' if kind == 0 else 'e'}", *[rng.gauss(0, 0.2) for _ in range(n)])
    per, size = BLOCKS[kind]
    if kind not in (2, 8):
        return rng.randbytes(n_bytes)
    return b"".join(struct.pack("<e", 0.02 if kind == 2 else 0.001) + rng.randbytes(size - 2) for _ in range(n_bytes // size))


def model(arch="llama", kind=0, pre="smollm", version=3, width=64, tied=True, seed=1, context=64):
    """A whole model of one layer with random weights of one type."""
    rng = random.Random(seed)
    tokens, kinds, merges = vocabulary()
    heads, ff = 2, width
    values = [("general.architecture", arch), ("general.name", "seed"), (f"{arch}.block_count", 1),
              (f"{arch}.context_length", context), (f"{arch}.embedding_length", width), (f"{arch}.feed_forward_length", ff),
              (f"{arch}.attention.head_count", heads), (f"{arch}.attention.head_count_kv", 1),
              (f"{arch}.attention.layer_norm_rms_epsilon", 1e-5), (f"{arch}.rope.freq_base", 1e4),
              ("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", pre), ("tokenizer.ggml.tokens", tokens),
              ("tokenizer.ggml.token_type", kinds), ("tokenizer.ggml.merges", merges),
              ("tokenizer.ggml.bos_token_id", 1), ("tokenizer.ggml.eos_token_id", 2)]
    head_dim = width // heads
    matrices = [("token_embd.weight", len(tokens), width), ("blk.0.attn_q.weight", width, width),
                ("blk.0.attn_k.weight", head_dim, width), ("blk.0.attn_v.weight", head_dim, width),
                ("blk.0.attn_output.weight", width, width), ("blk.0.ffn_gate.weight", ff, width),
                ("blk.0.ffn_up.weight", ff, width), ("blk.0.ffn_down.weight", width, ff)]
    matrices += [] if tied else [("output.weight", len(tokens), width)]
    vectors = [("output_norm.weight", width), ("blk.0.attn_norm.weight", width), ("blk.0.ffn_norm.weight", width)]
    if arch == "qwen2":
        vectors += [("blk.0.attn_q.bias", width), ("blk.0.attn_k.bias", head_dim), ("blk.0.attn_v.bias", head_dim)]
    per, size = BLOCKS[kind]
    tensors = [(name, (cols, rows), kind, weights(rng, kind, rows * cols // per * size)) for name, rows, cols in matrices]
    tensors += [(name, (n,), 0, struct.pack(f"<{n}f", *[rng.uniform(-1, 1) for _ in range(n)])) for name, n in vectors]
    header = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values)) + b"".join(entry(*v) for v in values)
    data = b""
    for name, dims, tensor_kind, body in tensors:
        header += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, tensor_kind, len(data))
        data += body + bytes(-len(body) % 32)
    return header + bytes(-len(header) % 32) + data


def gguf_seeds():
    yield "llama-f32", model()
    yield "qwen2-f16", model("qwen2", 1, "qwen2", tied=False)
    yield "llama-v2", model(version=2)
    for kind in (2, 3, 6, 7, 8, 30):
        yield f"llama-type-{kind}", model(kind=kind)
    for kind in (12, 13, 14):
        yield f"llama-type-{kind}", model(kind=kind, width=256)
    # found: each sequence's buffers grew with the context that the file claims
    yield "claims-16m-context", model(context=16 << 20)
    whole = model()
    for share in (0, 3, 12, 24, 100, 1000, len(whole) // 2, len(whole) - 1):
        yield f"cut-{share}", whole[:share]


def schema_seeds():
    plain = [{"type": "string"}, {"type": "integer", "minimum": -3, "maximum": 20}, {"type": "number"}, {"const": None},
             {"enum": ["a", "ab", "b\"", 3, None]}, {"type": "boolean"}, {"type": "string", "minLength": 2, "maxLength": 5},
             {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
             {"type": "object", "properties": {"a": {"type": "string"}, "b\u00e9": {"type": "null"}},
              "required": ["a", "b\u00e9"], "additionalProperties": False, "title": "t"}]
    nested = plain[-1]
    for _ in range(6):
        nested = {"type": "array", "items": {"type": "object", "properties": {"x": nested}, "required": ["x"]}}
    texts = ['"a\u00e9\\""', "-3", "12.5", "null", '"ab"', "true", '"abc"', "[true,false]", '{"a":"x","b\u00e9":null}', "[]"]
    for i, (schema, body) in enumerate(zip(plain + [nested], texts)):
        yield f"schema-{i}", json.dumps(schema).encode() + b"\0" + body.encode()


def main():
    kind, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in {"gguf": gguf_seeds, "schema": schema_seeds}[kind]():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
