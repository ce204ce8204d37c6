# SPDX-License-Identifier: Apache-2.0
"""Reference tokenizers of the Hugging Face library, built from a file's own vocabulary, and texts to try them on."""
import unicodedata

WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)
BLOCK = "\u2581"

SCRAPS = ["'s", "'T", "'re", "'LL", "'\u017f", "'d", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\t\t", "\u00a0", "\u3000", "\u2028", "\u0085",
          "the", " The", "don't", "price", "$12.5", "1,234,567", "3.14159", "½", "Ⅷ", "٣", "é", "e\u0301", "ß", "中文", "日本語",
          "한국어", "العربية", "हिन्दी", "👩‍👩‍👧", "🇩🇪", "…", "—", "“x”", "//", "==", "</s>", "<s>", "<|im_start|>", "<|im_end|>",
          "<|endoftext|>", "<tool_call>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<unused7>", "<0x0A>", "<table>", "</td>",
          "<|eot_id|>", "Ġ", "Ċ", BLOCK, BLOCK * 2, "\u200b", "\ufeff", "\x00", "\x1b", "aaaaaaaa", "mln dlrs", "U.S.", "OPEC"]
BLOCKS = [b for b in range(0x1100) if any(unicodedata.category(chr(p)) not in ("Cn", "Cs", "Co")
                                           for p in range(b * 256, b * 256 + 256, 5))]


def byte_chars():
    shown = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    hidden = [b for b in range(256) if b not in shown]
    return {**{b: chr(b) for b in shown}, **{b: chr(256 + i) for i, b in enumerate(hidden)}}


def add_tokens(made, texts):
    from tokenizers import AddedToken
    made.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in texts])


def bpe(pre, tokens, kinds, merges):
    """(knows no control tokens, knows them) for the pre-tokenizer `pre`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    def build():
        pairs = [tuple(m.split(" ")) for m in merges]
        made = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, pairs, ignore_merges=pre == "llama-bpe"))
        if pre == "smollm":
            steps = [pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"),
                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
        else:
            steps = [pre_tokenizers.Split(Regex(WORDS % ("{1,3}" if pre == "llama-bpe" else "")), "isolated"),
                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        made.pre_tokenizer = pre_tokenizers.Sequence(steps)
        made.decoder = decoders.ByteLevel()
        return made

    plain, control = build(), build()
    add_tokens(control, [t for t, k in zip(tokens, kinds) if k in (CONTROL, USER)])
    return plain, control


def spm(tokens, kinds, scores, space_prefix):
    """(knows no control tokens, knows them). Every split of a token into two tokens is a merge, ranked by the token's score."""
    from tokenizers import Tokenizer, models, normalizers
    ids = {t: i for i, t in enumerate(tokens)}
    whole = {t for t, k in zip(tokens, kinds) if k == NORMAL}
    merges = []
    for token in whole:
        for at in range(1, len(token)):
            if token[:at] in whole and token[at:] in whole:
                merges.append((-scores[ids[token]], ids[token[:at]], ids[token[at:]], (token[:at], token[at:])))
    merges = [m[3] for m in sorted(merges)]

    def build():
        made = Tokenizer(models.BPE(ids, merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
        steps = [normalizers.Prepend(BLOCK)] if space_prefix else []
        made.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", BLOCK)])
        add_tokens(made, [t for t, k in zip(tokens, kinds) if k == USER])
        return made

    plain, control = build(), build()
    add_tokens(control, [t for t, k in zip(tokens, kinds) if k in (CONTROL, UNKNOWN)])
    return plain, control


def random_text(rng, scraps=SCRAPS):
    """A mix of scraps, digit runs, letters, and characters of any Unicode block, assigned or not."""
    parts = []
    for _ in range(rng.randint(1, 12)):
        kind = rng.randrange(6)
        if kind < 2:
            parts.append(rng.choice(scraps))
        elif kind == 2:
            parts.append("".join(rng.choice("0123456789., ") for _ in range(rng.randint(1, 12))))
        elif kind == 3:
            parts.append("".join(rng.choice("etaoin shrdlu'ETAOIN\n\r\t -.") for _ in range(rng.randint(1, 30))))
        else:
            block = (rng.randrange(0x1100) if kind == 4 else rng.choice(BLOCKS)) * 0x100
            points = [block + rng.randrange(0x100) for _ in range(rng.randint(1, 10))]
            parts.append("".join(chr(p) for p in points if not 0xd800 <= p < 0xe000))
    return "".join(parts)


def random_bytes(rng, text):
    """The text with a few bytes lost, doubled or changed: most often no UTF-8 any more."""
    data = bytearray(text.encode())
    for _ in range(rng.randint(1, 3)):
        if not data:
            break
        at, how = rng.randrange(len(data)), rng.randrange(3)
        if how == 0:
            del data[at]
        elif how == 1:
            data.insert(at, data[at])
        else:
            data[at] = rng.randrange(256)
    return bytes(data)


BAD = 0x10ff00  # these private characters stand for bad bytes while a text is cut into words


def ids_of_bytes(made, data, byte_ids=None):
    """Ids of any bytes: a byte that is no part of UTF-8 is one character, neither letter nor digit nor space. None where the
    text uses the characters that stand for such bytes. `byte_ids` for SPM, whose merges end at a bad byte."""
    text = data.decode("utf-8", "surrogateescape")
    if any(BAD <= ord(c) < BAD + 256 for c in text):
        return None
    if byte_ids:
        ids, run = [], ""
        for c in text + "\udc00":
            if not 0xdc00 <= ord(c) < 0xdd00:
                run += c
                continue
            ids += made.encode(run, add_special_tokens=False).ids if run else []
            ids += [byte_ids[ord(c) - 0xdc00]] if c != "\udc00" else []
            run = ""
        return ids
    chars, ids = byte_chars(), []
    shown = {byte: "".join(chars[b] for b in chr(BAD + byte).encode()) for byte in range(128, 256)}
    begin = shown[128][:2]
    for word, _ in made.pre_tokenizer.pre_tokenize_str("".join(chr(BAD + ord(c) - 0xdc00) if 0xdc00 <= ord(c) < 0xdd00 else c
                                                               for c in text)):
        for byte, stand_in in shown.items() if begin in word else ():
            word = word.replace(stand_in, chars[byte])
        ids += [token.id for token in made.model.tokenize(word)]
    return ids


def model_of(path):
    """(plain, control, kinds, ids of single bytes or None, tokens, space in front) for a model file."""
    import modelkit
    tokens, kinds, merges, scores, pre, space_prefix = modelkit.vocabulary(path)
    if pre is not None:
        return *bpe(pre, tokens, kinds, merges), kinds, None, tokens, space_prefix
    byte_ids = {int(t[3:5], 16): i for i, (t, k) in enumerate(zip(tokens, kinds)) if k == BYTE}
    return *spm(tokens, kinds, scores, space_prefix), kinds, byte_ids, tokens, space_prefix
