# SPDX-License-Identifier: Apache-2.0
"""The hard set: 200 pairs of titles that report one event in other words, and 200 look-alikes that must stay apart.

All of data/hard.tsv was written for this project. The 800 titles go through as one stream of three days, each from an
outlet of its own, so that neither the outlet nor the day gives anything away; pairs share names with other pairs, which
is the point. Every second line is held out: thresholds are chosen on the others alone."""
import json
import pathlib
import random

DATA = pathlib.Path(__file__).parent / "data" / "hard.tsv"
START_MS, SPAN_MS = 1767600000000, 3 * 86400000


def pairs():
    """(kind, held out, id of the first title, id of the second), and the records by id."""
    found, titles = [], {}
    for n, line in enumerate(DATA.read_text(encoding="utf8").splitlines()):
        kind, first, second = line.split("\t")
        ids = (f"p{n}a", f"p{n}b")
        titles.update(zip(ids, (first, second)))
        found.append((kind, n % 2 == 1, *ids))
    return found, titles


def records(seed=1):
    """The stream in an order of arrival that depends on the seed alone, as dicts of telex.record/1."""
    _, titles = pairs()
    ids = sorted(titles)
    random.Random(seed).shuffle(ids)
    for n, id in enumerate(ids):
        ms = START_MS + n * SPAN_MS // len(ids)
        yield {"schema": "telex.record/1", "id": id, "title": titles[id], "outlet": f"{id}.example",
               "url": f"https://{id}.example/", "published_ms": ms, "fetched_ms": ms}


def lines(seed=1):
    return [json.dumps(record) for record in records(seed)]


def judge(assigned):
    """assigned: record id -> story. Gives {(kind, held out): (right, all)} and the pairs that are wrong."""
    found, titles = pairs()
    counts, wrong = {}, []
    for kind, held_out, first, second in found:
        right, of = counts.get((kind, held_out), (0, 0))
        good = (assigned[first] == assigned[second]) == (kind == "join")
        counts[kind, held_out] = (right + good, of + 1)
        if not good:
            wrong.append((kind, held_out, titles[first], titles[second]))
    return counts, wrong
