# SPDX-License-Identifier: Apache-2.0
"""Feeds, sitemaps and ninjs: valid, and the same item for the same dispatch whatever happens to it."""
import datetime
import json
import re
import xml.etree.ElementTree as xml

import pytest

from site_tools import fixture, render, seed

ATOM, AT = "{http://www.w3.org/2005/Atom}", "{http://purl.org/atompub/tombstones/1.0}"
URN = "urn:uuid:54e470b1-c93f-4a0e-8d27-f6a15b90c3de"


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    return render(tmp_path_factory.mktemp("wire"), fixture("wire.jsonl"), publisher="Example Press")


def rss(run):
    return xml.fromstring(run.text("feed.rss")).find("channel")


def test_feed_readers_find_no_fault(wire):
    feedparser = pytest.importorskip("feedparser")
    for name in ("feed.rss", "feed.atom"):
        parsed = feedparser.parse(wire.text(name))
        assert parsed.bozo == 0, parsed.get("bozo_exception")
        assert [e.title for e in parsed.entries] == [d["headline"] for d in reversed(fixture("wire.jsonl"))]
        assert parsed.entries[0].id == URN and parsed.entries[0].link == "https://wire.example/d/54e470/"
        assert parsed.entries[0].published_parsed[:5] == (2026, 3, 18, 7, 15)
        assert "GPU-hours" in parsed.entries[0].content[0].value


def test_rss_keeps_the_rules_of_the_validator(wire):
    channel = rss(wire)
    assert [channel.findtext(k) for k in ("title", "link")] == ["telex", "https://wire.example/"]
    self_link = channel.find("{http://www.w3.org/2005/Atom}link")
    assert self_link.attrib == {"rel": "self", "type": "application/rss+xml", "href": "https://wire.example/feed.rss"}
    date = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT")
    assert date.fullmatch(channel.findtext("lastBuildDate"))
    items = channel.findall("item")
    assert len({i.findtext("guid") for i in items}) == 7
    for item in items:
        tags = [e.tag for e in item]
        assert tags.index("description") < tags.index("{http://purl.org/rss/1.0/modules/content/}encoded")
        assert item.find("guid").get("isPermaLink") == "false" and date.fullmatch(item.findtext("pubDate"))
        parsed = datetime.datetime.strptime(item.findtext("pubDate"), "%a, %d %b %Y %H:%M:%S GMT")
        assert parsed.strftime("%a") == item.findtext("pubDate")[:3]
        assert "<" not in item.findtext("description") and "<" not in item.findtext("title")
    assert list(channel)[-1].tag == "item"


def test_atom_has_what_the_standard_demands(wire):
    feed = xml.fromstring(wire.text("feed.atom"))
    assert feed.tag == ATOM + "feed" and feed.find(ATOM + "id") is not None and feed.find(ATOM + "author") is not None
    rels = {link.get("rel"): link.get("href") for link in feed.findall(ATOM + "link")}
    assert rels == {"self": "https://wire.example/feed.atom", "alternate": "https://wire.example/"}
    for entry in feed.findall(ATOM + "entry"):
        for key in ("id", "title", "updated", "published", "summary", "content"):
            assert entry.find(ATOM + key) is not None
        assert entry.find(ATOM + "content").get("type") == "html"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry.findtext(ATOM + "updated"))


def test_the_json_feed_is_one(wire):
    feed = wire.json("feed.json")
    assert feed["version"] == "https://jsonfeed.org/version/1.1" and feed["feed_url"] == "https://wire.example/feed.json"
    assert set(feed) <= {"version", "title", "home_page_url", "feed_url", "description", "icon", "favicon", "authors", "language", "hubs", "next_url", "items"}
    for item in feed["items"]:
        assert isinstance(item["id"], str) and item["content_html"] and item["url"].startswith("https://wire.example/d/")
        assert {k for k in item if not k.startswith("_")} <= {
            "id", "url", "title", "content_html", "summary", "date_published", "date_modified", "tags", "language", "authors"}
        datetime.datetime.fromisoformat(item["date_published"].replace("Z", "+00:00"))
    newest = feed["items"][0]["_wire"]
    assert (newest["seq"], newest["version"], newest["status"], newest["act"]) == (7, 1, "usable", "dispatch")
    assert newest["records"] == 5 and newest["web_citations"] == 4


def test_ninjs_uses_the_names_and_types_of_version_3_1(wire):
    item = wire.json("d/54e470/ninjs.json")
    texts = {"uri", "type", "representationType", "profile", "version", "firstCreated", "versionCreated", "pubStatus", "copyrightHolder",
             "edNote", "language", "title", "by", "slugline"}
    lists = {"headlines": {"role", "contentType", "value"}, "descriptions": {"role", "contentType", "value"},
             "bodies": {"role", "contentType", "value", "wordCount", "charCount"}, "infoSources": {"name", "role", "uri", "literal"},
             "subjects": {"name", "rel", "uri", "literal"}, "genres": {"name", "uri", "literal"}, "altIds": {"role", "value"},
             "trustIndicators": {"role", "title", "href"}}
    objects = {"standard": {"name", "version", "schema"}, "digitalSourceType": {"name", "uri", "literal"}}
    assert set(item) <= texts | set(lists) | set(objects) | {"urgency"}
    assert all(isinstance(item[k], str) for k in texts & set(item)) and 1 <= item["urgency"] <= 9
    for key, names in lists.items():
        assert isinstance(item[key], list) and all(set(part) <= names for part in item[key]), key
    for key, names in objects.items():
        assert set(item[key]) <= names
    assert item["uri"] == URN and item["pubStatus"] == "usable" and item["standard"]["version"] == "3.1"
    assert item["digitalSourceType"]["uri"] == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert item["headlines"][0]["value"] == seed()["headline"] and len(item["infoSources"]) == 5
    assert item["type"] == "text" and item["version"] == "1"


def test_the_news_sitemap_holds_two_days_of_the_wire_s_own_time(wire):
    ns = {"s": "http://www.sitemaps.org/schemas/sitemap/0.9", "n": "http://www.google.com/schemas/sitemap-news/0.9"}
    urls = xml.fromstring(wire.text("news-sitemap.xml")).findall("s:url", ns)
    newest = max(d["last_ms"] for d in fixture("wire.jsonl"))
    young = [d for d in fixture("wire.jsonl") if d["last_ms"] >= newest - 2 * 86400000]
    assert [u.findtext("n:news/n:title", None, ns) for u in urls] == [d["headline"] for d in reversed(young)]
    assert all(u.findtext("n:news/n:publication/n:name", None, ns) == "telex" for u in urls)
    everything = xml.fromstring(wire.text("sitemap.xml")).findall("s:url", ns)
    assert len(everything) == 5 + 7
    assert "Sitemap: https://wire.example/news-sitemap.xml" in wire.text("robots.txt")


def test_an_update_is_the_same_item_and_a_kill_is_announced(tmp_path):
    run = render(tmp_path, fixture("wire.jsonl"))
    run = render(tmp_path, [seed(version=2, headline="A new headline", last_ms=seed()["last_ms"] + 3600000)])
    item = [i for i in rss(run).findall("item") if i.findtext("guid") == URN]
    assert len(item) == 1 and item[0].findtext("title") == "A new headline"
    entry = [e for e in xml.fromstring(run.text("feed.atom")).findall(ATOM + "entry") if e.findtext(ATOM + "id") == URN][0]
    assert entry.findtext(ATOM + "published") == "2026-03-18T07:15:00Z" and entry.findtext(ATOM + "updated") == "2026-03-18T08:15:00Z"
    run = render(tmp_path, [seed(version=3, status="canceled", ed_note="The source was withdrawn.", last_ms=seed()["last_ms"] + 7200000)])
    feed = xml.fromstring(run.text("feed.atom"))
    stone = feed.find(AT + "deleted-entry")
    assert stone.get("ref") == URN and stone.get("when") == "2026-03-18T09:15:00Z"
    assert "The source was withdrawn." in stone.findtext(AT + "comment")
    assert URN not in [e.findtext(ATOM + "id") for e in feed.findall(ATOM + "entry")]
    item = [i for i in rss(run).findall("item") if i.findtext("guid") == URN][0]
    assert "withdrawn" in item.findtext("description") and "NVIDIA" not in xml.tostring(item).decode()
    assert run.json("d/54e470/ninjs.json")["pubStatus"] == "canceled"
    late = seed(id="9" * 32, version=1, last_ms=seed()["last_ms"] + 4 * 86400000)
    run = render(tmp_path, [late])
    assert URN not in run.text("feed.rss") and URN not in run.text("feed.atom"), "after two days the notice goes"


def test_feeds_hold_as_many_items_as_asked(tmp_path):
    run = render(tmp_path, fixture("wire.jsonl"), feed_items=3)
    assert len(run.json("feed.json")["items"]) == 3 and len(rss(run).findall("item")) == 3


def test_a_source_without_title_or_time_does_not_break_a_feed(tmp_path):
    dispatch = seed(citations=[{"record": "r1"}, {"record": "r2", "url": "https://x.example/", "published_ms": -5}],
                    faq=[], dek=None, section_heading=None, methodology=None, provenance=None)
    run = render(tmp_path, [dispatch])
    assert run.code == 0 and len(run.events) == 1
    xml.fromstring(run.text("feed.rss"))
    assert "x.example" in run.page("d/54e470/index.html").one("aside", "sources").text
    json.loads(run.text("d/54e470/evidence.json"))
