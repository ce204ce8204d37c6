#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make-weights.py FILE [SEED] - random weights for model-byte: the same file for the same seed."""
import array
import random
import struct
import sys

N_VOCAB, EMBD, LAYERS, HEADS, CONTEXT = 259, 64, 2, 4, 1024
rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)


def matrix(rows, cols):
    return [rng.gauss(0, cols ** -0.5) for _ in range(rows * cols)]


norm = [1.0] * EMBD
weights = array.array("f", matrix(N_VOCAB, EMBD))
for _ in range(LAYERS):
    for part in (norm, *[matrix(EMBD, EMBD) for _ in "qkvo"], norm, matrix(4 * EMBD, EMBD), matrix(EMBD, 4 * EMBD)):
        weights.extend(part)
weights.extend(norm)
weights.extend(3 * w for w in matrix(N_VOCAB, EMBD))  # larger, so that some bytes are likelier than others
if sys.byteorder == "big":
    weights.byteswap()
with open(sys.argv[1], "wb") as file:
    file.write(b"BYTELM1\n" + struct.pack("<4I", EMBD, LAYERS, HEADS, CONTEXT) + weights.tobytes())
