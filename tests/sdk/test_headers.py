# SPDX-License-Identifier: Apache-2.0
"""The contract's headers parse alone, as strict C11 and as C++17, with every compiler that is here."""
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(os.environ["TELEX_SOURCE"])
CONTRACT = sorted((ROOT / "include" / "telex").rglob("*.h"))
SDK = sorted((ROOT / "sdk" / "telex-sdk").glob("*.h"))
STRICT = ["-fsyntax-only", "-pedantic", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include", f"-I{ROOT}/sdk"]


def parse(compiler, language, standard, header):
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    done = subprocess.run([compiler, f"-std={standard}", *STRICT, "-x", language, str(header)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("header", CONTRACT, ids=lambda h: h.name)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_a_contract_header_is_strict_c11(compiler, header):
    parse(compiler, "c", "c11", header)


@pytest.mark.parametrize("header", CONTRACT, ids=lambda h: h.name)
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_a_contract_header_is_cpp17(compiler, header):
    parse(compiler, "c++", "c++17", header)


@pytest.mark.parametrize("header", SDK, ids=lambda h: h.name)
def test_an_sdk_header_is_strict_c11(header):
    parse("gcc", "c", "c11", header)


@pytest.mark.parametrize("header", CONTRACT, ids=lambda h: h.name)
def test_a_contract_header_includes_nothing_but_the_contract_and_freestanding_headers(header):
    allowed = {"stddef.h", "stdint.h"}
    for line in header.read_text().splitlines():
        if line.startswith("#include <"):
            assert line.split("<")[1].split(">")[0] in allowed
        if line.startswith('#include "'):
            assert (header.parent / line.split('"')[1]).exists()

