# SPDX-License-Identifier: Apache-2.0
"""The feed parser over whole documents: our own, and where the shared corpora are at hand, some 2,900 of others'."""
import json
import os
import pathlib
import random
import resource
import subprocess

import pytest

import agreement
import expectations

PROGRAM = os.environ['TELEX_FEED_PARSE']
DATA = pathlib.Path(__file__).parent / 'data' / 'feeds'
CORPORA = pathlib.Path(os.environ.get('TELEX_SHARED_DATA', '')) / 'feeds'

SANITIZED = b'__asan_init' in pathlib.Path(PROGRAM).read_bytes() or b'__tsan_init' in pathlib.Path(PROGRAM).read_bytes()


def parse(name, *options):
    out = subprocess.run([PROGRAM, *options, DATA / name], capture_output=True, check=True)
    return json.loads(out.stdout)


def records(name, *options):
    out = subprocess.run([PROGRAM, '--records', *options, DATA / name], capture_output=True, check=True)
    return [json.loads(line) for line in out.stdout.splitlines()]


def test_rss_091_with_its_document_type():
    feed = parse('rss091.xml', '--url', 'http://quay.example/rss')
    assert (feed['kind'], feed['title'], feed['link']) == ('rss', 'Quay Gazette', 'http://quay.example/')
    assert (feed['subtitle'], feed['lang'], feed['problem']) == ('News of the quay', 'en-gb', '')
    first, second = feed['items']
    assert (first['title'], first['summary']) == ('Café opens on the quay', 'The café has 12 tables.')
    assert (second['title'], second['link']) == ('Ferry & crane', 'http://quay.example/ferry')


def test_rss_20_with_the_usual_modules():
    feed = parse('rss20.xml')
    assert (feed['title'], feed['link'], feed['hub']) == ('Mill News', 'https://mill.example/', 'https://hub.example/')
    assert feed['moved'] == 'https://mill.example/rss' and feed['updated_ms'] == 1795509000000
    first, second = feed['items']
    assert first['title'] == 'Mill closes'
    assert first['link'] == 'https://mill.example/news/closing?utm_source=rss'
    assert first['guid'] == 'mill-1' and first['guid_is_link'] is False
    assert first['author'] == 'Ada Quill, Ben Inkwell'
    assert first['published_ms'] == 1795474800000
    assert first['summary'] == 'Short.'
    assert first['content'] == 'The mill of 1840 closes.\n\nIt employs 140 people.'
    assert first['links'] == ['https://mill.example/news/history']
    assert second['link'] == second['guid'] == 'https://mill.example/permalink'
    assert second['author'] == 'The Desk'


def test_rss_10_takes_nothing_from_its_image():
    feed = parse('rss10.rdf')
    assert (feed['kind'], feed['title'], feed['link']) == ('rdf', 'Tower', 'http://tower.example/')
    bell, = feed['items']
    assert (bell['title'], bell['link'], bell['guid']) == (
        'Bell rings again', 'http://tower.example/1', 'http://tower.example/1')
    assert (bell['updated_ms'], bell['lang']) == (1795504500000, 'de')


def test_atom_03_in_its_modes():
    feed = parse('atom03.xml')
    assert (feed['kind'], feed['title'], feed['lang']) == ('atom', 'Old Atom', 'en')
    one, = feed['items']
    assert (one['title'], one['content'], one['author']) == ('One & two', 'Decoded', 'Cy Pher')
    assert (one['published_ms'], one['updated_ms']) == (1073030645000, 1073088000000)


def test_atom_10_with_bases_and_languages():
    feed = parse('atom10.xml')
    assert (feed['title'], feed['link'], feed['author']) == (
        'Lamp & wick', 'https://lamp.example/blog/', 'Lamp Staff')
    first, second = feed['items']
    assert first['title'] == 'Plain <text>, not markup'
    assert (first['link'], first['lang']) == ('https://lamp.example/blog/1.html', 'fr')
    assert first['content'] == 'See two.'
    assert set(first['links']) == {'https://via.example/', 'https://lamp.example/blog/sub/2.html'}
    assert first['published_ms'] == 1795507200500
    assert (second['title'], second['author'], second['content']) == ('Quoted from elsewhere', 'Eve Where', '')


def test_json_feed():
    feed = parse('feed.json')
    assert (feed['kind'], feed['title'], feed['author'], feed['lang']) == ('json', 'Kite', 'Kit', 'en')
    first, second = feed['items']
    assert (first['guid'], first['content'], first['links']) == ('k1', 'Very high.', ['https://kite.example/2'])
    assert first['published_ms'] == 1795514400000
    assert (second['guid'], second['link'], second['content']) == (
        '7', 'https://elsewhere.example/', 'Line one\n\nLine two')


def test_what_people_wrote_is_mended_once_and_said_to_be():
    feed = parse('broken.xml')
    assert feed['repaired'] is True and feed['problem'][0].isdigit()
    assert feed['title'] == 'Loose & free'
    first, second = feed['items']
    assert (first['title'], first['link']) == ('Fish & chips — 5 < 6', 'http://loose.example/?a=1&b=2')
    assert 'alt' not in first['summary'] and '&bogus; name' in first['summary']
    assert second['title'] == 'Cut off in the mid'


def test_records_are_the_same_each_time_and_independent_of_where_they_were_read():
    a, b = records('rss20.xml', '--url', 'https://one.example/rss'), records('rss20.xml', '--url', 'https://two.example/x')
    assert [r['id'] for r in a] == [r['id'] for r in b]
    assert a == records('rss20.xml', '--url', 'https://one.example/rss')
    first, second = a
    assert first['canonical'] == 'https://mill.example/news/closing'
    assert first['url'] == 'https://mill.example/news/closing?utm_source=rss'
    assert list(first) == ['schema', 'id', 'version', 'guid', 'source', 'outlet', 'owner', 'primary', 'url', 'canonical',
                           'title', 'author', 'text', 'published_ms', 'updated_ms', 'fetched_ms', 'lang', 'links',
                           'sha256']
    assert second['text'] == '' and second['outlet'] == 'mill.example'


def mutate(data, rng):
    data = bytearray(data)
    for _ in range(rng.randint(1, 12)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0 and data:
            del data[at:at + rng.randint(1, 60)]
        elif kind == 1:
            data[at:at] = rng.choice([b'<', b'>', b'&', b'"', b'\0', b']]>', b'<![CDATA[', b'<!--', b'\xff\xfe', b'&#x1F;',
                                      b'<a b=', b'</', b'<!DOCTYPE a [', b'{', b'[', b'\\u0000', b'\xe2\x80'])
        elif kind == 2 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 3:
            piece = data[at:at + rng.randint(1, 200)]
            data[at:at] = piece * rng.randint(1, 20)
        else:
            other = rng.randrange(len(data) + 1)
            data[at:at] = data[other:other + rng.randint(1, 100)]
    return bytes(data)


def test_damaged_documents_never_end_the_parser(tmp_path):
    sources = [path.read_bytes() for path in sorted(DATA.iterdir())]
    rng = random.Random(int(os.environ.get('TELEX_FUZZ_SEED', '4')))
    for round_ in range(int(os.environ.get('TELEX_FUZZ_ROUNDS', '4'))):
        paths = []
        for n in range(200):
            path = tmp_path / f'{n}'
            path.write_bytes(mutate(rng.choice(sources), rng))
            paths.append(path)
        for options in ([], ['--records', '--url', 'https://a.example/']):
            out = subprocess.run([PROGRAM, *options, *paths], capture_output=True, timeout=120)
            assert out.returncode == 0, (round_, out.stderr.decode(errors='replace')[-3000:])


def escaped(html):
    return html.replace('<', '&lt;').replace('>', '&gt;')


def item_of(html, times=4):
    return '<rss><channel>' + f'<item><description>{escaped(html)}</description></item>' * times


COSTLY = {
    'many items': '<rss><channel>' + '<item><title>x</title></item>' * 70000,
    'many namespaces': '<rss>' + ''.join(f'<c{n} xmlns:p{n}="u{n}">' for n in range(100)) + '<q:x/>' * 300000,
    'deep elements': '<rss><channel>' + '<a>' * 700000,
    'many attributes': '<rss ' + ' '.join(f'a{n}="1"' for n in range(200000)) + '/>',
    'ampersands': '<rss><channel><title>' + '&' * 2000000,
    'angles': '<rss><channel><title>' + '<' * 2000000,
    'end tags': '<rss><channel><title>' + '</x' * 700000,
    'formatting that is never closed': item_of('<b id=1><p></p>' * 30000),
    'tables that are never closed': item_of('<table><tr><td>x' * 20000),
    'formatting of every paragraph': item_of('<i>' * 15 + '<p>x' * 39000),
    'long styles': item_of('<p style="' + 'color:' * 60000 + '">x'),
    'equal guids': '<rss><channel>' + ('<item><title>x</title><guid>' + 'g' * 700 + '</guid></item>') * 3000,
    'marks on marks': '<rss><channel><item><description>' + '\u0301' * 1000000,
    'lists in lists': '{"title":"x","items":[' + '[' * 1000000,
    'many values': '{"title":"x","items":[' + '[],' * 700000,
}


@pytest.mark.parametrize('what', COSTLY)
def test_no_document_costs_much_more_than_its_size(what, tmp_path):
    path = tmp_path / 'document'
    path.write_text(COSTLY[what])
    limits = {resource.RLIMIT_CPU: 40} | ({} if SANITIZED else {resource.RLIMIT_AS: 400 << 20})
    out = subprocess.run([PROGRAM, path], capture_output=True, timeout=300, preexec_fn=lambda: [
        resource.setrlimit(limit, (value, value)) for limit, value in limits.items()])
    assert out.returncode == 0, out.stderr[-2000:]
    json.loads(out.stdout)


@pytest.fixture
def corpora():
    if not CORPORA.is_dir():
        pytest.skip(f'the shared feed documents are not here ({CORPORA})')
    return CORPORA


def test_no_document_of_the_corpora_ends_the_parser(corpora):
    paths = [p for p in agreement.documents(corpora) if os.path.basename(p) not in ('LICENSE', 'PROVENANCE.txt')]
    assert len(paths) > 2900
    for options in (('--url', 'https://a.example/x'), ('--records', '--url', 'https://a.example/x')):
        for at in range(0, len(paths), 200):
            out = subprocess.run([PROGRAM, *options, *paths[at:at + 200]], capture_output=True, timeout=300)
            assert out.returncode == 0, (paths[at], out.stderr.decode(errors='replace')[-3000:])


def test_it_agrees_with_feedparser(corpora):
    result = agreement.measure(PROGRAM, str(corpora / 'feedparser' / 'tests'))
    share = result['agree'] / result['fields']
    print(f"{result['agree']} of {result['fields']} expectations agree ({100 * share:.1f} %)")
    assert result['crashes'] == []
    assert result['fields'] > 1400 and result['documents'] > 2000
    assert share >= 0.99, [f[0] for f in result['failures']]


# Expectations that telex does not share, each with its reason in README.md; a new one is looked at before it is listed.
KNOWN = {'gofeed': 8, 'feedrs': 0, 'miniflux': 0, 'rome': 0}


@pytest.mark.parametrize('name', KNOWN)
def test_it_agrees_with_other_readers(corpora, name):
    result = expectations.measure(PROGRAM, str(corpora), name)
    print(f"{name}: {result['agree']} of {result['fields']} expectations agree")
    assert result['crashes'] == [] and result['fields'] >= 6
    assert len(result['failures']) <= KNOWN[name], result['failures']


def atom(entry, head=''):
    return f'<feed xmlns="http://www.w3.org/2005/Atom"{head}><entry>{entry}</entry></feed>'


DECIDED = {
    'the last of several links holds in RSS': (
        '<rss><channel><item><link>http://a.example/1</link><link>http://a.example/2</link></item></channel></rss>',
        'link', 'http://a.example/2'),
    'an empty link takes nothing away': (
        '<rss><channel><item><link>http://a.example/1</link><link/></item></channel></rss>',
        'link', 'http://a.example/1'),
    'the first of several links holds in Atom': (
        atom('<link href="http://a.example/1"/><link href="http://a.example/2"/>'), 'link', 'http://a.example/1'),
    'the first of several contents holds': (
        atom('<content>one</content><content>two</content>'), 'content', 'one'),
    'a title of an odd type is text': (atom('<title type="application/x-odd">test</title>'), 'title', 'test'),
    'a title in base64 is unpacked': (
        atom('<title type="application/octet-stream">UXVheSA8Yj5vcGVuPC9iPg==</title>'), 'title', 'Quay open'),
    'content that is no base64 is text': (
        atom('<content type="application/json">{"a":1}</content>'), 'content', '{"a":1}'),
    'an id is relative to xml:base': (
        atom('<id>a/1</id>', ' xml:base="http://a.example/x/"'), 'guid', 'http://a.example/x/a/1'),
    'an id without base stays': (atom('<id>a/1</id>'), 'guid', 'a/1'),
    'the language of the content is that of the item': (
        atom('<content xml:lang="fr">oui</content>'), 'lang', 'fr'),
}


@pytest.mark.parametrize('what', DECIDED)
def test_what_readers_decide_where_formats_do_not(what, tmp_path):
    document, field, wanted = DECIDED[what]
    (tmp_path / 'd').write_text(document)
    assert parse(tmp_path / 'd', '--url', 'http://feed.example/f')['items'][0][field] == wanted
