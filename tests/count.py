#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""count.py LOG... - add up meson's test logs into the suite's last line, "N passed, N failed".

A cmocka program and a pytest file count each of their tests; any other program counts as one. A program that failed
without naming a failed test (a crash, a time-out, a sanitizer report) counts as one failure."""
import argparse
import json
import re
import sys


def count(entry):
    """(passed, failed, skipped) of one entry of testlog.json."""
    text = (entry.get("stdout") or "") + "\n" + (entry.get("stderr") or "")
    good = entry["result"] in ("OK", "EXPECTEDFAIL")
    if entry["result"] == "SKIP":
        return 0, 0, 1
    passed = failed = skipped = 0
    for number in re.findall(r"\[  PASSED  \] (\d+) test", text):
        passed += int(number)
    for number in re.findall(r"\[  FAILED  \].*?(\d+) test", text):
        failed += int(number)
    tail = re.findall(r"^(?:=+ )?((?:\d+ \w+(?:, )?)+) in [\d.]+s", text, re.M)
    for line in tail:
        for number, word in re.findall(r"(\d+) (passed|failed|error|errors|skipped)", line):
            if word == "passed":
                passed += int(number)
            elif word == "skipped":
                skipped += int(number)
            else:
                failed += int(number)
    if passed + failed + skipped == 0:
        passed = 1 if good else 0
    if not good and failed == 0:
        failed = 1
    return passed, failed, skipped


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--failed", type=int, default=0, help="1 when a run said that something failed")
    parser.add_argument("logs", nargs="+")
    args = parser.parse_args()
    passed = failed = skipped = 0
    for path in args.logs:
        try:
            with open(path, encoding="utf8") as log:
                for line in log:
                    got = count(json.loads(line))
                    passed, failed, skipped = passed + got[0], failed + got[1], skipped + got[2]
        except OSError as error:
            print(f"count.py: {error}", file=sys.stderr)
            failed += 1
    if args.failed and failed == 0:
        failed = 1
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
