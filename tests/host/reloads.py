#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""reloads.py - a wire under load whose config is reloaded again and again, half of the times with something wrong.

A source gives records without a pause, a stage with state stamps and counts them, a file takes them. Each good reload
changes the stamp. The others have an error that the check of the config finds, or a stage that fails in create, in start
or, in a process of its own, by a crash in start. SIGHUP comes with each. In the end every record must have arrived once
and in order of the stage's count, the generation must be that of the good reloads, and the stages that no reload touched
must never have been restarted. With --kills the host is ended by SIGKILL within reloads as often, and started again.

Printed: how long good reloads took, how long the stage took no input, and the longest time between two commits of its
outputs during a good reload (the publish gap)."""
import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CONFIG = """
pipeline: reloads
journal: {{path: wire.journal, durability: normal}}
drain: 5s
stages:
  signal: {{plugin: source-count, options: {{count: 100000000, bytes: 40, batch: 4, every: 1ms}}}}
  before: {{plugin: stage-noop, from: signal}}
  middle:
    plugin: {plugin}
    from: {source}
    isolation: {isolation}
    options: {{stamp: "{stamp}", act: {act}}}
  sink: {{plugin: sink-file, from: middle, options: {{path: out.jsonl}}}}
"""
GOOD = {"plugin": "stage-stamp", "source": "before", "act": "none"}

# What is wrong, and the exit code of the reload.
WRONG = [({"act": "nonsense"}, 78), ({"act": "create-fail"}, 1), ({"plugin": "stage-stammp"}, 78), ({"act": "start-fail"}, 1),
         ({"source": "nobody"}, 78), ({"plugin": "./torn.so"}, 78)]
CRASH = ({"act": "start-crash"}, 1)


class Reloader:
    """A running wire, and what its reloads came to."""

    def __init__(self, folder, isolation):
        from wire import Wire
        self.isolation = isolation
        self.wrong = WRONG + ([CRASH] if isolation == "process" else [])
        self.wire = Wire(folder, self.config(stamp="s0"))
        (folder / "torn.so").write_bytes(b"\x7fELF and no more")
        self.good, self.spans, self.pauses, self.times = 0, [], [], []
        self.process = None

    def config(self, **values):
        return CONFIG.format(isolation=self.isolation, **{**GOOD, **values})

    def start(self):
        since = len(self.wire.logged())
        self.process = self.wire.start(once=False)
        self.wire.wait_for("pipeline reloads runs", since=since)

    def write(self, **values):
        """Put another config in the place of the old one, whole."""
        new = self.wire.folder / "new.yaml"
        new.write_text(self.config(**values))
        new.rename(self.wire.config)

    def reload(self, code):
        began = time.time()
        self.process.send_signal(signal.SIGHUP)
        done = self.wire.command("reload", "--wait", "--json", str(self.wire.config), timeout=60)
        assert done.returncode == code, (done.returncode, code, done.stdout, done.stderr, self.wire.logged()[-3000:])
        return json.loads(done.stdout), (began, time.time())

    def reload_good(self):
        self.good += 1
        self.write(stamp=f"s{self.good}")
        _, span = self.reload(0)  # the signal's or this one's
        self.spans.append(span)

    def reload_wrong(self, n):
        values, code = self.wrong[n % len(self.wrong)]
        self.write(stamp="wrong", **values)
        self.reload(code)

    def stages(self):
        return {stage["name"]: stage for stage in self.wire.ask(command="status")["stages"]}

    def arrived(self):
        from wire import lines
        return lines(self.wire.folder / "out.jsonl")

    def check(self):
        """After the end: nothing lost, nothing twice."""
        clean, text = self.wire.audit()
        assert clean, text
        out = self.arrived()
        assert [line["count"] for line in out] == list(range(1, len(out) + 1))
        assert [line["number"] for line in out] == list(range(len(out)))
        waiting = self.wire.query("SELECT n_in - n_delivered FROM edge")
        given = self.wire.query("SELECT n_in FROM edge WHERE name LIKE 'signal.%'")[0][0]
        assert given == len(out) + sum(row[0] for row in waiting), "a record is neither at the sink nor on an edge"
        return out

    def gaps(self):
        """The longest time in ms between two commits of the stage, for each good reload."""
        at = [row[0] for row in self.wire.query("SELECT at_ms FROM msg WHERE origin LIKE 'middle.%' ORDER BY seq")]
        longest, k = [], 0
        for began, ended in self.spans:
            while k < len(at) and at[k] < began * 1000:
                k += 1
            first = k
            while k < len(at) and at[k] <= ended * 1000:
                k += 1
            around = at[max(first - 1, 0):k + 1]
            longest.append(max(b - a for a, b in zip(around, around[1:])))
        return longest

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.wire.logged()[-3000:]


def run(folder, isolation, reloads):
    """So many reloads under load, every second of them wrong; the Reloader, ended and checked."""
    r = Reloader(folder, isolation)
    r.start()
    try:
        first = r.stages()
        for _ in range(600):  # until each has begun its first life
            if all(stage["lives"] for stage in first.values()):
                break
            time.sleep(0.05)
            first = r.stages()
        for n in range(reloads):
            if n % 2 == 0:
                r.reload_good()
            else:
                r.reload_wrong(n // 2)
        last = r.stages()
        generation = r.wire.ask(command="status")["generation"]
        r.stop()
    finally:
        if r.process.poll() is None:
            r.process.kill()
            r.process.wait()
    assert generation == 1 + r.good, (generation, r.good)
    for name, stage in first.items():
        lives = last[name]["lives"] - stage["lives"]
        assert lives == (r.good if name == "middle" else 0), (name, lives)
    out = r.check()
    stamps = [line["stamp"] for line in out]
    assert "wrong" not in stamps and stamps == sorted(stamps, key=lambda s: int(s[1:]))
    for line in r.wire.logged().splitlines():
        if "reload: generation" in line and "restarted" in line:
            words = line.split()
            r.times.append(int(words[words.index("ms,") - 1]))
            r.pauses.append(int(words[-2]))
    assert len(r.times) == r.good
    return r


def run_kills(folder, isolation, kills, seed):
    """End the host by SIGKILL within so many reloads."""
    chance = random.Random(seed)
    r = Reloader(folder, isolation)
    for n in range(kills):
        r.start()
        r.good += 1
        r.write(stamp=f"s{r.good}")
        r.process.send_signal(signal.SIGHUP)
        time.sleep(chance.random() * 0.15)
        r.process.kill()
        r.process.wait()
    r.start()
    r.reload_good()
    r.stop()
    logged = r.wire.logged()
    within = logged.count("SIGHUP: reading") - logged.count("restarted, ")
    return r.check(), within


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--reloads", type=int, default=200)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    build = args.build.resolve()
    os.environ["TELEX_PROGRAM"] = str(build / "host" / "telex")
    os.environ["TELEX_PLUGIN_PATH"] = str(build / "tests" / "plugins")
    sys.path.insert(0, str(Path(__file__).parent))
    for isolation in ("thread", "process"):
        with tempfile.TemporaryDirectory(prefix="telex-reloads-") as folder:
            if args.kills:
                out, within = run_kills(Path(folder), isolation, args.kills, args.seed)
                print(f"{isolation}: {args.kills} kills, {within} of them within a reload, {len(out)} records: nothing lost, "
                      "nothing twice")
            if args.reloads:
                (Path(folder) / "load").mkdir()
                r = run(Path(folder) / "load", isolation, args.reloads)
                gaps, pauses = r.gaps(), r.pauses
                print(f"{isolation}: {args.reloads} reloads, {r.good} of them good, over {len(r.arrived())} records: nothing "
                      f"lost, nothing twice, no other stage restarted; a good one took {statistics.median(r.times):.0f} ms "
                      f"(median), {max(r.times)} at most; the stage was paused {statistics.median(pauses):.0f} ms, "
                      f"{max(pauses)} at most; publish gap {statistics.median(gaps):.0f} ms, {max(gaps)} at most; "
                      f"{sum(gap > 250 for gap in gaps)} over 250 ms")


if __name__ == "__main__":
    main()
