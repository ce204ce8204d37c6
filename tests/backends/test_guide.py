# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/model-backends.md, one after the other, in an empty folder with an installed telex."""
import os
import pathlib
import re
import subprocess

import pytest

SOURCE = pathlib.Path(os.environ["TELEX_SOURCE"])
GUIDE = SOURCE / "docs" / "model-backends.md"


def commands():
    """The indented lines that are commands, in order."""
    words = ("cp ", "cd ", "python3 ", "meson ", "ninja ", "telex ")
    return [line.strip() for line in GUIDE.read_text().splitlines() if re.match(r"    \S", line) and line.strip().startswith(words)]


@pytest.mark.skipif(os.environ["TELEX_SANITIZE"] != "none", reason="the SDK's library has sanitizers that the guide's build has not")
def test_a_stranger_gets_to_a_working_backend(tmp_path):
    root, work = tmp_path / "install", tmp_path / "work"
    work.mkdir()
    subprocess.run(["meson", "install", "-C", os.environ["TELEX_BUILD"], "--no-rebuild", "--destdir", root, "--quiet", "--tags",
                    "devel,runtime"], check=True, capture_output=True, timeout=300)
    for file in root.rglob("*.pc"):
        lines = file.read_text().splitlines()
        lines[0] = f"prefix={root}{lines[0].removeprefix('prefix=')}"
        file.write_text("\n".join(lines) + "\n")
    [program], [pkgconfig] = root.rglob("bin/telex"), {file.parent for file in root.rglob("*.pc")}
    env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PKG_CONFIG_PATH": str(pkgconfig), "TELEX_PLUGIN_PATH": ""}
    assert len(commands()) >= 10
    done = subprocess.run(["bash", "-e"], input="\n".join(commands()), cwd=work, env=env, capture_output=True, text=True, timeout=300,
                          check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.count(": fine: ") == 2 and "first token after ms" in done.stdout and "4 of 4 the same" in done.stdout


def test_the_backend_to_begin_from_is_small():
    assert len((SOURCE / "sdk" / "model-byte" / "model-byte.c").read_text().splitlines()) < 400
