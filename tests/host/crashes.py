#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""crashes.py - an isolated stage that ends its process again and again: nothing is lost, nothing comes twice.

stage-crash-some ends its runner once on every fourth record, by SIGKILL, abort, exit, memory, processes or threads
without end, a write through NULL or a hang, and on every fortieth always. All records but the fortieths must arrive,
each once; the fortieths must be in quarantine after their three attempts, and `telex audit` must be clean. Printed: how
long the stage was away after each end, until the first step of its next life was committed."""
import argparse
import os
import re
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ATTEMPTS = 3

CONFIG = """
pipeline: crashes
journal: {{path: wire.journal, durability: normal}}
stages:
  signal: {{plugin: source-count, options: {{count: {count}, bytes: 40, batch: 16}}}}
  middle: {{plugin: stage-crash-some, from: signal, isolation: process, attempts: {attempts}, timeout: 1s,
    limits: {{memory: 256MiB, processes: 64}}, options: {{folder: ., hang: {hang}}}}}
  sink: {{plugin: sink-file, from: middle, options: {{path: out.jsonl}}}}
"""


def records_for(crashes):
    """How many records give at least so many crashes: of forty, nine end the runner once, one each time."""
    return -(-crashes // (9 + ATTEMPTS)) * 40


def absences(logged):
    """Milliseconds from each end of the stage's process to the first step of its next life."""
    return [int(ms) for ms in re.findall(r" middle: works again, (\d+) ms after", logged)]


def ends(logged):
    """How often the stage's process ended."""
    return len(re.findall(r" middle: .*recreating the instance", logged))


def run(folder, count, timeout, hang=25):
    """Run a wire of so many records in a folder; the absences. Raises AssertionError on what is wrong."""
    from wire import Wire, lines
    wire = Wire(folder, CONFIG.format(count=count, attempts=ATTEMPTS, hang=hang))
    code = wire.run(timeout=timeout)
    assert code == 0, wire.logged()[-3000:]
    poison = [n for n in range(count) if n % 40 == 39]
    arrived = sorted(line["number"] for line in lines(folder / "out.jsonl"))
    assert arrived == [n for n in range(count) if n % 40 != 39]
    assert len(wire.quarantine()) == len(poison)
    clean, text = wire.audit()
    assert clean, text
    away = absences(wire.logged())
    once = sum(n % 4 == 3 and n % 40 != 39 for n in range(count))
    assert ends(wire.logged()) == once + ATTEMPTS * len(poison), ends(wire.logged())
    return away


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--crashes", type=int, default=1000)
    args = parser.parse_args()
    build = args.build.resolve()
    os.environ["TELEX_PROGRAM"] = str(build / "host" / "telex")
    os.environ["TELEX_PLUGIN_PATH"] = str(build / "tests" / "plugins")
    sys.path.insert(0, str(Path(__file__).parent))
    count = records_for(args.crashes)
    with tempfile.TemporaryDirectory(prefix="telex-crashes-") as folder:
        away = sorted(run(Path(folder), count, timeout=60 + args.crashes * 2))
    late = sum(ms > 500 for ms in away)
    print(f"{args.crashes} ends and more over {count} records: nothing lost, nothing twice; the stage was away "
          f"{statistics.median(away):.0f} ms (median), {away[int(len(away) * 0.99)]} ms (99 of 100), {away[-1]} ms at most; "
          f"{late} times longer than 500 ms")


if __name__ == "__main__":
    main()
