# SPDX-License-Identifier: Apache-2.0
"""How far the feed parser agrees with feedparser's expectations.

    agreement.py FEED-PARSE FOLDER [--failures]

Each document under FOLDER (feedparser's tests/) states in its first comment what a parse must give, as a Python
expression: comparisons joined by `and`. Comparisons about the fields telex takes from a feed (title, link, id, dates,
author, summary, content, language; of feed and of items) are counted, all others are left out. telex keeps text and
links where feedparser keeps sanitised HTML, so two values agree when their visible text is the same and every web
link in the expected HTML is among the item's links (links in a feed's own title and subtitle are not kept, so not
compared). As feedparser says it, an item without a summary has its content as the summary, and a feed or item without
`updated` has `published`. The expected side is read with html.parser, not with ours.
"""
import ast
import calendar
import html.parser
import json
import os
import re
import subprocess
import sys
import unicodedata
import urllib.parse

FEED_KEYS = {'title': 'title', 'tagline': 'subtitle', 'subtitle': 'subtitle', 'description': 'subtitle',
             'link': 'link', 'id': 'id', 'guid': 'id', 'author': 'author', 'language': 'lang',
             'published': 'published', 'updated': 'updated', 'modified': 'updated'}
ITEM_KEYS = {'title': 'title', 'link': 'link', 'id': 'guid', 'guid': 'guid', 'author': 'author', 'summary': 'summary',
             'description': 'summary', 'language': 'lang', 'published': 'published', 'updated': 'updated',
             'modified': 'updated', 'issued': 'published'}
DETAIL_KEYS = {'title_detail': 'title', 'summary_detail': 'summary', 'tagline_detail': 'subtitle',
               'subtitle_detail': 'subtitle', 'content': 'content'}
DATE_KEYS = {'published_parsed': 'published_ms', 'updated_parsed': 'updated_ms', 'modified_parsed': 'updated_ms',
             'issued_parsed': 'published_ms', 'created_parsed': 'published_ms'}
SILENT = {'script', 'style', 'noscript', 'template', 'iframe', 'embed', 'audio', 'video', 'canvas',
          'select', 'option', 'button', 'textarea', 'datalist', 'head', 'noframes', 'noembed', 'frameset'}
VOID = {'embed', 'frame', 'img', 'br', 'hr', 'input'}


class Visible(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.text, self.links, self.silent = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag in SILENT and tag not in VOID:
            self.silent.append(tag)
        for key, value in attrs:
            if tag == 'a' and key == 'href' and value and re.match('https?://.', value, re.I):
                self.links.append(value)
        self.text.append(' ')

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if self.silent and self.silent[-1] == tag:
            self.silent.pop()
        self.text.append(' ')

    def handle_data(self, data):
        if not self.silent:
            self.text.append(data)


def plain(text):
    """What two renderings of one text have in common: the characters without white space and invisible ones."""
    text = unicodedata.normalize('NFC', text)
    return ''.join(c for c in text if not c.isspace() and unicodedata.category(c) not in ('Cc', 'Cf', 'Cn', 'Co'))


def visible(text):
    parser = Visible()
    parser.feed(text)
    parser.close()
    return plain(''.join(parser.text)), parser.links


def same_text(ours, expected, links):
    if plain(ours) == plain(expected):
        return True
    text, wanted = visible(expected)
    return plain(ours) == text and (links is None or all(iri(w) in map(iri, links) for w in wanted))


def iri(url):
    return urllib.parse.unquote(url)


def display_name(text):
    match = re.fullmatch(r'(.*?)\s*[(<]([^)>]*)[)>]', text)
    if not match:
        return text
    before, inside = match.groups()
    return inside if '@' in before and inside else before if '@' in inside and before else text


def path_of(node):
    """entries[0]['title_detail']['value'] -> ['entries', 0, 'title_detail', 'value']; None for anything else."""
    path = []
    while True:
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            path.insert(0, node.slice.value)
            node = node.value
        elif isinstance(node, ast.Attribute):
            path.insert(0, node.attr)
            node = node.value
        elif isinstance(node, ast.Name):
            path.insert(0, node.id)
            return path
        else:
            return None


def lookup(feed, path):
    """(kind, value, links) of a path we keep, or None."""
    if not path or path[0] not in ('feed', 'channel', 'entries', 'items'):
        return None
    if path[0] in ('entries', 'items'):
        if len(path) < 3 or not isinstance(path[1], int):
            return None
        where = feed['items'][path[1]] if path[1] < len(feed['items']) else None
        keys, rest = ITEM_KEYS, path[2:]
    else:
        where, keys, rest = feed, FEED_KEYS, path[1:]
    if not rest:
        return None
    missing = where is None
    where = where or {}
    links = None if where is feed else where.get('links', [])
    if rest[0] in DATE_KEYS and len(rest) == 1:
        value = where.get(DATE_KEYS[rest[0]])
        if value is None and rest[0].startswith('updated'):
            value = where.get('published_ms')
        return 'date', value, links
    if rest[0] in DETAIL_KEYS and len(rest) > 1:
        key = DETAIL_KEYS[rest[0]]
        if rest[0] == 'content':
            rest = rest[1:]
            if rest[0] != 0:
                return None
        if key == 'content' and where is feed:
            return None
        if rest[1:] == ['value']:
            value = where.get(key, '')
            if not value:
                value = where.get({'content': 'summary', 'summary': 'content'}.get(key), '')
            return 'text', value, links
        if rest[1:] == ['language']:
            lang = where.get(key + '_lang', '')
            return 'word', lang or None, links
        return None
    if rest[0] == 'author_detail' and rest[1:] == ['name']:
        return 'author', where.get('author', ''), links
    if len(rest) != 1 or rest[0] not in keys:
        return None
    value = where.get(keys[rest[0]], '')
    if rest[0] == 'updated' and not value:
        value = where.get('published', '')
    if keys[rest[0]] == 'summary' and not value:
        value = where.get('content', '')
    if missing:
        value = None
    kind = 'author' if rest[0] == 'author' else \
        'text' if keys[rest[0]] in ('title', 'subtitle', 'summary') else 'word'
    return kind, value, links


def same(kind, ours, expected, links):
    if expected is None or ours is None:
        return ours == expected
    if kind == 'date':
        return isinstance(expected, tuple) and ours // 1000 == calendar.timegm(expected)
    if not isinstance(expected, str):
        return False
    if kind == 'author':
        return display_name(expected) in (ours, *ours.split(', '))
    if kind == 'text':
        return same_text(ours, expected, links)
    return plain(ours) == plain(expected)


def comparisons(expression):
    tree = ast.parse(expression.strip(), mode='eval').body
    for part in tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]:
        if isinstance(part, ast.Compare) and all(isinstance(op, ast.Eq) for op in part.ops):
            sides = [part.left, *part.comparators]
            try:
                value = ast.literal_eval(sides[-1])
            except ValueError:
                continue
            for side in sides[:-1]:
                path = path_of(side)
                if path:
                    yield path, value


def header_of(data):
    """The first comment, whatever the document's encoding."""
    for encoding in ('utf-8', 'utf-16', 'utf-32', 'utf-16-le', 'utf-16-be', 'utf-32-le', 'utf-32-be', 'latin-1'):
        try:
            text = data.decode(encoding)
        except UnicodeError:
            continue
        if 'Expect:' in text:
            return text
    return ''


def headers(text):
    found = {}
    for line in text.splitlines():
        match = re.match(r'\s*Header:\s*([A-Za-z-]+):\s*(.*?)\s*(-->)?$', line)
        if match:
            found[match[1].lower()] = match[2]
    return found


def options_of(path, folder, said):
    options = []
    for name, option in (('content-type', '--type'), ('content-language', '--lang'),
                         ('content-location', '--location')):
        if name in said:
            options += [option, said[name]]
    if os.sep + 'base' + os.sep in path or os.sep + 'http' + os.sep in path:
        options += ['--url', 'http://127.0.0.1:8097/' + os.path.relpath(path, folder)]
    return tuple(options)


def parse_all(program, wanted):
    """{path: feed or None} of {path: options}; None where the parser died."""
    feeds, groups = {}, {}
    for path, options in wanted.items():
        groups.setdefault(options, []).append(path)
    for options, paths in groups.items():
        while paths:
            out = subprocess.run([program, *options, *paths[:200]], capture_output=True)
            got = [json.loads(line) for line in out.stdout.splitlines() if line.endswith(b'}')]
            feeds.update(zip(paths, got))
            paths = paths[len(got):]
            if out.returncode and paths:
                feeds[paths[0]] = None
                sys.stderr.write(out.stderr.decode(errors='replace')[:4000])
                paths = paths[1:]
    return feeds


def documents(folder):
    return sorted(os.path.join(base, name) for base, _, names in os.walk(folder) for name in names)


def measure(program, folder):
    """{'fields': n, 'agree': n, 'documents': n, 'crashes': [...], 'failures': [(file, path, expected, ours)]}"""
    result = {'fields': 0, 'agree': 0, 'documents': 0, 'with_fields': 0, 'crashes': [], 'failures': [], 'by': {}}
    texts, wanted = {}, {}
    for path in documents(folder):
        with open(path, 'rb') as file:
            texts[path] = header_of(file.read())
        wanted[path] = options_of(path, folder, headers(texts[path]))
    feeds = parse_all(program, wanted)
    for path, text in texts.items():
        judge(result, path, text, feeds.get(path))
    return result


def judge(result, path, text, feed):
    """Count what one document's expectation says."""
    result['documents'] += 1
    if feed is None:
        result['crashes'].append(path)
        return
    expect = re.search(r'Expect:\s*(.*)', text)
    line = re.sub(r'\s*(-->.*)?$', '', expect[1]) if expect else ''
    counted = False
    try:
        wanted = list(comparisons(line)) if line else []
    except SyntaxError:
        return
    for where, value in wanted:
        found = lookup(feed, where)
        if not found:
            continue
        counted = True
        kind, ours, links = found
        good = same(kind, ours, value, links)
        by = result['by'].setdefault(str(where[-1] if where[-1] != 'value' else where[-2]), [0, 0])
        by[0] += good
        by[1] += 1
        result['fields'] += 1
        result['agree'] += good
        if not good:
            result['failures'].append((path, where, value, ours, links))
    result['with_fields'] += counted


def main():
    result = measure(sys.argv[1], sys.argv[2])
    if '--failures' in sys.argv:
        for path, where, value, ours, links in result['failures']:
            print(f'{os.path.relpath(path, sys.argv[2])}\n    {where}\n    expected {value!r}\n    ours     {ours!r}'
                  f' {links if links else ""}')
    for path in result['crashes']:
        print('crash', path)
    for name, (good, all_) in sorted(result['by'].items(), key=lambda kv: -kv[1][1]):
        print(f'{name:20} {good:5} of {all_}')
    print(f"{result['agree']} of {result['fields']} expectations agree "
          f"({100 * result['agree'] / max(1, result['fields']):.1f} %), {result['with_fields']} of "
          f"{result['documents']} documents, {len(result['crashes'])} crashes")


if __name__ == '__main__':
    main()
