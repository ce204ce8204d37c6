# SPDX-License-Identifier: Apache-2.0
"""The site in a real browser, served by the real listener under its real policy."""
import json
import struct
import zlib

import pytest

import browser
from site_tools import fixture, render, seed
from test_http import Server

pytestmark = pytest.mark.skipif(not browser.find(), reason="no chromium on this machine")
PAGES = ("/", "/d/54e470/", "/beat/", "/beat/open-source-ai/", "/archive/", "/archive/2026-03-16/", "/corrections/", "/method/", "/nowhere/at/all")

# The WCAG contrast of every visible text node with its background, and what falls short.
CONTRAST = """(() => {
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = c => { const f = v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * f(c[0]) + 0.7152 * f(c[1]) + 0.0722 * f(c[2]); };
  const ground = node => { for (; node; node = node.parentElement) { const c = parse(getComputedStyle(node).backgroundColor);
    if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  const bad = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, style = getComputedStyle(node), box = node.getBoundingClientRect();
    if (!walker.currentNode.data.trim() || node.closest('.vh, .skip, [hidden]') || box.width === 0) continue;
    const a = light(parse(style.color)), b = light(ground(node)), ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push([walker.currentNode.data.trim().slice(0, 40), ratio.toFixed(2)]);
  }
  return bad;
})()"""


@pytest.fixture(scope="module")
def chromium():
    started = browser.Browser()
    yield started
    started.close()


def publish(tmp_path, port, dispatches):
    return render(tmp_path, dispatches, base=f"http://127.0.0.1:{port}")


class Site:
    """Dispatches rendered for the port that serves them."""

    def __init__(self, tmp_path, dispatches):
        self.tmp = tmp_path
        (tmp_path / "site").mkdir(parents=True)
        self.server = Server(tmp_path / "site")
        self.base = f"http://127.0.0.1:{self.server.port}"
        self.publish(dispatches)

    def publish(self, dispatches):
        run = render(self.tmp, dispatches, base=self.base)
        for event in run.events:
            line = json.dumps(event)
            assert self.server.say(f"event {event['seq']} {event['act']} {line}") == "event 0"
        return run


@pytest.fixture
def site(tmp_path):
    started = Site(tmp_path, fixture("wire.jsonl"))
    yield started
    assert started.server.stop() == 0


def pixels(png):
    """The distinct colours of a PNG, coarsely: an empty page has one."""
    at, data, width = 8, b"", 0
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at:at + 8])
        if kind == b"IHDR":
            width = struct.unpack(">I", png[at + 8:at + 12])[0]
        if kind == b"IDAT":
            data += png[at + 8:at + 8 + size]
        at += 12 + size
    raw = zlib.decompress(data)
    return width, len(set(raw[i:i + 3] for i in range(0, len(raw) - 3, 97)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 768, 1440])
def test_every_page_fits_its_window_and_can_be_read(chromium, site, width, scheme):
    page = chromium.page(width=width, scheme=scheme)
    for path in PAGES:
        page.open(site.base + path)
        assert page.run("document.documentElement.scrollWidth") <= width, path
        assert page.run(CONTRAST) == [], path
        assert page.run("getComputedStyle(document.body).backgroundColor") == {"light": "rgb(250, 248, 243)", "dark": "rgb(19, 18, 17)"}[scheme]
        seen, colours = pixels(page.screenshot())
        assert seen == width and colours > 8, path
    page.close()


def test_a_strict_policy_refuses_nothing_of_the_site(chromium, site):
    page = chromium.page()
    for path in PAGES[:-1]:
        page.open(site.base + path)
        assert page.complaints() == [], path
        assert page.run("document.styleSheets.length") == 1 and page.run("document.querySelector('link[rel=icon]').href").startswith(site.base)
    page.close()


def test_without_scripts_the_page_is_whole(chromium, site):
    page = chromium.page(scripts=False)
    page.open(site.base + "/d/54e470/")
    root = page.ask("DOM.getDocument", depth=0)["root"]["nodeId"]
    body = page.ask("DOM.querySelector", nodeId=root, selector="body")["nodeId"]
    html = page.ask("DOM.getOuterHTML", nodeId=body)["outerHTML"]
    for text in (seed()["headline"], seed()["dek"], "Frequently asked", "Wire methodology", "5 records · 4 web citations", "Written by an AI system."):
        assert text in html
    assert 'id="live"' in html and "Pause updates" not in html
    page.close()


def test_the_source_of_a_marker_comes_into_view_and_is_marked(chromium, site):
    page = chromium.page(width=320, height=600)
    page.open(site.base + "/d/54e470/")
    page.run("document.querySelector('.cites a').click()")
    assert page.run("location.hash") == "#s1"
    box = page.run("(() => { const b = document.getElementById('s1').getBoundingClientRect(); return [b.top, b.bottom, innerHeight]; })()")
    assert 0 <= box[0] < box[2]
    assert page.run("getComputedStyle(document.getElementById('s1')).backgroundColor") != "rgba(0, 0, 0, 0)"
    page.close()


def test_the_keyboard_reaches_the_text_first(chromium, site):
    page = chromium.page()
    page.open(site.base + "/d/54e470/")
    for kind in ("keyDown", "keyUp"):
        page.ask("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert page.run("document.activeElement.className") == "skip"
    assert page.run("document.activeElement.getBoundingClientRect().left") >= 0
    page.close()


def test_a_new_dispatch_waits_behind_a_button(chromium, site):
    page = chromium.page()
    page.open(site.base + "/")
    first = page.run("document.querySelector('#wire-list .item h3').textContent")
    hostile = "<img src=x onerror=document.title='owned'> \u202e headline"
    run = site.publish([seed(id="9" * 32, headline=hostile, dek="<b>dek</b>", beat="<i>beat</i>", last_ms=seed()["last_ms"] + 60000)])
    assert page.until("document.getElementById('live').textContent") == "1 new dispatchShow"
    assert page.run("document.querySelector('#wire-list .item h3').textContent") == first, "nothing moves under the reader"
    page.run("document.querySelector('#live button').click()")
    item = "document.querySelector('#wire-list .item')"
    assert page.run(item + ".querySelector('h3').textContent") == run.events[0]["headline"]
    assert page.run(item + ".querySelector('a').href") == site.base + "/d/999999/"
    assert page.run("document.querySelectorAll('#wire-list img, #wire-list b, #wire-list i').length") == 0
    assert page.run("document.title") != "owned" and page.run("document.getElementById('live').hidden")
    page.close()


def test_what_happened_between_writing_and_reading_is_not_missed(chromium, site):
    page = chromium.page()
    stale = (site.tmp / "site/index.html").read_text()
    site.publish([seed(id="8" * 32, last_ms=seed()["last_ms"] + 60000)])
    (site.tmp / "site/index.html").write_text(stale)
    page.open(site.base + "/")
    assert page.until("document.getElementById('live').textContent") == "1 new dispatchShow"
    page.close()


def test_a_withdrawal_is_shown_at_once_on_every_open_page(chromium, site):
    front, own = chromium.page(), chromium.page()
    front.open(site.base + "/")
    own.open(site.base + "/d/54e470/")
    site.publish([seed(version=2, status="canceled", ed_note="Records of another year.")])
    for page in (front, own):
        text = page.until("(document.querySelector('article .notice.correction') || {}).textContent")
        assert text == "This dispatch was withdrawn. Records of another year."
        assert seed()["headline"] not in page.run("document.querySelector('main').textContent")
        page.close()


def test_a_correction_is_offered_on_the_open_page(chromium, site):
    page = chromium.page()
    page.open(site.base + "/d/54e470/")
    site.publish([seed(version=2, headline="Corrected headline", corrections=["The sum was wrong."])])
    assert page.until("document.getElementById('live').textContent") == "This dispatch was corrected.Reload"
    page.run("document.querySelector('#live button').click()")
    assert page.until("(document.querySelector('h1') || {}).textContent === 'Corrected headline'")
    page.close()


def test_updates_can_be_paused(chromium, site):
    page = chromium.page()
    page.open(site.base + "/")
    page.run("document.querySelector('.pause').click()")
    assert page.run("document.querySelector('.pause').textContent") == "Resume updates"
    site.publish([seed(id="7" * 32, last_ms=seed()["last_ms"] + 60000)])
    assert page.run("new Promise(done => setTimeout(() => done(document.getElementById('live').hidden), 500))")
    page.run("document.querySelector('.pause').click()")
    assert page.until("document.getElementById('live').textContent") == "1 new dispatchShow"
    page.close()


def test_hostile_text_runs_no_script(chromium, tmp_path):
    from test_pages import HOSTILE, poisoned
    dispatches = []
    for i, text in enumerate(HOSTILE):
        dispatches.append({**poisoned(text.replace("alert(1)", "(document.title='owned')")), "id": f"{i:032x}"[::-1]})
    site = Site(tmp_path / "bad", dispatches)
    page = chromium.page(width=320)
    for path in ["/"] + [f"/d/{d['id'][:6]}/" for d in dispatches[:1]] + sorted(
            "/" + str(p.parent.relative_to(site.tmp / "site")) + "/" for p in (site.tmp / "site/d").glob("*/index.html")):
        page.open(site.base + path)
        assert page.run("document.title") != "owned"
        assert page.run("document.querySelectorAll('main img, main svg, main iframe, main form, main math').length") == 0
        assert page.run("document.documentElement.scrollWidth") <= 320, path
        assert page.complaints() == [], path
    page.close()
    assert site.server.stop() == 0
