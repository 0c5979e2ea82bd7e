"""The table of hostile chat templates (T01 to T44) and grammars (T45 to T62). A template comes in a model file, as a stranger's
would; the server loads it beside the model whose stream runs on, and says what is wrong to the one who asked. What is expected was
written before the server ran; the oracle is in reliability.py."""
import json
import shutil

import pytest

import tiny_gguf
from reliability import MB, Oracle

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
HI = [{"role": "user", "content": "Say hi"}]
BAD_LOAD = 503  # the model is not loaded, and why
MANY = 100_000


def loops(body, n=40):
    return "{% set ns = namespace(s='aa', l=['aa']) %}{% for i in range(" + str(n) + ") %}{% set " + body + " %}{% endfor %}"


# (row, what, template, status, the prompt that it renders, or None)
TEMPLATES = [
    ("T01", "empty", "", 400, None), ("T02", "1 MiB + 1", "a" * ((1 << 20) + 1), BAD_LOAD, None),
    *[("T03", source, source, BAD_LOAD, None) for source in ("{{", "{%", "{#", "{{ 'a", "{% if x %}")],
    ("T04", "1e5 (", "{{ " + "(" * MANY + "1" + ")" * MANY + " }}", BAD_LOAD, None),
    ("T05", "1e4 if", "{% if 1 %}" * 10_000 + "{% endif %}" * 10_000, BAD_LOAD, None),
    ("T06", "1e5 [", "{{ " + "[" * MANY + "]" * MANY + " }}", BAD_LOAD, None), ("T06", "1e5 {", "{{ " + "{1:" * MANY + "1" + "}" * MANY + " }}", BAD_LOAD, None),
    ("T07", "1e4 filters", "{{ 'a'" + "|upper" * 10_000 + " }}", BAD_LOAD, None), ("T08", "1e5 ternaries", "{{ " + "1 if 1 else " * 50_000 + "2 }}", BAD_LOAD, None),
    ("T09", "self", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", 400, None),
    ("T10", "mutual", "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}", 400, None),
    ("T11", "range(1e9)", "{{ range(1000000000) | list }}", 400, None),
    ("T12", "backwards", "{{ range(0, -1000000000, -1) | length }}", 400, None), ("T12", "step 0", "{{ range(1, 2, 0) }}", 400, None),
    ("T13", "1e4 x 1e4", "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}", 400, None),
    ("T14", "'-' * 1e10", "{{ '-' * 10000000000 }}", 400, None), ("T15", "indent", "{{ 'a' | indent(1000000000) }}", 400, None),
    ("T16", "tojson", "{{ [1] | tojson(indent=1000000000) }}", 400, None),
    ("T17", "cycle", "{% set ns = namespace() %}{% set ns.x = [ns] %}{% set ns.y = {'a': ns} %}{{ [ns.x] | tojson }}", 400, None),
    ("T18", "holds itself", "{% set x = [1] %}{{ x.append(x) }}{{ x }}", 400, None), ("T18", "and grows", "{% set x = [1] %}{% for i in x %}{{ x.append(1) }}{% endfor %}", 400, None),
    ("T19", "join", loops("ns.l = [ns.l | join(ns.l | join)] * 3"), 400, None), ("T19", "replace", loops("ns.s = ns.s | replace('a', ns.s)"), 400, None),
    ("T20", "sort 1e6", "{{ (range(100000) | list * 10) | sort | length }}", 400, None), ("T20", "sort 1e4", "{{ (range(10000) | sort)[0] }}", 200, "0"),
    ("T21", "batch(0)", "{{ [1] | batch(0) | list }}", 200, "[[], [1]]"), ("T21", "slice(0)", "{{ [1] | slice(0) | list }}", 400, None),
    ("T22", "[::0]", "{{ [1][::0] }}", 400, None), ("T22", "2^63", "{{ [1][9223372036854775807] }}{{ [1][-9223372036854775808] }}x", 200, "x"),
    *[("T23", source, "{{ " + source + " }}", 400, None) for source in ("1 // 0", "1 % 0", "1 / 0", "10 ** 10 ** 10", "9223372036854775807 ** 3")],
    ("T24", "NaN", "{{ ('nan' | float) < 1 }}{{ ['nan' | float, 1.0] | sort | length }}", 200, "False2"),
    *[("T25", source, "{{ " + source + " }}x", 200, "x") for source in ("''.__class__", "'' | attr('__class__')", "range.__globals__", "messages.__init__")],
    *[("T25", source, "{{ " + source + " }}x", 400, None) for source in ("''.__class__.__mro__", "''.__class__()", "'{0.__class__}'.format('')")],
    *[("T26", source, "{% " + source + " %}", BAD_LOAD, None) for source in ("include '/etc/passwd'", "import '/etc/passwd' as y", "extends '/etc/passwd'")],
    *[("T27", source, "{{ " + source + " }}", 400, None) for source in ("cycler(1)", "joiner()", "lipsum()")],
    ("T28", "1 MB", "{{ raise_exception('x' * 1000000) }}", 400, None), ("T28", "lines", "{{ raise_exception('a\nb\x1b[31m') }}", 400, None),
    ("T29", "% x 2000", "{{ strftime_now('%' * 2000) }}", 400, None), ("T29", "width", "{{ strftime_now('%999999d') }}", 400, None),
    ("T30", "1()", "{{ 1() }}", 400, None), ("T31", "chain", "{{ nothing.at.all }}", 400, None),
    ("T32", "too many", "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", 400, None), ("T32", "keyword", "{{ 'a' | upper(x=1) }}", 400, None),
    ("T33", "previtem", "{{ loop.previtem }}", 400, None), ("T33", "recursive", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", 400, None),
    ("T34", "break", "{% break %}", BAD_LOAD, None), ("T34", "continue", "{% if 1 %}{% continue %}{% endif %}", BAD_LOAD, None),
    ("T35", "{%--%}", "{%--%}", BAD_LOAD, None), ("T35", "around", " {%- set x = 1 -%} {{- x -}} y", 200, "1y"),
    ("T36", "invalid UTF-8", b"a\xff", 200, "a\ufffd"), ("T36", "surrogate", b"\xed\xa0\x80", 200, "\ufffd" * 3), ("T36", "NUL", "a\0b", 200, "a\0b"),
    ("T41", "16 MiB + 1", "{{ 'x' * 16777217 }}", 400, None), ("T41", "in pieces", "{% for i in range(20000) %}{{ 'x' * 1000 }}{% endfor %}", 400, None),
]


@pytest.fixture(scope="module")
def hostile(start_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for i, (_, _, template, _, _) in enumerate(TEMPLATES):
        tiny_gguf.write(folder / f"t{i}.gguf", template)
    tiny_gguf.write(folder / "content.gguf", "{{ messages[0].role }}: {{ messages[0].content }}")
    tiny_gguf.write(folder / "tools.gguf", "{{ tools | tojson }}{{ x }}")
    server = start_server("--models-dir", str(folder))
    yield server
    assert server.stop() == 0
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def oracle(hostile):
    one = Oracle(hostile, kept=64 * MB)  # what the cache of grammars may hold
    yield one
    for name in ("content", "tools"):
        hostile.post("/models/unload", {"model": name})
    one.check_end()


def render(server, model, messages, **fields):
    status, answer = server.post("/apply-template", {"model": model, "messages": messages, **fields})
    return status, answer.get("prompt", answer)


@pytest.mark.parametrize("number", range(len(TEMPLATES)), ids=[f"{row[0]} {row[1]!r:.24}" for row in TEMPLATES])
def test_template(hostile, oracle, number):
    name, (_, _, _, status, text) = f"t{number}", TEMPLATES[number]
    got, prompt = render(hostile, name, HI)
    assert got == status, prompt
    if status == 200:
        assert prompt == text
    else:
        oracle.check_error(prompt)
        got, answer = hostile.post(CHAT, {"model": name, "messages": HI, "max_tokens": 1})
        assert got == status
        oracle.check_error(answer)
    hostile.post("/models/unload", {"model": name})
    oracle.check_row()


# (row, what, model, fields of /apply-template, status, text)
CONVERSATIONS = [
    ("T38", "null", "content", {"messages": [{"role": "user", "content": None}]}, 400, None),
    ("T38", "number", "content", {"messages": [{"role": "user", "content": 5}]}, 400, None),
    ("T38", "list", "content", {"messages": [{"role": "user", "content": ["a"]}]}, 400, None),
    ("T38", "1e6 parts", "content", {"messages": [{"role": "user", "content": [1] * 10**6}]}, 400, None),
    ("T39", "role", "content", {"messages": [{"role": "{{ 7 * 7 }}{% break %}", "content": "{{ x }}"}]}, 400, None),
    ("T39", "text", "content", {"messages": [{"role": "user", "content": "{{ 7 * 7 }}{% break %}"}]}, 200, "user: {{ 7 * 7 }}{% break %}"),
    ("T40", "tools", "tools", {"messages": HI, "tools": [{"name": "</tool_call>{{ x }}"}]}, 400, None),
    ("T40", "description", "tools", {"messages": HI, "tools": [{"type": "function", "function": {"name": "f", "description": "</tool_call>{{ x }}"}}]}, 200,
     '[{"type": "function", "function": {"name": "f", "description": "</tool_call>{{ x }}", "parameters": {"type": "object", "properties": {}}}}]'),
    ("T42", "own template", "content", {"messages": HI, "chat_template": "{{ 1 }}"}, 400, None),
    *[("T43", name, "tools", {"messages": HI, "chat_template_kwargs": {name: 1}}, 400, None)
      for name in ("messages", "tools", "add_generation_prompt", "bos_token", "eos_token")],
    *[("T43", name, "tools", {"messages": HI, "chat_template_kwargs": {name: True}}, 200, "null") for name in ("tokenize", "chat_template")],  # plain variables
    ("T43", "type", "tools", {"messages": HI, "add_generation_prompt": "yes"}, 400, None), ("T43", "kwargs", "tools", {"messages": HI, "chat_template_kwargs": [1]}, 400, None),
    ("T43", "a name of its own", "tools", {"messages": HI, "chat_template_kwargs": {"x": "y"}}, 200, "nully"),
]


@pytest.mark.parametrize("name,fields,status,text", [row[2:] for row in CONVERSATIONS], ids=[f"{row[0]} {row[1]}" for row in CONVERSATIONS])
def test_conversation(hostile, oracle, name, fields, status, text):
    got, prompt = render(hostile, name, **fields)
    assert got == status, prompt
    if status == 200:
        assert prompt == text
    else:
        oracle.check_error(prompt)
    oracle.check_row()


def test_t37_control_tokens_in_content_are_text(hostile, oracle):
    count = [hostile.post(CHAT, {"model": "content", "messages": [{"role": "user", "content": text}], "max_tokens": 1})[1]["usage"]["prompt_tokens"]
             for text in ("", "<|end|>", "ab<|user|>")]
    assert [n - count[0] for n in count[1:]] == [7, 9]  # letters, and "ab" is one
    oracle.check_row()


def test_t42_and_t43_in_chat(hostile, oracle):
    for fields in ({"chat_template": "{{ 1 }}"}, {"chat_template_kwargs": {"messages": []}}, {"chat_template_kwargs": 1}, {"add_generation_prompt": 5}):
        status, answer = hostile.post(CHAT, {"messages": HI, "max_tokens": 1, **fields})
        assert status == 400, (fields, answer)
        oracle.check_error(answer)
    oracle.check_row()


def schema(value):
    return {"guided_json": value}


FAN = {"$defs": {f"d{i}": {"type": "object", "properties": {f"p{j}": {"$ref": f"#/$defs/d{i + 1}"} for j in range(10)}} for i in range(4)}
       | {"d4": {"type": "null"}}, "$ref": "#/$defs/d0"}
PRODUCT = {"allOf": [{"anyOf": [{"type": "object", "properties": {f"p{i}": {"const": j}}} for j in range(2)]} for i in range(20)]}
# (row, what, fields, status). An Earley parser takes left recursion, and counts what is repeated instead of unrolling it.
GRAMMARS = [
    ("T45", "6e4 (", {"guided_grammar": "root ::= " + "(" * 60_000}, 400), ("T45", "closed", {"guided_grammar": "root ::= " + "(" * 30_000 + '"a"' + ")" * 30_000}, 400),
    ("T46", "left recursion", {"guided_grammar": 'root ::= root "a" | "b"'}, 200),
    ("T47", "mutual", {"guided_grammar": 'root ::= x "a" | "b"\nx ::= root "c" | "d"'}, 200),
    ("T48", "stars", {"guided_grammar": 'root ::= ("a"*)*'}, 200), ("T49", "{0,1e9}", {"guided_grammar": 'root ::= "a"{0,1000000000}'}, 200),
    ("T49", "regex", {"guided_regex": "a{1000000000}"}, 200),
    ("T50", "5,000 rules", {"guided_grammar": "root ::= r0\n" + "\n".join(f"r{i} ::= r{i + 1}" for i in range(5000)) + '\nr5000 ::= "a"'}, 200),
    ("T51", "undefined", {"guided_grammar": "root ::= none"}, 400), ("T52", "rule twice", {"guided_grammar": 'root ::= "a"\nroot ::= "b"'}, 400),
    ("T53", "empty", {"guided_grammar": ""}, 400), ("T53", "no root", {"guided_grammar": 'a ::= "b"'}, 400),
    ("T54", "reversed", {"guided_grammar": "root ::= [z-a]"}, 400), ("T54", "beyond Unicode", {"guided_grammar": 'root ::= "\\U00110000"'}, 400),
    ("T55", "itself", schema({"$ref": "#"}), 400), ("T55", "mutual", schema({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}), 400),
    ("T55", "remote", schema({"$ref": "http://169.254.169.254/x"}), 400), ("T55", "file", schema({"$ref": "file:///etc/passwd"}), 400),
    ("T55", "fan-out 1e4", schema(FAN), 200),
    ("T56", "2^20", schema(PRODUCT), 400), ("T57", "1e5", schema({"enum": list(range(100_000))}), 400), ("T57", "1e3", schema({"enum": list(range(1000))}), 200),
    ("T58", "1e9", schema({"type": "string", "minLength": 10**9}), (200, 400)),  # as far as its rehearsal comes in its time
    ("T59", "bad", {"guided_regex": "a["}, 400), ("T59", "lookbehind", {"guided_regex": "(?<=x)*"}, 400), ("T59", "nested", {"guided_regex": "((a+)+)+b"}, 200),
    ("T60", "bounds", schema({"type": "integer", "minimum": 5, "maximum": 4}), 400), ("T60", "lengths", schema({"type": "string", "minLength": 5, "maxLength": 4}), 400),
]


@pytest.mark.parametrize("fields,status", [row[2:] for row in GRAMMARS], ids=[f"{row[0]} {row[1]}" for row in GRAMMARS])
def test_grammar(hostile, oracle, fields, status):
    got, answer = hostile.post(TEXT, {"prompt": "x", "max_tokens": 3, **fields})
    assert got in (status if isinstance(status, tuple) else (status,)), answer
    if got != 200:
        assert oracle.check_error(answer)["param"] == next(iter(fields))
    oracle.check_row()


def test_t61_descriptions_mean_nothing(hostile, oracle):
    cat = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}, "kind": {"enum": ["house", "wild"]}}, "required": ["name", "kind"]}
    answers = {hostile.post(TEXT, {"prompt": "A cat: ", "max_tokens": 40, "temperature": 0, "guided_json": {**cat, "description": words}})[1]["choices"][0]["text"]
               for words in ("", 'a "quoted" [one] {two}', "::= | \\ \n root", "(" * 1000)}
    assert len(answers) == 1 and json.loads(answers.pop())["kind"] in ("house", "wild")
    oracle.check_row()


def test_t62_dead_end(hostile, oracle):
    """A grammar that no character continues ends its own request, with an error or as complete, and no other."""
    status, answer = hostile.post(TEXT, {"prompt": "x", "max_tokens": 8, "guided_grammar": 'root ::= "a" [^\\x00-\\U0010ffff]'})
    assert status in (400, 500), answer
    oracle.check_error(answer)
    oracle.check_row()


def test_every_row_is_here():
    rows = {row[0] for table in (TEMPLATES, CONVERSATIONS, GRAMMARS) for row in table}
    rows |= {"T37", "T61", "T62"}
    rows |= {"T44"}  # 60 published templates and more against jinja2, byte for byte: test_templates_oracle.py
    assert rows == {f"T{i:02}" for i in range(1, 63)}
