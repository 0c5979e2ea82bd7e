"""Answers held to a JSON schema, regular expression, choice or grammar; bad ones are refused with the field's name, in
bounded time, while a neighbour's stream stays what it is (reliability rows H67, H68, H75, T45 to T62)."""
import json
import re
import time

import openai
import pydantic
import pytest

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
ASK = [{"role": "user", "content": "Tell me about a cat called Tom, as JSON."}]


def chat(server, **fields):
    status, answer = server.post(CHAT, {"messages": ASK, "max_tokens": 120, "temperature": 0, **fields})
    assert status == 200, answer
    return answer["choices"][0]


def text(server, **fields):
    status, answer = server.post(TEXT, {"prompt": "The answer is", "max_tokens": 40, "temperature": 0, **fields})
    assert status == 200, answer
    return answer["choices"][0]["text"]


CAT = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 30},
                                        "kind": {"enum": ["house", "wild"]}}, "required": ["name", "age", "kind"], "additionalProperties": False}


def test_json_schema(server):
    choice = chat(server, response_format={"type": "json_schema", "json_schema": {"name": "cat", "schema": CAT, "strict": True}})
    cat = json.loads(choice["message"]["content"])
    assert list(cat) == ["name", "age", "kind"] and 0 <= cat["age"] <= 30 and cat["kind"] in ("house", "wild")
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize("fields", [
    {"guided_json": CAT}, {"guided_json": json.dumps(CAT)}, {"structured_outputs": {"json": CAT}}, {"json_schema": CAT},
    {"response_format": {"type": "json_object", "schema": CAT}}])
def test_other_names_of_a_schema(server, fields):
    assert set(json.loads(chat(server, **fields)["message"]["content"])) == {"name", "age", "kind"}


def test_stream_equals_whole(server):
    fields = {"messages": ASK, "max_tokens": 120, "temperature": 0, "response_format": {"type": "json_schema", "json_schema": {"schema": CAT}}}
    whole = server.post(CHAT, fields)[1]["choices"][0]["message"]["content"]
    lines = server.post(CHAT, {**fields, "stream": True})[1].split("\n\n")
    deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in lines if line.startswith("data: {")]
    assert "".join(delta.get("content") or "" for delta in deltas) == whole


def test_json_object(server):
    for seed in range(3):
        choice = chat(server, response_format={"type": "json_object"}, temperature=1.0, seed=seed, max_tokens=300)
        if choice["finish_reason"] == "stop":
            assert isinstance(json.loads(choice["message"]["content"]), dict)
        else:
            assert choice["message"]["content"].lstrip().startswith("{")


@pytest.mark.parametrize("n", [3])
def test_regex_choice_and_grammar(server, n):
    assert re.fullmatch(r"[0-9]{3}-[a-f]+!", text(server, guided_regex="[0-9]{3}-[a-f]{1,5}!"))
    assert text(server, response_format={"type": "regex_schema", "regex_schema": "(yes|no)"}) in ("yes", "no")
    assert text(server, guided_choice=["red", 'a "quoted" one', "größe"]) in ("red", 'a "quoted" one', "größe")
    grammar = 'root ::= greeting " " name\ngreeting ::= "Hello" | "Bye"\nname ::= [A-Z] [a-z]{2,4}'
    assert re.fullmatch("(Hello|Bye) [A-Z][a-z]{2,4}", text(server, guided_grammar=grammar))
    status, answer = server.post(TEXT, {"prompt": "x", "guided_choice": ["aa", "bb"], "n": n, "temperature": 2, "seed": 1})
    assert status == 200 and {choice["text"] for choice in answer["choices"]} <= {"aa", "bb"}


def test_parse_of_the_openai_client(server):
    class Cat(pydantic.BaseModel):
        name: str
        age: int
        lives: list[int]

    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client:
        try:
            done = client.chat.completions.parse(model="smollm2", messages=ASK, response_format=Cat, temperature=0, max_tokens=200)
            assert isinstance(done.choices[0].message.parsed, Cat)
        except openai.LengthFinishReasonError as error:  # a long list of lives is a right answer too
            assert error.completion.choices[0].message.content.startswith("{")


def nested(depth, leaf="{}"):
    return '{"type":"object","properties":{"a":' * depth + leaf + "}}" * depth


def schema(value):
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": value}}}


PRODUCT = {"allOf": [{"anyOf": [{"type": "object", "properties": {f"p{i}": {"const": j}}} for j in range(4)]} for i in range(20)]}
BAD = [
    ("format without type", {"response_format": {}}, "response_format.type"),
    ("format unknown", {"response_format": {"type": "xml"}}, "response_format.type"),
    ("format no object", {"response_format": "json"}, "response_format"),
    ("format stray field", {"response_format": {"type": "text", "x": 1}}, "response_format.x"),
    ("schema missing", {"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ("schema is a list", schema([1]), "response_format.json_schema.schema"),
    ("schema is broken JSON", {"guided_json": "{"}, "guided_json"),
    ("T55 remote $ref", schema({"$ref": "http://169.254.169.254/x"}), "response_format.json_schema.schema"),
    ("T55 $ref to a file", {"guided_json": {"properties": {"a": {"$ref": "file:///etc/passwd"}}}}, "guided_json"),
    ("$ref to nowhere", schema({"$ref": "#/$defs/none"}), "response_format"),
    ("type nope", schema({"type": "nope"}), "response_format"),
    ("T60 unsatisfiable", schema({"type": "integer", "minimum": 5, "maximum": 4}), "response_format"),
    ("T56 product", schema(PRODUCT), "response_format"),
    ("not", {"guided_json": {"not": {"type": "string"}}}, "guided_json"),
    ("if", {"guided_json": {"type": "object", "properties": {"if": {"if": {}}}}}, "guided_json"),
    ("unique", {"guided_json": {"type": "array", "uniqueItems": True}}, "guided_json"),
    ("pattern with lookahead", schema({"type": "string", "pattern": "(?=a)b"}), "response_format"),
    ("H67 10k brackets", {"guided_regex": "(" * 10_000}, "guided_regex"),
    ("T59 bad regex", {"guided_regex": "a["}, "guided_regex"),
    ("H67 lookbehind", {"guided_regex": "(?<=x)*"}, "guided_regex"),
    ("regex empty", {"guided_regex": ""}, "guided_regex"),
    ("T45 60,000 brackets", {"guided_grammar": "root ::= " + "(" * 60_000}, "guided_grammar"),
    ("T45 closed brackets", {"guided_grammar": "root ::= " + "(" * 30_000 + '"a"' + ")" * 30_000}, "guided_grammar"),
    ("T51 undefined rule", {"guided_grammar": "root ::= none"}, "guided_grammar"),
    ("T52 no root", {"guided_grammar": 'a ::= "b"'}, "guided_grammar"),
    ("T53 empty", {"guided_grammar": ""}, "guided_grammar"),
    ("T54 reversed range", {"guided_grammar": "root ::= [z-a]"}, "guided_grammar"),
    ("too large", {"guided_grammar": 'root ::= "' + "a" * 300_000 + '"'}, "guided_grammar"),
    ("choice empty", {"guided_choice": []}, "guided_choice"),
    ("choice of numbers", {"guided_choice": [1]}, "guided_choice"),
    ("two at once", {"guided_regex": "a", "guided_choice": ["b"]}, "guided_choice"),
    ("ignore_eos", {"guided_choice": ["b"], "ignore_eos": True}, "ignore_eos"),
]


@pytest.mark.parametrize("name,fields,param", BAD, ids=[row[0] for row in BAD])
def test_bad_grammars(server, name, fields, param):
    begin = time.monotonic()
    status, answer = server.post(TEXT, {"prompt": "x", "max_tokens": 4, **fields})
    assert status == 400, answer
    assert answer["error"]["param"] == param and len(json.dumps(answer)) < 2048, answer
    assert ".cc" not in answer["error"]["message"] and "/root" not in answer["error"]["message"]
    assert time.monotonic() - begin < 30
    assert server.get("/livez")[0] == 200


# What is odd but means something: an answer, or the 400 of a limit; never anything else.
ODD = [
    ("T49 a{1e9}", {"guided_regex": "a{1000000000}"}), ("T49 {0,1e9}", {"guided_grammar": 'root ::= "a"{0,1000000000}'}),
    ("H67 minItems 1e9", schema({"type": "array", "items": {"type": "integer"}, "minItems": 10**9})),
    ("T58 minLength 1e9", schema({"type": "string", "minLength": 10**9})),
    ("keywords as names", {"guided_json": {"type": "object", "properties": {"not": {"type": "null"}, "if": {"type": "null"}}}}),
    ("H67 $ref to itself", schema({"$ref": "#"})), ("H67 recursive", schema({"type": "object", "properties": {"a": {"$ref": "#"}}})),
    ("mutual $ref", schema({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"})),
    ("H67 depth 30", {"guided_json": nested(28)}), ("T57 enum 1e4", schema({"enum": list(range(10_000))})),
    ("nested stars", {"guided_regex": "(a+)+$"}), ("T48 stars", {"guided_grammar": 'root ::= ("a"*)*'}),
    ("T46 left recursion", {"guided_grammar": 'root ::= root "a" | "b"'}),
    ("T47 mutual rules", {"guided_grammar": 'root ::= x "a" | "b"\nx ::= root "c" | "d"'}),
    ("T50 chain", {"guided_grammar": "root ::= r0\n" + "\n".join(f"r{i} ::= r{i + 1}" for i in range(3000)) + '\nr3000 ::= "a"'}),
    ("$ref fan-out", schema({"$defs": {f"d{i}": {"type": "object", "properties": {"a": {"$ref": f"#/$defs/d{i + 1}"}, "b": {"$ref": f"#/$defs/d{i + 1}"}}}
                                       for i in range(20)} | {"d20": {"type": "null"}}, "$ref": "#/$defs/d0"})),
]


@pytest.mark.parametrize("name,fields", ODD, ids=[row[0] for row in ODD])
def test_odd_grammars(server, name, fields):
    begin = time.monotonic()
    status, answer = server.post(TEXT, {"prompt": "x", "max_tokens": 4, **fields})
    assert status in (200, 400), answer
    assert time.monotonic() - begin < 30
    assert server.get("/livez")[0] == 200


def test_description_changes_nothing(server):
    """T61: what a schema's description says, quotes and brackets too, is no part of what it accepts."""
    answers = [chat(server, guided_json={**CAT, "description": words})["message"]["content"]
               for words in ("", 'a "quoted" [one] {two}', "::= | \\ \n root")]
    assert len(set(answers)) == 1


def test_many_schemas_stay_bounded(server):
    """H75: the cache of compiled schemas does not grow with their number."""
    def resident():
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) // 1024

    def ask(i):
        return server.post(TEXT, {"prompt": "x", "max_tokens": 1, "guided_regex": f"id-{i}-[a-z]{{2}}"})[0]

    assert all(ask(i) == 200 for i in range(20))
    before = resident()
    assert all(ask(i) == 200 for i in range(20, 120))
    assert resident() - before < 64
