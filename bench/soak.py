#!/usr/bin/env python3
"""Mixed requests against the server for minutes, with cancels and bad ones; then everything must be back where it was.

usage: bench/soak.py MODEL [MINUTES] [--clients 12] [--seed 1]
A KV pool of 64 MB, so that requests wait, share prefixes and are preempted. 20 % of the requests are cancelled at a random moment,
5 % are bad. Passes when the resident set is flat (it grows by less than 1 MB in the second half, 8 MB after the first third), files
and threads are back, counters balance (every answer that began has ended, every error was expected), nothing is stuck, and one
greedy prompt asked all along had one answer.
"""
import argparse
import collections
import http.client
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TURGO = os.environ.get("TURGO_BIN") or str(ROOT / "build/bin/turgo")
MB = 1 << 20
NUM_SCHEMAS = 40
POOL_BLOCKS = 43  # 64 MB: a block of the default model is 64 tokens of 23,040 bytes
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
WORDS = "time people way day man thing woman life child world school state family student group country problem hand part place".split()
CANARY = {"prompt": "The capital of France is", "max_tokens": 16, "temperature": 0}


class Server:
    def __init__(self, model, flags):
        self.process = subprocess.Popen([TURGO, "serve", "api_server", model, "--server-port", "0", "--model-name", "soak", *flags], stdout=subprocess.PIPE)
        line = self.process.stdout.readline().decode()
        self.port = int(line.strip().rsplit(":", 1)[1])

    def ask(self, method, path, body=None, timeout=900):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def metrics(self):
        out = collections.Counter()
        for line in self.ask("GET", "/metrics")[1].decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                out[name.split("{")[0]] += float(value)
        return out


def words(rng, n):
    return " ".join(rng.choice(WORDS) for _ in range(n))


def good(rng):
    """One of the many requests that are answered 200."""
    limit = {"max_tokens": rng.choice([1, 8, 24, 64]), "stream": rng.random() < 0.6}
    kind = rng.randrange(12)
    if kind < 3:
        return TEXT, {"prompt": words(rng, rng.choice([5, 60, 200, 500])), "n": rng.choice([1, 1, 3]), **limit}
    if kind < 6:
        return CHAT, {"messages": [{"role": "system", "content": words(random.Random(7), 80)}, {"role": "user", "content": words(rng, 20)}], **limit}
    if kind == 6:
        return CHAT, {"messages": words(rng, 5), "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {
            "type": "object", "properties": {f"p{rng.randrange(NUM_SCHEMAS)}": {"type": "integer"}}, "required": []}}}, **limit}
    if kind == 7:
        return "/v1/chat/interactive", {"prompt": words(rng, 10), "session_id": rng.randrange(1, 9), "interactive_mode": False, "request_output_len": 12}
    if kind == 8:
        return "/v1/embeddings", {"model": "soak", "input": words(rng, 30)}
    if kind == 9:
        return "/api/chat", {"model": "soak", "messages": [{"role": "user", "content": words(rng, 10)}], "options": {"num_predict": 12}}
    if kind == 10:
        return "/v1/messages", {"model": "soak", "max_tokens": 12, "messages": [{"role": "user", "content": words(rng, 10)}], "stream": rng.random() < 0.5}
    return rng.choice([("/tokenize", {"prompt": words(rng, 50)}), (TEXT, {"prompt": words(rng, 20), "logprobs": 3, "echo": True, "max_tokens": 4})])


def bad(rng):
    return rng.choice([
        (CHAT, b"{"), (CHAT, {}), (TEXT, {"prompt": ""}), (TEXT, {"prompt": "x" * 200_000}), (CHAT, {"messages": "x", "temperature": -1}),
        (CHAT, {"messages": "x", "model": "none"}), (TEXT, {"prompt": "x", "guided_regex": "("}), ("/nowhere", {}), (TEXT, {"prompt": [10**6]}),
        (CHAT, b"[" * 50_000), (TEXT, {"prompt": "x", "logit_bias": {"a": 1}}), ("/v1/chat/interactive", {"prompt": "", "session_id": -1})])


def warm_up(server):
    """What is made once and kept: the pool's pages, the schemas' cache."""
    for i in range(4):
        server.ask("POST", TEXT, {"prompt": words(random.Random(i), 1800), "max_tokens": 1})
    for i in range(NUM_SCHEMAS):
        server.ask("POST", TEXT, {"prompt": "x", "max_tokens": 1, "guided_json": {"type": "object", "properties": {f"p{i}": {"type": "integer"}}, "required": []}})


class Load:
    def __init__(self, server, seconds, seed):
        self.server, self.until, self.seed = server, time.monotonic() + seconds, seed
        self.counts, self.canary, self.wrong, self.lock = collections.Counter(), set(), [], threading.Lock()

    def client(self, number):
        rng = random.Random(self.seed * 1000 + number)
        while time.monotonic() < self.until:
            try:
                self.one(rng)
            except Exception as error:  # pylint: disable=broad-except  # whatever it is, the soak has failed
                with self.lock:
                    self.wrong.append(repr(error))

    def one(self, rng):
        dice = rng.random()
        if dice < 0.05:
            path, body = bad(rng)
            status, text = self.server.ask("POST", path, body)
            self.note("bad", 400 <= status < 500, (path, status, text[:200]))
        elif dice < 0.25:
            self.cancelled(rng)
        elif dice < 0.3:
            status, text = self.server.ask("POST", TEXT, CANARY)
            if status == 200:
                self.canary.add(json.loads(text)["choices"][0]["text"])
            self.note("canary", status == 200, (status, text[:200]))
        else:
            path, body = good(rng)
            status, text = self.server.ask("POST", path, body)
            # Two turns of one session at once: LMDeploy's clients wait, ours is told.
            fine = status in (200, 429) or (status == 409 and "interactive" in path)
            self.note("good" if status == 200 else f"good {status}", fine and (not body.get("stream") or status != 200 or self.is_whole(path, text)), (path, status, text[-300:]))

    @staticmethod
    def is_whole(path, text):
        return text.endswith(b"data: [DONE]\n\n") or path == "/v1/messages" and b"message_stop" in text or path == "/api/chat"

    def cancelled(self, rng):
        path, body = rng.choice([TEXT, CHAT]), {"max_tokens": 400, "ignore_eos": True, "stream": rng.random() < 0.7}
        body |= {"prompt": words(rng, 200)} if path == TEXT else {"messages": words(rng, 200)}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=900)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        time.sleep(rng.choice([0, 0.01, 0.1, 0.5]))
        connection.close()
        self.note("cancelled", True, None)

    def note(self, kind, fine, what):
        with self.lock:
            self.counts[kind] += 1
            if not fine:
                self.wrong.append(f"{kind}: {what}")


def resources(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s*(\d+)", status)[1]) * 1024, len(os.listdir(f"/proc/{pid}/fd")), int(re.search(r"Threads:\s*(\d+)", status)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("minutes", type=float, nargs="?", default=30)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    server = Server(args.model, ["--cache-max-entry-count", str(POOL_BLOCKS), "--max-batch-size", "16", "--session-len", "2048"])
    warm_up(server)
    pid, seconds = server.process.pid, args.minutes * 60
    _, files, threads = resources(pid)
    load = Load(server, seconds, args.seed)
    clients = [threading.Thread(target=load.client, args=(i,), daemon=True) for i in range(args.clients)]
    begin = time.monotonic()
    for client in clients:
        client.start()
    samples, most_files, most_threads = [], 0, 0  # (seconds, bytes)
    while time.monotonic() < load.until and server.process.poll() is None:
        time.sleep(min(2, seconds / 50))
        memory, now_files, now_threads = resources(pid)
        samples.append((time.monotonic() - begin, memory))
        most_files, most_threads = max(most_files, now_files), max(most_threads, now_threads)
        if sys.stderr.isatty() or len(samples) % 150 == 0:
            print(f"{samples[-1][0]:6.0f} s  {memory / MB:.1f} MB  {sum(load.counts.values())} requests  {len(load.wrong)} wrong", file=sys.stderr)
    for client in clients:
        client.join(900)
    stuck = sum(client.is_alive() for client in clients)
    time.sleep(1)
    m = server.metrics()
    memory_end, files_end, threads_end = resources(pid)
    code = server.process.poll()
    server.process.terminate()
    end = server.process.wait(60)

    def median(first, last):
        return statistics.median(b for t, b in samples if first * seconds <= t <= last * seconds) / MB

    early, middle, late = median(0.3, 0.4), median(0.45, 0.55), median(0.9, 1.0)
    checks = {
        f"the process lived and ended with 0 ({code}, {end})": code is None and end == 0,
        f"resident {early:.1f} MB after a third, {middle:.1f} half-way, {late:.1f} at the end: flat": late - middle < 1 and late - early < 8,
        f"files {files} -> {files_end} (most {most_files}), threads {threads} -> {threads_end} (most {most_threads})": files_end <= files + 2 and threads_end <= threads + 1,
        f"answers begun {m['turgo:answers_begun_total']:.0f}, ended {m['turgo:answers_ended_total']:.0f}": m["turgo:answers_begun_total"] == m["turgo:answers_ended_total"] > 0,
        f"running {m['vllm:num_requests_running']:.0f}, waiting {m['vllm:num_requests_waiting']:.0f}, clients stuck {stuck}":
            m["vllm:num_requests_running"] == m["vllm:num_requests_waiting"] == stuck == 0,
        f"one answer to the same question ({len(load.canary)})": len(load.canary) == 1,
        f"unexpected answers {len(load.wrong)}": not load.wrong,
    }
    total = sum(load.counts.values())
    print(f"{args.minutes:g} minutes, {args.clients} clients, pool of 64 MB: {total} requests ({total / seconds:.1f}/s) {dict(sorted(load.counts.items()))}; "
          f"{m['vllm:generation_tokens_total']:.0f} tokens, {m['vllm:num_preemptions_total']:.0f} preemptions, "
          f"{m['vllm:prefix_cache_hits_total'] / max(m['vllm:prefix_cache_queries_total'], 1):.0%} of prompt tokens from the prefix cache, "
          f"peak {max(b for _, b in samples) / MB:.1f} MB, now {memory_end / MB:.1f} MB")
    for text, holds in checks.items():
        print(("ok    " if holds else "WRONG ") + text)
    for text in load.wrong[:10]:
        print("      " + text)
    sys.exit(0 if all(checks.values()) else 1)


if __name__ == "__main__":
    main()
