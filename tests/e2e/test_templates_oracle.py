"""The Jinja engine against jinja2, byte for byte: every template of tests/fixtures/templates over many conversations,
random expressions, random whitespace control, and the promise that a user's bytes keep their mark.

The oracle is jinja2 set up as transformers does it. Lists may be changed in place (append, pop) in both, which the
immutable sandbox of transformers refuses; templates that do it are rendered with the mutable sandbox.
"""
import datetime
import json
import os
import pathlib
import random
import subprocess

import jinja2
import jinja2.ext
import jinja2.sandbox
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "tests" / "fixtures" / "templates").glob("*.jinja"))
NOW = datetime.datetime(2025, 7, 9, 14, 3, 7)
BOS, EOS = "<s>", "</s>"


def find_tool():
    build = pathlib.Path(os.environ.get("TURGO_BUILD_DIR", ROOT / "build"))
    for path in (build / "tests" / "tools" / "render_template", build / "bin" / "render_template"):
        if path.exists():
            return path
    raise AssertionError(f"render_template is not in {build}; build with -DTURGO_TESTS=ON and set TURGO_BUILD_DIR")


class Generation(jinja2.ext.Extension):
    """{% generation %}: transformers marks the assistant's bytes with it; the text is that of its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def make_environment(sandbox):
    environment = sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.filters["from_json"] = json.loads
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = NOW.strftime
    environment.globals["dict"] = dict
    return environment


IMMUTABLE = make_environment(jinja2.sandbox.ImmutableSandboxedEnvironment)
MUTABLE = make_environment(jinja2.sandbox.SandboxedEnvironment)


def run_tool(jobs):
    """One result per job; the tool reads and writes JSON lines."""
    lines = "".join(json.dumps(job) + "\n" for job in jobs)
    done = subprocess.run([find_tool()], input=lines.encode(), capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    results = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]
    assert len(results) == len(jobs)
    return results


def make_job(source, messages, tools=None, add_generation_prompt=True, kwargs=None):
    job = {"template": source, "messages": messages, "add_generation_prompt": add_generation_prompt, "bos_token": BOS,
           "eos_token": EOS, "now": [NOW.year, NOW.month, NOW.day, NOW.hour, NOW.minute, NOW.second]}
    if tools is not None:
        job["tools"] = tools
    if kwargs:
        job["kwargs"] = kwargs
    return job


def reference(template, job):
    """The text that jinja2 renders, or None where it raises."""
    variables = json.loads(json.dumps({k: job.get(k) for k in ("messages", "tools", "kwargs")}))
    try:
        return template.render(messages=variables["messages"], tools=variables["tools"],
                               add_generation_prompt=job["add_generation_prompt"], bos_token=BOS, eos_token=EOS,
                               **(variables["kwargs"] or {}))
    except (jinja2.exceptions.TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError,
            RecursionError) as error:
        job["why"] = repr(error)
        return None


def compare(jobs, templates):
    """Asserts equality of text, or an error on both sides; returns how many were texts."""
    num_texts = 0
    for job, template, result in zip(jobs, templates, run_tool(jobs)):
        wanted = reference(template, job)
        got = result.get("text")
        if wanted != got:
            detail = json.dumps({k: job[k] for k in ("why", "template", "messages", "tools", "kwargs") if k in job})[:3000]
            raise AssertionError(f"jinja2: {wanted!r}\nours:   {got!r} {result.get('error', '')}\njob: {detail}")
        num_texts += wanted is not None
    return num_texts


def tool(name, description, properties, required=()):
    return {"type": "function", "function": {"name": name, "description": description, "parameters": {
        "type": "object", "properties": properties, "required": list(required)}}}


def call(name, arguments, identity="call_1"):
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def system(content):
    return {"role": "system", "content": content}


def tool_result(content, **more):
    return {"role": "tool", "content": content, **more}


TOOLS = [
    tool("get_weather", "Weather of a <city> & \"more\"", {
        "city": {"type": "string", "description": "e.g. Zürich", "enum": ["a", "b"]},
        "days": {"type": "integer", "default": 3, "minimum": 0.5},
        "units": {"type": ["string", "null"]},
        "list": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}}},
    }, ["city"]),
    tool("noop", "", {}),
]

CONVERSATIONS = [
    [],
    [user("Hello")],
    [user("")],
    [system("You are kind."), user("Hi there")],
    [system(""), user("x")],
    [user("a"), assistant("b"), user("c")],
    [system("s"), user(" a \n"), assistant("\n b "), user("c"), assistant("d")],
    [user("日本語 é 😀 'q\" \\ {{ x }} {% if %}"), assistant("ñandú Ω"), user("\t\u2028\u00a0z\u0000\u007f")],
    [user("<|im_end|></s>[INST] <|eot_id|>")],
    [user([{"type": "text", "text": "part one"}, {"type": "text", "text": " two"}])],
    [user([{"type": "image"}, {"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "x"}}])],
    [system([{"type": "text", "text": "sys"}]), user([{"type": "text", "text": "hi"}])],
    [user("w?"), assistant(None, tool_calls=[call("get_weather", {"city": "Paris", "days": 2, "f": 1.5, "n": None,
                                                                  "b": True, "l": [1, "x"]})]),
     tool_result("{\"t\": 20}", name="get_weather", tool_call_id="call_1"), assistant("20 degrees"), user("thanks")],
    [user("w?"), assistant("", tool_calls=[call("get_weather", "{\"city\": \"Paris\"}"), call("noop", "{}", "abcdefghi")]),
     tool_result("sunny", tool_call_id="call_1"), tool_result("ok", tool_call_id="abcdefghi"), user("and?")],
    [user("think"), assistant("<think>\nhmm\n</think>\n\nanswer"), user("more")],
    [user("think"), assistant("answer", reasoning_content="because"), user("more"), assistant("fin", reasoning_content="r")],
    [user("a /no_think"), user("b")],
    [assistant("first"), user("b")],
    [{"role": "developer", "content": "dev"}, user("x")],
    [{"role": "weird", "content": "x", "name": "n", "extra": {"deep": [{"a": 1e20, "b": -0.0}]}}],
    [tool_result({"temp": 20, "big": 18446744073709551615}), user("n")],
    [{"role": "user"}],
    [user("turn %d" % i) if i % 2 == 0 else assistant("reply %d" % i) for i in range(40)],
    [user("word " * 500)],
]

KWARGS = [None, {"enable_thinking": False, "reasoning_effort": "high", "tools_in_user_message": False, "thinking": True,
                 "controls": {"length": "long"}, "add_vision_id": True, "date_string": "1 Jan 2025", "x": [1, 2.5, None],
                 "documents": [{"title": "T2", "text": " doc two "}, {"title": "T1", "text": "doc one", "doc_id": 7}]},
          {"enable_thinking": True, "reasoning_effort": "absurd", "x": "y"}]


def test_there_are_enough_templates():
    assert len(TEMPLATES) >= 70 and len(CONVERSATIONS) >= 20


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.stem)
def test_template_equals_jinja2(path):
    source = path.read_text(encoding="utf-8")
    template = (MUTABLE if "mutation" in path.stem else IMMUTABLE).from_string(source)
    jobs = [make_job(source, messages, tools, prompt, kwargs) for messages in CONVERSATIONS for tools in (None, TOOLS)
            for prompt in (True, False) for kwargs in KWARGS]
    num_texts = compare(jobs, [template] * len(jobs))
    assert num_texts >= len(jobs) // 10, "nearly every conversation is refused: the template tests nothing"


# --- random expressions ---

class Expressions:
    """Random expressions by type; about one in ten is wrong on purpose, so that errors are compared too."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, *choices):
        return self.random.choice(choices)

    def any(self, depth):
        return self.pick(self.integer, self.number, self.text, self.sequence, self.mapping, self.boolean)(depth)

    def integer(self, depth):
        if depth <= 0 or self.random.random() < 0.2:
            return self.pick("0", "1", "2", "7", "-3", "10", "true", "n", "100")
        d = depth - 1
        return self.pick(
            lambda: f"({self.integer(d)} {self.pick('+', '-', '*', '//', '%')} {self.integer(d)})",
            lambda: f"({self.text(d)} | length)", lambda: f"({self.sequence(d)} | length)",
            lambda: f"({self.text(d)} | int)", lambda: f"({self.number(d)} | int)", lambda: f"{self.text(d)}.find({self.text(0)})",
            lambda: f"{self.text(d)}.count({self.text(0)})", lambda: f"({self.sequence(d)} | first | default(4))",
            lambda: f"({self.integer(d)} if {self.boolean(d)} else {self.integer(d)})", lambda: f"(-{self.integer(d)})",
            lambda: f"({self.integers(d)} | {self.pick('sum', 'max', 'min', 'first', 'last', 'length')})",
            lambda: f"({self.integer(d)} | abs)")()

    def number(self, depth):
        if depth <= 0 or self.random.random() < 0.2:
            return self.pick("0.5", "1.0", "2.25", "1e3", "-0.1", "1e-7", "3", "x", "1e16", "123456.789")
        d = depth - 1
        return self.pick(
            lambda: f"({self.number(d)} {self.pick('+', '-', '*', '/', '//', '%')} {self.number(d)})",
            lambda: f"({self.number(d)} | round(" + self.pick("", "1", "2", "0, 'floor'", "1, 'ceil'") + "))",
            lambda: f"({self.text(d)} | float)", lambda: f"({self.integer(d)} / 4)", lambda: f"({self.integer(d)} | float)",
            lambda: f"(2 ** {self.pick('3', '-2', '0.5', '10')})", self.any_of(d))()

    def any_of(self, depth):
        return lambda: self.any(depth)

    def text(self, depth):
        if depth <= 0 or self.random.random() < 0.2:
            return self.pick("'abc'", "'Hello World'", "''", "' pad '", "'a,b,,c'", "'é😀ß'", "'12'", "'3.5'", "\"q'\"", "s",
                             "'l1\\nl2\\n'", "messages[0].content", "messages[0].role", "'ΑΣ ΣΑ'")
        d = depth - 1
        method = self.pick("upper()", "lower()", "strip()", "title()", "capitalize()", "lstrip('a')", "rstrip()", "swapcase()",
                           "replace('l', 'L')", "replace('', '-', 3)", "center(9, '*')", "ljust(6)", "rjust(6, '.')", "zfill(5)",
                           "removeprefix('a')", "removesuffix('c')")
        filters = self.pick("upper", "lower", "trim", "title", "capitalize", "reverse", "string", "replace('a', 'bb')",
                            "truncate(5)", "truncate(7, true, '~', 0)", "indent(2)", "indent(1, true, true)", "center(8)",
                            "default('d')", "first | default('')", "last | default('')", "tojson", "urlencode", "list | join('.')")
        return self.pick(
            lambda: f"({self.text(d)} {self.pick('~', '+')} {self.text(d)})", lambda: f"({self.any(d)} ~ {self.any(d)})",
            lambda: f"{self.text(d)}.{method}", lambda: f"({self.text(d)} | {filters})", lambda: f"({self.text(d)} * 2)",
            lambda: f"{self.text(d)}[{self.slice()}]", lambda: f"({self.any(d)} | tojson)", lambda: f"({self.any(d)} | string)",
            lambda: f"({self.sequence(d)} | join({self.text(0)}))", lambda: f"('%s|%s' % ({self.any(d)}, {self.any(d)}))",
            lambda: f"'{{}}:{{!r:>7}}'.format({self.text(d)}, {self.text(d)})",
            lambda: f"({self.text(d)} if {self.boolean(d)} else {self.text(d)})",
            lambda: f"({self.any(d)} | tojson(indent={self.pick('0', '1', '3', 'none')}, sort_keys={self.pick('true', 'false')}, "
                    f"ensure_ascii={self.pick('true', 'false')}))",
            lambda: f"('{self.pick('%d', '%5d', '%-4d|', '%x', '%.2f', '%08.3f', '%e', '%g', '%s', '%r')}' % {self.integer(d)})",
            lambda: f"'{self.pick('{:d}', '{:>5}', '{:<5}|', '{:^7}', '{:+}', '{:05}', '{:,}', '{:.3f}', '{:x}')}'.format({self.integer(d)})")()

    def slice(self):
        part = lambda: self.pick("", "0", "1", "2", "-1", "-2", "5", "100", "-100")
        return self.pick(f"{part()}:{part()}", f"{part()}:{part()}:{self.pick('1', '2', '-1', '-2')}")

    def integers(self, depth):
        if depth <= 0 or self.random.random() < 0.3:
            return self.pick("[3, 1, 2]", "range(4)", "[1]", "[5, 5, -1, 0]", "range(6, 0, -2)")
        d = depth - 1
        return self.pick(
            lambda: f"[{self.integer(d)}, {self.integer(d)}, {self.integer(d)}]", lambda: f"({self.integers(d)} | sort)",
            lambda: f"({self.integers(d)} | list)", lambda: f"({self.integers(d)} | select('{self.pick('odd', 'even')}') | list)",
            lambda: f"({self.integers(d)} | reject('gt', 1) | list)", lambda: f"({self.integers(d)} | unique | list)",
            lambda: f"({self.integers(d)} | reverse | list)", lambda: f"({self.integers(d)} | list)[{self.slice()}]")()

    def sequence(self, depth):
        if depth <= 0 or self.random.random() < 0.2:
            return self.pick("[]", "[1, 'a', none]", "('t', 2.5)", "['b', 'A', 'c']", "range(3)", "messages", "(1,)", "'xyz'")
        d = depth - 1
        return self.pick(
            lambda: f"[{self.any(d)}, {self.any(d)}]", lambda: f"({self.any(d)}, {self.any(d)})", lambda: self.integers(d),
            lambda: f"{self.text(d)}.split({self.pick('', repr(','), repr('l'), 'none, 1')})", lambda: f"({self.mapping(d)} | list)",
            lambda: f"({self.mapping(d)} | dictsort)", lambda: f"({self.mapping(d)}.items() | list)",
            lambda: f"({self.sequence(d)} | map('string') | list)", lambda: f"({self.sequence(d)} | list)[{self.slice()}]",
            lambda: f"({self.sequence(d)} | batch(2) | list)", lambda: f"({self.sequence(d)} | slice(2) | list)",
            lambda: f"({self.sequence(d)} | map('string') | sort)", lambda: f"({self.sequence(d)} | select('string') | list)",
            lambda: f"(messages | map(attribute='{self.pick('role', 'content', 'nope')}') | list)",
            lambda: f"(messages | selectattr('role', 'equalto', 'user') | list)",
            lambda: f"{self.text(d)}.{self.pick('partition', 'rpartition')}(' ')", lambda: f"{self.text(d)}.splitlines()",
            lambda: f"({self.sequence(d)} | list + {self.sequence(d)} | list)", lambda: f"({self.sequence(d)} | reject('none') | list)")()

    def mapping(self, depth):
        if depth <= 0 or self.random.random() < 0.3:
            return self.pick("{}", "{'a': 1, 'b': [2]}", "{'z': 'Z', 'a': none, 'M': 1.0}", "messages[0]", "{1: 'one', 'two': 2}")
        d = depth - 1
        return self.pick(
            lambda: f"{{{self.text(0)}: {self.any(d)}, 'k': {self.any(d)}}}", lambda: f"dict(a={self.any(d)}, b={self.any(d)})",
            lambda: f"({self.mapping(d)} | tojson | from_json)", lambda: f"{self.mapping(d)}.get('a', {{}})",
            lambda: f"{self.mapping(d)}.copy()")()

    def boolean(self, depth):
        if depth <= 0 or self.random.random() < 0.2:
            return self.pick("true", "false", "none", "add_generation_prompt", "tools", "nothing")
        d = depth - 1
        test = self.pick("defined", "none", "string", "number", "mapping", "iterable", "sequence", "boolean", "integer", "float",
                         "undefined", "true", "false", "callable", "lower", "upper")
        return self.pick(
            lambda: f"({self.any(d)} is {self.pick('', 'not ')}{test})", lambda: f"({self.any(d)} == {self.any(d)})",
            lambda: f"({self.number(d)} {self.pick('<', '<=', '>', '>=', '!=')} {self.number(d)})",
            lambda: f"({self.text(d)} {self.pick('<', '>=', '==', 'in', 'not in')} {self.text(d)})",
            lambda: f"({self.any(d)} {self.pick('in', 'not in')} {self.sequence(d)})", lambda: f"(not {self.any(d)})",
            lambda: f"({self.any(d)} {self.pick('and', 'or')} {self.any(d)})", lambda: f"({self.integer(d)} is {self.pick('odd', 'even', 'divisibleby 3')})",
            lambda: f"({self.number(d)} < {self.number(d)} <= {self.number(d)})",
            lambda: f"{self.text(d)}.{self.pick('startswith', 'endswith')}({self.text(0)})",
            lambda: f"{self.text(d)}.{self.pick('isalpha()', 'isdigit()', 'isupper()', 'isspace()', 'isalnum()', 'islower()')}")()


# What the two sides may word differently: objects without a textual form of their own, and Python's unbounded integers.
OPAQUE = ("<generator", "<function", "<built-in", "<bound", " object at 0x", "<list_reverseiterator", "<Macro", "<class", "<map")


@pytest.mark.parametrize("seed", range(8))
def test_random_expressions(seed):
    expressions = Expressions(seed)
    messages = [{"role": "user", "content": "Hello, a b"}, {"role": "assistant", "content": None}]
    jobs, templates = [], []
    while len(jobs) < 500:
        source = "{{ " + expressions.any(4) + " }}"
        template = IMMUTABLE.from_string(source)
        job = make_job(source, messages, None, True, {"n": 5, "x": 2.5, "s": "Some Text"})
        wanted = reference(template, job)
        if wanted is not None and (len(wanted) > 100000 or any(mark in wanted for mark in OPAQUE)):
            continue
        jobs.append(job)
        templates.append(template)
    num_texts = compare(jobs, templates)
    assert num_texts > 150, num_texts


def random_template(rng, depth, names):
    """Statements with random whitespace control around and inside them."""
    spaces = lambda: rng.choice(["", " ", "\n", "  \n", "\n  ", "\t", "\n\n", " \r\n ", "x", "x\n", "\n x", "é "])
    begin = lambda: "{%" + rng.choice(["", "", "-", "+"]) + rng.choice(["", " "])
    end = lambda: rng.choice(["", " "]) + rng.choice(["", "", "-", "+"]) + "%}"
    expression = lambda: "{{" + rng.choice(["", "-"]) + " " + rng.choice(names + ["loop.index", "1 + 1", "'s'", "y ~ z", "[y]"]) + \
        " " + rng.choice(["", "-"]) + "}}"
    parts = []
    for _ in range(rng.randint(1, 4)):
        parts.append(spaces())
        kind = rng.choice(["expression", "if", "for", "set", "comment", "raw", "setblock", "filter", "with", "macro", "generation"])
        inner = (lambda: random_template(rng, depth - 1, names)) if depth > 0 else spaces
        if kind == "expression":
            parts.append(expression())
        elif kind == "if":
            parts.append(begin() + "if " + rng.choice(["true", "y is defined", "false", "not z"]) + end() + inner())
            if rng.random() < 0.4:
                parts.append(begin() + "elif " + rng.choice(["true", "z is defined"]) + end() + inner())
            if rng.random() < 0.5:
                parts.append(begin() + "else" + end() + inner())
            parts.append(begin() + "endif" + end())
        elif kind == "for":
            parts.append(begin() + "for " + rng.choice(["y in [1, 2]", "z in 'ab'", "y in []", "y, z in {'k': 1}.items()",
                                                        "y in range(4) if y % 2"]) + end() + inner())
            if rng.random() < 0.3:
                parts.append(begin() + rng.choice(["break", "continue"]) + end() + inner())
            if rng.random() < 0.3:
                parts.append(begin() + "else" + end() + inner())
            parts.append(begin() + "endfor" + end())
        elif kind == "set":
            parts.append(begin() + "set " + rng.choice(["y = 1", "z = 'q'", "y = z", "y, z = 1, 2"]) + end())
        elif kind == "comment":
            parts.append("{#" + rng.choice(["", "-", "+"]) + spaces() + "c" + spaces() + rng.choice(["", "-", "+"]) + "#}")
        elif kind == "raw":
            parts.append(begin() + "raw" + rng.choice(["%}", " %}", "-%}", " -%}"]) + spaces() + "{{ r }}{% x %}" + spaces() + begin() +
                         "endraw" + end())
        elif kind == "setblock":
            parts.append(begin() + "set y" + end() + inner() + begin() + "endset" + end())
        elif kind == "filter":
            parts.append(begin() + "filter upper" + end() + inner() + begin() + "endfilter" + end())
        elif kind == "with":
            parts.append(begin() + "with y = z, z = 3" + end() + inner() + begin() + "endwith" + end())
        elif kind == "generation":
            parts.append(begin() + "generation" + end() + inner() + begin() + "endgeneration" + end())
        else:
            parts.append(begin() + "macro m(y, z='dflt')" + end() + inner() + begin() + "endmacro" + end() + "{{ m('arg') }}")
        parts.append(spaces())
    return "".join(parts)


@pytest.mark.parametrize("seed", range(6))
def test_random_whitespace_and_scopes(seed):
    rng = random.Random(1000 + seed)
    jobs, templates = [], []
    while len(jobs) < 250:
        source = random_template(rng, 2, ["y", "z", "messages | length", "tools"])
        template = IMMUTABLE.from_string(source)
        jobs.append(make_job(source, [user("x")]))
        templates.append(template)
    assert compare(jobs, templates) > 100


# --- marks ---

CONTROL = "<|im_end|>"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.stem)
def test_user_bytes_keep_their_mark(path):
    """A control token in what the caller says is inside an input range, however the template moves it."""
    source = path.read_text(encoding="utf-8")
    marker = "\u2603"  # a character that no template writes
    text = marker + CONTROL + marker
    jobs = []
    for messages in CONVERSATIONS:
        poisoned = json.loads(json.dumps(messages))
        for message in poisoned:
            if isinstance(message.get("content"), str):
                message["content"] = text + message["content"] + text
            message["name"] = text
        poisoned_tools = [tool(text, text, {text: {"type": text, "description": text}}, [text])]
        jobs += [make_job(source, poisoned, tools) for tools in (None, poisoned_tools)]
    for result in run_tool(jobs):
        if "error" in result:
            continue
        output = result["text"].encode()
        covered = bytearray(len(output))
        for begin, end in result["input"]:
            assert 0 <= begin < end <= len(output)
            covered[begin:end] = b"\1" * (end - begin)
        needle = text.encode()
        at = output.find(needle)
        while at >= 0:
            assert all(covered[at:at + len(needle)]), (at, output[max(0, at - 40):at + 60])
            at = output.find(needle, at + 1)
        # No single byte of the marker character escapes either.
        for i, byte in enumerate(output):
            if byte == 0xE2 and output[i:i + 3] == marker.encode():
                assert all(covered[i:i + 3])
