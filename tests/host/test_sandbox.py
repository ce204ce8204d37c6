# SPDX-License-Identifier: Apache-2.0
"""What an isolated stage can do is what its plugin declared. stage-escape tries; each try gives 0 or an errno."""
import errno
import os
import socket

import pytest

from wire import Wire, lines

CONFIG = """
pipeline: cage
journal: {{durability: memory}}
stages:
  source: {{plugin: source-count, options: {{count: 2}}}}
  escape: {{plugin: {plugin}, from: source, isolation: process{more}, options: {{path: {own}, secret: {secret}, port: {port}}}}}
  sink: {{plugin: sink-file, from: escape, options: {{path: out.jsonl}}}}
"""
SANITIZED = "asan" in os.environ["TELEX_PROGRAM"] or "tsan" in os.environ["TELEX_PROGRAM"]
NEVER = ["mount", "namespace"] + ([] if SANITIZED else ["signal_host", "trace_host"])
PROCESSES = [] if SANITIZED else ["fork", "exec"]


@pytest.fixture
def listener():
    server = socket.create_server(("127.0.0.1", 0))
    yield server.getsockname()[1]
    server.close()


def escape(folder, port, plugin, more=""):
    """What worked: the set of tries that gave 0, of both records, and the log."""
    own, secret = folder / "own" / "file", folder / "secret" / "file"
    for path in (own, secret):
        path.parent.mkdir(exist_ok=True)
        path.write_text("words")
    wire = Wire(folder, CONFIG.format(plugin=plugin, own=own, secret=secret, port=port, more=more))
    assert wire.run() == 0, wire.logged()
    got = lines(folder / "out.jsonl")
    assert len(got) == 2
    assert got[0].keys() == got[1].keys()
    tries = {key: value for key, value in got[1].items() if isinstance(value, int)}
    return {key for key, value in tries.items() if value == 0}, tries, wire.logged()


def lacks(log, what):
    return f"this kernel has no {what}" in log or f"; no {what}" in log


def bounded_files(log):
    if lacks(log, "Landlock"):
        pytest.skip("this kernel has no Landlock")


def test_without_a_need_there_is_only_computing(tmp_path, listener):
    worked, tries, log = escape(tmp_path, listener, "stage-escape")
    bounded_files(log)
    assert worked == {"thread", "read_own"} | ({"fork", "signal_host"} & worked if SANITIZED else set()), tries
    assert tries["read_secret"] == tries["write_own"] == errno.EACCES
    assert tries["connect"] == errno.EACCES


def test_net_gives_sockets_and_no_more(tmp_path, listener):
    worked, tries, log = escape(tmp_path, listener, "stage-escape-net")
    bounded_files(log)
    assert {"thread", "read_own", "connect", "unix_socket"} <= worked
    assert not worked & {"read_secret", "write_own", "write_beside", "write_secret", *NEVER, *PROCESSES}, tries


def test_read_gives_every_file_to_read(tmp_path, listener):
    worked, tries, log = escape(tmp_path, listener, "stage-escape-read")
    bounded_files(log)
    assert {"thread", "read_own", "read_secret"} <= worked
    assert not worked & {"write_own", "write_beside", "write_secret", "connect", *NEVER, *PROCESSES}, tries


def test_write_gives_what_its_options_name(tmp_path, listener):
    worked, tries, log = escape(tmp_path, listener, "stage-escape-write")
    bounded_files(log)
    assert {"thread", "read_own", "write_own", "write_beside"} <= worked
    assert not worked & {"read_secret", "write_secret", "connect", *NEVER, *PROCESSES}, tries


def test_gpu_is_looser_and_still_has_no_network(tmp_path, listener):
    worked, tries, _ = escape(tmp_path, listener, "stage-escape-gpu")
    assert {"thread", "read_own", "read_secret", "write_own", "fork"} <= worked
    assert tries["exec"] == errno.ENOTDIR  # it was let through to the kernel
    assert not worked & {"connect", *NEVER}, tries


def test_off_is_off(tmp_path, listener):
    worked, tries, _ = escape(tmp_path, listener, "stage-escape", ", sandbox: off")
    assert {"thread", "read_own", "read_secret", "write_own", "write_secret", "connect", "fork", "signal_host"} <= worked, tries


def test_limits_bind(tmp_path):
    """A stage that takes more memory than it may is one that fails, and the pipeline goes on."""
    wire = Wire(tmp_path, """
pipeline: small
journal: {durability: memory}
stages:
  source: {plugin: source-count, options: {count: 3}}
  noop: {plugin: stage-noop, from: source, isolation: process, limits: {memory: 1KiB}}
  sink: {plugin: sink-file, from: noop, options: {path: out.jsonl}}
""")
    assert wire.run() != 0
    assert "cannot be created" in wire.logged() or "could not be created" in wire.logged() or "cannot start" in wire.logged()
