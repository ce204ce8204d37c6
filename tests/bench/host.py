#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench-host: records a second through no-op stages, in memory, isolated and with the journal, beside other programs.

A source makes records, stages pass them on, a sink counts. The kinds are run in turn, several rounds, and the median of
each is shown with the processor time that a record took (host and runners together; source and sink included). Each kind
runs once more with a single record, and that start-up is taken off. In the same run:

  bare SQLite   one 200-byte row to an insert, 128 to a commit, WAL, synchronous FULL (what durability full asks for)
  GStreamer     the same 1 KiB messages through appsrc ! identity ! identity ! appsink (gst_pass.c: buffer lists of 64)
  rsyslog       the same 1 KiB messages through imptcp, its main queue and omfile, 1,024 to a batch; a queue in memory,
                and one on disk without fsync. rsyslogd's time only, not that of who feeds it.
"""
import argparse
import os
import resource
import shutil
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CONFIG = """
pipeline: bench
journal: {{path: bench.journal, durability: {durability}}}
stages:
  source: {{plugin: source-count, options: {{count: {count}, bytes: {bytes}, batch: 64}}}}
"""

ONE_KIB = 1024
TEXT_1_KIB = ONE_KIB - 209  # what source-count writes around the text of a record with a number of six digits

# name: (durability, isolation, stages, bytes of text, records)
KINDS = {
    "memory, four stages": ("memory", "thread", 4, 200, 1000000),
    "memory, four stages in runners": ("memory", "process", 4, 200, 400000),
    "journal normal, four stages": ("normal", "thread", 4, 200, 60000),
    "journal full, four stages": ("full", "thread", 4, 200, 60000),
    "memory, two stages, 1 KiB": ("memory", "thread", 2, TEXT_1_KIB, 500000),
    "journal normal, two stages, 1 KiB": ("normal", "thread", 2, TEXT_1_KIB, 60000),
}


def write_config(path, kind, count):
    durability, isolation, stages, size, _ = KINDS[kind]
    text = CONFIG.format(durability=durability, count=count, bytes=size)
    before = "source"
    for i in range(stages):
        text += f"  stage-{i}: {{plugin: stage-noop, from: {before}, isolation: {isolation}}}\n"
        before = f"stage-{i}"
    path.write_text(text + f"  sink: {{plugin: sink-count, from: {before}}}\n")


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def timed(command, **more):
    """(seconds, processor seconds) of a command that must succeed."""
    before, began = children_cpu(), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **more)
    return time.monotonic() - began, children_cpu() - before


def telex(build, kind):
    """(records/s, processor microseconds a record), start-up taken off."""
    count = KINDS[kind][-1]
    env = {**os.environ, "TELEX_PLUGIN_PATH": str(build / "tests" / "plugins")}
    took = []
    for records in (1, count):
        with tempfile.TemporaryDirectory(prefix="telex-bench-") as folder:
            config = Path(folder) / "bench.yaml"
            write_config(config, kind, records)
            took.append(timed([build / "host" / "telex", "run", "--once", "--log", "error", config], env=env))
    wall, cpu = took[1][0] - took[0][0], took[1][1] - took[0][1]
    return count / wall, cpu / count * 1e6


def bare_sqlite(rows=100000, per_commit=128):
    with tempfile.TemporaryDirectory(prefix="telex-bench-") as folder:
        db = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE msg(seq INTEGER PRIMARY KEY, body BLOB)")
        body = b"x" * 200
        began, cpu = time.monotonic(), time.process_time()
        for first in range(0, rows, per_commit):
            db.execute("BEGIN")
            db.executemany("INSERT INTO msg VALUES(?, ?)", ((i, body) for i in range(first, first + per_commit)))
            db.execute("COMMIT")
        return rows / (time.monotonic() - began), (time.process_time() - cpu) / rows * 1e6


# ---- peers ----

def build_gst_pass(folder):
    """The compiled gst-pass, or None where GStreamer's development files are not installed."""
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "gstreamer-app-1.0"], capture_output=True, text=True)
    if flags.returncode != 0:
        return None
    program = Path(folder) / "gst-pass"
    subprocess.run(["cc", "-O2", "-o", program, ROOT / "tests" / "bench" / "gst_pass.c", *flags.stdout.split()], check=True)
    return program


def gstreamer(program, count=500000):
    start = timed([program, "1", str(ONE_KIB)])
    whole = timed([program, str(count), str(ONE_KIB)])
    return count / (whole[0] - start[0]), (whole[1] - start[1]) / count * 1e6


RSYSLOG = """
global(workDirectory="{folder}" maxMessageSize="8k")
module(load="imptcp")
main_queue(queue.type="{queue}" queue.filename="queue" queue.size="200000" queue.dequeueBatchSize="1024"
  queue.timeoutShutdown="10000")
template(name="raw" type="string" string="%rawmsg%\n")
input(type="imptcp" address="127.0.0.1" port="{port}")
action(type="omfile" file="{folder}/out" template="raw")
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def connect(port, process):
    for _ in range(500):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            if process.poll() is not None:
                raise RuntimeError("rsyslogd ended at its start") from None
            time.sleep(0.01)
    raise RuntimeError("rsyslogd does not listen")


def feed(port, process, out, count):
    """Seconds from the first byte sent until the last message is in the file."""
    head = b"<13>Jan  1 00:00:00 host bench: "
    message = head + b"x" * (ONE_KIB - 1 - len(head)) + b"\n"
    chunk, done = message * 64, 0
    with connect(port, process) as s:
        began = time.monotonic()
        while done < count:
            n = min(64, count - done)
            s.sendall(chunk[:n * len(message)])
            done += n
        while not out.exists() or out.stat().st_size < count * len(message):
            time.sleep(0.001)
            if time.monotonic() - began > 60:
                raise RuntimeError(f"rsyslogd wrote {out.stat().st_size // len(message)} of {count} messages")
        return time.monotonic() - began


def rsyslog(queue, count):
    with tempfile.TemporaryDirectory(prefix="telex-bench-") as folder:
        port, config = free_port(), Path(folder) / "rsyslog.conf"
        config.write_text(RSYSLOG.format(folder=folder, queue=queue, port=port))
        before = children_cpu()
        process = subprocess.Popen([shutil.which("rsyslogd") or "/usr/sbin/rsyslogd", "-n", "-f", config, "-i",
                                    Path(folder) / "pid"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            seconds = feed(port, process, Path(folder) / "out", count)
        finally:
            process.terminate()
            process.wait(30)
        return count / seconds, (children_cpu() - before) / count * 1e6


def peers(folder):
    found = {"bare SQLite, one row each": bare_sqlite}
    program = build_gst_pass(folder)
    if program:
        found["GStreamer, two identity, 1 KiB"] = lambda: gstreamer(program)
    if shutil.which("rsyslogd") or Path("/usr/sbin/rsyslogd").exists():
        found["rsyslog, queue in memory, 1 KiB"] = lambda: rsyslog("LinkedList", 200000)
        found["rsyslog, queue on disk, 1 KiB"] = lambda: rsyslog("Disk", 60000)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build-release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="kinds whose name has this text")
    args = parser.parse_args()
    build = args.build.resolve()
    with tempfile.TemporaryDirectory(prefix="telex-bench-") as folder:
        runs = {kind: lambda kind=kind: telex(build, kind) for kind in KINDS} | peers(folder)
        runs = {name: run for name, run in runs.items() if not args.only or args.only in name}
        got = {name: [] for name in runs}
        for _ in range(args.rounds):
            for name, run in runs.items():
                got[name].append(run())
    print(f"{'':<36} {'records/s':>12} {'spread':>21} {'us of CPU/record':>17}")
    for name, results in got.items():
        rates = sorted(rate for rate, _ in results)
        cpu = statistics.median(cpu for _, cpu in results)
        print(f"{name:<36} {statistics.median(rates):>12,.0f} {rates[0]:>10,.0f}-{rates[-1]:<10,.0f} {cpu:>17.2f}")


if __name__ == "__main__":
    main()
