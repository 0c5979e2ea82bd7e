"""The package turgo: calls, streams, sessions, asyncio, threads, numbers; against the program's answers."""
import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

turgo = pytest.importorskip("turgo", reason="the package is not installed; ./run test-python does")
GREEDY = {"temperature": 0, "max_new_tokens": 24}
QUESTIONS = ["What is gravity?", "Name three colours.", "上海是"]


@pytest.fixture(scope="module")
def pipe(model):
    with turgo.pipeline(model) as one:
        yield one


def test_one_and_many(pipe, turgo_answers):
    one = pipe(QUESTIONS[0], **GREEDY)
    many = pipe(QUESTIONS, turgo.GenerationConfig(**GREEDY))
    assert isinstance(one, turgo.Response) and [r.session_id for r in many] == [0, 1, 2]
    assert one.text == many[0].text == turgo_answers[0]
    assert [r.text for r in many] == turgo_answers
    assert one.finish_reason in ("stop", "length") and one.generate_token_len == len(one.token_ids) <= 24
    assert one.input_token_len == len(pipe.prompt_ids(QUESTIONS[0]))
    assert repr(one).startswith("Response(text=") and "finish_reason=" in repr(one)
    assert pipe([]) == []


@pytest.fixture(scope="module")
def turgo_answers(program, model):
    return [subprocess.run([program, "generate", model, "--prompt", q, "--temperature", "0", "--max-new-tokens", "24"],
                           capture_output=True, check=True).stdout.decode().removesuffix("\n") for q in QUESTIONS]


def test_every_kind_of_prompt_gives_the_same(pipe):
    text = pipe(QUESTIONS[0], **GREEDY).text
    message = {"role": "user", "content": QUESTIONS[0]}
    parts = {"role": "user", "content": [{"type": "text", "text": QUESTIONS[0]}]}
    ids = pipe.prompt_ids(QUESTIONS[0])
    import numpy
    array = numpy.zeros((2, len(ids)), numpy.int64)
    array[0] = ids
    strided = numpy.repeat(array[0], 2)[::2]
    strided.flags.writeable = False
    for prompt in ([message], [parts], ids, tuple(ids), array[0], strided):
        assert pipe(prompt, **GREEDY).text == text
    batch = pipe([[message], QUESTIONS[0], ids, array[0]], **GREEDY)
    assert [r.text for r in batch] == [text] * 4
    raw = pipe("The capital of France is", do_preprocess=False, **GREEDY)
    assert raw.text != text and raw.input_token_len == len(pipe.prompt_ids("The capital of France is", False))


def test_stream_is_the_whole(pipe, turgo_answers):
    texts, counts, ends = {}, {}, {}
    for piece in pipe.stream_infer(QUESTIONS, **GREEDY):
        texts[piece.session_id] = texts.get(piece.session_id, "") + piece.text
        assert piece.generate_token_len >= counts.get(piece.session_id, 0)
        counts[piece.session_id], ends[piece.session_id] = piece.generate_token_len, piece.finish_reason
    assert [texts[i] for i in range(3)] == turgo_answers and all(ends.values())


def test_leaving_a_stream_ends_it(pipe):
    for piece in pipe.stream_infer("Count to a thousand.", max_new_tokens=2000, ignore_eos=True):
        if piece.generate_token_len > 2:
            break
    gc.collect()
    deadline = time.monotonic() + 5
    while pipe.stats()["num_running"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pipe.stats()["num_running"] == 0


def test_configurations(pipe):
    config = turgo.GenerationConfig
    seeded = [pipe(QUESTIONS[0], config(random_seed=7, max_new_tokens=16)).text for _ in range(2)]
    assert seeded[0] == seeded[1]
    assert pipe(QUESTIONS[0], config(do_sample=False, max_new_tokens=24)).text == pipe(QUESTIONS[0], **GREEDY).text
    whole = pipe(QUESTIONS[0], **GREEDY).text
    word = whole.split()[3]
    cut = pipe(QUESTIONS[0], stop_words=[word], **GREEDY)
    assert cut.finish_reason == "stop" and word not in cut.text and whole.startswith(cut.text)
    banned = pipe(QUESTIONS[0], bad_words=["concept"], **GREEDY).text
    assert " concept " in whole and " concept " not in banned
    first = pipe.tokenizer.encode(whole, add_bos=False)[0]
    assert pipe(QUESTIONS[0], logit_bias={first: -1e9}, **GREEDY).token_ids[0] != first
    assert pipe(QUESTIONS[0], stop_token_ids=[pipe(QUESTIONS[0], **GREEDY).token_ids[5]], **GREEDY).generate_token_len == 5
    scored = pipe(QUESTIONS[0], logprobs=3, **GREEDY)
    assert len(scored.logprobs) == scored.generate_token_len
    assert all(i in row and len(row) >= 3 and max(row.values()) <= 0 for i, row in zip(scored.token_ids, scored.logprobs))
    assert pipe("Hi", min_new_tokens=None, request_output_len=3).generate_token_len <= 3
    assert [r.generate_token_len for r in pipe(["Hi"] * 2, [config(max_new_tokens=n, ignore_eos=True) for n in (2, 5)])] == [2, 5]


def test_json_schema(pipe):
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["n"]}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    answers = pipe(["Say a number."] * 3, response_format=form, max_new_tokens=40)
    assert all(0 <= json.loads(r.text)["n"] <= 9 for r in answers)
    assert pipe("Yes or no?", response_format={"type": "regex_schema", "regex_schema": "(yes|no)"}).text in ("yes", "no")


def test_session_equals_the_whole_conversation(pipe):
    messages, answers = [], []
    with pipe.session() as chat:
        for question in QUESTIONS[:2]:
            messages.append({"role": "user", "content": question})
            whole = pipe(messages, **GREEDY)
            answers.append(chat.ask(question, **GREEDY))
            assert answers[-1].text == whole.text
            messages.append({"role": "assistant", "content": whole.text})
        assert answers[1].cached_token_len > 30
        assert chat.history == [(q, a.text) for q, a in zip(QUESTIONS, answers)]
        other = chat.fork()
        chat.rewind()
        assert chat.ask(QUESTIONS[1], **GREEDY).text == answers[1].text
        assert "".join(p.text for p in other.stream("And why?", **GREEDY)) == other.history[-1][1] != ""
        other.close()
    with pytest.raises(turgo.TurgoError, match="closed"):
        chat.ask("Hi")
    session = pipe.chat(QUESTIONS[0], **GREEDY)
    assert pipe.chat("And why?", session, **GREEDY).response.text and len(session.history) == 2
    session.close()
    assert pipe._model.session_ids() == []


def test_asyncio(pipe, turgo_answers):
    async def ask(i, **more):
        return "".join([piece.text async for piece in pipe.generate(QUESTIONS[i], i, **GREEDY, **more)])

    async def all_at_once():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticker = asyncio.ensure_future(tick())
        got = await asyncio.gather(*[ask(i) for i in range(3)], ask(0, stream_response=False))
        ticker.cancel()
        assert ticks > 5  # the loop was free meanwhile
        return got

    assert asyncio.run(all_at_once()) == [*turgo_answers, turgo_answers[0]]

    async def stopped():
        pieces = []
        async for piece in pipe.generate("Count.", 9, max_new_tokens=2000, ignore_eos=True):
            pieces.append(piece)
            await pipe.stop_session(9)
        return pieces[-1]

    assert asyncio.run(stopped()).finish_reason == "cancelled"

    async def stateful():
        said = "".join([p.text async for p in pipe.generate(QUESTIONS[0], 5, sequence_end=False, **GREEDY)])
        more = [p async for p in pipe.generate("And why?", 5, sequence_start=False, **GREEDY)]
        messages = [{"role": "user", "content": QUESTIONS[0]}, {"role": "assistant", "content": said},
                    {"role": "user", "content": "And why?"}]
        assert "".join(p.text for p in more) == pipe(messages, **GREEDY).text

    asyncio.run(stateful())
    assert pipe._model.session_ids() == []


def test_threads(pipe, turgo_answers):
    got = {}
    threads = [threading.Thread(target=lambda i=i: got.update({i: pipe(QUESTIONS[i % 3], **GREEDY).text})) for i in range(12)]
    for thread in threads:
        thread.start()
    counted = 0
    while any(thread.is_alive() for thread in threads):  # the interpreter is free while they wait
        counted += 1
        time.sleep(0.001)
    assert counted > 5 and got == {i: turgo_answers[i % 3] for i in range(12)}


def test_more_prompts_than_the_queue_holds(model):
    with turgo.pipeline(model, max_batch_size=2, session_len=256) as small:
        answers = small(["Hi"] * 50, max_new_tokens=2, ignore_eos=True, progress=True)
        assert len(answers) == 50 and all(r.generate_token_len == 2 for r in answers)


def test_numbers(pipe, program, model, tmp_path):
    import numpy
    ids = pipe.tokenizer.encode("The capital of France is Paris.")
    logits = pipe.get_logits(ids)
    assert logits.dtype == numpy.float32 and logits.shape == (len(ids), pipe.info["vocab_size"])
    assert logits.base is not None and not logits.flags.owndata  # the engine's memory, not a copy
    assert int(logits[-3].argmax()) == int(numpy.argmax(pipe.get_logits(numpy.array(ids))[-3]))
    assert pipe.get_hidden_states(ids).shape == (len(ids), pipe.info["hidden_size"])
    row = logits.astype(numpy.float64)
    log_p = row - row.max(1, keepdims=True)
    log_p -= numpy.log(numpy.exp(log_p).sum(1, keepdims=True))
    nll = -log_p[numpy.arange(len(ids) - 1), ids[1:]].mean()
    assert abs(pipe.get_ppl(ids)[0] - nll) < 1e-9
    both = pipe.get_ppl([ids, ids[::-1]])
    assert both.shape == (2,) and both[0] == pipe.get_ppl(ids)[0] < both[1]
    (tmp_path / "text").write_text("The capital of France is Paris.")
    shown = subprocess.run([program, "eval", "ppl", model, "--text", tmp_path / "text", "--json"], capture_output=True)
    assert abs(json.loads(shown.stdout)["perplexity"] / numpy.exp(nll) - 1) < 1e-6


def test_tokenizer(pipe, model):
    one = turgo.Tokenizer(model)
    for text in ("Hello, 世界! 👍🏽", "", "  two  spaces\n\n"):
        assert one.decode(one.encode(text)) == text
    assert one.encode("<|im_start|>") == [one.encode("a<|im_start|>b")[1]] and len(one.encode("<|im_start|>", True, False)) > 1
    assert one.vocab_size == pipe.info["vocab_size"] and one("a")["input_ids"] == one.encode("a")
    assert one.eos_token_id >= 0 and "chatml" in turgo.list_models()


def test_templates(model):
    template = turgo.ChatTemplateConfig(system="S:", eosys="\n", user="Q:", eoh="\n", assistant="A:", eoa="\n",
                                        meta_instruction="be brief")
    again = turgo.ChatTemplateConfig.from_json(template.to_json())
    assert again == template
    with turgo.pipeline(model, chat_template_config=again) as pipe:
        assert pipe.tokenizer.decode(pipe.prompt_ids("why?"), skip_special_tokens=False).endswith("S:be brief\nQ:why?\nA:")


def test_server_and_client(model, pipe, turgo_answers):
    config = turgo.TurbomindEngineConfig(session_len=1024, quant_policy=8)
    with turgo.serve(model, "local", config, server_port=0, api_keys=["k"]) as server:
        assert server.available_models == ["local"]
        chunks = list(server.chat_completions_v1("local", QUESTIONS[0], stream=True, temperature=0, max_tokens=8))
        assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
        whole = next(server.chat_completions_v1("local", [{"role": "user", "content": "Hi"}], max_tokens=3))
        assert whole["usage"]["completion_tokens"] <= 3
        assert server.encode("Hi")[1] == len(server.encode("Hi")[0])
        got = [piece["text"] for piece in server.chat_interactive_v1("Hi", 3, True, stream=True, request_output_len=4)]
        assert "".join(got)
        server.end_session(3)
        with pytest.raises(turgo.TurgoError, match="key"):
            turgo.client(server.api_server_url, "wrong").available_models
        process = server.process
    assert process.poll() == 0


INTERRUPTED = """
import os, signal, sys, threading, time
import turgo
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it starts with &
pipe = turgo.pipeline(sys.argv[1])
def press():
    time.sleep(0.3)
    at.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
at = []
for call in (lambda: pipe(["Count."] * 4, max_new_tokens=4000, ignore_eos=True),
             lambda: [p for p in pipe.stream_infer("Count.", max_new_tokens=4000, ignore_eos=True)]):
    threading.Thread(target=press).start()
    try:
        call()
        sys.exit("it was not interrupted")
    except KeyboardInterrupt:
        print(f"{1000 * (time.monotonic() - at[-1]):.0f}")
while pipe.stats()["num_running"]:
    time.sleep(0.01)
assert pipe("Hi", max_new_tokens=3).generate_token_len
"""


def test_interrupt(package_python, model):
    done = subprocess.run([package_python, "-c", INTERRUPTED, model], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    print("Ctrl-C to KeyboardInterrupt, ms:", done.stdout.split())
    assert len(done.stdout.split()) == 2


def test_import_needs_nothing_heavy(package_python):
    done = subprocess.run([package_python, "-c", "import sys, turgo; print(*sys.modules)"], capture_output=True, text=True)
    assert not {"numpy", "torch", "gradio", "asyncio", "urllib.request", "PIL"} & set(done.stdout.split())


def test_options_files_are_what_the_lists_say(package_python):
    tool = os.path.join(os.path.dirname(__file__), "../../tools/make_python_options.py")
    done = subprocess.run([package_python, tool, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
