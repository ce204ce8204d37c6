# SPDX-License-Identifier: Apache-2.0
"""The sentence encoder: tokens as the reference library's, vectors as float64 gives them, hostile files refused."""
import json
import os
import pathlib
import random
import re
import struct
import subprocess

import numpy
import pytest

import bert_reference
import bert_table
import tinybert

TOOL = os.environ["TELEX_ENCODER_TOOL"]
MODELS = pathlib.Path(os.environ.get("TELEX_MODELS", pathlib.Path.home() / ".cache/telex/models"))
REAL = MODELS / "all-minilm-l6-v2"
KINDS = {"letter": 0, "space": 1, "alone": 2}
TITLES = ["Rates rise as the Bank of England rules on new chip prices", "New York court opens; prices unable to rise",
          "AT&T's 5G: \u00c9clair na\u00efve \u4e2d\u6587 \u03a3\u0399\u03a3\u03a5\u03a6\u039f\u03a3 stra\u00dfe", "the", ""]


def tool(*args, lines=None, env=None, fine=True):
    text = None if lines is None else "".join(json.dumps(line) + "\n" for line in lines)
    run = subprocess.run([TOOL, *map(str, args)], input=text, capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=300)
    assert run.returncode == (0 if fine else 1), run.stderr
    return run.stdout.splitlines() if fine else run.stderr


def ids_of(vocabulary, texts, *flags):
    return [[int(i) for i in line.split()] for line in tool("words", vocabulary, *flags, lines=texts)]


def vectors(model, texts, *args, **kw):
    return numpy.array([[float.fromhex(x) for x in line.split()] for line in tool("embed", model, *args, lines=texts, **kw)])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tinybert.write(tmp_path_factory.mktemp("bert") / "tiny")


def models(tiny):
    return [tiny] + ([REAL] if (REAL / "model.safetensors").exists() else [])


def library(vocabulary):
    tokenizers = pytest.importorskip("tokenizers")
    from tokenizers import models as kinds, normalizers, pre_tokenizers
    tokens = {t: i for i, t in enumerate(vocabulary.read_text(encoding="utf8").rstrip("\n").split("\n"))}
    made = tokenizers.Tokenizer(kinds.WordPiece(tokens, unk_token="[UNK]", max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


# ---- tokens ----

def test_every_character_is_mapped_as_the_library_maps_it():
    pytest.importorskip("tokenizers")
    changed, punctuation = bert_table.read_library()
    punctuation = set(punctuation)
    wrong = []
    for line in tool("map"):
        code, *rest = line.split()
        pairs = [tuple(map(int, pair.split(":"))) for pair in rest]
        text = changed.get(int(code), chr(int(code)))
        spaced = text.startswith(" ") and len(text) > 1
        wanted = [(ord(c), KINDS["space"] if c == " " else KINDS["alone"] if spaced or ord(c) in punctuation else KINDS["letter"])
                  for c in (text.strip(" ") if spaced else text)]
        if pairs != wanted:
            wrong.append((code, pairs, wanted))
    assert not wrong, wrong[:5]


def random_text(rng):
    alphabets = ["abcdefghij ABCDEFGHIJ  0123456789", " .,;:!?'\"-()[]{}#@&%$\t\n\r\0\x7f", "\u00c0\u00e9\u00ef\u00f1\u00fc\u00df\u0130\u0131\u1e9e\u01c5\u0345",
                 "\u0391\u03a3\u03c2\u0428\u0451\u0419\u05d0\u05b0\u0627\u064b\u0e01\u0e34\u0939\u093f", "\u4e2d\u6587\uf900\uac00\ud55c\u3042\u30ab\u3099\u2000\u3000\u00a0",
                 "\u200b\u200d\ufeff\ufffd\u00ad\U0001f600\U0001f3fd\U0001d400\U00020000\u2014\u2019\u20ac\u2122\u00bd"]
    out = []
    for _ in range(rng.randrange(1, 12)):
        if rng.random() < 0.15:
            code = rng.randrange(0x110000)
            out.append("" if 0xd800 <= code < 0xe000 else chr(code))
        elif rng.random() < 0.3:
            out.append(rng.choice(["the", "bank", "Rates", "unable", "New York", "pricing", "[CLS]", "##ing", "a" * rng.randrange(95, 105)]))
        else:
            out.append("".join(rng.choice(rng.choice(alphabets)) for _ in range(rng.randrange(1, 9))))
    return "".join(out)


def test_random_texts_have_the_librarys_ids(tiny):
    """20,000 texts for each vocabulary."""
    rng = random.Random(3)
    texts = [random_text(rng) for _ in range(20000)]
    for model in models(tiny):
        reference = library(model / "vocab.txt")
        ours = ids_of(model / "vocab.txt", texts)
        wrong = [(t, a, b.ids) for t, a, b in zip(texts, ours, reference.encode_batch(texts)) if a != b.ids]
        assert not wrong, (len(wrong), wrong[:3])


def test_control_tokens_come_only_when_they_are_asked_for(tiny):
    tokens = tinybert.vocabulary()
    plain, named = (ids_of(tiny / "vocab.txt", ["the [SEP] bank"], *flags)[0] for flags in ((), ("--control",)))
    assert tokens.index("[SEP]") not in plain and [tokens[i] for i in named] == ["the", "[SEP]", "bank"]


# ---- vectors ----

def test_vectors_are_those_of_float64(tiny):
    for model in models(tiny):
        encoder = bert_reference.Encoder(model)
        tokens = model.joinpath("vocab.txt").read_text(encoding="utf8").split("\n")
        first, last = tokens.index("[CLS]"), tokens.index("[SEP]")
        wanted = numpy.array([encoder.embed([first, *ids, last]) for ids in ids_of(model / "vocab.txt", TITLES)])
        apart = abs(vectors(model, TITLES, len(TITLES)) - wanted).max()
        assert apart < 1e-4, (model, apart)
        print(f"{model.name}: largest difference {apart:.1e}")


def test_bits_depend_on_the_text_alone(tiny):
    for model in models(tiny):
        alone = vectors(model, TITLES, 1, 1)
        for batch, threads, path in ((3, 1, ""), (5, 2, ""), (5, 3, "avx2"), (2, 1, "scalar")):
            if path == "avx2" and "avx2" not in pathlib.Path("/proc/cpuinfo").read_text():
                continue
            assert (vectors(model, TITLES, batch, threads, env={"TELEX_CPU": path}) == alone).all(), (batch, threads, path)


# ---- refused ----

def spoil(tiny, folder, change):
    tinybert.write(folder)
    (folder / "model.safetensors").write_bytes(tinybert.safetensors(tinybert.tensors(tinybert.SIZES, len(tinybert.vocabulary())), change))
    return folder


BIAS, WEIGHT = "embeddings.LayerNorm.bias", "embeddings.LayerNorm.weight"
LIES = {
    "overlap": (lambda h: h[BIAS].update(data_offsets=h[WEIGHT]["data_offsets"]), "another tensor's too"),
    "gap": (lambda h: h.pop("pooler.dense.weight"), "belong to no tensor"),
    "behind the last": (lambda h: h.pop("pooler.dense.bias"), "behind the last tensor"),
    "outside": (lambda h: h[BIAS].update(data_offsets=[2**40, 2**40 + 256]), "outside the file"),
    "overflow": (lambda h: h[BIAS].update(data_offsets=[2**63 - 256, 2**63 - 1]), "outside the file"),
    "beyond 64 bits": (lambda h: h[BIAS].update(data_offsets=[2**64, 2**64 + 256]), "no JSON object"),
    "negative": (lambda h: h[BIAS].update(data_offsets=[-256, 0]), "outside the file"),
    "shape that overflows": (lambda h: h[BIAS].update(shape=[2**32, 2**32, 4]), "no memory holds"),
    "shape of another size": (lambda h: h[BIAS].update(shape=[65]), "another number of bytes"),
    "shape of the same size": (lambda h: h[BIAS].update(shape=[8, 8]), "another shape than config.json"),
    "negative dimension": (lambda h: h[BIAS].update(shape=[-64]), "no count"),
    "nine dimensions": (lambda h: h[BIAS].update(shape=[1] * 8 + [64]), "more than 8 dimensions"),
    "unknown type": (lambda h: h[BIAS].update(dtype="F31"), "no dtype"),
    "other type": (lambda h: h[BIAS].update(dtype="I32"), "this build reads F32"),
    "no entry": (lambda h: h.update({BIAS: 5}), "no dtype"),
    "renamed": (lambda h: h.update({"embeddings.extra": h.pop(BIAS)}), f"no tensor {BIAS}"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lying_header_is_refused_by_name(tiny, tmp_path, name):
    change, why = LIES[name]
    assert why in tool("embed", spoil(tiny, tmp_path / "bad", change), lines=["x"], fine=False)


@pytest.mark.parametrize("change, why", [
    ({"hidden_act": "relu"}, "hidden_act is relu"), ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
    ({"model_type": "roberta"}, "model_type is roberta"), ({"num_attention_heads": 3}, "3 heads"), ({"hidden_size": 0}, "hidden_size"),
    ({"num_hidden_layers": 4}, "no tensor encoder.layer.3"), ({"num_hidden_layers": 2}, "nothing reads"), ({"vocab_size": 7}, "of two models"),
    ({"num_hidden_layers": 10**9}, "num_hidden_layers"), ({"layer_norm_eps": 0}, "layer_norm_eps")])
def test_what_is_not_computed_is_refused_by_name(tmp_path, change, why):
    assert why in tool("embed", tinybert.write(tmp_path / "m", **change), lines=["x"], fine=False)


def test_a_bad_vocabulary_is_refused_by_name(tmp_path):
    for text, why in (("[UNK]\n[CLS]\n[SEP]\nthe\nthe\n", "twice"), ("[UNK]\n\n[CLS]\n", "line 2"), ("a\nb\n", "no token [UNK]"), ("", "not a vocabulary")):
        (tmp_path / "vocab.txt").write_text(text)
        assert why in tool("words", tmp_path / "vocab.txt", lines=["x"], fine=False)


def test_damaged_files_never_crash(tmp_path):
    """Cut off, lengthened, and with bytes of the header exchanged: refused, or as good as before; never a signal."""
    good = (tinybert.write(tmp_path / "m") / "model.safetensors").read_bytes()
    size, = struct.unpack_from("<Q", good)
    rng = random.Random(5)
    for i in range(150):
        bad = bytearray(good)
        if i % 5 == 0:
            bad = bad[:rng.choice([0, 3, 8, 9, 8 + size, rng.randrange(len(bad))])]
        elif i % 5 == 1:
            bad[:8] = struct.pack("<Q", rng.choice([0, 1, size - 1, size + 1, 2**32, 2**63, 2**64 - 1, len(bad) - 8]))
        else:
            for _ in range(rng.randrange(1, 6)):
                bad[8 + rng.randrange(size)] = rng.choice(b'0123456789{}[]",:-eE \\x\0\xff')
        (tmp_path / "m" / "model.safetensors").write_bytes(bad)
        run = subprocess.run([TOOL, "embed", tmp_path / "m"], input='"x"\n', capture_output=True, text=True, timeout=60)
        assert run.returncode in (0, 1), (i, run.returncode)
        assert run.returncode == 0 or re.search(r"encoder-tool: \S", run.stderr), (i, run.stderr)


# ---- `telex model` ----

def telex(*args, fine=True, **kw):
    run = subprocess.run([os.environ["TELEX_PROGRAM"], "model", *map(str, args), "-P", os.environ["TELEX_MODEL_SO"]], capture_output=True,
                         text=True, timeout=120, **kw)
    assert (run.returncode == 0) == fine, run.stderr
    return run.stdout if fine else run.stderr


def test_the_command_prints_the_vector_of_a_text(tiny):
    wanted = vectors(tiny, TITLES[:1])[0]
    told = json.loads(telex("embed", tiny, "--text", TITLES[0], "--json"))
    assert told["dimensions"] == len(wanted) == tinybert.SIZES["hidden_size"] and told["model"] == "tiny"
    assert abs(numpy.array(told["vector"]) - wanted).max() < 1e-7
    lines = telex("embed", tiny / "model.safetensors", input=TITLES[0]).splitlines()
    assert abs(numpy.array([float(x) for x in lines]) - wanted).max() < 1e-7


def test_a_text_that_is_too_long_is_cut(tiny):
    most = tinybert.SIZES["max_position_embeddings"] - 2
    whole, cut = (json.loads(telex("embed", tiny, "-t", "bank " * n, "--json"))["vector"] for n in (most + 50, most))
    assert whole == cut


def test_an_encoder_says_what_it_is_and_writes_no_text(tiny):
    told = json.loads(telex("show", tiny, "--json"))
    assert told["embeddings"] and told["arch"] == "bert" and told["model_context_tokens"] == tinybert.SIZES["max_position_embeddings"] - 2
    assert "vectors" in telex("generate", tiny, "-p", "the", "-n", "2", fine=False)
    assert json.loads(telex("tokenize", tiny, "-t", "Unable banks", "--json"))["pieces"] == ["un", "able", "bank", "s"]


def test_a_model_that_gives_no_vectors_says_so(tmp_path):
    tinymodel = pytest.importorskip("tinymodel")
    path = tinymodel.write(tmp_path / "tiny.gguf", "Q8_0")
    assert "gives no vectors" in telex("embed", path, "-t", "the", fine=False)
