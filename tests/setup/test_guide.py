# SPDX-License-Identifier: Apache-2.0
"""Every C snippet of the plugin guide compiles, in the order of the guide, with the warnings that the tree has."""
import os
import pathlib
import re
import subprocess

import pytest

SOURCE = pathlib.Path(os.environ["TELEX_SOURCE"])
GUIDE = SOURCE / "docs" / "plugin-guide.md"
PRELUDE = """#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <telex/ext/kv.h>
#include <telex-sdk/plugin.h>
"""
# What the snippets only declare, so that the whole links.
REST = """
static telex_status mine_create(const struct telex_host *host, struct telex_bytes given, void **self) {
    struct settings settings = {0};
    void *memory = NULL;
    *self = (void *)(uintptr_t)host;
    telex_status status = read_settings(given, &settings, &memory);
    free(memory);
    return status;
}
static telex_status mine_process(void *self, telex_lease lease, struct telex_rec *in) {
    return pass_news(self, lease, in);
}
static void mine_destroy(void *self) { (void)self; }
"""


def snippets():
    return re.findall(r"^```c\n(.*?)^```$", GUIDE.read_text(), re.M | re.S)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_snippets_compile_and_are_a_plugin(compiler, tmp_path):
    parts = snippets()
    assert len(parts) >= 6
    source = tmp_path / "filter-mine.c"
    source.write_text(PRELUDE + "\n".join(parts) + REST)
    done = subprocess.run([compiler, "-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-function", "-Werror", "-fPIC", "-c",
                           f"-I{SOURCE}/include", f"-I{SOURCE}/sdk", source, "-o", tmp_path / "out.o"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_call_that_the_guide_names_is_in_the_contract():
    contract = "\n".join(path.read_text() for folder in ("include/telex", "sdk/telex-sdk")
                         for path in (SOURCE / folder).rglob("*.h"))
    for name in re.findall(r"`(?:host->)?((?:telex|TELEX)_\w+)", GUIDE.read_text()):
        assert re.search(rf"\b{name}\b", contract) or name in {"TELEX_PLUGIN_PATH"}, name


def test_every_command_that_the_guide_names_is_there(telex):
    help_text = telex("--help").stdout
    named = re.findall(r"(?:`|^    )(?:.*args )?telex ([a-z]+)", GUIDE.read_text(), re.M)
    assert {"plugin", "check", "stage", "validate"} <= set(named)
    for name in set(named):
        assert re.search(rf"^  {name}\b", help_text, re.M), name
