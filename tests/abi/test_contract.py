# SPDX-License-Identifier: Apache-2.0
"""The contract of a released minor never moves: layout, constants, and every call's type.

Two tools look, because each is blind to something: `layout.py` does not see the parameters of a call, libabigail's
`abidiff` not the constants. A tool that is missing fails the test. docs/abi.md says what may change and how."""
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import layout

HERE = Path(__file__).resolve().parent
CURRENT = HERE.parents[1] / "include"
FROZEN = sorted((HERE / "frozen").iterdir())


def released(folder):
    return (folder / "layout.txt").read_text().splitlines()


@pytest.fixture(params=FROZEN, ids=lambda folder: folder.name)
def frozen(request):
    return request.param


def test_a_frozen_folder_is_what_its_layout_says(frozen):
    assert layout.layout(frozen) == released(frozen)


def test_nothing_of_a_released_layout_has_moved(frozen):
    now = set(layout.layout(CURRENT))
    assert [line for line in released(frozen) if line not in now] == []


def members(lines):
    """The struct lines of a layout as {struct: {member: (offset, size)}}."""
    out = {}
    for struct, member, offset, size in re.findall(r"^struct (\w+)\.(\w+) (\d+) (\d+)$", "\n".join(lines), re.M):
        out.setdefault(struct, {})[member] = (int(offset), int(size))
    return out


def test_a_struct_grows_only_at_its_end(frozen):
    """A member in what was padding would be read by a new host out of an old plugin's table: size would not tell."""
    old, new = members(released(frozen)), members(layout.layout(CURRENT))
    for struct, before in old.items():
        align = 8 if any(size % 8 == 0 for _, size in before.values()) else 4
        end = max(offset + size for offset, size in before.values())
        end = (end + align - 1) // align * align
        appended = {m: at for m, at in new[struct].items() if m not in before}
        assert all(offset >= end for offset, _ in appended.values()), (struct, appended)
        if appended:
            assert "size" in before, f"{struct} has no size and must not grow"


def test_what_was_appended_has_a_minor_of_its_own():
    """New lines against the newest frozen minor mean that the minor goes up; docs/abi.md says how to freeze one."""
    newest = FROZEN[-1]
    added = set(layout.layout(CURRENT)) - set(released(newest))
    minor = int(re.search(r"TELEX_ABI_MINOR (\d+)u", (CURRENT / "telex" / "abi.h").read_text()).group(1))
    frozen_minor = int(newest.name.split(".")[1])
    assert minor == frozen_minor + (1 if added else 0), sorted(added)


# ---- abidiff ----

# What a report says of a struct that only grew. Where the new members stand, the layout tests have checked.
GROWTH = re.compile(r"^('struct \w+' changed:|  type size changed from \d+ to \d+ \(in bits\)|"
                    r"  \d+ data member insertions?:|    '.*', at offset \d+ \(in bits\)|)$")


def structs_of(include):
    text = "\n".join(path.read_text() for path in sorted((include / "telex").rglob("*.h")))
    structs = sorted(set(re.findall(r"^struct (telex_\w+) \{", text, re.M)))
    assert "telex_host" in structs and "telex_stage" in structs and len(structs) >= 20
    return structs


def surface(include, structs, out):
    """A shared object whose one function takes all those structs, so that abidiff reaches them."""
    args = ", ".join(f"struct {name} *a{i}" for i, name in enumerate(structs))
    uses = "".join(f"(void)a{i};" for i in range(len(structs)))
    source = out.with_suffix(".c")
    source.write_text(layout.all_headers(include) + f"void telex_surface({args});\nvoid telex_surface({args}) {{ {uses} }}\n")
    subprocess.run(["gcc", "-std=c11", "-g", "-gdwarf-4", "-shared", "-fPIC", f"-I{include}", source, "-o", out], check=True)
    return out


def abidiff(old, new, folder):
    """The lines of abidiff's report, growth of a struct left out."""
    tool = shutil.which("abidiff")
    assert tool, "abidiff is not installed (Debian package abigail-tools); the contract cannot be checked without it"
    folder.mkdir(exist_ok=True)
    structs = structs_of(old)
    done = subprocess.run([tool, "--leaf-changes-only", "--no-show-locs", surface(old, structs, folder / "old.so"),
                           surface(new, structs, folder / "new.so")], capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 4, 12), done.stdout + done.stderr  # 1: it failed, 2: usage
    if done.returncode == 0:
        return []
    head, _, report = done.stdout.partition("Removed/Changed/Added variables summary")
    assert "Removed/Changed/Added functions summary: 0 Removed, 0 Changed, 0 Added function" in head, done.stdout
    return [line for line in report.splitlines()[1:] if not GROWTH.match(line)]


def test_abidiff_sees_nothing_but_growth(frozen, tmp_path):
    assert abidiff(frozen, CURRENT, tmp_path / "diff") == []


BREAKS = {
    "a call takes another parameter": ("host.h", "void (*exhausted)(const struct telex_host *host);",
                                       "void (*exhausted)(const struct telex_host *host, int32_t why);"),
    "a member moves": ("record.h", "    uint64_t version;\n    struct telex_bytes schema, id, body;",
                       "    struct telex_bytes schema, id, body;\n    uint64_t version;"),
    "a member goes": ("model.h", "    uint64_t seed;\n    int64_t timeout_ms;", "    int64_t timeout_ms;"),
    "a member changes its type": ("stage.h", "    uint32_t max_outputs;", "    uint16_t max_outputs;"),
    "a call gives another type": ("ext/kv.h", "    int64_t (*get)(", "    int32_t (*get)("),
    "a call of a table goes": ("stage.h", "    void (*drain)(void *self, int64_t deadline_ms);\n", ""),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_planted_break_is_seen(name, tmp_path):
    header, before, after = BREAKS[name]
    broken = tmp_path / "include"
    shutil.copytree(FROZEN[0] / "telex", broken / "telex")
    text = (broken / "telex" / header).read_text()
    assert text.count(before) == 1
    (broken / "telex" / header).write_text(text.replace(before, after))
    assert abidiff(FROZEN[0], broken, tmp_path / "diff")


def test_growth_at_the_end_is_let_through(tmp_path):
    grown = tmp_path / "include"
    shutil.copytree(FROZEN[0] / "telex", grown / "telex")
    path = grown / "telex" / "host.h"
    before = "    void (*exhausted)(const struct telex_host *host);\n"
    path.write_text(path.read_text().replace(before, before + "    void (*later)(const struct telex_host *host);\n"))
    assert abidiff(FROZEN[0], grown, tmp_path / "diff") == []


@pytest.mark.parametrize("before, after", [("TELEX_LIMIT = -9", "TELEX_LIMIT = -10"),
                                           ('"telex.stage/1"', '"telex.stage/2"'),
                                           ("TELEX_BODY_MAX_DEPTH = 32", "TELEX_BODY_MAX_DEPTH = 16")])
def test_a_constant_that_changes_is_seen(before, after, tmp_path):
    broken = tmp_path / "include"
    shutil.copytree(FROZEN[0] / "telex", broken / "telex")
    for path in (broken / "telex").rglob("*.h"):
        path.write_text(path.read_text().replace(before, after))
    now = set(layout.layout(broken))
    assert [line for line in released(FROZEN[0]) if line not in now]
