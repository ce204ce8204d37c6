# SPDX-License-Identifier: Apache-2.0
"""`telex model` on generated models: chat templates as files declare them, and perplexity against NumPy."""
import json
import os
import subprocess

import modelkit
import pytest
import tinymodel

np = pytest.importorskip("numpy")
pytest.importorskip("gguf")

TEXT = "The price of oil rose on Monday, and the ministers of the cartel met again in Geneva. " * 12
TEMPLATES = {
    "chatml": (["<|im_start|>", "<|im_end|>"], "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"),
    "llama3": (["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
               "{{ m.content }}<|eot_id|>"),
    "gemma": (["<start_of_turn>", "<end_of_turn>"], "<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n"),
}


def telex(*args, stdin="", ok=True):
    done = subprocess.run([os.environ["TELEX_PROGRAM"], "model", *map(str, args), "-P", os.environ["TELEX_MODEL_SO"]], input=stdin,
                          capture_output=True, text=True, timeout=300)
    assert (done.returncode == 0) == ok, done.stderr
    return done.stdout if ok else done.stderr


def with_template(path, control, template):
    def vocabulary(writer):
        n = tinymodel.add_vocabulary(writer, control=control)
        if template:
            writer.add_chat_template(template)
        return n
    return tinymodel.write(path, "Q8_0", vocabulary=vocabulary, embedding_length=64, feed_forward_length=64, head_count=2, head_count_kv=1)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_chat_template_is_told_by_its_text_and_its_tokens(tmp_path, name):
    control, template = TEMPLATES[name]
    path = with_template(tmp_path / "chat.gguf", ["<|endoftext|>", *control], template)
    assert json.loads(telex("show", path, "--json"))["chat"] == name
    assert json.loads(telex("generate", path, "-p", "hello", "-n", "2", "--json"))["status"] == "ok"


def test_a_model_without_a_template_or_without_its_tokens_is_a_base_model(tmp_path):
    control, template = TEMPLATES["gemma"]
    for i, (tokens, text) in enumerate(((["<|endoftext|>"], template), (["<|endoftext|>", *control], None))):
        path = with_template(tmp_path / f"{i}.gguf", tokens, text)
        assert json.loads(telex("show", path, "--json"))["chat"] == ""
        result = json.loads(telex("generate", path, "-p", "the", "-n", "2", "--json"))
        assert result["status"] == "ok" and result["prompt_tokens"] < 6  # the text, and no turns


@pytest.mark.parametrize("arch", ["llama", "gemma3"])
@pytest.mark.parametrize("chunk", [64, 33])
def test_perplexity_is_that_of_the_reference(tmp_path, arch, chunk):
    from reference import Reference
    path = tinymodel.write(tmp_path / "tiny.gguf", "Q8_0", arch, extra={"attention.sliding_window": 20})
    (tmp_path / "text.txt").write_text(TEXT)
    said = json.loads(telex("perplexity", path, "-f", tmp_path / "text.txt", "--chunk", chunk, "--json", "-o", "precision=exact"))
    ((ids, _),) = modelkit.tokenize(path, [TEXT.encode()])
    chunks = [ids[i:i + chunk] for i in range(0, len(ids) - chunk + 1, chunk)]
    scored = []
    for rows, part in zip(Reference(path).logits(chunks), chunks):
        rows = rows - rows.max(-1, keepdims=True)
        rows = rows - np.log(np.exp(rows).sum(-1, keepdims=True))
        scored += [-rows[i, part[i + 1]] for i in range(chunk // 2, chunk - 1)]
    assert said["chunks"] == len(chunks) and said["scored"] == len(scored)
    assert said["perplexity"] == pytest.approx(np.exp(np.mean(scored)), rel=1e-6)
    assert said["error"] == pytest.approx(np.exp(np.mean(scored)) * np.std(scored, ddof=1) / len(scored) ** 0.5, rel=1e-4)


def test_perplexity_reads_standard_input_and_prints_a_line(tmp_path):
    path = tinymodel.write(tmp_path / "tiny.gguf", "Q8_0")
    assert telex("perplexity", path, "--chunk", 64, "--chunks", 2, stdin=TEXT).startswith("perplexity ")


def test_perplexity_says_what_is_wrong(tmp_path):
    path = tinymodel.write(tmp_path / "tiny.gguf", "Q8_0")
    assert "less than a chunk of 512" in telex("perplexity", path, stdin="too short", ok=False)
    assert "trained for 512" in telex("perplexity", path, "--chunk", 1024, stdin=TEXT * 5, ok=False)
    assert "cannot read" in telex("perplexity", path, "-f", tmp_path / "none.txt", ok=False)
    assert "no whole number from 8" in telex("perplexity", path, "--chunk", 4, stdin=TEXT, ok=False)
