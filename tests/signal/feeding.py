# SPDX-License-Identifier: Apache-2.0
"""What the tests of signal-feed share: a site on loopback, documents for it, and runs of the stage."""
import email.utils
import json
import os
import re
import subprocess
import time

import pytest

from site_on_loopback import Site

RUN, PLUGIN = os.environ['TELEX_STAGE_RUN'], os.environ['TELEX_SIGNAL_FEED']


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


def rss(*items, head=''):
    return ('<?xml version="1.0"?><rss version="2.0"><channel><title>Harbour News</title>'
            '<link>https://harbour.example/</link>' + head + ''.join(items) + '</channel></rss>').encode()


def item(number, title=None, text='Text.', when=None, extra=''):
    when = email.utils.formatdate(when if when is not None else time.time() - 3600)
    return (f'<item><title>{title or f"Item {number}"}</title><link>https://harbour.example/{number}</link>'
            f'<guid isPermaLink="false">h{number}</guid><pubDate>{when}</pubDate>'
            f'<description>{text}</description>{extra}</item>')


class Poll:
    """One run of the stage: every feed that is due is asked once."""

    def __init__(self, site, *feeds, kv=None, options=(), args=(), seconds=20, code=0, ports=None, once=True,
                 allow=('127.0.0.0/8',)):
        command = [RUN, PLUGIN, '--seconds', str(seconds), *map(str, args)]
        for feed in feeds:
            command += ['-o', f'feeds={feed}']
        for port in ports if ports is not None else [site.port]:
            command += ['-o', f'allow_ports={port}']
        for block in allow:
            command += ['-o', f'allow_addresses={block}']
        command += ['-o', f'once={"true" if once else "false"}', '-o', 'domain_gap=0ms']
        for option in options:
            command += ['-o', option]
        if kv:
            command += ['--kv', str(kv)]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, timeout=60,
                              env={**os.environ, 'http_proxy': 'http://127.0.0.1:9', 'HTTP_PROXY': 'http://127.0.0.1:9'})
        self.seconds = time.monotonic() - began
        self.log = done.stderr.decode(errors='replace')
        assert done.returncode == code, self.log
        self.records = [json.loads(line) for line in done.stdout.decode().splitlines()]

    def titles(self):
        return [r['title'] for r in self.records]

    def minutes(self):
        return int(re.search(r'next try in (\d+) min', self.log)[1])


def forget_time(state):
    """The same state with next_ms of every feed at 0: the test does not wait for hours."""
    at = state.index(b'next_ms') + len(b'next_ms')
    assert state[at] == 0xcf
    return state[:at + 1] + bytes(8) + state[at + 9:]


def next_ms(kv):
    state = kv.read_bytes()
    at = state.index(b'next_ms') + len(b'next_ms')
    return int.from_bytes(state[at + 1:at + 9], 'big')
