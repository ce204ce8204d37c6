# SPDX-License-Identifier: Apache-2.0
"""A BERT sentence encoder in NumPy, as the papers have it: what the encoder of model-cpu is held to.

Devlin et al. 2019 (post-norm layers, learned positions), Vaswani et al. 2017 (attention), Hendrycks and Gimpel 2016
(GELU by the error function), Reimers and Gurevych 2019 (mean over the tokens, length 1). Every number is a float64."""
import json
import math
import pathlib
import struct

import numpy

_erf = numpy.frompyfunc(math.erf, 1, 1)


def read_safetensors(path):
    """Tensors by name, F32 and F16. The format: https://huggingface.co/docs/safetensors"""
    data = pathlib.Path(path).read_bytes()
    size, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    kinds = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, end = entry["data_offsets"]
        tensors[name] = numpy.frombuffer(data[8 + size + first:8 + size + end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return tensors


class Encoder:
    def __init__(self, folder, dtype=numpy.float64):
        folder = pathlib.Path(folder)
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = {name: t.astype(dtype) for name, t in read_safetensors(folder / "model.safetensors").items()}
        self.dtype = dtype

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def norm(self, x, name):
        mean = x.mean(-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(-1, keepdims=True)
        x = (x - mean) / numpy.sqrt(variance + self.config["layer_norm_eps"])
        return x * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def attention(self, x, name):
        heads = self.config["num_attention_heads"]
        wide = x.shape[1] // heads
        q, k, v = (self.linear(x, f"{name}.self.{part}").reshape(-1, heads, wide).transpose(1, 0, 2)
                   for part in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(wide)
        scores = numpy.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        mixed = (scores @ v).transpose(1, 0, 2).reshape(x.shape)
        return self.norm(self.linear(mixed, name + ".output.dense") + x, name + ".output.LayerNorm")

    def embed(self, ids):
        """The vector of one text. `ids` has its first and last token, [CLS] and [SEP]."""
        w = self.weights
        x = (w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:len(ids)]
             + w["embeddings.token_type_embeddings.weight"][0])
        x = self.norm(x, "embeddings.LayerNorm")
        for i in range(self.config["num_hidden_layers"]):
            layer = f"encoder.layer.{i}"
            x = self.attention(x, layer + ".attention")
            wide = self.linear(x, layer + ".intermediate.dense")
            wide = wide * 0.5 * (1 + _erf(wide / math.sqrt(2)).astype(self.dtype))
            x = self.norm(self.linear(wide, layer + ".output.dense") + x, layer + ".output.LayerNorm")
        vector = x.mean(0)
        return vector / numpy.sqrt((vector ** 2).sum())
