# SPDX-License-Identifier: Apache-2.0
"""Jobs over real kernels: whatever is switched on or off, batched or alone, with right drafts or wrong ones, the token ids
are the same. On SmolLM2 where it is there, and on a model with random weights."""
import json
import os
import pathlib
import random
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "model"))
import modelkit  # noqa: E402
import tinymodel  # noqa: E402

REPLAY, PLUGINS = os.environ["TELEX_REPLAY"], os.environ["TELEX_PLUGIN_DIR"]
SENTENCE = ("The port authority of Lund said it had agreed to lease two piers to \"Nordvik Lines\" for $12.5 million a year, "
            "but the city's council has not voted on the contract.")
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"], "additionalProperties": False}
ITEM = {"type": "object", "properties": {"kind": {"enum": ["news", "newsletter", "note"]}, "cites": {
    "type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 5}, "minItems": 1, "maxItems": 3},
    "text": {"type": "string", "maxLength": 60}, "sure": {"type": "boolean"}},
    "required": ["kind", "cites", "text", "sure"], "additionalProperties": False}
SAMPLERS = [None, {"top_k": 0, "temperature": 0.8, "top_p": 1, "min_p": 0, "repeat_penalty": 1},
            {"top_k": 40, "temperature": 0.9, "top_p": 0.95, "min_p": 0.01, "repeat_penalty": 1.1}]
OFF = {"parallel": 1, "prefix_cache": False, "drafts": False, "forced": False, "masked_head": False}


def jobs(n=12):
    rng = random.Random(7)
    words = SENTENCE.split()
    for i in range(n):
        drafts = [[SENTENCE], [" ".join(rng.sample(words, len(words)))], ["<|im_end|>\n<|im_start|>user", "\x01\u2028\""],
                  []][i % 4]
        yield {"messages": [{"role": 0, "text": "You rewrite one sentence. Answer in JSON."},
                            {"role": 1, "text": f"Task: rewrite\nSentence: {SENTENCE if i % 3 else SENTENCE[::-1]}"}],
               "schema": "" if i % 6 == 5 else json.dumps([TEXT, ITEM][i % 2]), "drafts": drafts, "sampler": SAMPLERS[i % 3],
               "seed": str(2**63 + i), "max_tokens": 40, "story": i // 4, "wave": 0}


def run(tmp, model, options, at_once, again=1):
    """The ids of each job by its seed, and the sums of the counters."""
    path, out = tmp / "jobs.jsonl", tmp / "out.jsonl"
    out.unlink(missing_ok=True)
    path.write_text("".join(json.dumps(job | {"story": job["story"] + 100 * round}) + "\n"
                            for round in range(again) for job in jobs()))
    pairs = [f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in options.items()]
    subprocess.run([REPLAY, PLUGINS, path, str(at_once), f"path={model}", f"record={out}", *pairs], check=True, timeout=240,
                   capture_output=True)
    ids, sums = {}, {}
    for line in map(json.loads, open(out)):  # a text may hold what splitlines takes for an end
        outcome = line["outcome"]
        assert ids.setdefault(line["seed"], outcome["ids"]) == outcome["ids"]
        for key, value in outcome.items():
            if isinstance(value, int):
                sums[key] = sums.get(key, 0) + value
    return ids, sums



@pytest.mark.parametrize("name", ["tiny", modelkit.SMOLLM])
def test_no_switch_changes_a_token(name, tmp_path):
    model = tmp_path / "tiny.gguf"
    if name == "tiny":
        tinymodel.write(model, "Q4_0")
    else:
        model = modelkit.model_path(name)
    plain, sums = run(tmp_path, model, OFF, 1)
    assert len(plain) == 12 and sums["drafted_tokens"] == sums["forced_tokens"] == sums["cached_tokens"] == 0
    ids, sums = run(tmp_path, model, {}, 3, again=2)
    assert ids == plain
    assert sums["forced_tokens"] > 0 and sums["cached_tokens"] > 0
    drafted = sums["drafted_tokens"]
    for options, at_once in (({"parallel": 8, "prefix_cache": False}, 2), ({"parallel": 3, "forced": False}, 3),
                             ({"masked_head": False, "threads": 1}, 2), (OFF | {"drafts": True, "parallel": 5}, 3)):
        ids, sums = run(tmp_path, model, options, at_once)
        assert ids == plain, options
        drafted += sums["drafted_tokens"]
    assert drafted > 0 or name == "tiny"  # nobody guesses what random weights say; that drafts do not pay is found out
