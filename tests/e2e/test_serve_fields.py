"""A field that would change an answer is obeyed or refused, never dropped. The fields are those of the official clients' own
types: a new one of theirs fails here until it is put into a class. Refused: 400 naming it. Harmless: the same answer with it.
Obeyed: the answer shows it."""
import json

import openai.types.completion_create_params as openai_completion
import openai.types.embedding_create_params as openai_embedding
import pytest
from anthropic.types import message_create_params as anthropic_message
from ollama import Options
from openai.types.chat import completion_create_params as openai_chat
from openai.types.responses import response_create_params as openai_response

HI = [{"role": "user", "content": "Count: 1, 2, 3, 4, 5, 6,"}]
CHAT = ("/v1/chat/completions", {"messages": HI, "temperature": 0, "max_tokens": 8})
COMPLETION = ("/v1/completions", {"prompt": "1, 2, 3, 4, 5, 6,", "temperature": 0, "max_tokens": 8})
RESPONSE = ("/v1/responses", {"input": HI[0]["content"], "temperature": 0, "max_output_tokens": 8})
MESSAGE = ("/v1/messages", {"messages": HI, "max_tokens": 8})
EMBEDDING = ("/v1/embeddings", {"input": "A cat."})
OLLAMA = ("/api/generate", {"prompt": "1, 2, 3, 4, 5, 6,", "raw": True, "stream": False})
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}

# What is sent, and what must then differ from (or be the same as) the plain answer, or the words of the refusal.
REFUSED = {
    "chat": {"audio": {"voice": "alloy", "format": "wav"}, "function_call": "auto", "functions": [{"name": "f"}], "modalities": ["audio"],
             "moderation": {}, "prompt_cache_options": {}, "verbosity": "low", "web_search_options": {}},
    "completion": {"best_of": 4, "suffix": "x"},
    "response": {"background": True, "context_management": [], "conversation": "c", "max_tool_calls": 1, "moderation": {}, "prompt": {"id": "p"},
                 "prompt_cache_options": {}, "top_logprobs": 2, "truncation": "auto", "include": ["message.output_text.logprobs"]},
    "message": {"container": "c", "diagnostics": {}, "inference_geo": "eu", "output_config": {}, "speed": "fast", "user_profile_id": "u", "workspace_id": "w"},
    "embedding": {},
    "ollama": {"tfs_z": 2, "typical_p": 0.5, "repeat_last_n": 3, "mirostat": 1, "mirostat_tau": 1, "mirostat_eta": 1, "penalize_newline": True,
               "f16_kv": True, "logits_all": True, "embedding_only": True},
}
HARMLESS = {
    "chat": {"metadata": {"a": "b"}, "prediction": {"type": "content", "content": "7"}, "prompt_cache_key": "k", "prompt_cache_retention": "24h",
             "safety_identifier": "s", "service_tier": "auto", "store": True, "user": "u", "parallel_tool_calls": True,
             "stream_options": {"include_usage": True}},
    "completion": {"user": "u", "stream_options": {"include_usage": True}},
    "response": {"prompt_cache_key": "k", "prompt_cache_retention": "24h", "safety_identifier": "s", "service_tier": "auto", "user": "u",
                 "stream_options": {"include_obfuscation": True}},
    "message": {"cache_control": {"type": "ephemeral"}, "metadata": {"user_id": "u"}, "service_tier": "auto"},
    "embedding": {"user": "u"},
    "ollama": {"numa": True, "num_ctx": 4096, "num_batch": 8, "num_gpu": 1, "main_gpu": 0, "low_vram": True, "vocab_only": False, "use_mmap": True,
               "use_mlock": False, "num_thread": 1, "num_keep": 4},
}
LONG = {"max_tokens": 60, "ignore_eos": True}
SEVEN = {"28120": 100}  # the token " hello"
OBEYED = {
    "chat": {"frequency_penalty": (2, LONG), "logit_bias": SEVEN, "logprobs": True, "max_completion_tokens": 2, "max_tokens": 2, "messages": HI + HI, "n": 2,
             "presence_penalty": (2, LONG), "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}, "stop": [" "],
             "temperature": 2, "tool_choice": ("required", {"tools": [TOOL]}), "tools": [TOOL], "top_logprobs": (2, {"logprobs": True}),
             "seed": (7, {"temperature": 2}), "top_p": (0.01, {"temperature": 2})},
    "completion": {"echo": True, "frequency_penalty": (2, LONG), "logit_bias": SEVEN, "logprobs": 1, "max_tokens": 2, "n": 2, "presence_penalty": (2, LONG),
                   "prompt": "The sky", "stop": [" 9"], "temperature": 2, "seed": (7, {"temperature": 2}), "top_p": (0.01, {"temperature": 2})},
    "response": {"input": "The sky", "instructions": "Shout.", "max_output_tokens": 2, "metadata": {"a": "b"}, "store": False, "temperature": 2,
                 "text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}}, "tool_choice": "none", "parallel_tool_calls": False,
                 "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}], "top_p": (0.01, {"temperature": 2})},
    "message": {"max_tokens": 2, "messages": HI + [{"role": "assistant", "content": "7, 8,"}], "stop_sequences": [" "], "system": "Shout.",
                "tools": [{"name": "f", "input_schema": SCHEMA}], "tool_choice": ({"type": "any"}, {"tools": [{"name": "f", "input_schema": SCHEMA}]})},
    "embedding": {"dimensions": 8, "encoding_format": "base64", "input": "A dog."},
    "ollama": {"num_predict": 2, "stop": [" 9"], "temperature": 2, "repeat_penalty": (2.0, {"num_predict": 60}),
               "presence_penalty": (2, {"num_predict": 60}), "frequency_penalty": (2, {"num_predict": 60}),
               "seed": (7, {"temperature": 2}), "top_k": (1, {"temperature": 2}), "top_p": (0.01, {"temperature": 2})},
}
# Elsewhere: the model's name; reasoning fields are obeyed where a model thinks (test_serve_reasoning.py).
ELSEWHERE = {"model", "reasoning_effort", "reasoning", "thinking", "previous_response_id"}

KINDS = {
    "chat": (CHAT, openai_chat.CompletionCreateParamsBase.__annotations__),
    "completion": (COMPLETION, openai_completion.CompletionCreateParamsBase.__annotations__),
    "response": (RESPONSE, openai_response.ResponseCreateParamsBase.__annotations__),
    "message": (MESSAGE, anthropic_message.MessageCreateParamsBase.__annotations__),
    "embedding": (EMBEDDING, openai_embedding.EmbeddingCreateParams.__annotations__),
    "ollama": (OLLAMA, Options.model_fields),
}


def ask(server, kind, fields):
    (path, body), _ = KINDS[kind]
    if kind == "ollama":
        fields = {"options": {"temperature": 0, "num_predict": 8, **fields}}
    elif kind == "message" and "temperature" not in fields:
        fields = {"temperature": 0, **fields}
    return server.post(path, {**body, **fields})


def plain(answer):
    """The answer without what differs from call to call."""
    if isinstance(answer, dict):
        drop = {"id", "created", "created_at", "total_duration", "prompt_eval_duration", "eval_duration", "prompt_tokens_details", "input_tokens_details",
                "input_tokens", "cache_read_input_tokens", "tools"}
        return {key: plain(value) for key, value in answer.items() if key not in drop}
    return [plain(one) for one in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_the_client_has_a_class(kind):
    known = set(REFUSED[kind]) | set(HARMLESS[kind]) | set(OBEYED[kind]) | ELSEWHERE
    assert set(KINDS[kind][1]) - known == set()


ROWS = [(kind, name) for kind in KINDS for name in REFUSED[kind]]


@pytest.mark.parametrize("kind,name", ROWS, ids=["-".join(row) for row in ROWS])
def test_refused(server, kind, name):
    status, answer = ask(server, kind, {name: REFUSED[kind][name]})
    assert status == 400 and name in json.dumps(answer), answer


@pytest.mark.parametrize("kind", KINDS)
def test_harmless(server, kind):
    status, answer = ask(server, kind, {})
    assert status == 200, answer
    for name, value in HARMLESS[kind].items():
        if name == "stream_options":
            continue  # of streams
        status, other = ask(server, kind, {name: value})
        assert status == 200 and plain(other) == plain(answer), (name, other)


ROWS = [(kind, name) for kind in KINDS for name in OBEYED[kind]]


@pytest.mark.parametrize("kind,name", ROWS, ids=["-".join(row) for row in ROWS])
def test_obeyed(server, kind, name):
    value, beside = OBEYED[kind][name] if isinstance(OBEYED[kind][name], tuple) else (OBEYED[kind][name], {})
    status, answer = ask(server, kind, {**beside, name: value})
    assert status == 200, answer
    if name in ("seed", "top_k", "top_p"):  # what they make of chance is the same each time
        assert plain(ask(server, kind, {**beside, name: value})[1]) == plain(answer)
    else:
        assert plain(answer) != plain(ask(server, kind, beside)[1])
