# SPDX-License-Identifier: Apache-2.0
"""Plugins of other minors: binaries of released ones keep loading and working, newer ones are met with what this host
has, and a host of the next minor still runs the old binaries. zoo/README.md says how the files were made."""
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import grow

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TELEX = os.environ["TELEX_PROGRAM"]
PLUGINS = os.environ["TELEX_PLUGIN_PATH"]
SLOW = float(os.environ.get("TELEX_TEST_SLOWNESS", "1"))
MINOR = int(re.search(r"TELEX_ABI_MINOR (\d+)u", (ROOT / "include/telex/abi.h").read_text()).group(1))
STORED = sorted((HERE / "zoo" / platform.machine()).glob("1.*"))
NAMES = ["zoo-filter", "zoo-generate", "zoo-model", "zoo-source"]

CONFIG = """
pipeline: zoo
journal: {{path: zoo.journal}}
models: {{words: {{plugin: zoo-generate}}}}
stages:
  source: {{plugin: zoo-source, isolation: {isolation}}}
  filter: {{plugin: zoo-filter, from: source, isolation: {isolation}}}
  ask: {{plugin: stage-ask, from: filter, model: words, isolation: {isolation}}}
  sink: {{plugin: sink-file, from: filter, options: {{path: "{out}"}}}}
  answers: {{plugin: sink-file, from: ask, options: {{path: "{out}.asked"}}}}
"""


def test_there_is_a_zoo_for_every_released_minor():
    if platform.machine() != "x86_64":
        pytest.skip(f"the zoo's files are for x86_64, this is {platform.machine()}")
    released = sorted(path.name for path in (HERE / "frozen").iterdir())
    assert [path.name for path in STORED] == released
    for folder in STORED:
        assert sorted(path.stem for path in folder.glob("*.so")) == NAMES


def run(*args, telex=TELEX, path, folder, timeout=60, stdin=""):
    env = {**os.environ, "TELEX_PLUGIN_PATH": f"{path}:{PLUGINS}"}
    return subprocess.run([telex, *map(str, args)], capture_output=True, text=True, timeout=timeout * SLOW, env=env,
                          cwd=folder, input=stdin)


def works(path, folder, isolation, telex=TELEX):
    """The four plugins do what they did when they were built."""
    config, out = folder / "zoo.yaml", folder / "out.jsonl"
    config.write_text(CONFIG.format(isolation=isolation, out=out))
    done = run("run", "--once", config, telex=telex, path=path, folder=folder)
    assert done.returncode == 0, done.stderr
    got = [json.loads(line) for line in out.read_text().splitlines()]
    assert [record["id"] for record in got] == [f"zoo-{i:02d}" for i in range(20)]
    assert all(record["stripes"] == [1, None, True] for record in got)
    asked = (folder / "out.jsonl.asked").read_text().splitlines()
    assert len(asked) == 20 and all("the words of old" in line for line in asked)
    assert run("audit", folder / "zoo.journal", telex=telex, path=path, folder=folder).returncode == 0
    done = run("model", "generate", "-P", "zoo-model", "-p", "ab", telex=telex, path=path, folder=folder)
    assert done.stdout.strip() == "cdefgh", done.stderr
    done = run("model", "tokenize", "-P", "zoo-model", "--json", telex=telex, path=path, folder=folder, stdin="hi")
    assert "104" in done.stdout and "105" in done.stdout, done.stderr


@pytest.mark.parametrize("stored", STORED, ids=lambda path: path.name)
@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_plugins_of_a_released_minor_work(stored, isolation, tmp_path):
    works(stored, tmp_path, isolation)


@pytest.mark.parametrize("stored", STORED, ids=lambda path: path.name)
@pytest.mark.parametrize("name", NAMES)
def test_plugins_of_a_released_minor_keep_the_contract(stored, name, tmp_path):
    done = run("check", "--json", stored / f"{name}.so", path=stored, folder=tmp_path, timeout=120)
    rules = {finding["rule"] for finding in json.loads(done.stdout)["findings"] if finding["level"] == "error"}
    # The stand-in for a model knows no masks and refuses nothing; it is older than the rules that say so.
    assert name == "zoo-model" or not rules, done.stdout
    assert all(rule.startswith("model.") for rule in rules), done.stdout


@pytest.fixture(scope="module")
def next_minor(tmp_path_factory):
    """The contract as the next minor might have it."""
    include = tmp_path_factory.mktemp("next") / "include"
    shutil.copytree(ROOT / "include" / "telex", include / "telex")
    assert grow.grow(include) >= 15
    return include


def build_zoo(include, out, needs_minor):
    out.mkdir()
    for name in NAMES:
        subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared",
                        "-fvisibility=hidden", f"-Wl,--version-script={ROOT}/sdk/plugin.map", f"-I{include}",
                        f"-DZOO_NEEDS_MINOR={needs_minor}", HERE / "zoo" / f"{name}.c", "-o", out / f"{name}.so"], check=True)
    return out


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_a_plugin_of_the_next_minor_works_where_it_needs_only_this_one(next_minor, isolation, tmp_path):
    works(build_zoo(next_minor, tmp_path / "zoo", MINOR), tmp_path, isolation)


def test_a_plugin_that_needs_the_next_minor_is_refused_by_name(next_minor, tmp_path):
    zoo = build_zoo(next_minor, tmp_path / "zoo", MINOR + 1)
    for name in NAMES:
        done = run("plugins", zoo / f"{name}.so", path=zoo, folder=tmp_path)
        assert done.returncode == 1
        assert (f"needs ABI 1.{MINOR + 1}, this telex has 1.{MINOR}; update telex, or build the plugin with a lower "
                "TELEX_TARGET_MINOR") in done.stderr


@pytest.fixture(scope="module")
def next_host(next_minor, tmp_path_factory):
    """telex itself, built with the next minor's contract."""
    tree = tmp_path_factory.mktemp("host") / "telex"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("build*", ".git", "var", "__pycache__"))
    shutil.rmtree(tree / "include" / "telex")
    shutil.copytree(next_minor / "telex", tree / "include" / "telex")
    build = tree / "build"
    subprocess.run(["meson", "setup", build, tree, "-Dbuildtype=debug"], check=True, capture_output=True)
    targets = ["host/telex", "host/runner/telex-runner", "tests/plugins/libstage-ask.so", "tests/plugins/libsink-file.so"]
    listed = subprocess.run(["ninja", "-C", build, "-t", "targets", "all"], check=True, capture_output=True, text=True).stdout
    targets = [t if f"\n{t}:" in f"\n{listed}" else t.replace("/lib", "/") for t in targets]
    subprocess.run(["ninja", "-C", build, "-j2", *targets], check=True, stdout=sys.stderr)
    return build


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_a_host_of_the_next_minor_runs_old_binaries(next_host, isolation, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "PLUGINS", str(next_host / "tests" / "plugins"))
    assert f"ABI 1.{MINOR + 1}" in subprocess.run([next_host / "host/telex", "--version"], capture_output=True, text=True).stdout
    stored = STORED[0] if STORED else build_zoo(HERE / "frozen/1.0", tmp_path / "zoo", 0)
    works(stored, tmp_path, isolation, telex=next_host / "host" / "telex")
