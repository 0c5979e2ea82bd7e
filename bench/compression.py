#!/usr/bin/env python3
"""The table of docs/compression.md: what each method of `turgo lite` costs on held-out text.

usage: bench/compression.py MODEL [MODEL …] --work DIR --text FILE [--text FILE …] [--jobs N] [--rows awq_w3,…] [--deadline SECONDS]
       bench/compression.py --table DIR/rows.jsonl …
       bench/compression.py MODEL --work DIR --speeds [--rounds N] [--threads N]

--jobs programs of --threads threads work at once: compressions, and comparisons of pieces of at most 2,048 tokens that end between two words.
The source's f32 logits of a piece are kept in DIR (tokens x vocabulary x 4 bytes in all), so that they are computed once. Rows that matter
most come first. Every finished piece and row is a line of a file in DIR: a run that was stopped or killed (or met its --deadline) goes on
where it was when the same command is given again. A finished row is printed as JSON and stands in DIR/rows.jsonl; --table makes Markdown
of such files, on any machine.

Calibration text is the program's (tales) or the model's own; a text that shares a run of 50 characters with the tales is refused.
--speeds prints the other table: tokens per second by format, rounds interleaved; the method does not matter to it. Its medians stand in
DIR/speeds.jsonl, and where that lies beside a ROWS, --table has two columns more; the folders that were timed stay in DIR/MODEL/speeds.
Weights are compared in f32 arithmetic with the source in f32 (W8A8 in int8, FP8 in bf16, as they run), windows of 512 tokens, a KV cache of
the arithmetic's own type; caches in windows of 2,048, in bf16.
"""
import argparse
import collections
import json
import math
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
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


# The rows in the order of their weight.
ORDER = [row for group in [[f"{method}_w{bits}" for method in ("rtn", "awq", "gptq")] for bits in (4, 3, 2)] + [["kv_8"], ["kv_84"], ["kv_4"]] + [
    [f"{method}_{sparsity}" for method in ("magnitude", "wanda", "sparsegpt")] for sparsity in ("0.5", "2of4")] + [
    ["naive_w8a8", "smooth_w8a8", "fp8"], ["lmdeploy_w4", "gptq_tales_w4"], ["lmdeploy_w3", "gptq_tales_w3"],
    ["awq_mixed_3", "awq_mixed_3.5"], ["awq_block_w4", "awq_block_w3"],
    ["wanda_generated_0.5", "sparsegpt_tales_0.5"], ["wanda_generated_2of4", "sparsegpt_tales_2of4"]] for row in group]
PIECE = 2048  # tokens


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
    for target in ("3", "3.5"):
        table[f"awq_mixed_{target}"] = (f"W{target} mixed, g64 AWQ", ["auto_awq", "--target-bits", target, "--w-group-size", "64"], [])
    for bits in ("4", "3"):
        table[f"awq_block_w{bits}"] = (f"W{bits}g64 AWQ, block objective", ["auto_awq", "--objective", "block", "--w-bits", bits, "--w-group-size", "64", "--export", "gptq"], [])
    table["fp8"] = ("FP8 (E4M3)", ["fp8"], ["--precision", "bf16"])
    for sparsity in ("0.5", "2:4"):
        for method, text in [("magnitude", ""), ("wanda", ""), ("wanda", "generated"), ("sparsegpt", ""), ("sparsegpt", "tales")]:
            label = f"{'50 %' if sparsity == '0.5' else sparsity} {method}" + {"": "", "tales": ", on tales", "generated": ", own text"}[text]
            table["_".join(filter(None, (method, text, sparsity.replace(":", "of"))))] = (
                label, ["prune", "--method", method, "--sparsity", sparsity, "--dtype", "float32"] + (["--calib-dataset", text] if text else []), [])
    for policy, label in [("8", "KV int8"), ("84", "KV K8V4"), ("4", "KV int4")]:
        table[f"kv_{policy}"] = (label, None, ["--quant-policy", policy, "--ctx", "2048", "--precision", "bf16"])
    return table


# What --speeds measures a format by: the row that is written soonest. Mixed widths are not there: no row without calibration has them.
FORMATS = {"W4g64": "rtn_w4", "W3g64": "rtn_w3", "W2g64": "rtn_w2", "W8A8": "naive_w8a8", "FP8": "fp8"}
CACHE = "source, {} cache, after 2,048"


def format_of(row):
    """What of --speeds is as fast as a row; "" for mixed widths."""
    _, lite, flags = rows()[row]
    if not lite:
        return CACHE.format({"8": "int8", "84": "k8v4", "4": "int4"}[flags[1]])
    if lite[0] == "prune":
        return "bf16 weights"
    if "--target-bits" in lite:
        return ""
    return "FP8" if row == "fp8" else "W8A8" if row.endswith("_w8a8") else f"W{row[-1]}g64"


class Stopped(Exception):
    pass


class Programs:
    """Runs programs from several threads, and can end them all."""

    def __init__(self):
        self.lock, self.alive, self.stopping = threading.Lock(), set(), False

    def run(self, command):
        """(seconds, CPU seconds, peak bytes, stdout); a program that fails raises RuntimeError, an ended one Stopped with its CPU seconds."""
        start = time.monotonic()
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            with self.lock:
                if self.stopping:
                    raise Stopped(0.0)
                process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
                self.alive.add(process.pid)
            _, status, usage = os.wait4(process.pid, 0)
            with self.lock:
                self.alive.discard(process.pid)
            process.returncode = os.waitstatus_to_exitcode(status)
            cpu = usage.ru_utime + usage.ru_stime
            for f in (out, err):
                f.seek(0)
            if process.returncode != 0:
                if self.stopping:
                    raise Stopped(cpu)
                raise RuntimeError(f"{' '.join(map(str, command))}\n{err.read()[-2000:]}")
            return time.monotonic() - start, cpu, usage.ru_maxrss * 1024, out.read()

    def stop(self):
        with self.lock:
            self.stopping = True
            for pid in self.alive:
                os.kill(pid, signal.SIGTERM)


def read_lines(path):
    """The objects of a file; lines that a killed writer left half are not among them."""
    values = []
    for line in path.read_text().split("\n") if path.exists() else ():
        try:
            values.append(json.loads(line))
        except ValueError:
            pass
    return values


def append_line(path, value):
    with path.open("a") as f:
        f.write("\n" * (f.tell() > 0) + json.dumps(value))  # the line break first: what a killed writer began ends there


class Bench:
    def __init__(self, args):
        self.args, self.programs, self.lock = args, Programs(), threading.Condition()
        settings, asked = args.work / "settings.json", {"bytes": args.bytes, "tokens": args.tokens, "samples": args.samples}
        if settings.exists() and json.loads(settings.read_text()) != asked:
            sys.exit(f"compression.py: {args.work} was begun with {settings.read_text()}; give these again, or another --work")
        settings.write_text(json.dumps(asked))
        self.pieces_file, self.solved_file, self.rows_file = (args.work / f"{n}.jsonl" for n in ("pieces", "solved", "rows"))
        self.measured = {(p["model"], p["row"], p["text"], p["piece"]): p for p in read_lines(self.pieces_file)}
        self.done = {(r["model"], r["row"]) for r in read_lines(self.rows_file)}
        self.solved = {(s["model"], s["row"]): s for s in read_lines(self.solved_file) if self.folder(pathlib.Path(s["model"]), s["row"]).exists()}
        self.failed = set()
        for path in args.text:
            if common := shared_run(TALES.read_text(encoding="utf-8"), self.beginning(path)):
                sys.exit(f"compression.py: {path} shares text with the calibration: {common!r}")
        self.pieces = {(model, text): self.cut(model, text) for model in args.models for text in args.text}

    def folder(self, model, row):
        return self.args.work / model.stem / row

    def beginning(self, path):
        """The first --bytes of a text, without the rest of a character that they break."""
        return path.read_bytes()[:self.args.bytes or None].decode("utf-8", "ignore")

    def cut(self, model, text):
        """Files of at most PIECE tokens that are the text when put together."""
        folder = self.args.work / model.stem / "texts"
        if (folder / f"{text.stem}.000.txt").exists():
            return sorted(folder.glob(f"{text.stem}.*.txt"))
        whole = self.beginning(text)
        answer = subprocess.run([self.args.turgo, "tokenize", model, "-", "--json"], input=whole.encode(), capture_output=True, check=True).stdout
        answer = json.loads(answer)
        ids, tokens = (answer[key][:self.args.tokens or None] for key in ("token_ids", "tokens"))
        begins, parts = [0], []
        while len(ids) - begins[-1] > PIECE:
            begins.append(next(i for i in range(begins[-1] + PIECE, begins[-1], -1) if tokens[i][0] in " \u0120\u2581"))  # a space as vocabularies write it
        for begin, end in zip(begins, begins[1:] + [len(ids)]):
            decoded = subprocess.run([self.args.turgo, "tokenize", model, "--decode", ",".join(map(str, ids[begin:end])), "--json"], capture_output=True, check=True).stdout
            parts.append(json.loads(decoded)["text"])
        if not whole.startswith("".join(parts)):
            sys.exit(f"compression.py: {model}'s tokens are not the text of {text}")
        folder.mkdir(parents=True, exist_ok=True)
        for i, part in enumerate(parts):
            (folder / f"{text.stem}.{i:03}.part").write_text(part, encoding="utf-8", newline="")
        for i in range(len(parts)):  # the first one last: it says that all are there
            (folder / f"{text.stem}.{len(parts) - 1 - i:03}.part").rename(folder / f"{text.stem}.{len(parts) - 1 - i:03}.txt")
        return self.cut(model, text)

    # A task is (key, needs, function); it may start when all that it needs is there or has failed.
    def tasks(self):
        wanted = [(m, row) for row in ORDER for m in self.args.models if (not self.args.rows or row in self.args.rows.split(",")) and (m.name, row) not in self.done]
        left = [(m, row, text, piece) for m, row in wanted for text in self.args.text for piece in self.pieces[m, text]
                if (m.name, row, text.name, piece.name) not in self.measured]
        for m, piece in dict.fromkeys((m, piece) for m, row, _, piece in left if not row.startswith("kv")):
            if not piece.with_suffix(".npy").exists():
                yield ("source", m.name, piece.name), [], lambda m=m, p=piece: self.source(m, p)
        for m, row in wanted:
            if rows()[row][1] and (m.name, row) not in self.solved:
                yield ("solve", m.name, row), [], lambda m=m, r=row: self.solve(m, r)
            for _, _, text, piece in (x for x in left if x[:2] == (m, row)):
                needs = [] if row.startswith("kv") else [("source", m.name, piece.name)]
                if rows()[row][1]:
                    needs.append(("solve", m.name, row))
                yield ("compare", m.name, row, piece.name), needs, lambda m=m, r=row, t=text, p=piece: self.compare(m, r, t, p)

    def source(self, model, piece):
        self.programs.run([self.args.turgo, "eval", "logits", model, "--text", piece, "--precision", "f32", "--output", piece.with_suffix(".npy"),
                           "--threads", self.args.threads])

    def solve(self, model, row):
        label, lite, _ = rows()[row]
        result = self.folder(model, row)
        clock = result.with_name(row + ".json")
        spent = json.loads(clock.read_text()) if clock.exists() else {"seconds": 0, "cpu_seconds": 0}
        clock.write_text(json.dumps({"seconds": None, "cpu_seconds": None}))  # what a killed run has spent, nobody knows
        samples = ["--calib-samples", self.args.samples, "--calib-seqlen", 512] if lite[0] not in ("rtn", "fp8") else []
        start = time.monotonic()
        try:
            seconds, cpu, peak, _ = self.programs.run([self.args.turgo, "lite", *lite, model, "--work-dir", result, "--force", "--no-check",
                                                       "--threads", self.args.threads, *samples])
        except Stopped as stopped:
            if spent["cpu_seconds"] is not None:
                clock.write_text(json.dumps({"seconds": spent["seconds"] + time.monotonic() - start, "cpu_seconds": spent["cpu_seconds"] + stopped.args[0]}))
            raise
        files = result.glob("*.safetensors") if result.is_dir() else [result]
        known = spent["cpu_seconds"] is not None
        solved = {"model": model.name, "row": row, "seconds": spent["seconds"] + seconds if known else None,
                  "cpu_seconds": spent["cpu_seconds"] + cpu if known else None, "peak_bytes": peak, "file_bytes": sum(f.stat().st_size for f in files)}
        with self.lock:
            append_line(self.solved_file, solved)
            self.solved[model.name, row] = solved

    def compare(self, model, row, text, piece):
        flags, lite = list(rows()[row][2]), rows()[row][1]
        if "--precision" not in flags:
            flags += ["--precision", "f32"]
        against = [model, "--reference-precision", "bf16"] if row.startswith("kv") else [piece.with_suffix(".npy")]
        _, cpu, peak, answer = self.programs.run([self.args.turgo, "eval", "kl", self.folder(model, row) if lite else model, *against, "--text", piece,
                                                  "--json", "--threads", self.args.threads, *flags])
        figures = json.loads(answer)
        measured = {"model": model.name, "row": row, "text": text.name, "piece": piece.name, "cpu_seconds": round(cpu, 2), "peak_bytes": peak,
                    **{k: figures[k] for k in ("mean_kl", "top1_agreement", "num_tokens", "perplexity", "reference_perplexity")}}
        with self.lock:
            append_line(self.pieces_file, measured)
            self.measured[model.name, row, text.name, piece.name] = measured
            self.finish(model, row)

    def finish(self, model, row):
        """Once all pieces of a row are there: adds them up."""
        out = {"model": model.name, "row": row, "label": rows()[row][0], "samples": self.args.samples, **self.solved.get((model.name, row), {}), "texts": {}}
        for text in self.args.text:
            pieces = [self.measured.get((model.name, row, text.name, piece.name)) for piece in self.pieces[model, text]]
            if None in pieces:
                return
            out["texts"][text.name] = add_up(pieces, 2048 if row.startswith("kv") else 512)
        out["eval_cpu_seconds"] = round(sum(p["cpu_seconds"] for key, p in self.measured.items() if key[:2] == (model.name, row)), 1)
        append_line(self.rows_file, out)
        self.done.add((model.name, row))
        print(json.dumps(out), flush=True)
        shutil.rmtree(self.folder(model, row), ignore_errors=True)

    def work(self, queue, running):
        """One of --jobs threads: the first task that may start, until there is none."""
        while True:
            with self.lock:
                while True:
                    if self.programs.stopping or not (queue or running):
                        return
                    pending = {t[0] for t in queue} | running
                    ready = next((t for t in queue if not pending.intersection(t[1])), None)
                    if ready:
                        break
                    if not running:
                        return
                    self.lock.wait()
                queue.remove(ready)
                running.add(ready[0])
            try:
                if not self.failed.intersection(ready[1]):
                    ready[2]()
            except Stopped:
                pass
            except RuntimeError as error:
                print(f"{' '.join(ready[0])}: {error}", file=sys.stderr, flush=True)
                with self.lock:
                    self.failed.add(ready[0])
            finally:
                with self.lock:
                    running.discard(ready[0])
                    self.lock.notify_all()

    def run(self):
        queue, running = collections.deque(self.tasks()), set()
        print(f"{len(queue)} tasks, {self.args.jobs} at once", file=sys.stderr, flush=True)
        threads = [threading.Thread(target=self.work, args=(queue, running)) for _ in range(self.args.jobs)]
        end = time.monotonic() + (self.args.deadline or math.inf)
        for t in threads:
            t.start()
        for t in threads:
            while t.is_alive():
                t.join(1)
                if time.monotonic() > end and not self.programs.stopping:
                    self.programs.stop()
                    with self.lock:
                        self.lock.notify_all()
        left = list(self.tasks())
        if left:
            print(f"{len(left)} tasks are left; the same command goes on with them", file=sys.stderr)
        return 3 if left else 0


def add_up(pieces, ctx):
    """Figures of a whole text from those of its pieces; of each window of ctx tokens the first is not scored."""
    tokens = sum(p["num_tokens"] for p in pieces)
    scored = [p["num_tokens"] - -(-p["num_tokens"] // ctx) for p in pieces]
    mean = {key: sum(p[key] * p["num_tokens"] for p in pieces) / tokens for key in ("mean_kl", "top1_agreement")}
    perplexity = {key: math.exp(sum(math.log(p[key]) * n for p, n in zip(pieces, scored)) / sum(scored)) for key in ("perplexity", "reference_perplexity")}
    return {**mean, **perplexity, "num_tokens": tokens}


def render(done, speed_lines):
    """A table per model."""
    return "\n\n".join(
        f"### {model}\n\n" + render_model([r for r in done if r["model"] == model], {s["format"]: s for s in speed_lines if s["model"] == model})
        for model in dict.fromkeys(r["model"] for r in done))


def render_model(done, by_format):
    def speed(name):
        s = by_format.get(name)
        return (f" {s['prefill_tok_s']:.0f} | {s['decode_tok_s']:.0f} |" if s else "  |  |") if by_format else ""

    names = list(done[0]["texts"])
    heads, rules = (" prefill, tok/s | answer, tok/s |", "---|---|") if by_format else ("", "")
    lines = ["| | " + " | ".join(f"{n}: perplexity (excess) | KL | top-1" for n in names) + " | MB | CPU s |" + heads,
             "|---|" + "---|---|---|" * len(names) + "---|---|" + rules]
    for name in ("source", CACHE.format("bf16")):  # what rows, and rows of caches, are faster or slower than
        if name in by_format:
            lines.append(f"| {name} |" + "  |" * (3 * len(names) + 2) + speed(name))
    order = list(rows())
    for r in sorted(done, key=lambda r: order.index(r["row"])):
        cells = []
        for n in names:
            t = r["texts"][n]
            cells.append(f"{t['perplexity']:.2f} ({100 * (t['perplexity'] / t['reference_perplexity'] - 1):+.1f} %) | {t['mean_kl']:.3g} | "
                         f"{100 * t['top1_agreement']:.1f} %")
        size = f"{r['file_bytes'] / 1e6:.0f}" if "file_bytes" in r else ""
        seconds = f"{r['cpu_seconds']:.0f}" if r.get("cpu_seconds") is not None else ""
        lines.append(f"| {r['label']} | " + " | ".join(cells) + f" | {size} | {seconds} |{speed(format_of(r['row']))}")
    base = []
    for n in names:  # caches are measured in other windows
        sources = {f"{r['texts'][n]['reference_perplexity']:.3f}" + (" in the caches' windows" if r["row"].startswith("kv") else ""): r["texts"][n]["num_tokens"]
                   for r in done}
        base.append(f"{n} {', '.join(sources)} ({max(sources.values())} tokens)")
    note = f"Source: {'; '.join(base)}.\n\n"
    if by_format:
        threads, rounds = (" or ".join(map(str, sorted({s[key] for s in by_format.values()}))) for key in ("threads", "rounds"))
        note += ("Speeds are a format's, whatever the method: a prompt of 512 tokens, and an answer after one token. W4, W3, W2 and W8A8 run with int8 "
                 "activations, FP8 with bf16 ones, pruned rows as bf16 weights in bf16; caches are the source's in its default arithmetic, the answer after "
                 f"2,048 tokens. Threads: {threads}; medians of rounds: {rounds}.\n\n")
    return note + "\n".join(lines)


def keep_speeds(path, measured):
    """Lines of the same model and format are replaced, the others stay; the file is whole at any time."""
    lines = {(s["model"], s["format"]): s for s in read_lines(path) + measured}
    part = path.with_name(path.name + ".part")
    part.write_text("".join(json.dumps(s) + "\n" for s in lines.values()))
    part.replace(path)


def speeds(model, args):
    """Formats by name: the source, what rounding makes of it, and its caches after 2,048 tokens."""
    run = Programs().run
    work = args.work / model.stem / "speeds"
    work.mkdir(parents=True, exist_ok=True)
    plain = work / "bf16"
    if not plain.exists():  # nothing is below the smallest share: the source's weights in bf16
        run([args.turgo, "lite", "prune", model, "--method", "magnitude", "--sparsity", "1e-9", "--work-dir", plain, "--no-check"])
    sides = {"source": [model], "bf16 weights": [plain]}
    for name, row in FORMATS.items():
        folder, (_, lite, flags) = work / row, rows()[row]
        if not folder.exists():
            run([args.turgo, "lite", *lite, model, "--work-dir", folder, "--no-check"])
        sides[name] = [folder, *flags]
        if name not in ("W8A8", "FP8"):
            sides[f"{name}, bf16 activations"] = [folder, "--precision", "bf16"]
    for kind in ("bf16", "int8", "k8v4", "int4"):
        sides[CACHE.format(kind)] = [model, "--kv-type", kind]
    figures = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, command in sides.items():
            length = ["--prompt-tokens", "512", "--context", "2048" if "cache" in name else "1", "--gen-tokens", "48"]
            _, _, _, answer = run([args.turgo, "bench", *command, *length, "--repeat", "1", "--json", "--threads", str(args.threads)])
            figures[name].append(json.loads(answer))
    lines = ["| | prefill 512, tokens/s | decode, tokens/s | MB per token |", "|---|---|---|---|"]
    measured = []
    for name, rounds in figures.items():
        prefill, decode = (statistics.median(r[key] for r in rounds) for key in ("prefill_tok_s", "decode_tok_s"))
        megabytes = rounds[0]["decode_bytes_per_token"] / 1e6
        lines.append(f"| {name} | {prefill:.0f} | {decode:.0f} | {megabytes:.0f} |")
        measured.append({"model": model.name, "format": name, "prefill_tok_s": prefill, "decode_tok_s": decode, "mb_per_token": megabytes,
                         "precision": rounds[0]["precision"], "threads": rounds[0]["threads"], "rounds": len(rounds)})
    keep_speeds(args.work / "speeds.jsonl", measured)
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=pathlib.Path, nargs="*", metavar="MODEL")
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--text", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--bytes", type=int, default=60_000, help="of each text; 0: all of it")
    parser.add_argument("--tokens", type=int, default=0, help="of each text; 0: all of them")
    parser.add_argument("--rows")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="of each job")
    parser.add_argument("--deadline", type=float, help="ends after so many seconds, with code 3 where something is left")
    parser.add_argument("--turgo", default=str(ROOT / "build/bin/turgo"))
    parser.add_argument("--table", type=pathlib.Path, nargs="+", metavar="ROWS")
    parser.add_argument("--speeds", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.table:
        print(render(list({(r["model"], r["row"]): r for path in args.table for r in read_lines(path)}.values()),
                     [s for path in args.table for s in read_lines(path.with_name("speeds.jsonl"))]))
        return
    if not args.models or not args.work:
        parser.error("expected MODEL and --work DIR, or --table FILE")
    args.work.mkdir(parents=True, exist_ok=True)
    if args.speeds:
        speeds(args.models[0], args)
        return
    if not args.text or len({text.stem for text in args.text}) < len(args.text):
        parser.error("expected --text FILE, each of another name")
    for name in args.rows.split(",") if args.rows else ():
        if name not in rows():
            parser.error(f"--rows: no row is called {name}; there are {', '.join(rows())}")
    sys.exit(Bench(args).run())


if __name__ == "__main__":
    main()
