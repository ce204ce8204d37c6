# SPDX-License-Identifier: Apache-2.0
"""embed.py OUT NAME=FILE... - write files as C arrays, so that the plugin is one .so."""
import pathlib
import sys

out = ["/* Made by embed.py from the files beside it. */", '#include "internal.h"', ""]
for pair in sys.argv[2:]:
    name, path = pair.split("=", 1)
    data = pathlib.Path(path).read_bytes()
    rows = [", ".join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24)]
    out.append(f"const size_t asset_{name}_bytes = {len(data)};")
    out.append(f"const char asset_{name}[] = {{" + ",\n    ".join(rows) + ", 0};\n")
pathlib.Path(sys.argv[1]).write_text("\n".join(out))
