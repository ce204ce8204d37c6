# SPDX-License-Identifier: Apache-2.0
"""Quality, speed and growth of cluster-story.

    tests/bench/cluster.py [--build DIR] [--seeds N] [-o name=value]... [--only quality,hard,ablation,growth,stream,moments]

quality   each labelled set by itself in ten orders of arrival, order 0 being the file's own: mean and worst. Where the
          times were spread over the file order they are dealt out again in the new order.
hard      the pairs of titles in tests/cluster/data/hard.tsv that must join or must stay apart.
ablation  the same with one part taken away.
growth    what a record costs, and what it occupies, while the live stories grow to a hundred thousand; beside it the
          same records through scikit-learn: TF-IDF vectors and the nearest of those before.
stream    the 46,711 rows of the stream in order of time: records a second, and whether two runs say the same bytes.
moments   the table of docs/breaking.md; only where --only names it.

Times are of one core; records a second are of processor time, percentiles of wall time. The core never sees a label."""
import sys
sys.path.pop(0)  # files beside this one are named after what they measure: signal.py is not the library's signal
import argparse  # noqa: E402
import datetime  # noqa: E402
import gzip
import hashlib
import json
import math
import os
import pathlib
import re
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "cluster"))
import hard  # noqa: E402
import scoring  # noqa: E402

DATA = pathlib.Path(os.environ.get("TELEX_SHARED_DATA", ROOT / "../shared/data"))
SETS = (("uci-head-dev", True), ("ai-beat-dev", False))
LOWER_IS_BETTER = {"weld", "split"}
WITHOUT = (("all parts", []), ("no merge", ["quorum=1", "quorum_pair=1"]), ("with names", ["names=true"]),
           ("no anchors", ["conflict=0", "accord=0"]), ("no contrast", ["contrast=0"]), ("no form", ["form=20"]), ("no time", ["half_life=365d", "age_rise=0"]),
           ("no lead text", ["lead=0"]))
GROWTH_RECORDS, BLOCK, LIVE = 150000, 2000, (1000, 3000, 10000, 30000, 100000)
COMMON_WORDS = 2000
PEER_QUERIES = 256


class Bench:
    def __init__(self, args):
        self.replay = ROOT / args.build / "tests" / "cluster" / "cluster-replay"
        self.options = args.o
        self.seeds = args.seeds

    def run(self, records, *args, options=()):
        flags = [part for o in (*self.options, *options) for part in ("-o", o)]
        return subprocess.run([self.replay, records, *flags, *args], capture_output=True, text=True, check=True).stdout

    def scores(self, name, spread, options=()):
        gold = scoring.read_gold(DATA / "clustering" / f"{name}.gold.tsv")
        runs = []
        for seed in range(self.seeds):
            order = ["--order", str(seed)] + (["--spread"] if spread else []) if seed else []
            out = self.run(DATA / "clustering" / f"{name}.records.jsonl", *order, options=options)
            runs.append(scoring.score(gold, scoring.assignment(out.splitlines(), gold)))
        return runs


def labelled():
    for name, spread in SETS:
        if (DATA / "clustering" / f"{name}.records.jsonl").exists():
            yield name, spread
        else:
            print(f"{name}: no data at {DATA}")


def mean(runs, key):
    return sum(run[key] for run in runs) / len(runs)


def quality(bench):
    for name, spread in labelled():
        runs = bench.scores(name, spread)
        print(f"{name}: {len(runs)} orders")
        for key in runs[0]:
            values = [run[key] for run in runs]
            worst = max(values) if key in LOWER_IS_BETTER else min(values)
            note = "" if key == "stories" else f"  worst {worst:6.1f}"
            print(f"  {key:8s} mean {mean(runs, key):6.1f}{note}  file order {values[0]:6.1f}")
        print("  " + bench.run(DATA / "clustering" / f"{name}.records.jsonl", "--bench", "20").strip())


def ablation(bench):
    keys = ("b3_f", "pair_f", "weld", "split")
    for name, spread in labelled():
        print(f"{name}: means of {bench.seeds} orders; the sets hold titles alone, so lead text can do nothing here")
        for label, options in WITHOUT:
            runs = bench.scores(name, spread, options)
            print(f"  {label:14s}" + "".join(f"  {key} {mean(runs, key):5.1f}" for key in keys))


def stream_rows():
    """The stream's titles and sources in order of time."""
    path = DATA / "stream" / "gdelt-en.jsonl.gz"
    if not path.exists():
        print(f"no stream at {path}")
        return []
    with gzip.open(path, "rt", encoding="utf8") as file:
        rows = [json.loads(line) for line in file]
    for row in rows:
        at = datetime.datetime.strptime(row["published_at"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        row["ms"] = int(at.timestamp() * 1000)
    return sorted(rows, key=lambda row: (row["ms"], row["id"]))


def write_records(file, rows):
    for row in rows:
        file.write(json.dumps({"id": row["id"], "title": row["title"], "url": row["url"], "outlet": row["source"],
                               "published_ms": row["ms"], "fetched_ms": row["ms"]}) + "\n")
    file.flush()


def grown(rows, wanted):
    """`wanted` records within four days, so that nothing retires: the stream again and again, with every word beyond
    the most common ones renamed from one time to the next. Common words so grow with the stream, rare ones stay rare,
    as in a longer stream."""
    counts = {}
    for row in rows:
        for word in row["title"].split():
            counts[word] = counts.get(word, 0) + 1
    common = set(sorted(counts, key=lambda word: (-counts[word], word))[:COMMON_WORDS])
    first, step = rows[0]["ms"], 4 * 86400000 / wanted
    for i in range(wanted):
        lap, row = i // len(rows), rows[i % len(rows)]
        tail = "" if lap == 0 else "abcdefghij"[lap] + "x"
        title = " ".join(w if w in common or not w.isalpha() else w + tail for w in row["title"].split())
        yield {**row, "id": f"{lap}-{row['id']}", "title": title, "url": f"{row['url']}#!{lap}/{i}" if lap == 0 else
               f"https://{row['source']}/{lap}/{i}", "ms": int(first + i * step)}


def growth(bench):
    rows = stream_rows()
    if not rows:
        return
    records = list(grown(rows, GROWTH_RECORDS))
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        write_records(file, records)
        out = bench.run(file.name, "--curve", str(BLOCK), options=["max_records=10000000", "emit=gated"])
    blocks = [json.loads(line) for line in out.splitlines()]
    points = []
    for live in LIVE:
        # Three blocks around the mark; the median is shown.
        near = sorted(blocks, key=lambda b: abs(math.log((b["stories"] + 1) / live)))[:3]
        if all(abs(math.log(b["stories"] / live)) < 0.7 for b in near):
            near.sort(key=lambda b: b["per_s"])
            points.append({**near[1], "p99_us": sorted(b["p99_us"] for b in near)[1]})
    print("growth: cluster-story, one core")
    print("  live stories  live records  records/s   p50 us   p99 us  bytes a record")
    for p in points:
        print(f"  {p['stories']:12,}  {p['records']:12,}  {p['per_s']:9,.0f}  {p['p50_us']:7.1f}  {p['p99_us']:7.1f}"
              f"  {p['bytes'] / p['records']:14.0f}")
    if len(points) > 1:
        print(f"  slope of the cost over live stories, log-log: {slope(points):.2f} (0: flat, 1: proportional)")
    peer([r["title"] for r in records], [p["records"] for p in points])


def slope(points):
    x = [math.log(p["stories"]) for p in points]
    y = [-math.log(p["per_s"]) for p in points]
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y)) / sum((a - mx) ** 2 for a in x)


def peer(titles, pools):
    """The search alone: the nearest earlier record of each of PEER_QUERIES, over pools as large as ours were. Making
    the vectors is timed apart, because a batch tool does it once."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.neighbors import NearestNeighbors
    except ImportError:
        print("  scikit-learn is not installed: nothing beside it")
        return
    print("growth: scikit-learn, TF-IDF of the same titles and the nearest by cosine, one core")
    print("  pool records  vectors/s   searches/s")
    for pool in pools:
        some = titles[:pool + PEER_QUERIES]
        start = time.process_time()
        vectors = TfidfVectorizer(sublinear_tf=True).fit_transform(some)
        made = time.process_time() - start
        nearest = NearestNeighbors(n_neighbors=1, metric="cosine", algorithm="brute", n_jobs=1).fit(vectors[:pool])
        start = time.process_time()
        for i in range(pool, len(some)):  # one by one, as records come
            nearest.kneighbors(vectors[i])
        found = time.process_time() - start
        print(f"  {pool:12,}  {len(some) / made:9,.0f}  {(len(some) - pool) / found:11,.0f}")


def stream(bench):
    rows = stream_rows()
    if not rows:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        write_records(file, rows)
        bodies = [hashlib.sha256(bench.run(file.name).encode()).hexdigest() for _ in range(2)]
        print(f"stream: {len(rows)} rows; two runs {'say the same bytes' if bodies[0] == bodies[1] else 'DIFFER'}, "
              f"sha256 {bodies[0][:16]}")
        print("  " + bench.run(file.name, "--bench", "3").strip())


def hard_pairs(bench):
    """Right answers on the hard set, the half that thresholds were chosen on beside the half that was held out."""
    right = {}
    for seed in range(bench.seeds):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write("\n".join(hard.lines(seed)) + "\n")
            file.flush()
            out = bench.run(file.name)
        counts, _ = hard.judge(scoring.assignment(out.splitlines(), hard.pairs()[1]))
        for key, (good, of) in counts.items():
            right.setdefault(key, []).append(100 * good / of)
    print(f"hard: pairs that are right, percent, {bench.seeds} orders of one stream of 800 titles")
    for (kind, held_out), values in sorted(right.items()):
        half = "held out" if held_out else "tuned on"
        print(f"  {kind:6s} {half}  mean {sum(values) / len(values):5.1f}  worst {min(values):5.1f}")


def moments(bench):
    """The highest moments of `breaking` on the stream, one line a story, as a Markdown table."""
    rows = {row["id"]: row for row in stream_rows()}
    if not rows:
        return
    best, gone = {}, {}
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        write_records(file, rows.values())
        for line in bench.run(file.name).splitlines():
            story = json.loads(line)
            if story["state"] == "merged":
                gone[story["id"]] = story["merged_into"]
            elif story["id"] not in best or story["breaking"] > best[story["id"]]["breaking"]:
                best[story["id"]] = story
    told = set()
    print("| | breaking | time of the moment | outlets in the hour | records so far | titles of that hour, latest four first |")
    print("|---|---|---|---|---|---|")
    for story in sorted(best.values(), key=lambda story: (-story["breaking"], story["id"])):
        last = story["id"]
        for _ in range(len(gone)):  # ids can go round where stories split and merge again
            last = gone.get(last, last)
            if last not in gone:
                break
        if last in told:
            continue
        told.add(last)
        held = [rows[i] for i in story["records"]]
        at = max(row["ms"] for row in held)
        hour = sorted((row for row in held if row["ms"] >= at - 3600000), key=lambda row: (-row["ms"], row["id"]))
        when = datetime.datetime.fromtimestamp(at / 1000, datetime.timezone.utc)
        titles = "<br>".join([*dict.fromkeys(f"{closed_up(row['title'])} ({row['source']})" for row in hour)][:4])
        print(f"| {len(told)} | {story['breaking']:.1f} | {when:%Y-%m-%d %H:%M} | {len({row['source'] for row in hour})} | "
              f"{len(held)} | {titles} |")
        if len(told) == 20:
            break


def closed_up(title):
    """A title without the spaces that the stream puts around punctuation, fit for a table's cell."""
    return re.sub(r"(?<=\w) ([,.;:!?%])", r"\1", " ".join(title.split())).replace("|", "\\|").replace("<", "&lt;")


PARTS = {"quality": quality, "hard": hard_pairs, "ablation": ablation, "growth": growth, "stream": stream, "moments": moments}
UNASKED = [part for part in PARTS if part != "moments"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("-o", action="append", default=[])
    parser.add_argument("--only", default=",".join(UNASKED))
    args = parser.parse_args()
    bench = Bench(args)
    for part in args.only.split(","):
        PARTS[part](bench)


if __name__ == "__main__":
    main()
