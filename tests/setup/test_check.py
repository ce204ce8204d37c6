# SPDX-License-Identifier: Apache-2.0
"""The conformance kit: each broken rule is found by its id, and good plugins have no finding."""
import json
import os
import pathlib
import re
import time

import pytest

from conftest import BAD_PLUGINS, PLUGINS

GOOD = pathlib.Path(PLUGINS)
BAD = pathlib.Path(BAD_PLUGINS)
GROWTH_IS_SEEN = os.environ["TELEX_SANITIZE"] == "none"


def check(telex, path, *args):
    done = telex("check", "--json", path, *args, timeout=120)
    result = json.loads(done.stdout)
    rules = {finding["rule"]: finding for finding in reversed(result["findings"])}  # the first of each
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
    assert {"lint", "describe", "create-destroy", "options", "start-stop", "orders", "threads", "drain", "restart", "leak",
            "isolated"} <= set(result["scenarios"])
    assert ({"source", "credits"} <= set(result["scenarios"])) == (name == "source-count")
    assert ({"process", "cancel", "two", "fuzz"} <= set(result["scenarios"])) == (name != "source-count")


@pytest.mark.parametrize("name", ["stage-breaks", "stage-breaks-more", "source-breaks"])
def test_the_same_plugin_without_a_deed_is_good(telex, name):
    assert check(telex, GOOD / f"{name}.so", "-o", "rule=none")[0] == {}


# A deed that breaks exactly the rule of its name.
DEEDS = {"stage-breaks": ["life.create", "life.start", "life.after-stop", "life.thread-left", "life.file-left", "lease.returned",
                          "lease.unknown", "lease.closed", "loan.kept", "loan.dead", "loan.overrun", "output.identity",
                          "output.schema", "output.port", "output.differs", "record.unknown", "record.release",
                          "record.after-end", "record.kept", "status.unknown", "table.size", "kv.lease", "kv.undeclared",
                          "timer.handler", "log.text", "log.level", "metrics.name", "http.root"],
         "stage-breaks-more": ["option.says-why", "life.leak", "life.shared", "life.surroundings", "thread.control",
                               "thread.moves", "drain.late", "cancel.ignored", "state.restart", "isolated.dies",
                               "isolated.differs", "record.changed"],
         "source-breaks": ["credit.spin", "credit.stalls", "drain.opens"]}
# A plugin that does nothing else, and what is said of it.
PLUGINS_OF = {"lease.twice": ("stage-complete-twice", "a lease was completed a second time"),
              "output.msgpack": ("stage-bad-msgpack", "commit of 8 bytes that are not one msgpack map"),
              "output.count": ("stage-too-many", "a step gives more outputs than max_outputs 1"),
              "process.rejects-all": ("stage-reject", "every one of 16 ordinary records was rejected, the last one because: "
                                                      "this stage rejects everything")}
FILES = {"bad-text": "lint.file", "bad-no-manifest": "lint.manifest", "bad-other-major": "lint.abi",
         "bad-newer-minor": "lint.abi", "bad-two-symbols": "lint.export", "bad-static-tls": "lint.tls",
         "bad-constructor": "lint.constructor", "bad-symbol": "lint.symbol", "bad-crash-entry": "describe",
         "bad-manifest-lies": "describe.manifest", "bad-option-default": "describe.option"}
# Deeds that wait run in the scenario that sees them.
SLOW = {"drain.late": ["--life", "drain"], "cancel.ignored": ["--life", "cancel"], "credit.stalls": ["--life", "credits"]}
# A put without a lease is also a put without the flag; a thread that calls the host is also one left over.
ALSO = {"kv.lease": {"kv.undeclared"}, "life.after-stop": {"life.thread-left"}}


@pytest.mark.parametrize("name, rule", [(name, rule) for name, rules in DEEDS.items() for rule in rules])
def test_a_broken_rule_is_found_by_its_id(telex, name, rule):
    if rule.endswith(".leak") and not GROWTH_IS_SEEN:
        pytest.skip("built with a sanitizer, whose allocator keeps what is freed")
    rules, _ = check(telex, GOOD / f"{name}.so", "-o", f"rule={rule}", *SLOW.get(rule, []))
    assert rule in rules and set(rules) - {rule} <= ALSO.get(rule, set())


@pytest.mark.parametrize("rule", PLUGINS_OF)
def test_a_misbehaving_plugin_is_found(telex, rule):
    name, text = PLUGINS_OF[rule]
    rules, _ = check(telex, GOOD / f"{name}.so")
    assert set(rules) == {rule} and text in rules[rule]["text"]


@pytest.mark.parametrize("name, call", [("stage-crash-third", "process"), ("stage-crash-create", "create")])
def test_a_crash_is_found_with_its_call(telex, name, call):
    rules, _ = check(telex, GOOD / f"{name}.so")
    ended = "crashed" if GROWTH_IS_SEEN else "ended the process"  # a sanitizer turns the signal into an exit
    assert set(rules) == {"life.crash"} and f"{ended} in {call}" in rules["life.crash"]["text"]


def test_a_plugin_that_would_kill_the_check_does_not(telex):
    rules, _ = check(telex, GOOD / "stage-breaks-more.so", "-o", "rule=life.kill")
    assert set(rules) == {"life.crash"} and "SIGSYS" in rules["life.crash"]["text"]


def test_what_a_plugin_prints_is_no_part_of_the_result(telex):
    done = telex("check", "--json", GOOD / "stage-breaks-more.so", "-o", "rule=life.output", "--life", "process")
    assert json.loads(done.stdout)["findings"] == [] and "not" in done.stderr


def test_a_crash_on_a_made_up_record_is_made_small_and_can_be_run_again(telex):
    plugin = GOOD / "stage-breaks-more.so"
    rules, result = check(telex, plugin, "-o", "rule=fuzz.crash", "--seed", "1")
    found = rules["life.crash"]
    assert set(rules) == {"life.crash"} and found["scenarios"] == ["fuzz"] and result["scenarios"][-1] == "fuzz"
    records = [json.loads(record) for record in found["records"]]
    assert len(records) == 1 and set(records[0]) == {"schema", "id", "title"} and records[0]["title"] == [None, None]
    assert found["option"] is None and found["seed"] == 1
    assert f"again: --seed 1 --case {found['case']}" in found["text"]
    again, result = check(telex, plugin, "-o", "rule=fuzz.crash", "--seed", "1", "--case", str(found["case"]))
    assert again["life.crash"]["records"] == found["records"] and result["scenarios"] == ["lint", "describe", "fuzz"]
    assert check(telex, plugin, "-o", "rule=none", "--seed", "1", "--case", str(found["case"]))[0] == {}
    assert check(telex, plugin, "-o", "rule=fuzz.crash", "--cases", "0")[0] == {}


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


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_found_before_it_runs(telex, name):
    rules, _ = check(telex, BAD / f"{name}.so", "--cases", "0")
    assert set(rules) == {FILES[name]}


def listed(telex):
    return {r["rule"]: r for r in json.loads(telex("check", "--rules", "--json").stdout)}


def test_every_rule_of_stages_is_broken_by_a_plugin(telex):
    """A new rule needs a plugin that breaks it; rules of models have theirs in tests/backends."""
    broken = {rule for rules in DEEDS.values() for rule in rules} | set(PLUGINS_OF) | set(FILES.values())
    assert broken | {"life.crash", "life.hang", "lease.lost"} == {
        rule for rule in listed(telex) if not rule.startswith(("model.", "generate."))}


def test_every_rule_is_explained_once_in_the_guide(telex):
    guide = (pathlib.Path(os.environ["TELEX_SOURCE"]) / "docs" / "check-rules.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z.-]+)` \| (.+) \|$", guide, re.M))
    rules = listed(telex)
    assert set(rows) == set(rules) and guide.count("\n| `") == len(rules)
    assert all(len(text) > 20 for text in rows.values())
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
                          "(process, odd-records, refused-loans, stop-early, again, orders, threads, cancel, drain, two, "
                          "restart, leak)")
    assert last.endswith("1 error, 0 warnings; `telex check --rules` explains them")
    assert telex("check", GOOD / "stage-noop.so").stdout.endswith("stage-noop.so: fine: 19 checks passed\n")
