#!/usr/bin/env python3
"""What the default arithmetic costs, beside llama.cpp's: the same file, text and token positions, each against its own f32.

usage: bench/kl_peer.py MODEL.gguf --text FILE [--ctx 512] [--windows 4] [--precision auto]
llama-perplexity scores the second half of each window only (its convention, so that every token has context); ours is
cut to the same positions. The two f32 readings of a file agree (KL below 1e-9), so the figures can be compared.
For models that put no BOS in front (the peer overwrites a window's first token with it). Needs numpy (.venv has it).
"""
import argparse
import pathlib
import re
import subprocess
import tempfile

import numpy as np

import peer_llama

ROOT = pathlib.Path(__file__).resolve().parent.parent
TURGO = str(ROOT / "build/bin/turgo")


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    x -= x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def ours(args, folder: pathlib.Path) -> dict:
    text = args.text.read_bytes()
    listed = subprocess.run([TURGO, "tokenize", str(args.model), "-"], input=text, check=True, capture_output=True).stdout
    ids = np.array(re.findall(rb"\d+", listed.splitlines()[0]), dtype=np.int64)
    half, last = args.ctx // 2, args.ctx - 1
    kl, same, loss = [], [], []
    for w in range(args.windows):
        window = ids[w * args.ctx:(w + 1) * args.ctx]
        read = {}
        for precision in ("f32", args.precision):
            out = folder / f"{precision}.npy"
            subprocess.run([TURGO, "eval", "logits", str(args.model), "--token-ids", ",".join(map(str, window)), "--output",
                            str(out), "--precision", precision], check=True, stdout=subprocess.DEVNULL)
            read[precision] = log_softmax(np.load(out)[half:last])
        exact, quick = read["f32"], read[args.precision]
        kl.append((np.exp(exact) * (exact - quick)).sum(-1))
        same.append(exact.argmax(-1) == quick.argmax(-1))
        rows = np.arange(last - half)
        loss.append(exact[rows, window[half + 1:]] - quick[rows, window[half + 1:]])
    kl, same, loss = map(np.concatenate, (kl, same, loss))
    return {"mean": kl.mean(), "error": kl.std() / len(kl) ** 0.5, "p99": np.percentile(kl, 99), "same": same.mean(),
            "ratio": np.exp(loss.mean()), "tokens": len(kl)}


def peer(args, folder: pathlib.Path) -> dict:
    binaries = peer_llama.build()
    exact = peer_llama.requantize(binaries, args.model, "F32")
    base = folder / "base.kld"
    common = [str(binaries / "llama-perplexity"), "-c", str(args.ctx), "--chunks", str(args.windows), "-t", "2",
              "--kl-divergence-base", str(base)]
    subprocess.run([*common, "-m", str(exact), "-f", str(args.text)], check=True, capture_output=True)
    out = subprocess.run([*common, "-m", str(args.model), "--kl-divergence"], check=True, capture_output=True, text=True)
    log = out.stdout + out.stderr

    def figure(pattern: str) -> float:
        return float(re.search(pattern + r"\s*:?\s*([-0-9.]+)", log)[1])
    return {"mean": figure(r"Mean\s+KLD:"), "error": float(re.search(r"Mean\s+KLD:.*±\s*([0-9.]+)", log)[1]),
            "p99": figure(r"99\.0%\s+KLD:"), "same": figure("Same top p:") / 100, "ratio": figure(r"Mean PPL\(Q\)/PPL\(base\)"),
            "tokens": args.windows * (args.ctx - 1 - args.ctx // 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--ctx", type=int, default=512)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    print("| | mean KL | p99 | same top token | perplexity / f32's | tokens |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, side in (("turgo", ours), ("llama.cpp", peer)):
            f = side(args, pathlib.Path(folder))
            print(f"| {name} | {f['mean']:.3e} ± {f['error']:.1e} | {f['p99']:.2e} | {f['same']:.2%} | {f['ratio']:.4f} | "
                  f"{f['tokens']} |")


if __name__ == "__main__":
    main()
