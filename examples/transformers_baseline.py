"""The same two questions with history to transformers and to turgo: equal greedy text, and a table of start-up, time
and memory. Both get the same Hugging Face folder in f32 (needs torch and transformers).

    python transformers_baseline.py FOLDER [--max-new-tokens 32] [--threads 2]
"""
import argparse
import json
import multiprocessing
import resource
import time
from typing import Any

QUESTIONS = ["hello", "please provide three suggestions about time management"]


def with_transformers(path: str, max_new_tokens: int, threads: int) -> dict[str, Any]:
    start = time.perf_counter()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path).float().eval()
    ready, history, answers = time.perf_counter(), [], []
    for question in QUESTIONS:
        history.append({"role": "user", "content": question})
        text = tokenizer.apply_chat_template(history, tokenize=False, add_generation_prompt=True)
        inputs = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        with torch.no_grad():
            output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        answers.append(tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
        history.append({"role": "assistant", "content": answers[-1]})
    return report(start, ready, answers)


def with_turgo(path: str, max_new_tokens: int, threads: int) -> dict[str, Any]:
    start = time.perf_counter()
    from turgo import pipeline

    pipe = pipeline(path, precision="f32", threads=threads)
    ready = time.perf_counter()
    with pipe.session() as chat:
        answers = [chat.ask(question, max_new_tokens=max_new_tokens, temperature=0).text for question in QUESTIONS]
    return report(start, ready, answers)


def report(start: float, ready: float, answers: list[str]) -> dict[str, Any]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"start-up s": ready - start, "answers s": time.perf_counter() - ready, "peak MiB": peak, "answers": answers}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    results = {}
    for function in (with_transformers, with_turgo):  # each in a fresh process: memory and imports are its own
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            results[function.__name__[5:]] = pool.apply(function, (args.folder, args.max_new_tokens, args.threads))
    if args.json:
        print(json.dumps(results, ensure_ascii=False))
        return
    theirs, ours = results["transformers"], results["turgo"]
    for question, a, b in zip(QUESTIONS, theirs["answers"], ours["answers"]):
        print(f"> {question}\n{a}\n[turgo: {'the same text' if a == b else b}]")
    print(f"{'':12}{'transformers':>14}{'turgo':>10}")
    for row in ("start-up s", "answers s", "peak MiB"):
        print(f"{row:12}{theirs[row]:14.2f}{ours[row]:10.2f}")


if __name__ == "__main__":
    main()
