"""turgo lite on the real model: a killed run goes on and gives the same bits, whatever the number of threads; what it refuses."""
import os
import signal
import subprocess
import time

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
