# SPDX-License-Identifier: Apache-2.0
"""Configs: each file under configs/ says in its last lines which errors it must give, all of them and no others."""
import json
import os
import pathlib
import re
import time

import pytest

HERE = pathlib.Path(__file__).parent / "configs"
FILES = sorted(HERE.glob("*.yaml"))
ENV = {"TELEX_TEST_TEXT": "many", "TELEX_TEST_NUMBER": "7"}
EXPECT = re.compile(r"^# expect (\d+):(\d+): (.*)$", re.M)


def expected(path):
    return EXPECT.findall(path.read_text())


def matches(line, wanted):
    """`...` stands for what differs from machine to machine."""
    return re.fullmatch(".*".join(re.escape(part) for part in wanted.split("...")), line) is not None


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_config_gives_exactly_the_errors_that_it_names(telex, path):
    done = telex("validate", path.name, cwd=HERE, env=ENV)
    wanted = expected(path)
    if path.stem == "empty":
        wanted = [("1", "1", "(file): is empty; see configs/ for examples")]
    if path.stem.startswith("good-"):
        assert not wanted and done.returncode == 0, done.stderr
        return
    assert wanted, f"{path} expects nothing"
    got = done.stderr.splitlines()
    assert got.pop() == f"{path.name}: {len(wanted)} error" + ("s" if len(wanted) != 1 else "")
    assert len(got) == len(wanted), done.stderr
    for line, (row, column, text) in zip(got, wanted):
        assert matches(line, f"{path.name}:{row}:{column}: {text}"), f"{line}\nis not\n{text}"
    assert done.returncode == 78
    assert done.stdout == ""


def test_every_error_names_a_remedy():
    for path in FILES:
        for _, _, text in expected(path):
            assert re.search(r"; |did you mean|known here|nothing is known", text), f"{path.name}: {text}"


def test_errors_as_json_say_the_same(telex):
    path = HERE / "wrong-types.yaml"
    done = telex("validate", "--json", path.name, cwd=HERE)
    errors = json.loads(done.stdout)["errors"]
    assert done.returncode == 78
    assert [f"{e['line']}:{e['column']}: {e['path']}: {e['error']}" for e in errors] == \
        [f"{row}:{column}: {text}" for row, column, text in expected(path)]
    good = telex("validate", "--json", "good-smallest.yaml", cwd=HERE)
    assert good.returncode == 0 and json.loads(good.stdout) == {"errors": []}


def test_a_file_that_is_not_there_or_a_folder_or_too_large_is_refused(telex, tmp_path):
    large = tmp_path / "large.yaml"
    large.write_text("#" * (1 << 20) + "\n")
    for name, what in [("no.yaml", "cannot be read: No such file"), (".", "is a folder"), (large, "over 1 MiB")]:
        done = telex("validate", name)
        assert done.returncode == 78
        assert what in done.stderr and ":1:1: (file): " in done.stderr


def test_a_fifo_does_not_hang_it(telex, tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    assert telex("validate", "pipe.yaml", timeout=20).returncode == 78


def test_an_alias_bomb_and_deep_nesting_cost_neither_time_nor_memory(telex, tmp_path):
    deep = tmp_path / "deep.yaml"
    deep.write_text("a: " + "[" * 100000)
    many = tmp_path / "many.yaml"
    many.write_text("pipeline: p\n" + "".join(f"k{i}: 1\n" for i in range(60000)))
    for path in (HERE / "alias-bomb.yaml", deep, many):
        begin = time.monotonic()
        assert telex("validate", path).returncode == 78
        assert time.monotonic() - begin < 10


def test_overrides_change_values_and_are_checked_like_them(telex):
    good = HERE / "good-smallest.yaml"
    assert telex("validate", good, "--set", "stages.source.options.count=5", "--set", "drain=1s").returncode == 0
    done = telex("validate", good, "--set", "drain=1s", "--set", "stages.source.options.count=many",
                 "--set", "stages.sink.from=[source, nowhere]", "--set", "nonsense", "--set", "pipeline.a=b")
    got = done.stderr.splitlines()[:-1]
    assert done.returncode == 78
    assert got == [
        "--set:2:1: stages.source.options.count: 'many' is not a whole number; write one without quotes or unit",
        "--set:3:1: stages.sink.from[1]: names no stage 'nowhere'; known here: source, sink",
        "--set:4:1: nonsense: names no place in the config; write path.to.key=value",
        "--set:5:1: pipeline: names no place in the config; write path.to.key=value",
    ], done.stderr


def run_settings(telex, tmp_path, options, *args, env=None):
    """What stage-options was given, when it runs with these options."""
    config = tmp_path / "etc" / "settings.yaml"
    config.parent.mkdir(exist_ok=True)
    config.write_text(f"""
pipeline: settings
journal: {{durability: memory}}
stages:
  source: {{plugin: source-count, options: {{count: 1}}}}
  tell: {{plugin: stage-options, from: source, options: {options}}}
  sink: {{plugin: sink-file, from: tell, options: {{path: out.jsonl}}}}
""")
    done = telex("run", "--once", config, *args, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / "etc" / "out.jsonl").read_text())


def test_a_plugin_gets_the_defaults_of_its_table(telex, tmp_path):
    got = run_settings(telex, tmp_path, "{}")
    assert got == {"schema": "telex.record/1", "id": "settings", "text": "usual", "int": -3, "real": 0.5, "bool": True,
                   "duration": 120000, "size": 65536, "choice": "green", "path": f"{tmp_path}/etc/x/y",
                   "list": ["a", "b"], "secret_bytes": 0}


def test_a_plugin_gets_what_the_config_says_in_checked_form(telex, tmp_path):
    got = run_settings(telex, tmp_path, '{text: 1984, int: 10, real: 1, bool: false, duration: 1d, size: 1GiB, '
                       'choice: red, path: ~/data, list: [x, "y,z", 3], secret: "${env:TOKEN}"}',
                       env={"TOKEN": "héllo: [1]"})
    assert got["text"] == "1984" and got["int"] == 10 and got["real"] == 1.0 and got["bool"] is False
    assert got["duration"] == 86400000 and got["size"] == 1 << 30 and got["choice"] == "red"
    assert got["path"] == f"{tmp_path}/data"
    assert got["list"] == ["x", "y,z", "3"]
    assert got["secret_bytes"] == len("héllo: [1]".encode())


def test_a_variable_can_stand_for_a_number_and_its_text_is_never_parsed(telex, tmp_path):
    got = run_settings(telex, tmp_path, '{int: "${env:N}", text: "${env:T}", path: "a${env:U:-b}c"}',
                       env={"N": "4", "T": "[not, a, list] ${env:N}", "U": ""})
    assert got["int"] == 4
    assert got["text"] == "[not, a, list] ${env:N}"
    assert got["path"] == f"{tmp_path}/etc/abc"


def test_no_message_shows_a_secret(telex, tmp_path):
    config = tmp_path / "secret.yaml"
    config.write_text("pipeline: p\nstages:\n  source: {plugin: source-count}\n"
                      "  a: {plugin: stage-options, from: source, options: {secret: [hunter2], duration: x}}\n"
                      "  b: {plugin: stage-options, from: source, options: {secret: {hunter2: hunter2}}}\n"
                      "  s: {plugin: sink-count, from: [a, b]}\n")
    done = telex("validate", config)
    assert done.returncode == 78 and "options.secret: is a list" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_graph_draws_stages_edges_and_filters(telex):
    done = telex("graph", HERE / "good-everything.yaml")
    assert done.returncode == 0
    assert done.stdout.startswith('digraph "everything" {') and done.stdout.rstrip().endswith("}")
    assert '"hold" [label="hold\\nstage-noop 0.1.0", peripheries=2];' in done.stdout
    assert '"source" -> "hold" [label="records\\n[outlet: count.example, other.example]", style=bold];' in done.stdout
    assert done.stdout.count(" -> ") == 4
    assert telex("graph", HERE / "cycle.yaml").returncode == 78


def test_usage_errors_exit_2(telex):
    for args in (["validate"], ["validate", "a", "b"], ["validate", "--nonsense", "a"], ["graph"], ["schema", "x"],
                 ["plugins", "a", "b"], ["nonsense"], []):
        done = telex(*args)
        assert done.returncode == 2, args
        assert done.stderr and not done.stdout
    for command in ("validate", "graph", "schema", "plugins", "check"):
        done = telex(command, "--help")
        assert done.returncode == 0 and done.stdout.startswith(f"Usage: telex {command}")
    assert "did you mean validate?" in telex("validte").stderr
    assert telex("--version").stdout.startswith("telex ")
    assert "validate" in telex("--help").stdout
