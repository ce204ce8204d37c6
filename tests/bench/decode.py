# SPDX-License-Identifier: Apache-2.0
"""Tokens a second of model-cpu and of llama.cpp, in turns on one machine.

    decode.py [--build BUILD] [--threads 2] [--rounds 5] [--prompt 512] [--generate 64] [MODEL.gguf ...]

Both read the same prompt ids and then the same ids one by one, greedy head included. The order alternates (ours, theirs,
theirs, ours, ...); medians are printed, of wall time and of processor time. On a machine that others use as well only
processor time on one thread (--threads 1) says anything: waiting threads of llama.cpp spin."""
import argparse
import pathlib
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "model"))
import modelkit  # noqa: E402


def ids(n):
    return [100 + i * 37 % 10000 for i in range(n)]


class Theirs:
    name = "llama.cpp"

    def __init__(self, path, args):
        from llama_cpp import Llama
        self.args = args
        self.llm = Llama(str(path), n_ctx=args.prompt + args.generate, n_batch=512, n_threads=args.threads,
                         n_threads_batch=args.threads, verbose=False)

    def lap(self, batches):
        wall, cpu = time.perf_counter(), time.process_time()
        n = 0
        for batch in batches:
            self.llm.eval(batch)
            n += len(batch)
        return n / (time.perf_counter() - wall), n / (time.process_time() - cpu)

    def round(self):
        self.llm.reset()
        all_ids = ids(self.args.prompt + self.args.generate)
        prompt = self.lap([all_ids[:self.args.prompt]])
        return prompt + self.lap([[i] for i in all_ids[self.args.prompt:]])


class Ours:
    name = "model-cpu"

    def __init__(self, path, args):
        self.command = [str(pathlib.Path(args.build) / "tests" / "model" / "model-tool"), "bench", str(path), str(args.threads),
                        str(args.prompt), str(args.generate), "1"]

    def round(self):
        out = subprocess.run(self.command, capture_output=True, text=True, check=True).stdout
        self.load = re.search(r"load ([\d.]+) s, (\w+)", out).groups()
        return tuple(map(float, re.search(r"prompt ([\d.]+) tok/s \(([\d.]+).*generated ([\d.]+) tok/s \(([\d.]+)\)", out).groups()))


def bench(path, args):
    ours, theirs = Ours(path, args), Theirs(path, args)
    rounds = {ours: [], theirs: []}
    for turn in range(args.rounds):
        for side in ((ours, theirs) if turn % 2 == 0 else (theirs, ours)):
            rounds[side].append(side.round())
    print(f"{path.name}: {args.threads} threads, prompt {args.prompt}, generate {args.generate}, median of {args.rounds}; "
          f"load {ours.load[0]} s, kernels {ours.load[1]}")
    print(f"  {'':10} {'prompt tok/s':>14} {'per cpu s':>10} {'generate tok/s':>15} {'per cpu s':>10}")
    medians = {}
    for side, rows in rounds.items():
        medians[side] = [statistics.median(column) for column in zip(*rows)]
        print("  {:10} {:14.1f} {:10.1f} {:15.1f} {:10.1f}".format(side.name, *medians[side]))
    print("  {:10} {:14.2f} {:10.2f} {:15.2f} {:10.2f}".format("ratio", *(a / b for a, b in zip(medians[ours], medians[theirs]))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    for name, value in (("threads", 2), ("rounds", 5), ("prompt", 512), ("generate", 64)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    args = parser.parse_args()
    for path in args.models or [modelkit.models_dir() / name for name in (modelkit.SMOLLM, modelkit.QWEN)]:
        if path.exists():
            bench(path, args)
        else:
            print(f"{path} is missing; `telex model pull` fetches it")


if __name__ == "__main__":
    main()
