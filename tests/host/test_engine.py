# SPDX-License-Identifier: Apache-2.0
"""The engine as an operator meets it: real processes, a real journal, kill -9."""
import random
import signal
import subprocess
import time

import pytest
from wire import SLOW, Wire, kill, lines

CHAIN = """
pipeline: chain
journal: {{path: wire.journal, durability: full}}
drain: 5s
stages:
  signal: {{plugin: source-count, options: {{count: {count}, bytes: 40, batch: 3}}}}
  middle: {{plugin: {middle}, from: signal, isolation: thread{more}}}
  sink: {{plugin: sink-file, from: middle, options: {{path: out.jsonl}}}}
"""


def chain(tmp_path, count=60, middle="stage-noop", more=""):
    return Wire(tmp_path, CHAIN.format(count=count, middle=middle, more=more))


def numbers(tmp_path):
    return [line["number"] for line in lines(tmp_path / "out.jsonl")]


def test_every_record_arrives_once_and_in_order(tmp_path):
    wire = chain(tmp_path, 500)
    assert wire.run() == 0
    assert numbers(tmp_path) == list(range(500))
    clean, text = wire.audit()
    assert clean, text


@pytest.mark.parametrize("where", ["before-commit", "after-commit"])
def test_killed_at_every_third_commit_it_still_delivers_each_record_once(tmp_path, where):
    wire = chain(tmp_path, 200, more=", options: {delay: 1ms}")
    kills = 0
    while (code := wire.run(env={"TELEX_CRASH": f"{where}:3"})) == -signal.SIGKILL:
        kills += 1
        assert kills < 400
    assert code == 0
    assert kills >= 5
    assert numbers(tmp_path) == list(range(200))
    clean, text = wire.audit()
    assert clean, text


def test_killed_at_random_moments_it_still_delivers_each_record_once(tmp_path):
    wire = chain(tmp_path, 3000)
    moments = random.Random(7)
    for _ in range(10):
        process = wire.start()
        time.sleep(moments.uniform(0.0, 0.25) * SLOW)
        if process.poll() is None:
            kill(process)
        clean, text = wire.audit() if wire.journal.exists() else (True, "")
        assert clean, text
    assert wire.run() == 0
    assert numbers(tmp_path) == list(range(3000))
    assert wire.audit()[0]


def test_a_second_host_on_the_journal_is_refused_and_told_who_has_it(tmp_path):
    wire = chain(tmp_path, 1, middle="stage-noop")
    first = wire.start(once=False)
    wire.wait_for("pipeline chain runs")
    second = wire.command("run", str(wire.config))
    assert second.returncode == 1
    assert f"in use by process {first.pid}" in second.stderr
    first.send_signal(signal.SIGTERM)
    assert first.wait(20 * SLOW) == 0


def test_sigterm_drains_and_exits_0_and_the_rest_runs_at_the_next_start(tmp_path):
    wire = Wire(tmp_path, CHAIN.format(count=200, middle="stage-noop", more=", options: {delay: 20ms}"))
    process = wire.start(once=False)
    wire.wait_for("pipeline chain runs")
    time.sleep(0.4)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20 * SLOW) == 0
    assert 0 < len(numbers(tmp_path)) < 200
    assert wire.audit()[0]
    assert wire.run() == 0
    assert numbers(tmp_path) == list(range(200))


def test_a_second_sigterm_ends_at_once(tmp_path):
    wire = Wire(tmp_path, CHAIN.format(count=5, middle="stage-noop", more=", options: {delay: 4s}"))
    process = wire.start(once=False)
    wire.wait_for("pipeline chain runs")
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 2 * SLOW


def test_a_rejected_record_is_tried_as_often_as_configured_then_quarantined_with_its_reason(tmp_path):
    wire = chain(tmp_path, 4, middle="stage-reject", more=", attempts: 2")
    assert wire.run() == 0
    held = wire.quarantine()
    assert len(held) == 4
    assert {entry["attempts"] for entry in held} == {2}
    assert all(entry["stage"] == "middle" and entry["reason"] for entry in held)
    assert all("reason" not in entry["reason"] for entry in held)
    clean, text = wire.audit()
    assert clean, text


def test_a_quarantined_record_can_be_retried_and_dropped(tmp_path):
    wire = chain(tmp_path, 3, middle="stage-reject", more=", attempts: 1")
    assert wire.run() == 0
    first = wire.quarantine()[0]["number"]
    assert wire.command("quarantine", "drop", str(wire.journal), first).returncode == 0
    assert wire.command("quarantine", "retry", str(wire.journal), "all").returncode == 0
    assert wire.quarantine() == []
    assert wire.audit()[0]
    wire.config.write_text(wire.config.read_text().replace("stage-reject", "stage-noop"))
    assert wire.run() == 0
    assert len(numbers(tmp_path)) == 2
    assert wire.audit()[0]
    missing = wire.command("quarantine", "retry", str(wire.journal), "9-9")
    assert missing.returncode == 1 and "no record 9-9" in missing.stderr


def test_a_running_host_is_asked_to_put_a_quarantined_record_back(tmp_path):
    wire = chain(tmp_path, 3, middle="stage-reject", more=", attempts: 1")
    process = wire.start(once=False)
    try:
        end = time.monotonic() + 20 * SLOW
        while time.monotonic() < end and (not wire.journal.exists() or len(wire.quarantine()) < 3):
            time.sleep(0.05)
        first, second = [entry["number"] for entry in wire.quarantine()[:2]]
        assert "put back" in wire.command("quarantine", "retry", str(wire.journal), first).stdout
        dropped = wire.command("quarantine", "drop", str(wire.journal), second)
        assert dropped.returncode == 0, dropped.stderr
        end = time.monotonic() + 20 * SLOW
        while time.monotonic() < end and wire.logged().count("moved to quarantine") < 4:
            time.sleep(0.05)  # the one put back is rejected again
        while time.monotonic() < end and wire.query("SELECT count(*) FROM quarantine") != [(2,)]:
            time.sleep(0.05)
        assert wire.query("SELECT count(*) FROM quarantine") == [(2,)]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20 * SLOW) == 0
    clean, text = wire.audit()
    assert clean, text


def test_a_plugin_that_hangs_in_process_loses_its_step_and_the_wire_goes_on(tmp_path):
    wire = Wire(tmp_path, """
pipeline: hang
journal: {path: wire.journal}
stages:
  signal: {plugin: source-count, options: {count: 3}}
  hang: {plugin: stage-hang, from: signal, isolation: thread, timeout: 300ms, attempts: 1}
  sink: {plugin: sink-file, from: [signal, hang], options: {path: out.jsonl}}
""")
    wire.run(timeout=60)
    assert numbers(tmp_path) == [0, 1, 2]
    assert len(wire.quarantine()) >= 1
    assert "deadline" in wire.quarantine()[0]["reason"]
    assert "hangs in a call" in wire.logged()
    assert wire.audit()[0]


def test_a_lease_that_is_never_completed_is_taken_away_at_its_deadline(tmp_path):
    wire = chain(tmp_path, 2, middle="stage-silent", more=", timeout: 300ms, attempts: 1")
    wire.run(timeout=60)
    assert len(wire.quarantine()) == 2
    assert wire.audit()[0]


@pytest.mark.parametrize("durability", ["full", "memory"])
@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_a_record_does_not_wait_for_another(tmp_path, isolation, durability):
    """Batches are what waits already: one record alone arrives, and so does the one before a record that is held."""
    wire = Wire(tmp_path, f"""
pipeline: alone
journal: {{path: wire.journal, durability: {durability}}}
drain: 1s
stages:
  signal: {{plugin: source-count, options: {{count: 3, bytes: 40, batch: 1, every: 1h}}}}
  middle: {{plugin: stage-noop, from: signal, isolation: {isolation}}}
  pairs: {{plugin: source-count, options: {{count: 2, bytes: 40, batch: 2}}}}
  holds: {{plugin: stage-noop, from: pairs, isolation: {isolation}, timeout: 1h, options: {{pass: 1, delay: 1h}}}}
  sink: {{plugin: sink-file, from: middle, options: {{path: out.jsonl}}}}
  held: {{plugin: sink-file, from: holds, options: {{path: held.jsonl}}}}
""")
    process = wire.start()
    try:
        end = time.monotonic() + 20 * SLOW
        while time.monotonic() < end and not (numbers(tmp_path) and lines(tmp_path / "held.jsonl")):
            time.sleep(0.02)
        assert numbers(tmp_path) == [0]
        assert [line["number"] for line in lines(tmp_path / "held.jsonl")] == [0]
    finally:
        kill(process)


def test_a_lease_completed_twice_is_refused_and_named(tmp_path):
    wire = chain(tmp_path, 3, middle="stage-complete-twice")
    assert wire.run() == 0
    assert "rule lease.twice" in wire.logged() and "stage-complete-twice" in wire.logged()
    assert wire.audit()[0]


def test_output_that_is_no_message_is_refused_and_named(tmp_path):
    wire = chain(tmp_path, 2, middle="stage-bad-msgpack", more=", attempts: 1")
    wire.run()
    assert "rule output.msgpack" in wire.logged()
    assert numbers(tmp_path) == []
    assert wire.audit()[0]


def test_more_outputs_than_declared_are_refused(tmp_path):
    wire = chain(tmp_path, 2, middle="stage-too-many", more=", attempts: 1")
    wire.run()
    assert wire.audit()[0]


def test_a_stage_that_answers_later_from_its_own_thread_loses_nothing(tmp_path):
    wire = chain(tmp_path, 300, middle="stage-later")
    assert wire.run() == 0
    assert sorted(numbers(tmp_path)) == list(range(300))
    assert wire.audit()[0]


def test_a_graph_can_fan_out_by_field_and_fan_in_again(tmp_path):
    wire = Wire(tmp_path, """
pipeline: fan
journal: {path: wire.journal}
stages:
  signal: {plugin: source-count, options: {count: 50}}
  left: {plugin: stage-noop, from: {stage: signal, where: {title: [Record 1, Record 2]}}}
  right: {plugin: stage-noop, from: signal}
  sink: {plugin: sink-file, from: [left, right], options: {path: out.jsonl}}
""")
    assert wire.run() == 0
    assert sorted(numbers(tmp_path)) == sorted(list(range(50)) + [1, 2])
    clean, text = wire.audit()
    assert clean, text
    dropped = wire.query("SELECT n_in, n_dropped FROM edge WHERE name LIKE '%left%' AND name LIKE 'signal%'")
    assert dropped == [(50, 48)]


def test_the_audit_names_a_message_that_was_taken_out_of_the_journal(tmp_path):
    wire = chain(tmp_path, 10)
    assert wire.run() == 0
    import sqlite3
    db = sqlite3.connect(wire.journal)
    (seq, ident), = db.execute("SELECT seq, id FROM msg WHERE origin = 'signal.records' LIMIT 1").fetchall()
    db.execute("DELETE FROM delivery WHERE seq = ?", (seq,))
    db.commit()
    db.close()
    clean, text = wire.audit()
    assert not clean
    assert ident in text and "never reached this edge" in text


def test_a_stage_that_keeps_crashing_stays_down_with_its_input_safe(tmp_path):
    wire = chain(tmp_path, 5, middle="stage-crash-create")
    code = wire.run(timeout=60)
    assert code != 0
    assert wire.audit()[0] or not wire.journal.exists()


def test_a_journal_of_something_else_is_refused(tmp_path):
    import sqlite3
    wire = chain(tmp_path, 1)
    db = sqlite3.connect(wire.journal)
    db.execute("CREATE TABLE other(x)")
    db.commit()
    db.close()
    assert wire.run() == 1
    assert "no telex journal" in wire.logged()
    wire.journal.write_bytes(b"not a database at all" * 100)
    assert wire.run() == 1
    assert "telex journal" in wire.logged()


def test_a_port_in_use_is_named_with_its_config_key(tmp_path):
    import socket
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        wire = chain(tmp_path, 1)
        assert wire.run("--set", f"http.listen=127.0.0.1:{port}") == 1
        assert str(port) in wire.logged() and "http.listen" in wire.logged()


def test_a_full_disk_is_waited_out_and_nothing_is_lost(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "telex-test", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("full disk: this machine does not let the test mount a small file system")
    try:
        filler = disk / "filler"
        wire = chain(tmp_path, 2000)
        wire.config.write_text(wire.config.read_text().replace("path: wire.journal", "path: disk/wire.journal"))
        wire.journal = disk / "wire.journal"
        filler.write_bytes(b"x" * 500_000)
        process = wire.start()
        wire.wait_for("sources wait")
        assert process.poll() is None
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert process.wait(60 * SLOW) == 0
        assert "there is room again" in wire.logged()
        assert numbers(tmp_path) == list(range(2000))
        assert wire.audit()[0]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_log_lines_are_json_when_asked_for(tmp_path):
    import json
    wire = chain(tmp_path, 2, middle="stage-reject", more=", attempts: 1")
    assert wire.run("--log-json") == 0
    said = [json.loads(line) for line in wire.logged().splitlines()]
    assert all({"ts", "level", "who", "text"} <= set(line) for line in said)
    held = [line for line in said if "quarantine" in line["text"] and "record" in line]
    assert len(held) == 2 and held[0]["who"] == "middle" and held[0]["level"] == "warn"


def test_a_stage_alone_reads_lines_and_names_the_bad_ones(tmp_path):
    good = '{"schema":"telex.record/1","id":"a","title":"x","strange":[1,{"deep":true}]}'
    given = tmp_path / "in.jsonl"
    given.write_text(f'{good}\n{{"no":"id"}}\nnot json\n\n{good.replace(chr(34) + "a" + chr(34), chr(34) + "b" + chr(34))}\n')
    wire = chain(tmp_path, 1)
    done = wire.command("stage", "stage-noop", "-i", str(given))
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == good and len(done.stdout.splitlines()) == 2
    assert f"{given}:2:" in done.stderr and f"{given}:3:" in done.stderr
    assert wire.command("stage", "no-such-stage").returncode == 1
    assert wire.command("stage", "stage-noop", "-o", "delay=soon").returncode == 78


def test_records_that_crash_a_runner_are_taken_out_one_by_one_and_the_stage_stays_up(tmp_path):
    wire = Wire(tmp_path, """
pipeline: poison
journal: {path: wire.journal}
stages:
  signal: {plugin: source-count, options: {count: 40}}
  third: {plugin: stage-trouble, from: signal, isolation: process, open_steps: 1, attempts: 1, options: {act: crash, at: 3}}
  sink: {plugin: sink-file, from: third, options: {path: out.jsonl}}
""")
    assert wire.run(timeout=120) == 0
    held = wire.quarantine()
    assert len(held) > 5
    for entry in held:  # ended by a signal, or as a sanitizer ends it
        assert "runner died" in entry["reason"] or "runner exited" in entry["reason"], entry["reason"]
    assert len(numbers(tmp_path)) + len(held) == 40
    assert wire.audit()[0]
