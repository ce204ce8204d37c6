# SPDX-License-Identifier: Apache-2.0
"""Packed weights on disk: the same bits, and whatever is wrong with a file in the cache, it is built again."""
import contextlib
import hashlib
import os
import shutil
import struct
import subprocess

import modelkit
import pytest
import tinymodel

np = pytest.importorskip("numpy")
pytest.importorskip("gguf")

IDS = [(7 * i * i + 3 * i) % 250 + 3 for i in range(40)]


def logits(path, folder=None, limit=None):
    request = struct.pack("<II", len(IDS), 0) + struct.pack(f"<{len(IDS)}i", *IDS)
    env = {"TELEX_TEST_PACKED": str(folder)} if folder else {}
    if limit:
        env["TELEX_TEST_PACKED_LIMIT"] = str(limit)
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


# ---- the limit ----

@pytest.fixture(name="four")
def _four(tmp_path):
    """Four models of one size, the folder, and a limit of two and a half packed files."""
    paths = [tinymodel.write(tmp_path / f"{i}.gguf", "Q8_0", seed=i) for i in range(4)]
    folder = tmp_path / "packed"
    want = [logits(p) for p in paths]
    logits(paths[0], folder)
    (pack,) = folder.glob("*.pack")
    return paths, want, folder, pack.stat().st_size * 5 // 2


def kept(folder, paths):
    hashes = [hashlib.sha256(p.read_bytes()).hexdigest() for p in paths]
    return {hashes.index(p.name[:64]) for p in folder.glob("*.pack")}


@contextlib.contextmanager
def opened(path, folder):
    """A process that has the model open."""
    env = {**os.environ, "TELEX_TEST_PACKED": str(folder)}
    with subprocess.Popen([modelkit.tool(), "bench", str(path), "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as tool:
        assert tool.stdout.readline()  # it is open
        yield
        tool.stdin.close()
        assert tool.wait(60) == 0


def test_the_files_used_longest_ago_go_first(four):
    paths, want, folder, limit = four
    logits(paths[1], folder, limit)
    assert kept(folder, paths) == {0, 1}
    assert logits(paths[0], folder, limit) == want[0]  # used again
    assert logits(paths[2], folder, limit) == want[2]
    assert kept(folder, paths) == {0, 2}
    assert logits(paths[1], folder, limit) == want[1]  # packed anew
    assert kept(folder, paths) == {1, 2}


def test_a_file_in_use_stays_and_one_used_later_goes(four):
    paths, want, folder, limit = four
    with opened(paths[0], folder):
        logits(paths[1], folder, limit)
        logits(paths[2], folder, limit)
        assert kept(folder, paths) == {0, 2}
        with opened(paths[2], folder):
            assert logits(paths[3], folder, limit) == want[3]
            assert kept(folder, paths) == {0, 2, 3}  # over the limit: all are in use, or new
    assert logits(paths[3], folder, limit) == want[3]
    assert kept(folder, paths) == {2, 3}


def test_a_lower_limit_holds_from_the_next_opening_on(four):
    paths, want, folder, limit = four
    for path in paths:
        logits(path, folder)
    assert kept(folder, paths) == {0, 1, 2, 3}
    assert logits(paths[0], folder, limit) == want[0]
    assert kept(folder, paths) == {0, 3}
    assert logits(paths[1], folder, 1000) == want[1]  # larger than the limit: not kept
    assert 1 not in kept(folder, paths)
