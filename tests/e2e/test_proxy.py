"""`turgo serve proxy` over fake nodes on the loopback: routing, retries, faults, keys, state. Figures are in bench/proxy.py."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time
import types
import urllib.error
import urllib.request

import pytest
from waiting import until

KEY = "operator-secret-1"


def _port_of(process, begin):
    line = process.stdout.readline().decode()
    assert line.startswith(begin), (line, process.stderr.read().decode() if process.poll() is not None else "")
    return int(line.strip().rsplit(":" if "http" in line else " ", 1)[1])


class Process:
    def __init__(self, command, begin, **more):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        self.port = _port_of(self.process, begin)
        self.url = f"http://127.0.0.1:{self.port}"

    def request(self, method, path, body=None, headers=None, timeout=20):
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def complete(self, model="small", **more):
        return self.request("POST", "/v1/completions", {"model": model, "prompt": "Hi", "max_tokens": 1, **more})

    def operate(self, path, body=None, key=KEY, method="POST"):
        return self.request(method, path, body if body is not None or method == "GET" else {}, {"Authorization": f"Bearer {key}"})

    def status(self):
        return self.operate("/nodes/status", method="GET")[1]

    def kill(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=20)


@pytest.fixture()
def start(program):
    """start.node(model="small", …) and start.proxy(nodes…, flags…): processes that end with the test."""
    tool = pathlib.Path(os.environ.get("TURGO_BUILD_DIR", "/nonexistent")) / "tests/tools/fake_node"
    if not tool.exists():
        pytest.skip("TURGO_BUILD_DIR has no fake_node; ./run test sets and builds it")
    running = []

    class Start:
        @staticmethod
        def node(**flags):
            command = [str(tool), "--model", flags.pop("model", "small")]
            for name, value in flags.items():
                command += ["--" + name.replace("_", "-"), str(value)]
            running.append(Process(command, "listening"))
            return running[-1]

        @staticmethod
        def keep(process):
            running.append(process)
            return process

        @staticmethod
        def proxy(*nodes, flags=(), wait=True, **more):
            command = [program, "serve", "proxy", "--server-port", "0", "--operator-key", KEY, "--health-interval", "0.3", *flags]
            for node in nodes:
                command += ["--node", node if isinstance(node, str) else node.url]
            running.append(Process(command, "distributing", **more))
            if wait:
                until(lambda: all(one["models"] for one in running[-1].status().values()))
            return running[-1]

    yield Start
    for one in running:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGCONT)
        one.kill()


class RawNode(socketserver.ThreadingTCPServer):
    """A node on a thread that answers /health and /v1/models well and everything else with `reply`: bytes, or a function of the socket."""
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, reply, models=("small",)):
        self.seen = []
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError):
                    data = b""
                    while b"\r\n\r\n" not in data:
                        piece = self.request.recv(65536)
                        if not piece:
                            return
                        data += piece
                    length = re.search(rb"(?i)content-length: (\d+)", data)
                    while length and len(data.partition(b"\r\n\r\n")[2]) < int(length.group(1)):
                        data += self.request.recv(65536)
                    path = data.split(b" ", 2)[1]
                    if path in (b"/health", b"/v1/models"):
                        body = json.dumps({"data": [{"id": name} for name in models]}).encode()
                        self.request.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                        return
                    outer.seen.append(data)
                    if callable(reply):
                        reply(self.request, data)
                    else:
                        self.request.sendall(reply)

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __exit__(self, *args):
        self.shutdown()
        super().__exit__(*args)


def http(body, status="200 OK", kind="application/json"):
    body = body if isinstance(body, bytes) else body.encode()
    return b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), kind.encode(), len(body), body)


def raw_post(body):
    data = json.dumps(body).encode()
    return b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data)


def test_many_models_on_many_nodes(start):
    nodes = [start.node(model="small", name="a"), start.node(model="small,large", name="b"), start.node(model="large", name="c")]
    proxy = start.proxy(*nodes)
    assert [one["id"] for one in proxy.request("GET", "/v1/models")[1]["data"]] == ["large", "small"]
    assert proxy.request("GET", "/v1/models/large")[0] == 200 and proxy.request("GET", "/v1/models/none")[0] == 404
    names = {model: [proxy.complete(model)[1]["node"] for _ in range(20)] for model in ("small", "large")}
    assert set(names["small"]) == {"a", "b"} and set(names["large"]) == {"b", "c"}
    assert all(7 <= names[model].count("b") <= 13 for model in names), names  # equal nodes get equal shares
    status, body = proxy.complete("none")
    assert status == 404 and body["error"]["code"] == "model_not_found"
    for bad in (b"", b"{", b"[]", b'{"model": 3}', b"[" * 100000):
        assert proxy.request("POST", "/v1/completions", bad)[0] == 400
    for method, path in (("GET", "/v1/completions"), ("POST", "/v1/models")):
        assert proxy.request(method, path, {} if method == "POST" else None)[0] == 405
    for path in ("/sleep", "/models/unload", "/stats", "/nowhere"):  # a node's own routes are not reached from outside
        assert proxy.request("POST", path, {})[0] == 404
    text = proxy.request("GET", "/metrics")[1]
    assert 'turgo:proxy_answers_total{model_name="large",status="200"} 20' in text and "turgo:proxy_node_up" in text


def test_streams_pass_through_as_they_come(start):
    proxy = start.proxy(start.node(tokens=5, token_ms=300))
    request = urllib.request.Request(proxy.url + "/v1/completions", json.dumps({"model": "small", "prompt": "x", "stream": True}).encode(),
                                     {"Content-Type": "application/json"})
    times, lines = [], []
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        for line in answer:
            if line.strip():
                times.append(time.monotonic())
                lines.append(line.strip())
    assert len(lines) == 6 and lines[-1] == b"data: [DONE]"
    assert times[-1] - times[0] > 0.4  # not held back until the end


def test_a_client_that_leaves_ends_the_nodes_work(start):
    with RawNode(lambda connection, data: (connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {}\n\n"),
                                           left.append(connection.recv(10)))) as node:
        left = []
        proxy = start.proxy(node.url)
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            client.sendall(raw_post({"model": "small"}))
            got = b""
            while b"data: {}" not in got:
                got += client.recv(65536)
        until(lambda: left == [b""])
        until(lambda: proxy.status()[node.url]["unfinished"] == 0)


def test_a_killed_node_costs_no_client_an_answer(start):
    nodes = [start.node(delay_ms=20, name=str(i)) for i in range(3)]
    proxy = start.proxy(*nodes)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(proxy.complete) for _ in range(100)]
        time.sleep(0.05)
        nodes[0].kill()
        answers += [pool.submit(proxy.complete) for _ in range(200)]
        assert [one.result()[0] for one in answers].count(200) == 300
    until(lambda: proxy.status()[nodes[0].url]["state"] == "down")
    before = proxy.status()[nodes[0].url]["requests"]
    assert {proxy.complete()[1]["node"] for _ in range(10)} == {"1", "2"}
    assert proxy.status()[nodes[0].url]["requests"] == before
    nodes[1].kill()
    nodes[2].kill()
    proxy.complete()
    status, body = proxy.complete()
    assert status == 503 and body["error"]["code"] in ("no_node", "upstream_down")
    assert proxy.request("GET", "/readyz")[0] == 503 and proxy.request("GET", "/livez")[0] == 200


def test_a_started_stream_ends_with_an_error_event(start):
    node, other = start.node(tokens=1000, token_ms=20, name="a"), start.node(name="b", model="other")
    proxy = start.proxy(node, other)
    request = urllib.request.Request(proxy.url + "/v1/completions", json.dumps({"model": "small", "stream": True}).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        for _ in range(5):
            answer.readline()
        node.kill()
        rest = answer.read().decode()
    events = [event.strip() for event in rest.split("\n\n") if event.strip()]
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "upstream_broken"
    assert "[DONE]" not in rest and all(json.loads(event.strip().removeprefix("data: ")) for event in events)


def test_a_stopped_node_is_out_and_comes_back(start):
    nodes = [start.node(name=name) for name in "ab"]
    proxy = start.proxy(*nodes)
    nodes[0].process.send_signal(signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(proxy.complete) for _ in range(8)]
        until(lambda: proxy.status()[nodes[0].url]["state"] == "down", 15)  # how soon: bench/proxy.py
        assert all(one.result()[0] == 200 and one.result()[1]["node"] == "b" for one in answers)
    nodes[0].process.send_signal(signal.SIGCONT)
    until(lambda: proxy.status()[nodes[0].url]["state"] == "up")
    until(lambda: proxy.complete()[1]["node"] == "a")


@pytest.fixture()
def far():
    """A network namespace behind a cable: far.address, far.run = the words in front of a command there, far.pull(), far.plug()."""
    name, outer, inner = f"turgo-{os.getpid()}", f"tf{os.getpid()}", "eth0"
    address, near = "10.88.77.2", "10.88.77.1"

    def ip(*words):
        return subprocess.run(["ip", *words], capture_output=True).returncode == 0

    if not (shutil.which("ip") and ip("netns", "add", name)):
        pytest.skip("network namespaces need root and iproute2")
    try:
        if not (ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name) and ip("addr", "add", f"{near}/30", "dev", outer)
                and ip("link", "set", outer, "up") and ip("-n", name, "addr", "add", f"{address}/30", "dev", inner)
                and ip("-n", name, "link", "set", inner, "up")):
            pytest.skip("this machine has no veth devices")
        yield types.SimpleNamespace(address=address, run=["ip", "netns", "exec", name], pull=lambda: ip("-n", name, "link", "set", inner, "down"),
                                    plug=lambda: ip("-n", name, "link", "set", inner, "up"))
    finally:
        ip("netns", "del", name)


def test_a_connection_that_is_half_open(start, far):
    """A node's cable is pulled: its connections stay open, and nothing comes back on them, not even an RST."""
    tool = pathlib.Path(os.environ["TURGO_BUILD_DIR"]) / "tests/tools/fake_node"
    node = start.keep(Process([*far.run, str(tool), "--address", far.address, "--model", "small,far", "--name", "a", "--tokens", "1000", "--token-ms", "20"],
                              "listening"))
    node.url = f"http://{far.address}:{node.port}"
    good = start.node(name="b")
    proxy = start.proxy(node.url, good, flags=["--timeout", "2", "--connect-timeout", "1"])
    until(lambda: {proxy.complete()[1]["node"] for _ in range(2)} == {"a", "b"})  # each has kept connections
    request = urllib.request.Request(proxy.url + "/v1/completions", json.dumps({"model": "far", "stream": True}).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as stream, concurrent.futures.ThreadPoolExecutor(8) as pool:
        stream.readline()
        assert far.pull()
        cut = time.monotonic()
        answers = [pool.submit(proxy.complete) for _ in range(8)]
        assert all(one.result()[0] == 200 and one.result()[1]["node"] == "b" for one in answers)  # tried again on the other node
        until(lambda: proxy.status()[node.url]["state"] == "down")
        assert proxy.complete()[1]["node"] == "b"
        assert '"upstream_' in stream.read().decode() and time.monotonic() - cut < 60
    assert proxy.complete("far")[0] == 503
    assert far.plug()
    until(lambda: proxy.status()[node.url]["state"] == "up")
    assert proxy.complete("far")[0] == 200


MALFORMED = {
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Type: appl",
    "endless head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
    "bad status": b"HTTP/1.1 9999 Well\r\n\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    "cut off": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"model\": \"small\"",
    "no json": http("<html>Bad gateway</html>"),
    "empty": http(""),
    "other model": http('{"id": "x", "model": "another", "choices": []}'),
    "other model, streamed": http('data: {"model": "another"}\n\n', kind="text/event-stream"),
    "empty stream": http("", kind="text/event-stream"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_rubbish_from_a_node_is_a_clear_error_or_another_nodes_answer(start, case):
    with RawNode(MALFORMED[case]) as bad:
        proxy = start.proxy(bad.url)
        stream = "stream" in case
        status, body = proxy.complete(stream=stream)
        assert status == 502 and body["error"]["code"] == "upstream_failed", body
        assert bad.url not in json.dumps(body)
        good = start.node(name="good")
        assert proxy.operate("/nodes/add", {"url": good.url})[0] == 200
        for _ in range(4):
            status, body = proxy.complete()
            assert status == 200 and body["node"] == "good"
        assert proxy.process.poll() is None


def test_a_node_that_says_nothing_is_given_up(start):
    with RawNode(lambda connection, data: connection.recv(1)) as silent:  # until the other side has had enough
        proxy = start.proxy(silent.url, flags=["--timeout", "0.5"])
        status, body = proxy.complete()
        assert status == 504 and body["error"]["code"] == "upstream_timeout"


def test_answers_of_a_node_pass_unchanged(start):
    answer = http('{"error": {"message": "too long"}}', "400 Bad Request").replace(b"\r\n\r\n", b"\r\nX-Request-Id: 7\r\nConnection: close\r\n\r\n", 1)
    with RawNode(answer) as node:
        proxy = start.proxy(node.url)
        assert proxy.complete() == (400, {"error": {"message": "too long"}})
        head = node.seen[0].split(b"\r\n\r\n")[0].lower()
        assert b"host: 127.0.0.1:%d" % node.server_address[1] in head
    with RawNode(http('{"error": "busy"}', "503 Service Unavailable")) as busy:
        good = start.node(name="good")
        proxy = start.proxy(busy.url, good)
        assert [proxy.complete()[1]["node"] for _ in range(6)] == ["good"] * 6
        assert proxy.status()[busy.url]["state"] == "up"  # busy is not broken


def test_a_slow_reader_holds_nothing_but_its_own_stream(start):
    def endless(connection, data):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        connection.settimeout(1.5)
        sent = 0
        try:
            while sent < 64 << 20:
                sent += connection.send(b"data: {\"model\": \"small\", \"x\": \"" + b"x" * 60000 + b"\"}\n\n")
        except OSError:
            pass
        volume.append(sent)

    volume = []
    with RawNode(endless) as node:
        proxy = start.proxy(node.url)
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            client.sendall(raw_post({"model": "small", "stream": True}))
            until(lambda: volume)  # the node could not go on: the distributor did not read
            assert volume[0] < 48 << 20  # the kernel's buffers of two connections
            memory = int(next(line for line in open(f"/proc/{proxy.process.pid}/status") if line.startswith("VmRSS")).split()[1])
            assert memory < 100_000  # kB
            assert proxy.request("GET", "/livez")[0] == 200


def test_only_the_operator_manages_nodes(start, program):
    node = start.node()
    proxy = start.proxy(flags=["--api-keys", "client-key-7"], wait=False)
    for path in ("/nodes/add", "/nodes/remove", "/nodes/drain", "/nodes/terminate"):
        for headers in ({}, {"Authorization": "Bearer client-key-7"}, {"Authorization": "Bearer " + KEY[:-1]}, {"Authorization": "Bearer "}):
            assert proxy.request("POST", path, {"url": node.url}, headers)[0] == 401
    assert proxy.request("GET", "/nodes/status", headers={"Authorization": "Bearer client-key-7"})[0] == 401
    assert proxy.operate("/nodes/add", {"url": node.url, "status": {"models": ["small"], "speed": 2}}) == (200, {"success": True, "models": ["small"]})
    assert proxy.complete()[0] == 401
    assert proxy.request("POST", "/v1/completions", {"model": "small"}, {"Authorization": "Bearer client-key-7"})[0] == 200
    assert proxy.request("POST", "/v1/completions", {"model": "small"}, {"Authorization": f"Bearer {KEY}"})[0] == 401
    closed = Process([program, "serve", "proxy", "--server-port", "0", "--disable-cache-status"], "distributing")
    assert closed.operate("/nodes/add", {"url": node.url})[0] == 403
    closed.kill()


def test_what_is_no_node_is_refused_at_the_door(start):
    node = start.node(model="small")
    proxy = start.proxy(wait=False)
    with socket.socket() as unused, RawNode(b"", models=()) as empty:
        unused.bind(("127.0.0.1", 0))
        cases = [({}, "invalid_value"), ({"url": "nonsense url"}, "invalid_value"), ({"url": "ftp:/x"}, "invalid_value"),
                 ({"url": f"http://127.0.0.1:{unused.getsockname()[1]}"}, "node_unreachable"),
                 ({"url": node.url + "/nowhere"}, "node_unreachable"), ({"url": node.url, "status": {"models": ["large"]}}, "wrong_model"),
                 ({"url": node.url, "extra": 1}, None), ({"url": node.url, "status": {"speed": -1}}, "invalid_value")]
        for body, code in cases:
            status, answer = proxy.operate("/nodes/add", body)
            assert status == 400 and (code is None or answer["error"]["code"] == code), (body, answer)
        assert proxy.operate("/nodes/add", {"url": empty.url})[0] in (200, 400)
    assert proxy.operate("/nodes/remove", {"url": "http://127.0.0.1:1"})[0] == 404
    assert proxy.operate("/nodes/add", {"url": node.url})[0] == 200
    assert proxy.operate(f"/nodes/remove?node_url=http%3A%2F%2F127.0.0.1%3A{node.port}")[0] == 200
    assert proxy.complete()[0] == 404


def test_drain_gives_nothing_new(start):
    nodes = [start.node(name=name, delay_ms=1500) for name in "ab"]
    proxy = start.proxy(*nodes)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running = [pool.submit(proxy.complete) for _ in range(8)]
        until(lambda: sum(node["unfinished"] for node in proxy.status().values()) == 8)
        assert proxy.operate("/nodes/drain", {"url": nodes[0].url})[1]["draining"] is True
        assert sorted(one.result()[1]["node"] for one in running) == list("aaaabbbb")
        assert {answer["node"] for _, answer in pool.map(lambda _: proxy.complete(), range(3))} == {"b"}
        assert proxy.operate("/nodes/drain", {"url": nodes[0].url, "drain": False})[0] == 200
        assert {answer["node"] for _, answer in pool.map(lambda _: proxy.complete(), range(4))} == {"a", "b"}


def test_a_restart_loses_nothing(start, tmp_path):
    state = tmp_path / "state.json"
    # Slow enough that a hiccup of the machine makes none ten times as slow as another, which would send its sessions elsewhere.
    nodes = [start.node(name=str(i), delay_ms=40) for i in range(3)]
    flags = ["--state-file", str(state), "--routing-strategy", "cache_aware"]
    first = start.proxy(flags=flags, wait=False)
    for node in nodes:
        assert first.operate("/nodes/add", {"url": node.url, "status": {"speed": 2}})[0] == 200
    assert first.operate("/nodes/drain", {"url": nodes[2].url})[0] == 200

    def homes(proxy):
        return [proxy.request("POST", "/v1/completions", {"model": "small", "prompt": f"p{i}"}, {"X-Session-Id": f"s{i}"})[1]["node"]
                for i in range(24)]

    before = homes(first)
    assert first.operate("/nodes/drain", {"url": nodes[2].url, "drain": False})[0] == 200  # now some would go elsewhere
    until(lambda: len(json.loads(state.read_text())["sessions"]) == 24)
    first.kill()  # kill -9
    second = start.proxy(flags=flags, wait=False)
    assert homes(second) == before and "2" not in before
    assert set(second.status()) == {node.url for node in nodes}
    assert all(one["speed"] == 2 for one in second.status().values())
    assert second.kill(signal.SIGTERM) == 0
    assert state.stat().st_mode & 0o77 == 0
    state.write_text('{"nodes": 3}')
    done = subprocess.run([second.process.args[0], "serve", "proxy", "--server-port", "0", *flags], capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and "node table" in done.stderr and done.stderr.count("\n") == 1


def test_a_full_disk_is_told_and_survived(start, tmp_path):
    node = start.node()
    # No file may grow: a write fails as on a full disk (EFBIG; Python lets its children ignore the signal).
    proxy = start.proxy(flags=["--state-file", str(tmp_path / "state.json")], wait=False, restore_signals=False,
                        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    status, body = proxy.operate("/nodes/add", {"url": node.url})
    assert status == 500 and body["error"]["code"] == "state_not_saved", body
    assert proxy.complete()[0] == 200
    assert "turgo:proxy_state_saved 0" in proxy.request("GET", "/metrics")[1]
    assert not list(tmp_path.iterdir())


def test_keys_reach_nobody_else(start):
    secrets = ["client-secret-alpha", "client-secret-beta"]
    with RawNode(lambda connection, data: connection.sendall(http(json.dumps({"model": "small", "echo": data.decode()})))) as node:
        proxy = start.proxy(node.url)
        answers = [proxy.request("POST", "/v1/completions", {"model": "small"}, {"Authorization": f"Bearer {secret}"})[1] for secret in secrets * 3]
        for i, answer in enumerate(answers):  # a caller's key goes to the node with the caller's request alone
            assert secrets[i % 2] in answer["echo"] and secrets[1 - i % 2] not in answer["echo"]
        hidden = start.proxy(node.url, flags=["--node-api-key", "node-secret", "--api-keys", secrets[0]])
        echo = hidden.request("POST", "/v1/completions", {"model": "small"}, {"Authorization": f"Bearer {secrets[0]}"})[1]["echo"]
        assert "Bearer node-secret" in echo and secrets[0] not in echo
        for one in (proxy, hidden):
            text = json.dumps(one.status()) + json.dumps(one.request("GET", "/metrics", headers={"x-api-key": secrets[0]})[1])
            one.kill(signal.SIGTERM)
            text += one.process.stderr.read().decode()
            assert not any(secret in text for secret in [*secrets, KEY, "node-secret"])


def test_sessions_that_a_node_holds(start):
    nodes = [start.node(name=name) for name in "abc"]
    proxy = start.proxy(*nodes)

    def turn(session, key="k", **more):
        return proxy.request("POST", "/v1/chat/interactive", {"model": "small", "prompt": "x", "session_id": session, "interactive_mode": True,
                                                              **more}, {"Authorization": f"Bearer {key}"})

    homes = {session: turn(session)[1]["node"] for session in range(12)}
    assert set(homes.values()) == set("abc")
    assert all(turn(session)[1]["node"] == home for session, home in homes.items() for _ in range(3))
    lost = next(session for session, home in homes.items() if home == "a")
    nodes[0].kill()
    status, body = turn(lost)
    assert status == 503 and body["error"]["code"] == "session_lost"  # and not an answer that forgot the conversation
    assert turn(lost)[0] == 200
    kept = next(session for session, home in homes.items() if home == "b")
    assert turn(kept)[1]["node"] == "b"


def test_the_server_registers_itself_and_leaves(start, start_server):
    proxy = start.proxy(wait=False)
    server = start_server("--proxy-url", proxy.url, "--proxy-key", KEY)
    until(lambda: proxy.status())
    (url, node), = proxy.status().items()
    assert url == server.url and node["models"] == ["smollm2"]
    body = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "temperature": 0}
    direct, through = server.post("/v1/chat/completions", body), proxy.request("POST", "/v1/chat/completions", body)
    assert through[0] == 200 and through[1]["choices"] == direct[1]["choices"]
    first = proxy.request("POST", "/v1/responses", {"model": "smollm2", "input": "Hi", "max_output_tokens": 5})[1]
    assert proxy.request("GET", "/v1/responses/" + first["id"])[1]["id"] == first["id"]
    assert proxy.request("POST", "/v1/responses", {"model": "smollm2", "input": "So?", "max_output_tokens": 5,
                                                   "previous_response_id": first["id"]})[0] == 200
    assert proxy.request("GET", "/v1/responses/resp_none")[0] == 404
    assert server.stop() == 0
    until(lambda: not proxy.status())


def test_the_operator_ends_a_server(start, start_server):
    proxy = start.proxy(wait=False)
    willing, unwilling = start_server("--allow-terminate-by-client", "--session-len", "512"), start_server("--session-len", "512")
    for server in (willing, unwilling):
        assert proxy.operate("/nodes/add", {"url": server.url})[0] == 200
    assert willing.get("/terminate", headers={"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert proxy.operate("/nodes/terminate", {"node_url": willing.url}) == (200, {"success": True})
    assert willing.process.wait(timeout=20) == 0
    status, body = proxy.operate("/nodes/terminate", {"node_url": unwilling.url})
    assert status == 502 and body["error"]["code"] == "node_refused" and unwilling.process.poll() is None
    assert unwilling.get("/terminate")[0] == 403 and proxy.status() == {}
    willing.process.stdout.close(), willing.process.stderr.close()
    assert unwilling.stop() == 0
