"""`lm_eval --model local-completions` on a local task: multiple choice by the log probabilities of echoed prompts, with the server's
own tokenizer (/tokenizer_info, /tokenize), scores as from our own logits."""
import json
import os
import pathlib
import subprocess
import sys

ROWS = [("The capital of France is", [" Paris", " Berlin", " a banana"]), ("The capital of Italy is", [" Rome", " Oslo", " seven"]),
        ("The capital of Japan is", [" Tokyo", " Lima", " green"]), ("One plus one is", [" two", " Paris", " purple"]),
        ("The opposite of hot is", [" cold", " table", " seventeen"]), ("Water is made of hydrogen and", [" oxygen", " trousers", " Monday"])]


def test_local_task(server, tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(json.dumps({"question": question, "choices": choices}) for question, choices in ROWS))
    task = (pathlib.Path(__file__).parent / "task" / "capitals.yaml").read_text().replace("DATA", str(data))
    (tmp_path / "capitals.yaml").write_text(task)
    arguments = f"model=smollm2,base_url={server.url}/v1/completions,tokenizer_backend=remote,num_concurrent=2,max_length=2048,tokenized_requests=False"
    done = subprocess.run([sys.executable, "-m", "lm_eval", "--model", "local-completions", "--model_args", arguments, "--tasks", "turgo_capitals",
                           "--include_path", str(tmp_path), "--output_path", str(tmp_path / "out"), "--batch_size", "2"], capture_output=True, text=True, timeout=600,
                          env={**os.environ, "HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), "OPENAI_API_KEY": "none"})
    assert done.returncode == 0, done.stderr[-3000:]
    [result] = tmp_path.glob("out/**/results_*.json")
    accuracy = json.loads(result.read_text())["results"]["turgo_capitals"]["acc,none"]

    def score(question, choice):
        lists = server.post("/v1/completions", {"prompt": question + choice, "echo": True, "logprobs": 1, "max_tokens": 0})[1]["choices"][0]["logprobs"]
        return sum(value for value, offset in zip(lists["token_logprobs"], lists["text_offset"]) if offset >= len(question))

    ours = sum(max(range(3), key=lambda i: score(question, choices[i])) == 0 for question, choices in ROWS) / len(ROWS)
    assert accuracy == ours > 0.6
