"""Reasoning over every interface: a template that opens a thought makes the default model think. No marker is ever said, a
stream says what the whole answer says, a budget ends the thought, and a grammar rules only behind it."""
import json

import anthropic
import ollama
import openai
import pytest

ASK = [{"role": "user", "content": "What is two plus three?"}]
TEMPLATE = """{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}{% else %}<think>
{% endif %}{% endif %}{# </think> #}"""
SCHEMA = {"type": "object", "properties": {"sum": {"type": "integer", "maximum": 99}}, "required": ["sum"], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {
    "a": {"type": "integer", "maximum": 9}}, "required": ["a"], "additionalProperties": False}}}


@pytest.fixture(scope="module")
def thinker(start_server, tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "thinks.jinja"
    path.write_text(TEMPLATE)
    server = start_server("--chat-template", str(path), "--session-len", "1024")
    yield server
    assert server.process.poll() is None and server.stop() == 0


@pytest.fixture(scope="module")
def client(thinker):
    with openai.OpenAI(base_url=thinker.url + "/v1", api_key="none", max_retries=0) as one:
        yield one


def ask(client, budget, **more):
    body = {"model": "smollm2", "messages": ASK, "temperature": 0, "max_tokens": 60, **more}
    return client.chat.completions.create(**body, extra_body={"thinking_token_budget": budget, **more.pop("extra_body", {})})


def num_tokens(server, text):
    return server.post("/tokenize", {"content": text})[1]["count"]


@pytest.mark.parametrize("budget", [0, 1, 7, 20])
def test_budget(thinker, client, budget):
    answer = ask(client, budget)
    message = answer.choices[0].message
    thought = getattr(message, "reasoning_content", None) or ""
    assert answer.usage.completion_tokens_details.reasoning_tokens == num_tokens(thinker, thought)
    assert message.content and num_tokens(thinker, thought) <= budget + 1  # cut anew, a text may take one more
    # One token may be white space, which no thought begins with.
    assert bool(thought) if budget > 1 else budget == 1 or not thought
    for text in (message.content, thought):
        assert "think>" not in text
    content, reasoning = "", ""
    for chunk in ask(client, budget, stream=True, stream_options={"include_usage": True}):
        if chunk.usage:
            assert chunk.usage.completion_tokens_details == answer.usage.completion_tokens_details
            continue
        content += chunk.choices[0].delta.content or ""
        reasoning += getattr(chunk.choices[0].delta, "reasoning_content", None) or ""
    assert (content, reasoning) == (message.content, thought)


def test_without_a_thought(thinker, client):
    body = {"messages": ASK, "temperature": 0, "max_tokens": 12}
    for fields in ({"chat_template_kwargs": {"enable_thinking": False}}, {"reasoning_effort": "none"}):
        message = thinker.post("/v1/chat/completions", {**body, **fields})[1]["choices"][0]["message"]
        assert "reasoning_content" not in message and message["content"]


def test_a_grammar_rules_behind_the_thought(client):
    form = {"type": "json_schema", "json_schema": {"name": "sum", "schema": SCHEMA}}
    message = ask(client, 8, response_format=form).choices[0].message
    assert message.reasoning_content and set(json.loads(message.content)) == {"sum"}
    called = ask(client, 8, tools=[TOOL], tool_choice="required", parallel_tool_calls=False).choices[0]
    assert called.message.reasoning_content and called.finish_reason == "tool_calls" and called.message.content is None
    [call] = called.message.tool_calls
    assert call.function.name == "add" and json.loads(call.function.arguments)["a"] <= 9


def test_anthropic(thinker):
    with anthropic.Anthropic(base_url=thinker.url, api_key="none", max_retries=0) as client:
        body = {"model": "smollm2", "messages": ASK, "max_tokens": 40, "thinking": {"type": "enabled", "budget_tokens": 7}, "extra_body": {"temperature": 0}}
        whole = client.messages.create(**body)
        assert [block.type for block in whole.content] == ["thinking", "text"] and whole.content[1].text
        with client.messages.stream(**body) as stream:
            final = stream.get_final_message()
        assert [(block.type, getattr(block, "text", None) or block.thinking) for block in final.content] == \
            [("thinking", whole.content[0].thinking), ("text", whole.content[1].text)]
        off = client.messages.create(**{**body, "thinking": {"type": "disabled"}})
        assert [block.type for block in off.content] == ["text"]


def test_responses(client):
    body = {"model": "smollm2", "input": "What is two plus three?", "temperature": 0, "max_output_tokens": 60}
    whole = client.responses.create(**body)
    assert whole.output[0].type == "reasoning" and whole.output[0].content[0].text and "think>" not in whole.output_text
    with client.responses.stream(**body) as stream:
        events = list(stream)
    assert events[-1].response.output[0].content[0].text == whole.output[0].content[0].text
    assert events[-1].response.output_text == whole.output_text
    off = client.responses.create(**body, reasoning={"effort": "none"})
    assert [item.type for item in off.output] == ["message"]


def test_ollama(thinker):
    client = ollama.Client(host=thinker.url)
    body = {"model": "smollm2", "messages": ASK, "options": {"temperature": 0, "top_k": 1, "num_predict": 40}}
    whole = client.chat(**body, think=True)
    pieces = list(client.chat(**body, think=True, stream=True))
    assert whole.message.thinking and "".join(piece.message.thinking or "" for piece in pieces) == whole.message.thinking
    assert "".join(piece.message.content or "" for piece in pieces) == (whole.message.content or "")
    assert client.chat(**body, think=False).message.thinking is None


def test_parser_by_name(start_server, tmp_path):
    (tmp_path / "thinks.jinja").write_text(TEMPLATE)
    server = start_server("--chat-template", str(tmp_path / "thinks.jinja"), "--reasoning-parser", "none", "--session-len", "512")
    message = server.post("/v1/chat/completions", {"messages": ASK, "temperature": 0, "max_tokens": 8})[1]["choices"][0]["message"]
    assert "reasoning_content" not in message and message["content"]
    assert server.stop() == 0


@pytest.mark.parametrize("parser", ["hermes", "qwen3_coder", "glm4"])
def test_calls_in_each_held_form(start_server, parser):
    """The grammar writes the form that the parser reads: streamed and whole, arguments fit the schema."""
    server = start_server("--tool-call-parser", parser, "--session-len", "1024")
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "maxLength": 12}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["city", "days"], "additionalProperties": False}}}
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client:
        body = {"model": "smollm2", "messages": [{"role": "user", "content": "Weather in Paris for 3 days?"}], "tools": [tool],
                "tool_choice": "required", "parallel_tool_calls": False, "temperature": 0, "max_tokens": 120}
        choice = client.chat.completions.create(**body).choices[0]
        [call] = choice.message.tool_calls
        arguments = json.loads(call.function.arguments)
        assert choice.finish_reason == "tool_calls" and not choice.message.content and call.function.name == "get_weather"
        assert isinstance(arguments["city"], str) and 1 <= arguments["days"] <= 9, arguments
        text = ""
        for chunk in client.chat.completions.create(**body, stream=True):
            for delta in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
                text += delta.function.arguments or ""
        assert text == call.function.arguments
    assert server.stop() == 0


def test_unknown_parser(turgo, model):
    done = turgo("serve", "api_server", model, "--tool-call-parser", "what", check=2)
    assert "hermes" in done.stderr and done.stderr.count("\n") == 1
