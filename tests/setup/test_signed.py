# SPDX-License-Identifier: Apache-2.0
"""Which plugins a pipeline may run, as an operator meets it: plugins.lock, keys, signatures, and what is said when a file
is not the one that was meant."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from conftest import BAD_PLUGINS, PLUGINS, TELEX

SLOW = float(os.environ.get("TELEX_TEST_SLOWNESS", "1"))
UNTRUSTED, WRONG = 77, 78


@pytest.fixture
def wire(tmp_path):
    """A config whose three plugins are copies in a folder of their own."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    for name in ("source-count", "stage-noop", "sink-file"):
        shutil.copy(pathlib.Path(PLUGINS) / f"{name}.so", plugins)

    def write(trust, more=""):
        config = tmp_path / "wire.yaml"
        config.write_text(f"""pipeline: wire
journal: {{path: wire.journal}}
{trust}
stages:
  source: {{plugin: source-count, options: {{count: 5}}}}
  middle: {{plugin: stage-noop, from: source{more}}}
  sink: {{plugin: sink-file, from: middle, options: {{path: out.jsonl}}}}
""")
        return config

    write.plugins = plugins
    return write


def change_one_byte(path, at=-1):
    """In place: the same inode. The last byte of a file is in no segment, so it still loads."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def keygen(telex, tmp_path, name="a"):
    done = telex("plugins", "keygen", name)
    assert done.returncode == 0, done.stderr
    return tmp_path / f"{name}.key", tmp_path / f"{name}.pub"


# ---- the lock ----

def test_a_locked_pipeline_runs_what_is_pinned_and_nothing_else(telex, wire, tmp_path):
    config = wire("plugins: {lock: plugins.lock}")
    done = telex("plugins", "lock", config, path=wire.plugins)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{tmp_path}/plugins.lock: 3 plugins"
    names = [line.split()[0] for line in (tmp_path / "plugins.lock").read_text().splitlines() if not line.startswith("#")]
    assert names == ["sink-file", "source-count", "stage-noop"]
    done = telex("plugins", "verify", config, path=wire.plugins)
    assert done.returncode == 0 and done.stdout.count(" locked ") == 3, done.stderr
    assert telex("run", "--once", config, path=wire.plugins).returncode == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 5

    change_one_byte(wire.plugins / "stage-noop.so")
    for command in (["validate"], ["run", "--once"], ["graph"], ["plugins", "verify"]):
        done = telex(*command, config, path=wire.plugins)
        assert done.returncode == UNTRUSTED, (command, done.stderr)
        assert f"{config}:6:20: stages.middle.plugin: {wire.plugins}/stage-noop.so: is not the file that " \
               f"{tmp_path}/plugins.lock pins: sha256 " in done.stderr
        assert "; put version 0.1.0 back, or run `telex plugins lock CONFIG` if you changed it" in done.stderr

    done = telex("plugins", "lock", config, path=wire.plugins)
    assert done.returncode == 0 and done.stdout.startswith("~ stage-noop 0.1.0 ") and done.stdout.count("\n") == 2
    assert telex("validate", config, path=wire.plugins).returncode == 0


def test_a_plugin_of_the_right_name_in_another_folder_is_not_taken(telex, wire, tmp_path):
    config = wire("plugins: {lock: plugins.lock}")
    telex("plugins", "lock", config, path=wire.plugins)
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    shutil.copy(wire.plugins / "stage-noop.so", earlier)
    change_one_byte(earlier / "stage-noop.so")
    done = telex("validate", config, path=f"{earlier}:{wire.plugins}")
    assert done.returncode == UNTRUSTED and f"{earlier}/stage-noop.so: is not the file" in done.stderr


def test_a_plugin_without_an_entry_is_not_run(telex, wire, tmp_path):
    config = wire("plugins: {lock: plugins.lock}")
    telex("plugins", "lock", config, path=wire.plugins)
    lock = tmp_path / "plugins.lock"
    lock.write_text("".join(line for line in lock.read_text().splitlines(True) if "stage-noop" not in line))
    done = telex("validate", config, path=wire.plugins)
    assert done.returncode == UNTRUSTED
    assert f"stage-noop.so: is not in {lock}; if you trust it, run `telex plugins lock CONFIG`" in done.stderr


@pytest.mark.parametrize("text, why", [
    (None, "cannot be read: No such file or directory; write it with `telex plugins lock CONFIG`"),
    ("stage-noop 0.1.0\n", "line 1 is no NAME VERSION SHA256 FILE; write the file again with `telex plugins lock`"),
])
def test_without_a_lock_that_can_be_read_no_plugin_is_looked_at(telex, wire, tmp_path, text, why):
    config = wire("plugins: {lock: plugins.lock}")
    if text:
        (tmp_path / "plugins.lock").write_text(text)
    done = telex("validate", config, path=wire.plugins)
    assert done.returncode == WRONG
    assert done.stderr.splitlines()[0] == f"{config}:3:11: plugins.lock: {tmp_path}/plugins.lock {why}"
    assert "stages" not in done.stderr


def test_nothing_of_a_distrusted_plugin_is_run(telex, tmp_path):
    """One that hangs when its entry is called is refused at once, and one that crashes is refused for its hash."""
    config = tmp_path / "c.yaml"
    (tmp_path / "plugins.lock").write_text("")
    for name in ("bad-hang-entry", "bad-crash-entry"):
        config.write_text(f"pipeline: p\nplugins: {{require: lock}}\nstages:\n  source: {{plugin: {BAD_PLUGINS}/{name}.so}}\n")
        begin = time.monotonic()
        done = telex("validate", config)
        assert done.returncode == UNTRUSTED and f"{name}.so: is not in {tmp_path}/plugins.lock; " in done.stderr
        assert time.monotonic() - begin < 4 * SLOW


def test_an_isolated_stage_starts_again_from_what_was_checked(telex, wire, tmp_path):
    """The file is replaced by one that does not load, and then the runner is killed: it comes back as it was."""
    config = wire("plugins: {lock: plugins.lock}", ", isolation: process")
    config.write_text(config.read_text().replace("count: 5", "count: 100000, every: 20ms, batch: 1"))
    assert telex("plugins", "lock", config, path=wire.plugins).returncode == 0
    log = tmp_path / "log"
    env = {**os.environ, "HOME": str(tmp_path), "TELEX_PLUGIN_PATH": str(wire.plugins)}
    with open(log, "wb") as out:
        host = subprocess.Popen([TELEX, "run", "--log", "debug", config], stdout=out, stderr=out, env=env, cwd=tmp_path)
    try:
        written = tmp_path / "out.jsonl"

        def wait_for(test):
            end = time.monotonic() + 30 * SLOW
            while not test():
                assert time.monotonic() < end and host.poll() is None, log.read_text()[-2000:]
                time.sleep(0.05)

        def size():
            return written.stat().st_size if written.exists() else 0

        wait_for(lambda: size() > 0)
        (wire.plugins / "new").write_text("no plugin\n")
        os.replace(wire.plugins / "new", wire.plugins / "stage-noop.so")
        [runner] = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_child(pid, host.pid)]
        maps = pathlib.Path(f"/proc/{runner}/maps").read_text()
        assert "/memfd:stage-noop (deleted)" in maps and "stage-noop.so" not in maps
        os.kill(runner, signal.SIGKILL)
        wait_for(lambda: "Killed" in log.read_text())
        before = size()
        wait_for(lambda: size() > before + 1000)
        done = telex("reload", "--wait", config, path=wire.plugins)  # asks again, and goes on as it was
        assert done.returncode == UNTRUSTED and "stage-noop.so: is not the file that " in done.stderr
        before = size()
        wait_for(lambda: size() > before + 1000)
    finally:
        host.terminate()
        host.wait(30 * SLOW)
    assert host.returncode == 0, log.read_text()[-2000:]


def is_child(pid, parent):
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    state, its_parent = text[text.rindex(")") + 2:].split()[:2]
    return int(its_parent) == parent and "(telex-runner)" in text and state not in "ZX"


def test_a_lock_without_a_config_is_of_all_plugins(telex, wire, tmp_path):
    done = telex("plugins", "lock", path=wire.plugins)
    assert done.returncode == 0
    assert {"sink-file", "source-count", "stage-noop"} <= {line.split()[0] for line in
                                                          (tmp_path / "plugins.lock").read_text().splitlines()[2:]}


def test_require_none_switches_it_off(telex, wire):
    config = wire("plugins: {lock: plugins.lock, require: none}")
    assert telex("validate", config, path=wire.plugins).returncode == 0
    done = telex("plugins", "verify", config, path=wire.plugins)
    assert done.returncode == 0 and "requires nothing of its plugins" in done.stderr


@pytest.mark.parametrize("trust, why", [
    ("plugins: {require: signature}", "3:11: plugins.require: is signature, but there are no keys; add `keys: [KEY]`"),
    ("plugins: {keys: [nowhere.pub]}", "nowhere.pub cannot be read: No such file or directory; give a public key or the file"),
    ("plugins: {keys: key}", "plugins.keys: is no list of 1 to 64 public keys; write [KEY, KEY]"),
    ("plugins: {keys: [[a]]}", "plugins.keys[0]: is no text; give a public key or the file that holds one"),
    ("plugins: {keys: [wire.yaml]}", "wire.yaml is no public key; `telex plugins keygen` and minisign write them"),
    ("plugins: {require: all}", "plugins.require: 'all' is not known; "),
    ("plugins: {look: plugins.lock}", "plugins.look: is not known; did you mean lock?"),
    ("plugins: [plugins.lock]", "3:1: plugins: is no mapping"),
])
def test_what_is_wrong_in_the_config_is_said(telex, wire, trust, why):
    done = telex("validate", wire(trust), path=wire.plugins)
    assert done.returncode == WRONG and why in done.stderr, done.stderr


# ---- signatures ----

def test_a_signed_pipeline_runs_what_is_signed_and_nothing_else(telex, wire, tmp_path):
    key, pub = keygen(telex, tmp_path)
    _, other = keygen(telex, tmp_path, "b")
    config = wire(f"plugins: {{keys: [{pub}]}}")
    done = telex("validate", config, path=wire.plugins)
    assert done.returncode == UNTRUSTED
    assert "stage-noop.so: is not signed: there is no stage-noop.so.minisig beside it; sign it with `telex plugins sign`, " \
           "or ask its maker" in done.stderr

    plugins = sorted(wire.plugins.glob("*.so"))
    done = telex("plugins", "sign", *plugins, "--key", key)
    assert done.returncode == 0 and done.stdout.splitlines() == [f"{p}.minisig" for p in plugins], done.stderr
    assert telex("run", "--once", config, path=wire.plugins).returncode == 0

    config.write_text(config.read_text().replace(str(pub), str(other)))
    done = telex("validate", config, path=wire.plugins)
    assert done.returncode == UNTRUSTED and ", which is none of plugins.keys; add the public key if you trust it" in done.stderr

    config = wire(f"plugins: {{keys: [{other}, {pub.read_text().splitlines()[1]}]}}")  # by its text
    assert telex("validate", config, path=wire.plugins).returncode == 0
    noop = wire.plugins / "stage-noop.so"
    good = (wire.plugins / "stage-noop.so.minisig").read_text()
    for wrong in ("another file's", "one byte", "no signature"):
        if wrong == "another file's":
            shutil.copy(wire.plugins / "sink-file.so.minisig", f"{noop}.minisig")
        elif wrong == "one byte":
            pathlib.Path(f"{noop}.minisig").write_text(good)
            change_one_byte(noop)
        else:
            change_one_byte(noop)
            pathlib.Path(f"{noop}.minisig").write_text("trust me\n")
        done = telex("validate", config, path=wire.plugins)
        assert done.returncode == UNTRUSTED, wrong
        assert ("has a .minisig that is no signature; `telex plugins sign` and minisign write them" if wrong == "no signature"
                else "has a signature that does not fit the file: it is another file's, or one of the two was changed") in done.stderr


def test_a_signature_and_a_lock_are_both_asked(telex, wire, tmp_path):
    key, pub = keygen(telex, tmp_path)
    config = wire(f"plugins: {{lock: plugins.lock, keys: [{pub}]}}")
    plugins = sorted(wire.plugins.glob("*.so"))
    done = telex("plugins", "lock", config, path=wire.plugins)
    assert done.returncode == UNTRUSTED and "is not signed" in done.stderr and not (tmp_path / "plugins.lock").exists()
    telex("plugins", "sign", *plugins, "--key", key)
    assert telex("plugins", "lock", config, path=wire.plugins).returncode == 0
    done = telex("plugins", "verify", config, path=wire.plugins)
    assert done.returncode == 0 and done.stdout.count(" locked signed ") == 3
    change_one_byte(plugins[0])
    telex("plugins", "sign", plugins[0], "--key", key)  # a newer version, signed by the same maker
    done = telex("validate", config, path=wire.plugins)
    assert done.returncode == UNTRUSTED and "is not the file that " in done.stderr


def test_the_secret_key_is_for_its_owner_alone(telex, wire, tmp_path):
    key, pub = keygen(telex, tmp_path)
    assert key.stat().st_mode & 0o777 == 0o600 and pub.stat().st_mode & 0o777 == 0o644
    done = telex("plugins", "keygen", "a")
    assert done.returncode == 1 and "a.key: is there already; give another NAME, or move it away" in done.stderr
    noop = wire.plugins / "stage-noop.so"
    key.chmod(0o640)
    done = telex("plugins", "sign", noop, "--key", key)
    assert done.returncode == 1 and "a.key: may be opened by others than its owner (mode 0640); chmod 600 it" in done.stderr
    assert not pathlib.Path(f"{noop}.minisig").exists()
    done = telex("plugins", "sign", noop, "--key", pub)
    assert done.returncode == 1 and "a.pub: may be opened by others" in done.stderr
    pub.chmod(0o600)
    assert "a.pub: is no secret key" in telex("plugins", "sign", noop, "--key", pub).stderr
    text = tmp_path / "text.so"
    text.write_text("no plugin")
    key.chmod(0o600)
    assert "is not an ELF file" in telex("plugins", "sign", text, "--key", key).stderr


def test_verify_checks_files_against_keys(telex, wire, tmp_path):
    key, pub = keygen(telex, tmp_path)
    noop, sink = wire.plugins / "stage-noop.so", wire.plugins / "sink-file.so"
    telex("plugins", "sign", noop, "--key", key)
    done = telex("plugins", "verify", noop, "--key", pub)
    assert done.returncode == 0 and f"{noop}: good, by key " in done.stdout and ": telex plugin stage-noop 0.1.0\n" in done.stdout
    assert telex("plugins", "verify", noop).returncode == UNTRUSTED
    done = telex("plugins", "verify", noop, sink, "--key", pub)
    assert done.returncode == UNTRUSTED and "sink-file.so: is not signed" in done.stderr
    assert telex("plugins", "verify", noop, "--key", key).returncode == 2


def test_the_list_of_plugins_says_who_signed(telex, wire, tmp_path):
    key, pub = keygen(telex, tmp_path)
    telex("plugins", "sign", *sorted(wire.plugins.glob("*.so")), "--key", key)
    config = wire(f"plugins: {{keys: [{pub}]}}")
    noop = wire.plugins / "stage-noop.so"
    listed = {p["name"]: p["signature"] for p in json.loads(telex("plugins", "--json", path=wire.plugins).stdout)["plugins"]}
    assert listed["stage-noop"]["state"] == "unknown" and len(listed["stage-noop"]["key"]) == 16
    done = telex("plugins", "--json", "--config", config, "stage-noop", path=wire.plugins)
    assert json.loads(done.stdout)["signature"]["state"] == "good"
    assert "  signature good, key " in telex("plugins", "--config", config, "stage-noop", path=wire.plugins).stdout
    table = telex("plugins", path=wire.plugins).stdout.splitlines()
    assert table[0].split() == ["NAME", "VERSION", "KIND", "SIGNED", "WHAT", "IT", "DOES"]
    assert any(line.split()[:4] == ["stage-noop", "0.1.0", "filter", "unknown"] for line in table)
    pathlib.Path(f"{noop}.minisig").unlink()
    done = telex("plugins", "stage-noop", path=wire.plugins)
    assert "  signature none\n" in done.stdout
    done = telex("plugins", "--config", config, "stage-noop", path=wire.plugins)
    assert done.returncode == UNTRUSTED


# ---- minisign, where it is installed ----

@pytest.mark.skipif(not shutil.which("minisign"), reason="minisign is not installed")
def test_minisign_checks_our_signatures_and_makes_ours(telex, wire, tmp_path):
    def minisign(*args):
        return subprocess.run(["minisign", *map(str, args)], capture_output=True, text=True, cwd=tmp_path, timeout=60,
                              stdin=subprocess.DEVNULL)

    noop = wire.plugins / "stage-noop.so"
    key, pub = keygen(telex, tmp_path)
    telex("plugins", "sign", noop, "--key", key)
    done = minisign("-V", "-m", noop, "-p", pub)
    assert done.returncode == 0, done.stderr
    assert "Trusted comment: telex plugin stage-noop 0.1.0" in done.stdout

    assert minisign("-S", "-m", noop, "-s", key, "-t", "by minisign").returncode == 0  # their tool with our key
    done = telex("plugins", "verify", noop, "--key", pub)
    assert done.returncode == 0 and ": by minisign" in done.stdout, done.stderr
    assert minisign("-S", "-l", "-m", noop, "-s", key).returncode == 0  # the older kind, over the file itself
    assert telex("plugins", "verify", noop, "--key", pub).returncode == 0

    assert minisign("-G", "-W", "-p", "theirs.pub", "-s", "theirs.key").returncode == 0
    (tmp_path / "theirs.key").chmod(0o600)
    done = telex("plugins", "sign", noop, "--key", "theirs.key")
    assert done.returncode == 0, done.stderr
    assert telex("plugins", "verify", noop, "--key", "theirs.pub").returncode == 0
    assert minisign("-V", "-m", noop, "-p", "theirs.pub").returncode == 0

    made = subprocess.run(["minisign", "-G", "-p", "locked.pub", "-s", "locked.key"], input="pass\npass\n", capture_output=True,
                          text=True, cwd=tmp_path, timeout=60)
    if made.returncode == 0:
        (tmp_path / "locked.key").chmod(0o600)
        done = telex("plugins", "sign", noop, "--key", "locked.key")
        assert done.returncode == 1 and "has a password, which telex does not ask for; sign with `minisign -S`" in done.stderr
