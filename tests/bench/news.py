# SPDX-License-Identifier: Apache-2.0
"""The news job: what each of the decode's features saves on recorded stories, with the same tokens.

    news.py [--build BUILD] [--models NAME,NAME] [--groups 5] [--budget SECONDS] [--configs NAME,...]
            [--stories NAME,...] [--waves N] [--jobs N] [--jobs-of NAME] [--threads 0] [--under COMMAND]

Twenty stories of the Reuters archive go through the real desk once for each model (`telex stage write-transformer`); the
driver's option `record` keeps its jobs. They lie in five groups of four; a group of two stories and their next versions
holds the pattern that prefix reuse is for. The jobs then run again under every configuration, group by group, so that
configurations alternate. A story hands in a wave of jobs and waits for it, as the desk does. Every run's token ids are
compared with those recorded: one other id, and the benchmark fails. Recording is dear for a large model: with --jobs-of
another model's jobs run, those of the first wave, which hold nothing that a model wrote but a former version's drafts; the
ids that count are then those of `plain`. --jobs cuts every story alike, for all configurations.

What was measured is kept in the cache, under the sums of the programs that were measured, and is not measured again;
--budget ends a call early, and the next one goes on. No text of the archive leaves the cache."""
import argparse
import collections
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

CACHE = pathlib.Path(os.environ.get("TELEX_CACHE", pathlib.Path.home() / ".cache" / "telex")) / "bench-news"
FILES = {"qwen2.5-coder-0.5b": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
         "qwen2.5-coder-1.5b": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
         "smollm2-135m": "SmolLM2-135M-Instruct.Q4_1.gguf"}
FEATURES = ["forced", "drafts", "masked_head", "prefix", "batch"]
TITLES = {"forced": "forced tokens", "drafts": "drafts", "masked_head": "masked head", "prefix": "prefix reuse",
          "batch": "batch of stories"}


def configurations():
    yield "plain", set()
    for feature in FEATURES:
        yield "+" + feature, {feature}
    yield "all", set(FEATURES)
    for feature in FEATURES:
        yield "-" + feature, set(FEATURES) - {feature}


def driver_options(on):
    return {"forced": "forced" in on, "drafts": "drafts" in on, "masked_head": "masked_head" in on,
            "prefix_cache": "prefix" in on, "parallel": 8 if "batch" in on else 1}


class Telex:
    def __init__(self, args):
        self.build = pathlib.Path(args.build).resolve()
        self.env = os.environ | {"TELEX_PLUGIN_PATH": str(self.build / "plugins")}
        self.threads, self.under = args.threads, args.under.split()

    def stage(self, name, lines, *options):
        done = subprocess.run([self.build / "host" / "telex", "stage", name, *options], input="".join(lines),
                              capture_output=True, text=True, env=self.env)
        return [line + "\n" for line in done.stdout.split("\n") if line]

    def replay(self, jobs, at_once, options):
        program = self.build / "tests" / "driver" / "news-replay"
        pairs = [f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in options.items()]
        done = subprocess.run([*self.under, program, self.build / "plugins" / "model-cpu", jobs, str(at_once), f"threads={self.threads}", *pairs],
                              capture_output=True, text=True, env=self.env)
        if done.returncode:
            sys.exit(f"news-replay failed: {done.stderr[-2000:]}")
        return json.loads(done.stdout)

    def sum(self):
        text = hashlib.sha256()
        for part in ("plugins/model-cpu/model-cpu.so", "tests/driver/news-replay"):
            text.update((self.build / part).read_bytes())
        return text.hexdigest()[:16]


# ---- stories ----

def stories(telex, archive):
    """Records by id, and the clustering's stories: one report opens a story, a second makes its next version."""
    records = telex.stage("signal-archive", [], "-o", f"path={archive}", "-o", "format=reuters", "-o", "outlet=reuters.com")
    found = telex.stage("cluster-story", records, "-o", "emit=gated", "-o", "gate_outlets=0", "-o", "gate_records=1")
    return {json.loads(line)["id"]: line for line in records}, [json.loads(line) for line in found]


def lengths(story, records):
    return max(len(json.loads(records[r])["text"]) for r in story["records"])


class Recorder:
    """Records stories as they are wanted; a story that asks the model nothing is no story for this benchmark."""

    def __init__(self, telex, model, records, jobs_of=""):
        self.telex, self.model, self.records, self.borrows = telex, model, records, bool(jobs_of)
        self.dir = CACHE / "jobs" / pathlib.Path(FILES.get(jobs_of, jobs_of) or model).stem
        self.dir.mkdir(parents=True, exist_ok=True)

    def jobs(self, story, before=None):
        path = self.dir / f"{story['id'][:12]}-{story['version']}.jsonl"
        if not path.exists() and self.borrows:
            sys.exit(f"no {path}; run the other model first")
        if not path.exists():
            part = path.with_suffix(".part")
            part.unlink(missing_ok=True)
            lines = [self.records[r] for r in story["records"]]
            if before:
                lines += self.path_of(before).with_suffix(".dispatch").open().readlines()
            out = self.telex.stage("write-transformer", lines + [json.dumps(story) + "\n"], "-m", "model-cpu",
                                   "-M", f"path={self.model}", "-M", f"record={part}")
            path.with_suffix(".dispatch").write_text("".join(out))
            if part.exists():
                part.rename(path)
            else:
                path.touch()
        found = waves([json.loads(line) for line in open(path)])
        return [job | {"outcome": None} for job in found if job["wave"] == 0] if self.borrows else found

    def path_of(self, story):
        return self.dir / f"{story['id'][:12]}-{story['version']}.jsonl"


def name_of(story):
    return f"{story['id'][:6]} v{story['version']}"


def waves(jobs):
    jobs.sort(key=lambda job: job["n"])
    wave = 0
    for job in jobs:
        wave += job["n"] > 0 and job["done_before"] == job["n"]  # none was open: the desk had waited
        job["wave"] = wave
    return jobs


def groups(found, records, recorder, args):
    """Lists of four stories' jobs each. First two stories and their next versions, twice; then single stories."""
    by_id = collections.defaultdict(list)
    for story in found:
        by_id[story["id"]].append(story)
    pairs = [(v[0], v[1]) for v in by_id.values() if len(v) > 1 and lengths(v[0], records) >= 600]
    paired = {first["id"] for first, _ in pairs}
    singles = [s for s in found if s["id"] not in paired and 800 <= lengths(s, records) <= 2400]
    plan = []
    for a, b in zip(pairs[0::2], pairs[1::2]):
        plan += [(a[0], None), (b[0], None), (a[1], a[0]), (b[1], b[0])]
    for first, second in pairs[len(pairs) // 2 * 2:]:
        plan += [(first, None), (second, first)]
    plan += [(s, None) for s in singles]
    if args.stories:
        plan = [(s, b) for s, b in plan if name_of(s) in args.stories.split(",")]
    at, group, size = 0, [], min(4, len(plan))
    for story, before in plan:
        if at == args.groups:
            return
        jobs = [job for job in recorder.jobs(story, before) if not args.waves or job["wave"] < args.waves]
        jobs = jobs[:args.jobs] if args.jobs else jobs
        if jobs:
            group.append((name_of(story), jobs, before is not None))
        if len(group) == size:
            yield group
            at, group = at + 1, []


# ---- runs ----

def key_of(job):
    return json.dumps([job["messages"], job["schema"], job["seed"], job["sampler"], job["max_tokens"]])


def units(group, on):
    """What runs in one process: stories share state only through the prefix cache and the batch."""
    size = 4 if "prefix" in on else 2 if "batch" in on else 1
    return [group[i:i + size] for i in range(0, len(group), size)]


def measure(telex, model, name, on, unit, plain_ids):
    """One run. plain_ids: what `plain` put out, for jobs that have no outcome of their own."""
    work = CACHE / "work"
    work.mkdir(parents=True, exist_ok=True)
    jobs, out = work / f"jobs-{os.getpid()}.jsonl", work / f"out-{os.getpid()}.jsonl"
    out.unlink(missing_ok=True)
    with open(jobs, "w") as f:
        for number, (_, story, _) in enumerate(unit):
            for job in story:
                line = {k: v for k, v in job.items() if k not in ("outcome", "n", "done_before")}
                f.write(json.dumps(line | {"story": number}) + "\n")
    options = driver_options(on) | {"path": model, "record": out}
    result = telex.replay(jobs, 2 if "batch" in on else 1, options)
    got = [json.loads(line) for line in open(out)]
    if name == "plain":
        plain_ids.update((key_of(line), line["outcome"]["ids"]) for line in got)
    wanted = collections.Counter(key_of(job) + str(job["outcome"]["ids"] if job["outcome"] else plain_ids.get(key_of(job)))
                                 for _, story, _ in unit for job in story)
    wanted.subtract(key_of(line) + str(line["outcome"]["ids"]) for line in got)
    different = sum(abs(n) for n in wanted.values())
    if different:
        sys.exit(f"{name}: token ids differ from those recorded ({different // 2} of {len(got)} jobs); see {out}. If the "
                 f"backend's arithmetic has changed since, remove {CACHE / 'jobs' / pathlib.Path(model).stem} and record anew")
    for count in ("prompt_tokens", "cached_tokens", "passes", "forced_tokens", "drafted_tokens", "accepted_tokens"):
        result[count] = sum(line["outcome"][count] for line in got)
    result["output_tokens"] = sum(len(line["outcome"]["ids"]) for line in got)
    result["jobs"] = len(got)
    out.unlink()
    jobs.unlink()
    return result


def run_all(telex, model, args, until):
    archive = os.environ.get("TELEX_ARCHIVE", str(pathlib.Path.home() / ".cache" / "telex" / "archive"))
    records, found = stories(telex, archive)
    if not found:
        sys.exit(f"no stories in {archive}; scripts/setup run fetches the archive")
    recorder = Recorder(telex, model, records, args.jobs_of)
    borrowed = f"-{args.jobs_of}" if args.jobs_of else ""
    results = CACHE / "results" / f"{pathlib.Path(model).stem}-{telex.sum()}-{args.waves}-{args.jobs}{borrowed}.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(results.read_text()) if results.exists() else {}
    plain_ids = dict(pair for run in known.values() for pair in run.get("plain_ids", ()))
    chosen = args.configs.split(",") if args.configs else None
    for group in groups(found, records, recorder, args):
        for name, on in configurations():
            if chosen and name not in chosen:
                continue
            for unit in units(group, on):
                key = name + " " + ", ".join(story for story, _, _ in unit)
                if key in known:
                    continue
                if time.monotonic() > until:
                    return known, False
                known[key] = measure(telex, model, name, on, unit, plain_ids) | {
                    "config": name, "names": [s for s, _, _ in unit], "again": sum(v for _, _, v in unit)}
                if name == "plain":
                    known[key]["plain_ids"] = [[key_of(job), plain_ids[key_of(job)]] for _, story, _ in unit for job in story]
                results.write_text(json.dumps(known))
                print(f"{key}: {known[key]['seconds']:.1f} s", file=sys.stderr)
    return known, True


# ---- the table ----

def table(model, known):
    by_config = collections.defaultdict(dict)
    for run in known.values():
        for name in run["names"]:
            by_config[run["config"]][name] = run
    plain = by_config.get("plain", {})
    print(f"\n{pathlib.Path(model).stem}\n")
    print("| configuration | stories | s a story | times plain | CPU s a story | times plain | tokens a pass | drafted | accepted | forced | cached |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, _ in configurations():
        runs = {id(run): run for run in by_config.get(name, {}).values()}.values()
        if not runs:
            continue
        names = [n for run in runs for n in run["names"]]
        total = collections.Counter()
        for run in runs:
            total.update({k: v for k, v in run.items() if isinstance(v, (int, float))})
        base = {id(plain[n]): plain[n] for n in names if n in plain}.values()
        whole = all(n in plain for n in names)
        times, cpu_times = (f"{sum(r[of] for r in base) / total[of]:.2f}" if base and whole else ""
                            for of in ("seconds", "processor_seconds"))
        title = name if name in ("plain", "all") else ("+ " if name[0] == "+" else "all - ") + TITLES[name[1:]]
        print(f"| {title} | {len(names)} | {total['seconds'] / len(names):.2f} | "
              f"{times} | {total['processor_seconds'] / len(names):.2f} | {cpu_times} | {total['output_tokens'] / total['passes']:.2f} | "
              f"{total['drafted_tokens']} | {total['accepted_tokens']} | {total['forced_tokens']} | {total['cached_tokens']} |")
    again = {name for run in known.values() for name in run["names"] if not name.endswith("v1")}
    print(f"\n{len(again)} of {len({n for r in known.values() for n in r['names']})} are new versions of stories that ran before;"
          " all token ids are those recorded.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--models", default="qwen2.5-coder-0.5b,qwen2.5-coder-1.5b")
    parser.add_argument("--groups", type=int, default=5, help="groups of four stories; 5 is all")
    parser.add_argument("--stories", default="", help="only these, such as '2a429d v2,24f8e2 v1'")
    parser.add_argument("--waves", type=int, default=0, help="only the first waves of each story; 0: all")
    parser.add_argument("--jobs", type=int, default=0, help="only the first jobs of each story; 0: all")
    parser.add_argument("--jobs-of", default="", metavar="NAME", help="run the first waves recorded for this model")
    parser.add_argument("--configs", default="", help="plain, +drafts, all, -drafts, ...; default all of them")
    parser.add_argument("--budget", type=float, default=0, help="seconds after which no new run begins; 0: none")
    parser.add_argument("--under", default="", metavar="COMMAND", help="what starts each measured run, such as 'chrt -r 1'")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    until = time.monotonic() + (args.budget or 1e9)
    telex, models = Telex(args), pathlib.Path.home() / ".cache" / "telex" / "models"
    models = pathlib.Path(os.environ.get("TELEX_MODELS", models))
    whole = True
    for name in args.models.split(","):
        path = models / FILES.get(name, name)
        if not path.exists():
            sys.exit(f"no {path}; `telex model pull {name}` fetches it")
        known, complete = run_all(telex, str(path), args, until)
        whole = whole and complete
        table(path, known)
    print("\nComplete." if whole else "\nNot complete: the time was spent; call again to go on.")


if __name__ == "__main__":
    main()
