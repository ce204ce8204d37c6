# SPDX-License-Identifier: Apache-2.0
"""`telex reload`: what changes, what stays, what is refused, and that no record is lost or doubled by it."""
import json
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

import reloads
from wire import PLUGINS, SLOW, Wire, kill, lines

BOTH = pytest.mark.parametrize("isolation", ["thread", "process"])

CONFIG = """
pipeline: reload
journal: {{path: wire.journal, durability: normal}}
drain: {drain}
stages:
  signal: {{plugin: source-count, options: {{count: {count}, bytes: 40, batch: 4, every: 5ms}}}}
  middle:
    plugin: {plugin}
    from: {{stage: signal, capacity: {capacity}}}
    isolation: {isolation}
    options: {{stamp: "{stamp}", act: {act}, work: {work}}}
  sink: {{plugin: sink-file, from: middle, options: {{path: out.jsonl}}}}
"""

GOOD = {"count": 1000000, "plugin": "stage-stamp", "capacity": 1024, "isolation": "thread", "stamp": "a",
        "act": "none", "work": "0ms", "drain": "2s"}


class Reloads(Wire):
    """A wire whose config is written again and again."""

    def __init__(self, folder, **values):
        self.values = {**GOOD, **values}
        super().__init__(folder, CONFIG.format(**self.values))
        self.process = None

    def __enter__(self):
        self.process = self.start(once=False)
        self.wait_for("pipeline reload runs")
        self.arrive(1)
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            kill(self.process)

    def write(self, **values):
        self.values.update(values)
        self.config.write_text(CONFIG.format(**self.values))

    def reload(self, *args, code=0, **values):
        """Write the config with other values and have it reloaded; what was said."""
        self.write(**values)
        done = self.command("reload", "--wait", *args, str(self.config), timeout=60)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr, self.logged()[-3000:])
        return done.stdout + done.stderr

    def status(self):
        return self.ask(command="status")

    def stages(self):
        """{name: (lives, pid, generation)}"""
        return {stage["name"]: (stage["lives"], stage["pid"], stage["generation"]) for stage in self.status()["stages"]}

    def arrive(self, more, **wanted):
        """Wait for so many further records at the sink, the last of them with these values."""
        have, end = len(lines(self.folder / "out.jsonl")), time.monotonic() + 20 * SLOW
        while time.monotonic() < end:
            now = whole_lines(self.folder / "out.jsonl")
            if len(now) >= have + more and wanted.items() <= now[-1].items():
                return now
            time.sleep(0.01)
        raise AssertionError(f"not {more} more with {wanted}:\n" + self.logged()[-3000:])

    def stop(self):
        """End by SIGTERM; then nothing may be lost or doubled."""
        self.process.terminate()
        assert self.process.wait(30 * SLOW) == 0, self.logged()[-3000:]
        self.check()

    def check(self):
        clean, text = self.audit()
        assert clean, text
        out = lines(self.folder / "out.jsonl")
        assert [line["count"] for line in out] == list(range(1, len(out) + 1))
        # Those at the end may still wait before the sink.
        assert sorted(line["number"] for line in out) == list(range(len(out)))
        return out


def whole_lines(path):
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


@BOTH
def test_options_change(tmp_path, isolation):
    with Reloads(tmp_path, isolation=isolation) as wire:
        before = wire.stages()
        said = wire.reload(stamp="b")
        assert re.fullmatch(r"generation 2: 1 stage restarted \(middle\), 2 untouched, \d\.\d\d s\n", said)
        after = wire.stages()
        assert after["signal"] == before["signal"] and after["sink"] == before["sink"]
        assert after["middle"][0] == before["middle"][0] + 1 and after["middle"][2] == 2
        assert (after["middle"][1] == before["middle"][1]) == (isolation == "thread")
        shown = wire.command("status", str(wire.config))
        assert shown.returncode == 0 and "reload: ok, generation 2, up" in shown.stdout, shown.stderr
        wire.arrive(5, stamp="b")
        assert wire.reload() == "generation 2: nothing differs, nothing was restarted\n"
        assert wire.stages() == after
        wire.stop()


@BOTH
@pytest.mark.parametrize("act", ["create-fail", "start-fail"])
def test_a_failing_instance_is_rolled_back(tmp_path, isolation, act):
    with Reloads(tmp_path, isolation=isolation) as wire:
        before = wire.stages()
        said = wire.reload(code=1, act=act)
        assert "told to fail in " + act.split("-")[0] in said and "generation 1 runs" in said
        assert wire.stages() == before
        wire.arrive(5, stamp="a")
        wire.stop()


def test_an_invalid_config_changes_nothing(tmp_path):
    with Reloads(tmp_path) as wire:
        before = wire.stages()
        said = wire.reload(code=78, act="nonsense")
        assert f"{wire.config}:11:" in said and "stages.middle.options.act" in said and "generation 1 goes on" in said
        wire.config.write_text("stages: [")
        assert wire.command("reload", "--wait", str(wire.journal)).returncode == 78
        assert wire.stages() == before
        wire.arrive(5, stamp="a")
        wire.stop()


@BOTH
def test_a_replaced_file_at_the_same_path_is_loaded(tmp_path, isolation):
    first, again = Path(PLUGINS) / "stage-stamp.so", Path(PLUGINS) / "again" / "stage-stamp.so"
    plugin = tmp_path / "stage-stamp.so"
    shutil.copy(first, plugin)
    with Reloads(tmp_path, isolation=isolation, plugin="./stage-stamp.so") as wire:
        shutil.copy(again, tmp_path / "new.so")
        (tmp_path / "new.so").rename(plugin)
        assert "1 stage restarted (middle)" in wire.reload()
        wire.arrive(5, build=2)
        shutil.copy(first, tmp_path / "new.so")
        (tmp_path / "new.so").rename(plugin)
        wire.reload()
        wire.arrive(5, build=1)
        plugin.write_bytes(b"no library")
        assert "stages.middle.plugin" in wire.reload(code=78)
        wire.arrive(5, build=1)
        wire.stop()


@pytest.mark.parametrize("act", ["start-crash", "first-crash"])
def test_a_crash_of_the_new_runner_brings_the_old_config_back(tmp_path, act):
    with Reloads(tmp_path, isolation="process") as wire:
        signal_before = wire.stages()["signal"]
        said = wire.reload(code=1, act=act)
        assert "middle: " in said
        if act == "start-crash":
            assert "runner died: signal 9 (Killed) in start" in said and "generation 1 runs" in said
        else:
            assert "the earlier config runs again as generation 3" in said
        assert wire.stages()["signal"] == signal_before
        wire.arrive(5, stamp="a")
        wire.stop()


def test_an_instance_that_fails_on_its_first_record_brings_the_old_config_back(tmp_path):
    with Reloads(tmp_path) as wire:
        assert "the earlier config runs again as generation 3" in wire.reload(code=1, act="first-fatal")
        wire.arrive(5, stamp="a")
        wire.stop()


@BOTH
def test_what_is_held_is_delivered_again_and_a_late_completion_refused(tmp_path, isolation):
    with Reloads(tmp_path, isolation=isolation) as wire:
        wire.reload(act="hold")
        have = len(lines(tmp_path / "out.jsonl"))
        assert wire.stages()["middle"][2] == 2
        wire.reload("--drain", "100ms", act="none", stamp="c")
        wire.wait_for("1 open steps are released and will run again")
        wire.arrive(5, stamp="c")
        if isolation == "thread":
            wire.wait_for("rule lease.twice")
        assert len(lines(tmp_path / "out.jsonl")) > have
        wire.stop()


@BOTH
def test_a_step_that_is_under_way_ends_first(tmp_path, isolation):
    with Reloads(tmp_path, isolation=isolation, work="300ms") as wire:
        wire.reload(stamp="b", work="0ms")
        wire.arrive(3, stamp="b")
        assert "will run again" not in wire.logged()
        wire.stop()


def test_isolation_changes_both_ways(tmp_path):
    with Reloads(tmp_path) as wire:
        host = wire.stages()["middle"][1]
        wire.reload(isolation="process")
        assert wire.stages()["middle"][1] != host
        wire.arrive(5)
        wire.reload(isolation="thread")
        assert wire.stages()["middle"][1] == host
        wire.arrive(5)
        wire.stop()


def test_rules_of_edges_change_without_a_restart(tmp_path):
    with Reloads(tmp_path) as wire:
        before = wire.stages()
        said = wire.reload(capacity=7, drain="3s")
        assert said.startswith("generation 2: 0 stages restarted, 3 untouched")
        assert wire.stages() == before
        wire.arrive(5)
        wire.stop()


def test_what_needs_a_restart_is_refused_with_its_place(tmp_path):
    with Reloads(tmp_path) as wire:
        config = wire.config.read_text()
        for old, new, place in [
                ("durability: normal", "durability: full", ":3:31: journal.durability: cannot change while"),
                ("pipeline: reload", "pipeline: other", ":2:1: pipeline: cannot change while"),
                ("drain: 2s", "http: {admin: 127.0.0.1:0}", ":4:8: http.admin: cannot change while")]:
            wire.config.write_text(config.replace(old, new))
            done = wire.command("reload", "--wait", str(wire.journal))
            assert done.returncode == 78 and place in done.stderr, done.stderr
        wire.arrive(5)
        wire.stop()


def test_sighup_reloads_and_signals_that_come_meanwhile_make_one_more(tmp_path):
    with Reloads(tmp_path) as wire:
        wire.write(act="create-slow", stamp="b")
        wire.process.send_signal(signal.SIGHUP)
        wire.wait_for("is good; 1 stages are to be replaced")
        wire.write(act="none", stamp="c")
        for _ in range(5):
            wire.process.send_signal(signal.SIGHUP)
            time.sleep(0.01)
        wire.arrive(5, stamp="c")
        assert wire.status()["generation"] == 3 and wire.logged().count("SIGHUP") in range(2, 7)
        wire.stop()


def test_without_wait_it_answers_when_the_config_is_good(tmp_path):
    with Reloads(tmp_path) as wire:
        wire.write(act="create-slow", stamp="b")
        began = time.monotonic()
        done = wire.command("reload", str(wire.config))
        assert done.returncode == 0 and "is good" in done.stdout, done.stderr
        assert wire.status()["generation"] == 1 or time.monotonic() - began > 0.9
        wire.arrive(5, stamp="b")
        wire.stop()


def test_a_stop_during_a_reload_ends_it(tmp_path):
    with Reloads(tmp_path) as wire:
        wire.write(act="create-slow", stamp="b")
        assert wire.command("reload", str(wire.config)).returncode == 0
        wire.stop()
        assert "still in a call" not in wire.logged()


def test_no_host_is_said(tmp_path):
    wire = Reloads(tmp_path)
    done = wire.command("reload", "--wait", str(wire.config))
    assert done.returncode == 1 and "no host listens at" in done.stderr


@BOTH
def test_reloads_under_load(tmp_path, isolation):
    r = reloads.run(tmp_path, isolation, 40)
    assert r.good == 20 and len(r.arrived()) > 100


@BOTH
def test_kill_9_within_reloads(tmp_path, isolation):
    out, _ = reloads.run_kills(tmp_path, isolation, 6, seed=7)
    assert out
