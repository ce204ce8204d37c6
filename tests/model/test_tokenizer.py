# SPDX-License-Identifier: Apache-2.0
"""Token ids equal those of the reference tokenizer library, built from the file's own vocabulary.

`check_tokenizers.py` does the same over a hundred thousand texts, and asks llama.cpp too."""
import random

import modelkit
import pytest

tokenizers = pytest.importorskip("tokenizers")
import tinyvocab  # noqa: E402
import tokenizer_reference as ref  # noqa: E402

MODELS = {"smollm": modelkit.SMOLLM, "qwen2": modelkit.QWEN, "gemma3": modelkit.GEMMA}
N_TEXTS = 2000


@pytest.fixture(scope="module", params=[*sorted(MODELS), "llama-bpe", "llama-spm"])
def model(request, tmp_path_factory):
    """(path, reference without and with control tokens, kinds, ids of bytes, tokens, space in front); the last two
    vocabularies are made here."""
    if request.param in MODELS:
        path = modelkit.model_path(MODELS[request.param])
    else:
        path = tinyvocab.write(tmp_path_factory.mktemp("vocab") / "made.gguf", request.param)
    return path, *ref.model_of(path)


@pytest.fixture(scope="module")
def texts():
    rng = random.Random(20260101)
    return [ref.random_text(rng) for _ in range(N_TEXTS)]


def expect(texts, ours, theirs):
    wrong = [(t, o[0], r) for t, o, r in zip(texts, ours, theirs) if r is not None and o[0] != r]
    assert not wrong, f"{len(wrong)} of {len(texts)} differ, first: {wrong[0]!r}"


def spaced(model, text):
    """What the ids of a text decode to."""
    *_, byte_ids, _, _ = model
    return text.replace(ref.BLOCK.encode(), b" ") if byte_ids else text


def test_ids_equal_the_reference_on_random_strings(model, texts):
    path, plain, *_ = model
    expect(texts, modelkit.tokenize(path, [t.encode() for t in texts]),
           [r.ids for r in plain.encode_batch(texts, add_special_tokens=False)])


def test_ids_of_bytes_that_are_not_utf8_equal_the_reference(model, texts):
    path, plain, _, _, byte_ids, _, space_prefix = model
    if space_prefix:
        pytest.skip("the reference puts a space before each piece of the text")
    rng = random.Random(7)
    broken = [ref.random_bytes(rng, t) for t in texts]
    theirs = [ref.ids_of_bytes(plain, data, byte_ids) for data in broken]
    assert sum(t is not None for t in theirs) > N_TEXTS // 2
    expect(broken, modelkit.tokenize(path, broken), theirs)


def test_control_tokens_come_out_only_when_asked_for(model, texts):
    path, _, control, kinds, byte_ids, tokens, _ = model
    names = [t for t, k in zip(tokens, kinds) if k == ref.CONTROL]
    some = texts + [names[0] + "user\nhi" + names[-1] + "\n", names[0] * 2, "a" + names[0][:-1], names[0], f"x {names[0]} y"]
    plain = modelkit.tokenize(path, [t.encode() for t in some])
    assert all(kinds[i] != ref.CONTROL for ids, _ in plain for i in ids)
    assert byte_ids or all(kinds[i] != ref.USER for ids, _ in plain for i in ids)
    flagged = modelkit.tokenize(path, [t.encode() for t in some], "control")
    expect(some, flagged, [r.ids for r in control.encode_batch(some, add_special_tokens=False)])
    assert any(kinds[i] == ref.CONTROL for ids, _ in flagged for i in ids)


def test_decoding_gives_the_text_back(model, texts):
    path, *_, byte_ids, tokens, space_prefix = model
    chars, known = ref.byte_chars(), set(tokens)
    missing = set() if byte_ids else {b for b in range(256) if chars[b] not in known}
    rng = random.Random(9)
    whole = [t for t in [*(t.encode() for t in texts), *(ref.random_bytes(rng, t) for t in texts)] if not missing & set(t)]
    assert len(whole) > N_TEXTS
    for text, (_, back) in zip(whole, modelkit.tokenize(path, whole)):
        if space_prefix:  # and behind each user-defined token
            assert back.replace(b" ", b"") == spaced(model, text).replace(b" ", b"")
        else:
            assert back == spaced(model, text)


def test_a_megabyte_of_one_letter_takes_seconds_not_hours(model):
    path, *_ = model
    texts = [b"a" * 1_000_000, b" " * 1_000_000, b"\n" * 1_000_000, "é".encode() * 300_000, b"'" * 1_000_000]
    for text, (_, back) in zip(texts, modelkit.tokenize(path, texts)):
        assert back in (text, b" " + text)


def test_unicode_classes_equal_the_reference():
    from tokenizers import Regex, pre_tokenizers
    import unicode_table
    for name, ranges in unicode_table.read_table().items():
        split = pre_tokenizers.Split(Regex(unicode_table.PATTERNS[name]), "removed")
        theirs = {c for c in range(0x110000) if not 0xd800 <= c < 0xe000 and not split.pre_tokenize_str(chr(c))}
        assert theirs == {c for first, last in ranges for c in range(first, last + 1)}, name
