# SPDX-License-Identifier: Apache-2.0
"""Versions, acts, printed ids, and what a run cut short leaves behind."""
import hashlib
import json
import xml.etree.ElementTree as xml

import pytest

from site_tools import fixture, render, seed

HOUR = 3600000


def later(hours, **changes):
    return seed(last_ms=seed()["last_ms"] + hours * HOUR, **changes)


def everything(run):
    return "\n".join(data.decode() for path, data in run.tree().items() if "assets/" not in path)


def test_the_event_names_what_was_published_and_its_files(tmp_path):
    run = render(tmp_path, [seed()])
    event = run.events[0]
    assert event["schema"] == "telex.event/1" and event["act"] == "dispatch" and event["dsp"] == "DSP·54E470"
    assert (event["id"], event["version"], event["seq"]) == (seed()["id"], 1, 1)
    assert event["address"] == "https://wire.example/d/54e470/" and event["time_ms"] == seed()["last_ms"]
    assert {f["path"] for f in event["files"]} == {f"d/54e470/{n}" for n in (
        "index.html", "dispatch.json", "ninjs.json", "evidence.json", "article.jsonld", "v1.json")}
    for file in event["files"]:
        data = (run.root / file["path"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(data).hexdigest() and file["bytes"] == len(data)


def test_the_same_version_twice_is_published_once(tmp_path):
    assert len(render(tmp_path, [seed(), seed()]).events) == 1
    again = render(tmp_path, [seed()])
    assert again.events == [] and "published already" in again.errors
    other = render(tmp_path, [seed(headline="Another text under the same version")])
    assert other.events == [] and "give a change a new version" in other.errors
    assert "Another text" not in everything(other)


def test_an_older_version_never_replaces_a_newer_one(tmp_path):
    run = render(tmp_path, [later(1, version=3, headline="Third"), seed(version=2, headline="Second")])
    assert [e["version"] for e in run.events] == [3] and "older than the published version 3" in run.errors
    assert run.page("d/54e470/index.html").one("h1").text == "Third"


def test_an_update_says_so_and_keeps_the_address(tmp_path):
    run = render(tmp_path, [seed(), later(2, version=2, headline="More is known now")])
    assert [(e["act"], e["seq"], e["path"]) for e in run.events] == [("dispatch", 1, "d/54e470/"), ("update", 2, "d/54e470/")]
    page = run.page("d/54e470/index.html")
    assert page.one("h1").text == "More is known now" and "Updated 18 March 2026, 09:15" in page.text.replace("\xa0", " ")
    assert page.all("p", "correction") == []
    assert [n.text.split()[1] for n in page.one("section", "versions").walk() if n.tag == "a"] == ["1", "2"]
    assert run.json("d/54e470/v1.json")["headline"] == seed()["headline"]
    assert run.json("d/54e470/v2.json")["headline"] == "More is known now"
    assert "Updated" in run.page("index.html").text
    data = page.linked_data()["@graph"][0]
    assert (data["datePublished"], data["dateModified"]) == ("2026-03-18T07:15:00Z", "2026-03-18T09:15:00Z")


def test_a_correction_is_never_silent(tmp_path):
    note = "An earlier version gave the sum as $62 billion."
    run = render(tmp_path, [seed(), later(1, version=2, corrections=[{"type": "correction", "text": note}]),
                            later(2, version=3, corrections=[{"type": "correction", "text": note}])])
    assert [e["act"] for e in run.events] == ["dispatch", "correction", "update"]
    assert run.events[1]["note"] == note
    page = run.page("d/54e470/index.html")
    assert note in page.one("p", "correction").text, "an update after it does not take the note away"
    assert page.source.index(note) < page.source.index('class="story"')
    assert note in run.page("corrections/index.html").text
    assert note in run.text("feed.rss") and note in run.json("feed.json")["items"][0]["content_html"]
    assert page.linked_data()["@graph"][0]["correction"][0]["text"] == note


def test_a_kill_keeps_the_address_and_nothing_of_the_text(tmp_path):
    secret = "A sentence that should never have been published."
    bad = seed(headline="Withdrawn headline text", dek="Withdrawn dek text")
    bad["body"][0]["sentences"][0]["text"] = secret
    run = render(tmp_path, fixture("wire.jsonl")[:3] + [bad, {**later(1, version=2, headline="Second wrong headline"), "body": bad["body"]},
                            later(2, version=3, status="canceled", ed_note="The records were of another year.", body=[], headline="Killed headline")])
    assert [e["act"] for e in run.events][3:] == ["dispatch", "update", "kill"]
    assert "DSP·54E470" in run.page("corrections/index.html").text
    assert run.events[-1]["headline"] == "" and run.events[-1]["note"] == "The records were of another year."
    page = run.page("d/54e470/index.html")
    assert page.one("h1").text == "This dispatch was withdrawn" and "of another year" in page.text
    assert any(n.attrs.get("name") == "robots" and n.attrs["content"] == "noindex" for n in page.all("meta"))
    assert "Withdrawn 18 March 2026" in page.text and "DSP·54E470" in page.text
    all_text = everything(run)
    for text in (secret, "Withdrawn headline text", "Withdrawn dek text", "Second wrong headline", "Killed headline"):
        assert text not in all_text, text
    assert not (run.root / "d/54e470/article.jsonld").exists()
    assert run.json("d/54e470/v1.json")["status"] == "canceled" and len(run.json("d/54e470/v1.json")["sha256"]) == 64
    assert "54e470" not in run.text("sitemap.xml") and "d/54e470/" not in run.text("index.html")
    assert "of another year" in run.page("corrections/index.html").text
    assert "DSP·54E470" in run.page("archive/2026-03-18/index.html").text


def test_a_killed_dispatch_stays_killed(tmp_path):
    render(tmp_path, [seed(), later(1, version=2, status="canceled")])
    run = render(tmp_path, [later(2, version=3)])
    assert run.events == [] and "withdrawn for good" in run.errors and "refused" in run.errors


def test_what_nobody_saw_is_not_announced(tmp_path):
    for status in ("withheld", "canceled"):
        run = render(tmp_path / status, [seed(status=status)])
        assert run.events == [] and not (run.root / "d").exists() and "before anyone saw it" in run.errors
    run = render(tmp_path / "withheld", [seed(version=2)])
    assert [(e["act"], e["seq"]) for e in run.events] == [("dispatch", 1)]


def test_a_published_dispatch_can_be_withheld_and_released(tmp_path):
    run = render(tmp_path, [seed(), later(1, version=2, status="withheld")])
    assert run.events[-1]["act"] == "withhold" and run.page("d/54e470/index.html").one("h1").text == "This dispatch is withheld"
    assert seed()["headline"] not in everything(run)
    run = render(tmp_path, [later(2, version=3)])
    assert run.events[-1]["act"] == "update" and run.page("d/54e470/index.html").one("h1").text == seed()["headline"]


def test_a_merged_dispatch_says_where_it_went(tmp_path):
    other = fixture("wire.jsonl")[0]
    run = render(tmp_path, [other, seed(), later(1, version=2, merged_into=other["id"])])
    notice = run.page("d/54e470/index.html").one("p", "notice")
    assert "merged" in notice.text and [n.attrs["href"] for n in notice.walk() if n.tag == "a"] == ["../a1f40c/"]
    assert seed()["headline"] not in run.page("index.html").text and seed()["headline"] not in run.text("feed.rss")
    run = render(tmp_path / "d", [other, seed(), later(1, version=2, status="canceled", merged_into=other["id"], body=[],
                                                     headline="", ed_note="It goes on there.")])
    assert run.events[-1]["act"] == "merge"
    page = run.page("d/54e470/index.html")
    assert page.one("h1").text == "This story goes on in another dispatch" and "It goes on there." in page.text
    assert "../a1f40c/" in [n.attrs["href"] for n in page.one("header", "lead").walk() if n.tag == "a"]
    assert seed()["headline"] not in everything(run) and "DSP·54E470" not in run.page("corrections/index.html").text
    assert "Merged into another" in run.page("archive/2026-03-18/index.html").text
    run = render(tmp_path / "d", [later(2, version=3)])
    assert run.events[-1]["act"] == "update" and run.page("d/54e470/index.html").one("h1").text == seed()["headline"]
    run = render(tmp_path / "b", [other, seed(superseded_by=other["id"])])
    assert "overtook" in run.page("d/54e470/index.html").one("p", "notice").text
    run = render(tmp_path / "c", [seed(merged_into="f" * 32)])
    assert "another dispatch" in run.page("d/54e470/index.html").one("p", "notice").text


def test_what_the_gate_refused_is_named_but_not_published(tmp_path):
    false = "The programme is worth 90 billion dollars."
    dispatch = seed()
    dispatch["body"][0]["sentences"][0]["checks"] = {"passed": ["numbers"], "refused": [{"rule": "numbers", "why": "90 is in no record", "text": false}]}
    dispatch["support"] = {"headline": {"text": dispatch["headline"], "citations": dispatch["body"][0]["sentences"][0]["citations"],
                                        "checks": {"passed": ["names"], "refused": [{"rule": "names", "why": "x", "text": false}]}}}
    run = render(tmp_path, [dispatch])
    assert false not in everything(run)
    lines = {line["id"]: line for line in run.json("d/54e470/evidence.json")["sentences"]}
    assert lines["p1-1"]["checks"]["refused"] == [{"rule": "numbers", "why": "90 is in no record"}]
    assert lines["headline"]["text"] == dispatch["headline"] and lines["headline"]["spans"][0]["source"] == 1


def test_how_it_was_made_reads_as_words(tmp_path):
    run = render(tmp_path, [seed(provenance={"model": "m", "checks": {"jobs": 12, "tainted_sentences": 0, "refused": {"numbers": 2}},
                                             "plugins": {"write-transformer": "0.1.0"}, "seed": 7})])
    facts = [n.text for n in run.page("d/54e470/index.html").one("dl").walk() if n.tag in ("dt", "dd")]
    assert facts == ["Model", "m", "Seed", "7", "Plugins", "write-transformer 0.1.0", "Checks", "jobs 12, tainted sentences 0, refused (numbers 2)"]


# --- printed ids ---------------------------------------------------------------------------------

def test_printed_ids_are_the_shortest_free_prefix_in_order_of_publication(tmp_path):
    ids = ["abcdef" + "0" * 26, "abcdef0" + "1" * 25, "abcdef00" + "2" * 24, "abcdee" + "0" * 26]
    run = render(tmp_path, [seed(id=i) for i in ids])
    assert [e["dsp"] for e in run.events] == ["DSP·ABCDEF", "DSP·ABCDEF0", "DSP·ABCDEF00", "DSP·ABCDEE"]
    run = render(tmp_path, [later(1, id=i, version=2) for i in ids])
    assert [e["path"] for e in run.events] == ["d/abcdef/", "d/abcdef0/", "d/abcdef00/", "d/abcdee/"]
    other = render(tmp_path / "other", [seed(id=i) for i in reversed(ids)])
    assert [e["dsp"] for e in other.events] == ["DSP·ABCDEE", "DSP·ABCDEF", "DSP·ABCDEF0", "DSP·ABCDEF00"]


def test_an_id_that_is_not_hex_gets_a_printed_one_all_the_same(tmp_path):
    run = render(tmp_path, [seed(id="../../évil id"), seed(id="x")])
    assert len({e["dsp"] for e in run.events}) == 2
    for event in run.events:
        assert (run.root / event["path"] / "index.html").is_file()


# --- bad records ---------------------------------------------------------------------------------

@pytest.mark.parametrize("change, field", [
    ({"schema": "telex.story/1"}, "schema"), ({"id": ""}, "id"), ({"id": 7}, "id"), ({"id": "x" * 65}, "id"), ({"version": -1}, "version"),
    ({"version": "1"}, "version"), ({"status": "draft"}, "status"), ({"status": None}, "status"), ({"headline": ""}, "headline"),
    ({"headline": None}, "headline"), ({"headline": ["x"]}, "headline"), ({"headline": " \u200b\u202e "}, "headline"), ({"body": []}, "body"),
    ({"body": {}}, "body"), ({"body": [{"sentences": [{"text": ""}]}]}, "body"), ({"dek": "d" * 70000}, "dek"), ({"dek": {}}, "dek"),
    ({"body": [["s"]] * 300}, "body"), ({"faq": [{}] * 60}, "faq"), ({"citations": [{}] * 3000}, "citations")])
def test_a_bad_record_is_refused_with_its_field(tmp_path, change, field):
    run = render(tmp_path, [seed(**change), fixture("wire.jsonl")[0]])
    assert f"refused: dispatch: {field}:" in run.errors
    assert [e["id"] for e in run.events] == [fixture("wire.jsonl")[0]["id"]], "the next one is not held up"


def test_a_record_nested_without_end_is_refused(tmp_path):
    deep = "[" * 60 + "]" * 60
    run = render(tmp_path, [json.dumps(seed())[:-1] + ', "extra": ' + deep + "}"])
    assert run.events == [] and "nested deeper" in run.errors


def test_other_shapes_of_body_and_answers_are_read(tmp_path):
    flat = seed(body=seed()["body"][0]["sentences"])
    arrays = seed(body=[p["sentences"] for p in seed()["body"]])
    plain = seed(body=["One plain paragraph."], faq=[{"question": "Why?", "answer": "Because."}])
    pages = [render(tmp_path / str(i), [d]).page("d/54e470/index.html") for i, d in enumerate((seed(), flat, arrays, plain))]
    assert pages[0].source == pages[1].source == pages[2].source
    assert "One plain paragraph." in pages[3].text and "Because." in pages[3].text


@pytest.mark.parametrize("ms", [0, -1, 2**62, 253402300800000, -2**62])
def test_a_time_that_cannot_be_is_not_believed(tmp_path, ms):
    dispatch = seed(last_ms=ms)
    for citation in dispatch["citations"]:
        citation["published_ms"] = ms
    run = render(tmp_path, [dispatch], now_ms=1800000000000)
    assert run.code == 0 and run.events[0]["time_ms"] == 1800000000000


def test_by_the_clock_a_version_is_as_old_as_its_acceptance(tmp_path):
    run = render(tmp_path, [seed()], time="clock", now_ms=1800000000000)
    assert run.events[0]["time_ms"] == 1800000000000 and "15 January 2027" in run.page("d/54e470/index.html").text


# --- cut short -----------------------------------------------------------------------------------

@pytest.mark.parametrize("point", ["accepted", "rendered", "settled"])
@pytest.mark.parametrize("acts", ["first", "update", "kill"])
def test_a_run_cut_short_between_two_steps_publishes_once(tmp_path, point, acts):
    work = {"first": [seed()], "update": [later(1, version=2, headline="Updated")],
            "kill": [later(1, version=2, status="canceled", ed_note="Wrong.")]}[acts]
    before = fixture("wire.jsonl")[:3] + ([] if acts == "first" else [seed()])
    whole = render(tmp_path / "whole", before + work)
    render(tmp_path / "cut", before)
    cut = render(tmp_path / "cut", work, crash=point)
    assert cut.code == 9 and cut.events == []
    again = render(tmp_path / "cut", work)
    assert again.events == whole.events[-1:] and again.tree() == whole.tree()
    assert render(tmp_path / "cut", work).events == []


def test_the_next_start_goes_on_without_being_given_the_record_again(tmp_path):
    render(tmp_path, [seed()], crash="accepted")
    run = render(tmp_path, [])
    assert len(run.events) == 1 and (run.root / "d/54e470/index.html").is_file()


def test_the_pages_are_in_place_before_the_event(tmp_path):
    cut = render(tmp_path, [seed()], crash="rendered")
    assert (cut.root / "d/54e470/index.html").is_file() and cut.events == []


def test_a_disk_that_refuses_loses_nothing(tmp_path):
    render(tmp_path, fixture("wire.jsonl")[:1])
    (tmp_path / "site/d/54e470").write_text("in the way")
    run = render(tmp_path, [seed()])
    assert run.code == 4 and "cannot write d/54e470/" in run.errors and run.events == []
    (tmp_path / "site/d/54e470").unlink()
    run = render(tmp_path, [])
    assert len(run.events) == 1 and run.page("d/54e470/index.html").one("h1").text == seed()["headline"]


def test_a_root_that_is_no_folder_is_named(tmp_path):
    import subprocess
    from site_tools import RENDER
    (tmp_path / "site").write_text("a file")
    run = subprocess.run([RENDER, str(tmp_path / "site"), str(tmp_path / "store.json")], input="", capture_output=True, text=True)
    assert run.returncode == 1 and str(tmp_path / "site") in run.stderr and "Not a directory" in run.stderr


def links(page):
    return [(n.text, n.attrs["href"]) for p in page.all("p", "split") for n in p.walk() if n.tag == "a"]


def split_pair():
    """A dispatch, its next version without what moved, and the dispatch that the part became."""
    part = {**fixture("wire.jsonl")[0], "split_from": seed()["id"], "split_from_story": "s1"}
    return part, seed(), later(1, version=2, headline="What is left of it")


def test_a_split_is_told_on_both_pages_in_feeds_and_data_whatever_came_first(tmp_path):
    part, whole, rest = split_pair()
    trees = []
    for name, order in (("part", [part, whole, rest]), ("whole", [whole, part, rest]), ("late", [whole, rest, part])):
        run = render(tmp_path / name, order)
        assert len(run.events) == 3 and len({(e["id"], e["version"]) for e in run.events}) == 3
        new, old = run.page("d/a1f40c/index.html"), run.page("d/54e470/index.html")
        assert links(new) == [("DSP·54E470", "../54e470/")] and "Split from DSP·54E470" in new.text
        assert links(old) == [("DSP·A1F40C", "../a1f40c/")] and "Part of this story moved to DSP·A1F40C" in old.text
        told = {e["id"]: e.get("split_from") for e in run.events}
        assert told == {part["id"]: None if name == "part" else "DSP·54E470", whole["id"]: None}
        ns = {"a": "http://www.w3.org/2005/Atom"}
        atom = {e.findtext("a:id", None, ns): [(n.attrib["title"], n.attrib["href"]) for n in e.findall("a:link[@rel='related']", ns)]
                for e in xml.fromstring(run.text("feed.atom")).findall("a:entry", ns)}
        items = {i["id"]: i for i in run.json("feed.json")["items"]}
        assert sorted(atom) == sorted(items) and len(items) == 2
        for urn, item in items.items():
            if item["url"].endswith("/a1f40c/"):
                assert atom[urn] == [("Split from DSP·54E470", "https://wire.example/d/54e470/")]
                assert item["_wire"]["split_from"]["url"] == "https://wire.example/d/54e470/"
                assert item["_wire"]["split_from"]["id"] in items and "split_into" not in item["_wire"]
                assert 'Split from <a href="https://wire.example/d/54e470/">' in item["content_html"]
            else:
                assert atom[urn] == [("Part moved to DSP·A1F40C", "https://wire.example/d/a1f40c/")]
                assert [p["dsp"] for p in item["_wire"]["split_into"]] == ["DSP·A1F40C"]
        assert run.json("d/a1f40c/dispatch.json")["split_from"] == whole["id"]
        assert run.json("d/a1f40c/evidence.json")["split_from"]["dsp"] == "DSP·54E470"
        assert run.json("d/54e470/evidence.json")["split_into"][0]["dsp"] == "DSP·A1F40C"
        again = render(tmp_path / name, order)
        assert again.events == [] and again.tree() == run.tree()
        trees.append(run.tree())
    assert trees[0]["d/54e470/dispatch.json"] == trees[1]["d/54e470/dispatch.json"] == trees[2]["d/54e470/dispatch.json"]


def test_a_split_alone_says_nothing_and_one_that_is_taken_back_neither(tmp_path):
    part, whole, rest = split_pair()
    run = render(tmp_path, [part])
    assert links(run.page("d/a1f40c/index.html")) == [] and "Split from" not in run.text("feed.atom")
    run = render(tmp_path, [whole])
    assert links(run.page("d/a1f40c/index.html")) and links(run.page("d/54e470/index.html"))
    back = {"schema": "telex.dispatch/1", "id": part["id"], "version": part["version"] + 1, "status": "canceled",
            "merged_into": whole["id"], "ed_note": "It is one event after all."}
    run = render(tmp_path, [back])
    assert links(run.page("d/54e470/index.html")) == [] and "moved to" not in run.text("feed.rss")
    assert "goes on in DSP·54E470" in run.page("d/a1f40c/index.html").text
    run = render(tmp_path / "self", [seed(split_from=seed()["id"])])
    assert links(run.page("d/54e470/index.html")) == []


def test_a_page_that_names_a_dispatch_that_comes_later_gets_the_link_then(tmp_path):
    other = fixture("wire.jsonl")[0]
    gone = later(1, version=2, status="canceled", merged_into=other["id"], body=[], headline="")
    assert "another dispatch" in render(tmp_path, [seed(), gone]).page("d/54e470/index.html").one("header", "lead").text
    page = render(tmp_path, [other]).page("d/54e470/index.html")
    assert "../a1f40c/" in [n.attrs["href"] for n in page.one("header", "lead").walk() if n.tag == "a"]


@pytest.mark.parametrize("point", ["accepted", "rendered", "settled"])
def test_a_split_that_is_cut_short_is_the_same_afterwards(tmp_path, point):
    part, whole, rest = split_pair()
    whole_run = render(tmp_path / "whole", [whole, rest, part])
    render(tmp_path / "cut", [whole, rest])
    render(tmp_path / "cut", [part], crash=point)
    assert render(tmp_path / "cut", [part]).tree() == whole_run.tree()
