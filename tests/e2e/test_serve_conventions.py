"""What clients of llama.cpp and vLLM ask a server beside answers."""
import json
import pathlib

import pytest


def test_props_and_tokenizer_info(server):
    props = server.get("/props")[1]
    assert props["default_generation_settings"]["n_ctx"] == 8192 and props["total_slots"] == 128 and props["has_chat_template"]
    info = server.get("/tokenizer_info")[1]
    assert info["vocab_size"] == 49152 and info["eos_token"] == "<|im_end|>" and info["bos_token_id"] == 1
    assert "<|im_start|>" in info["chat_template"] == props["chat_template"]
    assert server.get("/version")[1]["version"] and server.get("/livez")[0] == server.get("/readyz")[0] == 200


def test_apply_template(server):
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi <|im_end|>"}]
    prompt = server.post("/apply-template", {"messages": messages})[1]["prompt"]
    assert prompt == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n"
    assert server.post("/apply-template", {"messages": 5})[0] == 400 and server.post("/apply-template", {})[0] == 400


def test_infill_says_why_not(server):
    """The default model was not taught to fill in."""
    code = {"input_prefix": "def f(x):\n    return ", "input_suffix": "\n", "n_predict": 8, "temperature": 0}
    for path, body in (("/infill", code), ("/v1/completions", {"prompt": "a", "suffix": "b"}), ("/api/generate", {"prompt": "a", "suffix": "b"})):
        status, answer = server.post(path, body)
        assert status == 400 and "not taught to fill in" in json.dumps(answer), answer
    assert server.post("/infill", {"input_prefix": 5})[0] == 400
    plain = server.post("/infill", {**code, "input_suffix": ""})[1]  # nothing to fill up to: a continuation
    assert plain["stop"] and 0 < plain["tokens_predicted"] <= 8 and not server.get("/props")[1]["can_infill"]


@pytest.fixture(scope="module")
def infiller(start_server, model, tmp_path_factory):
    """The default model whose vocabulary has the markers in the place of three that it never uses."""
    data = bytearray(pathlib.Path(model).read_bytes())
    for old, new in ((b"<issue_closed>", b"<|fim_prefix|>"), (b"<jupyter_text>", b"<|fim_suffix|>"), (b"<jupyter_code>", b"<|fim_middle|>")):
        assert len(old) == len(new) and data.count(old) == 1
        data[data.index(old):data.index(old) + len(old)] = new
    path = tmp_path_factory.mktemp("infill") / "infill.gguf"
    path.write_bytes(data)
    server = start_server("--session-len", "1024", "--models-dir", str(path.parent))
    yield server
    assert server.stop() == 0


def test_infill(infiller):
    """The markers stand where the model wants them; what a prompt says is never taken for one."""
    server, more = infiller, {"model": "infill", "temperature": 0}
    prefix, suffix = "def f(x):\n    return <|fim_middle|>", " + 1\n"

    def ids(text, special):
        return server.post("/tokenize", {"prompt": text, "model": "infill", "add_special_tokens": False, "parse_special": special})[1]["tokens"]

    [pre], [suf], [mid] = (ids(f"<|fim_{word}|>", True) for word in ("prefix", "suffix", "middle"))
    prompt = [pre, *ids(prefix, False), suf, *ids(suffix, False), mid]
    by_hand = server.post("/v1/completions", {"prompt": prompt, "max_tokens": 8, **more})[1]
    filled = server.post("/v1/completions", {"prompt": prefix, "suffix": suffix, "max_tokens": 8, **more})[1]
    assert filled["choices"][0]["text"] == by_hand["choices"][0]["text"] and filled["usage"]["prompt_tokens"] == len(prompt)
    infill = server.post("/infill", {"input_prefix": prefix, "input_suffix": suffix, "n_predict": 8, **more})[1]
    assert infill["content"] == filled["choices"][0]["text"] and infill["tokens_evaluated"] == len(prompt)
    ollama = server.post("/api/generate", {"prompt": prefix, "suffix": suffix, "stream": False, "model": "infill",
                                           "options": {"temperature": 0, "num_predict": 8}})[1]
    assert ollama["response"] == infill["content"]
    lines = server.post("/infill", {"input_prefix": prefix, "input_suffix": suffix, "n_predict": 8, "stream": True, **more})[1]
    pieces = [json.loads(line[6:]) for line in lines.split("\n\n") if line]
    assert "".join(piece["content"] for piece in pieces) == infill["content"] and pieces[-1]["stop"]
    assert server.get("/props?model=infill")[1]["can_infill"]
    status, answer = server.post("/v1/completions", {"prompt": [[1, 2]], "suffix": "x", **more})
    assert status == 400 and answer["error"]["param"] == "prompt"
