"""turgo eval tasks: likelihoods against sums over `eval logits`, the metrics and paired differences against numpy."""
import json

import numpy as np
import pytest

QUESTIONS = [("The capital of France is", ["a big yellow banana", "Paris", "London, of course"], 1),
             ("Water freezes at a temperature of", ["zero degrees Celsius", "ninety apples"], "A"),
             ("Two plus two equals ", ["four", "five hundred"], "four"),
             ("The opposite of hot is", ["Tuesday", "cold", "very hot indeed"], 1)]


@pytest.fixture()
def task(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text("\n".join(json.dumps({"query": q, "choices": c, "gold": g}) for q, c, g in QUESTIONS) + "\n\n")
    return path


def token_ids(turgo, model, text):
    return json.loads(turgo("tokenize", model, text, "--json", check=0).stdout)["token_ids"]


def test_choices_are_scored_as_lm_eval_does(turgo, model, task, tmp_path):
    models = json.loads(turgo("eval", "tasks", model, "--task", task, "--also", model, "--json", "--svg", tmp_path / "plot.svg", "--precision", "f32", check=0).stdout)
    acc, norm = [], []
    for query, choices, gold in QUESTIONS:
        sums = []
        for choice in choices:
            whole, head = token_ids(turgo, model, query + " " + choice), token_ids(turgo, model, query.rstrip(" "))
            turgo("eval", "logits", model, "--token-ids", ",".join(map(str, whole)), "--precision", "f32", "--output", tmp_path / "l.npy", check=0)
            rows = np.load(tmp_path / "l.npy").astype(np.float64)
            rows -= np.log(np.exp(rows - rows.max(1, keepdims=True)).sum(1, keepdims=True)) + rows.max(1, keepdims=True)
            sums.append(sum(rows[i - 1, whole[i]] for i in range(len(head), len(whole))))
        gold = {"A": 0, "four": 0}.get(gold, gold)
        acc.append(float(np.argmax(sums) == gold))
        norm.append(float(np.argmax([s / len(c) for s, c in zip(sums, choices)]) == gold))
    for m in models:
        metrics = m["tasks"][0]["metrics"]
        assert metrics["acc"]["scores"] == acc and metrics["acc_norm"]["scores"] == norm
        assert metrics["acc"]["value"] == np.mean(acc)
        assert metrics["acc"]["stderr"] == pytest.approx(np.std(acc, ddof=1) / len(acc) ** 0.5)
    assert 0.5 <= np.mean(acc) <= 1
    assert models[1]["tasks"][0]["metrics"]["acc"]["difference"] == 0
    svg = (tmp_path / "plot.svg").read_text()
    assert svg.startswith("<svg") and svg.count("<rect") == 1 + 2 * 2 + 2 and "facts · acc_norm" in svg


def test_generation_and_the_table(turgo, model, tmp_path):
    path = tmp_path / "say.jsonl"
    path.write_text(json.dumps({"question": "The capital of France is", "answer": "Paris"}) + "\n" + json.dumps({"question": "One, two, three,", "answer": "zebra"}))
    table = turgo("eval", "tasks", model, "--task", path, "--max-new-tokens", "8", check=0).stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert [row[1:4] for row in rows] == [["say", "2", "exact_match"], ["say", "2", "contains"]]
    assert float(rows[1][4]) == 0.5


@pytest.mark.parametrize("line, words", [("{", "line 1: not valid JSON"), ("[" * 1000, "nested deeper"), ("[1]", "a JSON object"), ('{"choices": ["a", "b"], "gold": 0}', "string \"query\""),
                                         ('{"query": "q", "choices": ["a"], "gold": 0}', "2 to 1,000 strings"), ('{"query": "q", "choices": ["a", "b"], "gold": 2}', "\"gold\""),
                                         ('{"query": "q", "choices": ["a", "b"]}', "\"gold\""), ('{"query": "q"}', "\"gold\""), ("", "found none"),
                                         ('{"query": "q", "answer": "a"}\n{"query": "q", "choices": ["a", "b"], "gold": 0}', "line 2: expected questions of one kind")])
def test_broken_questions_are_named(turgo, model, tmp_path, line, words):
    (tmp_path / "bad.jsonl").write_text(line)
    done = turgo("eval", "tasks", model, "--task", tmp_path / "bad.jsonl", check=2)
    assert words in done.stderr and done.stderr.count("\n") == 1
