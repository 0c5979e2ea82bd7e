"""What the server tells the outside: access log, W3C traces, OTLP spans, Prometheus counters; a client that lost its answer in a drain."""
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

TEXT, CHAT = "/v1/completions", "/v1/chat/completions"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SHORT = {"prompt": "Once", "max_tokens": 5, "ignore_eos": True}


class Collector(http.server.ThreadingHTTPServer):
    """What an OpenTelemetry collector receives; it fails the first `failures` exports."""

    def __init__(self, failures=0):
        self.bodies, self.failures, self.paths = [], failures, set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.paths.add(self.path)
                failed, outer.failures = outer.failures > 0, outer.failures - 1
                if not failed:
                    outer.bodies.append((self.headers["Content-Type"], json.loads(body)))
                self.send_response(503 if failed else 200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self):
        return [span for _, body in self.bodies for resource in body["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]]


def attributes(span):
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def wait_until(holds, seconds=20):
    end = time.monotonic() + seconds
    while not holds():  # asked once a turn: some of these take what they see
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_access_log(start_server, tmp_path):
    path = tmp_path / "access.jsonl"
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [{"key": "secret-of-ann", "name": "ann"}, {"key": "nameless-secret"}]}))
    server = start_server("--access-log", str(path), "--api-keys-file", str(keys))
    ann, nameless = ({"Authorization": "Bearer " + key} for key in ("secret-of-ann", "nameless-secret"))
    assert server.get("/livez")[0] == server.get("/readyz")[0] == 200
    assert server.post(TEXT, {**SHORT, "n": 2, "prompt": "a private question"}, headers={**ann, "X-Request-Id": "mine", "traceparent": f"00-{TRACE}-{PARENT}-01"})[0] == 200
    assert server.post(TEXT, {"prompt": "x", "top_p": 5}, headers=nameless)[0] == 400
    assert server.get("/v1/models%0a%22")[0] == 400 and server.get('/a%22%20b')[0] == 401
    wait_until(lambda: path.exists() and len(lines_of(path)) == 4)
    first, second, plain, third = lines_of(path)
    assert plain["status"] == 400 and third["path"] == '/a" b' and third["route"] == "other"
    assert first["route"] == TEXT and first["status"] == 200 and first["caller"] == "ann" and first["request_id"] == "mine" and first["trace_id"] == TRACE
    assert first["output_tokens"] == 10 and first["prompt_tokens"] == 3 and first["finish_reason"] == "length" and first["model"] == "smollm2"
    assert 0 < first["ttft_seconds"] <= first["seconds"] and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first["time"])
    assert (second["status"], second["error"], second.get("caller")) == (400, "invalid_value", None)
    assert third["status"] == 401 and third["error"] == "invalid_api_key" and third["client"] == "127.0.0.1"
    text = path.read_text()
    assert "secret" not in text and "private" not in text
    path.rename(tmp_path / "old.jsonl")  # as logrotate does
    server.process.send_signal(signal.SIGHUP)
    wait_until(path.exists)
    server.get("/v1/models", headers=ann)
    wait_until(lambda: len(lines_of(path)) == 1)
    assert server.stop() == 0


def test_access_log_sees_who_left(start_server, tmp_path):
    path = tmp_path / "access.jsonl"
    server = start_server("--access-log", str(path))
    body = json.dumps({"prompt": "Once", "max_tokens": 8000, "ignore_eos": True, "stream": True}).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert connection.recv(100)
        wait_until(lambda: b"data" in connection.recv(1000))
    wait_until(lambda: path.exists() and lines_of(path))
    (line,) = lines_of(path)
    assert line["aborted"] and line["finish_reason"] == "abort" and line["output_tokens"] >= 1
    assert server.stop() == 0


def test_a_sink_that_is_blocked_costs_lines_not_answers(start_server, tmp_path):
    """F38: the log is a pipe that nobody reads."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    server = start_server("--access-log", str(path))
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        threading.Thread(target=connection.sendall, args=(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000,)).start()
        answer = b""
        while answer.count(b"200 OK") < 2000:
            answer += connection.recv(1 << 16)
    wait_until(lambda: server.get("/version")[0] == 200 and re.search(r"^turgo:access_log_dropped_total [1-9]", server.get("/metrics")[1], re.M))
    os.close(reader)
    assert server.stop() == 0


@pytest.mark.parametrize("failures", [0, 1])
def test_spans(start_server, failures):
    collector = Collector(failures)
    server = start_server("--otlp-traces-endpoint", collector.url + "/v1/traces")
    assert server.post(CHAT, {"messages": "Hi", "max_tokens": 4, "ignore_eos": True}, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})[0] == 200
    assert server.post(CHAT, {"messages": "Hi", "max_tokens": 4}, headers={"traceparent": f"00-{'1' * 32}-{PARENT}-00"})[0] == 200  # not sampled
    assert server.post(TEXT, {"prompt": ""})[0] == 400
    assert server.get("/livez")[0] == 200
    wait_until(lambda: len(collector.spans()) >= 3)
    kind, body = collector.bodies[0]
    assert kind == "application/json" and collector.paths == {"/v1/traces"}
    assert {"key": "service.name", "value": {"stringValue": "turgo"}} in body["resourceSpans"][0]["resource"]["attributes"]
    spans = {span["name"]: span for span in collector.spans()}
    assert set(spans) == {"POST " + CHAT, "chat smollm2", "POST " + TEXT}
    server_span, model_span, refused = spans["POST " + CHAT], spans["chat smollm2"], spans["POST " + TEXT]
    assert server_span["traceId"] == model_span["traceId"] == TRACE and server_span["parentSpanId"] == PARENT and server_span["kind"] == 2
    assert model_span["parentSpanId"] == server_span["spanId"] != model_span["spanId"]
    assert re.fullmatch("[0-9a-f]{16}", model_span["spanId"]) and re.fullmatch("[0-9a-f]{32}", refused["traceId"])
    assert int(server_span["startTimeUnixNano"]) <= int(model_span["startTimeUnixNano"]) <= int(model_span["events"][0]["timeUnixNano"])
    assert int(model_span["events"][0]["timeUnixNano"]) <= int(model_span["endTimeUnixNano"]) <= int(server_span["endTimeUnixNano"])
    about = attributes(model_span)
    assert about["gen_ai.usage.output_tokens"] == "4" and about["gen_ai.request.model"] == "smollm2" and about["gen_ai.latency.time_to_first_token"] > 0
    assert attributes(server_span)["http.response.status_code"] == "200" and attributes(server_span)["http.route"] == CHAT
    assert attributes(refused)["error.type"] == "invalid_value" and "parentSpanId" not in refused and refused["status"] == {}
    assert server.stop() == 0
    collector.shutdown()


def test_dead_collector_costs_spans_not_answers(start_server):
    server = start_server("--otlp-traces-endpoint", "http://127.0.0.1:9")
    assert server.post(TEXT, SHORT)[0] == 200
    wait_until(lambda: server.post("/tokenize", {"prompt": "x"})[0] == 200 and re.search(r"^turgo:spans_dropped_total [1-9]", server.get("/metrics")[1], re.M))
    assert server.stop() == 0


@pytest.mark.parametrize("flags", [["--otlp-traces-endpoint", "https://collector"], ["--otlp-traces-endpoint", "no url"], ["--access-log", "/nowhere/at/all"]])
def test_bad_flags_end_the_start(program, model, flags):
    done = subprocess.run([program, "serve", "api_server", model, "--server-port", "0", *flags], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and flags[0] in done.stderr and done.stderr.strip().count("\n") == 0, done.stderr


# What LMDeploy 0.9's and vLLM's /metrics have and dashboards ask for.
NAMES = """num_requests_running num_requests_waiting gpu_cache_usage_perc prompt_tokens_total generation_tokens_total request_success_total
    time_to_first_token_seconds inter_token_latency_seconds time_per_output_token_seconds e2e_request_latency_seconds request_queue_time_seconds
    request_inference_time_seconds request_prefill_time_seconds request_decode_time_seconds request_prompt_tokens request_generation_tokens
    kv_cache_usage_perc prefix_cache_queries_total prefix_cache_hits_total num_preemptions_total request_time_per_output_token_seconds""".split()


def test_metrics(start_server):
    server = start_server()
    prompt = "one two three four five six seven eight nine ten " * 20
    for _ in range(2):
        assert server.post(TEXT, {"prompt": prompt, "max_tokens": 9, "ignore_eos": True})[0] == 200
    assert server.post(TEXT, {"prompt": "", "max_tokens": 9})[0] == 400 and server.get("/nowhere")[0] == 404
    text = server.get("/metrics")[1]
    families = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.M))
    assert len(re.findall(r"^# TYPE ", text, re.M)) == len(families) and len(re.findall(r"^# HELP ", text, re.M)) == len(families)
    for line in text.splitlines():
        assert line.startswith("# ") or re.fullmatch(r'[a-z0-9_:]+(\{([a-z_]+="[^"\\]*",?)*\})? [0-9.e+-]+', line), line
    values = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if not line.startswith("#")}
    labels = '{engine="0",model_name="smollm2"}'
    for name in ("vllm:", "lmdeploy:"):
        assert all(name + one in families for one in NAMES), [one for one in NAMES if name + one not in families]
        assert values[name + "generation_tokens_total" + labels] == values[name + "request_generation_tokens_sum" + labels] == 18
        assert values[name + "time_to_first_token_seconds_count" + labels] == 2 and values[name + "inter_token_latency_seconds_count" + labels] == 16
        assert values[name + "prefix_cache_hits_total" + labels] >= 128  # the second prompt's whole blocks
        assert values[name + 'request_success_total{engine="0",model_name="smollm2",finished_reason="length"}'] == 2
    assert values['turgo:errors_total{kind="invalid_value"}'] == 1 and values['turgo:errors_total{kind="unknown_route"}'] == 1
    assert values['turgo:answers_begun_total{model_name="smollm2"}'] == values['turgo:answers_ended_total{model_name="smollm2"}'] == 2
    resident = 1024 * int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{server.process.pid}/status").read()).group(1))
    assert abs(values["process_resident_memory_bytes"] - resident) < 0.2 * resident and values["process_open_fds"] > 5
    assert server.stop() == 0


@pytest.mark.parametrize("path,fields,error", [
    (TEXT, {"prompt": "Once", "stream": True}, b'data: {"error"'), (CHAT, {"messages": "Once", "stream": True}, b'data: {"error"'),
    (TEXT, {"prompt": "Once"}, b"HTTP/1.1 503"), ("/v1/messages", {"model": "smollm2", "messages": [{"role": "user", "content": "Tell me a very long story of a river."}], "stream": True}, b"event: error"),
    ("/api/generate", {"model": "smollm2", "prompt": "Tell me a very long story of a river.", "options": {"num_predict": 8000}}, b'{"error"')])
def test_drain_that_takes_too_long_ends_with_an_error(start_server, path, fields, error):
    """A stream that the server can not finish carries an error in its own form, and never its end."""
    server = start_server("--drain-timeout", "0.3")
    body = json.dumps({"max_tokens": 8000, "ignore_eos": True, **fields} if "options" not in fields else fields)
    if path == "/v1/messages":
        body = json.dumps({**fields, "max_tokens": 8000, "temperature": 0})  # may end by itself: no short one
    data = body.encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(data)) + data)
        wait_until(lambda: re.search(r"^vllm:num_requests_running\S* 1$", server.get("/metrics")[1], re.M))
        server.process.send_signal(signal.SIGTERM)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert error in answer and b"[DONE]" not in answer and b"message_stop" not in answer and b'"done":true' not in answer, answer[-600:]
    assert server.process.wait(timeout=20) == 0
    server.process.stdout.close()
    server.process.stderr.close()
