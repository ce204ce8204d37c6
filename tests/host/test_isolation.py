# SPDX-License-Identifier: Apache-2.0
"""Stages in a process of their own, in real pipelines: the same result, and contained when they misbehave."""
import collections
import os
import signal
import subprocess
import time

import crashes
import pytest
from wire import SLOW, Wire, kill, lines

CHAIN = """
pipeline: chain
journal: {{path: wire.journal, durability: full}}
drain: 5s
stages:
  signal: {{plugin: source-count, options: {{count: {count}, bytes: 40, batch: 3}}, isolation: {source}}}
  middle: {{plugin: {middle}, from: signal, isolation: {isolation}{more}}}
  sink: {{plugin: sink-file, from: middle, options: {{path: out.jsonl}}, isolation: {sink}}}
"""


def chain(folder, count=60, middle="stage-noop", isolation="process", source="thread", sink="thread", more=""):
    folder.mkdir(exist_ok=True)
    return Wire(folder, CHAIN.format(count=count, middle=middle, isolation=isolation, source=source, sink=sink,
                                     more=more))


def numbers(folder):
    return [line["number"] for line in lines(folder / "out.jsonl")]


def children(pid, name="telex-runner"):
    """Process ids of the runners that a host has."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as stat:
                text = stat.read()
        except OSError:
            continue
        rest = text[text.rindex(")") + 2:].split()
        if text[text.index("(") + 1:text.rindex(")")] == name and int(rest[1]) == pid and rest[0] not in "ZX":
            found.append(int(entry))
    return found


def test_a_pipeline_of_isolated_stages_writes_the_same_bytes(tmp_path):
    results = []
    for isolation in ("thread", "process"):
        folder = tmp_path / isolation
        wire = chain(folder, 300, isolation=isolation, source=isolation, sink=isolation)
        assert wire.run() == 0
        clean, text = wire.audit()
        assert clean, text
        results.append((folder / "out.jsonl").read_bytes())
    assert results[0] == results[1]
    assert len(results[0].splitlines()) == 300


def test_a_crash_on_every_visit_of_one_record_quarantines_that_record_only(tmp_path):
    wire = chain(tmp_path, 20, middle="stage-crash-third", more=", attempts: 2, open_steps: 1")
    code = wire.run(timeout=120)
    held = wire.quarantine()
    logged = wire.logged()
    assert "runner died: signal" in logged or "runner exited" in logged
    assert "in process of record" in logged
    clean, text = wire.audit()
    assert clean, text
    done = numbers(tmp_path)
    assert len(done) == len(set(done))
    # It crashes on each third record it sees, so every life takes two through before it falls over.
    assert len(done) + len(held) == 20 if code == 0 else len(done) >= 4


@pytest.mark.skipif("asan" in os.environ["TELEX_PROGRAM"] or "tsan" in os.environ["TELEX_PROGRAM"],
                    reason="a sanitizer's shadow does not fit into limits.memory")
def test_a_stage_that_crashes_again_and_again_loses_nothing_and_repeats_nothing(tmp_path):
    """The short form of `make crashes`."""
    assert len(crashes.run(tmp_path, crashes.records_for(30), timeout=120)) >= 20


def deliveries(folder):
    """How often each record was given to stage-crash-later."""
    return collections.Counter(int(line) for line in (folder / "log").read_text().split())


@pytest.mark.parametrize("n", [16, 128])
def test_one_bad_record_of_a_batch_in_hand_is_found_by_halves(tmp_path, n):
    """The stage answers n records later and ends at one of them: only that one goes to quarantine, after log2(n) ends,
    and each of the others is delivered at most once more for each."""
    wire = chain(tmp_path, n, middle="stage-crash-later",
                 more=f", open_steps: {n}, attempts: 3, options: {{log: log, gather: {n}, poison: {n - 2}}}")
    assert wire.run(timeout=120) == 0, wire.logged()[-3000:]
    held = wire.quarantine()
    assert len(held) == 1 and "runner died: signal 9" in held[0]["reason"], held
    assert sorted(numbers(tmp_path)) == [i for i in range(n) if i != n - 3]
    halves = n.bit_length() - 1
    assert crashes.ends(wire.logged()) <= halves + 3
    given = deliveries(tmp_path)
    assert max(given.values()) <= halves + 3
    assert sum(given.values()) <= 3 * n + halves + 3
    assert wire.audit()[0]


def test_several_bad_records_of_a_batch_are_found_and_no_other(tmp_path):
    wire = chain(tmp_path, 200, middle="stage-crash-later",
                 more=", open_steps: 64, attempts: 3, options: {log: log, gather: 64, poison: 50}")
    assert wire.run(timeout=120) == 0, wire.logged()[-3000:]
    assert len(wire.quarantine()) == 4
    assert sorted(numbers(tmp_path)) == [i for i in range(200) if i % 50 != 49]
    assert wire.audit()[0]


def test_a_hanging_step_is_killed_at_its_deadline_and_the_wire_goes_on(tmp_path):
    wire = Wire(tmp_path, """
pipeline: hang
journal: {path: wire.journal}
stages:
  signal: {plugin: source-count, options: {count: 2}}
  hang: {plugin: stage-hang, from: signal, isolation: process, timeout: 500ms, attempts: 1, open_steps: 1}
  sink: {plugin: sink-file, from: [signal, hang], options: {path: out.jsonl}}
""")
    assert wire.run(timeout=90) == 0
    assert numbers(tmp_path) == [0, 1]
    held = wire.quarantine()
    assert len(held) == 2
    assert all("deadline" in entry["reason"] and "in process of record" in entry["reason"] for entry in held)
    assert wire.audit()[0]


def test_waiting_for_ones_turn_in_a_runner_is_not_being_late(tmp_path):
    # Forty steps are handed over at once and take six seconds together; each may take three.
    wire = chain(tmp_path, 40, more=", options: {delay: 150ms}, timeout: 3s, open_steps: 64")
    assert wire.run(timeout=60) == 0
    assert numbers(tmp_path) == list(range(40))
    assert "deadline" not in wire.logged()
    assert wire.audit()[0]


def test_who_waits_behind_a_slow_step_is_not_counted_late(tmp_path):
    # Each step takes longer than it may and ends within its grace; those behind it are asked to end before they began.
    wire = chain(tmp_path, 4, more=", options: {delay: 800ms}, timeout: 500ms, attempts: 1, open_steps: 8")
    assert wire.run(timeout=60) == 0
    assert numbers(tmp_path) == list(range(4))
    assert wire.quarantine() == []
    assert wire.audit()[0]


def test_a_killed_runner_is_replaced_and_no_record_is_lost(tmp_path):
    wire = chain(tmp_path, 400, more=", options: {delay: 2ms}, attempts: 9")
    host = wire.start()
    killed = 0
    while host.poll() is None and killed < 3:
        for runner in children(host.pid):
            time.sleep(0.1)
            try:
                os.kill(runner, signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
        time.sleep(0.1)
    assert host.wait(120 * SLOW) == 0
    assert killed >= 1
    assert sorted(numbers(tmp_path)) == list(range(400))
    assert wire.audit()[0]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_runners_die_with_the_host_and_the_next_start_loses_nothing(tmp_path, how):
    wire = chain(tmp_path, 300, source="process", sink="process", more=", options: {delay: 1ms}")
    for _ in range(3):
        host = wire.start()
        wire.wait_for("runs", since=len(wire.logged()))
        end = time.monotonic() + 20 * SLOW
        while len(runners := children(host.pid)) < 3 and time.monotonic() < end and host.poll() is None:
            time.sleep(0.01)
        time.sleep(0.15)
        if host.poll() is not None:
            break
        host.send_signal(how)
        host.wait(10)
        end = time.monotonic() + 1.0 * SLOW
        while (left := [pid for pid in runners if os.path.exists(f"/proc/{pid}/exe")]) and time.monotonic() < end:
            time.sleep(0.01)
        assert [pid for pid in left if os.path.exists(f"/proc/{pid}/exe")] == []
    assert wire.run(timeout=120) == 0
    assert numbers(tmp_path) == list(range(300))
    assert wire.audit()[0]


def test_sigterm_drains_isolated_stages_and_exits_0(tmp_path):
    wire = chain(tmp_path, 100000, source="process", sink="process")
    host = wire.start(once=False)
    wire.wait_for("runs")
    time.sleep(1 * SLOW)
    host.send_signal(signal.SIGTERM)
    assert host.wait(30 * SLOW) == 0
    done = numbers(tmp_path)
    assert done == list(range(len(done)))
    assert children(host.pid) == []
    assert wire.audit()[0]


def test_a_lease_completed_twice_in_a_runner_is_refused_and_named(tmp_path):
    wire = chain(tmp_path, 3, middle="stage-complete-twice")
    assert wire.run() == 0
    assert "rule lease.twice" in wire.logged()
    assert wire.audit()[0]


def test_output_that_is_no_message_is_refused_in_a_runner_too(tmp_path):
    wire = chain(tmp_path, 2, middle="stage-bad-msgpack", more=", attempts: 1")
    wire.run()
    assert "rule output.msgpack" in wire.logged()
    assert numbers(tmp_path) == []
    assert wire.audit()[0]


def test_a_stage_that_cannot_be_created_in_its_runner_says_why(tmp_path):
    wire = chain(tmp_path, 2, middle="stage-crash-create")
    host = wire.start()
    try:
        wire.wait_for("in create")
    finally:
        if host.poll() is None:
            kill(host)
    assert "could not be created" in wire.logged()
    assert wire.audit()[0]


def test_the_runner_shows_its_stage_in_the_process_list(tmp_path):
    wire = chain(tmp_path, 100000, more=", options: {delay: 1ms}")
    host = wire.start(once=False)
    try:
        wire.wait_for("runs")
        end = time.monotonic() + 20 * SLOW
        while not (runners := children(host.pid)) and time.monotonic() < end:
            time.sleep(0.01)
        shown = subprocess.run(["ps", "-o", "args=", "-p", str(runners[0])], capture_output=True, text=True, timeout=10)
        assert shown.stdout.split()[:2] == ["telex-runner", "middle"]
    finally:
        kill(host)
