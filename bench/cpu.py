#!/usr/bin/env python3
"""Turgo beside llama.cpp on this machine: same file, same threads, rounds interleaved, ratio of medians.

usage: bench/cpu.py MODEL.gguf [--rounds 3] [--threads 2] [--peer-format Q4_0] [--write]
The peer also runs its own best format of the model; that file is requantised, so compare qualities before speeds.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess

import peer_llama

ROOT = pathlib.Path(__file__).resolve().parent.parent


def turgo_bench(model: pathlib.Path, args) -> dict:
    out = subprocess.run([os.environ.get("TURGO_BIN") or str(ROOT / "build/bin/turgo"), "bench", str(model), "--prompt-tokens", str(args.prompt_tokens),
                          "--gen-tokens", str(args.gen_tokens), "--repeat", "1", "--threads", str(args.threads),
                          "--json"], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--gen-tokens", type=int, default=128)
    parser.add_argument("--peer-format", default="Q4_0")
    parser.add_argument("--write", action="store_true", help="write the table to bench/results/")
    args = parser.parse_args()

    binaries = peer_llama.build()
    best = peer_llama.requantize(binaries, args.model, args.peer_format)
    runs = {"turgo": [], "llama.cpp": [], f"llama.cpp {args.peer_format}": []}
    for _ in range(args.rounds):
        runs["turgo"].append(turgo_bench(args.model, args))
        runs["llama.cpp"].append(peer_llama.bench(binaries, args.model, args.prompt_tokens, args.gen_tokens, args.threads))
        runs[f"llama.cpp {args.peer_format}"].append(
            peer_llama.bench(binaries, best, args.prompt_tokens, args.gen_tokens, args.threads))

    median = {name: {key: statistics.median(r[key] for r in rows) for key in ("prefill_tok_s", "decode_tok_s")}
              for name, rows in runs.items()}
    ours = median["turgo"]
    share = statistics.median(r["decode_bandwidth_share"] for r in runs["turgo"])
    bandwidth = statistics.median(r["read_bandwidth_gb_s"] for r in runs["turgo"])
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8")
                if line.startswith("model name")), "unknown")
    lines = [f"{datetime.date.today()} · {args.model.name} · {cpu} · {args.threads} threads · {args.rounds} rounds "
             f"interleaved, medians", "",
             f"| | prefill {args.prompt_tokens} tok/s | decode {args.gen_tokens} tok/s | ours / it |", "|---|---|---|---|"]
    for name, m in median.items():
        lines.append(f"| {name} | {m['prefill_tok_s']:.0f} | {m['decode_tok_s']:.0f} | "
                     f"{ours['prefill_tok_s'] / m['prefill_tok_s']:.2f} · {ours['decode_tok_s'] / m['decode_tok_s']:.2f} |")
    lines.append(f"\nOur decode reads {share:.0%} of {bandwidth:.1f} GB/s, measured in the same runs.")
    table = "\n".join(lines)
    print(table)
    if args.write:
        target = ROOT / "bench" / "results" / f"{datetime.date.today()}-{args.model.stem}.md"
        target.parent.mkdir(exist_ok=True)
        target.write_text(table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
