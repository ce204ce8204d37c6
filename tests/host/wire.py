# SPDX-License-Identifier: Apache-2.0
"""wire.py - run real pipelines from tests: a private folder, the real program, bounded waits."""
import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

TELEX = os.environ["TELEX_PROGRAM"]
PLUGINS = os.environ["TELEX_PLUGIN_PATH"]
SLOW = float(os.environ.get("TELEX_TEST_SLOWNESS", "1"))


class Wire:
    """One pipeline in a folder of its own."""

    def __init__(self, folder: Path, config: str, name: str = "wire"):
        self.folder = folder
        self.config = folder / f"{name}.yaml"
        self.config.write_text(config)
        self.journal = folder / f"{name}.journal"
        self.log = folder / f"{name}.log"

    def start(self, *args, env=None, once=True):
        """Start the host; the process is the caller's to wait for."""
        command = [TELEX, "run", "--log", "debug", *(["--once"] if once else []), *args, str(self.config)]
        with open(self.log, "ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(env or {})},
                                    cwd=self.folder)

    def run(self, *args, env=None, timeout=60, once=True):
        """Run to the end; the exit code."""
        process = self.start(*args, env=env, once=once)
        try:
            return process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError("did not end:\n" + self.logged()[-3000:]) from None

    def logged(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_for(self, text, timeout=20, since=0):
        """Wait until the log has a text; its whole content."""
        end = time.monotonic() + timeout * SLOW
        while time.monotonic() < end:
            logged = self.logged()
            if text in logged[since:]:
                return logged
            time.sleep(0.02)
        raise AssertionError(f"never logged {text!r}:\n" + self.logged()[-3000:])

    def command(self, *args, timeout=30):
        return subprocess.run([TELEX, *args], capture_output=True, text=True, timeout=timeout * SLOW, cwd=self.folder)

    def ask(self, **request):
        """One request over the control socket; its path may be longer than an address holds."""
        folder = os.open(self.folder, os.O_PATH)
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.settimeout(20 * SLOW)
                client.connect(f"/proc/self/fd/{folder}/{self.journal.name}.sock")
            finally:
                os.close(folder)
            client.sendall(json.dumps(request).encode() + b"\n")
            return json.loads(client.makefile().readline())

    def audit(self):
        """(clean, text) of telex audit."""
        done = self.command("audit", str(self.journal))
        return done.returncode == 0, done.stdout + done.stderr

    def query(self, sql, *values):
        db = sqlite3.connect(self.journal, timeout=10)
        try:
            return db.execute(sql, values).fetchall()
        finally:
            db.close()

    def quarantine(self):
        done = self.command("quarantine", "list", "--json", str(self.journal))
        return [json.loads(line) for line in done.stdout.splitlines()]


def lines(path: Path):
    """The JSON lines a sink-file wrote."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def kill(process):
    """End a process we started, by its id, as kill -9 does."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
