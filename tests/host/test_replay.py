# SPDX-License-Identifier: Apache-2.0
"""One stage again over what it was given: from the journal, from a file, in a range, under a debugger."""
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from wire import PLUGINS, TELEX, Wire, lines

ROOT = Path(__file__).resolve().parents[2]
COUNT = """
pipeline: counted
journal: {path: wire.journal}
stages:
  signal: {plugin: source-count, options: {count: 6}}
  middle: {plugin: stage-noop, from: signal}
  sink: {plugin: sink-file, from: middle, options: {path: out.jsonl}}
"""
SEED = f"""
pipeline: seed
journal: {{path: wire.journal}}
models:
  desk: {{plugin: model-script}}
stages:
  signal: {{plugin: signal-archive, options: {{path: {ROOT}/configs/seed-records.jsonl, format: jsonl}}}}
  cluster: {{plugin: cluster-story, from: signal, options: {{emit: gated, gate_outlets: 5}}}}
  write: {{plugin: write-transformer, from: {{stage: cluster, keyed: true}}, model: desk, options: {{kinds: [News]}}}}
  wire: {{plugin: wire-site, from: write, options: {{root: site}}}}
"""


def ran(tmp_path, config):
    wire = Wire(tmp_path, config)
    assert wire.run() == 0, wire.logged()[-2000:]
    return wire


def replay(wire, *args, code=0):
    done = wire.command("replay", str(wire.config), *args)
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()] if code == 0 else done.stderr


def test_a_stage_gives_again_what_it_gave(tmp_path):
    wire = ran(tmp_path, COUNT)
    given = lines(tmp_path / "out.jsonl")
    assert len(given) == 6
    assert replay(wire, "--stage", "middle") == given
    assert wire.audit()[0]


def test_a_range_is_of_numbers_times_or_one_id(tmp_path):
    wire = ran(tmp_path, COUNT)
    given = replay(wire, "--stage", "middle")
    first = wire.query("SELECT min(seq) FROM msg")[0][0]
    assert replay(wire, "--stage", "middle", "--from", str(first + 1), "--to", str(first + 2)) == given[1:3]
    assert replay(wire, "--stage", "middle", "--id", given[4]["id"]) == [given[4]]
    assert replay(wire, "--stage", "middle", "--from", "2020-01-01", "--to", "2999-01-01T10:00") == given
    assert "no message for stage middle" in replay(wire, "--stage", "middle", "--to", "2020-01-01", code=1)
    assert "'soon' is neither" in replay(wire, "--stage", "middle", "--from", "soon", code=2)


def test_the_desk_finds_the_records_of_its_story(tmp_path):
    """The stories are given, their records only kept; options and model come from the config."""
    wire = ran(tmp_path, SEED)
    story = replay(wire, "--stage", "cluster")
    assert [body["schema"] for body in story] == ["telex.story/1"] and len(story[0]["records"]) == 5
    published = wire.query("SELECT count(*) FROM msg WHERE schema = 'telex.dispatch/1'")[0][0]
    dispatch = replay(wire, "--stage", "write")
    assert len(dispatch) == published == 1
    assert len(dispatch[0]["citations"]) > 0 and dispatch[0]["story"] == story[0]["id"]


def test_records_of_a_file(tmp_path):
    wire = Wire(tmp_path, COUNT)
    given = [{"schema": "telex.record/1", "id": f"n{n}", "title": "x"} for n in range(4)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in given))
    assert replay(wire, "--stage", "middle", "--records", "in.jsonl") == given
    assert replay(wire, "--stage", "middle", "--records", "in.jsonl", "--from", "2", "--to", "3") == given[1:3]
    (tmp_path / "in.jsonl").write_text('{"schema":"telex.record/1","id":"a"}\n{"no":"id"}\n')
    assert "in.jsonl:2: no message" in replay(wire, "--stage", "middle", "--records", "in.jsonl", code=1)
    assert "No such file" in replay(wire, "--stage", "middle", "--records", "none.jsonl", code=1)


def test_what_cannot_be_replayed_is_said_with_the_remedy(tmp_path):
    wire = ran(tmp_path, SEED)
    assert "did you mean write?" in replay(wire, "--stage", "writ", code=2)
    assert "is a source" in replay(wire, "--stage", "signal", code=2)
    assert "which stage? say --stage NAME" in replay(wire, code=2)
    site = sorted(path.name for path in (tmp_path / "site").iterdir())
    assert "--set stages.wire.options" in replay(wire, "--stage", "wire", code=2)
    events = replay(wire, "--stage", "wire", "--acts", "--set", "stages.wire.options.root=other")
    assert [event["schema"] for event in events] == ["telex.event/1"] and (tmp_path / "other").is_dir()
    assert sorted(path.name for path in (tmp_path / "site").iterdir()) == site
    (tmp_path / "empty").mkdir()
    fresh = Wire(tmp_path / "empty", COUNT)
    assert "a journal is made by `telex run`" in replay(fresh, "--stage", "middle", code=1)


@pytest.mark.skipif(not shutil.which("gdb"), reason="no gdb")
def test_a_debugger_stops_in_the_plugin(tmp_path):
    wire = ran(tmp_path, COUNT)
    done = subprocess.run(["gdb", "-batch", "-nx", "-ex", "set breakpoint pending on", "-ex", "break noop_process", "-ex", "run",
                           "-ex", "backtrace", "--args", TELEX, "replay", str(wire.config), "--stage", "middle", "--to", "3"],
                          capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
                          env={**os.environ, "TELEX_PLUGIN_PATH": PLUGINS, "DEBUGINFOD_URLS": ""})
    if "ptrace" in done.stdout + done.stderr:
        pytest.skip("this machine lets nobody trace a process")
    assert "noop_process (" in done.stdout and "process_batch" in done.stdout, done.stdout + done.stderr
