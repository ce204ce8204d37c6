# SPDX-License-Identifier: Apache-2.0
"""How far the feed parser agrees with what other feed readers expect of their own test documents.

    expectations.py FEED-PARSE FEEDS [SET] [--failures]

FEEDS holds the sets gofeed, feedrs, miniflux, rome (feedparser's is agreement.py's). Each expectation about a field
telex takes (title, link, id, dates, author, summary, content, language; of feed and of items) is compared; all others
(images, enclosures, extensions, ratings) are left out. Where the expectations are from:

gofeed    the .json beside a document: three shapes (its RSS parser's, its Atom parser's, and the translator's)
feedrs    the .serde.json beside a document. Ids and times that feed-rs makes up where the document has none are left out
miniflux  the table of its test of encodings: title of one item for a document and a Content-Type
rome      documents whose texts name the place they belong to: "rss_2.0.channel.item[0].title"

Two values agree as in agreement.py: same visible text, and every link of the expected HTML among the item's.
"""
import calendar
import datetime
import json
import os
import re
import sys
import urllib.parse

import agreement
from agreement import plain, same_text

MINIFLUX = [
    ('urdu_UTF8.xml', 'text/xml; charset=utf-8', 0,
     'امریکی عسکری امداد کی بندش کی وجوہات: انڈیا سے جنگ، جوہری پروگرام اور اب دہشت گردوں کی پشت پناہی'),
    ('encoding_WINDOWS-1251.xml', 'text/xml', 0, 'Цитата #17703'),
    ('no_encoding_ISO-8859-1.xml', 'application/xml; charset=ISO-8859-1', 2, "La criminalité liée surtout à... l'ennui ?"),
    ('encoding_ISO-8859-1.xml', 'application/rss+xml; charset=ISO-8859-1', 5,
     'Projekt Jedi: Microsoft will weiter mit US-Militär zusammenarbeiten'),
    ('rdf_UTF8.xml', 'application/rss+xml; charset=utf-8', 1, 'Mega-Deal: IBM übernimmt Red Hat'),
    ('rdf_UTF8.xml', 'application/rss+xml', 1, 'Mega-Deal: IBM übernimmt Red Hat'),
]


def moment(text):
    """Seconds since 1970 of an RFC 3339 time."""
    return int(datetime.datetime.fromisoformat(re.sub(r'\.\d+', '', text).replace('Z', '+00:00')).timestamp())


def first(values):
    return next((v for v in values if v), None)


class Case:
    """What one document must give: (where, kind, value); where is 'feed' or an item's number, then our field."""

    def __init__(self, path, options=()):
        self.path, self.options, self.wanted = path, tuple(options), []

    def want(self, where, field, kind, value):
        if value not in (None, '', []):
            self.wanted.append((where, field, kind, value))


# ---- gofeed ----

GOFEED_FEED = {'title': ('title', 'text'), 'link': ('link', 'url'), 'description': ('subtitle', 'text'),
               'subtitle': ('subtitle', 'text'), 'language': ('lang', 'word'), 'id': ('id', 'word'),
               'pubDateParsed': ('published', 'date'), 'publishedParsed': ('published', 'date'),
               'lastBuildDateParsed': ('updated', 'date'), 'updatedParsed': ('updated', 'date'),
               'managingEditor': ('author', 'author'), 'home_page_url': ('link', 'url')}
GOFEED_ITEM = {'title': ('title', 'text'), 'link': ('link', 'url'), 'description': ('summary', 'text'),
               'summary': ('summary', 'text'), 'id': ('guid', 'word'), 'author': ('author', 'author'),
               'pubDateParsed': ('published', 'date'), 'publishedParsed': ('published', 'date'),
               'updatedParsed': ('updated', 'date'), 'url': ('link', 'url'), 'date_published': ('published', 'date'),
               'date_modified': ('updated', 'date'), 'content_html': ('content', 'text')}


def gofeed_people(people):
    return [p.get('name') or p.get('email') for p in people or [] if p.get('name') or p.get('email')]


def gofeed_part(case, where, part, table):
    for key, (field, kind) in table.items():
        value = part.get(key)
        if isinstance(value, str):
            case.want(where, field, kind, value)
    guid, content = part.get('guid'), part.get('content')
    if where != 'feed':
        case.want(where, 'guid', 'word', guid.get('value') if isinstance(guid, dict) else guid)
        case.want(where, 'content', 'text', content.get('value') if isinstance(content, dict) else content)
    for name in gofeed_people(part.get('authors')):
        case.want(where, 'author', 'author', name)
    links = part.get('links') or []
    if 'link' not in part and links and isinstance(links[0], dict):
        case.want(where, 'link', 'url', first(
            [link.get('href') for link in links if link.get('rel') in ('alternate', None)]))


def gofeed(folder):
    for path in agreement.documents(os.path.join(folder, 'gofeed', 'testdata')):
        base, ending = os.path.splitext(path)
        expected = base + '_expected.json' if ending == '.json' else base + '.json'
        if base.endswith('_expected') or not os.path.exists(expected):
            continue
        with open(expected, encoding='utf-8') as file:
            want = json.load(file)
        case = Case(path)
        gofeed_part(case, 'feed', want, GOFEED_FEED)
        for i, item in enumerate(want.get('items') or want.get('entries') or []):
            gofeed_part(case, i, item, GOFEED_ITEM)
        yield case


# ---- feed-rs ----

def feedrs_part(case, where, part, said, channel=False):
    text = {key: (part.get(key) or {}).get('content') for key in ('title', 'summary', 'description')}
    case.want(where, 'title', 'text', text['title'])
    case.want(where, 'subtitle' if channel else 'summary', 'text', text['description'] if channel else text['summary'])
    if not channel:
        case.want(where, 'content', 'text', (part.get('content') or {}).get('body'))
    if part['id'] in said:
        case.want(where, 'id' if channel else 'guid', 'word', part['id'])
    case.want(where, 'link', 'url', first(
        [link['href'] for link in part['links'] if link['rel'] in (None, 'alternate') and link['href'] in said]))
    for person in part['authors']:  # "author" is what feed-rs calls someone of whom it has only the address
        case.want(where, 'author', 'author', person['email'] if person['name'] == 'author' else person['name'])
    case.want(where, 'published', 'date', part.get('published'))
    case.want(where, 'updated', 'date', part.get('updated'))
    case.want(where, 'lang', 'word', part.get('language'))


def feedrs(folder):
    for path in agreement.documents(os.path.join(folder, 'feedrs', 'feed-rs', 'fixture')):
        expected = os.path.splitext(path)[0] + '.serde.json'
        if path.endswith('.serde.json') or not os.path.exists(expected):
            continue
        with open(expected, encoding='utf-8') as file:
            want = json.load(file)
        with open(path, 'rb') as file:
            said = file.read().decode(errors='replace').replace('&amp;', '&').replace('\\/', '/')
        case = Case(path)
        feedrs_part(case, 'feed', want, said, channel=True)
        for i, entry in enumerate(want['entries']):
            feedrs_part(case, i, entry, said)
        yield case


# ---- miniflux, rome ----

def miniflux(folder):
    base = os.path.join(folder, 'miniflux', 'internal', 'reader', 'parser', 'testdata')
    for name, content_type, item, title in MINIFLUX:
        case = Case(os.path.join(base, name), ('--type', content_type))
        case.want(item, 'title', 'text', title)
        yield case


ROME = {'title': 'title', 'link': 'link', 'description': 'summary', 'summary': 'summary', 'tagline': 'subtitle',
        'language': 'lang', 'author.name': 'author', 'author': 'author', 'content': 'content', 'guid': 'guid',
        'content[0]': 'content', 'creator': 'author', 'managingEditor': 'author', 'id': 'guid'}
ROME_KINDS = {'lang': 'word', 'guid': 'word', 'author': 'author', 'link': 'word'}


def rome(folder):
    for path in agreement.documents(os.path.join(folder, 'rome', 'rome', 'src', 'test', 'resources')):
        with open(path, encoding='utf-8', errors='replace') as file:
            said = file.read()
        case, seen = Case(path), set()
        for text in re.findall(r'>\s*((?:rss|atom)_\d\.\d+\w*\.[^<>^]+?)\s*<', said):
            match = re.fullmatch(r'\w+\.\w+?\.(?:channel|feed)\.(?:(?:item|entry)\[(\d+)\]\.)?([a-zA-Z.]+(?:\[0\])?)', text)
            field = match and ROME.get(match[2])
            if not field or (match[1], field) in seen:
                continue
            where = int(match[1]) if match[1] else 'feed'
            if where == 'feed' and field in ('summary', 'guid'):
                field = {'summary': 'subtitle', 'guid': 'id'}[field]
            seen.add((match[1], field))
            case.want(where, field, ROME_KINDS.get(field, 'text'), text)
        if case.wanted:
            yield case


SETS = {'gofeed': gofeed, 'feedrs': feedrs, 'miniflux': miniflux, 'rome': rome}

# ---- comparing ----


def value_of(feed, where, field):
    part = feed if where == 'feed' else feed['items'][where] if where < len(feed['items']) else None
    if part is None:
        return None, None, []
    if field == 'author':
        return part['author'] or feed['author'], '', []
    if field in ('published', 'updated'):
        other = {'published': 'updated', 'updated': 'published'}[field]
        return part[field + '_ms'], part[other + '_ms'], []
    return part.get(field, ''), '', None if where == 'feed' else part['links']


def address(text):
    text = urllib.parse.unquote(text.strip())
    match = re.fullmatch(r'(\w+://[^/?#]*)', text)
    return match[1] + '/' if match else text


def same(kind, ours, other, wanted, links):
    if ours is None and other is None:
        return False
    if kind == 'date':
        return moment(wanted) in (ours and ours // 1000, other and other // 1000)
    if kind == 'author':
        name = agreement.display_name(wanted)
        return plain(name) in plain(ours) or same_text(ours, wanted, None)
    if kind == 'url':
        return address(ours) == address(wanted)
    if kind == 'text':
        return same_text(ours, wanted, links)
    return same_text(ours.lower().replace('_', '-'), wanted.lower().replace('_', '-'), None)


def measure(program, folder, name):
    """{'fields': n, 'agree': n, 'documents': n, 'crashes': [...], 'failures': [(file, where, field, wanted, ours)]}"""
    result = {'fields': 0, 'agree': 0, 'documents': 0, 'crashes': [], 'failures': []}
    cases = list(SETS[name](folder))
    for options in sorted({case.options for case in cases}):
        group = [case for case in cases if case.options == options]
        feeds = agreement.parse_all(program, {case.path: options for case in group})
        for case in group:
            result['documents'] += 1
            feed = feeds.get(case.path)
            if feed is None:
                result['crashes'].append(case.path)
                continue
            for where, field, kind, wanted in case.wanted:
                ours, other, links = value_of(feed, where, field)
                good = same(kind, ours, other, wanted, links)
                result['fields'] += 1
                result['agree'] += good
                if not good:
                    result['failures'].append((os.path.relpath(case.path, folder), where, field, wanted, ours))
    return result


def main():
    names = [name for name in sys.argv[3:] if name in SETS] or list(SETS)
    for name in names:
        result = measure(sys.argv[1], sys.argv[2], name)
        if '--failures' in sys.argv:
            for path, where, field, wanted, ours in result['failures']:
                print(f'{path}\n    {where} {field}\n    expected {str(wanted)[:300]!r}\n    ours     {str(ours)[:300]!r}')
        print(f"{name:9} {result['agree']} of {result['fields']} expectations agree "
              f"({100 * result['agree'] / max(1, result['fields']):.1f} %), {result['documents']} documents, "
              f"{len(result['crashes'])} crashes")


if __name__ == '__main__':
    main()
