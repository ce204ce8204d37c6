# SPDX-License-Identifier: Apache-2.0
"""A forward pass in float32 NumPy, from weights that the gguf package dequantises: the reference for logits.

It shares no code with the C backend. One layer's weights are in memory at a time."""
import numpy as np


class Reference:
    def __init__(self, path):
        from gguf import GGUFReader
        reader = GGUFReader(str(path))
        self.tensors = {t.name: t for t in reader.tensors}
        self.fields = reader.fields
        self.arch = bytes(self.fields["general.architecture"].parts[-1]).decode()
        self.n_layers = int(self.value("block_count"))
        self.n_embd = int(self.value("embedding_length"))
        self.n_heads = int(self.value("attention.head_count"))
        self.n_kv = int(self.value("attention.head_count_kv"))
        self.head_dim = self.n_embd // self.n_heads
        self.eps = np.float32(self.value("attention.layer_norm_rms_epsilon"))
        self.rope_base = float(self.value("rope.freq_base"))
        self.halves = self.arch == "qwen2"

    def value(self, name):
        return self.fields[f"{self.arch}.{name}"].parts[-1][0]

    def weight(self, name):
        from gguf import dequantize
        tensor = self.tensors.get(name)
        if tensor is None:
            return None
        return np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)

    def norm(self, x, weight):
        return x / np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + self.eps).astype(np.float32) * weight

    def rotate(self, x):
        """x: (positions, heads, head_dim)"""
        half = self.head_dim // 2
        angle = np.arange(len(x))[:, None] * self.rope_base ** (-2.0 * np.arange(half) / self.head_dim)
        cos, sin = np.cos(angle).astype(np.float32)[:, None], np.sin(angle).astype(np.float32)[:, None]
        if self.halves:
            a, b = x[..., :half], x[..., half:]
            return np.concatenate([a * cos - b * sin, a * sin + b * cos], -1)
        a, b = x[..., 0::2], x[..., 1::2]
        return np.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(x.shape)

    def attend(self, q, k, v):
        n, group = len(q), self.n_heads // self.n_kv
        q = self.rotate(q.reshape(n, self.n_heads, self.head_dim))
        k = self.rotate(k.reshape(n, self.n_kv, self.head_dim)).repeat(group, 1)
        v = v.reshape(n, self.n_kv, self.head_dim).repeat(group, 1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.float32(np.sqrt(self.head_dim))
        scores = np.where(np.tri(n, dtype=bool), scores, np.float32(-np.inf))
        p = np.exp(scores - scores.max(-1, keepdims=True))
        return np.einsum("hqk,khd->qhd", p / p.sum(-1, keepdims=True), v).reshape(n, -1)

    def layer(self, i, xs):
        w = {n: self.weight(f"blk.{i}.{n}.weight") for n in ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output",
                                                              "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")}
        bias = {n: self.weight(f"blk.{i}.attn_{n}.bias") for n in "qkv"}
        out = []
        for x in xs:
            h = self.norm(x, w["attn_norm"])
            q, k, v = (h @ w[f"attn_{n}"].T + (0 if bias[n] is None else bias[n]) for n in "qkv")
            x = x + self.attend(q, k, v) @ w["attn_output"].T
            h = self.norm(x, w["ffn_norm"])
            gate = h @ w["ffn_gate"].T
            out.append(x + (gate / (1 + np.exp(-gate)) * (h @ w["ffn_up"].T)) @ w["ffn_down"].T)
        return out

    def logits(self, prompts):
        """[(positions, n_vocab)] for lists of token ids."""
        table = self.weight("token_embd.weight")
        xs = [table[np.array(ids)] for ids in prompts]
        for i in range(self.n_layers):
            xs = self.layer(i, xs)
        last = self.weight("output_norm.weight")
        if "output.weight" in self.tensors:
            table = self.weight("output.weight")
        return [self.norm(x, last) @ table.T for x in xs]


def nmse(ours, reference):
    ours, reference = ours.astype(np.float64), reference.astype(np.float64)
    return float(((ours - reference) ** 2).sum() / (reference ** 2).sum())
