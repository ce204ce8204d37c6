# SPDX-License-Identifier: Apache-2.0
"""Token ids equal those of the reference tokenizer library, built from the file's own vocabulary and merges."""
import random

import modelkit
import pytest

tokenizers = pytest.importorskip("tokenizers")

QWEN2_WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")
MODELS = {"smollm": modelkit.SMOLLM, "qwen2": modelkit.QWEN}
N_TEXTS = 10_000

SCRAPS = ["'s", "'T", "'re", "'LL", "'\u017f", "'d", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2028", "\u0085",
          "the", " The", "don't", "price", "$12.5", "1,234,567", "3.14159", "½", "Ⅷ", "٣", "é", "e\u0301", "ß", "中文", "日本語",
          "한국어", "العربية", "हिन्दी", "👩‍👩‍👧", "🇩🇪", "…", "—", "“x”", "//", "==", "</s>", "<|im_start|>", "<|im_end|>",
          "<|endoftext|>", "<tool_call>", "Ġ", "Ċ", "\u200b", "\ufeff", "\x00", "\x1b", "aaaaaaaa", "mln dlrs", "U.S.", "OPEC"]


def byte_chars():
    shown = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    hidden = [b for b in range(256) if b not in shown]
    return {**{b: chr(b) for b in shown}, **{b: chr(256 + i) for i, b in enumerate(hidden)}}


def reference(kind, tokens, kinds, merges):
    """A tokenizer of the library with the same vocabulary; `plain` knows no control tokens."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    def build():
        made = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges]))
        if kind == "smollm":
            steps = [pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"),
                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
        else:
            steps = [pre_tokenizers.Split(Regex(QWEN2_WORDS), "isolated"),
                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        made.pre_tokenizer = pre_tokenizers.Sequence(steps)
        made.decoder = decoders.ByteLevel()
        return made

    plain, control = build(), build()
    control.add_special_tokens([AddedToken(t, special=True, normalized=False)
                                for t, k in zip(tokens, kinds) if k in (3, 4)])
    return plain, control


def random_text(rng):
    """A mix of scraps, digit runs, and characters of one or all Unicode blocks."""
    parts = []
    for _ in range(rng.randint(1, 12)):
        kind = rng.randrange(6)
        if kind < 2:
            parts.append(rng.choice(SCRAPS))
        elif kind == 2:
            parts.append("".join(rng.choice("0123456789., ") for _ in range(rng.randint(1, 12))))
        elif kind == 3:
            parts.append("".join(rng.choice("etaoin shrdlu'ETAOIN\n\r\t -.") for _ in range(rng.randint(1, 30))))
        else:
            block = rng.randrange(0x1100) * 0x100 if kind == 4 else rng.randrange(0x33) * 0x100
            points = [block + rng.randrange(0x100) for _ in range(rng.randint(1, 10))]
            parts.append("".join(chr(p) for p in points if not 0xd800 <= p < 0xe000))
    return "".join(parts)


@pytest.fixture(scope="module", params=sorted(MODELS))
def model(request):
    path = modelkit.model_path(MODELS[request.param])
    tokens, kinds, merges = modelkit.vocabulary(path)
    return request.param, path, tokens, kinds, reference(request.param, tokens, kinds, merges)


@pytest.fixture(scope="module")
def texts():
    rng = random.Random(20260101)
    return [random_text(rng) for _ in range(N_TEXTS)]


def test_ids_equal_the_reference_on_ten_thousand_random_strings(model, texts):
    _, path, _, _, (plain, _) = model
    ours = modelkit.tokenize(path, [t.encode() for t in texts])
    theirs = plain.encode_batch(texts, add_special_tokens=False)
    wrong = [(t, o[0], r.ids) for t, o, r in zip(texts, ours, theirs) if o[0] != r.ids]
    assert not wrong, f"{len(wrong)} of {len(texts)} differ, first: {wrong[0]!r}"


def test_control_tokens_come_out_only_when_asked_for(model, texts):
    _, path, _, kinds, (_, control) = model
    some = texts[:3000] + ["<|im_start|>user\nhi<|im_end|>\n", "<|im_start|><|im_start|>", "a<|im_end", "<|im_start|>"]
    plain = modelkit.tokenize(path, [t.encode() for t in some])
    assert all(kinds[i] not in (3, 4) for ids, _ in plain for i in ids)
    flagged = modelkit.tokenize(path, [t.encode() for t in some], "control")
    theirs = control.encode_batch(some, add_special_tokens=False)
    wrong = [(t, o[0], r.ids) for t, o, r in zip(some, flagged, theirs) if o[0] != r.ids]
    assert not wrong, f"{len(wrong)} differ, first: {wrong[0]!r}"
    assert any(kinds[i] == 3 for ids, _ in flagged for i in ids)


def test_decoding_gives_the_text_back(model, texts):
    _, path, tokens, _, _ = model
    chars, known = byte_chars(), set(tokens)
    missing = {b for b in range(256) if chars[b] not in known}
    whole = [t.encode() for t in texts if not missing & set(t.encode())]
    assert len(whole) > N_TEXTS // 2
    for text, (_, back) in zip(whole, modelkit.tokenize(path, whole)):
        assert back == text


def test_bytes_that_are_not_utf8_come_back_as_they_were(model):
    _, path, tokens, _, _ = model
    chars, known = byte_chars(), set(tokens)
    allowed = bytes(b for b in range(256) if chars[b] in known)
    rng = random.Random(7)
    noise = [bytes(rng.choice(allowed) for _ in range(rng.randint(1, 60))) for _ in range(2000)]
    for text, (_, back) in zip(noise, modelkit.tokenize(path, noise)):
        assert back == text


def test_a_megabyte_of_one_letter_takes_seconds_not_hours(model):
    _, path, _, _, _ = model
    texts = [b"a" * 1_000_000, b" " * 1_000_000, b"\n" * 1_000_000, "é".encode() * 300_000, b"'" * 1_000_000]
    for text, (_, back) in zip(texts, modelkit.tokenize(path, texts)):
        assert back == text


def test_unicode_classes_equal_the_reference():
    from tokenizers import Regex, pre_tokenizers
    import unicode_table
    for name, ranges in unicode_table.read_table().items():
        split = pre_tokenizers.Split(Regex(unicode_table.PATTERNS[name]), "removed")
        theirs = {c for c in range(0x110000) if not 0xd800 <= c < 0xe000 and not split.pre_tokenize_str(chr(c))}
        assert theirs == {c for first, last in ranges for c in range(first, last + 1)}, name
