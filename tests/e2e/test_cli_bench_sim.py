"""`turgo bench sim`: a trace is replayed whole, at its times, and the figures are those of its requests."""
import json
import pathlib

import pytest

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "bench/traces/mixed.jsonl"


def test_replay(turgo, model, tmp_path):
    trace = tmp_path / "trace.jsonl"
    lines = [
        {"arrival_s": 0, "prompt_tokens": 100, "output_tokens": 20, "session": "s"},
        {"arrival_s": 0, "prompt_tokens": 30, "output_tokens": 10, "session": "s"},
        {"arrival_s": 0.1, "prompt_tokens": 200, "output_tokens": 5, "prefix": "p", "prefix_tokens": 190},
        {"arrival_s": 1.5, "prompt_tokens": 200, "output_tokens": 5, "prefix": "p", "prefix_tokens": 190},
        {"arrival_s": 1.6, "prompt_tokens": 500, "output_tokens": 5},
    ]
    trace.write_text("\n".join(map(json.dumps, lines)))
    done = json.loads(turgo("bench", "sim", trace, model, "--session-len", 400, "--json", "--per-request",
                            check=0).stdout)
    assert done["num_requests"] == 5 and done["num_failed"] == 1  # 500 tokens do not fit, the others do not mind
    assert "400" in done["first_error"]
    first, second, miss, hit, _ = done["requests"]
    assert [len(r["token_s"]) for r in done["requests"]] == [20, 10, 5, 5, 0]
    assert second["history_tokens"] == 120 and second["cached_tokens"] == 119  # the turn waits for the one before
    assert second["start_s"] >= first["token_s"][-1]
    assert (miss["cached_tokens"], hit["cached_tokens"]) == (0, 128)
    assert hit["start_s"] >= 1.5 and hit["token_s"] == sorted(hit["token_s"])
    prompts = 100 + 150 + 200 + 200
    assert done["prefix_hit_rate"] == pytest.approx((119 + 128) / prompts)
    ttft = sorted(r["token_s"][0] - r["arrival_s"] for r in done["requests"] if r["token_s"])
    assert done["ttft_s"]["p50"] == pytest.approx(ttft[1]) and done["ttft_s"]["max"] == pytest.approx(ttft[-1])
    assert done["output_tok_s"] == pytest.approx(40 / done["seconds"])


def test_example_and_errors(turgo, model, tmp_path):
    text = turgo("bench", "sim", EXAMPLE, model, "--max-in-flight", 4, check=0).stdout
    assert "32 requests" in text and "0 failed" in text and "TTFT" in text
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt_tokens": 5, "output_tokens": 2}\n{"prompt_tokens": 0, "output_tokens": 2}\n')
    done = turgo("bench", "sim", bad, model)
    assert done.returncode != 0 and "line 2" in done.stderr and done.stderr.count("\n") == 1
