# SPDX-License-Identifier: Apache-2.0
"""Commands to a running pipeline through its control socket."""
import json
import stat
import time

import pytest
from wire import SLOW, Wire, kill, lines

REJECTING = """
pipeline: held
journal: {path: wire.journal}
stages:
  signal: {plugin: source-count, options: {count: 5}}
  middle: {plugin: stage-reject, from: signal, isolation: thread, attempts: 1}
  sink: {plugin: sink-file, from: middle, options: {path: out.jsonl}}
"""


@pytest.fixture
def running(tmp_path):
    """A host that keeps running, with five records in quarantine."""
    wire = Wire(tmp_path, REJECTING)
    host = wire.start(once=False)
    try:
        wire.wait_for("runs")
        end = time.monotonic() + 20 * SLOW
        while len(wire.quarantine()) < 5 and time.monotonic() < end:
            time.sleep(0.05)
        yield wire, host
    finally:
        if host.poll() is None:
            kill(host)


def test_status_shows_every_stage_and_edge(running):
    wire, _ = running
    status = wire.ask(command="status")
    assert status["ok"] and status["pipeline"] == "held"
    assert [stage["name"] for stage in status["stages"]] == ["signal", "middle", "sink"]
    assert status["stages"][1]["quarantined"] == 5


def test_the_socket_is_the_owners_alone_and_goes_with_the_host(running):
    wire, host = running
    path = wire.folder / "wire.journal.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert wire.ask(command="stop")["ok"]
    assert host.wait(20 * SLOW) == 0
    assert not path.exists()


def test_quarantine_goes_through_the_running_host(running):
    wire, host = running
    first = wire.quarantine()[0]["number"]
    done = wire.command("quarantine", "drop", str(wire.journal), first)
    assert (done.returncode, done.stdout) == (0, "1 dropped\n"), done.stderr
    end = time.monotonic() + 20 * SLOW
    while len(wire.quarantine()) > 4 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(wire.quarantine()) == 4
    done = wire.command("quarantine", "retry", str(wire.journal), "all")
    assert (done.returncode, done.stdout) == (0, "4 put back\n"), done.stderr
    end = time.monotonic() + 20 * SLOW
    while time.monotonic() < end:  # they run and are rejected again: nine in all, and written as such
        if wire.ask(command="status")["stages"][1]["quarantined"] == 9 and len(wire.quarantine()) == 4:
            break
        time.sleep(0.05)
    assert len(wire.quarantine()) == 4
    missing = wire.command("quarantine", "retry", str(wire.journal), "9-9")
    assert missing.returncode == 1 and "no record 9-9" in missing.stderr
    assert host.poll() is None
    assert wire.audit()[0]


def test_bad_requests_get_a_clear_answer(running):
    wire, host = running
    assert "this host knows status, stop, quarantine" in wire.ask(command="explode")["error"]
    for bad in ({"act": "burn", "edge": 1, "seq": 1}, {"edge": 1, "seq": 1}, {"act": 7}):
        assert "retry or drop" in wire.ask(command="quarantine", **bad)["error"]
    for bad in ({}, {"edge": -1, "seq": 2}, {"edge": 1 << 40, "seq": 2}, {"edge": "1", "seq": [2]}):
        assert "numbers from" in wire.ask(command="quarantine", act="drop", **bad)["error"]
    for bad in ({"edge": 1, "seq": 999999}, {"edge": 4000000000, "seq": 1}):
        assert "no such record" in wire.ask(command="quarantine", act="drop", **bad)["error"]
    assert len(wire.quarantine()) == 5
    assert host.poll() is None


def test_a_socket_left_by_a_killed_host_is_replaced(running):
    wire, host = running
    kill(host)
    assert (wire.folder / "wire.journal.sock").exists()
    again = wire.start(once=False)
    try:
        wire.wait_for("runs", since=len(wire.logged()) // 2)
        end = time.monotonic() + 20 * SLOW
        while time.monotonic() < end:
            try:
                if wire.ask(command="status")["ok"]:
                    break
            except OSError:
                time.sleep(0.05)
        assert wire.ask(command="status")["ok"]
        assert wire.ask(command="stop")["ok"]
        assert again.wait(20 * SLOW) == 0
    finally:
        if again.poll() is None:
            kill(again)
    assert lines(wire.folder / "out.jsonl") == []


def test_auto_says_which_backends_it_passed_over_and_why(tmp_path):
    (tmp_path / "weights.gguf").write_text("no stage opens it")
    wire = Wire(tmp_path, """
pipeline: auto
models:
  desk: {plugin: auto, options: {path: weights.gguf}}
stages:
  signal: {plugin: source-count, options: {count: 1}}
  sink: {plugin: sink-file, from: signal, options: {path: out.jsonl}}
""")
    assert wire.run() == 0, wire.logged()
    why = "model-absent: no abacus at /dev/abacus; plug one in"
    (line,) = [line for line in wire.logged().splitlines() if "passed over" in line]
    assert "model desk: auto takes model-cpu" in line and why in line
    shown = wire.command("plugins", "model-absent").stdout
    assert "cannot run here: no abacus at /dev/abacus; plug one in" in shown
    about = json.loads(wire.command("plugins", "--json", "model-absent").stdout)
    assert about["probe"] == 0 and about["probe_why"].startswith("no abacus")
    assert "cannot run here: no abacus" in wire.command("plugins").stdout
    tiny = wire.command("model", "show", "model-toy")  # named: nothing is passed over
    assert tiny.returncode == 0 and "passed_over" not in tiny.stdout
    broken = wire.command("model", "show", str(tmp_path / "weights.gguf"))
    assert broken.returncode != 0 and "weights.gguf" in broken.stderr
