"""What clients of llama.cpp and vLLM ask a server beside answers."""


def test_props_and_tokenizer_info(server):
    props = server.get("/props")[1]
    assert props["default_generation_settings"]["n_ctx"] == 8192 and props["total_slots"] == 128 and props["has_chat_template"]
    info = server.get("/tokenizer_info")[1]
    assert info["vocab_size"] == 49152 and info["eos_token"] == "<|im_end|>" and info["bos_token_id"] == 1
    assert server.get("/version")[1]["version"] and server.get("/livez")[0] == server.get("/readyz")[0] == 200


def test_apply_template(server):
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi <|im_end|>"}]
    prompt = server.post("/apply-template", {"messages": messages})[1]["prompt"]
    assert prompt == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n"
    assert server.post("/apply-template", {"messages": 5})[0] == 400 and server.post("/apply-template", {})[0] == 400


def test_infill_answers_or_says_why_not(server):
    status, answer = server.post("/infill", {"input_prefix": "def f(x):\n    return ", "input_suffix": "\n", "n_predict": 8, "temperature": 0})
    assert (status == 200 and answer["stop"] and answer["tokens_predicted"] <= 8) or (status == 400 and "suffix" in answer["error"]["message"])
    assert server.post("/infill", {"input_prefix": 5})[0] == 400
