# SPDX-License-Identifier: Apache-2.0
"""Files that are cut off, corrupt or not for us: a clear error, never a crash."""
import os
import subprocess

import modelkit
import pytest
import tinymodel

pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tinymodel.write(tmp_path_factory.mktemp("tiny") / "tiny.gguf", "Q8_0", "qwen2", embedding_length=64, feed_forward_length=64,
                           head_count=2, head_count_kv=1)


def refusal(path):
    """The error of opening a file that must be refused."""
    done = subprocess.run([modelkit.tool(), "plan", str(path)], capture_output=True, timeout=120)
    assert done.returncode == 1, done
    text = done.stderr.decode()
    assert str(path) in text
    return text


def changed(tiny, tmp_path, change):
    path = tmp_path / "changed.gguf"
    path.write_bytes(change(tiny.read_bytes()))
    return path


def test_twenty_thousand_damaged_headers_neither_crash_nor_pass_unnamed(tiny):
    done = subprocess.run([os.environ["TELEX_GGUF_FUZZ"], str(tiny), "42", "20000"], capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    sound = int(done.stdout.split()[2])
    assert 0 < sound < 15000  # names and numbers that nobody reads may change; most damage is found


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.99])
def test_a_file_cut_off_anywhere_is_refused_with_the_place(tiny, tmp_path, share):
    path = changed(tiny, tmp_path, lambda b: b[:int(len(b) * share)])
    text = refusal(path)
    assert "cut off" in text and "byte" in text or "empty" in text or "larger than the file" in text
    assert "download the model again" in text


def test_a_file_that_is_no_gguf_is_named_as_such(tiny, tmp_path):
    assert "not a GGUF file" in refusal(changed(tiny, tmp_path, lambda b: b"PK\x03\x04" + b[4:]))


def test_an_unknown_architecture_is_refused_by_name(tiny, tmp_path):
    text = refusal(changed(tiny, tmp_path, lambda b: b.replace(b"qwen2", b"bert9")))
    assert "bert9" in text and "llama, qwen2, qwen3 and gemma3" in text


def test_an_unknown_pre_tokenizer_is_refused_by_name(tiny, tmp_path):
    text = refusal(changed(tiny, tmp_path, lambda b: b.replace(b"smollm", b"whatnt")))
    assert "whatnt" in text and "smollm, qwen2" in text


def test_an_unknown_tokenizer_model_is_refused_by_name(tiny, tmp_path):
    assert "bert" in refusal(changed(tiny, tmp_path, lambda b: b.replace(b"gpt2", b"bert")))


def test_an_unknown_weight_type_is_refused_by_name(tiny, tmp_path):
    def change(data):
        at = data.index(b"blk.0.ffn_down.weight") + len(b"blk.0.ffn_down.weight") + 4 + 16
        return data[:at] + (20).to_bytes(4, "little") + data[at + 4:]
    text = refusal(changed(tiny, tmp_path, change))
    assert "blk.0.ffn_down.weight" in text and "IQ4_NL" in text and "Q4_K" in text


def test_a_missing_tensor_is_named(tiny, tmp_path):
    assert "blk.1.attn_k.bias" in refusal(changed(tiny, tmp_path, lambda b: b.replace(b"blk.1.attn_k.bias", b"blk.1.attn_k.bixs")))


def test_a_tensor_of_another_shape_is_named_with_both_shapes(tiny, tmp_path):
    def change(data):
        at = data.index(b"blk.0.attn_k.weight") + len(b"blk.0.attn_k.weight") + 4 + 8
        return data[:at] + (16).to_bytes(8, "little") + data[at + 8:]
    text = refusal(changed(tiny, tmp_path, change))
    assert "blk.0.attn_k.weight" in text and "64 x 16" in text and "64 x 32" in text


def test_a_merge_that_makes_a_control_token_is_refused(tiny, tmp_path):
    def change(data):  # name the token "op" as the merge "o p" makes it, but call it a control token
        at = data.index(b"tokenizer.ggml.token_type") + len(b"tokenizer.ggml.token_type") + 16
        op = at + 4 * (3 + 256 + 3)
        assert data[op:op + 4] == (1).to_bytes(4, "little")
        return data[:op] + (3).to_bytes(4, "little") + data[op + 4:]
    assert "makes the control token" in refusal(changed(tiny, tmp_path, change))


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    assert "cannot open the model" in refusal(tmp_path / "none.gguf")
    assert "not a regular file" in refusal(tmp_path)


def test_a_wish_for_a_path_that_does_not_exist_says_which_do(tiny):
    done = subprocess.run([modelkit.tool(), "plan", str(tiny)], capture_output=True, env={**os.environ, "TELEX_CPU": "sse9"}, timeout=60)
    assert done.returncode == 1 and "avx512, avx2, scalar" in done.stderr.decode()
