# SPDX-License-Identifier: Apache-2.0
"""`telex model` over any backend: one syntax for all commands, bench, compare, and refusals by capability."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

TELEX = os.environ["TELEX_PROGRAM"]
PLUGINS = pathlib.Path(os.environ["TELEX_PLUGIN_PATH"])
SMALL = ["-p", "16,40", "-b", "1,2", "-d", "0,64", "-n", "8", "-r", "2"]


def telex(*args, stdin=None, env=None, cwd=None):
    return subprocess.run([TELEX, "model", *map(str, args)], input=stdin, capture_output=True, text=True, timeout=120,
                          env=os.environ | (env or {}), cwd=cwd, check=False)


def read_json(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def stranger(tmp_path):
    """A backend that no folder of telex knows, in a folder of its own."""
    shutil.copy(PLUGINS / "model-toy.so", tmp_path / "model-toy.so")
    return tmp_path / "model-toy.so"


def test_every_command_takes_a_backend_by_the_path_of_its_file(stranger):
    bare = {"TELEX_PLUGIN_PATH": ""}
    assert read_json(telex("show", stranger, "--json", env=bare))["arch"] == "toy"
    assert read_json(telex("tokenize", "model-toy.so", "--json", "-t", "the oil", env=bare, cwd=stranger.parent))["pieces"] == [
        "the", " oil"]
    assert telex("generate", stranger, "-p", "hello", env=bare).returncode == 0
    assert read_json(telex("bench", stranger, *SMALL, "--json", env=bare))["backends"][0]["class"] == "telex.model/1"
    assert read_json(telex("compare", stranger, f"{stranger}:delay_us=1", "--json", env=bare))["nmse"] == 0


def test_options_stand_behind_the_name_or_in_option(stranger):
    plain, other = telex("generate", "model-toy", "-p", "a"), telex("generate", "model-toy:seed=7,context=512", "-p", "a")
    assert plain.returncode == other.returncode == 0 and plain.stdout != other.stdout
    assert telex("generate", "-P", "model-toy", "-o", "seed=7", "-p", "a").stdout == other.stdout
    assert telex("generate", "model-toy", "-o", "seed=7", "-p", "a").stdout == other.stdout
    comma = telex("show", r"model-toy:path=a\,b.gguf,seed=7", "--json")
    assert comma.returncode == 0, comma.stderr


@pytest.mark.parametrize("spec, code, text", [
    ("nothing-like-it", 1, "telex plugins"), ("./none.gguf", 1, "cannot read ./none.gguf"),
    ("./none.so", 1, "none.so"), ("model-toy:sed=1", 78, "sed"), ("model-toy:context=lots", 78, "context"),
    ("stage-noop", 1, "this plugin is a stage, not a model"), ("model-cpu", 78, "path")])
def test_what_cannot_be_opened_is_said_by_every_command(spec, code, text):
    for command in (["show"], ["tokenize", "-t", "a"], ["generate", "-p", "a"], ["bench"]):
        done = telex(*command, spec)
        assert done.returncode == code and text in done.stderr and not done.stdout, command
    done = telex("compare", "model-toy", spec)
    assert done.returncode == code and text in done.stderr


def test_bench_measures_each_case_in_every_round():
    found = read_json(telex("bench", "model-toy", "model-toy:delay_us=2000", *SMALL, "--json"))
    assert found["rounds"] == 2
    fast, slow = found["backends"]
    assert (fast["spec"], slow["spec"]) == ("model-toy", "model-toy:delay_us=2000")
    assert fast["load_ms"] > 0 and fast["resident_bytes"] != 0
    assert [(c["kind"], c.get("batch"), c.get("depth"), c["tokens"]) for c in fast["cases"]] == [
        ("prompt", None, None, 16), ("prompt", None, None, 40), ("decode", 1, 0, 8), ("decode", 1, 64, 8),
        ("decode", 2, 0, 8), ("decode", 2, 64, 8)]
    for case in slow["cases"]:
        assert len(case["ms"]) == 2 and 0 < case["tokens_per_s"] <= 500  # 2 ms a token
    assert slow["cases"][1]["first_token_ms"] >= 80
    table = telex("bench", "model-toy", *SMALL).stdout
    assert "write 8, batch 2, depth 64" in table and "first token after ms" in table


def test_bench_times_a_backend_that_only_answers_jobs():
    found = read_json(telex("bench", "model-script", *SMALL, "--json"))["backends"][0]
    assert found["class"] == "telex.generate/1" and all(c["tokens_per_s"] > 0 for c in found["cases"])


def test_bench_says_what_does_not_fit():
    found = read_json(telex("bench", "model-toy:context=64", "-p", "16,500", "-b", "1", "-d", "0,60", "-n", "8", "--json"))
    assert [c.get("left_out") for c in found["backends"][0]["cases"]] == [
        None, "the model's context is 64 tokens", None, "the model's context is 64 tokens"]
    nothing = telex("bench", "model-toy:context=64", "-p", "500", "-b", "1", "-d", "60")
    assert nothing.returncode == 1 and "context is 64 tokens" in nothing.stderr


@pytest.mark.parametrize("args", [[], ["model-toy", "-p", "0"], ["model-toy", "-p", "1,,2"], ["model-toy", "-r", "x"],
                                  ["model-toy", "-b", "-1"], ["model-toy"] * 9])
def test_bench_usage(args):
    done = telex("bench", *args)
    assert done.returncode == 2 and "bench --help" in done.stderr


def test_compare_finds_a_model_equal_to_itself():
    found = read_json(telex("compare", "model-toy", "model-toy:batch=7", "--json"))
    assert found["nmse_max"] == found["kl_max"] == 0 and found["top1_agreement"] == 1 and found["positions"] > 300
    assert found["greedy_same"] == 4 and found["first_divergence"] is None
    for side in ("a", "b"):
        assert found[side]["prompt_tokens_per_s"] > 0 and found[side]["decode_tokens_per_s"] > 0
    assert "4 of 4 the same" in telex("compare", "model-toy", "model-toy:batch=7").stdout


def test_compare_says_how_far_and_from_where_two_models_differ(tmp_path):
    found = read_json(telex("compare", "model-toy", "model-toy:seed=2", "-N", "100", "-w", "30", "--json"))
    assert found["positions"] == 100 and found["nmse"] > 0.1 and found["kl"] > 0.1 and found["top1_agreement"] < 0.5
    parted = found["first_divergence"]
    assert parted["token"] >= 0 and parted["a"] != parted["b"] and parted["margin_a"] >= 0
    assert "first divergence at token" in telex("compare", "model-toy", "model-toy:seed=2", "-N", "100").stdout
    text = tmp_path / "text.txt"
    text.write_text("the oil price said Kuwait")
    own = read_json(telex("compare", "model-toy", "model-toy:seed=2", "-f", text, "--json"))
    assert own["positions"] < 15
    assert read_json(telex("compare", "model-toy", "model-toy", "-f", "-", "--json", stdin="a b c d"))["nmse"] == 0


def test_compare_and_tokenize_refuse_a_backend_without_weights_by_what_it_lacks():
    for args in (["compare", "model-script", "model-toy"], ["compare", "model-toy", "model-script"],
                 ["tokenize", "model-script", "-t", "a"]):
        done = telex(*args)
        assert done.returncode == 1 and "only answers jobs" in done.stderr and not done.stdout, args
    assert telex("generate", "model-script", "-p", "a").returncode == 0


def test_compare_usage_and_texts_that_cannot_be_compared(tmp_path):
    assert telex("compare").returncode == 2 and telex("compare", "model-toy").returncode == 2
    assert telex("compare", "a", "b", "c").returncode == 2
    assert telex("compare", "model-toy", "model-toy", "-w", "1").returncode == 2
    short = telex("compare", "model-toy", "model-toy:context=64")
    assert short.returncode == 1 and "smaller --window" in short.stderr
    assert "empty" in telex("compare", "model-toy", "model-toy", "-f", "-", stdin="").stderr
    assert telex("compare", "model-toy", "model-toy", "-f", tmp_path / "none").returncode == 1
