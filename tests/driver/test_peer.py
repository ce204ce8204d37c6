# SPDX-License-Identifier: Apache-2.0
"""model-http with a real server on loopback (llama-cpp-python's, with the small model), beside our own weights.

The same command line, one option changed: what a researcher does to swap backends."""
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

TELEX = os.environ["TELEX_PROGRAM"]
MODEL = Path(os.environ.get("TELEX_MODELS", "~/.cache/telex/models")).expanduser() / "SmolLM2-135M-Instruct.Q4_1.gguf"
SYSTEM = "You are the desk of a news wire. Write plain English."
PROMPT = "Rewrite in one short sentence: Kuwait ruled out emergency OPEC talks on Tuesday, its oil minister said."
SCHEMA = {"type": "object", "properties": {"headline": {"type": "string", "minLength": 5, "maxLength": 60},
                                           "urgent": {"type": "boolean"},
                                           "cites": {"type": "array", "items": {"enum": [1, 2]}, "minItems": 1,
                                                     "maxItems": 2}},
          "required": ["headline", "urgent", "cites"], "additionalProperties": False}

pytestmark = [
    pytest.mark.skipif(not MODEL.is_file(), reason=f"no model at {MODEL}; scripts/model_fetch.py smollm2-135m"),
    pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="no llama-cpp-python in this Python"),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, log):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        env = os.environ | {"USE_MLOCK": "0"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llama_cpp.server", "--model", str(MODEL), "--host", "127.0.0.1", "--port",
             str(self.port), "--n_ctx", "2048", "--n_threads", "2", "--chat_format", "chatml"],
            stdout=log, stderr=subprocess.STDOUT, env=env)
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(self.url + "/models", timeout=5).read()
                return
            except (urllib.error.URLError, OSError):
                assert self.process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.2)

    def stop(self, how=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with open(tmp_path_factory.mktemp("server") / "log", "wb") as log:
        server = Server(log)
        yield server
        server.stop()


def remote(url, *options):
    out = ["-P", "model-http", "-o", f"base_url={url}", "-o", "schema_style=json_object"]
    for option in options:
        out += ["-o", option]
    return out


LOCAL = ["-P", "model-cpu", str(MODEL)]


def generate(backend, *args, stdin=None, timeout=240):
    return subprocess.run([TELEX, "model", "generate", *backend, "-j", *args], input=stdin, capture_output=True,
                          text=True, timeout=timeout, check=False)


def result(run):
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_both_backends_read_the_same_prompt_and_answer(server):
    answers = [result(generate(backend, "-s", SYSTEM, "-p", PROMPT, "-n", "24"))
               for backend in (LOCAL, remote(server.url), remote(server.url, "stream=false"))]
    ours, streamed, plain = answers
    assert streamed["text"] == plain["text"] and streamed["text"].strip()
    # the server counts the prompt when it answers in one piece: the chat template gives the same tokens
    assert ours["prompt_tokens"] == plain["prompt_tokens"]
    assert 0 < streamed["output_tokens"] <= 25
    # greedy: the same words, at least until two logits lie close together
    assert ours["text"].split()[:3] == plain["text"].split()[:3]


def test_a_schema_holds_for_both(server, tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    for backend in (LOCAL, remote(server.url)):
        answer = result(generate(backend, "-S", str(path), "-p", PROMPT, "-n", "120"))
        assert answer["finish"] == "stop"
        value = json.loads(answer["text"])
        assert list(value) == ["headline", "urgent", "cites"]
        assert 5 <= len(value["headline"]) <= 60 and isinstance(value["urgent"], bool)
        assert value["cites"] and set(value["cites"]) <= {1, 2}
        assert answer["text"] == json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def test_many_jobs_at_once_come_back_in_order(server):
    lines = "".join(json.dumps({"prompt": f"Say the number {i}.", "max_tokens": 8, "seed": i}) + "\n"
                    for i in range(6))
    # this server drops a text when the next request comes (interrupt_requests), so one at a time
    run = generate(remote(server.url, "max_parallel=1"), "-J", "-", stdin=lines)
    assert run.returncode == 0, run.stderr
    answers = [json.loads(line) for line in run.stdout.rstrip("\n").split("\n")]
    alone = result(generate(remote(server.url), "-p", "Say the number 3.", "-n", "8", "-r", "3"))
    assert len(answers) == 6 and all(a["status"] == "ok" for a in answers)
    assert answers[3]["text"] == alone["text"]


def test_local_jobs_together_equal_the_same_jobs_alone():
    shared = "Kuwait's oil minister said on Tuesday that OPEC would hold no emergency talks. " * 6
    jobs = [{"system": SYSTEM, "prompt": f"{shared}\nQuestion {i}: what happened?", "max_tokens": 16, "seed": i,
             "temperature": 0.8 if i % 2 else 0} for i in range(4)]
    together = generate(LOCAL, "-J", "-", stdin="".join(json.dumps(job) + "\n" for job in jobs))
    assert together.returncode == 0, together.stderr
    answers = [json.loads(line) for line in together.stdout.rstrip("\n").split("\n")]
    assert sum(a["cached_tokens"] for a in answers) >= 2 * answers[0]["prompt_tokens"]
    for job, answer in list(zip(jobs, answers))[1:3]:
        alone = generate(LOCAL, "-J", "-", stdin=json.dumps(job) + "\n")
        assert json.loads(alone.stdout)["text"] == answer["text"]


def test_source_text_gives_no_control_tokens_to_local_weights():
    plain = result(generate(LOCAL, "-p", "a b", "-n", "1"))
    spelled = result(generate(LOCAL, "-p", "a <|im_end|> b", "-n", "1"))
    assert spelled["prompt_tokens"] > plain["prompt_tokens"] + 3  # letters, not one control token


def test_a_server_killed_in_the_middle_is_a_passing_fault(tmp_path):
    with open(tmp_path / "log", "wb") as log:
        server = Server(log)
        try:
            run = subprocess.Popen([TELEX, "model", "generate", *remote(server.url), "-j", "-p",
                                    "Write a very long story about oil.", "-n", "1500"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
            time.sleep(2)
            server.stop()
            out, err = run.communicate(timeout=60)
        finally:
            server.stop()
    assert run.returncode == 1
    answer = json.loads(out)
    assert answer["status"] == "retry" and f"127.0.0.1:{server.port}" in answer["error"]
    assert "retry" in err
    down = generate(remote(server.url), "-p", "hello")
    assert down.returncode == 1 and json.loads(down.stdout)["status"] == "retry"
