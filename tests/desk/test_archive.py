# SPDX-License-Identifier: Apache-2.0
"""The archive wire with a scripted model: dispatches from real Reuters texts, checked from outside.

The texts are those of the Debian package r-cran-tm; they are read where the set-up put them and never copied
here. Where they are missing the tests say so and are skipped."""
import hashlib
import json
import os
import pathlib
import re
import subprocess

import pytest

CONFIG = """
pipeline: desk-archive
journal: {{path: {tmp}/archive.journal, durability: memory}}
models:
  desk: {{plugin: model-script, options: {{mode: {mode}}}}}
stages:
  signal:
    plugin: signal-archive
    options: {{path: "{archive}", format: reuters, outlet: reuters.com}}
  cluster:
    plugin: cluster-story
    from: signal
    options: {{emit: gated, gate_outlets: 0, gate_records: 2}}
  write:
    plugin: write-transformer
    from: {{stage: cluster, keyed: true}}
    model: desk
    isolation: {isolation}
  out:
    plugin: sink-file
    from: write
    options: {{path: {tmp}/dispatches.jsonl}}
  records:
    plugin: sink-file
    from: signal
    options: {{path: {tmp}/records.jsonl}}
"""


def archive():
    for place in (os.environ.get("TELEX_ARCHIVE"), os.path.expanduser("~/.cache/telex/archive")):
        if place and list(pathlib.Path(place).rglob("reut-*.xml")):
            return place
    pytest.skip("the Reuters texts of r-cran-tm are not here; scripts/setup fetches them")


def run_wire(tmp, mode="echo", isolation="thread"):
    config = tmp / "archive.yaml"
    config.write_text(CONFIG.format(tmp=tmp, archive=archive(), mode=mode, isolation=isolation))
    done = subprocess.run([os.environ["TELEX"], "run", "--once", str(config)], capture_output=True, text=True,
                          timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in (tmp / "dispatches.jsonl").read_text().splitlines()], done.stderr


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    tmp = tmp_path_factory.mktemp("wire")
    dispatches, log = run_wire(tmp)
    records = {}
    for line in (tmp / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        records[record["id"]] = record
    return dispatches, records, log


def sentences(dispatch):
    yield {"text": dispatch["dek"], "citations": dispatch["support"]["dek"]["citations"]}
    for paragraph in dispatch["body"]:
        yield from paragraph
    for pair in dispatch["faq"]:
        yield from pair["answer"]


def cited(sentence, records):
    """The bytes that a sentence cites, joined."""
    out = b""
    for span in sentence["citations"]:
        text = records[span["record"]][span["field"]].encode()
        out += text[span["start"]:span["end"]] + b" "
    return out.decode()


WORDS = {w: str(i) for i, w in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())}


def digits(text):
    """Digit runs, written out small numbers as digits, with no commas: what must come from somewhere."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text.lower())
    return {WORDS.get(n, n) for n in re.findall(r"\d+(?:\.\d+)?|" + "|".join(rf"\b{w}\b" for w in WORDS), text)}


def test_the_archive_gives_at_least_five_dispatches(wire):
    dispatches, _, log = wire
    assert len({d["id"] for d in dispatches}) >= 5, log[-2000:]


def test_every_span_is_in_its_record_and_its_hash_is_right(wire):
    dispatches, records, _ = wire
    n = 0
    for dispatch in dispatches:
        for sentence in sentences(dispatch):
            assert sentence["citations"], sentence["text"]
            for span in sentence["citations"]:
                data = records[span["record"]][span["field"]].encode()[span["start"]:span["end"]]
                assert data and hashlib.sha256(data).hexdigest() == span["sha256"]
                n += 1
    assert n > 50


def test_every_digit_in_a_dispatch_is_in_what_it_cites(wire):
    dispatches, records, _ = wire
    for dispatch in dispatches:
        for sentence in sentences(dispatch):
            lost = digits(sentence["text"]) - digits(cited(sentence, records))
            assert not lost, (sentence["text"], lost)


def test_every_name_in_a_dispatch_is_in_its_records(wire):
    dispatches, records, _ = wire
    days = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday On A".split()
    for dispatch in dispatches:
        words = " ".join(records[c["record"]]["title"] + " " + records[c["record"]]["text"]
                         for c in dispatch["citations"]).lower()
        for sentence in sentences(dispatch):
            for name in re.findall(r"(?<=[a-z,] )[A-Z][a-zA-Z]+", sentence["text"]):
                assert name in days or name.lower() in words, (name, sentence["text"])


def test_lengths_and_counts_are_as_stated(wire):
    dispatches, records, _ = wire
    for d in dispatches:
        assert 20 <= len(d["headline"].encode()) <= 110
        assert 40 <= len(d["dek"].encode()) <= 320
        assert 8 <= len(d["section_heading"].encode()) <= 70
        assert d["records_used"] == len(d["citations"]) and d["web_citations"] == 0
        assert f"from {d['records_used']} source record" in d["methodology"]
        assert len({c["record"] for c in d["citations"]}) == len(d["citations"])
        assert len({s["text"] for s in sentences(d)}) == len(list(sentences(d)))


def test_a_model_that_lies_puts_no_number_of_its_own_on_the_wire(tmp_path):
    dispatches, _ = run_wire(tmp_path, mode="lie")
    records = {}
    for line in (tmp_path / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        records[record["id"]] = record
    for dispatch in dispatches:
        for sentence in sentences(dispatch):
            assert not digits(sentence["text"]) - digits(cited(sentence, records)), sentence["text"]


def test_a_runner_writes_the_same_bytes(wire, tmp_path):
    dispatches, _, _ = wire
    isolated, _ = run_wire(tmp_path, isolation="process")
    key = lambda d: d["id"]
    assert sorted(isolated, key=key) == sorted(dispatches, key=key)
