#!/usr/bin/env python3
"""What HTTP alone costs: /livez per second, memory of idle streams, the cost of a token from 1 to 1,000 queued requests, and whether
the time of a refusal tells how much of a key was right.

usage: bench/http_cost.py MODEL [livez|idle|queue|keys …] [--write]
"""
import argparse
import datetime
import http.client
import json
import os
import pathlib
import random
import re
import resource
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TURGO = os.environ.get("TURGO_BIN") or str(ROOT / "build/bin/turgo")
MB = 1 << 20


class Server:
    def __init__(self, model, *flags):
        self.process = subprocess.Popen([TURGO, "serve", "api_server", model, "--server-port", "0", "--model-name", "m", *flags], stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline().decode().strip().rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)

    def resident(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s*(\d+)", text)[1]) * 1024

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path)
        return connection.getresponse().read().decode()

    def metric(self, name):
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.get("/metrics").splitlines() if line.startswith((name + "{", name + " ")))


def post_bytes(body, path="/v1/completions", extra=""):
    data = json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{extra}Content-Length: {len(data)}\r\n\r\n".encode() + data


def livez(model, seconds=4):
    """A client process sends requests on one connection, 16 in flight; its time is not the server's, so both rates are printed."""
    request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Server(model) as server:
        def rate(depth):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                size = 0
                connection.sendall(request)
                while not connection.recv(1 << 16, socket.MSG_PEEK).endswith(b"}"):
                    time.sleep(0.001)
                size = len(connection.recv(1 << 16))
                count, begin, cpu = 0, time.monotonic(), server.metric("process_cpu_seconds_total")
                while time.monotonic() - begin < seconds:
                    connection.sendall(request * depth)
                    left = size * depth
                    while left:
                        left -= len(connection.recv(min(left, 1 << 20)))
                    count += depth
                wall = time.monotonic() - begin
                return count / wall, count / (server.metric("process_cpu_seconds_total") - cpu)
        rows = [(depth, *rate(depth)) for depth in (1, 16, 64)]
    return ["/livez on one keep-alive connection:"] + [
        f"  {depth:3d} in flight: {wall:,.0f} per second, {cpu:,.0f} per second of the server's own CPU time" for depth, wall, cpu in rows]


def idle(model, count=2000):
    """Streams that have begun and wait in the queue behind one that runs: what each costs the server."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(count + 200, resource.getrlimit(resource.RLIMIT_NOFILE)[0]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with Server(model, "--max-batch-size", "1", "--max-queue", str(count + 10)) as server:
        connections = []
        blocker = socket.create_connection(("127.0.0.1", server.port))
        blocker.sendall(post_bytes({"prompt": "Once", "max_tokens": 8000, "ignore_eos": True, "stream": True}))
        time.sleep(1)
        before = server.resident()
        request = post_bytes({"prompt": "Say something about rivers and lakes", "max_tokens": 16, "stream": True})
        for _ in range(count):
            connections.append(socket.create_connection(("127.0.0.1", server.port)))
            connections[-1].sendall(request)
        for connection in connections:
            assert b"200 OK" in connection.recv(4096)
        waiting, after = server.metric("vllm:num_requests_waiting"), server.resident()
        blocker.close()
        for connection in connections:
            connection.close()
    return [f"{count} idle streams ({waiting:.0f} in the queue): {(after - before) / MB:.1f} MB, {(after - before) / count / 1024:.1f} KB each"]


def queue(model):
    """One running stream's time per token while 0 … 1,000 others wait (streams of lower priority behind a batch of one)."""
    lines = ["others in the queue | ms per token (median) | p99"]
    with Server(model, "--max-batch-size", "1", "--max-queue", "2000") as server:
        for waiting in (0, 1, 10, 100, 300, 1000):
            runner = socket.create_connection(("127.0.0.1", server.port))
            runner.sendall(post_bytes({"prompt": "Once upon a time", "max_tokens": 400, "ignore_eos": True, "stream": True, "priority": -1}))
            runner.recv(100)
            others = []
            for i in range(waiting):
                others.append(socket.create_connection(("127.0.0.1", server.port)))
                others[-1].sendall(post_bytes({"prompt": f"Number {i} of many", "max_tokens": 16, "stream": True}))
            for other in others:
                other.recv(100)
            for _ in range(100):
                if server.metric("vllm:num_requests_waiting") == waiting:
                    break
                time.sleep(0.02)
            times, buffer = [], b""
            while len(times) < 120:
                buffer = runner.recv(1 << 16)
                assert buffer
                times += [time.monotonic()] * (buffer.count(b"data: ") > 0)
            gaps = sorted(1000 * (b - a) for a, b in zip(times[20:], times[21:]))
            lines.append(f"{waiting:19d} | {statistics.median(gaps):.2f} | {gaps[int(len(gaps) * 0.99)]:.2f}")
            runner.close()
            for other in others:
                other.close()
            while server.metric("vllm:num_requests_running") + server.metric("vllm:num_requests_waiting"):
                time.sleep(0.02)
    return lines


def keys(model, samples=50_000):
    """Refusals of keys that are wrong in their first byte or in their last, in turn: the medians and a rank test."""
    right = "k" * 64
    wrong = ["x" + right[1:], right[:-1] + "x"]
    with Server(model, "--api-keys", right) as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        requests = [f"GET /version HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode() for key in wrong]
        times, rng = ([], []), random.Random(1)
        for _ in range(samples):
            for which in rng.sample((0, 1), 2):
                begin = time.perf_counter_ns()
                connection.sendall(requests[which])
                while not connection.recv(1 << 16).endswith(b"}"):
                    pass
                times[which].append(time.perf_counter_ns() - begin)
    medians = [statistics.median(one) / 1000 for one in times]
    # Sign test over the pairs: what a difference in the middle would tilt.
    first = sum(a < b for a, b in zip(*times))
    z = (first - samples / 2) / (samples**0.5 / 2)
    p = 2 * (1 - statistics.NormalDist().cdf(abs(z)))
    return [f"2 x {samples} wrong keys: medians {medians[0]:.2f} us (first byte wrong) and {medians[1]:.2f} us (last byte wrong), "
            f"difference {abs(medians[0] - medians[1]):.3f} us, p = {p:.2f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("parts", nargs="*", default=[], help="livez, idle, queue, keys; all of them")
    parser.add_argument("--write", action="store_true", help="write the figures to bench/results/")
    args = parser.parse_args()
    parts = {"livez": livez, "idle": idle, "queue": queue, "keys": keys}
    lines = []
    for name in args.parts or parts:
        lines += parts[name](args.model)
        print(f"{name}: done", file=sys.stderr, flush=True)
    print("\n".join(lines))
    if args.write:
        target = ROOT / "bench" / "results" / f"{datetime.date.today()}-http-cost.md"
        target.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
