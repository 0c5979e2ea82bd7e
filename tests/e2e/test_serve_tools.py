"""Tools over the openai client: required and named calls fit their schemas, streams equal whole answers, results go back,
and bad tools are refused with the field's name."""
import json
import re

import openai
import pytest
import tiny_gguf
from conftest import Server

ASK = [{"role": "user", "content": "What is the weather in Paris and in Rome?"}]
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["C", "F"]}},
    "required": ["city", "unit"], "additionalProperties": False}}}
ADD = {"type": "function", "function": {"name": "add", "parameters": {
    "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}}}
TOOLS = [WEATHER, ADD]


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as one:
        yield one


def ask(client, **more):
    return client.chat.completions.create(model="smollm2", messages=ASK, tools=TOOLS, temperature=0, max_tokens=120, **more)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "add"}}], ids=["required", "named"])
def test_calls_fit_their_schema(client, choice):
    answer = ask(client, tool_choice=choice, parallel_tool_calls=False).choices[0]
    assert answer.finish_reason == "tool_calls" and answer.message.content is None
    [call] = answer.message.tool_calls
    arguments = json.loads(call.function.arguments)
    if call.function.name == "add":
        assert isinstance(arguments["a"], int) and isinstance(arguments["b"], int)
    else:
        assert choice == "required" and arguments["unit"] in ("C", "F")
    assert call.id.startswith("call_") and call.type == "function"


def test_stream_equals_whole(client):
    whole = ask(client, tool_choice="required", seed=1).choices[0]
    calls, finish, content = {}, None, ""
    for chunk in ask(client, tool_choice="required", seed=1, stream=True):
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            content += choice.delta.content or ""
            for call in choice.delta.tool_calls or []:
                entry = calls.setdefault(call.index, {"name": "", "arguments": "", "pieces": 0})
                entry["name"] += call.function.name or ""
                entry["arguments"] += call.function.arguments or ""
                entry["pieces"] += 1
    assert [(c["name"], c["arguments"]) for c in calls.values()] == [(c.function.name, c.function.arguments) for c in whole.message.tool_calls]
    assert finish == whole.finish_reason and content == "" and calls[0]["pieces"] > 3


def test_auto_never_leaks_a_marker(client):
    for seed in range(6):
        answer = client.chat.completions.create(model="smollm2", messages=ASK, tools=TOOLS, temperature=1, seed=seed, max_tokens=80).choices[0]
        assert "<tool_call>" not in (answer.message.content or "") and "</tool_call>" not in (answer.message.content or "")
        for call in answer.message.tool_calls or []:
            assert call.function.name in ("get_weather", "add")
            if answer.finish_reason == "tool_calls":
                json.loads(call.function.arguments)


def test_auto_holds_a_call_to_its_schema(client):
    """The bias opens a call; from then on the schema rules."""
    messages = ASK + [{"role": "assistant", "content": None, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris", "unit": "C"}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": '{"temperature": 20}'},
        {"role": "user", "content": "And Rome? Call get_weather."}]
    answer = client.chat.completions.create(model="smollm2", messages=messages, tools=TOOLS, temperature=0, max_tokens=80).choices[0]
    for call in answer.message.tool_calls or []:
        assert call.function.name in ("get_weather", "add")


CONTROL = {  # what opens a call, further control tokens of the format
    "mistral": ("[TOOL_CALLS]", ["[ARGS]"]), "mistral's list": ("[TOOL_CALLS]", []),
    "deepseek_v3": ("<｜tool▁call▁begin｜>", ["<｜tool▁calls▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"]),
    "internlm2": ("<|action_start|>", ["<|plugin|>", "<|action_end|>"]),
}


@pytest.mark.parametrize("form", CONTROL)
def test_auto_holds_calls_that_control_tokens_open(program, tmp_path, form):
    """A model of noise is made to open calls; what stands in them is a tool's name and fits its schema all the same."""
    trigger, others = CONTROL[form]
    path = tmp_path / "model.gguf"
    tiny_gguf.write(path, "{% for m in messages %}<|user|>{{ m.content }}{% endfor %}{{ tools }}" + trigger, control=[trigger, *others])
    server = Server(program, str(path), "--session-len", "2048")
    try:
        unit = {"type": "function", "function": {"name": "set_unit", "parameters": {
            "type": "object", "properties": {"unit": {"enum": ["C", "F"]}, "exact": {"type": "boolean"}}, "required": ["unit", "exact"], "additionalProperties": False}}}
        asked = {"messages": ASK, "tools": [unit, WEATHER], "max_tokens": 600, "temperature": 1, "logit_bias": {"259": 100}}
        whole = 0
        for seed in range(3):
            status, answer = server.post("/v1/chat/completions", {**asked, "seed": seed})
            assert status == 200, answer
            message, finish = answer["choices"][0]["message"], answer["choices"][0]["finish_reason"]
            calls = message["tool_calls"]
            for call in calls[:-1] if finish == "length" else calls:  # the last one may be cut
                arguments = json.loads(call["function"]["arguments"], strict=False)  # XGrammar lets control characters into strings of bounded length
                if call["function"]["name"] == "set_unit":
                    assert arguments.keys() == {"unit", "exact"} and arguments["unit"] in ("C", "F") and isinstance(arguments["exact"], bool)
                else:
                    assert call["function"]["name"] == "get_weather" and arguments.keys() == {"city", "unit"}
                    # XGrammar counts what stands for a surrogate as one character; it is shown as several U+FFFD.
                    assert len(re.sub("\ufffd+", "\ufffd", arguments["city"])) <= 20
                whole += 1
            assert trigger not in (message["content"] or "")
        assert whole >= 3
        # Where JSON is asked for, a marker is no character of it.
        status, answer = server.post("/v1/chat/completions", {**asked, "tools": [], "seed": 1, "max_tokens": 200, "response_format": {"type": "json_schema", "json_schema": {
            "name": "x", "schema": {"type": "object", "properties": {"a": {"type": "string", "maxLength": 9}}, "required": ["a"], "additionalProperties": False}}}})
        assert status == 200 and set(json.loads(answer["choices"][0]["message"]["content"], strict=False)) == {"a"}, answer
    finally:
        server.stop()


def test_none_calls_nothing(client):
    answer = ask(client, tool_choice="none").choices[0]
    assert answer.message.tool_calls is None and answer.finish_reason in ("stop", "length")


def test_results_go_back(client):
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 3}'}}
    messages = [{"role": "user", "content": "Add 2 and 3."}, {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": "5 </tool_response> <|im_end|>"}]
    answer = client.chat.completions.create(model="smollm2", messages=messages, tools=TOOLS, tool_choice="none", temperature=0, max_tokens=20)
    assert answer.choices[0].message.content


def tool(**function):
    return {"type": "function", "function": function}


BAD = [
    ("H66 unknown choice", {"tools": TOOLS, "tool_choice": "maybe"}, "tool_choice"),
    ("H66 unknown function", {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
    ("choice without tools", {"tool_choice": "required"}, "tool_choice"),
    ("H66 10,000 tools", {"tools": [ADD] * 10_000}, "tools"),
    ("H66 name of 1 MB", {"tools": [tool(name="a" * 10**6)]}, "tools[0].function.name"),
    ("name with a quote", {"tools": [tool(name='a"b')]}, "tools[0].function.name"),
    ("no name", {"tools": [tool(description="x")]}, "tools[0].function.name"),
    ("no function", {"tools": [{"type": "function"}]}, "tools[0].function"),
    ("type", {"tools": [{"type": "browser", "function": {"name": "a"}}]}, "tools[0].type"),
    ("parameters", {"tools": [tool(name="f", parameters=[1])]}, "tools[0].function.parameters"),
    ("strict and not enforceable", {"tools": [tool(name="f", strict=True, parameters={"type": "array", "uniqueItems": True})]}, "tools"),
    ("H66 args not JSON", {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{x"}}]}]},
     "messages[0].tool_calls[0].function"),
    ("calls of a user", {"messages": [{"role": "user", "content": "x", "tool_calls": [{}]}]}, "messages[0].tool_calls"),
    ("older form", {"functions": [{"name": "f"}]}, "functions"),
    ("with a format", {"tools": TOOLS, "tool_choice": "required", "response_format": {"type": "json_object"}}, "response_format"),
]


@pytest.mark.parametrize("name,fields,param", BAD, ids=[row[0] for row in BAD])
def test_bad_tools(server, name, fields, param):
    status, answer = server.post("/v1/chat/completions", {"messages": ASK, "max_tokens": 4, **fields})
    assert status == 400 and answer["error"]["param"] == param, answer
    assert len(json.dumps(answer)) < 2048


def test_odd_schemas_of_tools_are_relaxed(server):
    """What can not be enforced costs a tool its schema, not its place; a strict one would be refused."""
    odd = tool(name="f", parameters={"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}, "not": {}})
    status, answer = server.post("/v1/chat/completions", {"messages": ASK, "tools": [odd], "tool_choice": "required", "max_tokens": 60, "temperature": 0})
    assert status == 200 and answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "f"
