# SPDX-License-Identifier: Apache-2.0
"""The example in Rust: built by one compiler call, kept to the contract, and at work in a pipeline."""
import json
import os
import pathlib
import random
import re
import shutil
import subprocess

import pytest

SOURCE = pathlib.Path(os.environ["TELEX_SOURCE"])
EXAMPLE = SOURCE / "sdk" / "examples" / "filter-loud"
TELEX = os.environ["TELEX"]

pytestmark = pytest.mark.skipif(not shutil.which("rustc"), reason="rustc is not installed")


def run(*args, cwd=None, stdin="", code=0):
    done = subprocess.run([*map(str, args)], capture_output=True, text=True, timeout=120, cwd=cwd, input=stdin,
                          env={**os.environ, "TELEX_PLUGIN_PATH": os.environ["TELEX_TEST_PLUGINS"]})
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """Built by the command that stands at the top of the source."""
    folder = tmp_path_factory.mktemp("rust")
    [command] = re.findall(r"^//!     (rustc .*)$", (EXAMPLE / "filter-loud.rs").read_text(), re.M)
    words = [str(EXAMPLE / word) if word.endswith(".rs") else word for word in command.split()]
    debian = pathlib.Path("/usr/bin/rustc")
    run(debian if debian.exists() else "rustc", *words[1:], cwd=folder)
    return folder / "filter-loud.so"


def test_it_exports_one_symbol_and_keeps_the_contract(plugin):
    assert run("nm", "-D", "--defined-only", plugin).split()[2::3] == ["telex_entry_v1"]
    assert json.loads(run(TELEX, "check", "--json", plugin))["findings"] == []
    assert json.loads(run(TELEX, "check", "--json", plugin, "-o", "most=0"))["findings"] == []


def test_it_says_what_it_is(plugin):
    about = json.loads(run(TELEX, "plugins", "--json", plugin))
    assert about["role"] == "filter" and about["options"][0]["name"] == "most" and about["options"][0]["max"] == 100


def stage(plugin, records, *options):
    given = "\n".join(json.dumps({"schema": "telex.record/1", "id": str(i), **r}) for i, r in enumerate(records))
    return [json.loads(line)["id"] for line in run(TELEX, "stage", plugin, *options, stdin=given + "\n").splitlines()]


def test_loud_titles_end_there_and_all_else_passes_untouched(plugin):
    titles = ["Bank cuts rates", "BANK CUTS RATES AGAIN", "NASA", "ÄRGER ÜBER DIE BÖRSE", "Ärger über die Börse", "",
              "SHOUTING half the time"]
    assert stage(plugin, [{"title": title} for title in titles]) == ["0", "2", "4", "5", "6"]
    assert stage(plugin, [{"title": titles[6]}], "-o", "most=30") == []
    assert stage(plugin, [{}, {"title": 7}, {"title": ["A"] * 9}, {"a": {"title": "LOUD LOUD LOUD"}, "title": "quiet one"}]) == \
        ["0", "1", "2", "3"]


def test_its_reader_finds_the_title_behind_every_kind_of_value(plugin):
    """Behind random values of every kind that JSON can bring: sizes of one, two and four bytes, signs, nesting."""
    rng = random.Random(1)

    def value(depth):
        kind = rng.randrange(9 if depth < 4 else 7)
        if kind >= 7:
            n = rng.choice([0, 1, 15, 16, 40])
            return [value(depth + 1) for _ in range(n)] if kind == 7 else {f"k{i}": value(depth + 2) for i in range(n)}
        return [None, True, rng.choice([0, -1, -33, 127, 128, 255, 256, 65536, 2**40, -2**40, -2**15 - 1]), rng.random(), "title",
                "x" * rng.choice([0, 31, 32, 255, 256, 70000]), "LOUD LOUD LOUD"][kind]

    records = [{**{f"v{k}": value(0) for k in range(rng.randrange(20))}, "title": title}
               for _ in range(60) for title in ("A quiet title", "A LOUD TITLE INDEED")]
    assert stage(plugin, records) == [str(i) for i in range(0, 120, 2)]


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_it_works_in_a_pipeline(plugin, tmp_path, isolation):
    config = tmp_path / "wire.yaml"
    config.write_text(f"""
pipeline: rust
journal: {{path: wire.journal}}
stages:
  source: {{plugin: source-count, options: {{count: 500}}}}
  loud: {{plugin: {plugin}, from: source, isolation: {isolation}}}
  none: {{plugin: {plugin}, from: source, isolation: {isolation}, options: {{most: 0}}}}
  sink: {{plugin: sink-file, from: loud, options: {{path: out.jsonl}}}}
  empty: {{plugin: sink-file, from: none, options: {{path: empty.jsonl}}}}
""")
    run(TELEX, "run", "--once", config, cwd=tmp_path)
    numbers = [json.loads(line)["number"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert numbers == list(range(500))
    assert run(TELEX, "audit", config, cwd=tmp_path)
