# SPDX-License-Identifier: Apache-2.0
"""The manuals: there is one for each command, it has what --help has, it parses, and it is installed."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import TELEX

BUILD = pathlib.Path(os.environ["TELEX_BUILD"])
PAGES = sorted((BUILD / "docs").glob("man?/*"))


def ask(*words):
    done = subprocess.run([TELEX, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def commands():
    """Every command as words, with the page that it is in."""
    for command in json.loads(ask("--help-json"))["commands"]:
        page = f"telex-{command['name']}.1"
        yield [command["name"]], page
        for below in json.loads(ask(command["name"], "--help-json"))["commands"]:
            yield [command["name"], below["name"]], page


def plain(page):
    """A page without its marks."""
    text = (BUILD / "docs" / "man1" / page).read_text()
    text = re.sub(r"\\f[BIR]", "", text)
    for mark, letter in (("\\-", "-"), ("\\(aq", "'"), ("\\(ga", "`"), ("\\(ti", "~"), ("\\(ha", "^"), ("\\&", ""), ("\\e", "\\")):
        text = text.replace(mark, letter)
    return text


def test_each_command_is_in_the_help_and_has_a_page():
    help_text, overview = ask("--help"), plain("telex.1")
    names = re.findall(r"^  ([a-z]+) ", help_text, re.M)
    assert len(names) >= 15
    assert names == [command["name"] for command in json.loads(ask("--help-json"))["commands"]]
    assert [page.name for page in PAGES if page.name.startswith("telex-") and page.suffix == ".1"] == \
        sorted(f"telex-{name}.1" for name in names)
    for name in names:
        assert f"\ntelex-{name}(1)" in overview
    below = re.findall(r"^  ([a-z]+) ", ask("model", "--help"), re.M)
    assert below == [command["name"] for command in json.loads(ask("model", "--help-json"))["commands"]]


@pytest.mark.parametrize("words, page", list(commands()), ids=lambda v: "-".join(v) if isinstance(v, list) else "")
def test_a_page_has_every_option_that_the_help_has(words, page):
    shown = ask(*words, "--help")
    text = plain(page)
    section = text[text.index(f".SS telex {' '.join(words)}\n"):] if len(words) > 1 else text
    options = set(re.findall(r"^ +(?:-., )?(--[a-z][a-z0-9-]*)", shown, re.M)) - {"--help", "--usage"}
    for option in options:
        assert re.search(rf"^(?:-., )?{option}(?:=|$)", section, re.M), option
    if "  -" in shown:  # one that argp made
        assert options == {name for o in json.loads(ask(*words, "--help-json"))["options"] for name in o["names"] if name[1] == "-"}


def test_the_config_and_the_plugin_guide_are_manuals():
    config, guide = (BUILD / "docs" / "man5" / "telex.yaml.5").read_text(), (BUILD / "docs" / "man7" / "telex-plugin.7").read_text()
    for key in ("isolation", "open_steps", "keyed", "lock", "keys", "require"):
        assert f".TP\n\\fB{key}\\fR\n" in config or f"\\fB{key}\\fR" in config, key
    assert ".SH TEN MINUTES" in guide and "static const struct telex_stage stage = {" in guide


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed")
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_mandoc_finds_nothing_wrong(page):
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "", done.stdout


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_groff_finds_nothing_wrong(page):
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-k", "-rLL=100n", "-z", page], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_manuals_and_guides_are_installed(tmp_path):
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", tmp_path, "--quiet", "--tags", "man,devel"], check=True,
                   capture_output=True, timeout=300)
    pages = {path.name for path in tmp_path.rglob("man/man?/*")}
    assert pages == {page.name for page in PAGES} and {"telex.1", "telex-run.1", "telex.yaml.5", "telex-plugin.7"} <= pages
    guides = {path.name for path in tmp_path.rglob("share/doc/telex/*")}
    assert {"plugin-guide.md", "model-backends.md", "abi.md", "config.md", "operator.md"} <= guides
