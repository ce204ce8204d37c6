# SPDX-License-Identifier: Apache-2.0
"""Bad input to a model through the real program: a clear error or waiting, never a crash."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

TELEX = os.environ["TELEX_PROGRAM"]
SOURCE = pathlib.Path(os.environ["TELEX_SOURCE"])


@pytest.fixture(scope="module", params=["byte", "cpu"])
def model(request, tmp_path_factory):
    """A backend with weights and a context of 512 or more, as the commands take it."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "byte":
        subprocess.run([sys.executable, SOURCE / "sdk" / "model-byte" / "make-weights.py", folder / "w.bin"], check=True)
        return f"{os.environ['TELEX_MODEL_BYTE']}:path={folder / 'w.bin'}"
    sys.path.insert(0, str(SOURCE / "tests" / "fuzz"))
    import seeds
    (folder / "w.gguf").write_bytes(seeds.model(kind=8, context=512))
    return f"{os.environ['TELEX_MODEL_CPU']}:path={folder / 'w.gguf'}"


def generate(model, *args, stdin=b""):
    done = subprocess.run([TELEX, "model", "generate", model, "-n", "8", *args], input=stdin, capture_output=True, timeout=120, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(model):
    done = generate(model, stdin=b"word " * 3000)
    assert done.returncode == 1 and b"the prompt is 1" in done.stderr and b"context" in done.stderr


def test_an_empty_prompt_ends_one_way_or_the_other(model):
    done = generate(model, "--json")
    result = json.loads(done.stdout)
    assert result["status"] == "ok" or result["error"]


def test_bytes_that_are_no_utf8_are_data(model):
    done = generate(model, "--json", stdin=b"caf\xc3 \xff\xfe \xed\xa0\x80 \xf5\x80")
    assert done.returncode == 0 and json.loads(done.stdout)["prompt_tokens"] > 5
    ids = subprocess.run([TELEX, "model", "tokenize", model, "--json"], input=b"\xff\xc3", capture_output=True, timeout=60, check=True)
    assert len(json.loads(ids.stdout)["ids"]) == 2


def test_64_jobs_with_memory_for_8_wait_and_all_end(model):
    """kv_tokens holds eight of these prompts; the rest wait for room. Each text is that of the job alone."""
    jobs = [{"prompt": f"{i:03d} " + "x" * 100, "max_tokens": 8, "seed": i, "temperature": 1} for i in range(64)]
    done = generate(f"{model},kv_tokens=1536,parallel=64", "-J", "-", stdin="".join(json.dumps(j) + "\n" for j in jobs).encode())
    results = [json.loads(line) for line in done.stdout.decode().rstrip("\n").split("\n")]
    assert done.returncode == 0 and [r["status"] for r in results] == ["ok"] * 64
    alone = json.loads(generate(model, "--json", "-p", jobs[40]["prompt"], "-r", "40", "-t", "1").stdout)
    assert alone["text"] == results[40]["text"]
