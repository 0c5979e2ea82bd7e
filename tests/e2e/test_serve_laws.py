"""What LMDeploy's own tests of its server hold to be true (autotest and tests of 0.3.0 and later), beside what
test_serve_clients.py has: shapes, stops, special tokens, penalties, chance, counts, prefill, and a mixed load."""
import concurrent.futures
import json
import os

import pytest

CHAT = "/v1/chat/completions"


def user(text):
    return [{"role": "user", "content": text}]


def chat(server, text, **more):
    status, answer = server.post(CHAT, {"messages": user(text), "temperature": 0, "max_tokens": 40, **more})
    assert status == 200, answer
    return answer


def events(text):
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_shapes(server):
    whole = chat(server, "Hi, pls intro yourself")
    choice, usage = whole["choices"][0], whole["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert choice["finish_reason"] in ("stop", "length") and choice["message"]["role"] == "assistant" and whole["model"] == "smollm2"
    chunks = events(server.post(CHAT, {"messages": user("Hi, pls intro yourself"), "temperature": 0, "max_tokens": 40, "stream": True})[1])
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert not chunks[-1]["choices"][0]["delta"].get("content") and chunks[-1]["choices"][0]["finish_reason"] == choice["finish_reason"]
    assert all(chunk["object"] == "chat.completion.chunk" and chunk["choices"][0]["finish_reason"] is None for chunk in chunks[:-1])


@pytest.mark.parametrize("stop", [" is", [" is", " are"], ["上海", " is"], ["。", ",", " the"]], ids=str)
def test_a_stop_is_not_in_the_text(server, stop):
    words = [stop] if isinstance(stop, str) else stop
    free = chat(server, "What is the sea?")["choices"][0]["message"]["content"]
    cut = min((free.index(word) for word in words if word in free), default=None)
    got = chat(server, "What is the sea?", stop=stop)["choices"][0]
    assert got["message"]["content"] == free[:cut] and not any(word in got["message"]["content"] for word in words)
    assert cut is None or got["finish_reason"] == "stop"


def test_special_tokens_are_shown_if_asked_for(server):
    end = server.post("/tokenize", {"prompt": "<|im_end|>"})[1]["tokens"]
    assert len(end) == 1
    body = {"prompt": "<|im_start|>user\nSay hi<|im_end|>\n<|im_start|>assistant\n", "max_tokens": 4, "temperature": 0, "ignore_eos": True,
            "logit_bias": {str(end[0]): 100}}
    hidden = server.post("/v1/completions", body)[1]["choices"][0]["text"]
    shown = server.post("/v1/completions", {**body, "skip_special_tokens": False})[1]["choices"][0]["text"]
    assert "<|im_end|>" in shown and "<|im_" not in hidden


def test_repetition_penalty(server):
    def words(penalty):
        text = chat(server, "Tell me about the sea.", repetition_penalty=penalty, max_tokens=80, ignore_eos=True)["choices"][0]["message"]["content"]
        return len(set(text.split())) / max(len(text.split()), 1)

    assert words(0.1) < 0.35 < 0.6 < words(1.3)


def test_a_small_top_p_leaves_no_choice(server):
    texts = {chat(server, "Name a city.", temperature=1.2, top_p=0.01)["choices"][0]["message"]["content"] for _ in range(3)}
    assert len(texts) == 1


def test_seeds(server):
    def text(seed):
        return chat(server, "Name a city.", temperature=1.5, seed=seed)["choices"][0]["message"]["content"]

    assert text(1) == text(1) and len({text(seed) for seed in range(5)}) > 1


def test_unknown_model(server):
    for path, body in ((CHAT, {"messages": user("x")}), ("/v1/completions", {"prompt": "x"}), ("/v1/embeddings", {"input": "x"}),
                       ("/v1/chat/interactive", {"prompt": "x"}), ("/v1/messages", {"messages": user("x"), "max_tokens": 1})):
        status, answer = server.post(path, {**body, "model": "error"})
        assert status == 404 and "error" in answer, (path, answer)


@pytest.mark.parametrize("count", [1, 5, 33])
def test_counts(server, count):
    """max_tokens is never overshot, and is reached where nothing ends an answer before."""
    answer = chat(server, "Tell me a story.", max_tokens=count, ignore_eos=True)
    assert answer["usage"]["completion_tokens"] == count and answer["choices"][0]["finish_reason"] == "length"
    status, answer = server.post("/v1/chat/interactive", {"prompt": "Tell me a story.", "request_output_len": count, "ignore_eos": True})
    assert status == 200 and answer["tokens"] == count and answer["finish_reason"] == "length"
    status, answer = server.post("/generate", {"prompt": "Once", "max_tokens": count, "ignore_eos": True})
    assert len(answer["output_ids"]) == count
    least = chat(server, "Say hi", max_tokens=60, min_tokens=count)
    assert least["usage"]["completion_tokens"] >= count


def test_a_long_input(server):
    """The interactive route answers as LMDeploy does, OpenAI's as OpenAI does."""
    long = "Hello, " * 10_000
    status, answer = server.post("/v1/chat/interactive", {"prompt": long})
    assert status == 200 and (answer["text"], answer["finish_reason"]) == ("", "length")
    status, answer = server.post(CHAT, {"messages": user(long)})
    assert status == 400 and answer["error"]["code"] == "context_length_exceeded"


def test_encode_laws(server):
    def encode(text, **more):
        return server.post("/v1/encode", {"input": text, **more})[1]

    for text in ("Hello, the sea!", "上海是", "🙂 größe", ""):
        plain, marked = encode(text, add_bos=False), encode(text, add_bos=True)
        assert plain["length"] == len(plain["input_ids"]) and marked["length"] == plain["length"] + 1
    one = encode(" hello world", add_bos=False)["input_ids"]
    assert encode(" hello world" * 100, add_bos=False)["input_ids"] == one * 100
    chatted = encode("Hi", do_preprocess=True)
    assert chatted["length"] > encode("Hi")["length"]


def test_batches_keep_their_order(server):
    prompts = [f"{n}, {n + 1}, {n + 2}," for n in (1, 20, 300, 4000, 7)]
    body = {"temperature": 0, "max_tokens": 6}
    batch = server.post("/v1/completions", {**body, "prompt": prompts})[1]["choices"]
    alone = [server.post("/v1/completions", {**body, "prompt": prompt})[1]["choices"][0]["text"] for prompt in prompts]
    assert [choice["index"] for choice in batch] == list(range(5)) and [choice["text"] for choice in batch] == alone


def test_a_session_answers_one_at_a_time(server):
    body = {"prompt": "Tell me a story.", "session_id": 77, "interactive_mode": True, "request_output_len": 120, "ignore_eos": True}
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: server.post("/v1/chat/interactive", body), range(2)))
    assert sorted(status for status, _ in answers) == [200, 409]
    server.post("/v1/chat/interactive", {"prompt": "", "session_id": 77, "interactive_mode": False, "request_output_len": 0})


def test_the_assistant_may_be_begun(server):
    """What the last message of the assistant begins, the answer continues."""
    begun = user("Count from 1 to 9.") + [{"role": "assistant", "content": "1, 2, 3, 4,"}]
    status, answer = server.post(CHAT, {"messages": begun, "continue_final_message": True, "temperature": 0, "max_tokens": 6})
    text = answer["choices"][0]["message"]["content"]
    assert status == 200 and text.startswith(" 5, 6")
    status, message = server.post("/v1/messages", {"messages": begun, "temperature": 0, "max_tokens": 6})
    assert message["content"][0]["text"] == text
    count = server.post("/v1/messages/count_tokens", {"messages": begun})[1]["input_tokens"]
    assert count == answer["usage"]["prompt_tokens"]
    for fields in ({"messages": user("x")}, {"messages": begun, "add_generation_prompt": True}, {"messages": begun[1:]}):
        status, answer = server.post(CHAT, {"continue_final_message": True, **fields})
        assert status == 400, answer


def test_usage_with_every_chunk(server):
    body = {"messages": user("Count to 9."), "max_tokens": 9, "ignore_eos": True, "stream": True,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    counts = [chunk["usage"]["completion_tokens"] for chunk in events(server.post(CHAT, body)[1])]
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == 9


def test_mixed_load(server):
    """LMDeploy's issue 1232: many threads over both routes at once, and all end (TURGO_FULL: 500 requests by 256 threads)."""
    requests, threads = (500, 256) if os.environ.get("TURGO_FULL") else (96, 48)

    def ask(n):
        if n % 2:
            return server.post(CHAT, {"messages": user(f"Number {n}?"), "max_tokens": 8, "stream": n % 4 == 1}, timeout=300)[0]
        return server.post("/v1/chat/interactive", {"prompt": f"Number {n}?", "session_id": 1000 + n, "request_output_len": 8,
                                                    "interactive_mode": n % 4 == 0}, timeout=300)[0]

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        assert set(pool.map(ask, range(requests))) == {200}
    for n in range(0, requests, 4):
        server.post("/v1/chat/interactive", {"prompt": "", "session_id": 1000 + n, "interactive_mode": False, "request_output_len": 0})
    assert [one for one in server.get("/v1/sessions")[1]["data"] if int(one["id"]) >= 1000] == []
