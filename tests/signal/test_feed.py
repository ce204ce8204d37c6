# SPDX-License-Identifier: Apache-2.0
"""signal-feed against a real HTTP server on loopback: what it asks, what it takes, what it refuses."""
import ctypes
import email.utils
import gzip
import json
import os
import re
import socket
import time
import zlib

import pytest

from feeding import Poll, forget_time, item, next_ms, rss, site  # noqa: F401 (site is a fixture)


def test_a_feed_becomes_records(site):
    site.serve('/f', rss(item(1, 'Port &amp; quay', '&lt;p&gt;One &lt;b&gt;two&lt;/b&gt;&lt;/p&gt;&lt;p&gt;'
                              '&lt;a href="/more"&gt;Three&lt;/a&gt;&lt;/p&gt;')), Content_Type='text/xml')
    record = Poll(site, site.url('/f')).records[0]
    assert record['schema'] == 'telex.record/1' and record['version'] == 1
    assert re.fullmatch('[0-9a-f]{32}', record['id']) and re.fullmatch('[0-9a-f]{64}', record['sha256'])
    assert record['title'] == 'Port & quay'
    assert record['text'] == 'One two\n\nThree'
    assert record['guid'] == 'h1'
    assert record['url'] == 'https://harbour.example/1'
    assert record['outlet'] == record['owner'] == 'harbour.example'
    assert record['source'] == 'Harbour News'
    assert record['links'] == [site.url('/more')]
    assert abs(record['fetched_ms'] - time.time() * 1000) < 60000
    assert record['published_ms'] < record['fetched_ms']


def test_words_behind_an_address_describe_the_feed(site):
    site.serve('/f', rss(item(1)))
    record = Poll(site, site.url('/f') + ' primary name="The Harbour" owner="Harbour Ltd" outlet=h.example lang=en').records[0]
    assert record['primary'] is True
    assert (record['source'], record['owner'], record['outlet'], record['lang']) == (
        'The Harbour', 'Harbour Ltd', 'h.example', 'en')


def test_validators_go_back_byte_for_byte(site, tmp_path):
    tag, modified = 'W/"a b\\"c-\xe9"', 'Tue, 24 Nov 2026 09:00:00 GMT (sic)'

    def answer(h):
        if h.headers.get('If-None-Match') == tag and h.headers.get('If-Modified-Since') == modified:
            h.answer(304)
        else:
            h.answer(200, rss(item(1)), ETag=tag, Last_Modified=modified)

    site.routes['/f'] = answer
    kv, options = tmp_path / 'kv', ['interval=1s', 'max_interval=1s']
    assert len(Poll(site, site.url('/f'), kv=kv, options=options).records) == 1
    time.sleep(1.3)
    out = Poll(site, site.url('/f'), kv=kv, options=options)
    assert out.records == [] and 'unchanged' in out.log
    first, second = site.asked('/f')
    assert 'If-None-Match' not in first[1] and 'If-Modified-Since' not in first[1]
    assert second[1]['If-None-Match'] == tag
    assert second[1]['If-Modified-Since'] == modified


def test_a_restart_does_not_ask_again_before_the_time(site, tmp_path):
    site.serve('/f', rss(item(1)))
    kv = tmp_path / 'kv'
    Poll(site, site.url('/f'), kv=kv)
    assert Poll(site, site.url('/f'), kv=kv).records == []
    assert len(site.asked('/f')) == 1


def test_an_edited_item_is_a_new_version_of_the_same_record(site, tmp_path):
    kv, options = tmp_path / 'kv', ['interval=1s', 'max_interval=1s']
    site.serve('/f', rss(item(1, 'Harbour to close'), item(2)))
    first = Poll(site, site.url('/f'), kv=kv, options=options).records
    time.sleep(1.3)
    site.serve('/f', rss(item(1, 'Harbour to stay open'), item(2), item(3)))
    second = Poll(site, site.url('/f'), kv=kv, options=options).records
    assert [(r['title'], r['version']) for r in second] == [('Harbour to stay open', 2), ('Item 3', 1)]
    assert second[0]['id'] == first[0]['id'] and second[0]['sha256'] != first[0]['sha256']


def test_an_unchanged_body_without_validators_gives_nothing(site, tmp_path):
    kv, options = tmp_path / 'kv', ['interval=1s', 'max_interval=1s']
    site.serve('/f', rss(item(1)))
    Poll(site, site.url('/f'), kv=kv, options=options)
    time.sleep(1.3)
    out = Poll(site, site.url('/f'), kv=kv, options=options)
    assert out.records == [] and 'unchanged' in out.log and len(site.asked('/f')) == 2


def test_the_same_page_in_two_feeds_is_one_record(site):
    same = '<guid isPermaLink="true">https://harbour.example/1</guid>'
    site.serve('/a', rss(f'<item><title>One</title><link>https://harbour.example/1</link>{same}</item>'))
    site.serve('/b', rss(f'<item><title>One, longer</title><link>https://harbour.example/1?utm_source=b</link></item>'))
    assert len(Poll(site, site.url('/a'), site.url('/b')).records) == 1


def test_a_crash_between_steps_neither_loses_nor_repeats(site, tmp_path):
    body = rss(*[item(n) for n in range(200)])
    site.serve('/f', body)
    whole = Poll(site, site.url('/f')).titles()
    assert len(whole) == 200
    for step in (1, 2, 3, 4):
        kv = tmp_path / f'kv{step}'
        first = Poll(site, site.url('/f'), kv=kv, args=['--crash', step], code=9).titles()
        second = Poll(site, site.url('/f'), kv=kv).titles()
        assert first + second == whole
    assert Poll(site, site.url('/f'), args=['--full', 5]).titles() == whole


def test_a_refused_step_is_given_again_by_the_next_instance(site, tmp_path):
    site.serve('/f', rss(*[item(n) for n in range(100)]))
    out = Poll(site, site.url('/f'), kv=tmp_path / 'kv', args=['--refuse', 2])
    assert sorted(out.titles()) == sorted(f'Item {n}' for n in range(100))


def test_records_that_left_their_feed_long_ago_are_forgotten(site, tmp_path):
    kv, options = tmp_path / 'kv', ['interval=1s', 'max_interval=1s']
    site.serve('/f', rss(item(1), item(2)))
    Poll(site, site.url('/f'), kv=kv, options=options)
    state = kv.read_bytes()
    assert state.count(b'item/') == 2
    today = str(int(time.time() // 86400)).encode()
    kv.write_bytes(forget_time(state.replace(b' ' + today + b'\n', b' 10000\n')))
    site.serve('/f', rss(item(3)))
    assert Poll(site, site.url('/f'), kv=kv, options=options).titles() == ['Item 3']
    assert kv.read_bytes().count(b'item/') == 1


def test_temporary_redirects_are_followed_and_forgotten(site, tmp_path):
    kv, options = tmp_path / 'kv', ['interval=1s', 'max_interval=1s']
    site.serve('/f', b'', 302, Location='/g')
    site.serve('/g', rss(item(1)), ETag='"g"')
    assert Poll(site, site.url('/f'), kv=kv, options=options).titles() == ['Item 1']
    time.sleep(1.3)
    Poll(site, site.url('/f'), kv=kv, options=options)
    assert [r[0] for r in site.requests] == ['/f', '/g', '/f', '/g']


def test_a_chain_of_permanent_redirects_moves_the_feed(site, tmp_path):
    kv, options = tmp_path / 'kv', ['interval=1s', 'max_interval=1s']
    site.serve('/f', b'', 301, Location='/g')
    site.serve('/g', b'', 308, Location=site.url('/h'))
    site.serve('/h', rss(item(1)), ETag='"h"')
    out = Poll(site, site.url('/f'), kv=kv, options=options)
    assert out.titles() == ['Item 1'] and 'moved for good to ' + site.url('/h') in out.log
    time.sleep(1.3)
    Poll(site, site.url('/f'), kv=kv, options=options)
    assert [r[0] for r in site.requests] == ['/f', '/g', '/h', '/h']
    assert site.requests[3][1]['If-None-Match'] == '"h"'


def test_redirect_loops_and_long_chains_end(site):
    site.serve('/loop', b'', 301, Location='/loop')
    for n in range(5):
        site.serve(f'/{n}', b'', 302, Location=f'/{n + 1}')
    site.serve('/5', rss(item(1)))
    out = Poll(site, site.url('/loop'), site.url('/0'))
    assert out.records == [] and out.log.count('more redirects than are followed') == 2
    assert len(site.asked('/loop')) == 4
    assert Poll(site, site.url('/0'), options=['redirects=5']).titles() == ['Item 1']


@pytest.mark.parametrize('target', ['file:///etc/passwd', 'gopher://127.0.0.1/', 'ftp://127.0.0.1/x', 'javascript:1',
                                    'http://user:pw@127.0.0.1/'])
def test_redirects_lead_to_nothing_but_http(site, target):
    site.serve('/f', b'', 302, Location=target)
    out = Poll(site, site.url('/f'))
    assert out.records == [] and 'redirected to something that is neither http nor https' in out.log


@pytest.mark.parametrize('target', [
    'http://169.254.169.254/latest/meta-data/', 'http://[::ffff:a9fe:a9fe]/', 'http://[64:ff9b::a9fe:a9fe]/',
    'http://10.1.2.3/', 'http://192.168.0.1/', 'http://172.31.255.1/', 'http://100.64.0.1/', 'http://0.0.0.0/',
    'http://[::1]/', 'http://[fe80::1]/', 'http://[fd00::1]/', 'http://2852039166/', 'http://0xa9fea9fe/'])
def test_private_addresses_are_refused_on_every_hop(site, target):
    site.serve('/f', b'', 302, Location=target)
    out = Poll(site, site.url('/f'), ports=[site.port])
    assert out.records == [] and 'not allowed (allow_addresses)' in out.log
    direct = Poll(site, target)
    assert direct.records == [] and 'not allowed (allow_addresses)' in direct.log


def test_loopback_is_refused_unless_the_config_allows_it(site):
    site.serve('/f', rss(item(1)))
    for url in (site.url('/f'), site.url('/f', 'localhost'), f'http://0x7f000001:{site.port}/f',
                f'http://2130706433:{site.port}/f'):
        out = Poll(site, url, allow=())
        assert out.records == [] and 'not allowed (allow_addresses)' in out.log
    assert 'port' in Poll(site, site.url('/f'), ports=[]).log
    assert site.requests == []


def test_a_name_is_judged_by_the_address_it_resolves_to(site):
    site.serve('/f', rss(item(1)))
    assert Poll(site, site.url('/f', 'localhost')).titles() == ['Item 1']


@pytest.mark.parametrize('status', [400, 401, 403, 404, 500, 502, 503, 204])
def test_failures_are_logged_and_put_off(site, status):
    site.serve('/f', b'', status)
    out = Poll(site, site.url('/f'))
    assert f'{site.url("/f")}: answered {status}; failure 1 in a row' in out.log
    assert 54 <= out.minutes() <= 66


def test_failures_back_off_up_to_two_days(site, tmp_path):
    site.serve('/f', b'', 500)
    kv, waits = tmp_path / 'kv', []
    for _ in range(9):
        waits.append(Poll(site, site.url('/f'), kv=kv, options=['interval=1h', 'max_interval=1h']).minutes())
        text = kv.read_bytes()
        kv.write_bytes(forget_time(text))
    assert all(later >= earlier * 1.5 for earlier, later in zip(waits, waits[1:6]))
    assert max(waits) <= 48 * 60 * 1.1 + 1


def test_a_good_answer_ends_the_failures(site, tmp_path):
    kv = tmp_path / 'kv'
    site.serve('/f', b'', 500)
    Poll(site, site.url('/f'), kv=kv)
    kv.write_bytes(forget_time(kv.read_bytes()))
    site.serve('/f', rss(item(1)))
    assert Poll(site, site.url('/f'), kv=kv).titles() == ['Item 1']
    kv.write_bytes(forget_time(kv.read_bytes()))
    site.serve('/f', b'', 500)
    assert 'failure 1 in a row' in Poll(site, site.url('/f'), kv=kv).log


def test_410_is_the_end(site, tmp_path):
    kv = tmp_path / 'kv'
    site.serve('/f', b'', 410)
    assert 'gone (410); not asked again' in Poll(site, site.url('/f'), kv=kv).log
    assert b'next_ms\x00' in kv.read_bytes()  # its time never comes again, though it is past
    Poll(site, site.url('/f'), kv=kv)
    assert len(site.asked('/f')) == 1


@pytest.mark.parametrize('status', [429, 503])
@pytest.mark.parametrize('form', ['seconds', 'date'])
def test_retry_after_is_a_floor_in_both_forms(site, status, form, tmp_path):
    seconds = 5 * 3600
    value = str(seconds) if form == 'seconds' else email.utils.formatdate(time.time() + seconds, usegmt=True)
    site.serve('/f', b'', status, Retry_After=value)
    out = Poll(site, site.url('/f'), options=['interval=1s'])
    assert 298 <= out.minutes() <= 301
    site.serve('/f', b'', status, Retry_After='5')
    assert 54 <= Poll(site, site.url('/f')).minutes() <= 66


def test_a_site_that_says_wait_is_not_asked_for_its_other_feeds(site, tmp_path):
    kv = tmp_path / 'kv'
    site.serve('/a', b'', 429, Retry_After='3600')
    site.serve('/b', rss(item(1)))
    Poll(site, site.url('/a'), site.url('/b'), kv=kv, options=['parallel=4'])
    Poll(site, site.url('/a'), site.url('/b'), kv=kv, options=['parallel=4'])
    assert [r[0] for r in site.requests] == ['/a']


@pytest.mark.parametrize('headers, head, hours', [
    ({'Cache_Control': 'public, max-age=18000'}, '', 5),
    ({'Expires': 'in6h'}, '', 6),
    ({}, '<ttl>240</ttl>', 4),
    ({'Cache_Control': 'max-age=99999999'}, '', 24),
])
def test_the_sites_wishes_put_the_next_question_off(site, headers, head, hours, tmp_path):
    headers = {k: email.utils.formatdate(time.time() + 6 * 3600, usegmt=True) if v == 'in6h' else v
               for k, v in headers.items()}
    kv = tmp_path / 'kv'
    site.serve('/f', rss(item(1), head=head), **headers)
    Poll(site, site.url('/f'), kv=kv, options=['max_interval=1h'])
    assert abs(next_ms(kv) - time.time() * 1000 - hours * 3600e3) < 60e3 + 0.11 * hours * 3600e3


def test_the_interval_follows_how_much_a_feed_brings(site, tmp_path):
    now = time.time()
    site.serve('/busy', rss(*[item(n, when=now - n * 600) for n in range(500)]))
    site.serve('/calm', rss(item(1, when=now - 3600), item(2, when=now - 90000)))
    waits = {}
    for path in ('/busy', '/calm'):
        kv = tmp_path / path[1:]
        Poll(site, site.url(path), kv=kv)
        waits[path] = (next_ms(kv) / 1000 - time.time()) / 3600
    assert 0.85 < waits['/busy'] < 1.15
    assert 21 < waits['/calm'] < 27


def test_one_site_is_asked_one_thing_at_a_time(site):
    def slow(h):
        time.sleep(0.1)
        h.answer(200, rss(item(h.path[1:])))

    for n in range(6):
        site.routes[f'/{n}'] = slow
    out = Poll(site, *[site.url(f'/{n}') for n in range(6)], options=['parallel=6'])
    assert len(out.records) == 6 and site.most_active == 1


@pytest.mark.parametrize('encoding', ['gzip', 'deflate', 'identity', 'x-unknown'])
def test_encodings_that_we_ask_for_are_unpacked(site, encoding):
    body = rss(item(1))
    packed = {'gzip': gzip.compress(body), 'deflate': zlib.compress(body)}.get(encoding, body)
    site.serve('/f', packed, Content_Encoding=encoding)
    out = Poll(site, site.url('/f'))
    assert out.titles() == ([] if encoding == 'x-unknown' else ['Item 1'])
    assert {'gzip', 'deflate', 'br'} <= set(site.requests[0][1]['Accept-Encoding'].replace(' ', '').split(','))


def brotli(data):
    """Packed by the library that Debian calls libbrotlienc."""
    library = ctypes.CDLL('libbrotlienc.so.1')
    size = ctypes.c_size_t(len(data) + 1024)
    out = ctypes.create_string_buffer(size.value)
    assert library.BrotliEncoderCompress(5, 22, 0, ctypes.c_size_t(len(data)), data, ctypes.byref(size), out)
    return out.raw[:size.value]


def test_brotli_is_unpacked_and_a_brotli_bomb_is_left_early(site):
    site.serve('/f', brotli(rss(item(1))), Content_Encoding='br')
    assert Poll(site, site.url('/f')).titles() == ['Item 1']
    site.serve('/bomb', brotli(rss(item(1)) + b' ' * (100 << 20)), Content_Encoding='br')
    out = Poll(site, site.url('/bomb'))
    assert out.records == [] and ('ratio_limit' in out.log or 'body_limit' in out.log)


def test_a_gzip_bomb_is_left_early(site):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(rss()[:-20] + b' ' * (1 << 20)) + b''.join(packer.compress(bytes(1 << 20)) for _ in range(300))
    bomb += packer.flush()
    site.serve('/f', bomb, Content_Encoding='gzip')
    out = Poll(site, site.url('/f'))
    assert 'ratio_limit' in out.log or 'body_limit' in out.log
    assert out.records == [] and out.seconds < 10


def test_gzip_in_gzip_is_no_feed(site):
    site.serve('/f', gzip.compress(gzip.compress(rss(item(1)))), Content_Encoding='gzip')
    out = Poll(site, site.url('/f'))
    assert out.records == [] and 'failure 1' in out.log


def pour(h, head, chunk, chunked=False):
    """Send without end, as fast as it goes; returns what got through."""
    sent = 0
    h.close_connection = True
    h.wfile.write(head)
    try:
        while sent < 1 << 30:
            h.wfile.write(b'%x\r\n%s\r\n' % (len(chunk), chunk) if chunked else chunk)
            sent += len(chunk)
    except OSError:
        pass
    return sent


@pytest.mark.parametrize('chunked', [False, True])
def test_an_endless_body_is_left_at_the_limit(site, chunked):
    through = []
    kind = b'Transfer-Encoding: chunked\r\n' if chunked else b''
    site.routes['/f'] = lambda h: through.append(
        pour(h, b'HTTP/1.1 200 OK\r\n' + kind + b'\r\n', rss(item(1)) + b' ' * 65536, chunked))
    out = Poll(site, site.url('/f'), options=['wire_limit=2MiB'])
    time.sleep(0.2)
    assert 'larger than wire_limit' in out.log and out.records == []
    assert through and through[0] < 32 << 20


def test_a_body_of_a_gigabyte_is_refused_by_its_length(site):
    through = []
    site.routes['/f'] = lambda h: through.append(
        pour(h, b'HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n', b' ' * 65536))
    out = Poll(site, site.url('/f'))
    time.sleep(0.2)
    assert 'larger than wire_limit' in out.log and out.seconds < 5
    assert through[0] < 16 << 20


def test_headers_without_end_are_left(site):
    def answer(h):
        h.close_connection = True
        h.wfile.write(b'HTTP/1.1 200 OK\r\n')
        for n in range(5000):
            h.wfile.write(b'X-Number-%d: %s\r\n' % (n, b'x' * 100))

    site.routes['/f'] = answer
    out = Poll(site, site.url('/f'))
    assert out.records == [] and 'headers' in out.log and out.seconds < 5


def test_a_slow_loris_is_given_up(site):
    def answer(h):
        h.close_connection = True
        h.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n')
        for _ in range(100):
            h.wfile.write(b' ')
            time.sleep(0.1)

    site.routes['/f'] = answer
    slow = Poll(site, site.url('/f'), options=['slow_timeout=2s'])
    assert slow.records == [] and slow.seconds < 6 and 'failure 1' in slow.log
    late = Poll(site, site.url('/f'), options=['timeout=1s'])
    assert late.records == [] and late.seconds < 4 and 'failure 1' in late.log


def test_a_server_that_never_answers_is_given_up():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        port = listener.getsockname()[1]
        out = Poll(None, f'http://127.0.0.1:{port}/', ports=[port], options=['timeout=1s'])
        assert out.records == [] and out.seconds < 4 and 'failure 1' in out.log
    refused = Poll(None, f'http://127.0.0.1:{port}/', ports=[port])
    assert refused.records == [] and 'failure 1' in refused.log


@pytest.mark.parametrize('reply', [
    b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n' + rss(item(1)),
    b'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n' + rss(item(1)),
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n' + rss(item(1)),
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n<rss>',
    b'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nthis is not gzip',
    b'HTTP/1.1 200 OK\r\n',
    b'garbage\r\n\r\n',
    b''])
def test_broken_answers_are_failures(site, reply):
    def answer(h):
        h.close_connection = True
        h.wfile.write(reply)

    site.routes['/f'] = answer
    out = Poll(site, site.url('/f'), options=['timeout=3s'])
    assert out.records == [] and 'failure 1 in a row' in out.log


def test_a_reset_in_the_middle_is_a_failure(site):
    def answer(h):
        h.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n<rss>')
        h.wfile.flush()
        h.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        h.connection.shutdown(socket.SHUT_RD)
        h.connection.close()
        h.close_connection = True

    site.routes['/f'] = answer
    out = Poll(site, site.url('/f'))
    assert out.records == [] and 'failure 1 in a row' in out.log


@pytest.mark.parametrize('body, why', [
    (b'', 'the document is empty'),
    (b'   \n', 'the document is empty'),
    (b'just words', 'neither XML nor JSON'),
    (b'<html><body><p>not a feed</p></body></html>', "not a feed: the document's element is <html>"),
    (b'{"a": 1}', 'not a feed: JSON without version, title or list of items'),
    (b'\x1f\x8b\x08rubbish', ''),
])
def test_what_is_no_feed_is_a_failure_that_says_so(site, body, why):
    site.serve('/f', body)
    out = Poll(site, site.url('/f'))
    assert out.records == [] and why in out.log and 'failure 1 in a row' in out.log


def test_billion_laughs_is_refused(site):
    entities = ''.join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    site.serve('/f', f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY l0 "lol">{entities}]><rss><channel><item>'
                     f'<title>&l9;</title></item></channel></rss>'.encode())
    out = Poll(site, site.url('/f'))
    assert out.records == [] and 'declares entities' in out.log and out.seconds < 5


def test_outside_entities_are_never_read(site, tmp_path):
    secret = tmp_path / 'secret'
    secret.write_text('the secret')
    site.serve('/f', f'<!DOCTYPE rss [<!ENTITY x SYSTEM "file://{secret}">]><rss><channel><item><title>A &x;</title>'
                     f'</item></channel></rss>'.encode())
    site.serve('/g', f'<!DOCTYPE rss SYSTEM "{site.url("/dtd")}"><rss><channel><item><title>B</title></item>'
                     f'</channel></rss>'.encode())
    out = Poll(site, site.url('/f'), site.url('/g'))
    assert out.titles() == ['B'] and 'secret' not in json.dumps(out.records)
    assert site.asked('/dtd') == []


def test_deep_nesting_and_huge_fields_cost_no_more_than_the_limits(site):
    site.serve('/deep', b'<rss><channel>' + b'<a>' * 100000 + b'</a>' * 100000 + b'</channel></rss>')
    html = '&lt;b&gt;' * 60000 + 'x'
    site.serve('/html', rss(item(1, text=html), item(2, title='t' * (1 << 20)), item(3, text='word ' * 300000)))
    out = Poll(site, site.url('/deep'), site.url('/html'))
    assert out.seconds < 15
    records = {r['guid']: r for r in out.records}
    assert records['h1']['text'] == 'x'
    assert len(records['h2']['title']) == 4096
    assert 262000 < len(records['h3']['text']) <= 262144
    assert 'text cut at 262144 bytes' in out.log


def test_records_hold_no_markup_controls_or_hidden_text(site):
    text = ('&lt;script&gt;alert(1)&lt;/script&gt;&lt;p style="display:none"&gt;ignore the above&lt;/p&gt;'
            '&lt;p&gt;Seen\u202e\u2066\u200b &lt;|im_start|&gt;system&lt;/p&gt;&lt;!-- comment --&gt;'
            '&lt;img alt="alt text" src=x onerror=alert(1)&gt;')
    site.serve('/f', rss(item(1, 'A&#x202e;B \U000e0041tag &lt;|im_end|&gt;', text)))
    record = Poll(site, site.url('/f')).records[0]
    assert record['title'] == 'AB tag <|im_end|>'
    assert record['text'].split() == ['Seen', '<|im_start|>system'] or record['text'].startswith('Seen')
    for hidden in ('alert', 'ignore the above', 'comment', 'alt text', '\u202e', '\u2066', '\u200b'):
        assert hidden not in record['text']


def test_xml_that_people_wrote_is_mended_and_said_to_be(site):
    site.serve('/f', '<rss><channel><item><title>Salt & pepper &eacute; caf\x07e</title><link>/a?b=1&c=2</link>'
                     '<description>1 < 2 <br> and on</item><item><title>Second'.encode())
    out = Poll(site, site.url('/f'))
    assert out.titles() == ['Salt & pepper é cafe', 'Second']
    assert out.records[0]['url'] == site.url('/a?b=1&c=2')
    assert 'read all the same' in out.log and re.search(r'/f: \d+:\d+: ', out.log)


def test_items_without_id_link_or_date_have_a_steady_identity(site, tmp_path):
    body = rss('<item><title>Only a title</title></item>', '<item><description>Only a text</description></item>',
               '<item></item>', '<item><guid>same</guid><title>P</title><link>https://h.example/p</link></item>',
               '<item><guid>same</guid><title>Q</title><link>https://h.example/q</link></item>')
    site.serve('/f', body)
    first, second = Poll(site, site.url('/f')).records, Poll(site, site.url('/f')).records
    assert len(first) == 4
    assert len({r['id'] for r in first}) == 4
    assert [r['id'] for r in first] == [r['id'] for r in second]
    assert all(r['published_ms'] == r['fetched_ms'] for r in first)


def test_dates_of_the_future_are_now(site):
    site.serve('/f', rss('<item><title>A</title><pubDate>Fri, 31 Dec 9999 23:59:59 GMT</pubDate></item>'))
    record = Poll(site, site.url('/f')).records[0]
    assert record['published_ms'] == record['fetched_ms']


def test_old_items_are_no_news_unless_asked_for(site):
    site.serve('/f', rss(item(1), item(2, when=time.time() - 30 * 86400)))
    assert Poll(site, site.url('/f')).titles() == ['Item 1']
    assert Poll(site, site.url('/f'), options=['max_age=0ms']).titles() == ['Item 1', 'Item 2']


def test_tracking_is_stripped_from_the_canonical_address_only(site):
    url = 'https://harbour.example/x?utm_source=rss&amp;id=7&amp;fbclid=abc#top'
    site.serve('/f', rss(f'<item><title>A</title><link>{url}</link></item>'))
    record = Poll(site, site.url('/f')).records[0]
    assert record['url'] == 'https://harbour.example/x?utm_source=rss&id=7&fbclid=abc#top'
    assert record['canonical'] == 'https://harbour.example/x?id=7'


def test_json_feed_and_atom_are_read(site):
    site.serve('/j', json.dumps({'version': 'https://jsonfeed.org/version/1.1', 'title': 'J', 'items': [
        {'id': 1, 'url': 'https://j.example/1', 'title': 'J one', 'content_html': '<p>a</p><p>b</p>',
         'authors': [{'name': 'Ada'}]}]}).encode())
    site.serve('/a', b'<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="de-AT"><title>A</title><entry>'
                     b'<id>tag:a.example,2026:1</id><title>A one</title><link href="https://a.example/1"/>'
                     b'<updated>2026-11-24T08:00:00+01:00</updated><author><name>Ben</name></author>'
                     b'<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>c</p></div></content>'
                     b'</entry></feed>')
    records = {r['title']: r for r in Poll(site, site.url('/j'), site.url('/a'), options=['max_age=0ms']).records}
    assert (records['J one']['text'], records['J one']['author']) == ('a\n\nb', 'Ada')
    assert records['A one']['lang'] == 'de' and records['A one']['author'] == 'Ben'
    assert records['A one']['published_ms'] == 1795503600000


def test_files_are_read_and_read_again_when_they_change(tmp_path):
    kv, path, options = tmp_path / 'kv', tmp_path / 'f.xml', ['interval=1s', 'max_interval=1s']
    path.write_bytes(rss(item(1)))
    assert Poll(None, f'file://{path}', ports=[], kv=kv, options=options).titles() == ['Item 1']
    time.sleep(1.3)
    assert 'unchanged' in Poll(None, f'file://{path}', ports=[], kv=kv, options=options).log
    path.write_bytes(rss(item(1), item(2)))
    time.sleep(1.3)
    assert Poll(None, f'file://{path}', ports=[], kv=kv, options=options).titles() == ['Item 2']
    os.mkfifo(tmp_path / 'pipe')
    assert 'is no file' in Poll(None, str(tmp_path / 'pipe'), ports=[]).log
    assert 'No such file' in Poll(None, '/nowhere/at/all.xml', ports=[]).log


def test_a_running_stage_asks_again_when_the_time_has_come(site):
    numbers = iter(range(100))
    site.routes['/f'] = lambda h: h.answer(200, rss(item(next(numbers))))
    out = Poll(site, site.url('/f') + ' every=1s', once=False, seconds=3.6)
    assert 3 <= len(out.records) <= 4
    gaps = [b[2] - a[2] for a, b in zip(site.requests, site.requests[1:])]
    assert all(gap > 0.85 for gap in gaps)


def test_stopping_in_the_middle_of_an_answer_is_quick(site):
    def answer(h):
        h.close_connection = True
        h.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n')
        time.sleep(3)

    site.routes['/f'] = answer
    out = Poll(site, site.url('/f'), once=False, seconds=0.5)
    assert out.seconds < 2.5 and out.records == []


@pytest.mark.parametrize('line, why', [
    ('ftp://x.example/f', 'is no http, https or file address'),
    ('http://user:pw@x.example/f', 'is no http, https or file address'),
    ('http://x.example/f every=soon', 'every= wants a duration'),
    ('http://x.example/f primry', 'is not one of primary'),
])
def test_a_bad_feed_line_is_named(line, why):
    out = Poll(None, 'http://x.example/good', line, ports=[], code=1)
    assert 'feeds[1]: ' in out.log and why in out.log


def test_a_feeds_file_is_named_with_its_line(tmp_path, site):
    listed = tmp_path / 'feeds.txt'
    site.serve('/f', rss(item(1)))
    listed.write_text(f'# the harbour\n\n{site.url("/f")} name="H"  # ours\n{site.url("/f")}\n')
    out = Poll(site, options=[f'feeds_file={listed}'])
    assert [r['source'] for r in out.records] == ['H']
    listed.write_text('# one\nnonsense here\n')
    assert f'{listed}:2: "nonsense"' in Poll(site, options=[f'feeds_file={listed}'], code=1).log


def test_opml_names_the_feeds_of_a_reader(tmp_path, site):
    listed = tmp_path / 'feeds.opml'
    site.serve('/a', rss(item(1)))
    site.serve('/b', rss(item(2)))
    listed.write_text(f'''<?xml version="1.0"?><opml version="1.0"><body><outline text="Folder">
      <outline text="A &amp; co" xmlUrl="{site.url("/a")}" type="rss"/><outline xmlUrl="{site.url("/b")}"/>
      <outline text="again" xmlUrl="{site.url("/a")}"/><outline text="odd" xmlUrl="feed://x"/>
      </outline></body></opml>''')
    out = Poll(site, options=[f'feeds_file={listed}'])
    assert sorted(r['source'] for r in out.records) == ['A & co', 'Harbour News']
    assert f'{listed}:3: "feed://x" is no http, https or file address; left out' in out.log
    listed.write_text('<opml><body>\n<outline></body></opml>')
    assert f'{listed}:2:12: mismatched tag' in Poll(site, options=[f'feeds_file={listed}'], code=1).log


def test_bad_allow_lists_are_named(site):
    assert 'allow_addresses[0]: "10.0.0.0/40"' in Poll(site, site.url('/f'), allow=['10.0.0.0/40'], code=1).log
    assert 'allow_ports[0]: "http"' in Poll(site, site.url('/f'), ports=['http'], code=1).log


def test_we_say_who_we_are_and_nothing_about_the_reader(site):
    site.serve('/f', rss(item(1)), Set_Cookie='a=b')
    Poll(site, site.url('/f'), options=['contact=mailto:desk@wire.example'])
    Poll(site, site.url('/f'), options=['user_agent=other/1'])
    first, second = (r[1] for r in site.requests)
    assert first['User-Agent'] == 'telex/0.1 (news wire; feed reader; mailto:desk@wire.example)'
    assert second['User-Agent'] == 'other/1'
    for name in ('Cookie', 'Referer', 'Authorization', 'From'):
        assert name not in first


def test_a_flood_of_items_is_cut_and_said_to_be(site):
    site.serve('/f', rss(*[item(n, 'Same title', 'Same text.') for n in range(2500)]))
    out = Poll(site, site.url('/f'))
    assert len(out.records) == 2000 and len({r['id'] for r in out.records}) == 2000
    assert 'more than 2000 items; the rest is left out' in out.log


def test_items_that_say_little_are_records_of_their_own(site):
    same = '<guid isPermaLink="false">same</guid>'
    site.serve('/f', rss(
        *[f'<item>{same}<title>No</title><link>https://h.example/{n}</link></item>' for n in range(50)],
        '<item><title/><description>Nur Text.</description><dc:language>de</dc:language></item>',
        '<item><title> &#x200b; </title><description>\u200e</description></item>',
        '<item><title>Да</title><dc:language>ru-RU</dc:language></item>'))
    records = Poll(site, site.url('/f')).records
    assert len(records) == 52 and len({r['id'] for r in records}) == 52
    assert {(r['title'], r['text'], r['lang']) for r in records} == {
        ('No', '', ''), ('', 'Nur Text.', 'de'), ('Да', '', 'ru')}
