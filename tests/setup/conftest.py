# SPDX-License-Identifier: Apache-2.0
"""What the set-up tests share: the program, and the folders with the tests' plugins."""
import os
import subprocess

import pytest

TELEX = os.environ["TELEX"]
PLUGINS = os.environ["TELEX_TEST_PLUGINS"]
BAD_PLUGINS = os.environ["TELEX_TEST_BAD_PLUGINS"]


@pytest.fixture
def telex(tmp_path):
    """Run telex with its own HOME, runtime folder and the good test plugins; gives the finished process."""
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)

    def run(*args, path=PLUGINS, timeout=60, stdin="", env=None, cwd=None):
        full = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(runtime),
                "TELEX_PLUGIN_PATH": path, **{k: v for k, v in os.environ.items() if k.startswith(("ASAN", "UBSAN", "LSAN"))},
                **(env or {})}
        return subprocess.run([TELEX, *map(str, args)], input=stdin, capture_output=True, text=True, timeout=timeout,
                              env=full, cwd=cwd or tmp_path)

    return run
