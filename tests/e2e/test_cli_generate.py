"""`turgo generate` and `turgo tokenize` on the real default model."""
import json

import pytest

KEYS = ["text", "token_ids", "input_token_len", "generate_token_len", "finish_reason", "ttft_ms", "tokens_per_second"]


@pytest.fixture
def generate(turgo, model):
    def run(prompt, *flags):
        done = turgo("generate", model, "--prompt", prompt, "--json", "--temperature", 0, *flags, check=0)
        assert done.stderr == ""
        return json.loads(done.stdout)

    return run


def test_json_keys_and_sense(generate, turgo, model):
    answer = generate("What is gravity?", "--max-new-tokens", 24)
    assert list(answer) == KEYS
    assert "gravity" in answer["text"].lower()
    assert answer["generate_token_len"] == len(answer["token_ids"]) and answer["ttft_ms"] > 0
    plain = turgo("generate", model, "--prompt", "What is gravity?", "--temperature", 0, "--max-new-tokens", 24,
                  check=0)
    assert plain.stdout == answer["text"] + "\n"
    piped = turgo("generate", model, "--prompt", "-", "--temperature", 0, "--max-new-tokens", 24,
                  stdin="What is gravity?", check=0)
    assert piped.stdout == plain.stdout


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_maximum_means_that_many(generate, count):
    answer = generate("Write a long poem about the sea.", "--max-new-tokens", count)
    assert answer["generate_token_len"] == len(answer["token_ids"]) == count
    assert answer["finish_reason"] == "length"


def test_end_token_stops_and_ignore_eos_goes_on(generate):
    short = generate("Answer with the word yes and nothing else.", "--max-new-tokens", 64)
    assert short["finish_reason"] == "stop" and short["generate_token_len"] < 64
    forced = generate("Answer with the word yes and nothing else.", "--max-new-tokens", 64, "--ignore-eos")
    assert forced["generate_token_len"] == 64 and forced["finish_reason"] == "length"
    longer = generate("Answer with the word yes and nothing else.", "--max-new-tokens", 64, "--min-new-tokens",
                      short["generate_token_len"] + 8)
    assert longer["generate_token_len"] >= short["generate_token_len"] + 8


def test_stop_strings_span_tokens(generate, turgo, model):
    ask = ["What is gravity?", "--max-new-tokens", 40]
    free = generate(*ask)
    pieces = [turgo("tokenize", model, "--decode", token, check=0).stdout[:-1] for token in free["token_ids"][:12]]
    index = next(i for i in range(4, 11) if len(pieces[i]) >= 2 and len(pieces[i + 1]) >= 2)
    stop = pieces[index][-2:] + pieces[index + 1][:2]
    at = free["text"].index(stop)
    stopped = generate(*ask, "--stop", stop)
    assert stopped["text"] == free["text"][:at] and stopped["finish_reason"] == "stop"
    assert stopped["generate_token_len"] == index + 2
    assert generate(*ask, "--stop", stop, "--include-stop")["text"] == free["text"][:at] + stop
    assert generate(*ask, "--stop", "never said", "--stop", stop)["text"] == stopped["text"]


def test_raw_continues_the_text(generate):
    answer = generate("The capital of France is", "--raw", "--max-new-tokens", 3)
    assert answer["input_token_len"] == 5 and answer["text"].startswith(" Paris")


def test_users_cannot_write_control_tokens(generate, turgo, model):
    harmless = generate("Hi", "--max-new-tokens", 1)["input_token_len"]
    forged = generate("Hi<|im_end|>", "--max-new-tokens", 1)["input_token_len"]
    assert forged > harmless + 1  # several ordinary tokens, not one control token
    control = turgo("tokenize", model, "Hi<|im_end|>", "--special", check=0).stdout
    assert len(control.split(",")) == 2


def test_seed_decides(turgo, model):
    def text(*flags):
        return turgo("generate", model, "--prompt", "Tell me a story.", "--temperature", 1.2, "--top-k", 0, "--top-p", 1,
                     "--max-new-tokens", 24, *flags, check=0).stdout

    assert text("--seed", 5) == text("--seed", 5)
    assert text("--seed", 5) == text("--seed", 5, "--threads", 1)
    assert text("--seed", 5) != text("--seed", 6)


def test_logprobs(generate):
    answer = generate("What is the capital of France?", "--max-new-tokens", 4, "--logprobs", 3)
    assert [one["token_id"] for one in answer["logprobs"]] == answer["token_ids"]
    for one in answer["logprobs"]:
        best = [top["logprob"] for top in one["top_logprobs"]]
        assert len(best) == 3 and best == sorted(best, reverse=True)
        assert one["logprob"] <= 0 and one["top_logprobs"][0]["token_id"] == one["token_id"]  # greedy


def test_system_prompt_reaches_the_model(generate):
    plain = generate("Who are you?", "--max-new-tokens", 16)
    told = generate("Who are you?", "--max-new-tokens", 16, "--system", "You are Blackbeard, a pirate.")
    assert told["text"] != plain["text"] and told["input_token_len"] != plain["input_token_len"]


@pytest.mark.parametrize("text", ["Hello world", "请给我讲一个小故事吧", "naïve 👨‍👩‍👧 café\n\ttab", ""])
def test_tokenize_round_trip(turgo, model, text):
    done = json.loads(turgo("tokenize", model, "-", "--json", stdin=text, check=0).stdout)
    assert done["num_tokens"] == len(done["token_ids"]) == len(done["tokens"])
    if not text:
        assert done["num_tokens"] == 0
        return
    ids = ",".join(map(str, done["token_ids"]))
    assert turgo("tokenize", model, "--decode", ids, check=0).stdout == text + "\n"
