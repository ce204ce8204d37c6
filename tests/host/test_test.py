# SPDX-License-Identifier: Apache-2.0
"""`telex test`: real hosts and runners against given records and planned faults; what fails is named by line."""
import json
import os
import subprocess
from pathlib import Path

import pytest
from wire import SLOW, TELEX

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
pipeline: tried
journal: {path: wire.journal}
stages:
  signal: {plugin: source-count, options: {count: 4}}
  middle: {plugin: stage-noop, from: signal, timeout: 1s, retry: 50ms}
  sink: {plugin: sink-file, from: middle, options: {path: out.jsonl}}
"""
RECORDS = "    records: {signal: [{id: a, title: One, n: 1}, {id: b, title: Two, n: 2.5}, {id: c, title: 'Three', n: '3'}]}\n"


def run(tmp_path, tests, *args, config=True):
    (tmp_path / "wire.yaml").write_text(CONFIG)
    path = tmp_path / "wire.test.yaml"
    path.write_text(("config: wire.yaml\n" if config else CONFIG) + "tests:\n" + tests)
    return subprocess.run([TELEX, "test", *args, str(path)], capture_output=True, text=True, timeout=180 * SLOW, cwd=tmp_path,
                          check=False)


def results(tmp_path, tests, *args):
    done = run(tmp_path, tests, "--json", *args)
    assert done.returncode in (0, 1), done.stderr
    listed = json.loads(done.stdout)
    assert done.returncode == int(any(not one["passed"] for one in listed))
    return listed


def passes(tmp_path, tests, *args):
    listed = results(tmp_path, tests, *args)
    assert [one["failures"] for one in listed] == [[]] * len(listed) and listed
    return listed


def test_given_records_pass_through_as_they_are_written(tmp_path):
    passes(tmp_path, "  all:\n" + RECORDS + """
    expect:
      exit: 0
      stages: {signal: {steps: 3, outputs: 3}, middle: {steps: {at_least: 3, at_most: 3}}, sink: {state: stopped}}
      messages:
        - {from: middle.out, schema: telex.record/1, ids: [a, b, c], each: {title: {matches: "^[A-Z][a-z]+$"}, body: {absent: true}}}
        - {where: {n: 1}, count: 1}
        - {from: middle, where: {n: {one_of: [2.5, "3"]}}, count: 2}
""")
    assert not (tmp_path / "wire.journal").exists() and not (tmp_path / "out.jsonl").exists()


def test_a_source_without_records_runs_as_it_is(tmp_path):
    passes(tmp_path, "  own:\n    set: {stages.signal.options.count: 7}\n    expect: {stages: {sink: {steps: 7}}}\n")


@pytest.mark.parametrize("fault, expect", [
    ("{stage: middle, crash: 3}", "stages: {middle: {restarts: 1, failures: 1}}, log: [runner died]"),
    ("{stage: middle, crash: 2, times: 3}",
     "quarantined: 1, quarantine: [{stage: middle, id: b, reason: {contains: signal 11}, attempts: 3}], "
     "messages: [{from: middle, ids: [a, c]}], stages: {middle: {restarts: 3}}"),
    ("{stage: middle, hang: 1}", "stages: {middle: {restarts: 1}}"),
    ("{stage: middle, fail: 2, times: 2}", "stages: {middle: {retries: 2, restarts: 0}}"),
    ("{stage: middle, reject: 1}", "stages: {middle: {failures: 1, restarts: 0}}"),
    ("{stage: sink, crash: 1}", "stages: {sink: {restarts: 1, steps: 3}}"),
    ("{stage: signal, fail: 2}", "stages: {signal: {restarts: 2}}"),
    ("{host: 2}", "audit: clean"),
])
def test_a_fault_strikes_and_nothing_is_lost_or_doubled(tmp_path, fault, expect):
    count = 2 if "times: 3" in fault else 3
    passes(tmp_path, f"  struck:\n{RECORDS}    faults: [{fault}]\n    expect: {{{expect}}}\n"
           f"  all the same:\n{RECORDS}    faults: [{fault}]\n    expect: {{quarantined: {3 - count}, messages: "
           f"[{{from: middle, count: {count}}}]}}\n")


def test_faults_of_a_source_that_runs_as_it_is(tmp_path):
    passes(tmp_path, """
  dies: {faults: [{stage: signal, crash: 2}], set: {stages.signal.options.batch: 1}, expect: {stages: {signal: {restarts: 1}, sink: {steps: 4}}}}
  fails twice: {faults: [{stage: signal, fail: 2}], expect: {stages: {signal: {restarts: 2}, sink: {steps: 4}}}}
""")


def test_what_is_not_as_expected_is_named_by_its_line(tmp_path):
    done = run(tmp_path, "  wrong:\n" + RECORDS + """    expect:
      published: 1
      messages:
        - from: middle
          where: {title: {contains: T}}
          count: 3
        - {from: middle, ids: [a, c, b]}
        - {from: middle, each: {n: {at_most: 2}}}
      stages: {middle: {restarts: 2}}
      log: [never said]
""")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].endswith(": FAILED " + lines[0].split("FAILED ")[1]) and lines[-1] == "1 test, 1 failed"
    text = done.stdout
    for line, said in ((6, "expect.published: is 0, expected 1"), (10, "expect.messages[0]: the count is 2, expected 3"),
                       (11, "expect.messages[1]: other messages came, or in another order"),
                       (12, "expect.messages[2]: not every one is like this"), (13, "expect.stages.middle.restarts: is 0, expected 2"),
                       (14, "expect.log[0]: nothing in the log says 'never said'")):
        assert f"wire.test.yaml:{line}:" in text and said in text, text
    assert '    - a: title is "One", expected contains "T"' in lines
    assert "    ! expected c, came b" in lines
    assert '    ! c: n is "3", expected at most 2' in lines


def test_what_nobody_spoke_of_must_be_fine(tmp_path):
    held = results(tmp_path, f"  held:\n{RECORDS}    set: {{stages.middle.attempts: 1}}\n    faults: [{{stage: middle, reject: 2}}]\n")[0]
    assert [f["path"] for f in held["failures"]] == ["expect.quarantined"]
    assert "b, stage middle: a fault that `telex test` planned" in held["failures"][0]["detail"][0]
    missed = results(tmp_path, f"  missed:\n{RECORDS}    faults: [{{stage: middle, crash: 9}}, {{host: 500}}]\n")[0]
    assert {f["path"] for f in missed["failures"]} == {"faults"} and len(missed["failures"]) == 2
    assert any("middle was handed 3 records" in f["text"] for f in missed["failures"])
    slow = results(tmp_path, "  slow: {timeout: 1s, set: {stages.signal.options.every: 1m, stages.signal.options.batch: 1}}\n")[0]
    assert slow["failures"][0]["path"] == "timeout" and slow["seconds"] < 30


@pytest.mark.parametrize("tests, said", [
    ("  t: {records: {signl: []}}\n", "tests.t.records.signl: names no stage 'signl'; did you mean signal?"),
    ("  t: {records: {middle: []}}\n", "tests.t.records.middle: is no source"),
    ("  t: {records: {signal: [{title: x}]}}\n", "tests.t.records.signal[0]: is no record; write a mapping with an `id`"),
    ("  t: {records: {signal: none.jsonl}}\n", "none.jsonl cannot be read"),
    ("  t: {faults: [{stage: middle}]}\n", "tests.t.faults[0]: says no fault; say one of crash"),
    ("  t: {faults: [{crash: 1}]}\n", "names no stage; write `stage: NAME`"),
    ("  t: {faults: [{stage: middle, crash: 0}]}\n", "'0' is not a whole number from 1"),
    ("  t: {faults: [{stage: signal, reject: 1}]}\n", "rejects, but a source is handed no record"),
    ("  t: {expect: {publishd: 1}}\n", "did you mean published?"),
    ("  t: {expect: {stages: {midle: {steps: 1}}}}\n", "did you mean middle?"),
    ("  t: {expect: {messages: [{from: nobody}]}}\n", "names no stage of the config"),
    ("  t: {expect: {messages: [{where: {a: {matches: '(' }}}]}}\n", "is no regular expression"),
    ("  t: {expect: {messages: [{where: {a: {at_least: x }}}]}}\n", "at_least wants a number"),
    ("  t: {set: {stages.middle.options.dealy: 1s}}\n", "did you mean delay?"),
    ("  t: {set: {stages.middle.from: nowhere}}\n", "names no stage 'nowhere'"),
    ("  t: {expct: {}}\n", "did you mean expect?"),
    ("", "tests: is empty; write `a name: {records: ..., expect: ...}`"),
])
def test_a_bad_file_is_an_error_with_line_and_remedy(tmp_path, tests, said):
    done = run(tmp_path, tests)
    assert done.returncode == 78 and said in done.stderr, done.stderr
    assert all(line.startswith(str(tmp_path / "wire.test.yaml:")) for line in done.stderr.splitlines()), done.stderr


def test_a_config_can_hold_its_tests(tmp_path):
    done = run(tmp_path, "  t: {expect: {stages: {sink: {steps: 4}}}}\n", config=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert subprocess.run([TELEX, "validate", str(tmp_path / "wire.test.yaml")], capture_output=True, check=False).returncode == 0


def test_a_source_that_would_ask_the_network_needs_records(tmp_path):
    done = run(tmp_path, "  t: {set: {stages.signal: {plugin: signal-feed, options: {feeds: ['https://x.example/feed']}}}}\n")
    assert done.returncode == 78 and "give its records: `records: {signal: [...]}`" in done.stderr


def test_tests_are_picked_listed_and_kept(tmp_path):
    tests = "  first: {expect: {stages: {sink: {steps: 4}}}}\n  second: {expect: {published: 3}}\n"
    assert [line.split(": ")[-1] for line in run(tmp_path, tests, "--list").stdout.splitlines()] == ["first", "second"]
    assert run(tmp_path, tests, "--test", "first").returncode == 0
    assert "no test has 'third'" in run(tmp_path, tests, "--test", "third").stderr
    assert run(tmp_path, tests, "--set", "stages.signal.options.count=2", "--test", "first").returncode == 1
    (tmp_path / "kept").mkdir()
    assert run(tmp_path, tests, "--keep", "kept", "--test", "first").returncode == 0
    journal = tmp_path / "kept" / "telex-test" / "test.journal"
    assert subprocess.run([TELEX, "audit", journal], capture_output=True, check=False).returncode == 0
    assert (tmp_path / "kept" / "telex-test" / "sink" / "path").read_text().count("\n") == 4


def test_the_example_passes():
    """configs/seed.test.yaml with a model that answers by rule."""
    done = subprocess.run([TELEX, "test", ROOT / "configs" / "seed.test.yaml", "--set", "models.desk.plugin=model-script", "--set",
                           "models.desk.options="], capture_output=True, text=True, timeout=180 * SLOW, check=False,
                          env={**os.environ, "TELEX_MODEL_PATH": "/dev/null"})
    assert done.returncode == 0 and done.stdout.endswith("5 tests, 0 failed\n"), done.stdout + done.stderr
