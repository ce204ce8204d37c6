# SPDX-License-Identifier: Apache-2.0
"""`telex model` over the toy model: what each command prints, and what it says when it cannot."""
import json
import os
import subprocess

TELEX = os.environ["TELEX_PROGRAM"]
TOY = ["-P", "model-toy"]


def telex(*args, stdin=None, env=None):
    return subprocess.run([TELEX, "model", *args], input=stdin, capture_output=True, text=True, timeout=60,
                          env=os.environ | (env or {}), check=False)


def test_help_and_usage():
    assert telex("--help").returncode == 0 and "generate" in telex("--help").stdout
    assert telex().returncode == 2
    assert telex("fly").returncode == 2 and "fly" in telex("fly").stderr
    for command in ("list", "pull", "show", "tokenize", "generate"):
        run = telex(command, "--help")
        assert run.returncode == 0 and f"telex model {command}" in run.stdout, command
    assert telex("generate").returncode == 2
    assert telex("generate", *TOY, "-t", "warm").returncode == 2


def test_list_knows_what_is_there(tmp_path):
    names = [m["name"] for m in json.loads(telex("list", "--json", env={"TELEX_MODELS": str(tmp_path)}).stdout)]
    assert names == ["smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b", "gemma-3-270m", "all-minilm-l6-v2"]
    (tmp_path / "list.yaml").write_text("models:\n  tiny:\n    about: small\n    file: tiny.gguf\n    bytes: 3\n")
    env = {"TELEX_MODELS": str(tmp_path), "TELEX_CATALOGUE": str(tmp_path / "list.yaml")}
    assert telex("list", env=env).stdout.startswith("  tiny")
    (tmp_path / "tiny.gguf").write_bytes(b"abc")
    assert telex("list", env=env).stdout.startswith("* tiny")
    (tmp_path / "list.yaml").write_text("models: [1\n")
    broken = telex("list", env=env)
    assert broken.returncode == 1 and "list.yaml" in broken.stderr


def test_show_and_tokenize():
    about = json.loads(telex("show", *TOY, "--json").stdout)
    assert about["arch"] == "toy" and about["batch_invariant"] is True
    assert "batch_invariant" in telex("show", *TOY).stdout
    lines = telex("tokenize", *TOY, "-t", "the oil\n").stdout.splitlines()
    assert [line.split("\t")[1] for line in lines] == ['"the"', '" oil"', '"\\n"']
    as_text = json.loads(telex("tokenize", *TOY, "--json", stdin="<|im_end|>").stdout)
    as_control = json.loads(telex("tokenize", *TOY, "--json", "--control", stdin="<|im_end|>").stdout)
    assert "".join(as_text["pieces"]) == "<|im_end|>" and as_control["ids"] == [2]
    assert telex("tokenize", *TOY, "-t", "").stdout == ""


def test_generate_writes_what_the_schema_asks(tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text('{"type":"array","items":{"type":"boolean"},"minItems":2,"maxItems":2}')
    run = telex("generate", *TOY, "-p", "hello", "-S", str(schema))
    assert run.returncode == 0 and len(json.loads(run.stdout)) == 2
    again = telex("generate", *TOY, "-S", str(schema), stdin="hello")
    assert again.stdout == run.stdout
    measured = json.loads(telex("generate", *TOY, "-p", "hello", "-j").stdout)
    assert measured["status"] == "ok" and measured["output_tokens"] > 0 and measured["prompt_tokens"] > 0


def test_jobs_come_back_in_order_with_their_own_settings():
    jobs = [{"prompt": f"job {i}", "max_tokens": 5 + i, "seed": i, "temperature": 1.0} for i in range(100)]
    run = telex("generate", *TOY, "-J", "-", stdin="".join(json.dumps(j) + "\n" for j in jobs))
    results = [json.loads(line) for line in run.stdout.rstrip("\n").split("\n")]  # U+0085 is no end of a line
    assert run.returncode == 0 and len(results) == 100
    alone = telex("generate", *TOY, "-p", "job 41", "-n", "46", "-r", "41", "-t", "1", "-j")
    assert json.loads(alone.stdout)["text"] == results[41]["text"]
    mixed = telex("generate", *TOY, "-J", "-", stdin='{"prompt":"a","schema":{"type":"string","format":"date"}}\n')
    assert mixed.returncode == 1 and "format" in json.loads(mixed.stdout)["error"]
    bad = telex("generate", *TOY, "-J", "-", stdin='{"prompt":"a"}\n{"promt":"b"}\n')
    assert bad.returncode == 1 and "line 2" in bad.stderr and len(bad.stdout.splitlines()) == 1


def test_what_cannot_be_opened_says_why(tmp_path):
    assert "telex model list" in telex("show", "no-such-model").stderr
    env = {"TELEX_MODELS": str(tmp_path)}
    assert "telex model pull smollm2-135m" in telex("show", "smollm2-135m", env=env).stderr
    assert "model-nothing" in telex("show", "-P", "model-nothing").stderr
    wrong = telex("show", *TOY, "-o", "contxt=5")
    assert wrong.returncode == 78 and "contxt" in wrong.stderr
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\xff" * 100)
    run = telex("show", "-P", "model-cpu", str(broken))
    assert run.returncode == 1 and "broken.gguf" in run.stderr
    stage = telex("show", "-P", "stage-noop")
    assert stage.returncode != 0 and stage.stderr
