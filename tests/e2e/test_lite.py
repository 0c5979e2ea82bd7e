"""turgo lite on the real model: a killed run goes on and gives the same bits, whatever the number of threads; what it refuses."""
import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
import tiny_gguf

FLAGS = ["--export", "gguf", "--w-group-size", "32", "--w-sym", "--calib-dataset", "tales", "--calib-samples", "2",
         "--calib-seqlen", "64", "--no-check"]


def test_a_killed_run_goes_on_with_the_same_bits(program, turgo, model, tmp_path):
    whole, killed = tmp_path / "whole.gguf", tmp_path / "killed.gguf"
    turgo("lite", "auto_gptq", model, "--work-dir", whole, *FLAGS, "--threads", "1", check=0)
    process = subprocess.Popen([program, "lite", "auto_gptq", model, "--work-dir", killed, *FLAGS], stderr=subprocess.DEVNULL)
    third = tmp_path / "killed.gguf.partial" / "layer-00002.safetensors"
    deadline = time.monotonic() + 120
    while not third.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert third.exists() and not killed.exists()
    done = turgo("lite", "auto_gptq", model, "--work-dir", killed, *FLAGS, check=0)
    assert "going on at layer" in done.stderr
    assert killed.read_bytes() == whole.read_bytes() and not os.path.exists(f"{killed}.partial")


def test_refusals_name_what_to_do(turgo, model, tmp_path):
    (tmp_path / "short.txt").write_text("a")
    (tmp_path / "binary.txt").write_bytes(b"\0\1\2" * 100)
    (tmp_path / "there.gguf").write_text("")
    for arguments, words in [(["--calib-dataset", tmp_path / "short.txt"], "at least 16 tokens"),
                             (["--calib-dataset", tmp_path / "binary.txt"], "expected UTF-8 text"),
                             (["--calib-dataset", "c4"], "nothing is downloaded here"),
                             (["--work-dir", model], "is the source itself"),
                             (["--work-dir", tmp_path / "there.gguf"], "exists already")]:
        flags = arguments if "--work-dir" in arguments else [*arguments, "--work-dir", tmp_path / "new.gguf"]
        done = turgo("lite", "auto_gptq", model, *FLAGS, *flags, check=2)
        assert words in done.stderr.strip().splitlines()[-1] and not (tmp_path / "new.gguf").exists()
    assert (tmp_path / "there.gguf").read_text() == ""


@pytest.fixture(scope="module")
def rounded(turgo, model, tmp_path_factory):
    """Format -> the model rounded to symmetric 4 bits in groups of 32, which GGUF's Q4_0 holds too."""
    folder = tmp_path_factory.mktemp("rounded")
    paths = {name: folder / (name + ".gguf" * (name == "gguf")) for name in ("gguf", "awq", "gptq", "compressed-tensors")}
    for name, path in paths.items():
        turgo("lite", "rtn", model, "--work-dir", path, "--no-check", "--w-group-size", "32", "--w-sym", "--export", name, check=0)
    return paths


def test_folders_that_were_written_are_read(turgo, rounded, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("The quick brown fox jumps over the lazy dog. " * 20)
    logits = {}
    for name, path in rounded.items():
        turgo("eval", "logits", path, "--text", text, "--tokens", "100", "--precision", "f32", "--output", tmp_path / "out.npy", check=0)
        logits[name] = np.load(tmp_path / "out.npy")
    np.testing.assert_array_equal(logits["gptq"], logits["awq"])
    np.testing.assert_array_equal(logits["compressed-tensors"], logits["awq"])
    # The tables lie in f16 in a folder, in Q8_0 in the file.
    np.testing.assert_allclose(logits["awq"], logits["gguf"], rtol=0, atol=0.05)
    done = turgo("generate", rounded["awq"], "--model-format", "awq", "--prompt", "The capital of France is", "--max-new-tokens", "3", check=0)
    assert done.stdout.strip() and not done.stderr
    assert "is awq" in turgo("generate", rounded["awq"], "--model-format", "gptq", "--prompt", "a", check=2).stderr


def test_quantised_input_wants_a_word(turgo, rounded, tmp_path):
    again = ["lite", "rtn", rounded["awq"], "--work-dir", tmp_path / "again", "--w-group-size", "32", "--w-sym"]
    done = turgo(*again, "--no-check", check=2)
    assert "quantised by awq already" in done.stderr and "--allow-requantize" in done.stderr and not (tmp_path / "again").exists()
    turgo(*again, "--allow-requantize", "--w-bits", "8", "--export", "gptq", check=0)
    report = json.loads((tmp_path / "again" / "turgo_report.json").read_text())["self_check"]
    assert report["mean_kl"] < 0.01  # 8 bits: what is lost is lost by rounding activations
    config = json.loads((tmp_path / "again" / "config.json").read_text())["quantization_config"]
    assert config["quant_method"] == "gptq" and "version" not in config


def read_stats(folder):
    raw = (folder / "input_stats.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + length])
    return {name: np.frombuffer(raw[8 + length:], np.float32)[slice(*(at // 4 for at in entry["data_offsets"]))]
            for name, entry in header.items() if name != "__metadata__"}


def test_outliers_of_text_that_the_model_wrote(turgo, model, tmp_path):
    flags = ["--calib-dataset", "generated", "--calib-samples", "2", "--calib-seqlen", "48"]
    for threads in (1, 2):
        done = turgo("lite", "calibrate", model, "--work-dir", tmp_path / str(threads), *flags, "--threads", threads, check=0)
    first, second = (read_stats(tmp_path / str(threads)) for threads in (1, 2))
    assert first.keys() == second.keys() and len(first) == 30 * 4 * 2
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])
    report = json.loads((tmp_path / "1" / "calibration.json").read_text())
    assert report["calibration_tokens"] == 96
    for layer in (0, 29):
        down = report["layers"][layer]["inputs"][3]
        absmax = first[f"model.layers.{layer}.down_proj.absmax"]
        assert down["input"] == "down_proj" and down["largest"][0]["channel"] == int(absmax.argmax())
        assert down["ratio"] == pytest.approx(absmax.max() / np.sort(absmax)[::-1][len(absmax) // 2], rel=1e-5)
        assert (first[f"model.layers.{layer}.down_proj.absmean"] <= absmax).all()
    assert len(done.stdout.splitlines()) == 1 + 30 * 4
    refused = turgo("lite", "calibrate", model, "--work-dir", tmp_path / "1", *flags, check=2)
    assert "--force" in refused.stderr


def test_advice_for_the_cache(turgo, model, tmp_path):
    flags = ["--calib-samples", "1", "--calib-seqlen", "160", "--work-dir", tmp_path]
    report = json.loads(turgo("lite", "kv_qparams", model, *flags, "--json", check=0).stdout)
    int8, k8v4, int4 = report["caches"]
    assert int8["mean_kl"] < k8v4["mean_kl"] < int4["mean_kl"] and int8["bytes_per_token"] > k8v4["bytes_per_token"] > int4["bytes_per_token"]
    assert report == json.loads((tmp_path / "kv_cache.json").read_text())
    best = [c for c in report["caches"] if c["perplexity_loss"] <= 0.01]
    assert report["quant_policy"] == (best[-1]["quant_policy"] if best else 0)
    assert "--quant-policy 4" in turgo("lite", "kv_qparams", model, *flags, "--force", "--max-loss", "1", check=0).stdout


def test_a_folder_becomes_a_gguf_file(turgo, model, rounded, tmp_path):
    """Through a folder in f16 and back: the vocabulary, the template and the codes are what they were."""
    plain, out = tmp_path / "plain", tmp_path / "out.gguf"
    turgo("lite", "prune", model, "--work-dir", plain, "--method", "magnitude", "--sparsity", "0.0001", "--dtype", "float32", "--no-check", check=0)
    turgo("lite", "rtn", plain, "--work-dir", out, "--export", "gguf", "--w-group-size", "32", "--w-sym", "--no-check", check=0)
    text = "Hello wörld  and <|im_start|>user 12345's 日本語\n\n\tdef f(x): return x"
    for flags in ([], ["--special"]):
        assert turgo("tokenize", out, text, *flags, check=0).stdout == turgo("tokenize", model, text, *flags, check=0).stdout
    ids = turgo("tokenize", model, text, check=0).stdout.strip()
    logits = []
    for path in (out, rounded["gguf"]):
        turgo("eval", "logits", path, "--token-ids", ids, "--precision", "f32", "--output", tmp_path / "l.npy", check=0)
        logits.append(np.load(tmp_path / "l.npy"))
    assert np.abs(logits[0] - logits[1]).max() < 0.02 * np.abs(logits[1]).max()
    say = ["--prompt", "What is the capital of France?", "--max-new-tokens", "8", "--temperature", "0"]
    assert turgo("generate", out, *say, check=0).stdout == turgo("generate", rounded["gguf"], *say, check=0).stdout
    gguf = pytest.importorskip("gguf")
    ours, theirs = (gguf.GGUFReader(path).fields for path in (out, model))
    for key in ("general.architecture", "llama.block_count", "llama.attention.head_count_kv", "llama.rope.freq_base", "tokenizer.ggml.pre",
                "tokenizer.ggml.eos_token_id", "tokenizer.chat_template", "llama.context_length", "tokenizer.ggml.merges"):
        assert ours[key].contents() == theirs[key].contents(), key


def test_fp8_folders_are_read_as_they_were_written(turgo, model, tmp_path):
    """Both formats hold the same codes; scales are bf16, so that they lie in either exactly. The check that the command makes is that of W8A8."""
    logits = {}
    for name, flags in (("compressed-tensors", []), ("smooth_quant", ["--no-check"])):
        turgo("lite", "fp8", model, "--work-dir", tmp_path / name, "--export", name, *flags, check=0)
        turgo("eval", "logits", tmp_path / name, "--token-ids", "504,3575,282,4649", "--precision", "f32", "--output", tmp_path / "out.npy", check=0)
        logits[name] = np.load(tmp_path / "out.npy")
    np.testing.assert_array_equal(logits["compressed-tensors"], logits["smooth_quant"])
    turgo("lite", "smooth_quant", model, "--quant-dtype", "fp8", "--work-dir", tmp_path / "same", "--no-check", check=0)
    assert (tmp_path / "same" / "model.safetensors").read_bytes() == (tmp_path / "compressed-tensors" / "model.safetensors").read_bytes()
    report = json.loads((tmp_path / "compressed-tensors" / "turgo_report.json").read_text())
    assert report["numbers"] == "float8_e4m3fn" and report["self_check"]["mean_kl"] < 0.05
    group = json.loads((tmp_path / "compressed-tensors" / "config.json").read_text())["quantization_config"]["config_groups"]["group_0"]
    assert group["format"] == "float-quantized" and group["weights"]["strategy"] == "channel"
    assert group["input_activations"] == {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "token", "dynamic": True}


def test_widths_follow_what_the_answers_bear(turgo, tmp_path):
    """A matrix of zeros costs nothing at any width; the rest share the bits. Same choice with any number of threads."""
    def silence(name, values):
        if name == "blk.1.ffn_down":
            values[:] = 0
    tiny_gguf.write(tmp_path / "tiny.gguf", "{{ messages[0].content }}", layers=3, edit=silence)
    flags = ["--w-group-size", "32", "--calib-samples", "4", "--calib-seqlen", "128", "--target-bits", "3", "--max-kl", "10"]
    for threads in (1, 2):
        turgo("lite", "auto_awq", tmp_path / "tiny.gguf", "--work-dir", tmp_path / str(threads), *flags, "--threads", threads, check=0)
    one, two = (tmp_path / threads for threads in "12")
    for name in ("config.json", "model.safetensors"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    groups = json.loads((one / "config.json").read_text())["quantization_config"]["config_groups"].values()
    bits = {target: group["weights"]["num_bits"] for group in groups for target in group["targets"]}
    widths = json.loads((one / "turgo_report.json").read_text())["widths"]
    assert bits == {name: entry["bits"] for name, entry in widths.items()} and len(bits) == 21 and set(bits.values()) == {2, 3, 4}
    assert bits["model.layers.1.mlp.down_proj"] == 2
    assert widths["model.layers.1.mlp.down_proj"]["kl"] == [0, 0, 0]
    sizes = {name: tiny_gguf.HIDDEN * (tiny_gguf.MLP if ".mlp." in name else tiny_gguf.HIDDEN) for name in bits}
    assert 2.9 < sum(bits[name] * size for name, size in sizes.items()) / sum(sizes.values()) <= 3
    for entry in widths.values():
        assert entry["kl"][0] >= entry["kl"][1] >= entry["kl"][2] >= 0
    for more, words in [(["--target-bits", "1.5"], "expected 2 to 4"), (["--target-bits", "5"], "--target-bits"), (["--export", "gguf"], "--export compressed-tensors")]:
        assert words in turgo("lite", "auto_awq", tmp_path / "tiny.gguf", "--work-dir", tmp_path / "no", *flags, *more, check=2).stderr


def test_the_objective_of_the_paper(turgo, tmp_path):
    """Scales that blocks are searched by are others than those of linears, and both folders are read."""
    tiny_gguf.write(tmp_path / "tiny.gguf", "{{ messages[0].content }}", layers=2)
    folds = {}
    for name in ("linear", "block"):
        turgo("lite", "auto_awq", tmp_path / "tiny.gguf", "--work-dir", tmp_path / name, "--w-bits", "3", "--w-group-size", "32", "--calib-samples", "4",
              "--calib-seqlen", "128", "--objective", name, "--max-kl", "10", check=0)
        folds[name] = [f for layer in json.loads((tmp_path / name / "turgo_report.json").read_text())["layers"] for f in layer["folds"]]
    for linear, block in zip(folds["linear"], folds["block"]):
        assert linear["what"] == block["what"] and 0 < block["loss_after"] <= block["loss_before"]
        by_block = linear["what"] in ("input_norm -> q, k, v", "pre_mlp_norm -> gate, up")
        assert (linear["loss_before"] == block["loss_before"]) != by_block
