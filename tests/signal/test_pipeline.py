# SPDX-License-Identifier: Apache-2.0
"""The signal stages in real pipelines of the real host: killed, isolated, stopped."""
import email.utils
import json
import pathlib
import signal
import sys
import time
import xml.etree.ElementTree

import pytest

from site_on_loopback import Site

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'host'))
from wire import SLOW, Wire, kill, lines  # noqa: E402

DATA = pathlib.Path(__file__).parent / 'data'

PIPELINE = """
pipeline: wire
journal: {{path: wire.journal, durability: full}}
drain: 5s
stages:
  signal: {{plugin: {plugin}, isolation: {isolation}, options: {options}}}
  sink: {{plugin: sink-file, from: signal, isolation: thread, options: {{path: out.jsonl}}}}
"""


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


def rss(numbers):
    when = email.utils.formatdate(time.time() - 600)
    items = ''.join(f'<item><title>Item {n}</title><link>https://quay.example/{n}</link><guid>https://quay.example/{n}'
                    f'</guid><pubDate>{when}</pubDate><description>Text {n}.</description></item>' for n in numbers)
    return f'<rss version="2.0"><channel><title>Quay</title>{items}</channel></rss>'.encode()


def pipeline(folder, plugin, isolation='thread', **options):
    return Wire(folder, PIPELINE.format(plugin=plugin, isolation=isolation, options=json.dumps(options)))


def feed(folder, site, *paths, isolation='thread', **options):
    return pipeline(folder, 'signal-feed', isolation, feeds=[site.url(path) for path in paths], domain_gap='0ms',
                    allow_addresses=['127.0.0.0/8'], allow_ports=[str(site.port)], **{'once': True, **options})


def titles(folder):
    return [line['title'] for line in lines(folder / 'out.jsonl')]


@pytest.mark.parametrize('where', ['before-commit', 'after-commit'])
def test_a_feed_killed_at_every_second_commit_gives_each_item_once(site, tmp_path, where):
    site.serve('/a', rss(range(0, 150)))
    site.serve('/b', rss(range(150, 200)))
    wire, kills = feed(tmp_path, site, '/a', '/b'), 0
    while (code := wire.run(env={'TELEX_CRASH': f'{where}:2'})) == -signal.SIGKILL:
        kills += 1
        assert kills < 400
    assert code == 0 and kills >= 2, wire.logged()[-2000:]
    assert sorted(titles(tmp_path)) == sorted(f'Item {n}' for n in range(200))
    clean, text = wire.audit()
    assert clean, text


def test_an_archive_killed_at_random_moments_gives_each_record_once_in_order(tmp_path):
    archive = tmp_path / 'archive.jsonl'
    archive.write_text('\n'.join(json.dumps({'id': f'r{n}', 'title': f'Record {n}', 'published_ms': 1000 + n})
                                 for n in range(2000)))
    wire = pipeline(tmp_path, 'signal-archive', path=str(archive), batch=7)
    for n in range(8):
        process = wire.start()
        time.sleep(0.05 * (n + 1) * SLOW)
        if process.poll() is None:
            kill(process)
    assert wire.run() == 0, wire.logged()[-2000:]
    assert titles(tmp_path) == [f'Record {n}' for n in range(2000)]
    clean, text = wire.audit()
    assert clean, text


def test_isolated_and_in_process_an_archive_gives_the_same_bytes(tmp_path):
    outputs = []
    for isolation in ('thread', 'process'):
        folder = tmp_path / isolation
        folder.mkdir()
        wire = pipeline(folder, 'signal-archive', isolation, path=str(DATA / 'reuters'))
        assert wire.run() == 0, wire.logged()[-2000:]
        outputs.append((folder / 'out.jsonl').read_bytes())
    assert outputs[0] == outputs[1] and outputs[0].count(b'\n') == 4


def test_an_isolated_feed_works_and_remembers(site, tmp_path):
    site.serve('/a', rss(range(5)), ETag='"one"')
    wire = feed(tmp_path, site, '/a', isolation='process')
    assert wire.run() == 0, wire.logged()[-2000:]
    assert titles(tmp_path) == [f'Item {n}' for n in range(5)]
    assert wire.run() == 0
    assert len(site.requests) == 1 and len(titles(tmp_path)) == 5


def test_a_running_feed_ends_quickly_when_the_host_is_asked_to(site, tmp_path):
    numbers = iter(range(1000))
    site.routes['/a'] = lambda h: h.answer(200, rss([next(numbers)]))
    wire = feed(tmp_path, site, '/a', once=False, interval='1s', max_interval='1s')
    process = wire.start(once=False)
    end = time.monotonic() + 20 * SLOW
    while len(titles(tmp_path)) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20 * SLOW) == 0
    assert time.monotonic() - began < 10 * SLOW
    assert len(titles(tmp_path)) >= 2
    clean, text = wire.audit()
    assert clean, text


# ---- telex feeds ----

@pytest.fixture
def five(tmp_path):
    """A running pipeline with a good feed, a failing one, one that is gone, one whose site wants a pause, and a page."""
    site = Site('0.0.0.0')
    site.serve('/good', rss(range(3)))
    site.serve('/down', b'', 500)
    site.serve('/gone', b'', 410)
    site.serve('/busy', b'', 429, Retry_After='7200')
    site.serve('/page', b'<html><link rel=alternate type=application/rss+xml href="/hidden?a=1&amp;b"></html>')
    site.serve('/hidden', rss(range(10, 12)))
    hosts = {'good': '127.0.0.2', 'down': '127.0.0.3', 'gone': '127.0.0.4', 'busy': '127.0.0.5', 'page': '127.0.0.6'}
    urls = {name: site.url(f'/{name}', host) for name, host in hosts.items()}
    wire = pipeline(tmp_path, 'signal-feed', feeds=[urls['good'] + ' name="Q & A"', *list(urls.values())[1:]],
                    allow_addresses=['127.0.0.0/8'], allow_ports=[str(site.port)], domain_gap='0ms')
    host = wire.start(once=False)
    try:
        wire.wait_for('runs')
        end = time.monotonic() + 20 * SLOW
        while len(site.requests) < 6 or len(listed(wire)) < 5 or any(not f['last_asked_ms'] for f in listed(wire).values()) \
                or not listed(wire)['page']['records']:
            assert time.monotonic() < end, wire.logged()
            time.sleep(0.05)
        yield wire, urls, host
    finally:
        if host.poll() is None:
            kill(host)
        site.close()


def listed(wire, *options):
    done = wire.command('feeds', '--json', str(wire.config))
    assert done.returncode == 0, done.stderr
    feeds = [json.loads(line) for line in done.stdout.splitlines()]
    return {feed['address'].rsplit('/', 1)[1]: feed for feed in feeds}


def test_feeds_shows_how_each_feed_is_doing_while_the_pipeline_runs(five):
    wire, urls, _ = five
    feeds, now = listed(wire), time.time() * 1000
    assert {name: feed['health'] for name, feed in feeds.items()} == {
        'good': 'ok', 'down': 'failing', 'gone': 'gone', 'busy': 'waiting', 'page': 'ok'}
    good = feeds['good']
    assert (good['name'], good['records'], good['edits'], good['week'], good['why']) == ('Q & A', 3, 0, 3, '')
    assert abs(good['last_success_ms'] - now) < 60e3 * SLOW and good['next_ms'] > now + 30 * 60e3
    assert feeds['down']['why'] == 'answered 500' and feeds['down']['failures'] == 1
    assert feeds['down']['last_success_ms'] is None
    assert feeds['gone']['next_ms'] is None and '410' in feeds['gone']['why']
    assert abs(feeds['busy']['next_ms'] - now - 7200e3) < 120e3 * SLOW
    assert feeds['page']['url'].endswith('/hidden?a=1&b') and feeds['page']['records'] == 2
    text = wire.command('feeds', str(wire.config)).stdout
    assert 'failing 1' in text and 'moved to ' + feeds['page']['url'] in text and '5 feeds, 2 of them ok' in text


def test_feeds_are_handed_on_as_opml_and_read_again(five, tmp_path):
    wire, urls, host = five
    opml = wire.command('feeds', '--opml', str(wire.config)).stdout
    outlines = {o.get('xmlUrl'): o for o in xml.etree.ElementTree.fromstring(opml).iter('outline')}
    assert len(outlines) == 4 and urls['gone'] not in outlines
    assert outlines[urls['good']].get('text') == 'Q & A'
    assert any(url.endswith('/hidden?a=1&b') for url in outlines)
    (tmp_path / 'list.opml').write_text(opml)
    kill(host)
    (tmp_path / 'again').mkdir()
    again = pipeline(tmp_path / 'again', 'signal-feed', feeds_file=str(tmp_path / 'list.opml'), once=True, domain_gap='0ms',
                     allow_addresses=['127.0.0.0/8'], allow_ports=[urls['good'].split(':')[2].split('/')[0]])
    assert again.run() == 0
    assert sorted(titles(tmp_path / 'again')) == ['Item 0', 'Item 1', 'Item 10', 'Item 11', 'Item 2']


def test_feeds_of_a_pipeline_without_any_says_so(tmp_path):
    wire = pipeline(tmp_path, 'signal-archive', path=str(DATA / 'records.jsonl'))
    done = wire.command('feeds', str(wire.config))
    assert done.returncode == 1 and 'telex run' in done.stderr
    assert wire.run() == 0
    assert 'follows no feeds' in wire.command('feeds', str(wire.config)).stdout
    assert wire.command('feeds', '--json', str(wire.config)).stdout == ''
