"""What Python can do wrong: an exception in one line that says expected, got and what to do; never an abort."""
import asyncio
import gc
import os
import subprocess
import threading
import time

import pytest

turgo = pytest.importorskip("turgo", reason="the package is not installed; ./run test-python does")


@pytest.fixture(scope="module")
def pipe(model):
    with turgo.pipeline(model) as one:
        yield one


def assert_refused(call, *words, kind=None):
    with pytest.raises(kind or turgo.TurgoError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400, text
    for word in words:
        assert word in text, text


@pytest.mark.parametrize("prompt, words", [
    (None, ["expected text", "NoneType"]), (7, ["expected text", "int"]), (b"bytes", ["bytes"]), (True, ["bool"]),
    ("\ud800", ["lone surrogate"]), (["ok", None], ["prompts[1]", "NoneType"]), ([["nested", "text"]], ["prompts[0]"]),
    ([{"content": "no role"}], ["role"]), ([{"role": "user", "content": 3}], ["expected text, got int"]),
    ([{"role": "user", "content": [{"type": "image_url"}]}], ["image_url", "not built yet"]),
    (("look", object()), ["pictures are not built yet"]), ([1, 2, -3], ["[2]", "-3"]), ([1, "2"], ["[1]"]),
    ([1, 2.5], ["[1]", "2.5"]), ([2**40], ["[0]"]), ([10**7], ["10000000"]), ({}, ["dict"]), ([[]], ["empty list"]),
    ({"role": "user"}, ["dict"]), (["a", b"b"], ["prompts[1]", "bytes"]),
])
def test_prompts(pipe, prompt, words):
    assert_refused(lambda: pipe(prompt, max_new_tokens=2), *words)
    assert_refused(lambda: list(pipe.stream_infer(prompt, max_new_tokens=2)), *words)
    assert pipe("Hi", max_new_tokens=2).generate_token_len  # and it still works


def test_arrays(pipe):
    import numpy
    for wrong in (numpy.zeros(4, numpy.float32), numpy.zeros(4, bool), numpy.array(["a"]), numpy.array(3),
                  numpy.zeros((2, 2, 2), int), numpy.array([None])):
        assert_refused(lambda: pipe(wrong), "one-dimensional array of whole numbers", str(wrong.dtype))
    assert_refused(lambda: pipe.get_logits(numpy.zeros(4)), "float64")
    for function in (pipe.get_logits, pipe.get_hidden_states, pipe.get_ppl):
        for wrong in (None, "text", [], b"x", 3, [[]], [1, None], [10**8, 1], [-1, 2]):
            assert_refused(lambda: function(wrong))
    assert_refused(lambda: pipe.get_ppl([1]), "at least two")
    assert_refused(lambda: pipe.get_logits([1] * 100_000), "context", kind=turgo.errors.TooLongError)


@pytest.mark.parametrize("options, words", [
    ({"temperature": "hot"}, ["temperature: expected a number"]), ({"top_p": 2}, ["top_p", "0 to 1"]),
    ({"top_k": 1.5}, ["top_k", "whole"]), ({"max_new_tokens": -1}, ["max_new_tokens"]), ({"max_new_tokens": True}, ["max_new_tokens"]),
    ({"temprature": 1}, ["did you mean 'temperature'"]), ({"stop": [""]}, ["stop"]), ({"stop": [1]}, ["stop"]),
    ({"seed": -1}, ["seed"]), ({"seed": 2**70}, ["64 bits"]), ({"n": 2}, ["expected 1"]), ({"temperature": float("nan")}, ["finite"]),
    ({"bad_words": ["extraordinarily long word"]}, ["one token"]), ({"bad_words": [3]}, ["bad_words"]),
    ({"stop_token_ids": ["x"]}, ["stop_token_ids"]), ({"stop_token_ids": 5}, ["stop_token_ids"]), ({"logit_bias": {"a": 1}}, ["logit_bias"]),
    ({"logit_bias": [1]}, ["logit_bias"]), ({"max_seconds": -1}, ["max_seconds"]), ({"priority": 1.5}, ["priority"]),
    ({"response_format": {"type": "poem"}}, ["poem"]), ({"response_format": 3}, ["response_format"]),
    ({"response_format": {"type": "regex_schema", "regex_schema": "(("}}, ["response_format"]), ({"adapter_name": "x"}, ["not built yet"]),
    ({"stop": ["\udfff"]}, ["surrogate"]),
])
def test_generation_options(pipe, options, words):
    assert_refused(lambda: pipe("Hi", **options), *words)


def test_engine_options(model, tmp_path):
    open_ = turgo.pipeline
    assert_refused(lambda: open_("/no/such/model"), "/no/such/model", kind=FileNotFoundError)
    for wrong in (None, 3, b"/x", ["x"]):
        for opens in (open_, turgo.Tokenizer, turgo.serve):
            assert_refused(lambda: opens(wrong), "model_path: expected a path", kind=TypeError)
    assert_refused(lambda: open_("/x\udfff"), "surrogate")
    (tmp_path / "text.gguf").write_text("no model")
    assert_refused(lambda: open_(tmp_path / "text.gguf"), "text.gguf")
    assert_refused(lambda: open_(tmp_path), str(tmp_path))
    assert_refused(lambda: open_(model, quant_policy=3), "quant_policy", "3", kind=ValueError)
    assert_refused(lambda: open_(model, sesion_len=3), "did you mean 'session_len'")
    assert_refused(lambda: open_(model, backend_config={"tp": 1}), "backend_config: expected an EngineConfig, got dict")
    assert_refused(lambda: open_(model, chat_template_config="chatml"), "chat_template_config")
    assert_refused(lambda: turgo.EngineConfig(session_len="long"), "session_len: expected a whole number")
    assert_refused(lambda: turgo.EngineConfig(enable_prefix_caching=3), "enable_prefix_caching")
    assert_refused(lambda: turgo.EngineConfig(use_logn_attn=True), "not built yet", kind=NotImplementedError)
    assert_refused(lambda: open_(model, model_format="awq"), "model_format awq: expected such a model")
    assert_refused(lambda: turgo.ChatTemplateConfig.from_json("{no"), "JSON")
    assert_refused(lambda: turgo.ChatTemplateConfig.from_json('{"sytem": "x"}'), "sytem")
    assert_refused(lambda: turgo.ChatTemplateConfig.from_json("/no/file.json"), "/no/file.json")
    assert_refused(lambda: turgo.client("localhost:23333"), "http://")
    assert_refused(lambda: turgo.client("http://127.0.0.1:1").available_models, "no server answers")
    with pytest.warns(UserWarning, match="one engine"):
        turgo.pipeline(model, backend_config=turgo.PytorchEngineConfig(session_len=128)).close()


def test_tokenizer(pipe):
    encode, decode = pipe.tokenizer.encode, pipe.tokenizer.decode
    assert_refused(lambda: encode("\ud800"), "lone surrogate")
    for wrong in (None, 3, b"bytes", ["text"]):
        assert_refused(lambda: encode(wrong), "text: expected str", type(wrong).__name__)
    for wrong in (None, "abc", [1.5], [None], [-1], [2**40], [10**7], {3}):
        assert_refused(lambda: decode(wrong), "ids")


def test_too_long(model):
    with turgo.pipeline(model, session_len=32) as small:
        assert_refused(lambda: small("many words " * 100), "32", kind=turgo.errors.TooLongError)
        assert_refused(lambda: small(["Hi", "many words " * 100]), "prompts[1]", kind=turgo.errors.TooLongError)


def test_closed(model):
    pipe = turgo.pipeline(model)
    tokenizer, chat = pipe.tokenizer, pipe.session()
    chat.ask("Hi", max_new_tokens=2)
    stream = pipe.stream_infer("Hi", max_new_tokens=5)
    next(stream)
    pipe.close()
    pipe.close()
    assert pipe.closed and "closed" in repr(pipe) and tokenizer.encode("Hi")
    assert_refused(lambda: list(stream), "closed", kind=turgo.errors.CancelledError)
    for use in (lambda: pipe("Hi"), lambda: list(pipe.stream_infer("Hi")), lambda: pipe.get_logits([1]), pipe.stats,
                lambda: pipe.chat("Hi"), lambda: pipe.prompt_ids("Hi"), lambda: chat.ask("And?"), chat.fork,
                lambda: asyncio.run(anext(pipe.generate("Hi")))):
        assert_refused(use, "the pipeline is closed")
    chat.close()


def test_close_while_it_answers(model):
    pipe, caught = turgo.pipeline(model), []

    def ask():
        try:
            pipe(["Count."] * 3, max_new_tokens=4000, ignore_eos=True)
        except turgo.TurgoError as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while pipe.stats()["num_running"] < 3:
        time.sleep(0.01)
    pipe.close()
    thread.join(10)
    assert not thread.is_alive() and "closed" in str(caught[0])


def test_an_exception_in_the_loop_ends_the_answer(pipe):
    with pytest.raises(ZeroDivisionError):
        for _ in pipe.stream_infer("Count.", max_new_tokens=4000, ignore_eos=True):
            1 / 0
    gc.collect()
    deadline = time.monotonic() + 5
    while pipe.stats()["num_running"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pipe.stats()["num_running"] == 0


def test_fork(pipe):
    stream = pipe.stream_infer("Count.", max_new_tokens=500, ignore_eos=True)
    next(stream)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            texts = []
            for call in (lambda: pipe("Hi"), lambda: next(stream), pipe.stats, pipe.session_len.__str__):
                try:
                    call()
                except NotImplementedError as error:
                    texts.append(str(error))
            os.write(write, "|".join(texts).encode())
            del stream
            gc.collect()
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    texts = os.read(read, 100_000).decode().split("|")
    os.close(read)
    assert len(texts) == 3 and all("fork" in text and "spawn" in text for text in texts)
    stream.close()
    assert pipe("Hi", max_new_tokens=2).generate_token_len


def test_pickle(pipe):
    import pickle
    with pytest.raises(TypeError, match="can not be pickled"):
        pickle.dumps(pipe)


ENDINGS = {
    "open": "pipe = turgo.pipeline(path); pipe('Hi', max_new_tokens=2)",
    "in a cycle": "pipe = turgo.pipeline(path); pipe.me = pipe; pipe('Hi', max_new_tokens=2)",
    "streaming": "pipe = turgo.pipeline(path); s = pipe.stream_infer('Count', max_new_tokens=900, ignore_eos=True); next(s)",
    "daemon": "pipe = turgo.pipeline(path); import threading, time; threading.Thread(target=lambda: pipe('Count', "
              "max_new_tokens=900, ignore_eos=True), daemon=True).start(); time.sleep(0.2)",
    "fork": "import os; pipe = turgo.pipeline(path); pid = os.fork(); print('x') if pid == 0 else os.waitpid(pid, 0)",
    "sys.exit": "import sys; pipe = turgo.pipeline(path); pipe('Hi', max_new_tokens=2); sys.exit(0)",
    "server": "import sys; s = turgo.serve(path, server_port=0); s.available_models",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_interpreter_ends_well(package_python, model, ending):
    code = f"import turgo\npath = {model!r}\n{ENDINGS[ending]}"
    done = subprocess.run([package_python, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and (ending == "daemon" or "Traceback" not in done.stderr), done.stderr
