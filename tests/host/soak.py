#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""soak.py - kill -9 the host at random moments of the archive run and compare what comes out.

The wire is configs/archive.yaml with a scripted stand-in for the model, so that a run takes seconds. After every
kill `telex audit` must be clean. When a disturbed run has come to its end, its dispatches (ids and contents), its
pages (bytes) and its events (each version once) must equal those of an undisturbed run. Runs are begun anew until
the wanted number of kills has hit a living host."""
import argparse
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Archive:
    """One archive wire in a folder of its own."""

    def __init__(self, folder, build, config, isolation, model=None):
        self.folder = Path(folder)
        self.telex = build / "host" / "telex"
        self.config = self.folder / "wire.yaml"
        text = config.read_text()
        model_path, model = model, 'plugin: model-cpu, options: {path: "${env:TELEX_MODEL_PATH}"}'
        if not model_path:
            assert model in text
            text = text.replace(model, "plugin: model-script")
        text = text.replace("../var/", "").replace("path: seed-", f"path: {config.parent}/seed-")
        self.config.write_text(text.replace("isolation: process", f"isolation: {isolation}"))
        self.env = {**os.environ, "TELEX_LISTEN": "127.0.0.1:0", "TELEX_ADMIN": "127.0.0.1:0",
                    "TELEX_PLUGIN_PATH": plugin_path(build), "TELEX_MODEL_PATH": str(model_path or "")}
        self.log = open(self.folder / "log", "ab")

    def start(self, once=True):
        once = ["--once"] if once else []
        return subprocess.Popen([self.telex, "run", *once, "--set", "stages.wire.options.base_url=https://wire.example", self.config], stdout=self.log, stderr=self.log,
                                env=self.env, cwd=self.folder)

    def journal(self):
        return next(self.folder.glob("*.journal"), None)

    def command(self, *args):
        return subprocess.run([self.telex, *args], capture_output=True, text=True, env=self.env, timeout=120)

    def audit(self):
        journal = self.journal()
        if not journal:
            return
        done = self.command("audit", str(journal))
        if done.returncode != 0:
            raise SystemExit(f"audit is not clean:\n{done.stdout}{done.stderr}")

    def outcome(self):
        """What must not depend on the kills."""
        lines = self.command("dispatches", "--json", str(self.journal())).stdout.splitlines()
        dispatches = sorted(lines, key=lambda line: json.loads(line)["dispatch"]["id"])
        site = next(path for path in self.folder.iterdir() if path.is_dir() and path.name.endswith("-site"))
        pages = {str(path.relative_to(site)): hashlib.sha256(path.read_bytes()).hexdigest()
                 for path in sorted(site.rglob("*")) if path.is_file()}
        return dispatches, pages


def plugin_path(build):
    folders = [p for p in (build / "plugins").iterdir() if p.is_dir()]
    folders += [build / "tests" / "plugins", build / "tests" / "plugins" / "model-script"]
    return ":".join(str(folder) for folder in folders)


def disturbed(archive, moments, longest_s, wanted):
    """Run to the end with kills on the way; how many hit."""
    hits = 0
    while True:
        process = archive.start()
        limit = moments.uniform(0.0, longest_s) if hits < wanted else 300
        try:
            code = process.wait(limit)
            if code != 0:
                raise SystemExit(f"the host exited {code}; see {archive.folder}/log")
            return hits
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            hits += 1
            archive.audit()


def reloaded(archive, moments):
    """Run to the end while the config is reloaded all the time, each stage with another time limit each time; how many
    reloads took place."""
    plain = archive.config.read_text()
    process, n = archive.start(), 0
    while process.poll() is None:
        n += 1
        new = archive.folder / "new.yaml"
        new.write_text(re.sub(r"^(    plugin: .*)$", rf"\1\n    timeout: {300 + n}s", plain, flags=re.M))
        new.rename(archive.config)
        if (archive.folder / "log").stat().st_size > 0:  # before it has begun a signal would end it
            process.send_signal(signal.SIGHUP)
        time.sleep(moments.uniform(0.1, 0.4))
    if process.returncode != 0:
        raise SystemExit(f"the host exited {process.returncode}; see {archive.folder}/log")
    archive.audit()
    return (archive.folder / "log").read_text().count("reload: generation")


def compare(got, expected):
    if got == expected:
        return
    for a, b in zip(got[0], expected[0]):
        if a != b:
            raise SystemExit(f"a dispatch differs:\n{a[:2000]}\n{b[:2000]}")
    different = sorted(set(got[1].items()) ^ set(expected[1].items()))
    raise SystemExit(f"{len(got[0])} dispatches, expected {len(expected[0])}; pages that differ: {different[:10]}")


def soak(build, config, isolation, kills, seed, say=print):
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="telex-soak-") as top:
        os.mkdir(f"{top}/plain")
        plain = Archive(f"{top}/plain", build, config, isolation)
        began = time.monotonic()
        if plain.start().wait(300) != 0:
            raise SystemExit("the undisturbed run failed:\n" + (plain.folder / "log").read_text()[-3000:])
        whole_s = time.monotonic() - began
        plain.audit()
        expected = plain.outcome()
        say(f"undisturbed: {len(expected[0])} dispatches, {len(expected[1])} files, {whole_s:.1f} s")
        hits = runs = 0
        while hits < kills:
            runs += 1
            os.mkdir(f"{top}/{runs}")
            archive = Archive(f"{top}/{runs}", build, config, isolation)
            hits += disturbed(archive, moments, whole_s, kills - hits)
            archive.audit()
            compare(archive.outcome(), expected)
            say(f"{hits} kills in {runs} runs: same dispatches, same pages, audit clean")
        return hits, runs, len(expected[0])


def soak_reloads(build, config, isolation, runs, seed, say=print):
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="telex-soak-") as top:
        os.mkdir(f"{top}/plain")
        plain = Archive(f"{top}/plain", build, config, isolation)
        if plain.start().wait(300) != 0:
            raise SystemExit("the undisturbed run failed:\n" + (plain.folder / "log").read_text()[-3000:])
        expected, reloads = plain.outcome(), 0
        for run in range(runs):
            os.mkdir(f"{top}/{run}")
            archive = Archive(f"{top}/{run}", build, config, isolation)
            reloads += reloaded(archive, moments)
            compare(archive.outcome(), expected)
            say(f"{reloads} reloads of all stages in {run + 1} runs: same dispatches, same pages, audit clean")
        return reloads, len(expected[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "archive.yaml")
    parser.add_argument("--isolation", default="process", choices=["process", "thread"])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reload-runs", type=int, default=0, help="instead of kills: so many runs with reloads")
    args = parser.parse_args()
    if args.reload_runs:
        reloads, dispatches = soak_reloads(args.build.resolve(), args.config, args.isolation, args.reload_runs, args.seed)
        print(f"soak: {reloads} reloads over {args.reload_runs} runs, {dispatches} dispatches each time, nothing lost, nothing twice")
        return
    hits, runs, dispatches = soak(args.build.resolve(), args.config, args.isolation, args.kills, args.seed)
    print(f"soak: {hits} kills over {runs} runs, {dispatches} dispatches each time, nothing lost, nothing twice")


if __name__ == "__main__":
    sys.exit(main())
