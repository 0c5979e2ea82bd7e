"""A client that leaves, a server that is told to end, keys. The tables of hostile requests are in test_reliability_http.py."""
import json
import socket
import threading

import pytest
from reliability import metrics_of
from waiting import until

CHAT = "/v1/chat/completions"


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
        until(lambda: running(server) == 1)
    until(lambda: running(server) == 0)
    assert server.stop() == 0


def test_sigterm_loses_no_stream(start_server):
    server = start_server()
    results = []

    def ask():
        results.append(server.post("/v1/completions", {"prompt": "Once", "max_tokens": 40, "ignore_eos": True}))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: metrics_of(server)["turgo:answers_begun_total"] == 8)
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
