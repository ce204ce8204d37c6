# SPDX-License-Identifier: Apache-2.0
"""Each row of docs/misbehaviour.md, in the host's process and in a process of its own, in the real host."""
import os
import signal
import time
from pathlib import Path

import pytest

from wire import SLOW, Wire, kill, lines

DOC = Path(__file__).resolve().parents[2] / "docs" / "misbehaviour.md"
SANITIZED = "asan" in os.environ["TELEX_PROGRAM"] or "tsan" in os.environ["TELEX_PROGRAM"]
RECORDS, AT = 6, 2

CONFIG = """
pipeline: bad
journal: {{path: wire.journal}}
drain: 2s
stages:
  signal: {{plugin: source-count, options: {{count: {count}, bytes: 40, batch: 1}}}}
  middle: {{plugin: {plugin}, from: signal, isolation: {isolation}, attempts: 2, timeout: 1s{options}}}
  sink: {{plugin: sink-file, from: middle, options: {{path: out.jsonl}}}}
"""


class Row:
    """What is expected: `arrives` the record too; `quarantine` why it is there, or None; `ends` how the host does."""

    def __init__(self, rule, arrives=True, quarantine=None, ends=None, says=""):
        self.rule, self.arrives, self.quarantine, self.ends, self.says = rule, arrives, quarantine, ends, says


REFUSED = {"arrives": False, "quarantine": ""}
GONE = {"arrives": False, "quarantine": "runner"}
ROWS = {
    "completes twice": (Row("lease.twice"), Row("lease.twice")),
    "names a lease it never got": (Row("lease.twice"), Row("lease.twice")),
    "writes after commit": (None, None),  # below
    "calls after stop": (Row(None, arrives=False, quarantine="wants a new life"),
                         Row("life.after-stop", arrives=False, quarantine="wants a new life")),
    "calls from the wrong thread": (Row("thread.control"), Row("thread.control")),
    "answers an unknown status": (Row("status.unknown", **REFUSED), Row("status.unknown", **REFUSED)),
    "asks for 4 GiB": (Row("loan.size", **REFUSED), Row("loan.size", **REFUSED)),
    "commits a nested bomb": (Row("output.msgpack", **REFUSED), Row("output.msgpack", **REFUSED)),
    "commits a claimed bomb": (Row("output.msgpack", **REFUSED), Row("output.msgpack", **REFUSED)),
    "throws an exception": (Row(None, says="Aborted", **GONE), Row("life.crash", ends=-signal.SIGABRT)),
    "jumps with longjmp": (Row(None, says="runner died", **GONE), Row("life.crash", ends="signal")),
    "calls exit": (Row(None, says="exited with status 0", **GONE), Row("life.crash", ends=70)),
    "calls abort": (Row(None, says="Aborted", **GONE), Row("life.crash", ends=-signal.SIGABRT)),
    "ends its thread": (Row(None, arrives=False, quarantine="deadline"), Row(None, arrives=False, quarantine="deadline")),
    "hangs": (Row(None, arrives=False, quarantine="deadline"), Row(None, arrives=False, quarantine="deadline")),
    "closes stdin": (Row("life.surroundings", says="it closed stdin"), Row("life.surroundings", says="it closed stdin")),
    "sets the locale": (Row("life.surroundings", says="locale to C.UTF-8"), Row("life.surroundings", says="locale to C.UTF-8")),
    "blocks signals": (Row("life.surroundings", says="it blocked signals"), Row("life.surroundings", says="it blocked signals")),
    "takes SIGTERM": (Row("life.surroundings", says="it took SIGTERM"), Row("life.surroundings", says="it took SIGTERM")),
}
LOADED = ["replaces malloc for all", "has a malloc of its own", "hangs in a constructor", "hangs in a constructor later"]


def documented():
    """The first cells of the page's table."""
    rows = [line.split("|")[1].strip() for line in DOC.read_text().splitlines() if line.startswith("| ")]
    return rows[1:] if rows and rows[0] == "the plugin" else rows


def make(folder, plugin="stage-misbehaves", isolation="process", act=None, count=RECORDS):
    options = f', options: {{act: "{act}", at: {AT}}}' if act else ""
    return Wire(folder, CONFIG.format(plugin=plugin, isolation=isolation, options=options, count=count))


def numbers(folder):
    return sorted(line["number"] for line in lines(folder / "out.jsonl"))


def record_id(wire):
    """The id of the record of which the plugin makes trouble."""
    (ident,), = wire.query("SELECT id FROM msg WHERE origin = 'signal.records' ORDER BY seq LIMIT 1 OFFSET ?", AT)
    return ident.decode() if isinstance(ident, bytes) else ident


def check_line(wire, rule, says, plugin="stage-misbehaves"):
    """One line names the rule, the plugin and the record."""
    ident = record_id(wire)
    found = [line for line in wire.logged().splitlines()
             if (rule is None or f"rule {rule}" in line) and says in line and ident in line]
    assert found, f"no line with rule {rule}, {says!r} and {ident}:\n{wire.logged()[-3000:]}"
    assert rule is None or any(plugin in line for line in found)


# What a sanitizer cannot see through: a jump over its frames, a thread that leaves its memory behind.
UNSEEN = {"jumps with longjmp", "ends its thread"} if SANITIZED else set()


def check_goes_on(wire, folder, row, code):
    assert code == 0, wire.logged()[-3000:]
    assert numbers(folder) == [n for n in range(RECORDS) if n != AT or row.arrives]
    held = wire.quarantine()
    assert len(held) == (row.quarantine is not None)
    assert not held or (row.quarantine in held[0]["reason"] and held[0]["plugin"] == "stage-misbehaves"), held
    clean, text = wire.audit()
    assert clean, text


def test_every_row_of_the_page_is_tested_and_no_other():
    assert documented() == list(ROWS) + LOADED


@pytest.mark.parametrize("act", [act for act, rows in ROWS.items() if rows[0] and act not in UNSEEN])
def test_in_a_process_of_its_own_the_wire_goes_on(tmp_path, act):
    row = ROWS[act][0]
    wire = make(tmp_path, act=act)
    check_goes_on(wire, tmp_path, row, wire.run(timeout=60))
    if row.rule or row.says or row.quarantine:
        check_line(wire, row.rule, row.says or row.quarantine or "")


def test_a_write_after_commit_is_refused_or_too_late(tmp_path):
    """The host copies what a runner commits and checks the copy: the write is in it, or comes after it."""
    wire = make(tmp_path, act="writes after commit")
    code = wire.run(timeout=60)
    held = wire.quarantine()
    check_goes_on(wire, tmp_path, Row(None, arrives=not held, quarantine="refused an output" if held else None), code)
    if held:
        check_line(wire, "output.msgpack", "")


@pytest.mark.parametrize("act", [act for act, rows in ROWS.items() if rows[1] and not rows[1].ends and act not in UNSEEN])
def test_in_the_hosts_process_what_can_be_caught_is(tmp_path, act):
    row = ROWS[act][1]
    wire = make(tmp_path, isolation="thread", act=act)
    check_goes_on(wire, tmp_path, row, wire.run(timeout=60))
    if act == "calls after stop":
        assert "rule life.after-stop" in wire.logged()  # of a thread: no record is in hand
    elif row.rule or row.says or row.quarantine:
        check_line(wire, row.rule, row.says or row.quarantine or "")


@pytest.mark.skipif(SANITIZED, reason="a sanitizer has last words of its own")
@pytest.mark.parametrize("act", [act for act, rows in ROWS.items() if rows[1] and rows[1].ends])
def test_in_the_hosts_process_a_crash_names_the_plugin_and_loses_nothing(tmp_path, act):
    row = ROWS[act][1]
    wire = make(tmp_path, isolation="thread", act=act)
    code = wire.run(timeout=60)
    assert code == row.ends or (row.ends == "signal" and code < 0), wire.logged()[-3000:]
    check_line(wire, None, "")
    said = [line for line in wire.logged().splitlines() if line.startswith("telex: stage middle: ")] or [""]
    assert all("plugin stage-misbehaves broke rule life.crash" in line for line in said) or \
        "plugin stage-misbehaves broke rule life.crash" in wire.logged()
    assert wire.audit()[0]
    wire = make(tmp_path, isolation="process", act=act)
    assert wire.run(timeout=60) == 0
    assert numbers(tmp_path) == [n for n in range(RECORDS) if n != AT]
    assert wire.audit()[0]


def test_sigterm_still_drains_after_a_plugin_took_it(tmp_path):
    wire = make(tmp_path, isolation="thread", act="takes SIGTERM", count=100000)
    host = wire.start(once=False)
    try:
        wire.wait_for("it took SIGTERM")
        time.sleep(0.1)
        host.send_signal(signal.SIGTERM)
        assert host.wait(30 * SLOW) == 0
    finally:
        if host.poll() is None:
            kill(host)


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_malloc_for_all_is_not_loaded(tmp_path, isolation):
    folder = Path(os.environ["TELEX_PLUGIN_PATH"]) / "bad"
    wire = make(tmp_path, plugin=folder / "bad-own-malloc.so", isolation=isolation)
    assert wire.run() == 78
    assert "exports malloc" in wire.logged() and "bad-own-malloc" in wire.logged()


@pytest.mark.skipif(SANITIZED, reason="a sanitizer owns malloc")
@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_malloc_of_its_own_concerns_nobody_else(tmp_path, isolation):
    wire = make(tmp_path, plugin="stage-own-malloc", isolation=isolation)
    assert wire.run() == 0
    assert numbers(tmp_path) == list(range(RECORDS))


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_constructor_that_hangs_is_refused(tmp_path, isolation):
    wire = make(tmp_path, plugin="stage-hang-load", isolation=isolation)
    assert wire.run(env={"TELEX_TEST_HANG_LOAD": "describe"}) == 78
    assert "stage-hang-load" in wire.logged() and "hangs" in wire.logged()


def test_a_constructor_that_hangs_in_the_runner_costs_its_stage(tmp_path):
    wire = make(tmp_path, plugin="stage-hang-load")
    env = {"TELEX_TEST_HANG_LOAD": "runner", "TELEX_LOAD_LIMIT_MS": "300"}
    assert wire.run(env=env, timeout=60) == 1
    assert "plugin stage-hang-load broke rule lint.constructor" in wire.logged()
    assert "it stays down" in wire.logged()
    assert wire.audit()[0]
    assert wire.run() == 0
    assert numbers(tmp_path) == list(range(RECORDS))


def test_a_constructor_that_hangs_in_the_host_is_named(tmp_path):
    wire = make(tmp_path, plugin="stage-hang-load", isolation="thread")
    env = {"TELEX_TEST_HANG_LOAD": "host", "TELEX_LOAD_LIMIT_MS": "300"}
    assert wire.run(env=env, timeout=30) == 1
    assert "plugin stage-hang-load broke rule lint.constructor" in wire.logged()
