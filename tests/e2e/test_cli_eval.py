"""`turgo eval` and `turgo bench`: the figures against numpy's own computation from the same logits."""
import json

import numpy as np
import pytest

TEXT = ("The history of the river is long. In 1843 a bridge was built of stone, and in 1911 another of steel. "
        "People say that the first one was paid for by a widow; nobody knows her name. ") * 6
CTX, TOKENS = 64, 200


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("eval") / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def logits(turgo, model, text_file):
    """f32 logits of the first TOKENS tokens, and the ids."""
    path = text_file.with_suffix(".npy")
    turgo("eval", "logits", model, "--text", text_file, "--ctx", CTX, "--tokens", TOKENS, "--precision", "f32",
          "--output", path, check=0)
    ids = json.loads(turgo("tokenize", model, "-", "--json", stdin=TEXT, check=0).stdout)["token_ids"][:TOKENS]
    return path, np.load(path), ids


def log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_logits_file(turgo, model, logits, tmp_path):
    path, rows, ids = logits
    assert rows.dtype == np.float32 and rows.shape[0] == TOKENS
    one = tmp_path / "one.npy"
    turgo("eval", "logits", model, "--token-ids", ",".join(map(str, ids[:CTX])), "--precision", "f32", "--output", one,
          check=0)
    assert np.array_equal(np.load(one), rows[:CTX])  # the same sequence, the same bits
    turgo("eval", "logits", model, "--token-ids", ",".join(map(str, ids[:CTX])), "--precision", "f32", "--output", one,
          "--max-prefill-token-num", 7, "--max-batch-size", 1, check=0)
    assert np.array_equal(np.load(one), rows[:CTX])  # also in chunks of 7 tokens


def test_perplexity(turgo, model, text_file, logits):
    _, rows, ids = logits
    scored = [i for i in range(TOKENS) if i % CTX]  # every token but a window's first
    nll = -np.mean([log_softmax(rows[i - 1])[ids[i]] for i in scored])
    done = json.loads(turgo("eval", "ppl", model, "--text", text_file, "--ctx", CTX, "--tokens", TOKENS, "--precision",
                            "f32", "--json", check=0).stdout)
    assert done["num_scored_tokens"] == len(scored) and done["num_windows"] == 4
    assert done["perplexity"] == pytest.approx(np.exp(nll), rel=1e-6)
    default = turgo("eval", "ppl", model, "--text", text_file, "--ctx", CTX, "--tokens", TOKENS, check=0).stdout
    assert default.startswith("perplexity ")


def test_kl(turgo, model, text_file, logits, tmp_path):
    reference, rows, _ = logits
    mine = tmp_path / "int8.npy"
    turgo("eval", "logits", model, "--text", text_file, "--ctx", CTX, "--tokens", TOKENS, "--output", mine, check=0)
    p, q = log_softmax(rows), log_softmax(np.load(mine))
    kl = (np.exp(p) * (p - q)).sum(-1)
    flags = ["--text", text_file, "--ctx", CTX, "--tokens", TOKENS, "--json"]
    done = json.loads(turgo("eval", "kl", model, reference, *flags, check=0).stdout)
    assert done["num_tokens"] == TOKENS
    assert done["mean_kl"] == pytest.approx(kl.mean(), rel=1e-4, abs=1e-9)
    assert done["max_kl"] == pytest.approx(kl.max(), rel=1e-4, abs=1e-9)
    assert done["p99_kl"] == pytest.approx(np.sort(kl)[int(np.ceil(0.99 * TOKENS)) - 1], rel=1e-4)
    assert done["top1_agreement"] == pytest.approx((p.argmax(-1) == q.argmax(-1)).mean(), abs=1e-9)
    both = json.loads(turgo("eval", "kl", model, model, "--reference-precision", "f32", *flags, check=0).stdout)
    assert both["mean_kl"] == pytest.approx(done["mean_kl"], rel=1e-6)
    same = json.loads(turgo("eval", "kl", model, reference, "--precision", "f32", *flags, check=0).stdout)
    assert abs(same["mean_kl"]) < 1e-12 and same["top1_agreement"] == 1
    other = ["--also", model, "--json", "--ctx", CTX, "--text", text_file]
    two = json.loads(turgo("eval", "kl", model, model, "--tokens", TOKENS, *other, "--reference-precision", "f32", check=0).stdout)
    assert len(two) == 2 and two[0] == two[1] == {**both, "model": str(model)}  # one pass of the reference for both
    # The pieces of a text add up to the whole, with a reference in a file too.
    for source in (model, reference):
        pieces = [json.loads(turgo("eval", "kl", model, source, "--reference-precision", "f32", "--skip-tokens", skip, "--tokens", count,
                                   *other[2:], check=0).stdout) for skip, count in ((0, 2 * CTX), (2 * CTX, TOKENS - 2 * CTX))]
        for key, weight in (("mean_kl", "num_tokens"), ("top1_agreement", "num_tokens")):
            assert sum(p[key] * p[weight] for p in pieces) / TOKENS == pytest.approx(both[key], rel=1e-6)
        scored = sum(p["num_scored_tokens"] for p in pieces)
        assert scored == both["num_scored_tokens"] == TOKENS - 4
        nll = sum(np.log(p["perplexity"]) * p["num_scored_tokens"] for p in pieces) / scored
        assert np.exp(nll) == pytest.approx(both["perplexity"], rel=1e-6)
    short = turgo("eval", "kl", model, reference, "--text", text_file, "--ctx", CTX)
    assert short.returncode == 2 and "--tokens 200" in short.stderr


def test_kv_cache_types(turgo, model, text_file, logits):
    """Each step down in bits costs more, so that the cache that answers is the one that was asked for."""
    kl, kv_bytes, warnings = {}, {}, {}
    for policy, name in ((32, "f32"), (16, "bf16"), (8, "int8"), (84, "k8v4"), (4, "int4")):
        done = turgo("eval", "kl", model, logits[0], "--text", text_file, "--ctx", CTX, "--tokens", TOKENS, "--precision",
                     "f32", "--quant-policy", policy, "--json", check=0)
        figures = json.loads(done.stdout)
        assert figures["kv_type"] == name
        kl[policy], warnings[policy] = figures["mean_kl"], done.stderr
        bench = json.loads(turgo("bench", model, "--prompt-tokens", 8, "--gen-tokens", 2, "--repeat", 1, "--quant-policy",
                                 policy, "--json", check=0).stdout)
        kv_bytes[policy] = bench["kv_bytes_per_token"]
    assert kl[32] < 1e-9 < kl[16] < 3e-4 and kl[16] < kl[8] < 3e-3 and kl[8] < kl[84] < 3e-2 and kl[84] < kl[4]
    assert kv_bytes[16] / kv_bytes[8] == pytest.approx(1.88, abs=0.01)
    assert kv_bytes[16] / kv_bytes[4] == pytest.approx(3.56, abs=0.01)
    assert kv_bytes[16] / kv_bytes[84] == pytest.approx(2.37, abs=0.01)
    assert "times the middle one" in warnings[4] and "--quant-policy 84" in warnings[4]
    assert not any(warnings[policy] for policy in (32, 16, 8, 84))


def test_bench(turgo, model):
    done = json.loads(turgo("bench", model, "--prompt-tokens", 32, "--gen-tokens", 8, "--repeat", 1, "--json",
                            check=0).stdout)
    for key in ("prefill_tok_s", "decode_tok_s", "peak_rss_bytes", "read_bandwidth_gb_s", "decode_bandwidth_share"):
        assert done[key] > 0, key
    assert done["decode_bandwidth_share"] < 1.2
    assert "tok/s" in turgo("bench", model, "--prompt-tokens", 8, "--gen-tokens", 4, "--repeat", 1, check=0).stdout
    too_long = turgo("bench", model, "--prompt-tokens", 8000, "--gen-tokens", 500)
    assert too_long.returncode == 2 and "8192" in too_long.stderr


def test_memory_of_a_context_of_2048(turgo, model):
    import os
    done = json.loads(turgo("bench", model, "--session-len", 2048, "--prompt-tokens", 1900, "--gen-tokens", 4, "--repeat",
                            1, "--json", check=0).stdout)
    assert done["peak_rss_bytes"] <= os.path.getsize(model) + 200_000_000
