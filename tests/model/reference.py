# SPDX-License-Identifier: Apache-2.0
"""A forward pass in NumPy, from weights that the gguf package dequantises: the reference for logits.

It shares no code with the C backend, keeps float64 between the steps so that its own rounding does not count, and has one
layer's weights in memory at a time. float32 is there for the large models, where it is the quicker by half."""
import numpy as np

GEMMA3_27B_LAYERS = 62


class Reference:
    def __init__(self, path, dtype=np.float64):
        from gguf import GGUFReader
        reader = GGUFReader(str(path))
        self.dtype = dtype
        self.tensors = {t.name: t for t in reader.tensors}
        self.fields = reader.fields
        self.arch = self.text("general.architecture")
        self.n_layers = int(self.value("block_count"))
        self.n_embd = int(self.value("embedding_length"))
        self.n_heads = int(self.value("attention.head_count"))
        self.n_kv = int(self.value("attention.head_count_kv", self.n_heads))
        self.head_dim = int(self.value("attention.key_length", self.n_embd // self.n_heads))
        self.rope_dim = int(self.value("rope.dimension_count", self.head_dim))
        self.eps = float(self.value("attention.layer_norm_rms_epsilon"))
        self.halves = self.arch != "llama"
        self.gemma = self.arch == "gemma3"
        wide = self.gemma and self.n_layers == GEMMA3_27B_LAYERS
        self.scale = (self.n_embd / self.n_heads if wide else self.head_dim) ** -0.5
        self.window = int(self.value("attention.sliding_window", 0)) if self.gemma else 0
        self.local = self.local_layers()

    def text(self, key, fallback=None):
        return bytes(self.fields[key].parts[-1]).decode() if key in self.fields else fallback

    def value(self, name, fallback=None):
        field = self.fields.get(f"{self.arch}.{name}")
        return fallback if field is None else field.parts[-1][0]

    def local_layers(self):
        field = self.fields.get(f"{self.arch}.attention.sliding_window_pattern")
        if not self.window:
            return [False] * self.n_layers
        if field is not None and len(field.data) > 1:
            return [bool(field.parts[i][0]) for i in field.data]
        period = 6 if field is None else int(field.parts[-1][0])
        return [i % period < period - 1 for i in range(self.n_layers)]

    def weight(self, name):
        from gguf import dequantize
        tensor = self.tensors.get(name)
        if tensor is None:
            return None
        return np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32).astype(self.dtype)

    def norm(self, x, weight):
        return x / np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + self.eps).astype(self.dtype) * weight

    def frequencies(self, local):
        """(angle of position 1 for each pair, what cosines and sines are multiplied by)"""
        n = self.rope_dim
        base = float(self.value("rope.freq_base_swa", 10000.0) if local else self.value("rope.freq_base", 10000.0))
        pair = np.arange(n // 2)
        old = base ** (-2.0 * pair / n)
        divisors = self.weight("rope_freqs.weight")
        old = old if divisors is None else old / divisors.astype(np.float64)
        factor = float(self.value("rope.scaling.factor", 1.0))
        kind = self.text(f"{self.arch}.rope.scaling.type", "linear")
        if local or factor == 1.0 or kind == "none":
            return old, 1.0
        if kind == "linear":
            return old / factor, 1.0
        # YaRN, https://arxiv.org/abs/2309.00071, section 3.4: pairs that turn often keep their frequency.
        trained = float(self.value("rope.scaling.original_context_length"))
        low, high = (n * np.log(trained / (2 * np.pi * turns)) / (2 * np.log(base)) for turns in (32.0, 1.0))
        low, high = max(np.floor(low), 0.0), min(np.ceil(high), n - 1.0)
        scaled = np.clip((pair - low) / max(high - low, 0.001), 0, 1)
        return old * (1 - scaled) + old / factor * scaled, 1 + 0.1 * np.log(factor)

    def rotate(self, x, local):
        """x: (positions, heads, head_dim)"""
        frequencies, magnitude = self.frequencies(local)
        angle = np.arange(len(x))[:, None] * frequencies
        cos, sin = ((magnitude * f(angle)).astype(self.dtype)[:, None] for f in (np.cos, np.sin))
        x, rest = x[..., :self.rope_dim], x[..., self.rope_dim:]
        if self.halves:
            a, b = x[..., :self.rope_dim // 2], x[..., self.rope_dim // 2:]
            turned = np.concatenate([a * cos - b * sin, a * sin + b * cos], -1)
        else:
            a, b = x[..., 0::2], x[..., 1::2]
            turned = np.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(x.shape)
        return np.concatenate([turned, rest], -1)

    def attend(self, q, k, v, local):
        """q: (positions, heads, head_dim), k and v: (positions, kv heads, head_dim)"""
        n, group = len(q), self.n_heads // self.n_kv
        q, k, v = self.rotate(q, local), self.rotate(k, local).repeat(group, 1), v.repeat(group, 1)
        seen = np.tri(n, dtype=bool)
        if local:
            seen &= ~np.tri(n, k=-self.window, dtype=bool)
        out = np.empty_like(q)
        for h in range(self.n_heads):
            scores = np.where(seen, q[:, h] @ k[:, h].T * self.dtype(self.scale), -np.inf)
            p = np.exp(scores - scores.max(-1, keepdims=True))
            out[:, h] = p / p.sum(-1, keepdims=True) @ v[:, h]
        return out.reshape(n, -1)

    def activation(self, x):
        if self.gemma:
            return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))
        return x / (1 + np.exp(-x))

    def layer(self, i, xs):
        def get(name):
            return self.weight(f"blk.{i}.{name}")

        w = {n: get(f"{n}.weight") for n in ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate",
                                             "ffn_up", "ffn_down", "attn_q_norm", "attn_k_norm", "post_attention_norm",
                                             "post_ffw_norm")}
        bias = {n: get(f"attn_{n}.bias") for n in "qkv"}
        out = []
        for x in xs:
            h = self.norm(x, w["attn_norm"])
            q, k, v = ((h @ w[f"attn_{n}"].T + (0 if bias[n] is None else bias[n])).reshape(len(x), -1, self.head_dim)
                       for n in "qkv")
            if w["attn_q_norm"] is not None:
                q, k = self.norm(q, w["attn_q_norm"]), self.norm(k, w["attn_k_norm"])
            y = self.attend(q, k, v, self.local[i]) @ w["attn_output"].T
            x = x + (self.norm(y, w["post_attention_norm"]) if self.gemma else y)
            h = self.norm(x, w["ffn_norm"])
            y = (self.activation(h @ w["ffn_gate"].T) * (h @ w["ffn_up"].T)) @ w["ffn_down"].T
            out.append(x + (self.norm(y, w["post_ffw_norm"]) if self.gemma else y))
        return out

    def logits(self, prompts):
        """[(positions, n_vocab)] for lists of token ids."""
        table = self.weight("token_embd.weight")
        # The scale is a float32 number, as in the published code run in float32.
        scale = self.dtype(np.float32(np.sqrt(np.float32(self.n_embd)))) if self.gemma else self.dtype(1)
        xs = [table[np.array(ids)] * scale for ids in prompts]
        for i in range(self.n_layers):
            xs = self.layer(i, xs)
        last = self.weight("output_norm.weight")
        if "output.weight" in self.tensors:
            table = self.weight("output.weight")
        return [self.norm(x, last) @ table.T for x in xs]


def nmse(ours, reference):
    ours, reference = ours.astype(np.float64), reference.astype(np.float64)
    return float(((ours - reference) ** 2).sum() / (reference ** 2).sum())
