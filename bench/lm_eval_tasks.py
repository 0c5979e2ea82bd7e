#!/usr/bin/env python3
"""lm-evaluation-harness over the server: one task of local questions, the model in bf16, W4 (AWQ), W8A8 and with an int8 KV cache.

usage: bench/lm_eval_tasks.py MODEL --work DIR --text FILE [--questions 500] [--variants bf16,w4,w8a8,kv8] [--threads N]
                              [--lm-eval PYTHON] [--table]
       bench/lm_eval_tasks.py --text FILE --questions 500 --write QUESTIONS.jsonl

--text is any text of a few hundred paragraphs, such as WikiText-2's raw test split (CC BY-SA; it is not part of this project). A question
is 14 words of one of its paragraphs, its two answers are the 5 words that follow there and those that stand at the same place of the next
paragraph, mostly of the same article; all of it is chosen by position alone, so that the same text gives the same questions. PYTHON has lm-eval[api]
(tests/requirements-clients.txt). For each variant a server is started, lm_eval asks it through `local-completions` with the server's own
tokenizer, and `turgo eval tasks` answers the same file without a server. A finished variant is a file in DIR and is not run again. The
table has accuracies with standard errors, and differences to the first variant question by question.
"""
import argparse
import json
import math
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
TASK = ROOT / "examples/eval/continuations.yaml"
VARIANTS = {"bf16": ("bf16 weights and activations", ["prune", "--method", "magnitude", "--sparsity", "1e-9"], ["--precision", "bf16"]),
            "w4": ("AWQ, 4 bits, groups of 64", ["auto_awq", "--calib-samples", "64", "--calib-seqlen", "512"], []),
            "w8a8": ("SmoothQuant W8A8", ["smooth_quant", "--calib-samples", "16", "--calib-seqlen", "512"], []),
            "kv8": ("bf16, int8 KV cache", None, ["--precision", "bf16", "--quant-policy", "8"])}
CONTEXT_WORDS, ANSWER_WORDS, CHOICES = 14, 5, 2


def questions(text, count):
    """[{"query", "choices", "gold"}], evenly spread over the text; the same again in OpenCompass's columns "A", "B", "answer"."""
    paragraphs = [line.split() for line in text.splitlines() if not line.lstrip().startswith("=")]
    paragraphs = [words for words in paragraphs if len(words) >= CONTEXT_WORDS + ANSWER_WORDS + 2]
    found, used = [], set()
    for offset in range(0, 60, 20):  # also later places of long paragraphs
        places = [i for i, words in enumerate(paragraphs) if len(words) >= offset + CONTEXT_WORDS + ANSWER_WORDS + 2]
        for n, i in enumerate(places):
            def piece(j):
                return " ".join(paragraphs[places[j % len(places)]][offset + CONTEXT_WORDS:offset + CONTEXT_WORDS + ANSWER_WORDS])
            right = piece(n)
            choices = list(dict.fromkeys([right] + [piece(n + q) for q in range(1, CHOICES)]))
            query = " ".join(paragraphs[i][offset:offset + CONTEXT_WORDS])
            if len(choices) < CHOICES or query in used:
                continue
            used.add(query)
            gold = (n + offset) % CHOICES
            choices = choices[1:gold + 1] + choices[:1] + choices[gold + 1:]
            found.append({"query": query, "choices": choices, "gold": gold, **dict(zip("AB", choices)), "answer": "AB"[gold]})
    if len(found) < count:
        sys.exit(f"lm_eval_tasks.py: expected a text that gives {count} questions, this one gives {len(found)}")
    return [found[i * len(found) // count] for i in range(count)]


def run(command, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, args, model, flags):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen([args.turgo, "serve", "api_server", model, "--server-port", str(port), "--model-name", "turgo", "--threads",
                                         str(args.threads), *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        for _ in range(600):
            if self.process.poll() is not None:
                sys.exit("lm_eval_tasks.py: the server ended")
            try:
                urllib.request.urlopen(self.url + "/v1/models", timeout=5).read()
                return self
            except OSError:
                time.sleep(0.1)
        sys.exit("lm_eval_tasks.py: the server does not answer")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def lm_eval(args, name, url):
    """{"acc": [per question], "acc_norm": [...]}, what lm_eval itself reports, its seconds."""
    out = args.work / f"{name}-lm_eval"
    shutil.rmtree(out, ignore_errors=True)
    tasks = args.work / "task"
    tasks.mkdir(exist_ok=True)
    (tasks / TASK.name).write_text(TASK.read_text().replace("QUESTIONS.jsonl", str(args.work / "questions.jsonl")))
    arguments = f"model=turgo,base_url={url}/v1/completions,tokenizer_backend=remote,num_concurrent=4,max_length=2048,tokenized_requests=False"
    start = time.monotonic()
    run([args.lm_eval, "-m", "lm_eval", "--model", "local-completions", "--model_args", arguments, "--tasks", "turgo_continuations",
         "--include_path", tasks, "--output_path", out, "--log_samples", "--batch_size", "1"],
        env={**os.environ, "HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(args.work / "hf"), "OPENAI_API_KEY": "none"})
    seconds = time.monotonic() - start
    [samples] = out.glob("**/samples_*.jsonl")
    [results] = out.glob("**/results_*.json")
    lines = sorted((json.loads(line) for line in samples.read_text().splitlines()), key=lambda s: s["doc_id"])
    reported = json.loads(results.read_text())["results"]["turgo_continuations"]
    return {m: [float(s[m]) for s in lines] for m in ("acc", "acc_norm")}, {m: reported[f"{m},none"] for m in ("acc", "acc_norm")}, seconds


def measure(args, name):
    _, lite, flags = VARIANTS[name]
    folder = args.work / (name if lite else "bf16")
    if not folder.exists():
        run([args.turgo, "lite", *(lite or VARIANTS["bf16"][1]), args.model, "--work-dir", folder, "--no-check", "--threads", args.threads])
    with Server(args, folder, flags) as server:
        scores, reported, seconds = lm_eval(args, name, server.url)
    answer = json.loads(run([args.turgo, "eval", "tasks", folder, "--task", args.work / "questions.jsonl", "--limit", args.check, "--json", "--threads", args.threads, *flags]))
    own = {m: answer[0]["tasks"][0]["metrics"][m]["scores"] for m in ("acc", "acc_norm")}
    (args.work / f"{name}.json").write_text(json.dumps({"lm_eval": scores, "reported": reported, "seconds": seconds, "turgo": own}))


def mean_and_error(values):
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))


def table(results):
    """results: name -> what measure() wrote."""
    base = next(iter(results.values()))["lm_eval"]
    lines = ["| | acc | to bf16 | acc_norm | to bf16 | `turgo eval tasks` judges otherwise (acc, acc_norm) |", "|---|---|---|---|---|---|"]
    for name, r in results.items():
        cells = []
        for metric in ("acc", "acc_norm"):
            mean, error = mean_and_error(r["lm_eval"][metric])
            assert abs(mean - r["reported"][metric]) < 1e-9, (name, metric, mean, r["reported"])
            cells.append(f"{100 * mean:.2f} ± {100 * error:.2f}")
            difference, error = mean_and_error([a - b for a, b in zip(r["lm_eval"][metric], base[metric])])
            cells.append(f"{100 * difference:+.2f} ± {100 * error:.2f}" if r["lm_eval"] is not base else "")
        otherwise = ", ".join(str(sum(a != b for a, b in zip(r["turgo"][m], r["lm_eval"][m]))) for m in ("acc", "acc_norm"))
        lines.append(f"| {VARIANTS[name][0]} | " + " | ".join(cells) + f" | {otherwise} of {len(r['turgo']['acc'])} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, nargs="?")
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--text", type=pathlib.Path)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--write", type=pathlib.Path)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--check", type=int, default=0, help="questions that `turgo eval tasks` answers too; 0: all")
    parser.add_argument("--turgo", default=str(ROOT / "build/bin/turgo"))
    parser.add_argument("--lm-eval", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    args = parser.parse_args()
    file = args.write or (args.work / "questions.jsonl" if args.work else None)
    if file is None:
        parser.error("expected --work DIR or --write FILE")
    file.parent.mkdir(parents=True, exist_ok=True)
    if args.text:
        text = re.sub(r" ?@([-,.])@ ?", r"\1", args.text.read_text(encoding="utf-8"))  # WikiText's marks inside numbers and words
        lines = "".join(json.dumps(q, ensure_ascii=False) + "\n" for q in questions(text, args.questions))
        if file.exists() and file.read_text(encoding="utf-8") != lines:
            sys.exit(f"lm_eval_tasks.py: {file} has other questions; give another --work")
        file.write_text(lines, encoding="utf-8")
    if args.write:
        return
    names = args.variants.split(",")
    if not args.table:
        if not args.model or not file.exists():
            parser.error("expected MODEL, --work DIR and --text FILE")
        for name in names:
            if not (args.work / f"{name}.json").exists():
                measure(args, name)
    done = {name: json.loads((args.work / f"{name}.json").read_text()) for name in VARIANTS if (args.work / f"{name}.json").exists()}
    print(table(done))
    print(f"\n{len(next(iter(done.values()))['lm_eval']['acc'])} questions; seconds of lm_eval: " + ", ".join(f"{n} {r['seconds']:.0f}" for n, r in done.items()))


if __name__ == "__main__":
    main()
