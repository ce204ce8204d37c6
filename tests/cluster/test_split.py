# SPDX-License-Identifier: Apache-2.0
"""A story that splits, all the way: records, stories, dispatches of a scripted model, pages, feeds and `telex explain`."""
import json
import re
import signal
import xml.etree.ElementTree as xml

import pytest
from wire import Wire

# The options of the core's own test of a split: anything joins, what nothing ties apart leaves, titles decide.
CONFIG = """
pipeline: split
journal: {path: wire.journal, durability: full}
drain: 10s
models:
  desk: {plugin: model-script, options: {mode: echo}}
stages:
  signal: {plugin: signal-archive, options: {path: records.jsonl}}
  cluster:
    plugin: cluster-story
    from: signal
    options: {emit: gated, gate_outlets: 2, join: 0.02, merge: 1, quorum_pair: 1, contrast: 0, form: 20, split: 0.5, lead: 0}
  write: {plugin: write-transformer, from: {stage: cluster, keyed: true}, model: desk, options: {min_faq: 0}}
  site: {plugin: wire-site, from: write, options: {root: site, base_url: "https://wire.example", title: telex, time: event}}
  stories: {plugin: sink-file, from: cluster, options: {path: stories.jsonl}}
  dispatches: {plugin: sink-file, from: write, options: {path: dispatches.jsonl}}
  events: {plugin: sink-file, from: site, options: {path: events.jsonl}}
"""
BRIDGE = ("The ferry Lady Orla struck a pillar of the harbour bridge in Eastmere at seven on Monday morning. "
          "The town closed the bridge to cars and trucks until divers have seen the pillar. "
          "Nobody on the ferry was hurt, harbour master Ida Brandt said. "
          "The ferry carried 120 passengers from the island of Tolvar. ")
GRANARY = ("A granary in the old port of Eastmere burned down in the night to Tuesday. "
           "Forty firemen fought the fire until morning and kept it from the silos. "
           "The granary held 900 tons of barley, its owner Osmund Mills said. "
           "Smoke lay over the town and the schools stayed closed. ")
RECORDS = [("a", "one.example", "Ferry strikes harbour bridge in Eastmere", BRIDGE),
           ("b", "two.example", "Eastmere granary burns down, harbour smells of smoke", GRANARY),
           ("c", "three.example", "Harbour bridge in Eastmere hit by ferry", BRIDGE),
           ("d", "four.example", "Granary burns down in Eastmere, smoke over town", GRANARY),
           ("e", "five.example", "Ferry captain questioned over Eastmere harbour bridge", BRIDGE),
           ("f", "six.example", "Burned granary in Eastmere was to close, smoke gone", GRANARY)]


def records(names):
    for i, (id, outlet, title, text) in enumerate(RECORDS):
        ms = 1767600000000 + i * 3600000
        if id in names:
            # Each tells it in an order of its own and adds a sentence: no copies.
            told = text.split(". ")[:-1]
            told = told[i:] + told[:i] + [f"{outlet.split('.')[0].title()} reporters were at the place with {i + 3} cameras"]
            yield {"schema": "telex.record/1", "id": id, "title": title, "outlet": outlet, "url": f"https://{outlet}/{id}", "lang": "en",
                   "text": "\n".join(s + "." for s in told), "published_ms": ms, "fetched_ms": ms}


def lines(run, name):
    path = run.folder / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def feed(run, names, **how):
    (run.folder / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records(names)))
    return run.run(**how)


def site(run):
    root = run.folder / "site"
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """The wire before the split, and after it."""
    run = Wire(tmp_path_factory.mktemp("split"), CONFIG)
    assert feed(run, "abc") == 0, run.logged()[-3000:]
    before = site(run)
    assert feed(run, "abcd") == 0, run.logged()[-3000:]
    return run, before


def links(page):
    """The links of the notices about a split, and their words."""
    return re.findall(r'<p class="notice split">([^<]*)<a href="([^"]*)">([^<]*)</a>', page.decode())


def newest(run, name, story):
    return [line for line in lines(run, name) if line.get("story", line["id"]) == story][-1]


def test_the_dispatch_of_a_part_says_where_it_came_from_and_the_other_drops_what_moved(split):
    run, _ = split
    whole, part = (s["id"] for s in lines(run, "stories.jsonl") if s["records"][0] in "ab" and s["records"][-1] in "bd")
    first, moved, rest = lines(run, "dispatches.jsonl")
    assert [c["record"] for c in first["citations"]] == ["a", "b"] and "split_from" not in first
    assert (moved["story"], moved["split_from"], moved["split_from_story"]) == (part, first["id"], whole)
    assert rest["id"] == first["id"] and rest["version"] > first["version"] and "split_from" not in rest
    assert {c["record"] for c in moved["citations"]} == {"b", "d"} and {c["record"] for c in rest["citations"]} == {"a", "c"}
    assert "ranary" not in json.dumps(rest)


def test_page_feed_and_data_tell_of_the_split(split):
    run, before = split
    first, moved, _ = lines(run, "dispatches.jsonl")
    old, new = first["id"][:6], moved["id"][:6]
    pages = site(run)
    assert links(before[f"d/{old}/index.html"]) == []
    assert links(pages[f"d/{new}/index.html"]) == [("Split from ", f"../{old}/", f"DSP·{old.upper()}")]
    assert links(pages[f"d/{old}/index.html"]) == [("Part of this story moved to ", f"../{new}/", f"DSP·{new.upper()}")]
    assert b"ranary" not in pages[f"d/{old}/index.html"] and b"ranary" in before[f"d/{old}/index.html"] + pages[f"d/{old}/v1.json"]
    ns = {"a": "http://www.w3.org/2005/Atom"}
    related = {e.findtext("a:link[@rel='alternate']", None, ns) or e.find("a:link[@rel='alternate']", ns).attrib["href"]:
               [(n.attrib["title"], n.attrib["href"]) for n in e.findall("a:link[@rel='related']", ns)]
               for e in xml.fromstring(pages["feed.atom"]).findall("a:entry", ns)}
    home = "https://wire.example/d"
    assert related == {f"{home}/{new}/": [(f"Split from DSP·{old.upper()}", f"{home}/{old}/")],
                       f"{home}/{old}/": [(f"Part moved to DSP·{new.upper()}", f"{home}/{new}/")]}
    items = {i["url"]: i["_wire"] for i in json.loads(pages["feed.json"])["items"]}
    assert items[f"{home}/{new}/"]["split_from"]["url"] == f"{home}/{old}/"
    assert [p["url"] for p in items[f"{home}/{old}/"]["split_into"]] == [f"{home}/{new}/"]
    assert json.loads(pages[f"d/{new}/dispatch.json"])["split_from"] == first["id"]
    assert [(e["act"], e.get("split_from")) for e in lines(run, "events.jsonl")] == [
        ("dispatch", None), ("dispatch", f"DSP·{old.upper()}"), ("update", None)]


def test_the_part_keeps_its_id_and_origin_after_a_restart_and_a_repeat_publishes_nothing(tmp_path):
    run = Wire(tmp_path, CONFIG)
    for names in ("abc", "abcd", "abcd"):
        assert feed(run, names) == 0, run.logged()[-3000:]
    assert len(lines(run, "events.jsonl")) == 3
    moved = lines(run, "dispatches.jsonl")[1]
    assert feed(run, "abcdf") == 0, run.logged()[-3000:]
    more = lines(run, "dispatches.jsonl")[3:]
    assert [(d["id"], d["split_from"]) for d in more] == [(moved["id"], moved["split_from"])] and more[0]["version"] > moved["version"]
    assert "f" in {c["record"] for c in more[0]["citations"]}
    assert links(site(run)[f"d/{moved['id'][:6]}/index.html"])
    clean, text = run.audit()
    assert clean, text


@pytest.mark.parametrize("point", ["before-commit", "after-commit"])
def test_killed_in_the_middle_of_a_split_the_pages_are_the_same(split, tmp_path, point):
    whole, _ = split
    run = Wire(tmp_path, CONFIG)
    assert feed(run, "abc") == 0, run.logged()[-3000:]
    kills, at = 0, 1
    while (code := feed(run, "abcd", env={"TELEX_CRASH": f"{point}:{at}"})) == -signal.SIGKILL:
        kills += 1
        at = at % 3 + 1  # every start gets at least one commit further where it is killed after one
        if point == "before-commit" and kills >= 6:
            code = feed(run, "abcd")
            break
        assert kills < 60
    assert code == 0 and kills >= 3, run.logged()[-3000:]
    assert site(run) == site(whole)
    for name in ("stories.jsonl", "dispatches.jsonl", "events.jsonl"):
        assert [(x["id"], x["version"]) for x in lines(run, name)] == [(x["id"], x["version"]) for x in lines(whole, name)], name
    clean, text = run.audit()
    assert clean, text


def test_explain_says_which_split_moved_a_record_and_what_it_was_like(split):
    run, _ = split
    whole, part = (lines(run, "dispatches.jsonl")[i]["story"] for i in (0, 1))
    moved = run.command("explain", "wire.journal", "d").stdout
    assert f"joined story {part}" in moved and f"moved here by a split of story {whole} at version 1, on 2026-01-05 11:00 UTC" in moved
    pairs = re.findall(r"^  (\d\.\d+)  closest that it (stays with|parted from): record (\w)  (.*) \(form (\d\.\d+)\)$", moved, re.M)
    titles = {id: title for id, _, title, _ in RECORDS}
    assert [(p[1], p[2]) for p in pairs][0] == ("stays with", "b") and pairs[1][1] == "parted from" and pairs[1][2] in "ac"
    assert all(p[3] == titles[p[2]] for p in pairs)
    assert float(pairs[0][0]) >= 0.5 > float(pairs[1][0]) and "a pair scores 0.500 or more with a form of 0.45" in moved
    assert "No live story" not in moved
    stayed = run.command("explain", "wire.journal", "a").stdout
    assert f"founded story {whole}" in stayed and "stayed here in a split of this story at version 1" in stayed
    assert re.search("stays with: record c", stayed) and re.search("parted from: record [bd]", stayed)
