# SPDX-License-Identifier: Apache-2.0
"""Quality and speed of cluster-story: ten orders of arrival over each labelled set, mean and worst, and records/s.

    tests/bench/cluster.py [--build DIR] [--seeds N] [-o name=value]...

Order 0 is the file's own. For the set whose times were spread over its file order, they are dealt out again in the new
order. Records a second are of the core, in processor time of one core."""
import argparse
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "cluster"))
import scoring  # noqa: E402

SETS = (("uci-head-dev", True), ("ai-beat-dev", False))
LOWER_IS_BETTER = {"weld"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("-o", action="append", default=[])
    args = parser.parse_args()
    replay = ROOT / args.build / "tests" / "cluster" / "cluster-replay"
    data = pathlib.Path(os.environ.get("TELEX_SHARED_DATA", ROOT / "../shared/data")) / "clustering"
    options = [part for o in args.o for part in ("-o", o)]
    for name, spread in SETS:
        records = data / f"{name}.records.jsonl"
        if not records.exists():
            print(f"{name}: no data at {data}")
            continue
        gold = scoring.read_gold(data / f"{name}.gold.tsv")
        runs = []
        for seed in range(args.seeds):
            order = ["--order", str(seed)] + (["--spread"] if spread else []) if seed else []
            out = subprocess.run([replay, records, *options, *order], capture_output=True, text=True, check=True)
            runs.append(scoring.score(gold, scoring.assignment(out.stdout.splitlines(), gold)))
        print(f"{name}: {len(gold)} records, {len(runs)} orders")
        for key in runs[0]:
            values = [run[key] for run in runs]
            worst = max(values) if key in LOWER_IS_BETTER else min(values)
            note = "" if key == "stories" else f"  worst {worst:6.1f}"
            print(f"  {key:8s} mean {sum(values) / len(values):6.1f}{note}  file order {values[0]:6.1f}")
        out = subprocess.run([replay, records, *options, "--bench", "20"], capture_output=True, text=True, check=True)
        print("  " + out.stdout.strip())


if __name__ == "__main__":
    main()
