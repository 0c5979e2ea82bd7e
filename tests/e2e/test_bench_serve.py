"""`turgo bench serve` against our server and `bench throughput` in process: the figures add up."""
import json

import pytest

KEYS = ["date", "backend", "model_id", "num_prompts", "request_rate", "burstiness", "max_concurrency", "duration", "completed", "failed",
        "total_input_tokens", "total_output_tokens", "request_throughput", "request_goodput", "output_throughput", "total_token_throughput",
        "max_concurrent_requests", *(f"{kind}_{name}_ms" for name in ("ttft", "tpot", "itl", "e2el") for kind in ("mean", "median", "std", "p50", "p90", "p99"))]
SMALL = ["--num-prompts", "8", "--random-input-len", "20", "--random-output-len", "6", "--json"]


def check(figures):
    assert [key for key in KEYS if key not in figures] == [] and figures["completed"] == figures["num_prompts"] and figures["failed"] == 0
    assert figures["total_output_tokens"] == 6 * figures["num_prompts"]
    assert figures["output_throughput"] == pytest.approx(figures["total_output_tokens"] / figures["duration"])
    assert figures["p50_ttft_ms"] <= figures["p90_ttft_ms"] <= figures["p99_ttft_ms"] <= figures["p99_e2el_ms"]


@pytest.mark.parametrize("flags", [["--max-concurrency", "3"], ["--request-rate", "50"], ["--backend", "openai-chat", "--max-concurrency", "2"]])
def test_serve(turgo, server, flags):
    figures = json.loads(turgo("bench", "serve", server.url, *SMALL, *flags, check=0).stdout)
    check(figures)
    if "--max-concurrency" in flags:
        assert figures["max_concurrent_requests"] == int(flags[-1]) == figures["max_concurrency"]


def test_files_goodput_and_detail(turgo, server, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "One two three"}\nFour five\n')
    saved = tmp_path / "result.json"
    done = turgo("bench", "serve", server.url, *SMALL[:-1], "--dataset-path", prompts, "--goodput", "ttft:60000", "--goodput", "e2el:0.001",
                 "--save-result", saved, "--save-detailed", check=0)
    figures = json.loads(saved.read_text())
    check(figures)
    assert figures["request_goodput"] == 0 and len(figures["ttfts"]) == len(figures["itls"]) == 8 and set(figures["input_lens"]) == {3, 2}
    assert "output tokens/s" in done.stdout and "within the limits" in done.stdout
    trace = tmp_path / "trace.jsonl"
    trace.write_text("".join(f'{{"arrival_s": {0.01 * i}, "prompt_tokens": 10, "output_tokens": 6}}\n' for i in range(5)))
    figures = json.loads(turgo("bench", "serve", server.url, "--trace", trace, "--json", check=0).stdout)
    check(figures)
    assert figures["num_prompts"] == 5


def test_throughput(turgo, model):
    check(json.loads(turgo("bench", "throughput", model, *SMALL, "--max-concurrency", "4", check=0).stdout))


def test_refusals(turgo, server):
    for flags in (["--goodput", "speed:1"], ["--dataset-path", "/nowhere"], ["--trace", "/nowhere"], ["--model", "gpt-4"]):
        done = turgo("bench", "serve", server.url, *SMALL, *flags, check=2)
        assert done.stderr.startswith("turgo: ") and done.stderr.count("\n") == 1, done.stderr
    assert "no server answers" in turgo("bench", "serve", "http://127.0.0.1:1", check=2).stderr
