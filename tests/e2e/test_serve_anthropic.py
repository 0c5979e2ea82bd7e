"""The official anthropic client: whole answers, streams, async, stop sequences, counts, errors."""
import asyncio

import anthropic
import pytest

HI = [{"role": "user", "content": "Name three colours."}]
GREEDY = {"temperature": 0}
ASK = {"model": "smollm2", "messages": HI, "max_tokens": 12, "extra_body": GREEDY}
BODY = {"model": "smollm2", "messages": HI, "max_tokens": 12}


@pytest.fixture(scope="module")
def client(server):
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as one:
        yield one


def test_message_and_stream_agree(client, server):
    whole = client.messages.create(**ASK)
    assert whole.type == "message" and whole.role == "assistant" and whole.model == "smollm2"
    assert [block.type for block in whole.content] == ["text"]
    openai = server.post("/v1/chat/completions", {"messages": HI, "max_tokens": 12, "temperature": 0})[1]
    assert whole.content[0].text == openai["choices"][0]["message"]["content"]
    assert whole.stop_reason == {"length": "max_tokens", "stop": "end_turn"}[openai["choices"][0]["finish_reason"]]
    with client.messages.stream(**ASK) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert final.content[0].text == whole.content[0].text and final.stop_reason == whole.stop_reason
    raw = [kind for kind in kinds if kind != "text"]
    assert raw[0] == "message_start" and raw[-1] == "message_stop" and raw[-2] == "message_delta"
    assert raw.count("content_block_start") == raw.count("content_block_stop") == 1
    assert final.usage.output_tokens == whole.usage.output_tokens <= 12


def total_input(usage):
    return usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_count_tokens_is_what_messages_count(client):
    messages = HI + [{"role": "assistant", "content": [{"type": "text", "text": "Red."}]},
                     {"role": "user", "content": [{"type": "text", "text": "And "}, {"type": "text", "text": "more?"}]}]
    for more in ({}, {"system": "Be brief."}, {"system": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]}):
        count = client.messages.count_tokens(model="smollm2", messages=messages, **more)
        answer = client.messages.create(model="smollm2", max_tokens=1, messages=messages, **more)
        assert count.input_tokens == total_input(answer.usage)


def test_stop_sequences(client):
    whole = client.messages.create(model="smollm2", messages=HI, max_tokens=60, extra_body=GREEDY)
    text = whole.content[0].text
    stop = text[len(text) // 2:len(text) // 2 + 4]
    cut = client.messages.create(**{**ASK, "max_tokens": 60}, stop_sequences=["@@@@@@", stop])
    assert cut.stop_reason == "stop_sequence" and cut.stop_sequence == stop
    assert cut.content[0].text == text[:text.index(stop)]
    with client.messages.stream(**{**ASK, "max_tokens": 60}, stop_sequences=["@@@@@@", stop]) as stream:
        assert "".join(stream.text_stream) == cut.content[0].text
        assert stream.get_final_message().stop_sequence == stop
    with client.messages.stream(**{**ASK, "max_tokens": 60}, stop_sequences=["@" * 30]) as stream:
        assert "".join(stream.text_stream) == text


def test_async_at_once(server):
    async def ask():
        async with anthropic.AsyncAnthropic(base_url=server.url, api_key="none", max_retries=0) as client:
            answers = await asyncio.gather(*(client.messages.create(**ASK) for _ in range(5)))
            return {answer.content[0].text for answer in answers}

    assert len(asyncio.run(ask())) == 1


def test_errors(client, server):
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(**{**ASK, "model": "claude"})
    assert missing.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError) as bad:
        client.messages.create(**{**ASK, "extra_body": {"temperature": 3}})
    assert bad.value.body["type"] == "error" and "temperature" in bad.value.body["error"]["message"]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    for body, word in [({**BODY, "max_tokens": None}, "max_tokens"), ({**BODY, "messages": []}, "messages"), ({**BODY, "what": 1}, "what"),
                       ({**BODY, "messages": [{"role": "system", "content": "x"}]}, "role"), ({**BODY, "tools": 5}, "tools"),
                       ({**BODY, "messages": [{"role": "user", "content": [image]}]}, "image"), ([], "object")]:
        status, answer = server.post("/v1/messages", body)
        assert status == 400 and answer["type"] == "error" and word in answer["error"]["message"], answer
