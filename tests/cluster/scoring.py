# SPDX-License-Identifier: Apache-2.0
"""Score stories against labels: BCubed, pairs, and how many stories hold two events.

The last version of a story counts; a merged story's records belong to the one it went into. A record in no story
stands alone."""
import collections
import json


def assignment(lines, ids):
    """Record id -> story id, from telex.story/1 messages as JSON lines."""
    last, into = {}, {}
    for line in lines:
        story = json.loads(line)
        last[story["id"]] = story["records"]
        if story.get("merged_into"):
            into[story["id"]] = story["merged_into"]

    def root(story):
        seen = set()
        while story in into and story not in seen:
            seen.add(story)
            story = into[story]
        return story

    found = {}
    for story, records in last.items():
        for record in records:
            if story not in into or record not in found:
                found[record] = root(story)
    return {i: found.get(i, "alone " + i) for i in ids}


def score(gold, found):
    """gold, found: record id -> label. Percent: b3_p b3_r b3_f pair_p pair_r pair_f weld split; and the number of stories.

    weld: the share of stories of two records or more that hold records of two events, each at least twice or a fifth.
    split: the same with stories and events exchanged: the share of events of two records or more that lie in two
    stories, each with at least two records or a fifth of them."""
    n = len(gold)
    sizes, events = collections.Counter(found[i] for i in gold), collections.Counter(gold.values())
    both = collections.Counter((found[i], gold[i]) for i in gold)
    b3_p = sum(v * v / sizes[s] for (s, _), v in both.items()) / n
    b3_r = sum(v * v / events[e] for (_, e), v in both.items()) / n

    def pairs(counts):
        return sum(v * (v - 1) / 2 for v in counts.values())

    right, made, wanted = pairs(both), pairs(sizes), pairs(events)
    pair_p, pair_r = right / made if made else 0, right / wanted if wanted else 0

    def torn(wholes, cells):
        parts = collections.defaultdict(list)
        for whole, v in cells:
            parts[whole].append(v)
        multi = [whole for whole, v in wholes.items() if v >= 2]
        bad = sum(sum(v >= 2 or v >= 0.2 * wholes[whole] for v in parts[whole]) >= 2 for whole in multi)
        return bad / max(1, len(multi))

    weld = torn(sizes, ((s, v) for (s, _), v in both.items()))
    split = torn(events, ((e, v) for (_, e), v in both.items()))

    def f(p, r):
        return 2 * p * r / (p + r) if p + r else 0

    percent = dict(b3_p=b3_p, b3_r=b3_r, b3_f=f(b3_p, b3_r), pair_p=pair_p, pair_r=pair_r, pair_f=f(pair_p, pair_r),
                   weld=weld, split=split)
    return {**{k: 100 * v for k, v in percent.items()}, "stories": len(sizes)}


def read_gold(path):
    with open(path, encoding="utf8") as file:
        return dict(line.rstrip("\n").split("\t") for line in file)
