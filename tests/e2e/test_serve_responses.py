"""/v1/responses with the official openai client, and /v1/sessions."""
import openai
import pytest

GREEDY = {"temperature": 0, "max_output_tokens": 12}
HI = "Name three colours."


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as one:
        yield one


def test_response_and_stream_agree(client, server):
    whole = client.responses.create(model="smollm2", input=HI, **GREEDY)
    chat = server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": HI}], "temperature": 0, "max_tokens": 12})[1]
    assert whole.output_text == chat["choices"][0]["message"]["content"] and whole.object == "response"
    assert (whole.status == "incomplete") == (chat["choices"][0]["finish_reason"] == "length")
    assert whole.usage.input_tokens == chat["usage"]["prompt_tokens"] and whole.usage.output_tokens == chat["usage"]["completion_tokens"]
    with client.responses.stream(model="smollm2", input=HI, **GREEDY) as stream:
        events = list(stream)
    kinds = [event.type for event in events]
    assert kinds[:4] == ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    assert kinds[-4:-1] == ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert events[-1].response.output_text == whole.output_text and events[-1].response.status == whole.status


def test_stored_conversation(client, server):
    first = client.responses.create(model="smollm2", input="My number is 7421.", instructions="Be brief.", **GREEDY)
    second = client.responses.create(model="smollm2", input="Which number?", previous_response_id=first.id, **GREEDY)
    messages = [{"role": "user", "content": "My number is 7421."}, {"role": "assistant", "content": first.output_text},
                {"role": "user", "content": "Which number?"}]
    chat = server.post("/v1/chat/completions", {"messages": messages, "temperature": 0, "max_tokens": 12})[1]
    assert second.output_text == chat["choices"][0]["message"]["content"] and second.previous_response_id == first.id
    assert client.responses.retrieve(first.id).output_text == first.output_text
    other = client.responses.create(model="smollm2", input="And now?", previous_response_id=first.id, **GREEDY)  # a fork
    assert other.id != second.id
    client.responses.delete(first.id)
    for call in (lambda: client.responses.retrieve(first.id),
                 lambda: client.responses.create(model="smollm2", input="?", previous_response_id=first.id)):
        with pytest.raises(openai.NotFoundError):
            call()
    unkept = client.responses.create(model="smollm2", input=HI, store=False, **GREEDY)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(unkept.id)


def test_items_and_refusals(client, server):
    items = [{"role": "developer", "content": "Be brief."}, {"type": "message", "role": "user", "content": [{"type": "input_text", "text": HI}]}]
    assert client.responses.create(model="smollm2", input=items, **GREEDY).output_text
    for body, field in [({}, "input"), ({"input": 5}, "input"), ({"input": [{"type": "what"}]}, "input[0]"), ({"input": HI, "temperature": 9}, "temperature"),
                        ({"input": HI, "background": True}, "background"), ({"input": HI, "truncation": "auto"}, "truncation"),
                        ({"input": HI, "what": 1}, "what"), ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content")]:
        status, answer = server.post("/v1/responses", body)
        assert status == 400 and answer["error"]["param"] == field, answer


def say(server, session, text, **more):
    status, answer = server.post("/v1/chat/interactive", {"prompt": text, "session_id": session, "interactive_mode": True, "temperature": 0.01,
                                                          "top_k": 1, "request_output_len": 12, **more})
    assert status == 200, answer
    return answer


def test_sessions_are_listed_forked_saved_deleted(start_server, tmp_path):
    server = start_server("--sessions-dir", str(tmp_path))
    say(server, 1, "My number is 7421.")
    listed = server.get("/v1/sessions")[1]["data"]
    assert [one["id"] for one in listed] == ["1"] and listed[0]["num_tokens"] > 10
    assert server.post("/v1/sessions/1/fork", {"new_id": 2})[0] == 200
    assert server.post("/v1/sessions/1/save", {})[0] == 200
    once, forked = say(server, 1, "Which number?"), say(server, 2, "Which number?")
    assert once == forked and once["history_tokens"] > 10
    whole = server.get("/v1/sessions/2")[1]
    assert [message["role"] for message in whole["messages"]] == ["user", "assistant"] * 2 and len(whole["tokens"]) == whole["num_tokens"]
    assert server.request("DELETE", "/v1/sessions/1")[0] == 200 and [one["id"] for one in server.get("/v1/sessions")[1]["data"]] == ["2"]
    for path in ("/v1/sessions/1/fork", "/v1/sessions/9/save", "/v1/sessions/9/load"):
        assert server.post(path, {"new_id": "x"} if "fork" in path else {})[0] == 404, path
    assert server.request("DELETE", "/v1/sessions/9")[0] == 404 and server.post("/v1/sessions/a..b/save", {})[0] == 400
    assert server.stop() == 0
    server = start_server("--sessions-dir", str(tmp_path))
    assert server.post("/v1/sessions/1/load", {})[0] == 200
    assert {**say(server, 1, "Which number?")}["text"] == once["text"]
    assert server.stop() == 0


def test_a_server_without_a_folder_saves_nothing(server):
    say(server, 5, "Hi")
    assert server.post("/v1/sessions/5/save", {})[0] == 400
    assert server.request("DELETE", "/v1/sessions/5")[0] == 200
