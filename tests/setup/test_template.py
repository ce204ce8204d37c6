# SPDX-License-Identifier: Apache-2.0
"""A plugin is built outside this tree, against an installed telex and nothing else, and keeps the contract."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

SOURCE = pathlib.Path(os.environ["TELEX_SOURCE"])
BUILD = pathlib.Path(os.environ["TELEX_BUILD"])
# The SDK's library is part of the plugin, so a plugin is built with the sanitizers that the library was built with.
SANITIZE = os.environ["TELEX_SANITIZE"]


def run(*args, env=None, cwd=None):
    done = subprocess.run([*map(str, args)], capture_output=True, text=True, timeout=300, cwd=cwd,
                          env={**os.environ, **(env or {})})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An installation in a folder of its own, whose pkg-config file says so."""
    root = tmp_path_factory.mktemp("install")
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root, "--quiet", "--tags", "devel,runtime")
    for pkgconfig in root.rglob("*.pc"):
        lines = pkgconfig.read_text().splitlines()
        assert lines[0].startswith("prefix=/")
        lines[0] = f"prefix={root}{lines[0].removeprefix('prefix=')}"
        pkgconfig.write_text("\n".join(lines) + "\n")
    [program] = [path for path in root.rglob("bin/telex")]
    return {"root": root, "program": program, "env": {"PKG_CONFIG_PATH": str(pkgconfig.parent)}}


KINDS = ["signal", "cluster", "write", "wire", "filter"]


def new(installed, folder, name):
    run(installed["program"], "plugin", "new", name, cwd=folder)
    return folder / name


def build(installed, folder):
    sanitize = [] if SANITIZE == "none" else [f"-Db_sanitize={SANITIZE}", "-Db_lundef=false"]
    run("meson", "setup", "build", "--werror", *sanitize, cwd=folder, env=installed["env"])
    run("ninja", "-C", "build", cwd=folder)
    return folder / "build" / f"{folder.name}.so"


@pytest.fixture(scope="module")
def template(installed, tmp_path_factory):
    return new(installed, tmp_path_factory.mktemp("outside"), "filter-words")


@pytest.fixture(scope="module")
def plugin(installed, template):
    return build(installed, template)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_builds_and_its_own_test_passes(installed, kind, tmp_path):
    """With the installed package alone: the program, the headers, the SDK's library."""
    folder = new(installed, tmp_path, f"{kind}-mine")
    build(installed, folder)
    env = {"TELEX": str(installed["program"]), "HOME": str(tmp_path), "XDG_RUNTIME_DIR": ""}
    run("meson", "test", "-C", "build", "--print-errorlogs", "--timeout-multiplier", "5", cwd=folder, env=env)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "build", "meson.build", "plugin.c", "tests"]
    assert not [path for path in folder.rglob("*") if path.is_file() and "build" not in path.parts
                and any(mark in path.read_text() for mark in ("@NAME@", "@ROLE@"))]
    # And the test can fail.
    out = folder / "tests" / "out.jsonl"
    out.write_text(out.read_text().replace("mine", "").replace("a", "b"))
    failed = subprocess.run(["meson", "test", "-C", "build"], cwd=folder, env={**os.environ, **env}, capture_output=True)
    assert failed.returncode != 0


def test_a_new_backend_builds_and_its_own_test_passes(installed, tmp_path):
    folder = new(installed, tmp_path, "model-mine")
    built = build(installed, folder)
    env = {"TELEX": str(installed["program"]), "HOME": str(tmp_path), "XDG_RUNTIME_DIR": ""}
    run("meson", "test", "-C", "build", "--print-errorlogs", "--timeout-multiplier", "5", cwd=folder, env=env)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "build", "make-weights.py", "meson.build", "plugin.c",
                                                              "tests"]
    for path in folder.rglob("*"):
        if path.is_file() and "build" not in path.parts:
            assert not any(mark in path.read_text() for mark in ("@NAME@", "@ROLE@", "model-byte")), path
    run("python3", "make-weights.py", "weights.bin", cwd=folder)
    run(installed["program"], "check", built, "-o", "path=weights.bin", cwd=folder, env=env)
    # And the test can fail: a draw that does not come from the seed.
    source = folder / "plugin.c"
    source.write_text(source.read_text().replace("row->seed, row->counter)", "(uint64_t)(uintptr_t)row + (uint64_t)rand(), row->counter)"))
    run("ninja", "-C", "build", cwd=folder)
    failed = subprocess.run(["meson", "test", "-C", "build"], cwd=folder, env={**os.environ, **env}, capture_output=True)
    assert failed.returncode != 0


def test_the_new_plugins_make_a_wire_together(installed, telex, tmp_path):
    for kind in KINDS:
        build(installed, new(installed, tmp_path, f"{kind}-mine"))
    (tmp_path / "lines.txt").write_text("Bank cuts rates\nStorm closes port\nBank explains its cut\n")
    config = tmp_path / "wire.yaml"
    config.write_text("""
pipeline: mine
journal: {path: mine.journal}
stages:
  signal: {plugin: signal-mine/build/signal-mine.so, options: {path: lines.txt}}
  filter: {plugin: filter-mine/build/filter-mine.so, from: signal}
  cluster: {plugin: cluster-mine/build/cluster-mine.so, from: filter}
  write: {plugin: write-mine/build/write-mine.so, from: cluster, isolation: thread}
  wire: {plugin: wire-mine/build/wire-mine.so, from: write, options: {path: published.txt}}
""")
    done = telex("run", "--once", config)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "published.txt").read_text() == "Bank cuts rates\n"


@pytest.mark.parametrize("args, code, text", [
    (["nope"], 2, "'nope' does not begin with a kind; say --kind, or call it such as filter-nope"),
    (["signal-Mine"], 2, "is no name for a plugin; use lower case letters, digits and hyphens, a letter first"),
    (["signal-mine", "--kind", "tool"], 2, "no kind 'tool'; there are signal, cluster, write, wire, filter and model"),
    (["signal-mine", "here"], 1, "here: File exists"),
    ([], 2, "how is it to be called? such as signal-mine"),
])
def test_what_cannot_be_made_is_said(telex, tmp_path, args, code, text):
    (tmp_path / "here").mkdir()
    done = telex("plugin", "new", *args)
    assert done.returncode == code and text in done.stderr
    assert list((tmp_path / "here").iterdir()) == []


def test_the_template_builds_outside_with_four_statements(template):
    statements = [line for line in (template / "meson.build").read_text().splitlines() if not line.startswith(" ")]
    assert [s.split("(")[0] for s in statements] == ["project", "telex = dependency", "plugin = shared_module", "test"]
    for line in (template / "plugin.c").read_text().splitlines():
        if line.startswith("#include"):
            assert line.split("<")[1].split("/")[0].rstrip(">") in {"telex-sdk", "telex", "ctype.h", "stdlib.h"}


def test_the_plugin_passes_the_conformance_kit(telex, plugin):
    done = telex("check", "--json", plugin)
    assert done.returncode == 0 and json.loads(done.stdout)["findings"] == []


def test_the_plugin_exports_one_symbol(plugin):
    names = run("nm", "-D", "--defined-only", plugin).split()
    assert names[2::3] == ["telex_entry_v1"]


def test_the_plugin_does_its_work_in_a_pipeline(telex, plugin, tmp_path):
    config = tmp_path / "words.yaml"
    config.write_text(f"""
pipeline: words
journal: {{durability: memory}}
stages:
  source: {{plugin: source-count, options: {{count: 3, bytes: 24}}}}
  words: {{plugin: {plugin}, from: source, options: {{least: 3}}}}
  none: {{plugin: {plugin}, from: source, options: {{least: 4}}}}
  sink: {{plugin: sink-file, from: words, options: {{path: out.jsonl}}}}
  empty: {{plugin: sink-file, from: none, options: {{path: empty.jsonl}}}}
""")
    done = telex("run", "--once", config)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [r["words"] for r in records] == [3, 3, 3]
    assert [r["number"] for r in records] == [0, 1, 2] and records[0]["title"] == "Record 0"
    assert (tmp_path / "empty.jsonl").read_text() == ""


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_it_builds_with_one_compiler_call_and_pkg_config(telex, installed, template, tmp_path, compiler):
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    flags = run("pkg-config", "--cflags", "--libs", "telex-sdk", env=installed["env"]).split()
    version_script = run("pkg-config", "--variable=plugin_map", "telex-sdk", env=installed["env"]).strip()
    if SANITIZE != "none":
        pytest.skip("a sanitizer's own symbols come from the program")
    out = tmp_path / "filter-words.so"
    run(compiler, "-std=gnu11", "-shared", "-fPIC", template / "plugin.c", "-o", out, *flags,
        f"-Wl,--version-script={version_script}", "-Wl,--no-undefined" if compiler == "gcc" else "-O2")
    assert telex("check", out).returncode == 0


def test_the_installed_program_finds_the_installed_plugins(installed, tmp_path):
    env = {"HOME": str(tmp_path), "TELEX_PLUGIN_PATH": "", "XDG_RUNTIME_DIR": ""}
    plugins = json.loads(run(installed["program"], "plugins", "--json", env=env))["plugins"]
    assert any(p["path"].startswith(str(installed["root"])) for p in plugins)


def test_the_installed_headers_are_the_contract(installed):
    [entry] = installed["root"].rglob("include/telex/abi.h")
    here = {p.relative_to(SOURCE / "include"): p.read_bytes() for p in (SOURCE / "include").rglob("*.h")}
    there = {p.relative_to(entry.parent.parent): p.read_bytes() for p in entry.parent.rglob("*.h")}
    assert here == there
