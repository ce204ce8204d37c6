# SPDX-License-Identifier: Apache-2.0
"""Tokens a second of model-cpu and of llama.cpp, in turns on one machine.

    decode.py [--build BUILD] [--threads 2] [--rounds 7] [--only MEASURE,...] [MODEL.gguf ...]

Measures: `generate` (one sequence, a token a batch), `together` (eight sequences, one token of each a batch), `prompt` (512
tokens at once), `load` (a process that opens the model; ours only, with the packed copy in the cache, and resident memory).
Both sides read the same ids, keep f16 keys and values, compute the whole head for each token, and stay loaded. The order
alternates (ours, theirs, theirs, ours, ...); medians are printed, with the fraction of what the machine can do: of a buffer of
the weights' size read by as many threads, and of int8 multiply-adds out of registers. Missing models are named."""
import argparse
import ctypes
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "model"))
import modelkit  # noqa: E402

PROMPT, STEPS, SEQS, SHORT = 512, 32, 8, 32
MEASURES = {"generate": f"generate {STEPS} {SHORT}", "together": f"together {SEQS} {STEPS} {SHORT}", "prompt": f"prompt {PROMPT}"}
LABELS = {"generate": "decode, batch 1", "together": f"decode, {SEQS} at once", "prompt": f"prefill, {PROMPT} tokens"}
# Ratios to llama.cpp on a machine without AMX, two threads: (required, aimed at).
TARGETS = {
    modelkit.SMOLLM: {"generate": (1.5, 2.5), "together": (3, 5), "prompt": (3, 6)},
    modelkit.QWEN: {"generate": (1.3, 1.8), "together": (2, 3), "prompt": (1.5, 1.8)},
    modelkit.GEMMA: {"generate": (1.6, 2.5), "together": (2.5, 4), "prompt": (1.3, 2)},
}


def token(seq, i, n_vocab):
    return (100 + seq * 501 + i * 37 % 10000) % n_vocab


class Theirs:
    """llama.cpp by its C interface, so that Python costs it nothing."""
    name = "llama.cpp"

    def __init__(self, path, threads):
        import llama_cpp as l
        self.l = l
        self.log = l.llama_log_callback(lambda *_: None)
        l.llama_log_set(self.log, ctypes.c_void_p(0))
        self.model = l.llama_model_load_from_file(str(path).encode(), l.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama.cpp cannot open {path}")
        self.n_vocab = l.llama_vocab_n_tokens(l.llama_model_get_vocab(self.model))
        self.batch = l.llama_batch_init(PROMPT, 0, 1)
        self.contexts = {n: self.context(n, threads) for n in (1, SEQS)}

    def context(self, n_seq, threads):
        params = self.l.llama_context_default_params()
        params.n_ctx = n_seq * (PROMPT + STEPS)
        params.n_batch = params.n_ubatch = PROMPT
        params.n_seq_max = n_seq
        params.n_threads = params.n_threads_batch = threads
        return self.l.llama_init_from_model(self.model, params)

    def decode(self, context, rows):
        """rows: (token, position, sequence, wants logits)"""
        batch = self.batch
        batch.n_tokens = len(rows)
        for i, (one, pos, seq, wants) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = one, pos, 1, seq, wants
        if self.l.llama_decode(context, batch) != 0:
            raise SystemExit("llama_decode failed")
        self.l.llama_get_logits(context)[0]

    def lap(self, measure):
        n_seq = SEQS if measure == "together" else 1
        context = self.contexts[n_seq]
        n_prompt = PROMPT if measure == "prompt" else SHORT
        self.l.llama_memory_clear(self.l.llama_get_memory(context), True)
        start = time.perf_counter()
        for s in range(n_seq):
            self.decode(context, [(token(s, i, self.n_vocab), i, s, i + 1 == n_prompt) for i in range(n_prompt)])
        if measure == "prompt":
            return n_prompt / (time.perf_counter() - start)
        start = time.perf_counter()
        for i in range(n_prompt, n_prompt + STEPS):
            self.decode(context, [(token(s, i, self.n_vocab), i, s, True) for s in range(n_seq)])
        return n_seq * STEPS / (time.perf_counter() - start)

    def close(self):
        for context in self.contexts.values():
            self.l.llama_free(context)
        self.l.llama_batch_free(self.batch)
        self.l.llama_model_free(self.model)


class Ours:
    name = "model-cpu"

    def __init__(self, path, build, threads):
        tool = pathlib.Path(build) / "tests" / "model" / "model-tool"
        self.process = subprocess.Popen([tool, "bench", path, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, "TELEX_TEST_PACKED": str(modelkit.models_dir().parent / "packed")})
        seconds, self.kernels, weights = self.line().split()
        self.seconds, self.weights = float(seconds), int(weights)

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"model-tool ended with {self.process.wait()}")
        return line

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.line()

    def rate(self, command):
        work, wall, _ = map(float, self.ask(command).split())
        return work / wall

    def lap(self, measure):
        return self.rate(MEASURES[measure])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def matmul_weights(path):
    """Weights that each token multiplies with, and the bytes of them that a decode reads."""
    from gguf import GGUFReader
    tensors = {t.name: t for t in GGUFReader(str(path)).tensors if len(t.shape) == 2}
    if "output.weight" in tensors:
        del tensors["token_embd.weight"]
    return sum(t.n_elements for t in tensors.values()), sum(t.n_bytes for t in tensors.values())


def measure_load(path, args):
    """Seconds to open the model and bytes resident afterwards, in fresh processes with warm caches."""
    rows = []
    for _ in range(args.rounds + 1):
        side = Ours(path, args.build, args.threads)
        rows.append((side.seconds, int(side.ask("memory"))))
        side.close()
    seconds, resident = (statistics.median(column) for column in zip(*rows[1:]))
    size = path.stat().st_size
    print(f"  load {seconds:.2f} s, resident {resident / 1e6:.0f} MB = {resident / size:.2f} of the file's {size / 1e6:.0f} MB")


def bench(path, args):
    wanted = args.only.split(",") if args.only else [*MEASURES, "load"]
    print(f"{path.name}, {args.threads} threads, median of {args.rounds} rounds")
    if [m for m in wanted if m in MEASURES]:
        bench_laps(path, args, [m for m in wanted if m in MEASURES])
    if "load" in wanted:
        measure_load(path, args)
    sys.stdout.flush()


def bench_laps(path, args, wanted):
    theirs, ours = Theirs(path, args.threads), Ours(path, args.build, args.threads)
    rates = {(side, m): [] for side in (ours, theirs) for m in wanted}
    for side, m in rates:
        side.lap(m)  # not counted: pages and buffers
    limits = {"read": [], "multiply": []}
    for turn in range(args.rounds):
        for name, seen in limits.items():
            seen.append(ours.rate(name))
        for m in wanted:
            for side in ((ours, theirs) if turn % 2 == 0 else (theirs, ours)):
                rates[side, m].append(side.lap(m))
    report(path, ours, theirs, wanted, rates, {name: statistics.median(seen) for name, seen in limits.items()})
    ours.close()
    theirs.close()


def report(path, ours, theirs, wanted, rates, limits):
    n_weights, n_bytes = matmul_weights(path)
    print(f"  kernels {ours.kernels}; read {limits['read'] / 1e9:.1f} GB/s, int8 {limits['multiply'] / 1e9:.0f} G multiply-adds/s")
    print(f"  {'tokens/s':22} {'model-cpu':>10} {'spread':>7} {'llama.cpp':>10} {'spread':>7} {'ratio':>6} {'asked':>6} {'goal':>5} "
          f"{'of bandwidth':>13} {'of int8':>8}")
    for m in wanted:
        mine, other = rates[ours, m], rates[theirs, m]
        our, their = statistics.median(mine), statistics.median(other)
        batch = {"generate": 1, "together": SEQS, "prompt": PROMPT}[m]
        # The head is computed for the last token of a prompt only.
        asked, goal = TARGETS.get(path.name, {}).get(m, ("-", "-"))
        print(f"  {LABELS[m]:22} {our:10.1f} {spread(mine):6.0f}% {their:10.1f} {spread(other):6.0f}% {our / their:6.2f} {asked:>6} {goal:>5} "
              f"{100 * our / batch * n_bytes / limits['read']:12.0f}% {100 * our * n_weights / limits['multiply']:7.0f}%")


def spread(values):
    """Largest less smallest, in percent of the median."""
    return 100 * (max(values) - min(values)) / statistics.median(values)


def processor():
    try:
        found = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found.group(1) if found else platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", metavar="MEASURE,...", help=", ".join([*MEASURES, "load"]))
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    args = parser.parse_args()
    import llama_cpp
    print(f"{processor()}, {platform.system()} {platform.release()}, {time.strftime('%Y-%m-%d')}")
    print(f"llama-cpp-python {llama_cpp.__version__}: {llama_cpp.llama_print_system_info().decode()}")
    for path in args.models or [modelkit.models_dir() / name for name in (modelkit.SMOLLM, modelkit.QWEN, modelkit.GEMMA)]:
        if path.exists():
            bench(path, args)
        else:
            print(f"{path} is missing; `telex model pull` fetches it")


if __name__ == "__main__":
    main()
