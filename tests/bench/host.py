#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench-host: records a second through four no-op stages, with the journal, in memory, and isolated.

A source makes 200-byte records, four stages pass them on, a sink counts. The kinds are run in turn, several rounds,
and the median of each is shown with the processor time a record took (host and runners together). Beside it stands
what SQLite alone does on this machine with one 200-byte row to an insert, 128 to a commit, in the same run."""
import argparse
import os
import resource
import sqlite3
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CONFIG = """
pipeline: bench
journal: {{path: bench.journal, durability: {durability}}}
stages:
  source: {{plugin: source-count, options: {{count: {count}, bytes: 200, batch: 64}}}}
  one: {{plugin: stage-noop, from: source, isolation: {isolation}}}
  two: {{plugin: stage-noop, from: one, isolation: {isolation}}}
  three: {{plugin: stage-noop, from: two, isolation: {isolation}}}
  four: {{plugin: stage-noop, from: three, isolation: {isolation}}}
  sink: {{plugin: sink-count, from: four}}
"""

KINDS = {  # name: (durability, isolation, records)
    "journal, durability full": ("full", "thread", 40000),
    "journal, durability normal": ("normal", "thread", 40000),
    "memory": ("memory", "thread", 400000),
    "memory, four runners": ("memory", "process", 100000),
}


def run(build, kind):
    """(records/s, processor microseconds a record) of one run, start-up taken off by a run with no records."""
    durability, isolation, count = KINDS[kind]
    took = []
    for records in (1, count):
        with tempfile.TemporaryDirectory(prefix="telex-bench-") as folder:
            config = Path(folder) / "bench.yaml"
            config.write_text(CONFIG.format(durability=durability, isolation=isolation, count=records))
            env = {**os.environ, "TELEX_PLUGIN_PATH": str(build / "tests" / "plugins")}
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.monotonic()
            subprocess.run([build / "host" / "telex", "run", "--once", "--log", "error", config], check=True, env=env)
            wall = time.monotonic() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            took.append((wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    wall, cpu = took[1][0] - took[0][0], took[1][1] - took[0][1]
    return count / wall, cpu / count * 1e6


def sqlite_rate(rows=100000, per_commit=128):
    with tempfile.TemporaryDirectory(prefix="telex-bench-") as folder:
        db = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE msg(seq INTEGER PRIMARY KEY, body BLOB)")
        body = b"x" * 200
        began = time.monotonic()
        for first in range(0, rows, per_commit):
            db.execute("BEGIN")
            db.executemany("INSERT INTO msg VALUES(?, ?)", ((i, body) for i in range(first, first + per_commit)))
            db.execute("COMMIT")
        return rows / (time.monotonic() - began)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    rates = {kind: [] for kind in KINDS}
    bare = []
    for _ in range(args.rounds):
        bare.append(sqlite_rate())
        for kind in KINDS:
            rates[kind].append(run(args.build.resolve(), kind))
    print(f"{'four no-op stages':<30} {'records/s':>12} {'spread':>21} {'us of CPU/record':>17}")
    for kind, got in rates.items():
        wall = sorted(rate for rate, _ in got)
        cpu = statistics.median(cpu for _, cpu in got)
        print(f"{kind:<30} {statistics.median(wall):>12,.0f} {wall[0]:>10,.0f}-{wall[-1]:<10,.0f} {cpu:>17.1f}")
    print(f"{'bare SQLite, one row each':<30} {statistics.median(bare):>12,.0f}")


if __name__ == "__main__":
    main()
