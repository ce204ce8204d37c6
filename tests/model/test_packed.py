# SPDX-License-Identifier: Apache-2.0
"""Packed weights on disk: the same bits, and whatever is wrong with a file in the cache, it is built again."""
import shutil
import struct

import modelkit
import pytest
import tinymodel

np = pytest.importorskip("numpy")
pytest.importorskip("gguf")

IDS = [(7 * i * i + 3 * i) % 250 + 3 for i in range(40)]


def logits(path, folder=None):
    request = struct.pack("<II", len(IDS), 0) + struct.pack(f"<{len(IDS)}i", *IDS)
    env = {"TELEX_TEST_PACKED": str(folder)} if folder else None
    return modelkit.run_tool("logits", path, 2, 512, stdin=request, env=env)


def names(folder):
    return sorted(p.suffix for p in folder.iterdir())


def test_weights_out_of_the_cache_give_the_same_bits(tmp_path):
    path, folder = tinymodel.write(tmp_path / "tiny.gguf", "Q4_K"), tmp_path / "deep" / "packed"
    want = logits(path)
    assert logits(path, folder) == want
    assert names(folder) == [".pack", ".sha256"]
    (pack,) = folder.glob("*.pack")
    before = pack.stat()
    assert logits(path, folder) == want
    after = pack.stat()
    assert after.st_ino == before.st_ino and after.st_mtime_ns > before.st_mtime_ns  # used, not written again


@pytest.mark.parametrize("damage", ["flip in the weights", "flip in the header", "short", "empty", "long", "another layout", "note"])
def test_a_damaged_file_is_built_again(tmp_path, damage):
    path, folder = tinymodel.write(tmp_path / "tiny.gguf", "Q8_0"), tmp_path / "packed"
    want = logits(path, folder)
    (pack,), (note,) = folder.glob("*.pack"), folder.glob("*.sha256")
    good, good_note = pack.read_bytes(), note.read_bytes()
    data = bytearray(good)
    if damage == "flip in the weights":
        data[-1000] ^= 4
    elif damage == "flip in the header":
        data[30] ^= 1
    elif damage == "short":
        del data[-64:]
    elif damage == "empty":
        data.clear()
    elif damage == "long":
        data += bytes(64)
    elif damage == "another layout":
        data[8] += 1
    else:
        note.write_bytes(good_note[:-2])
    pack.write_bytes(data)
    assert logits(path, folder) == want
    assert names(folder) == [".pack", ".sha256"]
    assert pack.read_bytes() == good and note.read_bytes() == good_note


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    path, blocked = tinymodel.write(tmp_path / "tiny.gguf", "Q8_0"), tmp_path / "file"
    blocked.write_text("not a folder")
    assert logits(path, blocked / "packed") == logits(path)
    assert blocked.read_text() == "not a folder"


def test_a_model_file_that_changed_is_packed_anew(tmp_path):
    path, folder = tmp_path / "model.gguf", tmp_path / "packed"
    one, other = tinymodel.write(tmp_path / "one.gguf", "Q8_0"), tinymodel.write(tmp_path / "other.gguf", "Q4_1")
    shutil.copy(one, path)
    logits(path, folder)
    shutil.copy(other, path)
    assert logits(path, folder) == logits(other)
    assert names(folder) == [".pack", ".pack", ".sha256", ".sha256"]
