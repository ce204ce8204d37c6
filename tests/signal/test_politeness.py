# SPDX-License-Identifier: Apache-2.0
"""signal-feed as sites see it: when they are asked, how often, how many at once; and pages that name their feed.

Each 127.x.y.z is a site of its own, as a registrable domain is."""
import collections
import email.utils
import itertools
import os
import socket
import subprocess
import time

import pytest

from feeding import PLUGIN, RUN, Poll, forget_time, item, rss, site  # noqa: F401 (site is a fixture)
from site_on_loopback import Site


@pytest.fixture
def sites():
    sites = Site('0.0.0.0')
    yield sites
    sites.close()


def served_together(spans):
    """How many requests of one site were being answered at once, at most."""
    moments = sorted([(began, 1) for _, _, began, _ in spans] + [(ended, -1) for _, _, _, ended in spans])
    return max(itertools.accumulate(change for _, change in moments), default=0)


# ---- redirects to other sites ----

def test_a_redirect_waits_for_the_turn_of_the_site_it_leads_to(sites):
    def slow(h):
        time.sleep(0.2)
        h.answer(200, rss(item(h.path[1:])))

    feeds = []
    for n in range(4):
        sites.routes[('127.0.0.9', f'/{n}')] = slow
        sites.serve(f'/from{n}', b'', 302, Location=sites.url(f'/{n}', '127.0.0.9'))
        feeds.append(sites.url(f'/from{n}', f'127.0.1.{n + 1}'))
    sites.routes[('127.0.0.9', '/own')] = slow
    out = Poll(sites, *feeds, sites.url('/own', '127.0.0.9'), options=['parallel=8', 'domain_gap=100ms'])
    assert len(out.records) == 5
    target = [span for span in sites.spans if span[0] == '127.0.0.9']
    assert len(target) == 5 and served_together(target) == 1
    gaps = [b[2] - a[3] for a, b in zip(sorted(target, key=lambda s: s[2]), sorted(target, key=lambda s: s[2])[1:])]
    assert min(gaps) > 0.08


def test_a_site_that_asked_to_wait_is_not_asked_through_a_redirect_either(sites, tmp_path):
    kv = tmp_path / 'kv'
    sites.serve('/busy', b'', 429, Retry_After='7200')
    sites.serve('/from', b'', 302, Location=sites.url('/there', '127.0.0.9'))
    sites.routes[('127.0.0.9', '/there')] = lambda h: h.answer(200, rss(item(1)))
    Poll(sites, sites.url('/busy', '127.0.0.9'), kv=kv)
    out = Poll(sites, sites.url('/from', '127.0.0.8'), sites.url('/busy', '127.0.0.9'), kv=kv)
    assert sites.asked('/there') == [] and len(sites.asked('/busy')) == 1
    assert 'redirected to 127.0.0.9, which asked not to be asked for 1' in out.log
    assert 110 <= out.minutes() <= 121 or 'next try in' in out.log
    assert out.records == []


def test_what_the_site_behind_a_redirect_asks_for_holds_for_that_site(sites, tmp_path):
    kv = tmp_path / 'kv'
    sites.serve('/from', b'', 302, Location=sites.url('/there', '127.0.0.9'))
    sites.serve('/there', b'', 503, Retry_After='7200')
    sites.routes[('127.0.0.9', '/own')] = lambda h: h.answer(200, rss(item(1)))
    sites.routes[('127.0.0.8', '/other')] = lambda h: h.answer(200, rss(item(2)))
    Poll(sites, sites.url('/from', '127.0.0.8'), kv=kv)
    out = Poll(sites, sites.url('/other', '127.0.0.8'), sites.url('/own', '127.0.0.9'), kv=kv)
    assert out.titles() == ['Item 2'] and sites.asked('/own') == []


def test_a_feed_that_moved_to_another_site_is_limited_with_that_site(sites, tmp_path):
    kv, options = tmp_path / 'kv', ['interval=1s', 'max_interval=1s', 'parallel=8']

    def slow(h):
        time.sleep(0.2)
        h.answer(200, rss(item(h.path[1:])))

    for name in ('a', 'b'):
        sites.routes[('127.0.0.9', f'/{name}')] = slow
    sites.serve('/from', b'', 301, Location=sites.url('/a', '127.0.0.9'))
    feeds = [sites.url('/from', '127.0.0.8'), sites.url('/b', '127.0.0.9')]
    Poll(sites, *feeds, kv=kv, options=options)
    time.sleep(1.3)
    Poll(sites, *feeds, kv=kv, options=options)
    assert len(sites.asked('/from')) == 1 and len(sites.asked('/a')) == 2
    assert served_together([s for s in sites.spans if s[0] == '127.0.0.9']) == 1


def test_redirects_across_sites_count_and_loops_end(sites):
    sites.routes[('127.0.0.1', '/f')] = lambda h: h.answer(302, Location=sites.url('/f', '127.0.0.2'))
    sites.routes[('127.0.0.2', '/f')] = lambda h: h.answer(302, Location=sites.url('/f', '127.0.0.1'))
    out = Poll(sites, sites.url('/f'))
    assert 'more redirects than are followed' in out.log and len(sites.asked('/f')) == 4


def test_a_chain_over_sites_moves_the_feed_only_when_all_of_it_is_for_good(sites, tmp_path):
    for first, moved in ((301, True), (302, False)):
        kv = tmp_path / f'kv{first}'
        sites.serve('/f', b'', first, Location=sites.url('/g', '127.0.0.2'))
        sites.serve('/g', b'', 308, Location=sites.url('/h', '127.0.0.3'))
        sites.serve('/h', rss(item(1)))
        out = Poll(sites, sites.url('/f'), kv=kv)
        assert out.titles() == ['Item 1'] and ('moved for good' in out.log) is moved


# ---- validators ----

def test_a_site_that_says_expires_0_gets_no_validators_back(site, tmp_path):
    kv, options = tmp_path / 'kv', ['interval=1s', 'max_interval=1s']
    site.serve('/f', rss(item(1)), ETag='"a"', Last_Modified='Tue, 24 Nov 2026 09:00:00 GMT', Expires='0')
    Poll(site, site.url('/f'), kv=kv, options=options)
    time.sleep(1.3)
    Poll(site, site.url('/f'), kv=kv, options=options)
    assert len(site.requests) == 2
    assert not {'If-None-Match', 'If-Modified-Since'} & set(site.requests[1][1])


def test_validators_do_not_follow_a_feed_to_another_address(sites, tmp_path):
    kv, options = tmp_path / 'kv', ['interval=1s', 'max_interval=1s']
    sites.serve('/f', rss(item(1)), ETag='"a"')
    Poll(sites, sites.url('/f'), kv=kv, options=options)
    time.sleep(1.3)
    sites.serve('/f', b'', 302, Location=sites.url('/g', '127.0.0.2'))
    sites.serve('/g', rss(item(1)))
    Poll(sites, sites.url('/f'), kv=kv, options=options)
    assert sites.asked('/f')[1][1]['If-None-Match'] == '"a"'
    assert 'If-None-Match' not in sites.asked('/g')[0][1]


# ---- answers that are wrong on the wire ----

@pytest.mark.parametrize('head', [
    b'Content-Length: 10\r\nContent-Length: 99999\r\n',
    b'Content-Length: 99999999999999999999999\r\n',
    b'X-A: 1\r\n Set-Cookie: folded\r\nContent-Length: 99999\r\n',
    b'ETag: "a\r\nInjected: 1"\r\nContent-Length: 20\r\n'])
def test_odd_headers_end_neither_the_stage_nor_its_other_feeds(sites, head):
    def answer(h):
        h.close_connection = True
        h.wfile.write(b'HTTP/1.1 200 OK\r\n' + head + b'\r\n' + rss(item(1)))

    sites.routes[('127.0.0.2', '/odd')] = answer
    sites.serve('/good', rss(item(2)))
    out = Poll(sites, sites.url('/odd', '127.0.0.2'), sites.url('/good'), options=['timeout=2s'])
    assert 'Item 2' in out.titles() and out.seconds < 10


# ---- all of it at once ----

def storm(sites):
    """{path: (host, what it answers)}: six sites with good and bad feeds, each asked every second."""
    def reset(h):
        h.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n<rss>')
        h.wfile.flush()
        h.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        h.close_connection = True

    def loris(h):
        h.close_connection = True
        h.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n')
        for _ in range(60):
            h.wfile.write(b' ')
            time.sleep(0.05)

    def endless(h):
        h.close_connection = True
        h.wfile.write(b'HTTP/1.1 200 OK\r\n\r\n' + rss(item(1)))
        for _ in range(400):
            h.wfile.write(b' ' * 65536)

    def status(code, **headers):
        return lambda h: h.answer(code, b'', **headers)

    numbers = itertools.count()
    answers = {
        'good': lambda h: h.answer(200, rss(item(next(numbers)))),
        'same': lambda h: h.answer(304) if h.headers.get('If-None-Match') else h.answer(200, rss(item('s')), ETag='"e"'),
        'gone': status(410), 'missing': status(404), 'secret': status(401), 'later': status(429, Retry_After='3'),
        'down': lambda h: h.answer(503, b'', Retry_After=email.utils.formatdate(time.time() + 3, usegmt=True)),
        'loop': lambda h: h.answer(301, b'', Location=h.path), 'reset': reset, 'loris': loris, 'endless': endless,
        'away': lambda h: h.answer(302, b'', Location=sites.url('/good', '127.0.0.3')),
    }
    placed = {}
    for n, (name, answer) in enumerate(answers.items()):
        host = '127.0.0.3' if name == 'good' else f'127.0.0.{4 + n % 4}'
        if name in ('later', 'down'):
            host = f'127.0.1.{n}'
        sites.routes[(host, f'/{name}')] = answer
        placed[f'/{name}'] = host
    return placed


def test_in_a_storm_no_site_is_asked_early_or_twice_at_once(sites):
    placed = storm(sites)
    feeds = [f'{sites.url(path, host)} every=1s' for path, host in placed.items()]
    out = Poll(sites, *feeds, once=False, seconds=8, options=[
        'parallel=16', 'domain_gap=50ms', 'wire_limit=4MiB', 'timeout=1s', 'slow_timeout=1s'])
    by_host, by_feed = collections.defaultdict(list), collections.defaultdict(list)
    for host, path, began, ended in sorted(sites.spans, key=lambda span: span[2]):
        by_host[host].append((host, path, began, ended))
        by_feed[path].append((began, ended))
    for host, spans in by_host.items():
        # a server thread may still be pouring into a connection that the stage has closed
        polite = [s for s in spans if s[1] not in ('/loris', '/endless')]
        assert served_together(polite) <= 1, host
    for path, times in by_feed.items():
        gaps = [b[0] - a[0] for a, b in zip(times, times[1:])]
        if path not in ('/loop', '/good'):  # a loop's hops are one question; /good is also where /away leads
            assert all(gap > 0.88 for gap in gaps), (path, gaps)
    assert len(by_feed['/gone']) == 1
    for path in ('/later', '/down'):
        gaps = [b[0] - a[0] for a, b in zip(by_feed[path], by_feed[path][1:])]
        assert gaps and all(gap > 1.95 for gap in gaps), (path, gaps)
    good = [s for s in by_host['127.0.0.3']]
    assert len(good) >= 6 and len(out.records) >= 5  # the others' troubles are not its own


def test_a_thousand_feeds_fit_in_a_hundred_mebibytes(sites, tmp_path):
    body = rss(*[item(n, text='Word ' * 150) for n in range(20)])
    sites.serve('/f', body, ETag='"e"')
    listed = tmp_path / 'feeds'
    listed.write_text(''.join(sites.url('/f', f'127.{1 + n // 250}.{n % 250}.7') + '\n' for n in range(1000)))
    command = [RUN, PLUGIN, '--seconds', '60', '-o', 'once=true', '-o', 'parallel=64', '-o', f'allow_ports={sites.port}',
               '-o', 'allow_addresses=127.0.0.0/8', '-o', f'feeds_file={listed}']
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    log = child.stderr.read().decode(errors='replace')
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, log[-2000:]
    assert len(sites.requests) == 1000 and len({s[0] for s in sites.spans}) == 1000
    print(f'1,000 feeds of {len(body)} bytes: {usage.ru_maxrss / 1024:.0f} MiB at most')
    if b'__asan_init' not in open(RUN, 'rb').read():
        assert usage.ru_maxrss < 100 * 1024


# ---- pages that name their feed ----

PAGE = '''<!DOCTYPE html><html><head><title>Harbour</title>
<link rel="stylesheet" href="/s.css"><link rel="alternate" type="text/html" hreflang="de" href="/de">
<link rel="alternate" type="application/rss+xml" title="Comments" href="/comments.xml">
<LINK HREF='news/feed.xml?a=1&amp;b=2' TITLE="News > all" TYPE="application/rss+xml; charset=utf-8" REL='Alternate home'>
<link rel="alternate" type="application/atom+xml" href="/second.atom"></head><body><p>No feed</p></body></html>'''


def test_the_feed_of_a_page_is_found_and_followed(site, tmp_path):
    kv, options = tmp_path / 'kv', ['interval=1s', 'max_interval=1s']
    site.serve('/', PAGE.encode(), Content_Type='text/html')
    site.serve('/news/feed.xml', rss(item(1)))
    out = Poll(site, site.url('/'), kv=kv, options=options)
    assert out.titles() == ['Item 1']
    assert f'is a page; its feed is {site.url("/news/feed.xml?a=1&b=2")}; put that in the config' in out.log
    time.sleep(1.3)
    Poll(site, site.url('/'), kv=kv, options=options)
    assert [r[0] for r in site.requests] == ['/', '/news/feed.xml?a=1&b=2', '/news/feed.xml?a=1&b=2']


def test_a_page_without_a_feed_is_a_failure_and_a_page_behind_a_page_too(site):
    site.serve('/', b'<html><head></head><body>nothing</body></html>', Content_Type='text/html')
    out = Poll(site, site.url('/'))
    assert out.records == [] and "not a feed: the document's element is <html>" in out.log
    site.serve('/a', b'<html><link rel=alternate type=application/rss+xml href=/b></html>')
    site.serve('/b', b'<html><link rel=alternate type=application/rss+xml href=/a></html>')
    out = Poll(site, site.url('/a'))
    assert [r[0] for r in site.requests] == ['/', '/a', '/b'] and 'failure 1 in a row' in out.log


def test_a_discovered_feed_that_dies_is_looked_for_again(site, tmp_path):
    kv = tmp_path / 'kv'
    site.serve('/', b'<html><link rel=alternate type=application/rss+xml href=/old></html>')
    site.serve('/old', rss(item(1)))
    Poll(site, site.url('/'), kv=kv)
    site.serve('/', b'<html><link rel=alternate type=application/rss+xml href=/new></html>')
    site.serve('/old', b'', 404)
    site.serve('/new', rss(item(2)))
    titles = []
    for _ in range(5):
        kv.write_bytes(forget_time(kv.read_bytes()))
        titles += Poll(site, site.url('/'), kv=kv).titles()
    assert titles == ['Item 2']


@pytest.mark.parametrize('href', ['file:///etc/passwd', 'javascript:alert(1)', 'http://10.0.0.1/feed'])
def test_a_page_leads_to_nothing_that_may_not_be_asked(site, href):
    site.serve('/', f'<html><link rel=alternate type=application/rss+xml href="{href}"></html>'.encode())
    out = Poll(site, site.url('/'))
    assert out.records == [] and 'failure 1 in a row' in out.log


# ---- what a restart knows ----

def test_the_state_names_every_feed_and_forgets_those_that_left(site, tmp_path):
    kv = tmp_path / 'kv'
    site.serve('/a', rss(item(1)))
    site.serve('/b', b'', 404)
    Poll(site, *[site.url(path) for path in ('/b', '/a', '/c', '/d')], kv=kv)
    assert kv.read_bytes().count(b'feed/') == 4
    Poll(site, site.url('/e'), site.url('/a'), kv=kv)
    assert kv.read_bytes().count(b'feed/') == 2
    assert [r[0] for r in site.requests].count('/a') == 1
