#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""layout.py INCLUDE-DIR - every struct, member, constant and typedef of the contract, as the compiler laid it out.

One line each, sorted: "struct telex_view.body 48 16" is offset and size in bytes; "TELEX_LIMIT -9" is a constant, and so
is TELEX_KV "telex.kv/1". Read from the debug information and the macros of a file that includes every header, so nothing
here knows a name."""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from elftools.elf.elffile import ELFFile


def all_headers(include: Path) -> str:
    headers = sorted(path.relative_to(include) for path in (include / "telex").rglob("*.h"))
    return "".join(f"#include <{header}>\n" for header in headers)


def constants_by_macro(include: Path):
    """Macros that stand for a text or a number; the minor is meant to move."""
    text = subprocess.run(["gcc", "-std=c11", "-dM", "-E", f"-I{include}", "-"], input=all_headers(include), check=True,
                          capture_output=True, text=True).stdout
    return {f"{name} {value}" for name, value in re.findall(r'^#define (TELEX_\w+) +("[^"]*"|\d+u?)$', text, re.M)
            if name != "TELEX_ABI_MINOR"}


def compile_all(include: Path, folder: Path) -> Path:
    source, out = folder / "all.c", folder / "all.o"
    source.write_text(all_headers(include) + "int telex_surface;\n")
    subprocess.run(["gcc", "-std=c11", "-g", "-gdwarf-4", "-fno-eliminate-unused-debug-types", f"-I{include}", "-c",
                    source, "-o", out], check=True)
    return out


def text(die, attribute):
    value = die.attributes.get(attribute)
    return value.value.decode() if value else ""


def size_of(die):
    """Bytes of a member's type, through typedefs and qualifiers."""
    while True:
        if die.tag == "DW_TAG_array_type":
            count = next(c.attributes["DW_AT_upper_bound"].value + 1 for c in die.iter_children())
            return count * size_of(die.get_DIE_from_attribute("DW_AT_type"))
        if "DW_AT_byte_size" in die.attributes:
            return die.attributes["DW_AT_byte_size"].value
        die = die.get_DIE_from_attribute("DW_AT_type")


def layout(include: Path):
    lines = constants_by_macro(include)
    with tempfile.TemporaryDirectory() as folder:
        with open(compile_all(include, Path(folder)), "rb") as stream:
            for unit in ELFFile(stream).get_dwarf_info().iter_CUs():
                for die in unit.get_top_DIE().iter_children():
                    name = text(die, "DW_AT_name")
                    if die.tag == "DW_TAG_enumeration_type":
                        for child in die.iter_children():
                            lines.add(f"{text(child, 'DW_AT_name')} {child.attributes['DW_AT_const_value'].value}")
                    elif die.tag == "DW_TAG_structure_type" and name.startswith("telex_"):
                        for child in die.iter_children():
                            if child.tag == "DW_TAG_member":
                                offset = child.attributes["DW_AT_data_member_location"].value
                                member = child.get_DIE_from_attribute("DW_AT_type")
                                lines.add(f"struct {name}.{text(child, 'DW_AT_name')} {offset} {size_of(member)}")
                    elif die.tag == "DW_TAG_typedef" and name.startswith("telex_"):
                        target = die.get_DIE_from_attribute("DW_AT_type")
                        lines.add(f"typedef {name} {size_of(target)}")
    return sorted(lines)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} INCLUDE-DIR")
    print("\n".join(layout(Path(sys.argv[1]))))
