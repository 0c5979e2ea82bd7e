"""/openapi.json says what the server does: what it lists is taken, what it does not list is refused, answers look as it says."""
import json
import re

import jsonschema
import pytest

HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def api(server):
    status, answer = server.get("/openapi.json")
    assert status == 200
    return answer


def bodies(api):
    for path, item in api["paths"].items():
        if "post" in item:
            yield path, item["post"]["requestBody"]["content"]["application/json"]["schema"]


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


def test_shape(api):
    assert api["openapi"] == "3.1.0" and api["info"]["version"]
    operations = [one["operationId"] for item in api["paths"].values() for one in item.values()]
    assert len(operations) == len(set(operations)) > 45
    for reference in set(references(api)):
        place = api
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/chat/interactive",
                 "/v1/encode", "/generate", "/api/chat", "/tokenize", "/infill", "/models/load", "/sleep", "/v1/sessions/{id}/fork"):
        assert "post" in api["paths"][path], path
    for path, schema in bodies(api):  # every route for POST reads its body field by field
        assert schema["properties"] and schema["additionalProperties"] is False, path
    chat = api["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert chat["required"] == ["messages"] and chat["properties"]["temperature"]["maximum"] == 2
    assert chat["properties"]["tools"]["items"]["properties"]["function"]["required"] == ["name"]


def test_what_is_not_listed_is_refused(server, api):
    for path, schema in bodies(api):
        body = {name: "x" for name in schema.get("required", [])} | {"surely_unknown": 1}
        status, answer = server.post(path.replace("{id}", "1"), body)
        assert status in (400, 404), (path, answer)  # 404: of a model or session that is not there
        assert status == 404 or "error" in answer


def wrong_values(schema):
    """Values that a property's schema forbids."""
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "number" in kinds or "integer" in kinds:
        yield from ([] if "string" in kinds else ["x"])
        yield from ([schema["maximum"] * 4 + 4, schema["minimum"] * 4 - 4] if "maximum" in schema else [])
        yield from ([0.5] if "number" not in kinds else [])
    elif kinds == ["boolean", "null"]:
        yield from ("x", 1)
    elif kinds == ["string", "null"]:
        yield from (5, ["x"])
    elif "enum" in str(schema.get("anyOf")):
        yield "surely not one of them"
    elif kinds == ["object", "null"]:
        yield from (5, "x")


def test_what_is_forbidden_is_refused(server, api):
    required = {"messages": HI, "prompt": "Hi", "input": "Hi", "max_tokens": 1, "tokens": [1], "new_id": "x"}
    count = 0
    for path, schema in bodies(api):
        if path.startswith(("/models", "/sleep", "/wake_up", "/v1/sessions")) or path == "/api/show":
            continue  # they look for the model first
        least = {name: required[name] for name in schema.get("required", [])}
        for name, one in schema["properties"].items():
            for value in wrong_values(one):
                if name in ("model", "name", "keep_alive", "format", "messages", "prompt", "input"):  # too wide for wrong_values()
                    continue
                status, answer = server.post(path, {**least, name: value})
                assert status == 400, (path, name, value, answer)
                count += 1
    assert count > 200, count


ASKED = [
    ("/v1/chat/completions", {"messages": HI, "max_tokens": 2}), ("/v1/completions", {"prompt": "Hi", "max_tokens": 2, "logprobs": 1}),
    ("/v1/chat/completions", {"messages": HI, "max_tokens": 2, "logprobs": True}),
    ("/v1/embeddings", {"input": ["a", "b"]}), ("/v1/embeddings", {"input": "a", "encoding_format": "base64"}),
    ("/v1/responses", {"input": "Hi", "max_output_tokens": 2}), ("/v1/messages", {"messages": HI, "max_tokens": 2}),
    ("/v1/messages/count_tokens", {"messages": HI}), ("/v1/chat/interactive", {"prompt": "Hi", "request_output_len": 2}),
    ("/v1/encode", {"input": ["a"]}), ("/generate", {"prompt": "Hi", "max_tokens": 2}), ("/tokenize", {"prompt": "Hi", "return_token_strs": True}),
    ("/detokenize", {"tokens": [5]}), ("/apply-template", {"messages": HI}), ("/infill", {"input_prefix": "Hi", "n_predict": 2}),
    ("/api/chat", {"messages": HI, "stream": False, "options": {"num_predict": 2}}),
    ("/api/generate", {"prompt": "Hi", "stream": False, "options": {"num_predict": 2}}),
    ("/v1/models", None), ("/models", None), ("/v1/models/smollm2", None), ("/version", None), ("/health", None), ("/livez", None),
    ("/api/tags", None), ("/api/ps", None), ("/api/version", None),
]


@pytest.mark.parametrize("path,body", ASKED, ids=[row[0] + str(i) for i, row in enumerate(ASKED)])
def test_answers_look_as_described(server, api, path, body):
    status, answer = server.get(path) if body is None else server.post(path, body)
    assert status == 200, answer
    described = api["paths"][path.replace("smollm2", "{id}")]["get" if body is None else "post"]["responses"]["200"]["content"]
    schema = {**described["application/json"]["schema"], "components": api["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer)
    assert "$ref" in schema


def test_errors_look_as_described(server, api):
    check = jsonschema.Draft202012Validator(api["components"]["schemas"]["Error"])
    for path in ("/v1/chat/completions", "/v1/messages", "/api/chat", "/v1/chat/interactive", "/nowhere", "/api/show", "/v1/responses"):
        status, answer = server.post(path, {"what": 1})
        assert status >= 400
        check.validate(answer)


def test_other_methods_are_named(server, api):
    """405 lists what a path takes, and that is what the description says."""
    for path, item in api["paths"].items():
        if "{" in path and path != "/v1/sessions/{id}":
            continue
        for method in ("TRACE", "PATCH", "PUT"):
            head = server.raw(f"{method} {path.replace('{id}', 'x')} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            assert b" 405 " in head.split(b"\r\n")[0], (method, path, head)
            [allowed] = re.findall(rb"(?i)\nallow: ([^\r]*)", head)
            assert set(allowed.decode().split(", ")) - {"HEAD"} == {one.upper() for one in item}, (method, path)


def test_docs_need_nothing_from_elsewhere(server):
    status, page = server.get("/docs")
    assert status == 200 and page.startswith("<!doctype html>") and "openapi.json" in page
    assert not re.search(r"https?://|//cdn|src=|@import", page) and len(page) < 10_000
    assert "innerHTML" not in page  # what the description says is text


def test_prefix_and_keys(start_server):
    server = start_server("--api-prefix", "/llm", "--api-keys", "k", "--session-len", "512")
    key = {"Authorization": "Bearer k"}
    assert server.get("/llm/openapi.json")[0] == server.get("/llm/docs")[0] == 401
    api = server.get("/llm/openapi.json", headers=key)[1]
    assert all(path.startswith("/llm/") for path in api["paths"])
    operations = [(path, one) for path, item in api["paths"].items() for one in item.values()]
    is_open = {path for path, one in operations if "security" not in one}
    assert {"/llm/livez", "/llm/health", "/llm/readyz"} <= is_open and not any("/v1/" in path or "/api/" in path for path in is_open)
    assert server.stop() == 0


def test_a_description_needs_no_model(start_server, api):
    server = start_server("--session-len", "512")
    assert server.post("/models/unload", {"model": "smollm2"})[0] == 200
    assert json.dumps(server.get("/openapi.json")[1]) == json.dumps(api)
    assert {one["status"]["value"] for one in server.get("/models")[1]["data"]} == {"unloaded"}
    assert server.stop() == 0
