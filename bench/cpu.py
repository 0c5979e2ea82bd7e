#!/usr/bin/env python3
"""Turgo beside llama.cpp on this machine: same file, same threads, rounds interleaved, ratio of medians.

usage: bench/cpu.py MODEL.gguf [--only smollm2,depth,…] [--rounds 3] [--threads 2] [--isa avx512] [--text FILE] [--write]
MODEL.gguf is the default model (SmolLM2-135M-Instruct Q4_1). The pieces, each of one to three minutes:
  smollm2  prefill 512, decode 128, 16 and 64 sequences; the peer also runs its best own format of the model
  depth    decode 64 after 4,096 tokens, by type of the KV cache
  bf16     bf16 arithmetic over the Q4_1 file and over bf16 weights
  gemma3   Gemma 3 270M Q4_K_M
  qwen2    a model of Qwen2-0.5B's shape with random weights, Q4_0 and Q4_K_M (speeds only: it says nothing)
  scaling  Q4_0 of that shape with 1, 2, 4, … threads up to --threads; not part of the default set
  w4a16    the same shape as a folder in AWQ's format (groups of 128) beside its bf16 weights; no peer
  avx2     without AVX-512 on both sides
  kl       mean KL to the f32 reference of the file, over --text; not part of the default set
--isa avx512 leaves AMX out on both sides, as a machine that has none; not for the pieces avx2 and kl.
--write puts each piece into bench/results/DATE-cpu.md (DATE-cpu-avx512.md), in place of what the file held of that piece.
"""
import argparse
import datetime
import functools
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
from typing import Callable, NamedTuple

import kl_peer
import peer_llama
import random_model

ROOT = pathlib.Path(__file__).resolve().parent.parent
TURGO = os.environ.get("TURGO_BIN") or str(ROOT / "build/bin/turgo")
BEST = "Q4_0"  # the peer's fastest format of these models: the only one with kernels for interleaved rows at every m


class Side(NamedTuple):
    name: str
    run: Callable[[], dict]  # what one round measured: tokens per second by metric


class Goal(NamedTuple):
    metric: str
    ours: str
    theirs: tuple  # names of sides; the fastest of them counts
    ratio: float


def turgo(model, args, *flags, isa=None) -> dict:
    isa = isa or args.isa
    env = {**os.environ, **({"TURGO_ISA": isa} if isa else {})}
    command = [TURGO, "bench", str(model), "--threads", str(args.threads), "--repeat", "1", "--json", *map(str, flags)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout)


def turgo_single(model, args, *flags, gen_tokens=128, isa=None) -> dict:
    """Prefill of 512 and decode of `gen_tokens`, and what share of the limits, measured in the same process, they reach."""
    r = turgo(model, args, "--prompt-tokens", 512, "--context", 1, "--gen-tokens", gen_tokens, *flags, isa=isa)
    return {"prefill 512": r["prefill_tok_s"], f"decode {gen_tokens}": r["decode_tok_s"], "GB/s": r["read_bandwidth_gb_s"],
            "% of read": 100 * r["decode_bandwidth_share"], "% of peak": 100 * r["prefill"]["peak_share"]}


def turgo_batches(model, args, *flags, sizes=(16,), gen_tokens=64, isa=None) -> dict:
    r = turgo(model, args, "--context", 64, "--gen-tokens", gen_tokens, "--batch", ",".join(map(str, sizes)), *flags, isa=isa)
    return {f"{b['batch']} sequences": b["decode_tok_s"] for b in r["batches"]}


def build_peer(args) -> pathlib.Path:
    return peer_llama.build(peer_llama.AVX512_CMAKE, args.isa) if args.isa else peer_llama.build()


def peer_single(binaries, model, args, gen_tokens=128) -> dict:
    return {f"{kind} {n}": speed for (kind, n), speed in
            peer_llama.bench(binaries, model, ["-p", "512", "-n", str(gen_tokens), "-t", str(args.threads)]).items()}


def peer_batches(binaries, model, args, sizes=(16,), gen_tokens=64) -> dict:
    return {f"{n} sequences": speed for n, speed in peer_llama.batched(binaries, model, sizes, 64, gen_tokens, args.threads).items()}


def both(single: Callable, batches: Callable) -> Callable:
    return lambda: {**single(), **batches()}


def smollm2(model, args):
    native = build_peer(args)
    best = peer_llama.requantize(native, model, BEST)
    sizes = (16, 64)
    sides = [
        Side("turgo", both(lambda: turgo_single(model, args), lambda: turgo_batches(model, args, sizes=sizes))),
        Side("llama.cpp", both(lambda: peer_single(native, model, args), lambda: peer_batches(native, model, args))),
        Side(f"llama.cpp {BEST}", both(lambda: peer_single(native, best, args), lambda: peer_batches(native, best, args, sizes)))]
    theirs = (f"llama.cpp {BEST}", "llama.cpp")
    return sides, [Goal("prefill 512", "turgo", theirs, 2.4), Goal("decode 128", "turgo", theirs, 1.4),
                   Goal("16 sequences", "turgo", theirs, 3.3), Goal("16 sequences", "turgo", ("llama.cpp",), 8),
                   Goal("64 sequences", "turgo", theirs, 3.3)]


def depth(model, args):
    native = build_peer(args)
    best = peer_llama.requantize(native, model, BEST)

    def ours(kind):
        return {"decode 64 at 4096": turgo(model, args, "--context", 4096, "--gen-tokens", 64, "--kv-type", kind)["decode_tok_s"]}

    def peer():
        flags = ["-p", "0", "-n", "64", "-d", "4096", "-t", str(args.threads)]
        return {"decode 64 at 4096": peer_llama.bench(native, best, flags)["decode", 64]}
    sides = [Side("turgo, int8 KV", lambda: ours("int8")), Side("turgo, bf16 KV", lambda: ours("bf16")),
             Side(f"llama.cpp {BEST}, f16 KV", peer)]
    theirs = tuple(s.name for s in sides[2:])
    return sides, [Goal("decode 64 at 4096", "turgo, int8 KV", theirs, 3), Goal("decode 64 at 4096", "turgo, bf16 KV", theirs, 2.3)]


def bf16(model, args):
    native = build_peer(args)
    wide = peer_llama.requantize(native, model, "BF16")
    flags = ("--precision", "bf16")

    def ours(file):
        return both(lambda: turgo_single(file, args, *flags), lambda: turgo_batches(file, args, *flags))
    sides = [Side("turgo, Q4_1 weights, bf16 activations", ours(model)), Side("turgo, bf16 weights and activations", ours(wide)),
             Side("llama.cpp BF16", both(lambda: peer_single(native, wide, args), lambda: peer_batches(native, wide, args)))]
    return sides, [Goal(m, sides[1].name, (sides[2].name,), 1) for m in ("prefill 512", "decode 128", "16 sequences")]


def gemma3(_, args):
    native, file = build_peer(args), fetch_gemma3()
    sides = [Side("turgo", lambda: turgo_single(file, args)), Side("llama.cpp", lambda: peer_single(native, file, args))]
    return sides, [Goal("prefill 512", "turgo", ("llama.cpp",), 2), Goal("decode 128", "turgo", ("llama.cpp",), 1.4)]


def qwen2(_, args):
    native, sides = build_peer(args), []
    source = random_model.qwen2_half_billion(peer_llama.cache_folder())
    for kind in ("Q4_0", "Q4_K_M"):
        f = peer_llama.requantize(native, source, kind)
        sides += [Side(f"turgo {kind}", both(functools.partial(turgo_single, f, args), functools.partial(turgo_batches, f, args))),
                  Side(f"llama.cpp {kind}", both(functools.partial(peer_single, native, f, args),
                                                 functools.partial(peer_batches, native, f, args)))]
    theirs = ("llama.cpp Q4_0", "llama.cpp Q4_K_M")
    return sides, [Goal("prefill 512", "turgo Q4_0", theirs, 2.3), Goal("decode 128", "turgo Q4_0", theirs, 1.2),
                   Goal("16 sequences", "turgo Q4_0", theirs, 3)]


def scaling(_, args):
    native = build_peer(args)
    file = peer_llama.requantize(native, random_model.qwen2_half_billion(peer_llama.cache_folder()), "Q4_0")

    sides, goals = [], []
    for n in [*(n for n in (1, 2, 4, 8, 16, 32, 64) if n < args.threads), args.threads]:
        at = argparse.Namespace(**{**vars(args), "threads": n})
        pair = [Side(f"turgo, {n} threads", both(functools.partial(turgo_single, file, at, gen_tokens=64),
                                                 functools.partial(turgo_batches, file, at, gen_tokens=32))),
                Side(f"llama.cpp, {n} threads", both(functools.partial(peer_single, native, file, at, gen_tokens=64),
                                                     functools.partial(peer_batches, native, file, at, gen_tokens=32)))]
        sides += pair
        goals += [Goal(m, pair[0].name, (pair[1].name,), 1) for m in ("prefill 512", "decode 64", "16 sequences")]
    return sides, goals


def w4a16(_, args):
    source = random_model.qwen2_half_billion(peer_llama.cache_folder())
    wide, folder = (peer_llama.cache_folder() / f"{source.stem}-{name}" for name in ("bf16", "awq"))
    if not wide.exists():  # an untouched copy: nothing is below the smallest share
        lite("prune", "--method", "magnitude", "--sparsity", "1e-9", source, wide)
    if not folder.exists():
        lite("rtn", "--w-group-size", "128", source, folder)

    def side(model, *flags):
        def run():
            r = turgo(model, args, "--prompt-tokens", 512, "--context", 1, "--gen-tokens", 128, *flags)
            return {"prefill 512": r["prefill_tok_s"], "decode 128": r["decode_tok_s"],
                    "MB per token": r["decode_bytes_per_token"] / 1e6, "GB/s": r["read_bandwidth_gb_s"]}
        return run
    sides = [Side("bf16", side(wide)), Side("W4A16, head in 8 bits", side(folder, "--precision", "bf16")),
             Side("W4A16, head in 16 bits", side(folder, "--precision", "bf16", "--head-type", "file")),
             Side("W4, int8 activations, head in 8 bits", side(folder))]
    return sides, [Goal(m, s.name, ("bf16",), ratio) for s in sides[1:] for m, ratio in (("decode 128", 2.4), ("prefill 512", 1))]


def lite(*words):
    *command, source, target = words
    subprocess.run([TURGO, "lite", *command, source, "--work-dir", target, "--no-check"], check=True, stdout=subprocess.DEVNULL)


def avx2(model, args):
    narrow, best = peer_llama.build(peer_llama.AVX2_CMAKE, "avx2"), peer_llama.requantize(peer_llama.build(), model, BEST)
    sides = [Side("turgo, TURGO_ISA=avx2", both(lambda: turgo_single(model, args, isa="avx2"),
                                                lambda: turgo_batches(model, args, isa="avx2")))]
    for name, f in (("llama.cpp without AVX-512", model), (f"llama.cpp {BEST} without AVX-512", best)):
        sides.append(Side(name, both(functools.partial(peer_single, narrow, f, args), functools.partial(peer_batches, narrow, f, args))))
    theirs = tuple(s.name for s in sides[1:])
    return sides, [Goal("prefill 512", sides[0].name, theirs, 1.5), Goal("16 sequences", sides[0].name, theirs, 2)]


PIECES = {"smollm2": smollm2, "depth": depth, "bf16": bf16, "gemma3": gemma3, "qwen2": qwen2, "w4a16": w4a16, "avx2": avx2,
          "scaling": scaling}
ON_REQUEST = ("scaling",)  # not without --only


def fetch_gemma3() -> pathlib.Path:
    return pathlib.Path(subprocess.run([sys.executable, str(ROOT / "tools/fetch_model.py"), "gemma3"], check=True,
                                       capture_output=True, text=True).stdout.strip())


def speed_table(piece, model, args) -> str:
    sides, goals = PIECES[piece](model, args)
    runs = {side.name: [] for side in sides}
    for _ in range(args.rounds):
        for side in sides:
            runs[side.name].append(side.run())
    median = {name: {m: statistics.median(r[m] for r in rows) for m in rows[0]} for name, rows in runs.items()}
    metrics = list(dict.fromkeys(m for figures in median.values() for m in figures))
    lines = ["| tok/s | " + " | ".join(metrics) + " |", "|---" * (len(metrics) + 1) + "|"]
    for name, figures in median.items():
        lines.append(f"| {name} | " + " | ".join(f"{figures[m]:.0f}" if m in figures else "" for m in metrics) + " |")
    lines += ["", "| ours / the best of theirs | ratio | spread of rounds | wanted |", "|---|---|---|---|"]
    for g in goals:
        best = max(g.theirs, key=lambda name: median[name].get(g.metric, 0))
        rounds = [a[g.metric] / b[g.metric] for a, b in zip(runs[g.ours], runs[best])]
        lines.append(f"| {g.metric}: {g.ours} / {best} | {median[g.ours][g.metric] / median[best][g.metric]:.2f} | "
                     f"{min(rounds):.2f} … {max(rounds):.2f} | {g.ratio} |")
    return "\n".join(lines)


def kl_table(model, args) -> str:
    if not args.text:
        sys.exit("cpu.py: the piece kl needs --text FILE, plain text of 10 kB or more")
    parts = [f"### {f.name}\n\n" + kl_peer.table(f, args.text, 512, 4, formats)
             for f, formats in ((model, (BEST,)), (fetch_gemma3(), ()))]
    return "\n\n".join(parts)


def machine() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        text = f.read()
    name, family = (re.search(rf"{key}\s*:\s*(.*)", text) for key in ("model name", "cpu family"))
    return f"{name[1] if name else 'unknown'} (family {family[1] if family else '?'})"


def write_section(piece: str, text: str, isa: str | None) -> None:
    path = ROOT / "bench" / "results" / f"{datetime.date.today()}-cpu{f'-{isa}' if isa else ''}.md"
    path.parent.mkdir(exist_ok=True)
    head = f"# Turgo beside llama.cpp ({peer_llama.VERSION} of llama-cpp-python), {datetime.date.today()}\n"
    sections = re.split(r"(?m)^(?=## )", path.read_text(encoding="utf-8")) if path.exists() else [head]
    kept = {s.split("\n")[0]: s.rstrip() for s in sections}
    kept[f"## {piece}"] = f"## {piece}\n\n{text}"
    path.write_text("\n\n".join(kept.values()) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--only", help="pieces, with commas between")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--isa", choices=["avx512"], help="of both sides")
    parser.add_argument("--text", type=pathlib.Path)
    parser.add_argument("--write", action="store_true", help="write the tables to bench/results/")
    args = parser.parse_args()
    pieces = args.only.split(",") if args.only else [
        p for p in PIECES if p not in ON_REQUEST and not (args.isa and p == "avx2")]
    for piece in pieces:
        if args.isa and piece in ("avx2", "kl"):
            sys.exit(f"cpu.py: the piece {piece} takes no --isa")
        if piece not in PIECES and piece != "kl":
            sys.exit(f"cpu.py: --only {piece}: expected one of {', '.join(PIECES)}, kl")
    for piece in pieces:
        text = kl_table(args.model, args) if piece == "kl" else (
            f"{machine()}{f' · {args.isa}' if args.isa else ''} · {args.threads} threads · {args.rounds} rounds interleaved, medians\n\n"
            + speed_table(piece, args.model, args))
        print(f"## {piece}\n\n{text}\n", flush=True)
        if args.write:
            write_section(piece, text, args.isa)


if __name__ == "__main__":
    main()
