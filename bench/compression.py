#!/usr/bin/env python3
"""The table of docs/compression.md: what each method of `turgo lite` costs on held-out text, one row at a time.

usage: bench/compression.py MODEL --work DIR --text FILE [--text FILE …] [--rows awq_w3,…] [--threads N] [--render]
       bench/compression.py MODEL --work DIR --speeds [--rounds N] [--threads N]

Every finished row is a line of DIR/rows.jsonl; a run that was stopped goes on with the next one, and --render prints the table of
what is there. Calibration text is the program's (tales) or the model's own; a text that shares a run of 50 characters with the
tales is refused. --speeds prints the other table: tokens per second by format, rounds interleaved; the method does not matter to it.
Weights are compared in f32 arithmetic with the source in f32 (W8A8: in int8, as it runs), windows of 512 tokens, a KV cache of
the arithmetic's own type; caches in windows of 2,048.
"""
import argparse
import json
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
TALES = ROOT / "src/compress/data/grimm_tales.txt"
RUN = 50  # characters


def shared_run(calibration: str, text: str, length: int = RUN) -> str:
    """The first run of `length` characters that both texts hold, or "". White space counts as one space."""
    a, b = (" ".join(t.split()) for t in (calibration, text))
    # Every run of `length` characters of `a` holds one of these pieces whole.
    step = length // 2
    pieces = {}
    for i in range(0, len(a) - step + 1, step):
        pieces.setdefault(a[i:i + step], []).append(i)
    for j in range(len(b) - step + 1):
        for i in pieces.get(b[j:j + step], ()):
            left = 0
            while left < length and i - left > 0 and j - left > 0 and a[i - left - 1] == b[j - left - 1]:
                left += 1
            right = step
            while left + right < length and i + right < len(a) and j + right < len(b) and a[i + right] == b[j + right]:
                right += 1
            if left + right >= length:
                return b[j - left:j - left + length]
    return ""


def rows():
    """name -> (what it says in the table, `turgo lite` arguments or None, evaluation flags)"""
    table = {}
    for bits in ("4", "3", "2"):
        flags = ["--w-bits", bits, "--w-group-size", "64", "--export", "gptq"]
        for key, label, command in [("rtn", "RTN", ["rtn"]), ("awq", "AWQ", ["auto_awq"]),
                                    ("lmdeploy", "AWQ, LMDeploy's procedure", ["auto_awq", "--procedure", "lmdeploy"]),
                                    ("gptq", "GPTQ", ["auto_gptq"]),
                                    ("gptq_tales", "GPTQ, on tales", ["auto_gptq", "--calib-dataset", "tales"])]:
            if bits != "2" or key in ("rtn", "awq", "gptq"):
                table[f"{key}_w{bits}"] = (f"W{bits}g64 {label}", command + flags, [])
    for key, label, command in [("naive", "W8A8 naive", ["rtn", "--w-bits", "8", "--w-group-size", "-1", "--w-sym", "--export", "compressed-tensors"]),
                                ("smooth", "W8A8 SmoothQuant", ["smooth_quant"])]:
        table[f"{key}_w8a8"] = (label, command, ["--precision", "int8"])
    for sparsity in ("0.5", "2:4"):
        for method, text in [("magnitude", ""), ("wanda", ""), ("wanda", "generated"), ("sparsegpt", ""), ("sparsegpt", "tales")]:
            label = f"{'50 %' if sparsity == '0.5' else sparsity} {method}" + {"": "", "tales": ", on tales", "generated": ", own text"}[text]
            table["_".join(filter(None, (method, text, sparsity.replace(":", "of"))))] = (
                label, ["prune", "--method", method, "--sparsity", sparsity, "--dtype", "float32"] + (["--calib-dataset", text] if text else []), [])
    for policy, label in [("8", "KV int8"), ("84", "KV K8V4"), ("4", "KV int4")]:
        table[f"kv_{policy}"] = (label, None, ["--quant-policy", policy, "--ctx", "2048", "--precision", "bf16"])
    return table


def run(command):
    """(seconds, CPU seconds, stdout)"""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def measure(name, row, args):
    label, lite, flags = row
    result, out = str(args.model), {"row": name, "label": label}
    threads = ["--threads", str(args.threads)]
    if lite:
        result = str(args.work / "result")
        out["seconds"], out["cpu_seconds"], _ = run([args.turgo, "lite", *lite, args.model, "--work-dir", result, "--force", "--no-check", *threads]
                                                    + (["--calib-samples", str(args.samples), "--calib-seqlen", "512"] if lite[0] != "rtn" else []))
        files = [f for f in pathlib.Path(result).glob("*.safetensors")] if pathlib.Path(result).is_dir() else [pathlib.Path(result)]
        out["file_bytes"] = sum(f.stat().st_size for f in files)
    if not any(flag == "--precision" for flag in flags):
        flags = [*flags, "--precision", "f32"]
    reference = "bf16" if name.startswith("kv") else "f32"
    out["texts"] = {}
    for text in args.text:
        against = [args.model, "--reference-precision", reference]
        if reference == "f32":  # read once
            against = [args.work / f"{text.stem}.npy"]
            if not against[0].exists():
                run([args.turgo, "eval", "logits", args.model, "--text", text, "--tokens", str(args.tokens), "--precision", "f32",
                     "--output", against[0], *threads])
        _, _, answer = run([args.turgo, "eval", "kl", result, *against, "--text", text, "--tokens", str(args.tokens), "--json", *flags, *threads])
        out["texts"][text.name] = {k: v for k, v in json.loads(answer).items() if k in ("mean_kl", "top1_agreement", "perplexity", "reference_perplexity", "num_tokens")}
    if lite:
        shutil.rmtree(result)
    return out


def render(done):
    names = list(done[0]["texts"])
    lines = ["| | " + " | ".join(f"{n}: perplexity (excess) | KL | top-1" for n in names) + " | MB | CPU s |",
             "|---|" + "---|---|---|" * len(names) + "---|---|"]
    order = list(rows())
    for r in sorted(done, key=lambda r: order.index(r["row"])):
        cells = []
        for n in names:
            t = r["texts"][n]
            cells.append(f"{t['perplexity']:.2f} ({100 * (t['perplexity'] / t['reference_perplexity'] - 1):+.1f} %) | {t['mean_kl']:.3g} | "
                         + (f"{100 * t['top1_agreement']:.1f} %" if "top1_agreement" in t else ""))
        size = f"{r['file_bytes'] / 1e6:.0f}" if "file_bytes" in r else ""
        lines.append(f"| {r['label']} | " + " | ".join(cells) + f" | {size} | {r.get('cpu_seconds', 0):.0f} |")
    base = "; ".join(f"{n} {done[0]['texts'][n]['reference_perplexity']:.3f} ({done[0]['texts'][n]['num_tokens']} tokens)" for n in names)
    return f"Source: {base}.\n\n" + "\n".join(lines)


FORMATS = {"W4g64": ["--w-bits", "4", "--w-group-size", "64"], "W3g64": ["--w-bits", "3", "--w-group-size", "64", "--export", "gptq"],
           "W2g64": ["--w-bits", "2", "--w-group-size", "64", "--export", "gptq"],
           "W8A8": ["--w-bits", "8", "--w-group-size", "-1", "--w-sym", "--export", "compressed-tensors"]}


def speeds(args):
    """Formats by name: the source, what rounding makes of it, and its caches after 2,048 tokens."""
    plain = args.work / "bf16"
    if not plain.exists():  # nothing is below the smallest share: the source's weights in bf16
        run([args.turgo, "lite", "prune", args.model, "--method", "magnitude", "--sparsity", "1e-9", "--work-dir", plain, "--no-check"])
    sides = {"bf16 weights": [plain]}
    for name, flags in FORMATS.items():
        folder = args.work / name
        if not folder.exists():
            run([args.turgo, "lite", "rtn", args.model, *flags, "--work-dir", folder, "--no-check"])
        sides[name] = [folder]
        if name != "W8A8":
            sides[f"{name}, bf16 activations"] = [folder, "--precision", "bf16"]
    for kind in ("bf16", "int8", "k8v4", "int4"):
        sides[f"source, {kind} cache, after 2,048"] = [args.model, "--kv-type", kind]
    figures = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, command in sides.items():
            length = ["--prompt-tokens", "512", "--context", "2048" if "cache" in name else "1", "--gen-tokens", "48"]
            _, _, answer = run([args.turgo, "bench", *command, *length, "--repeat", "1", "--json", "--threads", str(args.threads)])
            figures[name].append(json.loads(answer))
    lines = ["| | prefill 512, tokens/s | decode, tokens/s | MB per token |", "|---|---|---|---|"]
    for name, rounds in figures.items():
        prefill, decode = (statistics.median(r[key] for r in rounds) for key in ("prefill_tok_s", "decode_tok_s"))
        lines.append(f"| {name} | {prefill:.0f} | {decode:.0f} | {rounds[0]['decode_bytes_per_token'] / 1e6:.0f} |")
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--text", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--rows")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turgo", default=str(ROOT / "build/bin/turgo"))
    parser.add_argument("--render", action="store_true")
    parser.add_argument("--speeds", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.speeds:
        speeds(args)
        return
    if not args.text and not args.render:
        parser.error("expected --text FILE")
    log = args.work / "rows.jsonl"
    done = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    if args.render:
        print(render(done))
        return
    for text in args.text:
        if common := shared_run(TALES.read_text(encoding="utf-8"), text.read_text(encoding="utf-8")):
            sys.exit(f"compression.py: {text} shares text with the calibration: {common!r}")
    wanted = args.rows.split(",") if args.rows else list(rows())
    for name in wanted:
        if name in {r["row"] for r in done}:
            continue
        try:
            row = measure(name, rows()[name], args)
        except RuntimeError as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            continue
        done.append(row)
        with log.open("a") as f:
            f.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
