#!/usr/bin/env python3
"""Turgo's server beside llama-server on this machine: the same closed loop from `turgo bench serve`, rounds interleaved.

usage: bench/serve.py MODEL.gguf [--peer-server FILE] [--rounds 3] [--clients 16] [--requests 48] [--write]
Each side runs with the same threads and as many slots as clients; llama-server runs the file and its own best format of it.
"""
import argparse
import datetime
import json
import os
import pathlib
import socket
import statistics
import subprocess
import time
import urllib.request

import peer_llama

ROOT = pathlib.Path(__file__).resolve().parent.parent
TURGO = os.environ.get("TURGO_BIN") or str(ROOT / "build/bin/turgo")
KEYS = ("output_throughput", "p50_ttft_ms", "p99_ttft_ms", "p50_itl_ms", "p99_itl_ms")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def load(command: list, port: int, args, seed: int) -> dict:
    """Starts a server, waits until it is ready, and gives the figures of one load test."""
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                if urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200:
                    break
            except OSError:
                time.sleep(0.1)
        flags = ["--max-concurrency", str(args.clients), "--random-input-len", "130", "--random-output-len", "64", "--json"]
        url = f"http://127.0.0.1:{port}"
        subprocess.run([TURGO, "bench", "serve", url, "--num-prompts", "4", "--seed", "999", *flags], check=True, capture_output=True)
        out = subprocess.run([TURGO, "bench", "serve", url, "--num-prompts", str(args.requests), "--seed", str(seed), *flags],
                             check=True, capture_output=True, text=True).stdout
        return json.loads(out)
    finally:
        server.terminate()
        server.wait(timeout=60)


def in_process(model: pathlib.Path, args, seed: int) -> dict:
    return json.loads(subprocess.run(
        [TURGO, "bench", "throughput", str(model), "--max-concurrency", str(args.clients), "--num-prompts", str(args.requests), "--threads",
         str(args.threads), "--random-input-len", "130", "--random-output-len", "64", "--seed", str(seed), "--json"],
        check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--peer-server", help="a built llama-server; else it is built once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=48)
    parser.add_argument("--peer-format", default="Q4_0")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write the table to bench/results/")
    args = parser.parse_args()
    peer = pathlib.Path(args.peer_server) if args.peer_server else peer_llama.server()
    best = peer_llama.requantize(peer.parent, args.model, args.peer_format)

    def ours(seed):
        port = free_port()
        return load([TURGO, "serve", "api_server", str(args.model), "--server-port", str(port), "--threads", str(args.threads)], port, args, seed)

    def theirs(model, seed):
        port = free_port()
        return load([str(peer), "-m", str(model), "--port", str(port), "-t", str(args.threads), "-np", str(args.clients), "-c",
                     str(args.clients * 512), "--no-warmup"], port, args, seed)

    sides = {"turgo": ours, "turgo, in process": lambda seed: in_process(args.model, args, seed),
             "llama-server": lambda seed: theirs(args.model, seed),
             f"llama-server {args.peer_format}": lambda seed: theirs(best, seed)}
    runs = {name: [] for name in sides}
    for round_number in range(args.rounds):
        for name, side in sides.items():
            runs[name].append(side(args.first_seed + round_number))
    median = {name: {key: statistics.median(run[key] for run in rows) for key in KEYS} for name, rows in runs.items()}
    base = median["turgo"]
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")), "unknown")
    lines = [f"{datetime.date.today()} · {args.model.name} · {cpu} · {args.threads} threads · {args.clients} closed-loop clients, 130 words in, "
             f"64 tokens out, {args.requests} requests · {args.rounds} rounds interleaved, medians", "",
             "| | output tok/s | ours / it | TTFT p50 ms | p99 | ITL p50 ms | p99 |", "|---|---|---|---|---|---|---|"]
    for name, m in median.items():
        lines.append(f"| {name} | {m['output_throughput']:.0f} | {base['output_throughput'] / m['output_throughput']:.2f} | {m['p50_ttft_ms']:.0f} | "
                     f"{m['p99_ttft_ms']:.0f} | {m['p50_itl_ms']:.1f} | {m['p99_itl_ms']:.1f} |")
    table = "\n".join(lines)
    print(table)
    if args.write:
        target = ROOT / "bench" / "results" / f"{datetime.date.today()}-serve-{args.model.stem}.md"
        target.write_text(table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
