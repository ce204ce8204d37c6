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


def test_the_layout_of_abi_1_0_has_not_moved(tmp_path):
    """Offsets on 64-bit machines, as the first release has them: a difference breaks every plugin out there."""
    source = tmp_path / "layout.c"
    source.write_text("""
#include <telex/plugin.h>
#include <telex/ext/models.h>
#define AT(type, member, offset) _Static_assert(offsetof(struct type, member) == (offset), #type "." #member)
#define SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type)
AT(telex_plugin, abi_major, 4); AT(telex_plugin, min_minor, 8); AT(telex_plugin, name, 16);
AT(telex_plugin, provides, 48); SIZE(telex_plugin, 56);
AT(telex_stage, role, 4); AT(telex_stage, max_outputs, 12); AT(telex_stage, name, 16); AT(telex_stage, ports, 40);
AT(telex_stage, create, 64); AT(telex_stage, process, 80); AT(telex_stage, destroy, 128); SIZE(telex_stage, 136);
AT(telex_host, impl, 8); AT(telex_host, ext, 16); AT(telex_host, view, 48); AT(telex_host, get, 72);
AT(telex_host, loan, 88); AT(telex_host, complete, 120); AT(telex_host, exhausted, 144); SIZE(telex_host, 152);
AT(telex_option, offset, 12); AT(telex_option, name, 16); AT(telex_option, min, 48); SIZE(telex_option, 72);
AT(telex_port, name, 8); SIZE(telex_port, 24);
AT(telex_view, version, 8); AT(telex_view, body, 48); SIZE(telex_view, 64);
AT(telex_loan, handle, 8); AT(telex_loan, data, 24); SIZE(telex_loan, 32);
""")
    done = subprocess.run(["gcc", "-std=c11", "-fsyntax-only", f"-I{ROOT}/include", str(source)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
