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
    [pkgconfig] = root.rglob("telex-sdk.pc")
    lines = pkgconfig.read_text().splitlines()
    assert lines[0].startswith("prefix=/")
    lines[0] = f"prefix={root}{lines[0].removeprefix('prefix=')}"
    pkgconfig.write_text("\n".join(lines) + "\n")
    [program] = [path for path in root.rglob("bin/telex")]
    return {"root": root, "program": program, "env": {"PKG_CONFIG_PATH": str(pkgconfig.parent)}}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return pathlib.Path(shutil.copytree(SOURCE / "sdk" / "template", tmp_path_factory.mktemp("outside") / "mine"))


@pytest.fixture(scope="module")
def plugin(installed, template):
    sanitize = [] if SANITIZE == "none" else [f"-Db_sanitize={SANITIZE}", "-Db_lundef=false"]
    run("meson", "setup", "build", "--werror", *sanitize, cwd=template, env=installed["env"])
    run("ninja", "-C", "build", cwd=template)
    return template / "build" / "filter-words.so"


def test_the_template_builds_outside_with_three_statements(template):
    statements = [line for line in (template / "meson.build").read_text().splitlines() if not line.startswith(" ")]
    assert [s.split("(")[0] for s in statements] == ["project", "telex = dependency", "shared_module"]
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
