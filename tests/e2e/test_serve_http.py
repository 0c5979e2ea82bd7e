"""Hostile and wrong requests: each row is the request and the status (and code) expected before the server ran.
After every row the same process answers, and a stream that runs beside all of them says what it says alone."""
import json
import socket
import threading
import time

import pytest

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "Say hi"}]


def chat(**fields):
    return {"messages": HI, "max_tokens": 2, **fields}


def completion(**fields):
    return {"prompt": "Hi", "max_tokens": 2, **fields}


# (name, path, body, status, param or code)
JSON_ROWS = [
    ("H32 empty object", CHAT, {}, 400, "messages"),
    ("H33 list", CHAT, [], 400, None), ("H33 null", CHAT, b"null", 400, None), ("H33 string", CHAT, b'"x"', 400, None),
    ("H34 deep", CHAT, b"[" * 100_000, 400, "invalid_json"),
    ("H36 trailing", CHAT, b"{} x", 400, "invalid_json"), ("H37 NaN", CHAT, b'{"temperature": NaN}', 400, "invalid_json"),
    ("H38 1e400", CHAT, b'{"temperature": 1e400}', 400, "invalid_json"),
    ("H40 surrogate", CHAT, b'{"messages": "\\ud800"}', 400, "invalid_json"),
    ("H41 overlong", CHAT, b'{"messages": "\xc0\xaf"}', 400, "invalid_json"),
    ("H42 UTF-16", CHAT, json.dumps(chat()).encode("utf-16"), 400, "invalid_json"),
    ("H44 NUL", "/v1/completions", completion(prompt="a\0b"), 200, None),
    ("H45 million keys", CHAT, b"{" + b",".join(b'"%d":1' % i for i in range(300_000)) + b"}", 400, "invalid_json"),
    *[(f"H47 max_tokens {n}", CHAT, chat(max_tokens=n), 400, "max_tokens") for n in (0, -1, 2**31, 2**63, 1.5, "2")],
    *[(f"H48 n {n}", CHAT, chat(n=n), 400, "n") for n in (0, -1, 10**6)],
    ("H49 best_of < n", "/v1/completions", completion(n=2, best_of=1), 400, "best_of"),
    *[(f"H50 temperature {t}", CHAT, chat(temperature=t), 400, "temperature") for t in (-1, 1e308, "1")],
    ("H50 temperature 1e-45", CHAT, chat(temperature=1e-45), 200, None),
    *[(f"H51 top_p {p}", CHAT, chat(top_p=p), 400, "top_p") for p in (0, 1.1)],
    *[(f"H51 top_k {k}", CHAT, chat(top_k=k), 400, "top_k") for k in (-2, 2**31)],
    ("H51 min_p 2", CHAT, chat(min_p=2), 400, "min_p"),
    ("H52 seed -1", CHAT, chat(seed=-1), 200, None), ("H39 seed 2^53+1", CHAT, chat(seed=2**53 + 1), 200, None),
    *[(f"H52 seed {s}", CHAT, chat(seed=s), 400, "seed") for s in (2**64, 1.5, "1")],
    *[(f"H53 model {m!r:.20}", CHAT, chat(model=m), 404, "model") for m in ("../../etc/passwd", "a\0b", "x" * 4096, "a\r\nb: c")],
    ("H55 adapter", CHAT, chat(adapter_name="/etc"), 400, "adapter_name"),
    ("H58 stop empty", CHAT, chat(stop=""), 400, "stop"), ("H58 stops", CHAT, chat(stop=["a"] * 100_000), 400, "stop"),
    ("H58 stop of 1 MB", CHAT, chat(stop="a" * 10**6), 400, "stop"),
    *[(f"H59 logit_bias {b}", CHAT, chat(logit_bias=b), 400, "logit_bias")
      for b in ({"-1": 1}, {"49152": 1}, {"a": 1}, {"1": 1e30}, {"1": "x"}, [1])],
    ("H60 top_logprobs -1", CHAT, chat(logprobs=True, top_logprobs=-1), 400, "top_logprobs"),
    ("H60 logprobs 1e9", "/v1/completions", completion(logprobs=10**9), 400, "logprobs"),
    ("H61 penalty", CHAT, chat(presence_penalty=3), 400, "presence_penalty"),
    *[(f"H62 prompt {p!r}", "/v1/completions", completion(prompt=p), 400, "prompt")
      for p in ("", [], [[]], [-1], [49152], [[1, "a"]], {"a": 1}, None)],
    ("H63 too long", "/v1/completions", completion(prompt=[28120] * 8193), 400, "context_length_exceeded"),
    ("H64 long a", "/v1/completions", completion(prompt="A" * 10**6), 400, "context_length_exceeded"),
    ("H64 newlines", "/v1/completions", completion(prompt="\n" * 10**6), 400, "context_length_exceeded"),
    ("H65 role", CHAT, chat(messages=[{"role": "king", "content": "x"}]), 400, "messages[0].role"),
    ("H65 null content", CHAT, chat(messages=[{"role": "user", "content": None}]), 400, "messages[0].content"),
    ("H65 no messages", CHAT, chat(messages=[]), 400, "messages"),
    ("H67 schema", CHAT, chat(response_format={"type": "json_schema"}), 400, "response_format.json_schema"),
    ("H76 unknown field", CHAT, chat(temprature=1), 400, "temprature"),
    ("null is absent", CHAT, chat(temperature=None, stop=None, tools=None), 200, None),
]

# (name, bytes, statuses)
WIRE_ROWS = [
    ("H57 escaped dots", b"GET /%2e%2e/etc HTTP/1.1\r\nHost: localhost\r\n\r\n", {400}),
    ("H31 rebinding", b"GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n", {403}),
    ("H31 origin", b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n", {403}),
    ("preflight", b"OPTIONS /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: https://a.example\r\n\r\n", {403}),
    ("H24 gzip", b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", {415}),
    ("H28 form", b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", {415}),
    ("H29 body cap", b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8388609\r\n\r\n", {413}),
    ("wrong method", b"GET /generate HTTP/1.1\r\nHost: localhost\r\n\r\n", {405}),
    ("no such route", b"GET /etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", {404}),
    ("H04 length and chunked", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", {400}),
    ("H27 TRACE", b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", {405}),
]


class ParallelStream(threading.Thread):
    """Asks for the same greedy answer again and again."""
    BODY = {"prompt": "The capital of France is", "max_tokens": 24, "temperature": 0, "seed": 1}

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.ended, self.answers = server, threading.Event(), []

    def ask(self):
        status, answer = self.server.post("/v1/completions", self.BODY)
        assert status == 200, answer
        return answer["choices"][0]["text"]

    def run(self):
        while not self.ended.is_set():
            self.answers.append(self.ask())


@pytest.fixture(scope="module")
def neighbour(server):
    thread = ParallelStream(server)
    alone = thread.ask()
    thread.start()
    yield
    thread.ended.set()
    thread.join(60)
    assert thread.answers and set(thread.answers) == {alone}


@pytest.mark.parametrize("name,path,body,status,what", JSON_ROWS, ids=[row[0] for row in JSON_ROWS])
def test_json_row(server, neighbour, name, path, body, status, what):
    got, answer = server.post(path, body)
    assert got == status, answer
    if status == 200:
        return
    error = answer["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert what is None or what in (error["param"], error["code"]), error
    assert server.get("/livez")[0] == 200


@pytest.mark.parametrize("name,data,statuses", WIRE_ROWS, ids=[row[0] for row in WIRE_ROWS])
def test_wire_row(server, neighbour, name, data, statuses):
    answer = server.raw(data)
    assert int(answer.split()[1]) in statuses, answer[:300]
    assert "error" in json.loads(answer.partition(b"\r\n\r\n")[2])
    assert server.get("/livez")[0] == 200


def running(server):
    text = server.get("/metrics")[1]
    return sum(float(line.split()[-1]) for line in text.splitlines()
               if line.startswith(("vllm:num_requests_running{", "vllm:num_requests_waiting{")))


@pytest.mark.parametrize("streams", [True, False])
def test_disconnect_cancels(start_server, streams):
    """H69: who leaves frees the engine at once, also without a stream."""
    server = start_server()
    body = json.dumps({"prompt": "Once", "max_tokens": 8000, "ignore_eos": True, "stream": streams}).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        for _ in range(200):
            if running(server) == 1:
                break
            time.sleep(0.02)
        assert running(server) == 1
    for _ in range(100):
        if running(server) == 0:
            break
        time.sleep(0.02)
    assert running(server) == 0
    assert server.stop() == 0


def test_sigterm_loses_no_stream(start_server):
    server = start_server()
    results = []

    def ask():
        results.append(server.post("/v1/completions", {"prompt": "Once", "max_tokens": 40, "ignore_eos": True}))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        if running(server) == 8:
            break
        time.sleep(0.02)
    assert server.stop() == 0
    for thread in threads:
        thread.join(60)
    assert [status for status, _ in results] == [200] * 8
    assert all(answer["usage"]["completion_tokens"] == 40 for _, answer in results)


def test_keys(start_server):
    server = start_server("--api-keys", "secret-1", "--api-keys", "secret-2")
    for path in ["/v1/models", "/metrics", "/version", "/nowhere"]:
        assert server.get(path)[0] == 401, path
    for path in [CHAT, "/v1/completions", "/v1/chat/interactive", "/v1/encode", "/generate", "/tokenize", "/detokenize"]:
        assert server.post(path, {})[0] == 401, path
    for wrong in ["Bearer secret-3", "Bearer secret-", "Bearer secret-11", "Basic secret-1", "Bearer "]:
        assert server.get("/v1/models", headers={"Authorization": wrong})[0] == 401
    for right in [{"Authorization": "Bearer secret-1"}, {"Authorization": "Bearer secret-2"}, {"x-api-key": "secret-2"}]:
        assert server.get("/v1/models", headers=right)[0] == 200
    assert server.get("/livez")[0] == server.get("/health")[0] == 200
    assert server.stop() == 0
