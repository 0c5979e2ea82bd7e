"""The official openai client (sync, async, streams) and LMDeploy 0.3.0's REST laws against the real model."""
import asyncio
import json

import openai
import pytest

HI = [{"role": "user", "content": "Name three colours."}]
GREEDY = {"temperature": 0, "max_tokens": 12}


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as one:
        yield one


def test_models(client):
    assert [model.id for model in client.models.list()] == ["smollm2"]


def test_chat_and_stream_agree(client):
    whole = client.chat.completions.create(model="smollm2", messages=HI, **GREEDY)
    choice = whole.choices[0]
    assert choice.message.role == "assistant" and choice.finish_reason in ("stop", "length")
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    chunks = list(client.chat.completions.create(model="smollm2", messages=HI, stream=True,
                                                 stream_options={"include_usage": True}, **GREEDY))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == choice.message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == [choice.finish_reason]
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len({c.id for c in chunks}) == 1


def test_second_time_comes_from_the_cache(client):
    messages = [{"role": "user", "content": "Count: " + " ".join(map(str, range(120)))}]
    first, second = (client.chat.completions.create(model="smollm2", messages=messages, **GREEDY) for _ in range(2))
    assert first.choices[0].message.content == second.choices[0].message.content
    assert second.usage.prompt_tokens_details.cached_tokens >= 64


def test_async_clients_at_once(server):
    async def ask():
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client:
            tasks = [client.chat.completions.create(model="smollm2", messages=HI, **GREEDY) for _ in range(6)]
            return [answer.choices[0].message.content for answer in await asyncio.gather(*tasks)]

    answers = asyncio.run(ask())
    assert len(answers) == 6 and len(set(answers)) == 1


def test_seed_and_n(client):
    def ask(seed, n=3):
        answer = client.chat.completions.create(model="smollm2", messages=HI, seed=seed, n=n, temperature=1.5, max_tokens=12)
        assert [choice.index for choice in answer.choices] == list(range(n))
        return [choice.message.content for choice in answer.choices]

    first = ask(1)
    assert first == ask(1) != ask(100)
    assert len(set(first)) > 1


def test_logprobs(client):
    answer = client.chat.completions.create(model="smollm2", messages=HI, logprobs=True, top_logprobs=3, **GREEDY)
    content = answer.choices[0].logprobs.content
    assert b"".join(bytes(token.bytes) for token in content).decode() == answer.choices[0].message.content
    for token in content:  # greedy: the chosen one is the best one
        assert len(token.top_logprobs) == 3 and token.logprob == token.top_logprobs[0].logprob <= 0


def test_completions_batch_echo_and_ids(client, server):
    text = "The capital of France is"
    batch = client.completions.create(model="smollm2", prompt=[text, "One plus one is"], **GREEDY)
    one = client.completions.create(model="smollm2", prompt=text, **GREEDY)
    assert [choice.index for choice in batch.choices] == [0, 1] and batch.choices[0].text == one.choices[0].text
    ids = server.post("/tokenize", {"content": text})[1]["tokens"]
    assert client.completions.create(model="smollm2", prompt=ids, **GREEDY).choices[0].text == one.choices[0].text
    echo = client.completions.create(model="smollm2", prompt=text, echo=True, logprobs=2, **GREEDY)
    lists = echo.choices[0].logprobs
    assert echo.choices[0].text == text + one.choices[0].text == "".join(lists.tokens)
    assert lists.token_logprobs[0] is None and all(value <= 0 for value in lists.token_logprobs[1:])
    alone = client.completions.create(model="smollm2", prompt=text, logprobs=2, **GREEDY).choices[0].logprobs
    assert alone.token_logprobs == lists.token_logprobs[-len(alone.tokens):]


def test_stop_and_lengths(client):
    def ask(**more):
        return client.completions.create(model="smollm2", prompt="1, 2, 3, 4,", temperature=0, **more)

    stopped = ask(max_tokens=30, stop=[", 7"]).choices[0]
    assert stopped.text == " 5, 6" and stopped.finish_reason == "stop"
    cut = ask(max_tokens=5, extra_body={"ignore_eos": True})
    assert cut.usage.completion_tokens == 5 and cut.choices[0].finish_reason == "length"
    biased = ask(max_tokens=3, logit_bias={"28120": 100})
    assert biased.choices[0].text == "hello" * 3


def test_errors_of_the_client(client):
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-4", messages=HI)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model="smollm2", messages=HI, temperature=3)
    assert bad.value.param == "temperature"


# LMDeploy 0.3.0's laws

def test_encode(server):
    plain = server.post("/v1/encode", {"input": "hello world", "add_bos": False})[1]
    with_bos = server.post("/v1/encode", {"input": "hello world", "add_bos": True})[1]
    assert plain["length"] == len(plain["input_ids"]) and with_bos["input_ids"][1:] == plain["input_ids"]
    many = server.post("/v1/encode", {"input": ["hello world"] * 3, "add_bos": False})[1]
    assert many == {"input_ids": [plain["input_ids"]] * 3, "length": [plain["length"]] * 3}
    long = server.post("/v1/encode", {"input": " hello" * 100, "add_bos": False})[1]
    assert long["length"] == 100
    assert server.post("/detokenize", {"tokens": plain["input_ids"]})[1]["prompt"] == "hello world"


def interactive(server, prompt, **more):
    status, answer = server.post("/v1/chat/interactive", {"prompt": prompt, "session_id": 7, "temperature": 0.01,
                                                          "top_k": 1, "request_output_len": 16, **more})
    assert status == 200, answer
    return answer


def test_interactive_keeps_and_ends_a_session(server):
    first = interactive(server, "My favourite number is 7421.", interactive_mode=True)
    assert first["history_tokens"] == 0 and first["tokens"] <= 16 and first["finish_reason"] in ("stop", "length")
    second = interactive(server, "Repeat my favourite number.", interactive_mode=True)
    assert second["history_tokens"] >= first["input_tokens"] and second["input_tokens"] < first["input_tokens"]
    lines = interactive(server, "And once more.", interactive_mode=True, stream=True).splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["tokens"] for event in events] == sorted(event["tokens"] for event in events)
    assert events[-1]["finish_reason"] and not any(event["finish_reason"] for event in events[:-1])
    ended = interactive(server, "", interactive_mode=False, request_output_len=0)
    assert ended["tokens"] == 0
    assert interactive(server, "Hi", interactive_mode=False)["history_tokens"] == 0
    assert interactive(server, "Hi", interactive_mode=False)["history_tokens"] == 0  # that was one turn only


def test_interactive_equals_the_whole_conversation(server):
    """Stateful and stateless give the same answer for the same greedy conversation."""
    first = interactive(server, "What is the sea?", interactive_mode=True)["text"]
    second = interactive(server, "And the sky?", interactive_mode=True)["text"]
    interactive(server, "", interactive_mode=False, request_output_len=0)
    messages = [{"role": "user", "content": "What is the sea?"}, {"role": "assistant", "content": first},
                {"role": "user", "content": "And the sky?"}]
    status, whole = server.post("/v1/chat/completions", {"messages": messages, "temperature": 0, "max_tokens": 16})
    assert status == 200 and whole["choices"][0]["message"]["content"] == second


def test_interactive_too_long_is_an_empty_answer(server):
    answer = interactive(server, "hello " * 10_000, interactive_mode=False)
    assert (answer["text"], answer["tokens"], answer["finish_reason"]) == ("", 0, "length")


def test_generate(server):
    status, answer = server.post("/generate", {"prompt": "The sky is", "max_tokens": 4, "temperature": 0, "return_logprob": True})
    assert status == 200 and len(answer["output_ids"]) == 4 == answer["meta_info"]["completion_tokens"]
    assert [pair[1] for pair in answer["meta_info"]["output_token_logprobs"]] == answer["output_ids"]


def test_metrics_count(server):
    def value(name):
        return sum(float(line.split()[-1]) for line in server.get("/metrics")[1].splitlines() if line.startswith(name + "{"))

    before = value("vllm:generation_tokens_total")
    server.post("/v1/completions", {"prompt": "a", "max_tokens": 9, "ignore_eos": True})
    assert value("vllm:generation_tokens_total") == before + 9 == value("lmdeploy:generation_tokens_total")
