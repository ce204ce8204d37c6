# SPDX-License-Identifier: Apache-2.0
"""Plugins that a host must refuse: each with one clear line that says what to do."""
import json
import os
import pathlib
import shutil
import struct
import time

import pytest

from conftest import BAD_PLUGINS, PLUGINS

BAD = pathlib.Path(BAD_PLUGINS)
GOOD = pathlib.Path(PLUGINS)

REFUSALS = {
    "bad-text": "is not an ELF file; give the .so that the plugin's build made for this machine",
    "bad-no-entry": "is no telex plugin: it has neither a manifest nor the entry telex_entry_v1; define the plugin "
                    "with TELEX_STAGE_PLUGIN and link with sdk/plugin.map",
    "bad-entry-missing": "does not export telex_entry_v1; use TELEX_STAGE_PLUGIN and link with sdk/plugin.map",
    "bad-no-manifest": "has no manifest that can be read; define the plugin with TELEX_STAGE_PLUGIN",
    "bad-other-major": "is for ABI major 2, this telex has major 1; build it against this telex's headers, or use the "
                       "telex it was built for",
    "bad-newer-minor": "needs ABI 1.9, this telex has 1.1; update telex, or build the plugin with a lower "
                       "TELEX_TARGET_MINOR",
    "bad-two-symbols": "exports leaked_helper besides telex_entry_v1 (2 symbols in all); link with "
                       "-Wl,--version-script=plugin.map, so that the entry is the only one",
    "bad-exit-entry": "ends the process in telex_entry_v1 (exit status 7); a plugin never calls exit",
    "bad-refuses": "refuses this host (ABI 1.1); update telex",
    "bad-manifest-lies": "disagrees with its manifest: version is '0.2.0' in the class, '0.1.0' in the manifest; give "
                         "both from one place",
    "bad-option-default": "has a bad .initial for its option size: '20' is out of range; give 1 to 10",
    "bad-static-tls": "uses static TLS, of which a program has little; build it without -ftls-model=initial-exec",
}


def refusal(telex, path):
    done = telex("plugins", path)
    assert done.returncode == 1 and done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    prefix = f"telex plugins: {path}: "
    assert lines[0].startswith(prefix)
    return lines[0][len(prefix):]


@pytest.mark.parametrize("name", REFUSALS)
def test_a_bad_plugin_is_refused_with_the_reason_and_a_remedy(telex, name):
    assert refusal(telex, BAD / f"{name}.so") == REFUSALS[name]


def test_a_crash_in_the_entry_is_seen_from_outside(telex):
    text = refusal(telex, BAD / "bad-crash-entry.so")
    # A sanitizer turns the signal into an exit.
    assert text.startswith(("crashes in telex_entry_v1 (SIGSEGV); ", "ends the process in telex_entry_v1 ("))


def test_a_hang_in_the_entry_ends_after_five_seconds(telex):
    begin = time.monotonic()
    text = refusal(telex, BAD / "bad-hang-entry.so")
    assert text == "hangs in telex_entry_v1 (stopped after 5 s); do nothing there that waits"
    assert 4.5 < time.monotonic() - begin < 15


def test_a_config_with_a_bad_plugin_says_where_it_is_named(telex, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text(f"pipeline: p\nstages:\n  source: {{plugin: {BAD}/bad-two-symbols.so}}\n")
    done = telex("validate", config)
    assert done.returncode == 78
    assert done.stderr.startswith(f"{config}:3:20: stages.source.plugin: {BAD}/bad-two-symbols.so: exports leaked_helper ")


def test_a_missing_plugin_is_refused_with_its_near_name(telex):
    done = telex("plugins", "sink-flie")
    assert done.returncode == 1
    assert done.stderr.startswith("telex plugins: no plugin 'sink-flie' in ")
    assert done.stderr.rstrip().endswith("; did you mean sink-file?")
    assert "add its folder to TELEX_PLUGIN_PATH" in telex("plugins", "zzzzzzzzzz").stderr
    assert "No such file or directory; check the path" in telex("plugins", "./no.so").stderr


def test_a_renamed_plugin_is_refused(telex, tmp_path):
    shutil.copy(GOOD / "stage-noop.so", tmp_path / "other.so")
    assert refusal(telex, tmp_path / "other.so") == "calls itself 'stage-noop' in its manifest; name the file stage-noop.so"
    shutil.copy(GOOD / "stage-noop.so", tmp_path / "stage-noop")
    assert refusal(telex, tmp_path / "stage-noop") == "is not called NAME.so; rename it"


@pytest.mark.parametrize("machine, word", [(183, "aarch64"), (3, "32-bit x86"), (243, "risc-v"), (9999, "another machine")])
def test_another_machines_plugin_is_refused(telex, tmp_path, machine, word):
    data = bytearray((GOOD / "stage-noop.so").read_bytes())
    if struct.unpack_from("<H", data, 18)[0] != 62:
        pytest.skip("written for x86-64")
    struct.pack_into("<H", data, 18, machine)
    path = tmp_path / "stage-noop.so"
    path.write_bytes(data)
    assert refusal(telex, path).startswith(f"was built for {word}, this telex for x86-64; ")


def test_a_plugin_cut_short_anywhere_is_refused(telex, tmp_path):
    data = (GOOD / "stage-noop.so").read_bytes()
    path = tmp_path / "stage-noop.so"
    for size in [0, 1, 4, 16, 63, 64, 100, len(data) // 2, len(data) - 1]:
        path.write_bytes(data[:size])
        assert refusal(telex, path)


def test_a_folder_or_fifo_called_so_is_refused(telex, tmp_path):
    (tmp_path / "folder.so").mkdir()
    os.mkfifo(tmp_path / "pipe.so")
    assert refusal(telex, tmp_path / "folder.so") == "is no regular file"
    assert refusal(telex, tmp_path / "pipe.so") == "is no regular file"


def test_the_list_shows_good_plugins_and_why_others_are_not(telex, tmp_path):
    for name in ["bad-text", "bad-refuses"]:
        shutil.copy(BAD / f"{name}.so", tmp_path)
    shutil.copy(GOOD / "stage-noop.so", tmp_path)
    done = telex("plugins", path=str(tmp_path))
    assert done.returncode == 0
    assert any(line.startswith("stage-noop ") for line in done.stdout.splitlines())
    assert len(done.stderr.splitlines()) == 2
    listed = json.loads(telex("plugins", "--json", path=str(tmp_path)).stdout)
    assert "stage-noop" in [p["name"] for p in listed["plugins"]]
    assert sorted(pathlib.Path(r["path"]).stem for r in listed["refused"]) == ["bad-refuses", "bad-text"]


def test_the_first_folder_wins(telex, tmp_path):
    shutil.copy(GOOD / "stage-noop.so", tmp_path)
    one = json.loads(telex("plugins", "--json", "stage-noop", path=f"{tmp_path}:{GOOD}").stdout)
    assert one["path"] == str(tmp_path / "stage-noop.so")


def test_one_plugin_is_described_whole(telex):
    text = telex("plugins", "stage-options").stdout
    for word in ["stage-options 0.1.0", "role     filter", "in   in", "out  out", "choice", "{red, green, blue}", "[green]",
                 "{-10 to 10}", "Apache-2.0"]:
        assert word in text, word
    about = json.loads(telex("plugins", "--json", "stage-options").stdout)
    options = {o["name"]: o for o in about["options"]}
    assert options["int"] == {"name": "int", "type": "int", "required": False, "doc": "an option of type int",
                              "initial": "-3", "min": -10.0, "max": 10.0}
    assert about["ports"] == [{"name": "in", "direction": "in", "schemas": ["*"]},
                              {"name": "out", "direction": "out", "schemas": ["*"]}]
    assert len(about["sha256"]) == 64


def test_the_private_copy_is_ours_alone_and_named_by_its_hash(telex, tmp_path):
    about = json.loads(telex("plugins", "--json", "stage-noop").stdout)
    folder = tmp_path / "runtime" / f"telex-{os.geteuid()}"
    copy = folder / about["sha256"] / "stage-noop.so"
    assert copy.read_bytes() == (GOOD / "stage-noop.so").read_bytes()
    assert folder.stat().st_mode & 0o077 == 0
    # A copy that someone changed is not used: it is written again.
    copy.chmod(0o700)
    copy.write_bytes(b"not the plugin")
    assert telex("plugins", "stage-noop").returncode == 0
    assert copy.read_bytes() == (GOOD / "stage-noop.so").read_bytes()


def test_a_runtime_folder_of_someone_else_is_not_used(telex, tmp_path):
    folder = tmp_path / "runtime" / f"telex-{os.geteuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    assert telex("plugins", "stage-noop").returncode == 0
    assert list(folder.iterdir()) == []


def test_copies_that_nobody_used_for_a_week_are_removed(telex, tmp_path):
    telex("plugins", "stage-noop")
    folder = tmp_path / "runtime" / f"telex-{os.geteuid()}"
    [old] = folder.iterdir()
    os.utime(old, (time.time() - 8 * 86400,) * 2)
    (folder / "not-a-copy").mkdir()
    os.utime(folder / "not-a-copy", (0, 0))
    telex("plugins", "stage-noop")
    assert old.exists()  # used, so young again
    os.utime(old, (time.time() - 8 * 86400,) * 2)
    telex("plugins", "sink-count")
    assert not old.exists() and (folder / "not-a-copy").exists()
