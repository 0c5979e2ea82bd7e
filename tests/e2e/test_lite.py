"""turgo lite on the real model: a killed run goes on and gives the same bits, whatever the number of threads; what it refuses."""
import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest

FLAGS = ["--export", "gguf", "--w-group-size", "32", "--w-sym", "--calib-samples", "2", "--calib-seqlen", "64", "--no-check"]


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
        done = turgo("lite", "auto_gptq", model, *flags, *FLAGS, check=2)
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
