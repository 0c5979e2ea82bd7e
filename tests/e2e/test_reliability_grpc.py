"""The table of hostile gRPC calls, G01 to G60. Frames (G01-G24) test gRPC's library: what it did is recorded as a property of the test.
After every row the same process answers a neighbour with the same text, and holds no request; after all of them files and threads are back."""
import gzip
import json
import os
import pathlib
import ssl
import subprocess
import time

import grpc
import h2_wire as wire
import pytest
from grpc_client import Client, code_of, message
from h2_wire import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, block,
                     call_headers, frame, message_bytes, open_call)
from waiting import until

ASK = {"text": "The capital of France is", "max_new_tokens": 6, "sampling": {"temperature": 0.0}}
LONG = {"text": "Once upon a time", "max_new_tokens": 1500, "ignore_eos": True}
TOKENIZE = "/turgo.v1.Engine/Tokenize"


class Oracle:
    def __init__(self, engine):
        self.engine, self.client = engine, Client(engine.address)
        self.said = self.client.Generate(**ASK).text
        self.client.CompileGrammar(kind=3, text="[a-z]+")
        self.client.Embed(inputs=[{"text": "x"}])
        self.before = self.resources()

    def resources(self):
        pid = self.engine.process.pid
        return len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))

    def is_idle(self):
        try:
            stats = self.client.GetStats()
        except grpc.RpcError as error:  # an attack may still hold the last of the threads
            if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            return False
        return not stats.num_running and not stats.num_waiting

    def check(self):
        assert self.engine.process.poll() is None, "the engine has died"
        until(self.is_idle)
        assert self.client.Generate(**ASK).text == self.said

    def check_end(self):
        until(lambda: self.resources()[0] <= self.before[0] + 8 and self.resources()[1] <= self.before[1] + 32)  # gRPC's pools grow to a bound


@pytest.fixture(scope="module")
def engine(start_engine):
    one = start_engine("--session-len", "2048", "--max-batch-size", "2", "--max-queue", "4")
    oracle = Oracle(one)
    one.oracle = oracle
    yield one
    oracle.check_end()
    assert one.stop() == 0


@pytest.fixture()
def client(engine):
    yield engine.oracle.client
    engine.oracle.check()


def rapid_reset():
    for i in range(1, 20001, 2):
        yield open_call(i) + frame(RST_STREAM, 0, i, b"\0\0\0\x08")


def made_you_reset():
    for i in range(1, 2001, 2):
        yield open_call(i) + frame(WINDOW_UPDATE, 0, i, b"\0\0\0\0") + frame(WINDOW_UPDATE, 0, i, b"\x7f\xff\xff\xff")


def continuation_flood():
    yield frame(HEADERS, 0, 1, block(call_headers()))
    for _ in range(20000):
        yield frame(CONTINUATION, 0, 1, b"\x00\x01a\x7f\x80\x07" + b"b" * 255)


def hpack_bomb():
    encoder = wire.hpack.Encoder()
    yield frame(HEADERS, END_HEADERS, 1, encoder.encode(call_headers(more=[("x-bomb", "b" * 4000)])))
    for i in range(3, 41, 2):
        yield frame(HEADERS, END_HEADERS, i, encoder.encode(call_headers(more=[("x-bomb", "b" * 4000)] * 4000)))


def silent_call():
    yield frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\0")  # INITIAL_WINDOW_SIZE 0
    yield open_call() + frame(DATA, END_STREAM, 1, message_bytes(b"\x0a\x01x"))


FRAMES = {
    "G01 rapid reset": rapid_reset,
    "G02 made you reset": made_you_reset,
    "G02 frames on a half-closed stream": lambda: [open_call()] + [frame(DATA, END_STREAM, 1, message_bytes(b""))] * 500,
    "G03 continuation flood": continuation_flood,
    "G04 settings flood": lambda: [frame(SETTINGS) * 100] * 300,
    "G05 ping flood": lambda: [frame(PING, 0, 0, b"12345678") * 100] * 300,
    "G06 empty data flood": lambda: [open_call()] + [frame(DATA, 0, 1) * 100] * 300,
    "G07 priority loops": lambda: [frame(PRIORITY, 0, i % 99 * 2 + 1, wire.struct.pack(">IB", (i + 1) % 99 * 2 + 1, 7)) for i in range(5000)],
    "G08 HPACK bomb": hpack_bomb,
    "G09 table size churn": lambda: [frame(SETTINGS, 0, 0, b"\0\x01\0\x0f\xff\xff") + frame(SETTINGS, 0, 0, b"\0\x01\0\0\0\0")] * 3000,
    "G10 a header list of 1 MiB": lambda: [frame(HEADERS, 0, 1, block(call_headers()))] + [frame(CONTINUATION, 0, 1, block([("x", "y" * 16000)]))] * 66,
    "G11 even, decreasing, last stream id": lambda: [open_call(2), open_call(9), open_call(3), open_call(0x7fffffff), open_call(11)],
    "G12 window 0 for ever": silent_call,
    "G13 window overflow": lambda: [frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")] * 2,
    "G14 a frame longer than allowed": lambda: [open_call(), b"\xff\xff\xff" + bytes([DATA, 0]) + b"\0\0\0\x01", b"x" * 65536],
    "G15 GOAWAY inside a call": lambda: [open_call(), frame(GOAWAY, 0, 0, b"\0" * 8), frame(DATA, END_STREAM, 1, message_bytes(b"\x0a\x01x"))],
    "G17 padding longer than its frame": lambda: [open_call(), frame(DATA, PADDED, 1, b"\xff12")],
    "G18 a header in upper case": lambda: [frame(HEADERS, END_HEADERS, 1, block(call_headers(more=[("X-Upper", "y")])))],
    "G19 pseudo-headers missing and doubled": lambda: [frame(HEADERS, END_HEADERS, 1, block(call_headers()[1:])),
                                                       frame(HEADERS, END_HEADERS, 3, block(call_headers()[:1] + call_headers()))],
    "G20 another authority": lambda: [frame(HEADERS, END_HEADERS, 1, block([(k, "evil.example:1" if k == ":authority" else v) for k, v in call_headers()]))],
    "G22 half a frame, then silence": lambda: [open_call()[:7]],
}


@pytest.mark.parametrize("row", FRAMES)
def test_frames(engine, client, row, record_property):
    record_property("outcome", wire.attack(engine.address, FRAMES[row](), seconds=1))


def test_g16_another_protocol(engine, client, record_property):
    for opening in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"\x16\x03\x01" + b"\0" * 200, b"\xff" * 4096):
        with wire.connect(engine.address) as one:
            one.sendall(opening)
            one.settimeout(1)
            try:
                record_property("outcome", repr(one.recv(64)))
            except (TimeoutError, OSError) as error:
                record_property("outcome", type(error).__name__)


def test_g21_idle_connections(engine, client):
    held = [wire.connect(engine.address) for _ in range(400)]
    for one in held:
        one.sendall(wire.PREFACE + frame(SETTINGS))
    engine.oracle.check()
    for one in held:
        one.close()


def make_certificate(folder, name, days=2):
    """(certificate, key) for localhost, signed by itself; `days` below 0: it has expired."""
    paths = {kind: str(folder / f"{name}.{kind}") for kind in ("key", "csr", "pem", "ext")}
    pathlib.Path(paths["ext"]).write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for words in (["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-keyout", paths["key"], "-out", paths["csr"]],
                  ["x509", "-req", "-in", paths["csr"], "-signkey", paths["key"], "-extfile", paths["ext"], "-days", str(days), "-out", paths["pem"]]):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    return paths["pem"], paths["key"]


def test_g23_client_certificates(start_engine, start_over, tmp_path):
    """An engine that asks for certificates answers a good one; none, an expired one and another authority's get no connection."""
    cert, key = make_certificate(tmp_path, "engine")
    callers = {"good": make_certificate(tmp_path, "good"), "expired": make_certificate(tmp_path, "expired", days=-1), "foreign": make_certificate(tmp_path, "foreign")}
    (tmp_path / "ca.pem").write_text("".join(pathlib.Path(callers[name][0]).read_text() for name in ("good", "expired")))
    engine = start_engine("--ssl-certfile", cert, "--ssl-keyfile", key, "--ssl-client-ca", str(tmp_path / "ca.pem"), "--session-len", "512")
    root = pathlib.Path(cert).read_bytes()

    def outcome(*pair):
        shown = [pathlib.Path(path).read_bytes() for path in pair]
        client = Client(engine.address, grpc.ssl_channel_credentials(root, *reversed(shown)))
        try:
            return code_of(client.Tokenize, text="x", timeout=30)[0]
        finally:
            client.close()

    said = {name: outcome(*pair) for name, pair in callers.items()} | {"none": outcome()}
    assert said == {"good": "OK", "expired": "UNAVAILABLE", "foreign": "UNAVAILABLE", "none": "UNAVAILABLE"}
    pair = callers["good"]
    server = start_over(engine, "--engine-ca", cert, "--engine-certfile", pair[0], "--engine-keyfile", pair[1])
    assert server.post("/v1/completions", {"prompt": ASK["text"], "max_tokens": 2})[0] == 200
    server.stop()
    assert engine.process.poll() is None and engine.stop() == 0


def test_g23_an_expired_engine(start_engine, tmp_path):
    cert, key = make_certificate(tmp_path, "old", days=-1)
    engine = start_engine("--ssl-certfile", cert, "--ssl-keyfile", key, "--session-len", "512")
    client = Client(engine.address, grpc.ssl_channel_credentials(pathlib.Path(cert).read_bytes()))
    assert code_of(client.Tokenize, text="x", timeout=30)[0] == "UNAVAILABLE"
    client.close()
    assert engine.stop() == 0


def test_g23_g24_tls(start_engine, start_over, tmp_path):
    cert, key = make_certificate(tmp_path, "engine")
    other, _ = make_certificate(tmp_path, "other")
    engine = start_engine("--ssl-certfile", cert, "--ssl-keyfile", key, "--session-len", "512")
    assert engine.url.startswith("grpcs://")
    good = Client(engine.address, grpc.ssl_channel_credentials(open(cert, "rb").read()))
    said = good.Generate(**ASK).text
    assert code_of(Client(engine.address, grpc.ssl_channel_credentials(open(other, "rb").read())).Tokenize, text="x", timeout=30)[0] == "UNAVAILABLE"
    assert code_of(Client(engine.address).Tokenize, text="x", timeout=30)[0] == "UNAVAILABLE"  # in plain text
    assert wire.attack(engine.address, [open_call()], seconds=1)
    without_alpn = ssl.create_default_context(cafile=cert)
    with wire.connect(engine.address) as raw:
        try:
            with without_alpn.wrap_socket(raw, server_hostname="localhost") as secure:
                secure.recv(10)
        except (OSError, ssl.SSLError):
            pass
    server = start_over(engine, "--engine-ca", cert)
    assert server.post("/v1/completions", {"prompt": ASK["text"], "max_tokens": 6, "temperature": 0})[1]["choices"][0]["text"] == said
    server.stop()
    assert good.Generate(**ASK).text == said and engine.stop() == 0


GOOD = message_bytes(b"\x0a\x01x")  # text: "x"
WIRE_MESSAGES = {  # body, more headers, statuses ("reset": no status but a reset; "closed")
    "G25 length 2^32-1": (message_bytes(b"x", length=2**32 - 1), (), {"8", "13", "reset", "closed"}),
    "G26 shorter than its length": (message_bytes(b"x", length=100), (), {"13", "reset"}),
    "G27 compressed without an encoding": (message_bytes(b"\x0a\x01x", flag=1), (), {"0", "13", "12"}),  # gRPC 1.51 takes the bytes as they are
    "G28 gzip bomb": (message_bytes(gzip.compress(b"\0" * (64 << 20)), flag=1), (("grpc-encoding", "gzip"),), {"8"}),
    "G29 an unknown encoding": (message_bytes(b"\x0a\x01x", flag=1), (("grpc-encoding", "zstandard"),), {"0", "12"}),  # and here
    "G45 no time at all": (GOOD, (("grpc-timeout", "0S"),), {"4", "reset", "closed"}),
    "G46 less than no time": (GOOD, (("grpc-timeout", "-1S"),), {"0", "4", "13", "3", "reset"}),
    "G46 more time than there is": (GOOD, (("grpc-timeout", "99999999H"),), {"0"}),
    "G46 no number": (GOOD, (("grpc-timeout", "x"),), {"0", "4", "13", "3", "reset"}),
    "G52 two messages in a call of one": (GOOD + GOOD, (), {"0", "12", "13", "reset"}),
    "G54 metadata of 60 kB, 16 are allowed": (GOOD, (("x-large", "y" * 60_000),), {"0", "8", "reset", "closed"}),  # counts once the caller has heard of it
    "G54 metadata that is no base64": (GOOD, (("x-bytes-bin", "!!!"),), {"0", "3", "13", "14", "reset", "closed"}),
    "G55 metadata with line breaks": (GOOD, (("x-broken", "a\r\nb: c"),), {"0", "3", "13", "reset"}),
}


@pytest.mark.parametrize("row", WIRE_MESSAGES)
def test_wire_messages(engine, client, row, record_property):
    body, headers, allowed = WIRE_MESSAGES[row]
    outcome = wire.call(engine.address, TOKENIZE, body, headers)
    record_property("outcome", json.dumps(outcome))
    assert outcome.get("grpc-status", next(iter(outcome))) in allowed, outcome


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


PROMPT = field(2, b"Hi") + varint(5 << 3) + b"\x01"  # text, max_new_tokens: 1
PARSE = {"INTERNAL", "INVALID_ARGUMENT", "UNIMPLEMENTED"}  # gRPC 1.51 says the last one of what it can not parse
RAW_MESSAGES = {
    "G30 a message of the cap + 1": (b"\x0a" + varint(16 << 20) + b"\0" * (16 << 20), {"RESOURCE_EXHAUSTED"}),
    "G31 a varint of 11 bytes": (b"\x28" + b"\xff" * 10 + b"\x01", PARSE),
    "G32 a wrong wire type": (b"\x08\x01", {"INVALID_ARGUMENT"}),
    "G33 groups": (b"\xa3\x06\xa4\x06", {"INVALID_ARGUMENT"}),
    "G34 unknown fields of 10 MB": (field(1000, b"x" * (10 << 20)) + PROMPT, {"OK"}),
    "G35 nesting of 100,000": (b"\xa3\x06" * 100_000 + b"\xa4\x06" * 100_000, PARSE),
    "G36 text that is no UTF-8": (field(2, b"\xff\xfe"), PARSE),
    "G37 25,000,000 ids": (field(1, field(1, b"\x01" * 25_000_000)), {"RESOURCE_EXHAUSTED"}),
    "G37 1,000,000 ids": (field(1, field(1, b"\x01" * 1_000_000)), {"OUT_OF_RANGE"}),
    "G38 a negative enum": (PROMPT + field(13, b"\x08" + b"\xff" * 9 + b"\x01" + field(2, b"a")), {"INVALID_ARGUMENT"}),
    "G39 both of a oneof": (field(1, field(1, b"\x01")) + PROMPT, {"OK"}),
    "G40 no prompt": (varint(5 << 3) + b"\x01", {"INVALID_ARGUMENT"}),
    "G42 1,000,000 biases": (PROMPT + field(4, field(9, b"\x08\x01") * 1_000_000), {"INVALID_ARGUMENT"}),
    "G43 a message of no bytes": (b"", {"INVALID_ARGUMENT"}),
    "G44 an Any of unknown type": (PROMPT + field(99, field(1, b"type.googleapis.com/evil") + field(2, b"\0")), {"OK"}),
}


@pytest.mark.parametrize("row", RAW_MESSAGES)
def test_raw_messages(client, row):
    raw, allowed = RAW_MESSAGES[row]
    for call in (client.Generate, client.GenerateStream):
        code, text = code_of(call, raw)
        assert code in allowed, (code, text)


BAD = ["INVALID_ARGUMENT"]
VALUES = {  # G59: what H47 to H63 send over HTTP
    "max_new_tokens": [({"max_new_tokens": v}, BAD) for v in (-1, -2**31)] + [({"max_new_tokens": 2**31 - 1, "stop": [" "]}, ["OK"])],
    "temperature": [({"sampling": {"temperature": v}}, BAD) for v in (-1, float("nan"), float("inf"), -1e30)]
                   + [({"sampling": {"temperature": 1e-45}, "max_new_tokens": 1}, ["OK"])],
    "top_p": [({"sampling": {"top_p": v}}, BAD) for v in (0, 1.1, -1, float("nan"))],
    "top_k": [({"sampling": {"top_k": v}}, BAD) for v in (-2, -2**31)] + [({"sampling": {"top_k": 2**31 - 1}, "max_new_tokens": 1}, ["OK"])],
    "min_p": [({"sampling": {"min_p": v}}, BAD) for v in (2, -1, float("nan"))],
    "penalties": [({"sampling": {name: v}}, BAD) for name in ("repetition_penalty", "presence_penalty", "frequency_penalty")
                  for v in (float("nan"), float("inf"), -3)],
    "seed": [({"sampling": {"seed": v}, "max_new_tokens": 1}, ["OK"]) for v in (0, 2**64 - 1)],
    "stop": [({"stop": [""]}, BAD), ({"stop": ["x"] * 100}, BAD), ({"stop": ["x" * 5000]}, BAD)],
    "stop_token_ids": [({"stop_token_ids": [v]}, BAD) for v in (-1, 10**6)],
    "logit_bias": [({"sampling": {"logit_bias": [{"token_id": i, "bias": b}]}}, BAD) for i, b in ((-1, 1.0), (10**6, 1.0), (1, float("nan")), (1, float("inf")))],
    "logprobs": [({"sampling": {"logprobs": v}}, BAD) for v in (-2, 10**9)],
    "ids": [({"text": None, "token_ids": {"ids": ids}}, ["INVALID_ARGUMENT"]) for ids in ([], [-1], [49152], [2**31 - 1], [-2**31])]
           + [({"text": None, "token_ids": {"ids": [1] * 2049}}, ["OUT_OF_RANGE"])],
    "text": [({"text": ""}, BAD), ({"text": "A" * 1_000_000}, ["OUT_OF_RANGE"]), ({"text": "\n" * 1_000_000}, ["OUT_OF_RANGE"]),
             ({"text": "e" + "\u0301" * 100_000}, ["OUT_OF_RANGE"]), ({"text": "a\0b", "max_new_tokens": 1}, ["OK"])],
    "messages": [({"text": None, "messages_json": v}, BAD) for v in ("{}", "null", "7", "[]", "[1]", '[{"role": "user", "content": null}]', "[" * 100_000, "{")],
    "grammar": [({"grammar": {"kind": k, "text": t}}, ["INVALID_ARGUMENT", "OUT_OF_RANGE"])
                for k, t in ((0, "x"), (99, "x"), (1, '{"type": "nope"}'), (1, "{"), (3, "("), (3, "(?<=x)*"), (4, "("), (4, 'root ::= undefined'), (1, "x" * 300_000))]
               + [({"grammar": {"kind": 3, "text": "a+"}, "ignore_eos": True}, BAD)],
    "thinking": [({"thinking": {"budget": v}, "max_new_tokens": 2}, ["OK"]) for v in (-1, -2**31, 2**31 - 1)],
    "session": [({"session_id": "x" * 100_000}, BAD), ({"session_id": "s", "step": 5}, BAD), ({"session_id": "s", "step": -7}, BAD), ({"owner": "x" * 300}, BAD)],
    "seconds": [({"max_seconds": v}, BAD) for v in (-1, float("nan"), float("-inf"))],
}


@pytest.mark.parametrize("name", VALUES)
def test_g59_values(client, name):
    for fields, allowed in VALUES[name]:
        given = {k: v for k, v in {"text": "Hi", **fields}.items() if v is not None}
        if "step" in given:
            given["token_ids"] = {"ids": [1]}
            del given["text"]
        code, text = code_of(client.Generate, **given)
        assert code in allowed, (fields, code, text)
        if code not in ("OK",):
            assert len(text) < 600 and "\n" not in text and "/root" not in text


def test_other_calls_check_their_values(client):
    for call, fields, allowed in ((client.Detokenize, {"ids": [-1]}, BAD), (client.Detokenize, {"ids": [10**6]}, BAD),
                                  (client.Embed, {"inputs": [{}]}, BAD), (client.Embed, {"inputs": [{"token_ids": {"ids": [-5]}}]}, BAD),
                                  (client.Embed, {"inputs": [{"text": "x"}] * 3000}, BAD), (client.Embed, {"inputs": [{"text": "x"}], "dimensions": -1}, BAD),
                                  (client.ComputeRows, {"ids": []}, BAD), (client.ComputeRows, {"ids": [1] * 3000}, ["OUT_OF_RANGE"]),
                                  (client.GetSession, {"id": "nobody"}, ["NOT_FOUND"]), (client.EndSession, {"id": ""}, ["NOT_FOUND"]),
                                  (client.ForkSession, {"session": {"id": "nobody"}, "new_id": "x"}, ["NOT_FOUND"]),
                                  (client.ImportSession, {"session": {"id": "x"}, "data": b""}, ["DATA_LOSS"]),
                                  (client.ImportSession, {"session": {"id": "x"}, "data": b"TURGOSES" + b"\xff" * 1000}, ["FAILED_PRECONDITION"]),  # a version to come
                                  (client.ImportSession, {"session": {"id": "x"}, "data": b"TURGOSES\x02\0\0\0" + b"\xff" * 1000}, ["DATA_LOSS"])):  # G41
        code, text = code_of(call, **fields)
        assert code in allowed, (fields, code, text)


def test_g47_deadline_in_prefill(client):
    assert code_of(client.Generate, token_ids={"ids": [100] * 2000}, max_new_tokens=5, timeout=0.1)[0] == "DEADLINE_EXCEEDED"


def test_g48_g50_cancels(engine, client):
    for _ in range(50):
        client.GenerateStream(**LONG).cancel()
    for k in (1, 2, 6):
        call = client.GenerateStream(**LONG)
        for _ in range(k):
            next(call)
        call.cancel()


def test_g49_cancel_in_the_queue(client):
    running = [client.GenerateStream(**LONG) for _ in range(2)]
    for one in running:
        next(one), next(one)
    waiting = [client.GenerateStream(**LONG) for _ in range(4)]
    for one in waiting:
        next(one)
    assert code_of(client.GenerateStream, **LONG)[0] == "RESOURCE_EXHAUSTED"  # --max-queue 4
    for one in waiting + running:
        one.cancel()


def test_g51_a_client_that_does_not_read(engine, client):
    body = message("GenerateRequest")(**LONG).SerializeToString()
    with wire.connect(engine.address) as raw:
        raw.sendall(wire.PREFACE + frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\x40") + open_call(path="/turgo.v1.Engine/GenerateStream")
                    + frame(DATA, END_STREAM, 1, message_bytes(body)))
        until(lambda: client.GetStats().num_running)
        assert client.Generate(**ASK).text == engine.oracle.said


def test_g53_unknown_names(engine, client):
    for path in ("/turgo.v1.Engine/Nothing", "/turgo.v2.Engine/Generate", "/", "//", "/x" * 1000, "/turgo.v1.Engine/Generate/", "/..%2f"):
        outcome = wire.call(engine.address, path, GOOD)
        assert outcome.get("grpc-status") == "12" or "reset" in outcome or outcome.get(":status", "200") != "200", (path, outcome)


def test_g56_one_session_twice(engine, client):
    first = client.GenerateStream(session_id="twice", **LONG)
    next(first), next(first)
    code, text = code_of(client.Generate, session_id="twice", token_ids={"ids": [1]}, max_new_tokens=1)
    assert code == "INVALID_ARGUMENT" and "answering" in text
    first.cancel()
    until(engine.oracle.is_idle)
    client.EndSession(id="twice")


def test_g58_health_and_reflection_floods(client):
    for _ in range(500):
        assert client.health() == 1
    for _ in range(100):
        assert client.services()


def test_g60_drain(start_engine):
    engine = start_engine("--session-len", "2048", "--drain-timeout", "3")
    client = Client(engine.address)
    call = client.GenerateStream(**LONG)
    next(call), next(call)
    engine.process.terminate()
    deadline = time.monotonic() + 30
    while True:
        refused = client.channel.unary_unary("/turgo.v1.Engine/Generate", request_serializer=bytes).future(PROMPT, timeout=30, wait_for_ready=True)
        if refused.code() == grpc.StatusCode.UNAVAILABLE or time.monotonic() > deadline:
            break
    assert refused.code() == grpc.StatusCode.UNAVAILABLE and ("grpc-retry-pushback-ms", "1000") in refused.trailing_metadata()
    code, _ = code_of(lambda: list(call))  # it takes longer than the time to drain
    assert code in ("OK", "CANCELLED", "UNAVAILABLE") and engine.process.wait(timeout=20) == 0
    engine.process.stdout.close()
