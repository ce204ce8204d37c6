# SPDX-License-Identifier: Apache-2.0
"""wire-site in the real host: published once whatever happens, served, and told to live readers."""
import json
import os
import random
import re
import signal
import subprocess
import time

import pytest

from site_tools import fixture, render, seed
from test_http import Stream, get

TELEX = os.environ["TELEX_PROGRAM"]
CONFIG = """
pipeline: site-test
journal: {{path: journal, durability: normal}}
{http}
drain: 20s
stages:
  write: {{plugin: source-lines, options: {{path: dispatches.jsonl, follow: {follow}}}}}
  wire: {{plugin: wire-site, from: write, isolation: {isolation}, options: {{root: site, base_url: "{base}", title: telex}}}}
"""


class Wire:
    """One pipeline in its own folder; `run` ends by itself, `start` goes on."""

    def __init__(self, folder, follow=False, listen=False, base="https://wire.example", isolation="thread"):
        folder.mkdir(exist_ok=True)
        self.folder, self.process = folder, None
        http = "http: {listen: 127.0.0.1:0, admin: 127.0.0.1:0}" if listen else ""
        (folder / "wire.yaml").write_text(CONFIG.format(http=http, follow=str(follow).lower(), base=base,
                                                          isolation=isolation))
        (folder / "dispatches.jsonl").touch()

    def add(self, dispatches):
        with open(self.folder / "dispatches.jsonl", "a") as file:
            file.write("".join(json.dumps(d) + "\n" for d in dispatches))

    def start(self, *more):
        self.log = open(self.folder / "log", "a+")
        self.process = subprocess.Popen([TELEX, "run", *more, "wire.yaml"], cwd=self.folder, stdout=self.log, stderr=self.log,
                                        stdin=subprocess.DEVNULL)

    def run(self):
        self.start("--once")
        code = self.wait()
        assert code == 0, (self.folder / "log").read_text()[-3000:]

    def wait(self):
        code = self.process.wait(timeout=60)
        self.log.close()
        return code

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.wait()

    def said(self, pattern, seconds=30):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = re.findall(pattern, (self.folder / "log").read_text())
            if found:
                return found
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def children(self):
        """The runners of the pipeline."""
        pid = self.process.pid
        return [int(c) for task in os.listdir(f"/proc/{pid}/task")
                for c in open(f"/proc/{pid}/task/{task}/children").read().split()]

    def tree(self):
        root = self.folder / "site"
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    def published(self):
        """(id, version) of every event in the journal, in order."""
        import sqlite3
        db = sqlite3.connect(f"file:{self.folder / 'journal'}?mode=ro", uri=True)
        try:
            rows = db.execute("SELECT id, version FROM msg WHERE schema = 'telex.event/1' ORDER BY seq").fetchall()
        finally:
            db.close()
        return [(i, v) for i, v in rows]


def later(hours, **changes):
    return seed(last_ms=seed()["last_ms"] + hours * 3600000, **changes)


WORK = fixture("wire.jsonl") + [
    later(1, version=2, headline="An update"), later(2, version=3, corrections=[{"text": "The sum was wrong."}]),
    {**fixture("wire.jsonl")[1], "version": 2, "status": "canceled", "ed_note": "Of another year."}]


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_the_host_publishes_what_the_library_renders(tmp_path, isolation):
    wire = Wire(tmp_path / "wire", isolation=isolation)
    wire.add(WORK)
    wire.run()
    alone = render(tmp_path / "alone", WORK)
    assert wire.tree() == alone.tree()
    assert wire.published() == [(d["id"], d["version"]) for d in WORK]
    wire.run()
    assert wire.published() == [(d["id"], d["version"]) for d in WORK], "a second run has nothing to do"


def test_one_stage_alone_gives_its_events_as_lines(tmp_path):
    run = subprocess.run([TELEX, "stage", "wire-site", "-o", f"root={tmp_path}/site", "-o", "base_url=https://wire.example"],
                         input="".join(json.dumps(d) + "\n" for d in WORK), capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert [json.loads(line) for line in run.stdout.splitlines()] == render(tmp_path / "alone", WORK).events


def test_a_bad_dispatch_goes_to_quarantine_with_its_reason_and_the_rest_is_published(tmp_path):
    wire = Wire(tmp_path / "wire")
    wire.add([seed(id="b" * 32, headline=""), WORK[0]])
    wire.run()
    assert wire.published() == [(WORK[0]["id"], 1)]
    listed = subprocess.run([TELEX, "quarantine", "list", "wire.yaml"], cwd=wire.folder, capture_output=True, text=True, timeout=60)
    assert "headline" in listed.stdout + (wire.folder / "log").read_text()


def test_killed_at_any_moment_each_version_is_published_once(tmp_path):
    chance, kills, midway = random.Random(7), 0, 0
    undisturbed = render(tmp_path / "alone", WORK).tree()
    for round in range(6):
        wire = Wire(tmp_path / f"wire{round}")
        wire.add(WORK)
        done = 0
        while done < len(WORK) and kills < 60:
            (wire.folder / "log").unlink(missing_ok=True)
            wire.start("--once")
            wire.said("pipeline site-test runs")
            time.sleep(chance.uniform(0, 0.03))
            wire.process.kill()
            wire.wait()
            kills += 1
            done = len(wire.published())
            midway += 0 < done < len(WORK)
        wire.run()
        assert wire.published() == [(d["id"], d["version"]) for d in WORK]
        assert wire.tree() == undisturbed
    assert midway >= 3, f"of {kills} kills {midway} fell between the first and the last publication"


def test_a_runner_killed_while_it_publishes_leaves_nothing_half_done(tmp_path):
    chance = random.Random(3)
    wire = Wire(tmp_path / "wire", follow=True, isolation="process")
    wire.start()
    wire.said("0 dispatches in")
    for i in range(0, len(WORK), 3):
        wire.add(WORK[i:i + 3])
        time.sleep(chance.uniform(0.005, 0.06))
        for child in (wire.children() if i < 9 else []):
            os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while len(wire.published()) < len(WORK) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert wire.stop() == 0
    assert wire.published() == [(d["id"], d["version"]) for d in WORK]
    assert wire.tree() == render(tmp_path / "alone", WORK).tree()
    assert len(re.findall("dispatches in", (wire.folder / "log").read_text())) > 1, "no runner was killed"


def test_readers_are_told_and_a_new_start_replays_from_the_journal(tmp_path):
    wire = Wire(tmp_path / "wire", follow=True, listen=True)
    wire.add(WORK[:3])
    wire.start()
    port = int(wire.said(r"http://127\.0\.0\.1:(\d+)")[0])
    wire.said(r"dispatch DSP·0B6D35|dispatch DSP·E94B7F")
    status, headers, body = get(port, "/")
    assert status == 200 and "On the wire" in body and "default-src 'none'" in headers["content-security-policy"]
    stream = Stream(port, after="0")
    events = stream.take(4)
    assert [e[1] for e in events] == ["hello", "dispatch", "dispatch", "dispatch"]
    assert [e[2]["id"] for e in events[1:]] == [d["id"] for d in WORK[:3]]
    wire.add(WORK[3:5])
    ids = [stream.next() for _ in range(2)]
    assert [e[2]["seq"] for e in ids] == [4, 5] and ids[1][2]["address"] == f"https://wire.example/d/{WORK[4]['id'][:6]}/"
    path = ids[1][2]["path"]
    assert get(port, "/" + path)[0] == 200, "what is announced is on the page"
    stream.close()
    assert wire.stop() == 0
    (wire.folder / "log").unlink()
    wire.start()
    port = int(wire.said(r"http://127\.0\.0\.1:(\d+)")[0])
    deadline = time.monotonic() + 20
    while get(port, "/status.json")[0] != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    stream = Stream(port, last_event_id=ids[0][0])
    assert [e[1:] for e in stream.take(2)][1] == ids[1][1:], "the same history, so the same cursor"
    stream.close()
    assert wire.stop() == 0


def test_a_root_that_cannot_be_used_is_named(tmp_path):
    wire = Wire(tmp_path / "wire")
    (wire.folder / "site").write_text("a file")
    wire.add(WORK[:1])
    wire.start("--once")
    code = wire.wait()
    log = (wire.folder / "log").read_text()
    assert code != 0 and "cannot use the folder" in log and "Not a directory" in log


def test_a_title_changed_and_changed_back_leaves_no_page_of_the_other(tmp_path):
    wire = Wire(tmp_path / "wire")
    wire.add(WORK)
    wire.run()
    before, config = wire.tree(), (wire.folder / "wire.yaml").read_text()
    (wire.folder / "wire.yaml").write_text(config.replace("title: telex", "title: Other"))
    for i in range(8):  # cut short while every page is written anew
        wire.start("--once")
        time.sleep(0.11 + 0.004 * i)
        wire.process.kill()
        wire.wait()
    (wire.folder / "wire.yaml").write_text(config)
    wire.run()
    assert wire.tree() == before


def test_a_full_disk_stops_no_input_and_loses_nothing(tmp_path):
    """A folder in the way of one page stands for a disk that refuses: what waits is published when it is gone."""
    wire = Wire(tmp_path / "wire", follow=True)
    wire.add(WORK[:1])
    wire.start()
    wire.said("dispatch DSP·A1F40C")
    obstacle = wire.folder / "site" / "d" / WORK[1]["id"][:6]
    obstacle.write_text("in the way")
    wire.add(WORK[1:4])
    wire.said("cannot write d/7f2c94/.*it stays accepted")
    obstacle.unlink()
    wire.said("dispatch DSP·E94B7F", seconds=40)
    assert wire.stop() == 0
    assert wire.published() == [(d["id"], d["version"]) for d in WORK[:4]]
    assert wire.tree() == render(tmp_path / "alone", WORK[:4]).tree()
