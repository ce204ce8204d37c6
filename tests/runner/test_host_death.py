# SPDX-License-Identifier: Apache-2.0
"""A runner dies with its host, however the host dies."""
import os
import signal
import subprocess
import time

import pytest

HOST = os.environ["HOST_PROGRAM"]


def start(mode):
    host = subprocess.Popen([HOST, mode], stdout=subprocess.PIPE, text=True)
    words = host.stdout.readline().split()
    assert words[:1] == ["runner"], words
    return host, int(words[1])


def lives(pid):
    """Whether pid is a runner that is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            text = stat.read()
    except OSError:
        return False
    name, state = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2]
    return name == "telex-runner" and state not in "ZX"


def seconds_until_gone(pid, limit=10.0):
    began = time.monotonic()
    while lives(pid) and time.monotonic() - began < limit:
        time.sleep(0.005)
    return time.monotonic() - began


@pytest.mark.parametrize("mode", ["idle", "busy", "hang"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_the_runner_is_gone_a_second_after_its_host(mode, how):
    host, runner = start(mode)
    time.sleep(0.05)
    assert lives(runner)
    host.send_signal(how)
    host.wait(timeout=30)
    assert seconds_until_gone(runner) < 1.0


def test_a_runner_started_by_hand_says_what_it_is_for():
    ran = subprocess.run([os.environ["TELEX_RUNNER"]], capture_output=True, text=True, timeout=30)
    assert ran.returncode == 2
    assert "isolation: process" in ran.stderr


def test_a_runner_whose_parent_is_another_process_ends():
    ran = subprocess.run([os.environ["TELEX_RUNNER"], "stage", "1", "0"], capture_output=True, text=True, timeout=30)
    assert ran.returncode == 73
