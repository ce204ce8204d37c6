# SPDX-License-Identifier: Apache-2.0
"""The shipped configs, whole: real records, every stage loaded as a .so, the writer in a process of its own."""
import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import soak
from wire import SLOW

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ["TELEX_BUILD"])
ARCHIVE = Path(os.environ.get("TELEX_ARCHIVE", "/nonexistent"))
MODEL = Path(os.environ.get("TELEX_MODELS", "/nonexistent")) / "SmolLM2-135M-Instruct.Q4_1.gguf"
needs_archive = pytest.mark.skipif(not ARCHIVE.is_dir(), reason="archive wire: TELEX_ARCHIVE is not there")
needs_model = pytest.mark.skipif(not MODEL.is_file(), reason=f"seed wire: {MODEL.name} is not there")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """One run of the archive wire to its end."""
    wire = soak.Archive(tmp_path_factory.mktemp("archive"), BUILD, ROOT / "configs" / "archive.yaml", "process")
    assert wire.start().wait(120 * SLOW) == 0, (wire.folder / "log").read_text()[-3000:]
    return wire


def dispatches(wire):
    lines = wire.command("dispatches", "--json", str(wire.journal())).stdout.splitlines()
    return [json.loads(line) for line in lines]


def sentences(dispatch):
    for paragraph in dispatch["body"]:
        yield from paragraph["sentences"] if isinstance(paragraph, dict) else paragraph
    for item in dispatch["faq"]:
        yield from item["answer"]


@needs_archive
def test_the_archive_becomes_at_least_five_dispatches_with_nothing_lost(archive):
    archive.audit()
    got = dispatches(archive)
    assert len(got) >= 5
    assert len({one["dispatch"]["id"] for one in got}) == len(got)


@needs_archive
def test_every_sentence_cites_a_span_of_a_record_that_comes_with_it(archive):
    for one in dispatches(archive):
        records = {record["id"]: record for record in one["records"]}
        for sentence in sentences(one["dispatch"]):
            assert sentence["citations"], sentence["text"]
            for citation in sentence["citations"]:
                text = records[citation["record"]]["text"].encode()
                assert 0 <= citation["start"] < citation["end"] <= len(text)


NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def values(text):
    """Every number as a value; scale words are left out, so 12.5 mln and $12.5 million are both 12.5."""
    return {float(number.replace(",", "")) for number in NUMBER.findall(text)}


@needs_archive
def test_every_digit_on_a_page_is_in_a_record_that_the_sentence_cites(archive):
    for one in dispatches(archive):
        records = {record["id"]: record for record in one["records"]}
        for sentence in sentences(one["dispatch"]):
            cited = " ".join(records[c["record"]]["title"] + " " + records[c["record"]]["text"]
                             for c in sentence["citations"])
            words = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
                     "ten": 10}
            have = values(cited) | {value for word, value in words.items() if re.search(rf"\b{word}\b", cited, re.I)}
            assert values(sentence["text"]) <= have, sentence["text"]


@needs_archive
def test_the_counts_and_the_methodology_are_true(archive):
    for one in dispatches(archive):
        dispatch = one["dispatch"]
        assert dispatch["records_used"] == len(dispatch["citations"]) == len(one["records"])
        urls = {record["url"] for record in one["records"] if record["url"].startswith("http")}
        assert dispatch["web_citations"] == len(urls)
        assert f"from {dispatch['records_used']} source record" in dispatch["methodology"]


@needs_archive
def test_twenty_kills_change_nothing():
    hits, _, count = soak.soak(BUILD, ROOT / "configs" / "archive.yaml", "process", 20, seed=3, say=lambda line: None)
    assert hits >= 20 and count >= 5


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@needs_archive
def test_readers_and_operators_are_served_while_the_wire_runs(tmp_path):
    wire = soak.Archive(tmp_path, BUILD, ROOT / "configs" / "archive.yaml", "process")
    process = wire.start(once=False)
    try:
        log = tmp_path / "log"
        end = time.monotonic() + 60 * SLOW
        while log.read_text().count("wire: dispatch") < 3 and time.monotonic() < end:
            time.sleep(0.05)
        said = log.read_text()
        public, admin = re.findall(r"http://127\.0\.0\.1:\d+", said.split("pipeline archive runs")[1])[:2]
        status, page = get(public + "/")
        assert status == 200 and "Live wire" in page
        status, health = get(admin + "/healthz")
        assert status == 200 and json.loads(health)["status"] == "ok"
        status, metrics = get(admin + "/metrics")
        assert status == 200 and 'telex_stage_steps_total{stage="wire"}' in metrics
        assert get(public + "/healthz")[0] == 404
        stream = urllib.request.urlopen(public + "/live?after=0", timeout=20)
        events = set()
        while len(events) < 3:
            line = stream.readline().decode()
            if line.startswith("id:"):
                events.add(line.strip())
        stream.close()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(40 * SLOW) == 0


@needs_model
def test_the_seed_wire_becomes_one_dispatch_of_five_records_with_the_small_model(tmp_path):
    wire = soak.Archive(tmp_path, BUILD, ROOT / "configs" / "seed.yaml", "process", model=MODEL)
    assert wire.start().wait(600 * SLOW) == 0, (tmp_path / "log").read_text()[-3000:]
    wire.audit()
    got = dispatches(wire)
    assert len(got) == 1
    dispatch = got[0]["dispatch"]
    assert (dispatch["records_used"], dispatch["web_citations"]) == (5, 4)
    page = next(tmp_path.glob("*-site/d/*/index.html")).read_text()
    assert "5 records · 4 web citations" in re.sub(r"<[^>]+>", "", page)
    parts = ["Live wire", "Filed under", "Wire methodology", dispatch["headline"]]
    parts += ["Frequently asked"] if dispatch["faq"] else []
    for part in parts:
        assert part in page or part.replace("'", "&#39;") in page
