"""Who may call the server and how it is set up: keys with rates, TLS with reload, drain, environment and config file."""
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

import pytest
from waiting import until

SHORT = {"prompt": "Once", "max_tokens": 4, "ignore_eos": True}


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def test_key_file_has_rates_and_names(start_server, tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{"key": "slow", "name": "ann", "requests_per_minute": 2},
                                         {"key": "few", "tokens_per_minute": 6}, {"key": "free", "priority": -5}]}))
    server = start_server("--api-keys-file", str(path))
    statuses = [server.post("/v1/completions", SHORT, headers=bearer("slow"))[0] for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    assert server.get("/v1/models", headers=bearer("slow"))[0] == 200  # what costs nothing is not counted
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(server.url + "/generate", b"{}", {**bearer("slow"), "Content-Type": "application/json"}))
    assert 20 <= int(refused.value.headers["Retry-After"]) <= 31
    assert json.loads(refused.value.read())["error"]["type"] == "rate_limit_error"
    assert [server.post("/v1/completions", SHORT, headers=bearer("few"))[0] for _ in range(3)] == [200, 200, 429]
    assert [server.post("/v1/completions", SHORT, headers=bearer("free"))[0] for _ in range(3)] == [200] * 3
    path.write_text(json.dumps({"keys": [{"key": "fresh"}, {"key": "slow", "name": "ann", "requests_per_minute": 2}]}))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: server.get("/v1/models", headers=bearer("fresh"))[0] == 200)
    assert server.get("/v1/models", headers=bearer("free"))[0] == 401
    assert server.post("/v1/completions", SHORT, headers=bearer("slow"))[0] == 429  # a reload gives no new rate
    path.write_text("{")
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.1)
    assert server.get("/v1/models", headers=bearer("fresh"))[0] == 200  # a bad file changes nothing
    assert server.stop() == 0


def test_keys_have_fair_shares_and_priorities(start_server, tmp_path):
    """Six requests of one key do not stand before another key's first; a key of higher priority goes before both."""
    path, log = tmp_path / "keys.json", tmp_path / "access.jsonl"
    path.write_text(json.dumps({"keys": [{"key": "a", "name": "many"}, {"key": "b", "name": "one"}, {"key": "c", "name": "vip", "priority": -5}]}))
    server = start_server("--api-keys-file", str(path), "--max-batch-size", "1", "--access-log", str(log))
    threads = []

    def ask(key, waiting):
        body = {"prompt": "Once", "max_tokens": 20 if waiting else 300, "ignore_eos": True}
        threads.append(threading.Thread(target=server.post, args=("/v1/completions", body), kwargs={"headers": bearer(key)}))
        threads[-1].start()

        def is_waiting():
            text = server.get("/metrics", headers=bearer("c"))[1]
            return f'vllm:num_requests_waiting{{engine="0",model_name="smollm2"}} {waiting}\n' in text and "num_requests_running" in text

        until(is_waiting)

    for i, key in enumerate("aaaaaabc"):
        ask(key, i)
    for thread in threads:
        thread.join(120)
    assert server.stop() == 0
    order = [line["caller"] for line in map(json.loads, log.read_text().splitlines()) if line["route"] == "/v1/completions"]
    assert len(order) == 8 and order.index("vip") <= 2 and order.index("one") <= order.index("vip") + 2, order


@pytest.mark.parametrize("text", ['{"keys": []}', '{"keys": [{"key": ""}]}', '{"keys": [{"kay": "x"}]}', "[]", '{"keys": [{"key": "a b"}]}'])
def test_bad_key_files_end_the_start(program, model, tmp_path, text):
    path = tmp_path / "keys.json"
    path.write_text(text)
    done = subprocess.run([program, "serve", "api_server", model, "--server-port", "0", "--api-keys-file", str(path)],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.strip().count("\n") == 0 and "keys" in done.stderr


def certificate(folder, name):
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs the openssl program")
def test_tls_and_reload(start_server, tmp_path):
    cert, key = certificate(tmp_path, "first")
    server = start_server("--ssl-certfile", str(cert), "--ssl-keyfile", str(key))
    context = ssl.create_default_context(cafile=str(cert))

    def post(path, body, trust):
        request = urllib.request.Request(f"https://127.0.0.1:{server.port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, context=trust, timeout=60) as answer:
            return answer.read().decode()

    whole = json.loads(post("/v1/completions", {**SHORT, "temperature": 0, "max_tokens": 40}, context))["choices"][0]["text"]
    lines = post("/v1/completions", {**SHORT, "temperature": 0, "max_tokens": 40, "stream": True}, context).split("\n\n")
    assert lines[-2] == "data: [DONE]"
    assert "".join(json.loads(line[6:])["choices"][0]["text"] for line in lines[:-2]) == whole
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as plain:  # G24: plaintext on a TLS port
        plain.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert not plain.recv(1000).startswith(b"HTTP/1.1 200")
    with pytest.raises(ssl.SSLError):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        socket_ = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        old.wrap_socket(socket_)
    second, second_key = certificate(tmp_path, "second")
    shutil.copy(second, cert)
    shutil.copy(second_key, key)
    server.process.send_signal(signal.SIGHUP)
    renewed = ssl.create_default_context(cafile=str(second))
    for _ in range(600):
        try:
            assert post("/v1/completions", SHORT, renewed)
            break
        except OSError:
            time.sleep(0.1)
    with pytest.raises(OSError):
        post("/v1/completions", SHORT, context)
    assert server.stop() == 0


def test_sigterm_under_64_streams_loses_none(start_server):
    """Every stream that was accepted is whole; who comes later gets 503 or no connection; a second server has its port."""
    server = start_server("--max-batch-size", "32")
    body = json.dumps({"prompt": "Once upon a time", "max_tokens": 24, "ignore_eos": True, "stream": True}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    answers, begun = [None] * 64, threading.Barrier(65, timeout=120)

    def stream(i):
        with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
            connection.sendall(head + body)
            data = connection.recv(65536)
            begun.wait()
            while piece := connection.recv(65536):
                data += piece
            answers[i] = data

    threads = [threading.Thread(target=stream, args=(i,)) for i in range(64)]
    for thread in threads:
        thread.start()
    begun.wait()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=60) == 0
    for thread in threads:
        thread.join(60)
    for data in answers:
        assert data.startswith(b"HTTP/1.1 200") and b"data: [DONE]" in data and data.endswith(b"0\r\n\r\n")
        assert b"error" not in data
    server.process.stdout.close()
    server.process.stderr.close()


def refuses(server):
    try:
        return server.get("/livez")[0] == 503
    except OSError:
        return True


def test_drain_timeout_and_second_signal(start_server):
    for flags, signals in [(("--drain-timeout", "0.3"), 1), ((), 2)]:
        server = start_server(*flags)
        body = json.dumps({"prompt": "Once", "max_tokens": 8000, "ignore_eos": True, "stream": True}).encode()
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert connection.recv(100)
            server.process.send_signal(signal.SIGTERM)
            if signals == 2:
                until(lambda: refuses(server))  # two signals that wait together are one
                server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(timeout=20) == 0  # left alone it would drain for 30 s
        server.process.stdout.close()
        server.process.stderr.close()


def test_queue_is_bounded(start_server):
    server = start_server("--max-batch-size", "1", "--max-queue", "2")
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(server.post("/v1/completions", {**SHORT, "max_tokens": 60})[0]))
               for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(statuses) == {200, 429} and statuses.count(200) >= 2
    assert server.stop() == 0


def test_environment_and_config_file(program, model, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"session_len": 256, "model_name": "from-file", "api_keys": ["file-key"], "server_port": 0}))
    environment = {**os.environ, "TURGO_MODEL_NAME": "from-environment", "TURGO_API_KEYS": "one,two", "TURGO_CONFIG": str(config)}
    process = subprocess.Popen([program, "serve", "api_server", model, "--api-prefix", "/llm"], env=environment,
                               stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line.startswith("serving from-environment on http://127.0.0.1:")
    url = line.split()[-1]
    assert url.endswith("/llm")
    for key, status in [("one", 200), ("two", 200), ("file-key", 401)]:
        try:
            request = urllib.request.Request(url + "/tokenize", b'{"prompt": "x"}', {**bearer(key), "Content-Type": "application/json"})
            with urllib.request.urlopen(request) as answer:
                got = answer.status
                assert json.loads(answer.read())["max_model_len"] == 256
        except urllib.error.HTTPError as error:
            got = error.code
        assert got == status
    process.terminate()
    assert process.wait(timeout=30) == 0
    process.stdout.close()
    config.write_text('{"sesion_len": 1}')
    done = subprocess.run([program, "serve", "api_server", model, "--config", str(config)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "session_len" in done.stderr


def test_unix_socket(program, model, tmp_path):
    path = str(tmp_path / "turgo.sock")
    process = subprocess.Popen([program, "serve", "api_server", model, "--server-port", "0", "--unix-socket", path],
                               stdout=subprocess.PIPE, text=True)
    lines = [process.stdout.readline(), process.stdout.readline()]
    assert path in lines[1]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    process.terminate()
    assert process.wait(timeout=30) == 0
    assert not os.path.exists(path)
    process.stdout.close()


def test_open_to_all_is_said_in_red(program, model):
    process = subprocess.Popen([program, "serve", "api_server", model, "--server-port", "0", "--server-name", "0.0.0.0"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    port = process.stdout.readline().strip().rsplit(":", 1)[1]
    with socket.create_connection(("127.0.0.1", int(port))) as connection:  # any Host: it may come through a tunnel
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: tunnel.example\r\nConnection: close\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    process.terminate()
    assert process.wait(timeout=30) == 0
    red = [line for line in process.stderr.read().splitlines() if "\x1b[31m" in line]
    assert len(red) == 1 and "--api-keys" in red[0]
    process.stdout.close()
    process.stderr.close()


def test_pages_of_other_origins(start_server):
    """What a browser is told about another origin's page: its methods and headers, whether with cookies."""
    page = {"Origin": "https://page.example"}
    asks = {**page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-own, content-type"}

    def fields(server, method, path, headers):
        request = urllib.request.Request(server.url + path, method=method, headers=headers)
        with urllib.request.urlopen(request) as answer:
            return {name.removeprefix("Access-Control-Allow-"): value for name, value in answer.headers.items() if "Access-Control-Allow" in name}

    server = start_server("--allow-origins", page["Origin"])
    assert fields(server, "OPTIONS", "/v1/models", asks) == {
        "Origin": page["Origin"], "Methods": "GET, POST, DELETE, OPTIONS", "Headers": "authorization, content-type, x-api-key"}
    assert fields(server, "GET", "/v1/models", page) == {"Origin": page["Origin"]}
    with pytest.raises(urllib.error.HTTPError, match="403"):
        fields(server, "OPTIONS", "/v1/models", {**asks, "Origin": "https://other.example"})
    server = start_server("--allow-origins", page["Origin"], "--allow-credentials", "--allow-methods", "GET", "--allow-headers", "*")
    assert fields(server, "OPTIONS", "/v1/models", asks) == {
        "Origin": page["Origin"], "Methods": "GET", "Headers": asks["Access-Control-Request-Headers"], "Credentials": "true"}
    assert fields(server, "GET", "/v1/models", page) == {"Origin": page["Origin"], "Credentials": "true"}
