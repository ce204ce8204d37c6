# SPDX-License-Identifier: Apache-2.0
"""The conformance kit on model backends: good ones have no finding, each broken rule is found by its id and alone."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

TELEX = os.environ["TELEX_PROGRAM"]
PLUGINS = pathlib.Path(os.environ["TELEX_PLUGIN_PATH"])
SOURCE = pathlib.Path(os.environ["TELEX_SOURCE"])
# A sanitizer's allocator keeps what is freed, so the kit cannot see growth there; the sanitizer itself sees the leak.
GROWTH_IS_SEEN = os.environ["TELEX_SANITIZE"] == "none"
MODEL = ["open", "text", "rows", "batches", "sequences", "errors", "cancel", "again", "two-contexts"]


def check(path, *args, code=None):
    done = subprocess.run([TELEX, "check", "--json", *map(str, (path, *args))], capture_output=True, text=True, timeout=300,
                          check=False)
    result = json.loads(done.stdout)
    errors = [f for f in result["findings"] if f["level"] == "error"]
    assert done.returncode == (code if code is not None else 1 if errors else 0), done.stderr
    return {f["rule"]: f["text"] for f in result["findings"]}, result["scenarios"]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Small whole model files, with room for a prompt."""
    sys.path.insert(0, str(SOURCE / "tests" / "fuzz"))
    import seeds as writer
    folder = tmp_path_factory.mktemp("seeds")
    for name, arch, kind in (("llama-f32", "llama", 0), ("qwen2-f16", "qwen2", 1), ("llama-q4_0", "llama", 2), ("llama-q8_0", "llama", 8)):
        (folder / name).write_bytes(writer.model(arch, kind, "qwen2" if arch == "qwen2" else "smollm", context=512))
    return folder


@pytest.fixture(scope="module")
def byte_weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("byte") / "weights.bin"
    subprocess.run([sys.executable, SOURCE / "sdk" / "model-byte" / "make-weights.py", path], check=True)
    return path


def test_good_backends_have_no_finding(byte_weights):
    for path, args in ((PLUGINS / "model-toy.so", []), (PLUGINS / "model-breaks.so", ["-o", "path=/dev/null"]),
                       (os.environ["TELEX_MODEL_BYTE"], ["-o", f"path={byte_weights}"])):
        rules, scenarios = check(path, *args)
        assert rules == {} and scenarios == ["lint", "describe", *MODEL, "jobs"]


@pytest.mark.parametrize("seed", ["llama-f32", "qwen2-f16", "llama-q4_0", "llama-q8_0"])
def test_the_cpu_backend_keeps_the_contract(seeds, seed):
    rules, scenarios = check(os.environ["TELEX_MODEL_CPU"], "-o", f"path={seeds / seed}", "-o", "threads=2")
    assert rules == {} and scenarios[-1] == "jobs"


@pytest.mark.parametrize("width", [96, 160])
def test_an_odd_number_of_slices_is_as_good(tmp_path, seeds, width):
    """Heads of 24 and 40: a head ends within a slice of 32 values."""
    import seeds as writer
    (tmp_path / "odd").write_bytes(writer.model(kind=8, width=width, context=512))
    rules, _ = check(os.environ["TELEX_MODEL_CPU"], "-o", f"path={tmp_path / 'odd'}", "-o", "threads=2")
    assert rules == {}


def test_a_declared_loss_is_none():
    assert check(PLUGINS / "model-breaks.so", "-o", "path=/dev/null", "-o", "rule=lossy")[0] == {}


MODEL_RULES = ["model.open", "model.says-why", "model.info", "model.tokenize", "model.round-trip", "model.round-trip-bytes",
               "model.control", "model.detokenize", "model.context", "model.finite", "model.rows", "model.batch", "model.chunks",
               "model.copy", "model.trim", "model.bad-batch", "model.room", "model.embed", "model.cancel", "model.leak",
               "model.two-contexts", "life.file-left", "life.crash", "status.unknown"]


@pytest.mark.parametrize("rule", MODEL_RULES)
def test_a_broken_rule_is_found_by_its_id(rule):
    if rule.endswith(".leak") and not GROWTH_IS_SEEN:
        pytest.skip("built with a sanitizer")
    rules, _ = check(PLUGINS / "model-breaks.so", "-o", "path=/dev/null", "-o", f"rule={rule}")
    # what should be INVALID and is no status at all breaks both
    assert rule in rules and set(rules) - {rule} <= ({"model.bad-batch"} if rule == "status.unknown" else set())


def test_a_backend_that_hangs_costs_one_scenario():
    rules, scenarios = check(PLUGINS / "model-breaks.so", "-o", "path=/dev/null", "-o", "rule=life.hang", "--timeout", "1s")
    assert set(rules) == {"life.hang"} and "decode" in rules["life.hang"] and scenarios[-1] == "text"


GENERATE_RULES = ["generate.open", "generate.info", "generate.answers", "generate.done", "generate.result", "generate.limit",
                  "generate.cancel", "generate.schema", "generate.seed", "generate.drafts", "generate.bad-job",
                  "generate.leak"]


@pytest.mark.parametrize("rule", GENERATE_RULES)
def test_a_broken_rule_of_jobs_is_found_by_its_id(rule):
    if rule.endswith(".leak") and not GROWTH_IS_SEEN:
        pytest.skip("built with a sanitizer")
    rules, _ = check(PLUGINS / "generate-breaks.so", "-o", f"rule={rule}")
    assert set(rules) == {rule}


@pytest.mark.parametrize("deed, rule", [("generate.late", "generate.done"), ("generate.reason", "generate.result")])
def test_other_ways_to_break_it(deed, rule):
    rules, _ = check(PLUGINS / "generate-breaks.so", "-o", f"rule={deed}", "--timeout", "4s")
    assert rule in rules


def test_a_good_backend_of_jobs_has_no_finding():
    rules, scenarios = check(PLUGINS / "generate-breaks.so")
    assert rules == {} and scenarios == ["lint", "describe", "jobs", "again"]


def test_a_server_that_is_down_is_a_warning():
    rules, _ = check(os.environ["TELEX_MODEL_HTTP"], "-o", "base_url=http://127.0.0.1:1/v1", code=0)
    assert set(rules) == {"generate.answers"}


def test_logits_are_held_against_a_reference(byte_weights, tmp_path):
    toy = PLUGINS / "model-toy.so"
    rules, scenarios = check(toy, "--reference", "model-toy:batch=3")
    assert rules == {} and "reference" in scenarios
    rules, _ = check(toy, "--reference", "model-toy:seed=2")
    assert set(rules) == {"model.reference"} and "NMSE" in rules["model.reference"]
    rules, _ = check(toy, "--reference", f"{os.environ['TELEX_MODEL_BYTE']}:path={byte_weights}")
    assert "259 tokens" in rules["model.reference"]
    rules, _ = check(toy, "--reference", "model-script")
    assert "no weights" in rules["model.reference"]
    done = subprocess.run([TELEX, "check", PLUGINS / "generate-breaks.so", "--reference", toy], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 2 and "only answers jobs" in done.stderr


def test_every_rule_of_backends_is_listed():
    done = subprocess.run([TELEX, "check", "--rules", "--json"], capture_output=True, text=True, timeout=60, check=True)
    listed = {rule["rule"] for rule in json.loads(done.stdout)}
    assert {r for r in MODEL_RULES + GENERATE_RULES + ["model.reference"]} <= listed
    assert {r for r in listed if r.startswith(("model.", "generate."))} <= {*MODEL_RULES, *GENERATE_RULES, "model.reference"}
