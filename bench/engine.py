"""Measures what the engine promises: python3 bench/engine.py BUILD/bin/turgo MODEL.gguf [pace|stateful|memory|idle …]

pace      gaps of a running stream while a 4,096-token prompt arrives, beside those of the same tokens without it
stateful  time to first token of ten turns after a history of 4,096 tokens, beside the same without caches
memory    resident set over 100,000 short requests with a KV pool of 64 MB (MODEL should be tiny); fails beyond 8 MiB
idle      CPU time of a loaded engine that waits
"""
import json
import os
import subprocess
import sys
import tempfile
import time

POOL_BYTES = 64 << 20


def replay(turgo, model, lines, *flags):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as trace:
        trace.writelines(json.dumps(line) + "\n" for line in lines)
        trace.flush()
        done = subprocess.run([turgo, "bench", "sim", trace.name, model, "--json", *flags], check=True,
                              capture_output=True, text=True)
    return json.loads(done.stdout)


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


def pace(turgo, model):
    """Beside the stream's gaps before the prompt came, the gaps of the same tokens of the same stream without a prompt:
    a token costs more with every one before it, whoever else is there."""
    stream = dict(arrival_s=0, prompt_tokens=64, output_tokens=6000)
    for run in range(3):
        done = replay(turgo, model, [stream, dict(arrival_s=2, prompt_tokens=4096, output_tokens=4)], "--per-request")
        at, prompt = done["requests"][0]["token_s"], done["requests"][1]
        begin, end = prompt["start_s"], prompt["token_s"][0]
        assert at[-1] > end, "the stream ended before the prompt was read: let it say more"
        first, last = (sum(t < when for t in at) for when in (begin, end))
        assert first > 50, "the prompt came too early: the stream had no usual gap yet"
        alone = replay(turgo, model, [dict(stream, output_tokens=last + 1)], "--per-request")["requests"][0]["token_s"]
        before, beside = gaps(at[:first]), gaps(at[first - 1:last + 1])
        same = gaps(alone[first - 1:last + 1])
        print(f"pace {run + 1}: tokens {first} to {last}: {line('alone', same)}; {line('beside the prompt', beside)} = "
              f"{quantile(beside, .99) / quantile(same, .5):.2f} x the p50 alone; before the prompt {line('', before)}, so "
              f"{quantile(beside, .99) / quantile(before, .5):.2f} x that; the prompt took {end - begin:.2f} s", flush=True)


def gaps(at):
    return [b - a for a, b in zip(at, at[1:])]


def line(name, values):
    return " ".join([name, *(f"p{100 * q:.0f} {1e3 * quantile(values, q):.1f}" for q in (.5, .9, .99))]).strip() + " ms"


def stateful(turgo, model):
    history, new, answer = 4096, 32, 8
    turns = [dict(arrival_s=0, prompt_tokens=history, output_tokens=1, session="s")]
    turns += [dict(arrival_s=0, prompt_tokens=new, output_tokens=answer, session="s") for _ in range(10)]
    with_session = replay(turgo, model, turns, "--per-request")["requests"][1:]
    ttft = [r["token_s"][0] - r["start_s"] for r in with_session]
    whole = history + 1 + 9 * (new + answer) + new
    without = replay(turgo, model, [dict(arrival_s=0, prompt_tokens=whole, output_tokens=1)] * 2, "--per-request",
                     "--no-prefix-caching", "--max-in-flight", "1")["requests"]
    cold = min(r["token_s"][0] - r["start_s"] for r in without)
    print("stateful: ms to the first token of turns 1 to 10:", " ".join(f"{1e3 * t:.1f}" for t in ttft))
    print(f"turn 10: {1e3 * ttft[-1]:.1f} ms; the same {whole} tokens without caches {1e3 * cold:.1f} ms: "
          f"{cold / ttft[-1]:.1f} times; spread over the turns {min(ttft) / quantile(ttft, .5) - 1:+.0%} to "
          f"{max(ttft) / quantile(ttft, .5) - 1:+.0%} of the median")


def memory(turgo, model, requests=100_000):
    about = json.loads(subprocess.run([turgo, "bench", model, "--prompt-tokens", "8", "--gen-tokens", "2", "--repeat", "1",
                                       "--json"], check=True, capture_output=True, text=True).stdout)
    blocks = POOL_BYTES // (64 * about["kv_bytes_per_token"])
    # Up to two full blocks each, a quarter of them shared: the pool is full of cached blocks before the first tenth ends
    # (0.8 blocks per request), and every later request takes some of them.
    lines = []
    for i in range(requests):
        tokens = 1 + i * 7 % 190
        lines.append(dict(arrival_s=0, prompt_tokens=tokens, output_tokens=1 + i % 4))
        if i % 4 == 0:
            lines[-1].update(prefix="shared", prefix_tokens=min(tokens, 64))
    done = replay(turgo, model, lines, "--max-in-flight", "64", "--cache-max-entry-count", str(blocks), "--session-len",
                  "256", "--max-batch-size", str(max(128, blocks // 4 + 1)))
    resident = [b / 2**20 for b in done["resident_bytes"]]
    change = resident[-1] - resident[0]
    print(f"memory: {requests} requests, {done['num_failed']} failed, {done['seconds']:.0f} s; {blocks} blocks; resident "
          "MiB at each tenth:", " ".join(f"{b:.1f}" for b in resident), f"; change from the first to the last {change:+.1f}")
    if done["num_failed"] or abs(change) > 8:
        sys.exit("memory: expected no failed request and a change of at most 8 MiB")


def idle(turgo, model):
    chat = subprocess.Popen([turgo, "chat", model, "--max-new-tokens", "8"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    chat.stdin.write(b"hello\n")
    chat.stdin.flush()
    time.sleep(6)

    def cpu_seconds():
        fields = open(f"/proc/{chat.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = cpu_seconds()
    time.sleep(10)
    used = cpu_seconds() - before
    print(f"idle: {used:.2f} s of CPU in 10 s after an answer ({before:.2f} s until then)")
    chat.kill()
    chat.wait()


if __name__ == "__main__":
    program, model_file, *wanted = sys.argv[1:]
    for name in wanted or ["pace", "stateful", "idle"]:
        {"pace": pace, "stateful": stateful, "memory": memory, "idle": idle}[name](program, model_file)
