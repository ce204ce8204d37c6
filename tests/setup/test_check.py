# SPDX-License-Identifier: Apache-2.0
"""The conformance kit: each broken rule is found by its id, and good plugins have no finding."""
import json
import pathlib
import time

import pytest

from conftest import BAD_PLUGINS, PLUGINS

GOOD = pathlib.Path(PLUGINS)
BAD = pathlib.Path(BAD_PLUGINS)


def check(telex, path, *args):
    done = telex("check", "--json", path, *args, timeout=120)
    result = json.loads(done.stdout)
    rules = {finding["rule"]: finding for finding in result["findings"]}
    errors = [f for f in result["findings"] if f["level"] == "error"]
    assert done.returncode == (1 if errors else 0)
    return rules, result


@pytest.mark.parametrize("name, options", [("stage-noop", []), ("stage-later", []), ("sink-count", []),
                                           ("source-count", []), ("source-count", ["-o", "every=1ms"]),
                                           ("stage-options", []), ("sink-stories", []),
                                           ("sink-file", ["-o", "path=out.jsonl"])])
def test_a_good_plugin_has_no_finding(telex, name, options):
    rules, result = check(telex, GOOD / f"{name}.so", *options)
    assert rules == {}
    assert {"lint", "describe", "create-destroy", "start-stop"} <= set(result["scenarios"])
    assert ("source" in result["scenarios"]) == (name == "source-count")
    assert ("process" in result["scenarios"]) == (name != "source-count")


BROKEN = ["life.create", "life.start", "life.after-stop", "life.thread-left", "life.file-left", "lease.returned",
          "lease.unknown", "lease.closed", "loan.kept", "loan.dead", "loan.overrun", "output.identity", "output.schema",
          "output.port", "output.differs", "record.unknown", "record.release", "record.after-end", "record.kept",
          "status.unknown", "table.size", "kv.lease", "kv.undeclared", "timer.handler", "log.text", "log.level",
          "metrics.name", "http.root"]


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_found_by_its_id(telex, rule):
    rules, _ = check(telex, GOOD / "stage-breaks.so", "-o", f"rule={rule}")
    # A put without a lease is also a put without the flag; a thread that calls the host is also one left over.
    also = {"kv.lease": {"kv.undeclared"}, "life.after-stop": {"life.thread-left"}}.get(rule, set())
    assert rule in rules and set(rules) - {rule} <= also


def test_the_same_plugin_without_a_deed_is_good(telex):
    assert check(telex, GOOD / "stage-breaks.so")[0] == {}


@pytest.mark.parametrize("name, rule, text", [
    ("stage-complete-twice", "lease.twice", "a lease was completed a second time"),
    ("stage-bad-msgpack", "output.msgpack", "commit of 8 bytes that are not one msgpack map"),
    ("stage-too-many", "output.count", "a step gives more outputs than max_outputs 1"),
    ("stage-reject", "process.rejects-all", "every one of 16 ordinary records was rejected, the last one because: this stage rejects "
     "everything"),
    ("stage-crash-third", "life.crash", "process"),
    ("stage-crash-create", "life.crash", "create"),
])
def test_a_misbehaving_plugin_is_found(telex, name, rule, text):
    rules, _ = check(telex, GOOD / f"{name}.so")
    assert set(rules) == {rule}
    assert text in rules[rule]["text"]


def test_a_plugin_that_exits_is_found(telex):
    rules, _ = check(telex, GOOD / "stage-breaks.so", "-o", "rule=life.exit")
    assert rules["life.crash"]["text"] == "ended the process in process (exit status 0)"


def test_a_plugin_that_hangs_costs_one_life(telex):
    begin = time.monotonic()
    rules, result = check(telex, GOOD / "stage-hang.so", "--timeout", "1s")
    assert set(rules) == {"life.hang"} and result["scenarios"][-1] == "process"
    assert time.monotonic() - begin < 20


def test_a_lease_that_is_never_completed_is_found(telex):
    rules, _ = check(telex, GOOD / "stage-silent.so", "--timeout", "5s")
    assert set(rules) == {"lease.lost"}


@pytest.mark.parametrize("name, rule", [("bad-text", "lint.file"), ("bad-two-symbols", "lint.file"),
                                        ("bad-other-major", "lint.file"), ("bad-static-tls", "lint.file"),
                                        ("bad-constructor", "lint.constructor"), ("bad-crash-entry", "describe"),
                                        ("bad-manifest-lies", "describe"), ("bad-option-default", "describe")])
def test_a_bad_file_is_found_before_it_runs(telex, name, rule):
    rules, _ = check(telex, BAD / f"{name}.so")
    assert set(rules) == {rule}


def test_every_finding_has_a_rule_that_is_explained(telex):
    rules = {r["rule"]: r for r in json.loads(telex("check", "--rules", "--json").stdout)}
    assert set(BROKEN) | {"lint.file", "lint.constructor", "describe", "life.crash", "life.hang", "lease.twice",
                          "lease.lost", "output.msgpack", "output.count", "process.rejects-all"} == {
        rule for rule in rules if not rule.startswith(("model.", "generate."))}  # those: tests/backends
    assert all(r["doc"] and r["level"] in ("error", "warning") for r in rules.values())
    assert len(telex("check", "--rules").stdout.splitlines()) == len(rules)


def test_a_missing_option_is_a_usage_error(telex):
    done = telex("check", GOOD / "sink-file.so")
    assert done.returncode == 2
    assert done.stderr.startswith("option path: is missing; give -o path=VALUE: ")
    done = telex("check", GOOD / "stage-noop.so", "-o", "dealy=1s", "-o", "delay=soon", "-o", "delay")
    assert done.returncode == 2
    assert "option dealy: is not known; did you mean delay?" in done.stderr
    assert "option delay: has no value; write delay=VALUE" in done.stderr
    assert "option delay: 'soon' is not a duration" in done.stderr


def test_text_output_says_rule_life_and_verdict(telex):
    done = telex("check", GOOD / "stage-complete-twice.so")
    assert done.returncode == 1
    first, last = done.stdout.splitlines()
    assert first.endswith("error: lease.twice: a lease was completed a second time "
                          "(process, odd-records, refused-loans, stop-early, again)")
    assert last.endswith("1 error, 0 warnings; `telex check --rules` explains them")
    assert telex("check", GOOD / "stage-noop.so").stdout.endswith("stage-noop.so: fine: 9 checks passed\n")
