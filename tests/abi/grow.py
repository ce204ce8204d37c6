#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""grow.py INCLUDE-DIR - make the contract in a folder the next minor: every table with a size gets two members more."""
import re
import sys
from pathlib import Path


def grow(include: Path) -> int:
    """Returns how many tables grew."""
    n = 0

    def longer(match):
        nonlocal n
        if not re.search(r"^    uint32_t size[,;]", match.group(0), re.M):
            return match.group(0)
        n += 1
        return match.group(0)[:-2] + "    uint64_t grown;\n    void (*also_grown)(void *arg);\n};"

    for path in (include / "telex").rglob("*.h"):
        text = re.sub(r"^struct telex_\w+ \{\n.*?^\};", longer, path.read_text(), flags=re.M | re.S)
        path.write_text(re.sub(r"(#define TELEX_ABI_MINOR) (\d+)u", lambda m: f"{m[1]} {int(m[2]) + 1}u", text))
    return n


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} INCLUDE-DIR")
    print(grow(Path(sys.argv[1])), "tables grew")
