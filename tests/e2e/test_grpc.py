"""`turgo serve engine`: every call of proto/turgo/v1/engine.proto, and `serve api_server --engine` while its engine is killed, stopped,
drained, replaced."""
import json
import shutil
import signal
import subprocess
import threading
import time

import pytest
import tokenizers
from conftest import Server
from grpc_client import ROOT, Client, code_of, text_of
from reliability import metrics_of
from waiting import until

PROMPT = "The capital of France is"
GREEDY = {"sampling": {"temperature": 0.0}, "max_new_tokens": 12}
STOP, LENGTH = 1, 2  # of FinishReason


@pytest.fixture(scope="module")
def engine(start_engine):
    one = start_engine("--session-len", "2048")
    yield one
    assert one.process.poll() is None, "the engine has died"
    assert one.stop() == 0


@pytest.fixture(scope="module")
def client(engine):
    one = Client(engine.address)
    yield one
    one.close()


@pytest.fixture(scope="module")
def pair(engine, start_over):
    """An HTTP server over the engine."""
    one = start_over(engine)
    yield one
    assert one.process.poll() is None and one.stop() == 0


def free(client):
    stats = client.GetStats()
    return stats.num_running == 0 and stats.num_waiting == 0


def test_generate_says_what_http_says(client, pair):
    whole = client.Generate(text=PROMPT, **GREEDY)
    streamed, events = text_of(client.GenerateStream(text=PROMPT, **GREEDY))
    status, answer = pair.post("/v1/completions", {"prompt": PROMPT, "max_tokens": 12, "temperature": 0})
    assert status == 200 and whole.text == streamed == answer["choices"][0]["text"] and whole.text
    assert not events[0].tokens and [e.finish for e in events[:-1]] == [0] * (len(events) - 1) and events[-1].finish == LENGTH
    assert [t.id for e in events for t in e.tokens] == [t.id for t in whole.tokens] and len(whole.tokens) == 12
    assert whole.finish == LENGTH and whole.num_input_tokens == answer["usage"]["prompt_tokens"] and whole.stats.ttft_seconds > 0


def test_conversations_and_ids(client, pair):
    messages = [{"role": "user", "content": "Name a colour."}]
    chat = client.Generate(messages_json=json.dumps(messages), **GREEDY)
    status, answer = pair.post("/v1/chat/completions", {"messages": messages, "max_tokens": 12, "temperature": 0})
    assert status == 200 and chat.text == answer["choices"][0]["message"]["content"]
    ids = client.Tokenize(text=PROMPT, add_bos=True, allow_special=True).ids
    assert client.Generate(token_ids={"ids": ids}, **GREEDY).text == client.Generate(text=PROMPT, **GREEDY).text
    assert client.Detokenize(ids=ids).text == PROMPT == pair.post("/detokenize", {"tokens": list(ids)})[1]["prompt"]


def test_stop_seed_logprobs_bias(client):
    whole = client.Generate(text=PROMPT, **GREEDY).text
    word = whole.split()[2]
    cut = client.Generate(text=PROMPT, stop=[word], **GREEDY)
    assert cut.finish == STOP and cut.text == whole[:whole.index(word)]
    kept = client.Generate(text=PROMPT, stop=[word], include_stop=True, **GREEDY)
    assert kept.text == whole[:whole.index(word) + len(word)]
    hot = {"sampling": {"temperature": 1.0, "top_p": 1.0, "seed": 2**64 - 1}, "max_new_tokens": 12}
    assert client.Generate(text=PROMPT, **hot).text == client.Generate(text=PROMPT, **hot).text
    first = client.Generate(text=PROMPT, sampling={"temperature": 0.0, "logprobs": 3}, max_new_tokens=1).tokens[0]
    assert len(first.top_logprobs) == 3 and first.top_logprobs[0].token_id == first.id and first.logprob <= 0
    banned = client.Generate(text=PROMPT, max_new_tokens=1,
                             sampling={"temperature": 0.0, "logit_bias": [{"token_id": first.id, "bias": -100.0}]})
    assert banned.tokens[0].id == first.top_logprobs[1].token_id


def test_grammar(client, pair):
    for grammar, ok in (({"kind": 3, "text": "(red|green) (apple|pear)"}, lambda t: t in {f"{c} {f}" for c in ("red", "green") for f in ("apple", "pear")}),
                        ({"kind": 1, "text": '{"type": "object", "properties": {"a": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["a"]}'},
                         lambda t: 0 <= json.loads(t)["a"] <= 9)):
        client.CompileGrammar(**grammar)
        assert ok(client.Generate(text="Say:", grammar=grammar, sampling={"temperature": 1.0}, max_new_tokens=64).text)
    same = {"prompt": "Say:", "max_tokens": 64, "guided_regex": "(red|green) (apple|pear)"}
    assert pair.post("/v1/completions", same)[1]["choices"][0]["text"].split()[0] in {"red", "green"}
    code, text = code_of(client.CompileGrammar, kind=3, text="(red")
    status, body = pair.post("/v1/completions", {**same, "guided_regex": "(red"})
    assert code == "INVALID_ARGUMENT" and status == 400 and body["error"]["message"].endswith(text) and body["error"]["param"] == "guided_regex"


def test_embed_says_what_http_says(client, pair):
    ours = client.Embed(inputs=[{"text": "a cat"}, {"token_ids": {"ids": [1, 2, 3]}}])
    _, theirs = pair.post("/v1/embeddings", {"input": "a cat"})
    assert list(ours.vectors[0].values) == pytest.approx(theirs["data"][0]["embedding"], abs=1e-6)
    assert len(ours.vectors) == 2 and abs(sum(v * v for v in ours.vectors[1].values) - 1) < 1e-3 and ours.num_tokens > 3
    assert len(client.Embed(inputs=[{"text": "a cat"}], dimensions=16).vectors[0].values) == 16
    assert code_of(client.Embed, inputs=[{"text": "x"}], dimensions=10**6)[0] == "INVALID_ARGUMENT"


def test_prompt_logprobs_pass_rows(pair):
    status, answer = pair.post("/v1/completions", {"prompt": PROMPT, "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0})
    logprobs = answer["choices"][0]["logprobs"]["token_logprobs"]
    assert status == 200 and logprobs[0] is None and all(p <= 0 for p in logprobs[1:]) and len(logprobs) > 5


def test_model_health_reflection(client, model):
    info = client.GetModelInfo()
    assert (info.name, info.architecture, info.session_len, info.vocab_size) == ("smollm2", "llama", 2048, 49152) and info.eos_token_ids
    files = list(client.GetModelFiles())
    assert files[0].path == "model.gguf" and files[0].data.startswith(b"GGUF") and sum(len(f.data) for f in files) < 8 << 20
    assert client.health() == client.health("turgo.v1.Engine") == 1
    listed = client.services()
    assert b"turgo.v1.Engine" in listed and b"grpc.health.v1.Health" in listed


def test_sessions(client):
    first = client.Generate(text="One, two,", session_id="s", **GREEDY)
    known = list(client.GetSession(id="s").ids)
    assert len(known) >= first.num_input_tokens and [s.id for s in client.ListSessions().sessions] == ["s"]
    more = client.Generate(token_ids={"ids": [known[0]]}, session_id="s", max_new_tokens=2)
    assert more.stats.history_tokens >= len(known) and more.stats.cached_tokens > 0
    client.ForkSession(session={"id": "s"}, new_id="t")
    file = client.ExportSession(id="t")
    client.EndSession(id="t")
    assert code_of(client.GetSession, id="t")[0] == "NOT_FOUND"
    client.ImportSession(session={"id": "u"}, data=file.data)
    assert list(client.GetSession(id="u").ids) == list(client.GetSession(id="s").ids)
    assert code_of(client.ImportSession, session={"id": "v"}, data=file.data[:-3])[0] == "DATA_LOSS"
    assert code_of(client.GetSession, id="s", owner="another")[0] == "NOT_FOUND"
    for one in ("s", "u"):
        client.EndSession(id=one)


def test_closing_the_call_cancels(client):
    long = {"text": PROMPT, "max_new_tokens": 2000, "ignore_eos": True}
    call = client.GenerateStream(**long)
    next(call), next(call)
    call.cancel()
    until(lambda: free(client))
    future = client.Generate(wait=False, **long)
    until(lambda: client.GetStats().num_running == 1)
    future.cancel()
    until(lambda: free(client))


def test_deadlines(client):
    code, _ = code_of(client.GenerateStream, text=PROMPT, max_new_tokens=2000, ignore_eos=True, timeout=0.5)
    assert code == "DEADLINE_EXCEEDED"
    until(lambda: free(client))
    said = client.Generate(text=PROMPT, max_new_tokens=2000, ignore_eos=True, max_seconds=1)
    assert said.finish == 5 and 0 < len(said.tokens) < 2000  # TIMEOUT, with what was said by then


def test_keys(start_engine, start_over):
    engine = start_engine("--api-keys", "k1", "--api-keys", "k2", "--session-len", "512")
    client = Client(engine.address)
    k1, k2 = ([("authorization", f"Bearer {k}")] for k in ("k1", "k2"))
    assert code_of(client.Tokenize, text="x")[0] == code_of(client.GenerateStream, text="x")[0] == "UNAUTHENTICATED"
    assert code_of(client.Tokenize, text="x", metadata=[("authorization", "Bearer k3")])[0] == "UNAUTHENTICATED"
    assert client.health() == 1
    client.Generate(text="One", session_id="s", max_new_tokens=1, metadata=k1)
    assert code_of(client.GetSession, id="s", metadata=k2)[0] == "NOT_FOUND" and client.GetSession(id="s", metadata=k1).ids
    server = start_over(engine, "--engine-key", "k1")
    assert server.post("/v1/completions", {"prompt": "x", "max_tokens": 1})[0] == 200
    server.stop()
    assert engine.stop() == 0


ASK = {"prompt": PROMPT, "max_tokens": 6, "temperature": 0}


def test_a_killed_engine_is_told_and_found_again(start_engine, start_over):
    engine = start_engine("--session-len", "4096")
    server = start_over(engine)
    said = server.post("/v1/completions", ASK)[1]["choices"][0]["text"]
    answers = []
    long = {**ASK, "max_tokens": 4000, "ignore_eos": True}
    asking = [threading.Thread(target=lambda body: answers.append(server.post("/v1/completions", body)), args=(body,))
              for body in (long, {**long, "stream": True})]
    for one in asking:
        one.start()
    until(lambda: 'vllm:num_requests_running{engine="0",model_name="smollm2"} 2' in server.get("/metrics")[1])
    until(lambda: metrics_of(server)["vllm:generation_tokens_total"] > 20)
    engine.kill()
    for one in asking:
        one.join(timeout=60)
        assert not one.is_alive(), "a request hangs"
    (status, body), (stream_status, text) = sorted(answers, key=lambda a: a[0], reverse=True)
    assert status == 503 and body["error"]["code"] == "engine_away"
    assert stream_status == 200 and '"engine_away"' in text and "[DONE]" not in text
    status, body = server.post("/v1/completions", ASK)
    assert status == 503 and body["error"]["code"] == "engine_away"
    until(lambda: server.get("/readyz")[0] == 503)
    assert server.get("/health")[0] == 503 and server.get("/livez")[0] == 200
    assert "can not be reached" in server.get("/readyz")[1]["error"]["message"]
    metrics = server.get("/metrics")[1]
    assert 'turgo:engine_up{model_name="smollm2"} 0' in metrics and "num_requests_running" not in metrics
    assert server.post("/tokenize", {"prompt": "x"})[0] == 200  # text needs no engine
    again = start_engine("--session-len", "4096", port=engine.port)
    until(lambda: server.get("/readyz")[0] == 200)
    assert server.post("/v1/completions", ASK)[1]["choices"][0]["text"] == said
    assert 'turgo:engine_up{model_name="smollm2"} 1' in server.get("/metrics")[1]
    again.kill()
    assert server.stop() == 0


def test_a_stopped_engine_hangs_nobody(start_engine, start_over):
    engine = start_engine("--session-len", "4096")
    server = start_over(engine)
    answers, broken = [], []
    begun = threading.Thread(target=lambda: broken.append(server.post("/v1/completions", {**ASK, "max_tokens": 4000, "ignore_eos": True, "stream": True})[1]))
    begun.start()
    said = metrics_of(server)["vllm:generation_tokens_total"]
    until(lambda: metrics_of(server)["vllm:generation_tokens_total"] > said + 2)
    engine.process.send_signal(signal.SIGSTOP)
    asking = [threading.Thread(target=lambda path=path, body=body: answers.append(server.post(path, body)[0]))
              for path, body in (("/v1/completions", ASK), ("/v1/completions", {**ASK, "stream": True}), ("/v1/embeddings", {"input": "x"}))]
    for one in asking:
        one.start()
    for one in asking:
        one.join(timeout=60)
        assert not one.is_alive(), "a request hangs"
    assert set(answers) == {503}
    begun.join(timeout=60)
    assert not begun.is_alive() and '"engine_away"' in broken[0] and "[DONE]" not in broken[0]
    assert server.get("/readyz")[0] == 503
    engine.process.send_signal(signal.SIGCONT)
    until(lambda: server.get("/readyz")[0] == 200)
    assert server.post("/v1/completions", ASK)[0] == 200
    server.stop()
    assert engine.stop() == 0


def test_a_silent_engine_holds_no_workers(start_engine, start_over):
    """Requests for a silent engine wait for it, more of them than the server has workers; those for another one do not."""
    silent, other = start_engine("--session-len", "512"), start_engine("--session-len", "512", name="other")
    server = start_over(silent, "--engine", other.url)
    for name in ("smollm2", "other"):
        assert server.post("/v1/completions", {**ASK, "model": name})[0] == 200
    silent.process.send_signal(signal.SIGSTOP)
    answers = []
    asking = [threading.Thread(target=lambda: answers.append(server.post("/v1/completions", {**ASK, "model": "smollm2"})[0])) for _ in range(8)]
    for one in asking:
        one.start()
    until(lambda: len(server.get("/v1/models")[1]["data"]) == 2)
    assert server.post("/v1/completions", {**ASK, "model": "other", "max_tokens": 2})[0] == 200
    assert answers == [], "the other model has waited for the silent one"
    for one in asking:
        one.join(timeout=60)
    assert answers == [503] * 8
    silent.process.send_signal(signal.SIGCONT)
    until(lambda: server.post("/v1/completions", {**ASK, "model": "smollm2"})[0] == 200)
    server.stop()
    assert silent.stop() == other.stop() == 0


def test_a_server_waits_for_its_engine(start_engine, start_over):
    engine = start_engine("--session-len", "512")
    engine.kill()
    server = start_over(engine)
    assert server.post("/v1/completions", ASK)[0] == 503 and server.get("/readyz")[0] == 503 and server.get("/livez")[0] == 200
    again = start_engine("--session-len", "512", port=engine.port)
    until(lambda: server.get("/readyz")[0] == 200)
    assert server.post("/v1/completions", ASK)[0] == 200
    server.stop()
    again.kill()


def test_another_model_is_refused(start_engine, start_over):
    engine = start_engine("--session-len", "512")
    server = start_over(engine)
    engine.kill()
    other = start_engine(model=str(ROOT / "tests/goldens/models/llama_gqa"), port=engine.port)
    until(lambda: "another model" in str(server.get("/readyz")[1]))
    assert server.post("/v1/completions", ASK)[0] == 503
    other.kill()
    server.stop()


def test_a_draining_engine_ends_what_it_has_begun(start_engine, start_over):
    engine = start_engine("--session-len", "4096")
    server = start_over(engine)
    client = Client(engine.address)
    call = client.GenerateStream(text=PROMPT, max_new_tokens=150, ignore_eos=True)
    next(call), next(call)
    engine.process.terminate()
    until(lambda: client.health() == 2, 5)  # NOT_SERVING
    code, text = code_of(client.GenerateStream, text=PROMPT)
    assert code == "UNAVAILABLE" and "shutting down" in text
    until(lambda: server.get("/readyz")[0] == 503)
    events = list(call)
    assert events[-1].finish == LENGTH and engine.process.wait(timeout=20) == 0
    engine.process.stdout.close()
    server.stop()


def test_bad_addresses_and_keys_are_told(turgo, grpc_program, model):
    for flags, words in ((["--engine", "http://localhost:1"], "expected grpc://HOST:PORT"), (["--engine", "grpc://nowhere"], "expected grpc://HOST:PORT")):
        done = subprocess.run([grpc_program, "serve", "api_server", *flags], capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and words in done.stderr and done.stderr.count("\n") == 1
    busy = subprocess.run([grpc_program, "serve", "engine", model, "--grpc-host", "999.1.1.1", "--session-len", "512"], capture_output=True,
                          text=True, timeout=60)
    assert busy.returncode != 0 and "can not listen" in busy.stderr


def test_a_build_without_grpc_says_so(turgo, model):
    if "expected grpc://" in turgo("serve", "api_server", "--engine", "http://localhost:1").stderr:
        pytest.skip("this program has gRPC")
    for arguments in (["serve", "engine", model], ["serve", "api_server", "--engine", "grpc://localhost:1"]):
        done = turgo(*arguments)
        assert done.returncode != 0 and "no gRPC" in done.stderr


def test_the_files_of_a_folder_pass_too(start_engine, start_over, grpc_program, tmp_path):
    folder = tmp_path / "tiny"
    shutil.copytree(ROOT / "tests/goldens/models/llama_gqa", folder, ignore=shutil.ignore_patterns("golden.json", "logits.npy"))
    letters = ["<unk>", "<s>", "</s>", *(chr(c) for c in range(ord("A"), ord("z") + 1)), " ", ",", "."]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({c: i for i, c in enumerate(letters[:64])}, [], unk_token="<unk>"))
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }},{% endfor %}")
    engine = start_engine(model=str(folder))
    apart, together = start_over(engine), Server(grpc_program, str(folder))
    for path, body in (("/v1/completions", {"prompt": "Hello", "max_tokens": 20, "temperature": 0, "ignore_eos": True}),
                       ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9, "temperature": 0, "ignore_eos": True})):
        (status, one), (other_status, other) = apart.post(path, body), together.post(path, body)
        assert status == other_status == 200 and one["choices"] == other["choices"] and one["usage"] == other["usage"]
    assert apart.post("/v1/embeddings", {"input": "Hi"})[1]["data"] == together.post("/v1/embeddings", {"input": "Hi"})[1]["data"]
    assert apart.stop() == together.stop() == engine.stop() == 0
