# SPDX-License-Identifier: Apache-2.0
"""What the site's tests share: fixtures, a rendering run, and a strict reader of pages."""
import copy
import html.parser
import json
import os
import pathlib
import subprocess

RENDER = os.environ["TELEX_SITE_RENDER"]
FIXTURES = pathlib.Path(__file__).parent / "fixtures"
VOID = {"meta", "link", "br", "img", "hr", "input", "wbr"}


def fixture(name):
    return [json.loads(line) for line in (FIXTURES / name).read_text().splitlines()]


def seed(**changes):
    dispatch = fixture("seed.jsonl")[0]
    dispatch.update(copy.deepcopy(changes))
    return dispatch


class Run:
    def __init__(self, tmp, process):
        self.root = tmp / "site"
        self.code = process.returncode
        self.errors = process.stderr
        self.events = [json.loads(line) for line in process.stdout.splitlines()]

    def text(self, path):
        return (self.root / path).read_text()

    def json(self, path):
        return json.loads(self.text(path))

    def page(self, path):
        return Page(self.text(path))

    def tree(self):
        return {str(p.relative_to(self.root)): p.read_bytes() for p in sorted(self.root.rglob("*")) if p.is_file()}


def render(tmp, dispatches, env=None, **keys):
    """Publish dispatches in order on top of what `tmp` holds from earlier runs."""
    tmp.mkdir(exist_ok=True)
    lines = "".join((d if isinstance(d, str) else json.dumps(d)) + "\n" for d in dispatches)
    args = [RENDER, str(tmp / "site"), str(tmp / "store.json")] + [f"{k}={v}" for k, v in keys.items()]
    process = subprocess.run(args, input=lines, capture_output=True, text=True, timeout=120,
                             env={**os.environ, **(env or {})})
    assert process.returncode in (0, 4, 9), (process.returncode, process.stderr)
    return Run(tmp, process)


class Node:
    def __init__(self, tag, attrs, parent):
        self.tag, self.attrs, self.parent, self.children = tag, dict(attrs), parent, []

    def walk(self):
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.walk()

    @property
    def text(self):
        return "".join(c if isinstance(c, str) else c.text for c in self.children)

    def classes(self):
        return (self.attrs.get("class") or "").split()


class Page(html.parser.HTMLParser):
    """Reads a page into nodes and fails where an element is left open or closed out of order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.source = text
        self.root = self.here = Node("#root", (), None)
        self.feed(text)
        self.close()
        assert self.here is self.root, f"<{self.here.tag}> is never closed"

    def handle_starttag(self, tag, attrs):
        assert len({k for k, _ in attrs}) == len(attrs), f"<{tag}> repeats an attribute"
        node = Node(tag, attrs, self.here)
        self.here.children.append(node)
        if tag not in VOID:
            self.here = node

    def handle_endtag(self, tag):
        assert self.here.tag == tag, f"</{tag}> closes <{self.here.tag}>"
        self.here = self.here.parent

    def handle_data(self, data):
        self.here.children.append(data)

    def all(self, tag=None, cls=None):
        return [n for n in self.root.walk()
                if (tag is None or n.tag == tag) and (cls is None or cls in n.classes())]

    def one(self, tag=None, cls=None):
        found = self.all(tag, cls)
        assert len(found) == 1, f"{len(found)} of {tag} {cls}"
        return found[0]

    @property
    def text(self):
        return " ".join(self.one("body").text.split())

    def skeleton(self):
        """Elements and attribute names in order: what foreign text must never change."""
        return [(n.tag, tuple(n.attrs)) for n in self.root.walk()]

    def linked_data(self):
        return json.loads([n for n in self.all("script") if n.attrs.get("type") == "application/ld+json"][0].text)
