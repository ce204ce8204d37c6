# SPDX-License-Identifier: Apache-2.0
"""A small BERT encoder with random weights, in the files that real ones come in: model.safetensors, config.json, vocab.txt."""
import json
import struct

import numpy

SIZES = {"hidden_size": 64, "intermediate_size": 160, "num_attention_heads": 2, "num_hidden_layers": 3,
         "max_position_embeddings": 40, "type_vocab_size": 2}
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = ["the", "bank", "rate", "rates", "chip", "court", "rule", "market", "new", "york", "un", "able", "open", "price"]
TAILS = ["s", "ed", "ing", "er", "able", "ly", "ion"]


def vocabulary():
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"!\"#$%&'()*+,-./:;<=>?@[]_", *LETTERS, *WORDS,
              *("##" + c for c in LETTERS), *("##" + t for t in TAILS if len(t) > 1), "\u4e2d", "\u00df", "\u03c3"]
    return list(dict.fromkeys(tokens))


def shapes(sizes, n_vocab):
    wide, ff = sizes["hidden_size"], sizes["intermediate_size"]
    found = {"embeddings.word_embeddings.weight": (n_vocab, wide),
             "embeddings.position_embeddings.weight": (sizes["max_position_embeddings"], wide),
             "embeddings.token_type_embeddings.weight": (sizes["type_vocab_size"], wide)}

    def norm(name):
        found[name + ".LayerNorm.weight"] = found[name + ".LayerNorm.bias"] = (wide,)

    def linear(name, rows, columns):
        found[name + ".weight"], found[name + ".bias"] = (rows, columns), (rows,)

    norm("embeddings")
    for i in range(sizes["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{part}", wide, wide)
        linear(f"{layer}.attention.output.dense", wide, wide)
        norm(f"{layer}.attention.output")
        linear(f"{layer}.intermediate.dense", ff, wide)
        linear(f"{layer}.output.dense", wide, ff)
        norm(f"{layer}.output")
    linear("pooler.dense", wide, wide)
    return found


def tensors(sizes, n_vocab):
    rng = numpy.random.default_rng(7)
    for name, shape in shapes(sizes, n_vocab).items():
        around = 1 if name.endswith("LayerNorm.weight") else 0
        yield name, (around + rng.normal(0, 0.2, shape)).astype("<f4")


def safetensors(named, change=lambda header: None):
    """The file's bytes. `change` may spoil the header before it is written."""
    header, data = {"__metadata__": {"format": "np"}}, b""
    for name, tensor in named:
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + tensor.nbytes]}
        data += tensor.tobytes()
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def write(folder, **changes):
    """Write the model into `folder`; changes are to config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = vocabulary()
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf8")
    config = {"model_type": "bert", "hidden_act": "gelu", "vocab_size": len(tokens), "layer_norm_eps": 1e-12, **SIZES, **changes}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(safetensors(tensors(SIZES, len(tokens))))
    return folder
