#!/usr/bin/env python3
"""What the default arithmetic costs, beside llama.cpp's: the same file, text and token positions, each against its own f32.

usage: bench/kl_peer.py MODEL.gguf --text FILE [--ctx 512] [--windows 4] [--precision auto] [--peer-formats Q4_0,…]
llama-perplexity scores the second half of each window only (its convention, so that every token has context); ours is
cut to the same positions. The two f32 readings of a file agree (KL below 1e-9), so the figures can be compared.
Like the peer, each window of a model that wants a BOS starts with it, in place of its first token. A peer format is the
peer's requantisation of the file, held against the f32 reading of the file itself. Needs numpy and gguf (.venv has them).
"""
import argparse
import os
import pathlib
import re
import subprocess
import tempfile

import gguf
import numpy as np

import peer_llama

ROOT = pathlib.Path(__file__).resolve().parent.parent
TURGO = os.environ.get("TURGO_BIN") or str(ROOT / "build/bin/turgo")


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    x -= x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def bos_of(model: pathlib.Path) -> list:
    """[BOS] where the model wants one in front, else []."""
    fields = gguf.GGUFReader(model).fields

    def value(key: str, default):
        field = fields.get(f"tokenizer.ggml.{key}")
        return field.contents() if field else default
    wanted = value("add_bos_token", value("model", "") == "llama")
    return [int(value("bos_token_id", 0))] if wanted else []


def token_windows(model: pathlib.Path, text: pathlib.Path, ctx: int, windows: int) -> list:
    listed = subprocess.run([TURGO, "tokenize", str(model), "-"], input=text.read_bytes(), check=True, capture_output=True).stdout
    bos = bos_of(model)
    ids = np.array(bos + [int(i) for i in re.findall(rb"\d+", listed.splitlines()[0])], dtype=np.int64)
    out = [ids[w * ctx:(w + 1) * ctx] for w in range(windows)]
    for window in out:
        window[:len(bos)] = bos
    return out


def ours(model, text, ctx, windows, precision, folder: pathlib.Path) -> dict:
    half, last = ctx // 2, ctx - 1
    kl, same, loss = [], [], []
    for window in token_windows(model, text, ctx, windows):
        read = {}
        for arithmetic in ("f32", precision):
            out = folder / f"{arithmetic}.npy"
            subprocess.run([TURGO, "eval", "logits", str(model), "--token-ids", ",".join(map(str, window)), "--output",
                            str(out), "--precision", arithmetic], check=True, stdout=subprocess.DEVNULL)
            read[arithmetic] = log_softmax(np.load(out)[half:last])
        exact, quick = read["f32"], read[precision]
        kl.append((np.exp(exact) * (exact - quick)).sum(-1))
        same.append(exact.argmax(-1) == quick.argmax(-1))
        rows = np.arange(last - half)
        loss.append(exact[rows, window[half + 1:]] - quick[rows, window[half + 1:]])
    kl, same, loss = map(np.concatenate, (kl, same, loss))
    return {"mean": kl.mean(), "error": kl.std() / len(kl) ** 0.5, "p99": np.percentile(kl, 99), "same": same.mean(),
            "ratio": np.exp(loss.mean()), "tokens": len(kl)}


def peer(model, text, ctx, windows, formats, folder: pathlib.Path) -> dict:
    """Figures by format: None is the file as it is."""
    binaries = peer_llama.build()
    base = folder / "base.kld"
    common = [str(binaries / "llama-perplexity"), "-c", str(ctx), "--chunks", str(windows), "-t", "2",
              "--kl-divergence-base", str(base)]
    subprocess.run([*common, "-m", str(peer_llama.requantize(binaries, model, "F32")), "-f", str(text)], check=True,
                   capture_output=True)
    figures = {}
    for kind in (None, *formats):
        file = peer_llama.requantize(binaries, model, kind) if kind else model
        out = subprocess.run([*common, "-m", str(file), "--kl-divergence"], check=True, capture_output=True, text=True)
        figures[kind] = read_figures(out.stdout + out.stderr)
        figures[kind]["tokens"] = windows * (ctx - 1 - ctx // 2)
    return figures


def read_figures(log: str) -> dict:
    def figure(pattern: str) -> float:
        return float(re.search(pattern + r"\s*:?\s*([-0-9.]+)", log)[1])
    return {"mean": figure(r"Mean\s+KLD:"), "error": float(re.search(r"Mean\s+KLD:.*±\s*([0-9.]+)", log)[1]),
            "p99": figure(r"99\.0%\s+KLD:"), "same": figure("Same top p:") / 100, "ratio": figure(r"Mean PPL\(Q\)/PPL\(base\)")}


def table(model, text, ctx=512, windows=4, formats=(), precision="auto") -> str:
    with tempfile.TemporaryDirectory() as folder:
        rows = {"turgo": ours(model, text, ctx, windows, precision, pathlib.Path(folder))}
        for kind, figures in peer(model, text, ctx, windows, formats, pathlib.Path(folder)).items():
            rows[f"llama.cpp {kind}" if kind else "llama.cpp"] = figures
    lines = ["| | mean KL | p99 | same top token | perplexity / f32's | tokens |", "|---|---|---|---|---|---|"]
    lines += [f"| {name} | {f['mean']:.3e} ± {f['error']:.1e} | {f['p99']:.2e} | {f['same']:.2%} | {f['ratio']:.4f} | {f['tokens']} |"
              for name, f in rows.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--ctx", type=int, default=512)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--peer-formats", default="")
    args = parser.parse_args()
    print(table(args.model, args.text, args.ctx, args.windows, args.peer_formats.split(",") if args.peer_formats else (),
                args.precision))


if __name__ == "__main__":
    main()
