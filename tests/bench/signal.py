#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench-signal: seconds to read feed documents, telex beside libxml2's tree and Python's feedparser.

The documents are those of the shared corpora over 20 KB, and one of 400 items written here, so that there is something
to read where the corpora are absent. `feed-speed` reads each from memory with telex (everything from bytes to clean
items, HTML included) and with libxml2 (xmlReadMemory and xmlFreeDoc) in turn; feedparser reads the same bytes in this
process, between the rounds of feed-speed. One thread each, processor time. Shown are medians, and the sums over all documents."""
import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import feedparser

ROOT = Path(__file__).resolve().parents[2]
LARGE_BYTES = 20000
TARGET_FEEDPARSER, TARGET_LIBXML2 = 20, 0.8

PARAGRAPH = ('&lt;p&gt;The harbour board of <b/>Elmouth said on {day} that pier {n} stays open &amp;amp; free, after &lt;a '
             'href="https://harbour.example/{n}?utm_source=rss"&gt;{n} letters&lt;/a&gt; from the town&#8217;s '
             'fishermen. &lt;em&gt;&#8220;We listened,&#8221;&lt;/em&gt; said its head.&lt;/p&gt;').replace('<b/>', '')


def written_here():
    items = ''.join(
        f'<item><title>Pier {n} stays open</title><link>https://harbour.example/{n}</link>'
        f'<guid isPermaLink="false">pier-{n}</guid><pubDate>Tue, 24 Nov 2026 08:{n % 60:02}:00 GMT</pubDate>'
        f'<description>{PARAGRAPH.format(n=n, day="Tuesday") * 3}</description></item>' for n in range(400))
    return ('<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>Harbour News</title>'
            f'<link>https://harbour.example/</link>{items}</channel></rss>').encode()


def documents(shared):
    """Of the shared corpora, the feeds over LARGE_BYTES that feedparser finds items in."""
    found = [p for ending in ('*.xml', '*.rss') for p in sorted((shared / 'feeds').rglob(ending))
             if p.stat().st_size > LARGE_BYTES]
    return [p for p in found if feedparser.parse(p.read_bytes()).entries]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--build', type=Path, default=ROOT / 'build-release')
    parser.add_argument('--shared', type=Path, default=Path(os.environ.get('TELEX_SHARED_DATA', ROOT / '../shared/data')))
    parser.add_argument('--rounds', type=int, default=5, help='rounds of all readers (5); feed-speed reads 20 times in each')
    parser.add_argument('--check', action='store_true', help='end with 1 when a target of the project is missed')
    args = parser.parse_args()
    program = args.build / 'tests' / 'signal' / 'feed-speed'
    with tempfile.TemporaryDirectory(prefix='telex-bench-') as folder:
        ours = Path(folder) / 'written-here.xml'
        ours.write_bytes(written_here())
        paths = [ours, *documents(args.shared)]
        if len(paths) == 1:
            print(f'no shared corpora in {args.shared}: only the document written here')
        took = {p: {'telex': [], 'libxml2': [], 'feedparser': []} for p in paths}
        for _ in range(args.rounds):
            out = subprocess.run([program, '20', *paths], check=True, capture_output=True, text=True).stdout
            for path, line in zip(paths, out.splitlines()):
                _, _, telex_ns, libxml2_ns = line.split('\t')
                took[path]['telex'].append(int(telex_ns) / 1e9)
                took[path]['libxml2'].append(int(libxml2_ns) / 1e9)
            for path in paths:
                data = path.read_bytes()
                began = time.process_time()
                feedparser.parse(data)
                took[path]['feedparser'].append(time.process_time() - began)
        show(paths, {p: {k: statistics.median(v) for k, v in t.items()} for p, t in took.items()}, args.check)


def show(paths, took, check):
    print(f"{'document':52} {'KB':>6} {'telex MB/s':>11} {'libxml2 MB/s':>13} {'of libxml2':>11} {'of feedparser':>14}")
    rows = [(p.name, p.stat().st_size, took[p]) for p in paths]
    total = {k: sum(t[k] for _, _, t in rows) for k in ('telex', 'libxml2', 'feedparser')}
    rows.append((f'all {len(paths)}', sum(size for _, size, _ in rows), total))
    for name, size, t in rows:
        print(f"{name[:52]:52} {size / 1e3:6.0f} {size / t['telex'] / 1e6:11.1f} {size / t['libxml2'] / 1e6:13.1f} "
              f"{t['libxml2'] / t['telex']:10.2f}x {t['feedparser'] / t['telex']:13.1f}x")
    met = total['feedparser'] / total['telex'] >= TARGET_FEEDPARSER and total['libxml2'] / total['telex'] >= TARGET_LIBXML2
    print(f"targets: {TARGET_FEEDPARSER} times feedparser and {TARGET_LIBXML2} of libxml2: {'met' if met else 'missed'}")
    if check and not met:
        raise SystemExit(1)


if __name__ == '__main__':
    main()
