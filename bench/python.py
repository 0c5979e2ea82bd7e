#!/usr/bin/env python3
"""What the Python package costs, on this machine:

    build/python-venv/bin/python bench/python.py MODEL [--only import ready interrupt batch leak install]

import     time and memory of `import turgo` in fresh interpreters (limits: 150 ms, 40 MB)
ready      pipeline(MODEL) until it can answer, page cache warm (300 ms)
interrupt  from SIGINT to KeyboardInterrupt in pipe() and in stream_infer() (200 ms)
batch      16 prompts through pipe() and stream_infer() beside C++ alone in the same run, interleaved (3 %)
leak       resident memory per create/destroy of a pipeline, slope over the last half (10 KB)
install    `pip install .` into a new virtual environment, from no build folder and a warm ccache (180 s), only if asked for
"""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

MEASURE_IMPORT = """
import resource, time
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
import turgo
print(1000 * (time.perf_counter() - start), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024)
"""
MEASURE_READY = """
import sys, time, turgo
times = []
for _ in range(5):
    start = time.perf_counter()
    pipe = turgo.pipeline(sys.argv[1])
    times.append(1000 * (time.perf_counter() - start))
    pipe.close()
print(*times)
"""
MEASURE_INTERRUPT = """
import os, signal, sys, threading, time, turgo
pipe = turgo.pipeline(sys.argv[1])
options = {"max_new_tokens": 4000, "ignore_eos": True}
for call in [lambda: pipe(["Count."] * 4, **options), lambda: list(pipe.stream_infer(["Count."] * 4, **options))] * 5:
    pressed = []
    def press():
        time.sleep(0.3)
        pressed.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=press).start()
    try:
        call()
    except KeyboardInterrupt:
        print(1000 * (time.perf_counter() - pressed[0]))
"""


def fresh(code, *words):
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    return [float(x) for x in done.stdout.split()]


def measure_import(_):
    rows = [fresh(MEASURE_IMPORT) for _ in range(9)]
    return {"import ms": statistics.median(r[0] for r in rows), "import MB": max(r[1] for r in rows)}, \
           {"import ms": 150, "import MB": 40}


def measure_ready(args):
    times = fresh(MEASURE_READY, args.model)
    return {"ready ms": statistics.median(times)}, {"ready ms": 300}


def measure_interrupt(args):
    times = fresh(MEASURE_INTERRUPT, args.model)
    assert len(times) == 10
    return {"Ctrl-C ms, median": statistics.median(times), "Ctrl-C ms, worst": max(times)}, {"Ctrl-C ms, worst": 200}


def measure_batch(args):
    """Tokens per second of 16 prompts with 128 new tokens each, interleaved in one process. `bare`: C++ alone collects the
    answers (Answers(whole), with token ids made before), and Python sleeps in a few long waits. Beside it the two ways
    that scripts go."""
    import turgo
    from turgo import _turgo
    pipe = turgo.pipeline(args.model)
    prompts = [f"Write {i + 2} lines about rivers." for i in range(16)]
    config = turgo.GenerationConfig(max_new_tokens=128, ignore_eos=True, temperature=0)
    ids = [pipe.prompt_ids(p) for p in prompts]

    def bare():
        answers, options = _turgo.Answers(True), config.to_options()
        for i, one in enumerate(ids):
            answers.submit(i, pipe._model, one, False, options, "", None)
        left = 16
        while left:
            left -= len(answers.next(60))

    def calls():
        pipe(prompts, config)

    def streams():
        for _ in pipe.stream_infer(prompts, config):
            pass

    times = {f.__name__: [] for f in (bare, calls, streams)}
    for round_ in range(args.rounds + 1):
        for f in (bare, calls, streams) if round_ % 2 else (streams, calls, bare):
            start = time.perf_counter()
            f()
            if round_:
                times[f.__name__].append(time.perf_counter() - start)
    pipe.close()
    best = {name: min(values) for name, values in times.items()}
    return {"bare tokens/s": 2048 / best["bare"], "pipe() costs %": 100 * (best["calls"] / best["bare"] - 1),
            "stream_infer costs %": 100 * (best["streams"] / best["bare"] - 1)}, \
           {"pipe() costs %": 3, "stream_infer costs %": 3}


def resident_kb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1024


def measure_leak(args):
    import turgo
    rows = []
    for i in range(args.cycles):
        with turgo.pipeline(args.model) as pipe:
            if i % 100 == 0:
                pipe("Hi", max_new_tokens=2)
        rows.append(resident_kb())
    half = rows[len(rows) // 2:]
    slope = (statistics.mean(half[-20:]) - statistics.mean(half[:20])) / (len(half) - 20)
    return {"leak KB per cycle": slope}, {"leak KB per cycle": 10}


def measure_install(_):
    """With build isolation, as people type it: what includes nanobind's headers is compiled anew, the rest is in ccache."""
    root = pathlib.Path(__file__).resolve().parents[1]
    build = root / "build" / "install"  # as deep as build/skbuild: ccache may know include paths as relative ones
    with tempfile.TemporaryDirectory() as folder:
        python = f"{folder}/venv/bin/python"
        subprocess.run([sys.executable, "-m", "venv", f"{folder}/venv"], check=True)
        shutil.rmtree(build, ignore_errors=True)
        start = time.perf_counter()
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-C", f"build-dir={build}", root], check=True)
        seconds = time.perf_counter() - start
        shutil.rmtree(build)
        subprocess.run([python, "-c", "import turgo"], check=True, cwd=folder)
    return {"pip install . s": seconds}, {"pip install . s": 180}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--only", nargs="*", default=["import", "ready", "interrupt", "batch", "leak"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cycles", type=int, default=1000)
    args = parser.parse_args()
    failed = False
    for name in args.only:
        values, limits = globals()[f"measure_{name}"](args)
        for key, value in values.items():
            bad = key in limits and value > limits[key]
            failed |= bad
            print(f"{key:24}{value:10.2f}" + (f"   limit {limits[key]}{'  EXCEEDED' if bad else ''}" if key in limits else ""),
                  flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
