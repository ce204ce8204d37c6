# SPDX-License-Identifier: Apache-2.0
"""Runs test_backend.c on a small model of each kind of weights."""
import os
import subprocess

import pytest
import tinymodel

pytest.importorskip("gguf")


@pytest.mark.parametrize("kind, kv", [("Q8_0", None), ("Q6_K", None), ("F16", None), ("Q4_1", "int8")])
def test_the_class_does_what_its_header_says(tmp_path, kind, kv):
    path = tinymodel.write(tmp_path / "tiny.gguf", kind)
    done = subprocess.run([os.environ["TELEX_TEST_BACKEND"]], capture_output=True, text=True, timeout=600,
                          env={**os.environ, "TELEX_TINY_MODEL": str(path), **({"TELEX_TINY_KV": kv} if kv else {})})
    assert done.returncode == 0, done.stdout + done.stderr
