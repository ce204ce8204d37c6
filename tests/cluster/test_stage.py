# SPDX-License-Identifier: Apache-2.0
"""cluster-story as its users meet it: `telex stage cluster-story`, records in, stories out."""
import collections
import json
import os
import pathlib
import re
import subprocess

import pytest

import hard
import reuters
import scoring

TELEX = os.environ["TELEX_PROGRAM"]
HERE = pathlib.Path(__file__).parent
DATA = pathlib.Path(os.environ.get("TELEX_SHARED_DATA", HERE / "../../../shared/data")) / "clustering"


def stage(lines, *options, log="warn"):
    """Run the stage over lines of JSON; gives its output lines and its log."""
    args = [TELEX, "stage", "-l", log, "cluster-story"]
    for option in options:
        args += ["-o", option]
    done = subprocess.run(args, input="".join(line.rstrip("\n") + "\n" for line in lines), capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines(), done.stderr


def record(id, title, outlet="one.example", hours=0, **fields):
    ms = 1767600000000 + hours * 3600000
    return json.dumps({"schema": "telex.record/1", "id": id, "title": title, "outlet": outlet, "published_ms": ms,
                       "fetched_ms": ms, **fields})


def read(lines):
    return [json.loads(line) for line in lines]


def standing(lines):
    """The record sets of the stories that stand at the end."""
    last = {}
    for story in read(lines):
        last[story["id"]] = story
    return [set(s["records"]) for s in last.values() if s["state"] != "merged"]


BRIDGE = [record("a", "Harbour bridge in Eastmere closed after ferry collision"),
          record("b", "Ferry collision closes Eastmere harbour bridge", "two.example", 1),
          record("c", "Rain expected over the western isles", "two.example", 2)]


def test_a_story_has_every_field_of_the_schema():
    stories = read(stage(BRIDGE)[0])
    assert [s["version"] for s in stories] == [1, 2, 1]
    last = stories[1]
    assert last["schema"] == "telex.story/1" and re.fullmatch("[0-9a-f]{32}", last["id"])
    assert last["id"] == stories[0]["id"] != stories[2]["id"]
    assert last["records"] == ["a", "b"] and last["outlets"] == ["one.example", "two.example"]
    assert (last["first_ms"], last["last_ms"]) == (1767600000000, 1767603600000)
    assert last["state"] == "open" and last["gate"] == "open" and last["news"] is True
    assert last["reports"] == 2 and last["independent"] == 2 and last["copies"] == 0
    assert last["label"] in ("Harbour bridge in Eastmere closed after ferry collision",
                             "Ferry collision closes Eastmere harbour bridge")
    assert last["breaking"] > 0 and "merged_into" not in last


def test_gated_hands_over_only_what_should_be_written():
    stories = read(stage(BRIDGE, "emit=gated")[0])
    assert [s["records"] for s in stories] == [["a", "b"]]
    assert read(stage(BRIDGE, "emit=gated", "gate_outlets=3")[0]) == []
    assert len(read(stage(BRIDGE, "emit=gated", "gate_outlets=0", "gate_records=1")[0])) == 2


def test_an_edited_record_stays_in_its_story():
    edited = record("a", "Harbour bridge in Eastmere open again", hours=5, version=2)
    stories = read(stage(BRIDGE + [edited])[0])
    assert stories[-1]["records"] == ["a", "b"] and stories[-1]["reason"] == "edited"


def test_every_decision_is_explained_at_debug_level():
    _, log = stage(BRIDGE, log="debug")
    lines = [line for line in log.splitlines() if "record b and story" in line]
    assert len(lines) == 1
    for part in ("join, score", "profile", "member", "evidence", "time", "conflict", "outlet"):
        assert part in lines[0]
    assert any("record c: new" in line or "record c and story" in line for line in log.splitlines())


def test_an_option_out_of_range_is_refused():
    done = subprocess.run([TELEX, "stage", "-o", "quorum=7", "cluster-story"], input="", capture_output=True, text=True,
                          timeout=60)
    assert done.returncode != 0 and "quorum" in done.stderr


def test_two_runs_say_the_same_bytes():
    lines = (HERE / "data" / "look-alikes.jsonl").read_text().splitlines()
    assert stage(lines)[0] == stage(lines)[0]


def test_paraphrases_join_and_look_alikes_stay_apart():
    """Sixty records in our own words: `event` is what each reports; look-alikes stand alone."""
    lines = (HERE / "data" / "look-alikes.jsonl").read_text().splitlines()
    events = {r["id"]: r["event"] for r in read(lines)}
    titles = {r["id"]: r["title"] for r in read(lines)}
    stories = standing(stage(lines)[0])
    assert sorted(i for s in stories for i in s) == sorted(events)
    welded = [[titles[i] for i in s] for s in stories if len({events[i] for i in s}) > 1]
    assert len(welded) <= 1, welded
    found = scoring.score(events, {i: str(n) for n, s in enumerate(stories) for i in s})
    assert found["pair_r"] >= 90, found


def test_the_hard_set_stays_where_it_is():
    """Floors a few pairs below what stands: a change that loses pairs must be seen."""
    found = {i: n for n, s in enumerate(standing(stage(hard.lines())[0])) for i in s}
    counts, wrong = hard.judge(found)
    right = {kind: counts[kind, False][0] + counts[kind, True][0] for kind in ("join", "apart")}
    assert right["join"] >= 183 and right["apart"] >= 180, (right, wrong)


# ---- data of others, read where it lies ----


def floors(name):
    if not (DATA / f"{name}.records.jsonl").exists():
        pytest.skip(f"no shared data: {name}")
    gold = scoring.read_gold(DATA / f"{name}.gold.tsv")
    lines, _ = stage((DATA / f"{name}.records.jsonl").read_text(encoding="utf8").splitlines())
    found = scoring.score(gold, scoring.assignment(lines, gold))
    print(name, {k: round(v, 1) for k, v in found.items()})
    return found


def test_dense_coverage_of_a_day_and_a_half():
    found = floors("uci-head-dev")
    assert found["b3_f"] >= 86, found
    assert found["weld"] <= 35, found


def test_a_beat_where_most_records_stand_alone():
    found = floors("ai-beat-dev")
    assert found["b3_f"] >= 93, found
    assert found["pair_f"] >= 66, found
    assert found["weld"] <= 10, found


EVENTS = {"Kuwait rules out emergency OPEC talks": {"n236", "n353"}, "Saudi OPEC pact": {"n248", "n352"},
          "study group on oil reserves": {"n489", "n502"}, "Marriott hotel to Four Seasons": {"n379", "n478"},
          "RMJ to British and Commonwealth": {"n331", "n441"}, "American Express and Shearson": {"n110", "n362"},
          "Viacom offers": {"n393", "n496"}}
PRICE_CUTS = {"n127", "n191", "n194", "n543"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    place = reuters.folder(str(tmp_path_factory.mktemp("reuters")))
    if not place:
        pytest.skip("the Debian package r-cran-tm is not to be had")
    return [json.dumps(r) for r in reuters.records(place)]


@pytest.mark.parametrize("outlet", ["outlet=reuters.com", "outlet="])
def test_the_archive_makes_its_stories_and_no_others(archive, outlet):
    stories = standing(stage(archive, outlet, "gate_outlets=0", "gate_records=2")[0])
    for event, wanted in EVENTS.items():
        assert wanted in stories, event
    others = [s for s in stories if len(s) > 1 and s not in EVENTS.values()]
    assert all(s <= PRICE_CUTS for s in others), others


def test_the_archive_hands_over_about_eight_stories(archive):
    stories = read(stage(archive, "emit=gated", "outlet=reuters.com", "gate_outlets=0", "gate_records=2")[0])
    assert 7 <= len({s["id"] for s in stories}) <= 9
    assert all(s["gate"] == "open" and len(s["records"]) >= 2 for s in stories if s["state"] == "open")


# ---- bad input ----


def test_records_that_are_hardly_any_are_kept():
    lines = [json.dumps({"schema": "telex.record/1", "id": "bare"}),
             record("huge", "A huge body", text="word " * 200000),
             record("control", "\x01\x02 tab\tand\x1b[31m red"),
             record("script", "<script>alert(1)</script> <|im_start|>system"),
             record("mixed", "東京で地震 Землетрясение в Токио tremor in Tokyo"),
             record("future", "From the year 3000", hours=9000000),
             record("types", "numbers", text=7, url=[], published_ms="soon")]
    stories = standing(stage(lines)[0])
    assert sorted(i for s in stories for i in s) == sorted(json.loads(line)["id"] for line in lines)


def test_a_flood_of_copies_is_one_story_and_bounded():
    lines = [record(f"copy-{i}", "Storm closes the northern passes for a third day", f"o{i % 7}.example")
             for i in range(10000)]
    out, _ = stage(lines, "explain=false")
    last = read(out)[-1]
    assert len({s["id"] for s in read(out)}) == 1
    assert last["gate"] == "shut" and last["reports"] == 1
    assert sum(len(line) for line in out) < 4 << 20
    assert len(last["records"]) <= 1024


def test_all_equal_guids_are_versions_of_one_record():
    lines = [record("same", f"Item {n} of a feed whose items all have one guid", hours=n) for n in range(200)]
    out, _ = stage(lines)
    assert {tuple(s["records"]) for s in read(out)} == {("same",)}
    assert len({s["id"] for s in read(out)}) == 1


def test_dates_far_in_the_future_do_not_retire_what_is_live():
    now = record("now", "Harbour bridge in Eastmere closed after ferry collision")
    ahead = json.loads(record("ahead", "Seed catalogue for next century"))
    ahead["published_ms"] += 10**12
    later = record("later", "Ferry collision closes Eastmere harbour bridge", "two.example", 1)
    stories = standing(stage([now, json.dumps(ahead), later])[0])
    assert {"now", "later"} in stories and {"ahead"} in stories


def test_empty_and_one_word_titles_found_no_common_story():
    titles = ["", " ", "Update", "Live", "Eastmere", "...", "\u200b", "AI", "2026", "$$$"] * 20
    lines = [record(f"t{n}", title, f"o{n}.example", n // 10) for n, title in enumerate(titles)]
    stories = standing(stage(lines)[0])
    assert sorted(i for s in stories for i in s) == sorted(f"t{n}" for n in range(len(lines)))
    empty = {f"t{n}" for n, title in enumerate(titles) if not title.strip(" .\u200b$")}
    assert all(len(s) == 1 for s in stories if s & empty)


def test_languages_side_by_side_join_within_and_not_across():
    lines = [record("en1", "Earthquake of magnitude 6.1 strikes Tokyo bay"),
             record("ru1", "Землетрясение магнитудой 6.1 произошло в Токийском заливе", "two.example"),
             record("ja1", "東京湾でマグニチュード6.1の地震", "three.example"),
             record("ru2", "В Токийском заливе произошло землетрясение магнитудой 6.1", "four.example", 1),
             record("en2", "Tokyo bay struck by magnitude 6.1 earthquake", "five.example", 1),
             record("ar1", "زلزال بقوة 6.1 درجة يضرب خليج طوكيو", "six.example", 1)]
    stories = standing(stage(lines)[0])
    assert {"en1", "en2"} in stories and {"ru1", "ru2"} in stories and sum(map(len, stories)) == 6


@pytest.mark.parametrize("join", [0.56, 0.6, 0.64])
def test_a_storm_of_merges_is_bounded_and_loses_nothing(join):
    """Two hundred pairs of titles, twenty of each of ten towns. A pair's names keep it apart from the other pairs until
    both its titles are in; then its town's story, which needs less to merge than to be joined, takes it."""
    towns = "Eastmere Pellworth Tolvar Osmund Norlund Carrow Penrose Lindholm Corvale Hadlow".split()
    lines = []
    for n in range(200):
        town, who = towns[n % 10], f"Qua{n}th Rim{n}d"
        lines.append(record(f"a{n}", f"Dike at {town} breaks, says {who}", f"o{2 * n % 37}.example", n // 20))
        lines.append(record(f"b{n}", f"{who} says dike at {town} breaks", f"o{(2 * n + 1) % 37}.example", n // 20))
    out, log = stage(lines, f"join={join}", "join_rise=0", "merge=0.05", "quorum=0.05", "quorum_pair=0.05",
                     "same_outlet=0", "contrast=0", "form=20", "conflict=0", "density=0", "split=0", log="debug")
    assert sorted(i for s in standing(out) for i in s) == sorted(f"{k}{n}" for k in "ab" for n in range(200))
    merged = [s["state"] == "merged" for s in read(out)]
    assert sum(merged) > 150 and log.count(": merge, profiles") == sum(merged)
    # A record causes at most four merges for its own story and four for each of the three that are looked at again.
    longest = max(len(run) for run in "".join("m" if m else " " for m in merged).split())
    assert longest <= 16
    assert len(out) <= len(lines) + 2 * sum(merged)


def test_a_flood_of_near_duplicates_is_one_story_bounded_and_logged():
    """One page again and again, each time with another number of its last word: no two are equal."""
    words = ("harbour ferry bridge captain pillar morning traffic stopped divers inspection repair council engineers barge "
             "tide fog lights crew passengers rescue helicopter quay steel crane report closed")
    body = " ".join([words] * 4)
    lines = [record(f"near-{n}", "Ferry strikes harbour bridge in Eastmere", f"o{n % 7}.example", text=f"{body} page {n}")
             for n in range(6000)]
    out, log = stage(lines, log="debug")
    last = read(out)[-1]
    assert len({s["id"] for s in read(out)}) == 1
    assert last["gate"] == "shut" and last["independent"] <= 1  # one hand, however often it writes
    assert last["copies"] < 10  # they are revisions, not copies
    assert log.count(": revision of near-") > 5900
    assert len(out) < 6000 / 8 and sum(map(len, out)) < 4 << 20
    assert len(last["records"]) * 9 >= 6000 * 8 - 9


def test_a_flood_of_one_form_filled_again_and_again_is_bounded():
    """Six thousand titles that differ in one number are as many stories, and none of them opens the gate."""
    lines = [record(f"form-{n}", f"Ferry strikes harbour bridge in Eastmere, {n} vehicles held up", f"o{n % 7}.example")
             for n in range(6000)]
    out, log = stage(lines, log="debug")
    assert sorted(i for s in standing(out) for i in s) == sorted(f"form-{n}" for n in range(6000))
    assert {s["gate"] for s in read(out)} == {"shut"}
    assert all(f"record form-{n}" in log for n in range(6000))
    assert len(out) <= 2 * 6000 and max(map(len, out)) < 4096
