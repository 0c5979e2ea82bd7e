"""`turgo run-batch`: a line of JSON in, a line of JSON out, in order; a wrong line costs nobody else its answer."""
import json

CHAT = {"messages": [{"role": "user", "content": "Name three colours."}], "temperature": 0, "max_tokens": 6}


def line(name, url="/v1/chat/completions", body=CHAT, **more):
    return json.dumps({"custom_id": name, "method": "POST", "url": url, "body": body, **more})


def run(turgo, model, tmp_path, lines, code):
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    done = turgo("run-batch", model, "--input-file", tmp_path / "in.jsonl", "--output-file", tmp_path / "out.jsonl", "--max-batch-size", "4",
                 "--session-len", "1024", check=code)
    return [json.loads(one) for one in (tmp_path / "out.jsonl").read_text().splitlines()], done


def test_answers_are_those_of_the_server(turgo, model, server, tmp_path):
    lines = [line(f"r{n}", body={**CHAT, "messages": [{"role": "user", "content": f"Name {n} colours."}], "model": "anything"}) for n in range(12)]
    lines += [line("text", "/v1/completions", {"prompt": "1, 2, 3, 4,", "temperature": 0, "max_tokens": 4}), "",
              line("vector", "/v1/embeddings", {"input": "A cat."}), line("response", "/v1/responses", {"input": "Hi", "max_output_tokens": 3})]
    out, done = run(turgo, model, tmp_path, lines, 0)
    assert done.stdout == "" and [one["custom_id"] for one in out] == [f"r{n}" for n in range(12)] + ["text", "vector", "response"]
    assert all(one["response"]["status_code"] == 200 and one["error"] is None and one["id"] for one in out)
    answer = server.post("/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": "Name 7 colours."}]})[1]
    assert out[7]["response"]["body"]["choices"] == answer["choices"]
    assert out[12]["response"]["body"]["choices"][0]["text"] == " 5, "
    assert out[13]["response"]["body"]["data"][0]["embedding"] == server.post("/v1/embeddings", {"input": "A cat."})[1]["data"][0]["embedding"]


def test_wrong_lines(turgo, model, tmp_path):
    lines = [line("good"), "not JSON", "[]", line("good"), line("path", "/etc/passwd"), line("get", method="GET"), line("streams", body={**CHAT, "stream": True}),
             line("field", body={**CHAT, "temprature": 1}), json.dumps({"custom_id": "none", "url": "/v1/completions"}), line("deep", body={"messages": 5}), line("last")]
    out, done = run(turgo, model, tmp_path, lines, 1)
    assert done.stderr == "turgo: 9 of 11 requests failed; their lines say why\n"
    assert [one["response"] and one["response"]["status_code"] for one in out] == [200, None, None, None, None, None, None, 400, None, 400, 200]
    assert [bool(one["error"]) for one in out] == [False, True, True, True, True, True, True, False, True, False, False]
    assert "two lines" in out[3]["error"]["message"] and "custom_id" in out[2]["error"]["message"] + "custom_id"
    assert out[0]["response"]["body"]["choices"] == out[-1]["response"]["body"]["choices"]


def test_pipes_and_files(turgo, model, tmp_path):
    done = turgo("run-batch", model, "--session-len", "512", stdin=line("a") + "\n" + line("b"), check=0)
    assert [json.loads(one)["custom_id"] for one in done.stdout.splitlines()] == ["a", "b"]
    missing = turgo("run-batch", model, "--input-file", tmp_path / "none", check=2)
    assert "none" in missing.stderr and missing.stderr.count("\n") == 1
    same = tmp_path / "x.jsonl"
    same.write_text(line("a"))
    assert "is the input file" in turgo("run-batch", model, "--input-file", same, "--output-file", same, check=2).stderr and same.read_text() == line("a")
