"""The official ollama client: chat, generate, embed, what there is, keep_alive."""
import asyncio
import time

import ollama
import pytest

HI = [{"role": "user", "content": "Name three colours."}]
GREEDY = {"temperature": 0, "top_k": 1, "num_predict": 12}


@pytest.fixture(scope="module")
def client(server):
    return ollama.Client(host=server.url)


def test_chat_and_stream_agree(client, server):
    whole = client.chat(model="smollm2", messages=HI, options=GREEDY)
    assert whole.done and whole.message.role == "assistant" and whole.eval_count <= 12 and whole.prompt_eval_count > 5
    openai = server.post("/v1/chat/completions", {"messages": HI, "max_tokens": 12, "temperature": 0})[1]
    assert whole.message.content == openai["choices"][0]["message"]["content"]
    pieces = list(client.chat(model="smollm2:latest", messages=HI, options=GREEDY, stream=True))
    assert "".join(piece.message.content for piece in pieces) == whole.message.content
    assert [piece.done for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert pieces[-1].done_reason == whole.done_reason and pieces[-1].eval_count == whole.eval_count


def test_generate(client, server):
    whole = client.generate(model="smollm2", prompt="Name three colours.", options=GREEDY)
    assert whole.response == client.chat(model="smollm2", messages=HI, options=GREEDY).message.content
    pieces = list(client.generate(model="smollm2", prompt="Name three colours.", options=GREEDY, stream=True))
    assert "".join(piece.response for piece in pieces) == whole.response and pieces[-1].done
    raw = client.generate(model="smollm2", prompt="1, 2, 3, 4,", raw=True, options={**GREEDY, "stop": [", 7"]})
    assert raw.response == " 5, 6" and raw.done_reason == "stop"
    assert client.generate(model="smollm2", prompt="").done_reason == "load"


def test_async(server):
    async def ask():
        client = ollama.AsyncClient(host=server.url)
        return {answer.message.content for answer in await asyncio.gather(
            *(client.chat(model="smollm2", messages=HI, options=GREEDY) for _ in range(5)))}

    assert len(asyncio.run(ask())) == 1


def test_embed(client, server):
    both = client.embed(model="smollm2", input=["A cat.", "A dog."])
    openai = server.post("/v1/embeddings", {"input": "A dog."})[1]["data"][0]["embedding"]
    assert both.prompt_eval_count == 6 and list(both.embeddings[1]) == openai
    assert list(client.embeddings(model="smollm2", prompt="A dog.").embedding) == openai


def test_what_there_is(client, server):
    assert [model.model for model in client.list().models] == ["smollm2:latest"]
    assert [model.model for model in client.ps().models] == ["smollm2:latest"]
    shown = client.show("smollm2")
    assert shown.details.family == "llama" and shown.modelinfo["llama.embedding_length"] == 576
    assert client.pull("smollm2").status == "success"
    with pytest.raises(ollama.ResponseError) as missing:
        client.pull("llama3")
    assert missing.value.status_code == 404
    assert server.get("/api/version")[1]["version"]


def test_errors(client, server):
    with pytest.raises(ollama.ResponseError) as missing:
        client.chat(model="llama3", messages=HI)
    assert missing.value.status_code == 404 and "llama3" in missing.value.error
    for body in ({"messages": 5}, {"messages": [{"role": "user", "content": 5}]}, {"messages": HI, "options": {"mirostat": 2}},
                 {"messages": HI, "format": 7}, {"messages": HI, "what": 1}, {"messages": HI, "keep_alive": "soon"}):
        status, answer = server.post("/api/chat", body)
        assert status == 400 and answer["error"], answer


def test_keep_alive(start_server):
    server = start_server("--session-len", "512")
    client = ollama.Client(host=server.url)
    first = client.chat(model="smollm2", messages=HI, options=GREEDY, keep_alive=0).message.content
    deadline = time.monotonic() + 20
    while client.ps().models:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert client.chat(model="smollm2", messages=HI, options=GREEDY, keep_alive="5m").message.content == first
    assert client.ps().models[0].expires_at is not None
    assert server.stop() == 0
