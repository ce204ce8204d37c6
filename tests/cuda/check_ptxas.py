# SPDX-License-Identifier: Apache-2.0
"""check_ptxas.py FIGURES - hold what ptxas said of each kernel against limits.

A spill costs memory traffic where there is none to spare, and a register too many costs half of the warps that hide its
latency. 48 KiB of shared memory is what a block gets without asking. The figures are the compiler's; a new toolkit may
shift them, and then the table below is to be looked at, not widened blindly."""
import re
import sys

SHARED = 48 << 10
# kernel: (registers, bytes of spills). The product kernels leave room for two blocks of 512 threads on an SM.
LIMITS = {
    "qkv": (64, 512), "product": (64, 64), "gate_up": (64, 512), "gemm": (128, 0), "attend": (128, 0),
    "sample": (200, 0), None: (64, 0),
}
ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SMEM = re.compile(r"(\d+) bytes smem")


def name_of(mangled):
    digits = re.match(r"_Z(?:L)?(\d+)", mangled)
    n = int(digits.group(1))
    name = mangled[digits.end():digits.end() + n]
    return name, "".join(re.findall(r"ILi(\d+)E", mangled))


def read(text):
    """[(kernel, instance, architecture, registers, spill bytes, shared bytes)]"""
    rows, entry, spills = [], None, 0
    for line in text.splitlines():
        if match := ENTRY.search(line):
            entry, spills = match.groups(), 0 # those of functions that it calls are named behind it
        elif entry and (match := FRAME.search(line)):
            spills += int(match.group(2)) + int(match.group(3))
        elif entry and (match := USED.search(line)):
            smem = SMEM.search(line)
            rows.append((*name_of(entry[0]), entry[1], int(match.group(1)), spills, int(smem.group(1)) if smem else 0))
            entry = None
    return rows


def main():
    rows, bad = read(open(sys.argv[1], encoding="utf-8").read()), 0
    for kernel, instance, arch, registers, spills, shared in sorted(rows):
        most, most_spills = LIMITS.get(kernel, LIMITS[None])
        over = registers > most or spills > most_spills or shared > SHARED
        bad += over
        print(f"{'OVER' if over else 'ok  '} {arch} {kernel + (f'<{instance}>' if instance else ''):14} "
              f"{registers:4} registers, {spills:4} bytes of spills, {shared:6} shared")
    if not rows:
        print("no figures in the file: was it compiled with -Xptxas -v?")
    return 1 if bad or not rows else 0


sys.exit(main())
