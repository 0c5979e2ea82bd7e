"""litellm over three of the interfaces: OpenAI's (hosted_vllm), Anthropic's and Ollama's."""
import json
import os

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would fetch a list of prices
import litellm  # noqa: E402

HI = [{"role": "user", "content": "Name three colours."}]


@pytest.mark.parametrize("name,suffix", [("openai/smollm2", "/v1"), ("hosted_vllm/smollm2", "/v1"), ("anthropic/smollm2", ""), ("ollama_chat/smollm2", "")])
def test_chat_and_stream(server, name, suffix):
    more = {"model": name, "api_base": server.url + suffix, "api_key": "none", "messages": HI, "temperature": 0, "max_tokens": 12}
    whole = litellm.completion(**more)
    text = whole.choices[0].message.content
    assert text and whole.usage.completion_tokens <= 12
    assert "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(stream=True, **more)) == text


def test_tools(server):
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}}
    answer = litellm.completion(model="openai/smollm2", api_base=server.url + "/v1", api_key="none", messages=HI, tools=[tool], tool_choice="required",
                                temperature=0, max_tokens=80, parallel_tool_calls=False)
    assert "a" in json.loads(answer.choices[0].message.tool_calls[0].function.arguments)


def test_text_and_embedding(server):
    more = {"api_base": server.url + "/v1", "api_key": "none"}
    asked = {"prompt": "1, 2, 3, 4,", "max_tokens": 4, "temperature": 0}
    text = litellm.text_completion(model="text-completion-openai/smollm2", **asked, **more).choices[0].text
    assert text == server.post("/v1/completions", {"model": "smollm2", **asked})[1]["choices"][0]["text"] and text.startswith(" 5,")
    assert len(litellm.embedding(model="openai/smollm2", input=["a"], **more).data[0]["embedding"]) == 576
