# SPDX-License-Identifier: Apache-2.0
"""The pages, as a reader and a browser without scripts meet them."""
import gzip
import json
import re
import urllib.parse

import pytest

from site_tools import fixture, render, seed

HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'><svg/onload=alert(1)>", "</script><script>alert(1)</script>",
    "<!--", "]]>", "</title><h1>x</h1>", "<style>*{display:none}</style>", "{{7*7}}", "${7*7}", "%h%r%n%s", "&lt;b&gt;", "&#60;b&#62;",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>", "\u202egnitirw sdrawkcab", "a\u0000b", "line\r\nbreak",
    "\ufeff\u200b\u2066hidden\u2069", "<a href=\"javascript:alert(1)\">x</a>", "\\u003cscript\\u003e", "x" * 10000, "\U000e0041tag",
]


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    return render(tmp_path_factory.mktemp("wire"), fixture("wire.jsonl"), publisher="Example Press", contact="desk@wire.example")


def test_the_page_has_every_part_of_a_dispatch(wire):
    page, dispatch = wire.page("d/54e470/index.html"), seed()
    assert page.one("a", "on-air").text == "Live wire"
    assert [n.text for n in page.one("p", "kicker").children if not isinstance(n, str)] == ["Live wire", "Dispatch", "DSP·54E470"]
    assert page.one("p", "filed").text == "Filed under Open Source AI"
    assert page.one("h1").text == dispatch["headline"]
    assert page.one("p", "dek").text == dispatch["dek"]
    assert page.one("section", "story").children[1].text == dispatch["section_heading"]
    assert page.one("span", "counts").text == "5 records · 4 web citations"
    assert page.one("span", "kind").text == "News"
    faq = page.one("section", "faq")
    assert [n.text for n in faq.walk() if n.tag == "h2"] == ["Frequently asked"]
    assert [n.text for n in faq.walk() if n.tag == "h3"] == [q["question"] for q in dispatch["faq"]]
    assert page.one("section", "made").children[1].text == "Wire methodology"
    assert dispatch["methodology"] in page.text
    assert [a.text for n in page.all("ol", "stages") for a in n.walk() if a.tag == "a"] == ["Signal", "Cluster", "Write", "Wire"]
    assert page.one("h1").tag == "h1" and len(page.all("article")) == 1
    for paragraph in dispatch["body"]:
        for sentence in paragraph["sentences"]:
            assert sentence["text"] in page.text.replace("\xa0", " ") or sentence["text"] in page.source.replace("&#39;", "'")


def test_the_label_that_an_ai_system_wrote_it_stands_above_the_body(wire):
    page = wire.page("d/54e470/index.html")
    label = page.one("p", "label")
    assert "Written by an AI system." in label.text and "No human editor" in label.text
    assert any(n.tag == "a" and n.attrs["href"].endswith("method/") for n in label.walk())
    assert page.source.index('class="label"') < page.source.index('class="story"')
    assert "Written by an AI system." in wire.page("index.html").text


def test_every_sentence_leads_to_the_sources_that_support_it(wire):
    page, dispatch = wire.page("d/54e470/index.html"), seed()
    number = {c["record"]: i for i, c in enumerate(dispatch["citations"], 1)}
    ids = {n.attrs["id"] for n in page.root.walk() if "id" in n.attrs}
    for i, sentence in enumerate(dispatch["body"][0]["sentences"], 1):
        span = [n for n in page.all("span") if n.attrs.get("id") == f"p1-{i}"][0]
        assert span.text.startswith(sentence["text"])
        links = [a.attrs["href"] for a in span.walk() if a.tag == "a"]
        assert links == [f"#s{number[c['record']]}" for c in sentence["citations"]]
    assert all(a.attrs["href"][1:] in ids for a in page.all("a") if a.attrs["href"].startswith("#"))


def test_counts_are_counted_never_believed(tmp_path):
    dispatch = seed(web_citations=99)
    dispatch["citations"][3]["url"] = dispatch["citations"][0]["url"]
    dispatch["citations"][2]["url"] = "ftp://toolkit.example/x"
    run = render(tmp_path, [dispatch])
    assert run.page("d/54e470/index.html").one("span", "counts").text == "5 records · 2 web citations"


def test_the_evidence_binds_each_sentence_to_spans_and_checks(wire):
    evidence, dispatch = wire.json("d/54e470/evidence.json"), seed()
    lines = {line["id"]: line for line in evidence["sentences"]}
    hashes = {c["record"]: c["sha256"] for c in dispatch["citations"]}
    spoken = [(f"p{p}-{i}", s) for p, par in enumerate(dispatch["body"], 1) for i, s in enumerate(par["sentences"], 1)]
    spoken += [(f"q{q}-{i}", s) for q, faq in enumerate(dispatch["faq"], 1) for i, s in enumerate(faq["answer"], 1)]
    assert set(lines) == {key for key, _ in spoken}
    page = wire.text("d/54e470/index.html")
    for key, sentence in spoken:
        assert lines[key]["text"] == sentence["text"] and lines[key]["checks"] == sentence["checks"]
        assert f'id="{key}"' in page
        for span, given in zip(lines[key]["spans"], sentence["citations"], strict=True):
            assert {k: span[k] for k in ("record", "start", "end")} == given and span["sha256"] == hashes[given["record"]]
    assert evidence["provenance"] == dispatch["provenance"]


def test_linked_data_says_what_the_page_says(wire):
    data, dispatch = wire.page("d/54e470/index.html").linked_data(), seed()
    assert data == wire.json("d/54e470/article.jsonld") and data["@context"] == "https://schema.org"
    article, faq = data["@graph"]
    assert article["@type"] == "NewsArticle" and article["headline"] == dispatch["headline"]
    assert article["datePublished"] == article["dateModified"] == "2026-03-18T07:15:00Z"
    assert article["url"] == "https://wire.example/d/54e470/" and article["articleSection"] == "Open Source AI"
    assert article["digitalSourceType"] == "https://schema.org/TrainedAlgorithmicMediaDigitalSource"
    assert article["backstory"] == dispatch["methodology"] and len(article["citation"]) == 5
    assert article["author"]["name"] == article["publisher"]["name"] == "Example Press"
    assert [q["name"] for q in faq["mainEntity"]] == [q["question"] for q in dispatch["faq"]]
    assert "ClaimReview" not in json.dumps(data)


def test_every_page_is_well_formed_and_asks_for_nothing_foreign(wire):
    for path, data in wire.tree().items():
        if not path.endswith(".html"):
            continue
        page = wire.page(path)
        assert len(page.all("h1")) == 1, path
        assert page.source.startswith("<!doctype html>") and page.one("html").attrs["lang"]
        assert page.one("title").text and page.all("main") and page.all("nav")
        for node in page.root.walk():
            assert node.tag not in ("style", "iframe", "object", "embed", "form", "base"), (path, node.tag)
            assert not [k for k in node.attrs if k.startswith("on") or k == "style"], path
            assert node.tag != "script" or node.attrs.get("type") == "application/ld+json" or (
                "src" in node.attrs and not node.text.strip())
            for key in ("src", "href"):
                assert not (node.attrs.get(key) or "").lower().startswith(("javascript:", "data:", "//"))
        ids = [n.attrs["id"] for n in page.root.walk() if "id" in n.attrs]
        assert len(ids) == len(set(ids)), path


def test_every_link_inside_the_site_leads_somewhere(wire):
    files = wire.tree()
    for path in files:
        if not path.endswith(".html"):
            continue
        for node in wire.page(path).root.walk():
            target = node.attrs.get("href") or node.attrs.get("src")
            if not target:
                continue
            whole = urllib.parse.urljoin("https://wire.example/" + path.replace("index.html", ""), target)
            where = urllib.parse.urlparse(whole)
            if where.netloc != "wire.example":
                continue
            name = where.path.lstrip("/")
            assert (name + "index.html" if name == "" or name.endswith("/") else name) in files, (path, target)


def test_a_page_fits_the_first_round_trip(wire):
    sheet = next(p for p in wire.root.glob("assets/*.css"))
    script = next(p for p in wire.root.glob("assets/*.js"))
    for path in ("d/54e470/index.html", "index.html"):
        total = sum(len(gzip.compress(p.read_bytes(), 9)) for p in (wire.root / path, sheet, script))
        assert total <= 14 * 1024, (path, total)


def test_the_front_page_leads_with_the_newest_and_names_every_beat_once(wire):
    page = wire.page("index.html")
    titles = [n.text.strip() for n in page.all("article", "item") for n in [h for h in n.walk() if h.tag in ("h2", "h3")]]
    assert titles == [d["headline"] for d in reversed(fixture("wire.jsonl"))]
    assert page.one("body").attrs["data-seq"] == "7"
    beats = wire.page("beat/index.html")
    assert [n.text for n in beats.all("h2")] == sorted({d["beat"] for d in fixture("wire.jsonl")})
    assert "2 dispatches" in beats.text
    own = wire.page("beat/open-source-ai/index.html")
    assert len(own.all("article", "item")) == 2
    archive = wire.page("archive/index.html")
    assert [n.attrs["href"] for n in archive.one("ul", "days").walk() if n.tag == "a"] == [
        "2026-03-18/", "2026-03-17/", "2026-03-16/", "2026-03-15/", "1987-03-01/"]
    assert len(wire.page("archive/2026-03-16/index.html").all("article", "item")) == 2


def test_a_wire_of_one_dispatch_has_no_empty_column(tmp_path):
    page = render(tmp_path, [seed()]).page("index.html")
    assert len(page.all("article", "item")) == 1 and page.all("div", "second") == []
    assert page.one("section", "alone") and "Nothing older is on the wire yet." in page.text


def test_a_long_headline_is_set_smaller(tmp_path, wire):
    run = render(tmp_path, [seed(headline="A headline that goes on and on until it would fill the screen of a reader")])
    assert run.page("d/54e470/index.html").one("h1").classes() == ["long"]
    assert wire.page("d/54e470/index.html").one("h1").classes() == []


def test_an_empty_wire_has_a_front_page_too(tmp_path):
    run = render(tmp_path, [])
    assert "Nothing has been published yet" in run.page("index.html").text


# --- hostile text --------------------------------------------------------------------------------

def poisoned(text):
    dispatch = seed()
    for key in ("headline", "dek", "section_heading", "kind", "methodology", "lang"):
        dispatch[key] = "A " + text
    dispatch["body"] = [{"sentences": [{**s, "text": "A " + text} for s in dispatch["body"][0]["sentences"]]}]
    for question in dispatch["faq"]:
        question["question"] = "A " + text
        question["answer"] = [{**s, "text": "A " + text} for s in question["answer"]]
    for citation in dispatch["citations"]:
        citation["title"] = citation["outlet"] = "A " + text
    dispatch["provenance"] = {**dispatch["provenance"], "model": "A " + text, "sampler": text, "checks": [text]}
    dispatch["beat"] = "A " + text
    return dispatch


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_foreign_text_never_becomes_markup(tmp_path, text):
    plain = render(tmp_path / "plain", [poisoned("word " * 20 if len(text) > 68 else "word")])
    bad = render(tmp_path / "bad", [poisoned(text)], publisher=text.replace("\0", ""), title="t" + text.replace("\0", "").replace("\n", " "))
    assert bad.code == 0 and len(bad.events) == 1
    for path in ("index.html", "d/54e470/index.html", "beat/index.html", "archive/2026-03-18/index.html"):
        mine, theirs = plain.page(path), bad.page(path)
        if path == "index.html" or "d/" in path:
            theirs_skeleton = [s for s in theirs.skeleton()]
            assert theirs_skeleton == mine.skeleton(), path
        assert len(theirs.all("script")) == len(mine.all("script"))
    bad.page("d/54e470/index.html").linked_data()
    import xml.etree.ElementTree
    for feed in ("feed.rss", "feed.atom", "news-sitemap.xml", "sitemap.xml"):
        xml.etree.ElementTree.fromstring(bad.text(feed))
    json.loads(bad.text("feed.json"))


def test_control_and_direction_characters_reach_no_file(tmp_path):
    unfit = "\u202e\u202d\u2066\u2069\u200b\ufeff\u0007\u001b[31m\U000e0041\u0085\u061c"
    run = render(tmp_path, [poisoned("start" + unfit + "end")])
    for path, data in run.tree().items():
        text = data.decode()
        assert not re.search("[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]", text), path
    assert "start[31mend" in run.text("d/54e470/index.html")


@pytest.mark.parametrize("url", [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "data:text/html,<script>1</script>", "vbscript:x",
    "file:///etc/passwd", "//evil.example/x", "/relative", "http://", "https://exa mple/", 'https://e.example/"onmouseover=x',
    "https://e.example/<x>", "ftp://e.example/", "http:evil", "https://\u202eevil", "mailto:x@y"])
def test_only_web_addresses_become_links(tmp_path, url):
    dispatch = seed()
    dispatch["citations"][0]["url"] = url
    run = render(tmp_path, [dispatch])
    page = run.page("d/54e470/index.html")
    source = [n for n in page.all("li") if n.attrs.get("id") == "s1"][0]
    links = [n.attrs["href"] for n in source.walk() if n.tag == "a"]
    assert links in ([], ["https://evil"]), links  # the direction mark is taken out before the address is judged
    for feed in ("feed.rss", "feed.atom", "feed.json", "d/54e470/ninjs.json", "d/54e470/article.jsonld"):
        assert "href=&#34;" + url not in run.text(feed)
    works = run.page("d/54e470/index.html").linked_data()["@graph"][0]["citation"]
    assert links or "url" not in works[0]


@pytest.mark.parametrize("beat", ["../../etc", "..", "/", "a/../../b", "%2e%2e%2f", "\\..\\", ".git", "con", "🦊", "東京", "é", "-" * 200, "a" * 10000])
def test_a_beat_never_leads_out_of_the_site(tmp_path, beat):
    before = set(tmp_path.rglob("*"))
    run = render(tmp_path, [seed(beat=beat)])
    assert run.code == 0
    outside = {p for p in tmp_path.rglob("*") if run.root not in p.parents and p != run.root} - before
    assert {p.name for p in outside} == {"store.json"}
    folders = [p.name for p in (run.root / "beat").iterdir() if p.is_dir()]
    assert len(folders) == 1 and re.fullmatch(r"[a-z0-9-]{1,63}", folders[0])
    link = [n.attrs["href"] for n in run.page("d/54e470/index.html").one("p", "filed").walk() if n.tag == "a"][0]
    assert link == f"../../beat/{folders[0]}/"


def test_text_of_other_scripts_keeps_its_direction(tmp_path):
    run = render(tmp_path, [seed(headline="صندوق النقد يرفع توقعاته", lang="ar", dek="東京の市場は反発した")])
    page = run.page("d/54e470/index.html")
    assert page.one("h1").attrs["dir"] == "auto" and page.one("article").attrs["lang"] == "ar"
    assert page.one("h1").text == "صندوق النقد يرفع توقعاته"


# --- the same bytes ------------------------------------------------------------------------------

def test_a_second_run_writes_the_same_bytes(tmp_path, wire):
    again = render(tmp_path / "again", fixture("wire.jsonl"), publisher="Example Press", contact="desk@wire.example",
                   now_ms="4102444800123", env={"TZ": "Pacific/Auckland", "LC_ALL": "tr_TR.UTF-8", "LANG": "de_DE.UTF-8"})
    assert again.tree() == wire.tree()
    for dispatch in fixture("wire.jsonl"):
        slow = render(tmp_path / "slow", [dispatch], publisher="Example Press", contact="desk@wire.example")
    assert slow.tree() == wire.tree()


def test_a_file_that_does_not_change_is_not_touched(tmp_path):
    run = render(tmp_path, fixture("wire.jsonl")[:2])
    first = {p: p.stat().st_mtime_ns for p in run.root.rglob("*") if p.is_file()}
    run = render(tmp_path, fixture("wire.jsonl")[2:3])
    same = [p for p, t in first.items() if p.stat().st_mtime_ns == t]
    assert any("/d/" in str(p) for p in same) and run.root / "method/index.html" in same
    assert run.root / "index.html" not in same and not list(run.root.rglob(".*"))


def test_another_title_makes_every_page_anew(tmp_path):
    render(tmp_path, fixture("wire.jsonl"))
    changed = render(tmp_path, [], title="The Other Wire")
    fresh = render(tmp_path / "fresh", fixture("wire.jsonl"), title="The Other Wire")
    assert changed.tree() == fresh.tree() and changed.events == []
    assert "The Other Wire" in changed.page("d/54e470/index.html").one("title").text


def test_pages_that_were_lost_are_written_again(tmp_path):
    import shutil
    before = render(tmp_path, fixture("wire.jsonl")).tree()
    shutil.rmtree(tmp_path / "site")
    assert render(tmp_path, []).tree() == before


def test_packed_files_hold_the_same_text(tmp_path):
    run = render(tmp_path, fixture("seed.jsonl"), precompress="yes")
    packed = [p for p in run.tree() if p.endswith(".gz")]
    assert "index.html.gz" in packed and "d/54e470/index.html.gz" in packed
    for path in packed:
        data = (run.root / path).read_bytes()
        assert gzip.decompress(data) == (run.root / path[:-3]).read_bytes() and data[4:8] == b"\0\0\0\0"
