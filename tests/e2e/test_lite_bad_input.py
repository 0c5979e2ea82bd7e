"""What `turgo lite` makes of hostile input and places: one line of error or a state that can go on, the source untouched, and never a
result that is half written."""
import fcntl
import hashlib
import json
import os
import resource
import signal
import subprocess
import time

import numpy as np
import pytest
from test_packed_folders import HIDDEN, linears, plain_tensors, write_folder

RTN = ["--w-group-size", "64", "--export", "gptq", "--no-check"]


def weights(rng):
    return {**plain_tensors(rng), **{f"{name}.weight": rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in linears().items()}}


@pytest.fixture()
def source(tmp_path):
    return write_folder(tmp_path / "source", weights(np.random.default_rng(3)))


def content(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def assert_refused(done, *words):
    assert done.returncode == 2 and [line.startswith("turgo: ") for line in done.stderr.splitlines()].index(True) == done.stderr.count("\n") - 1, done.stderr
    assert all(word in done.stderr.splitlines()[-1] for word in words), done.stderr


def test_places_that_are_the_source(turgo, source, tmp_path):
    before = content(source)
    (tmp_path / "link").symlink_to(source)
    for place in (source, tmp_path / "link", source / "inside", f"{source}/../source", tmp_path):
        assert_refused(turgo("lite", "rtn", source, "--work-dir", place, "--force", *RTN), "source itself or overlaps it")
    assert_refused(turgo("lite", "rtn", tmp_path / "link", "--work-dir", source, "--force", *RTN), "source itself or overlaps it")
    assert content(source) == before


def test_a_hard_link_to_the_source_is_replaced_not_written(turgo, model, tmp_path):
    before = hashlib.sha256(open(model, "rb").read()).hexdigest()
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(open(model, "rb").read())
    os.link(copy, tmp_path / "out.gguf")
    flags = ["--w-group-size", "32", "--w-sym", "--export", "gguf", "--no-check"]
    assert_refused(turgo("lite", "rtn", copy, "--work-dir", tmp_path / "out.gguf", *flags), "exists already", "--force")
    turgo("lite", "rtn", copy, "--work-dir", tmp_path / "out.gguf", "--force", *flags, check=0)
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == before


def test_places_that_are_not_there(turgo, source, tmp_path):
    assert_refused(turgo("lite", "rtn", source, "--work-dir", tmp_path / "no" / "out", *RTN), "parent to be a folder")
    assert_refused(turgo("lite", "rtn", source, "--work-dir", "/proc/out", *RTN), "/proc/out")
    assert_refused(turgo("lite", "rtn", tmp_path / "none", "--work-dir", tmp_path / "out", *RTN), "no such file")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("command", [["rtn", *RTN], ["prune", "--method", "magnitude", "--no-check"]])
def test_weights_that_are_no_numbers_are_named(turgo, tmp_path, value, command):
    tensors = weights(np.random.default_rng(3))
    tensors["model.layers.1.mlp.up_proj.weight"][5, 7] = value
    source = write_folder(tmp_path / "source", tensors)
    assert_refused(turgo("lite", *command, source, "--work-dir", tmp_path / "out"), "model.layers.1.mlp.up_proj.weight", str(5 * HIDDEN + 7))
    assert not (tmp_path / "out").exists()


def test_rows_of_zeros_and_outliers_stay_what_they_are(turgo, tmp_path):
    tensors = weights(np.random.default_rng(3))
    up = tensors["model.layers.0.mlp.up_proj.weight"]
    up[3] = 0
    up[4] = 0
    up[4, 100] = 60.0
    source, out = write_folder(tmp_path / "source", tensors), tmp_path / "out"
    turgo("lite", "rtn", source, "--work-dir", out, *RTN, check=0)
    turgo("lite", "prune", out, "--work-dir", tmp_path / "plain", "--allow-requantize", "--method", "magnitude", "--sparsity", "0.001", "--dtype", "float32", "--no-check", check=0)
    raw = (tmp_path / "plain" / "model.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    begin, end = json.loads(raw[8:8 + length])["model.layers.0.mlp.up_proj.weight"]["data_offsets"]
    got = np.frombuffer(raw[8 + length + begin:8 + length + end], np.float32).reshape(-1, HIDDEN)
    assert not got[3].any()
    assert got[4, 100] == pytest.approx(60, rel=1e-3) and np.count_nonzero(got[4]) == 1


def test_groups_that_divide_no_row(turgo, tmp_path):
    source = write_folder(tmp_path / "source", weights(np.random.default_rng(3)))
    assert_refused(turgo("lite", "rtn", source, "--work-dir", tmp_path / "out", "--w-group-size", "48", "--export", "gptq", "--w-bits", "5"), "expected 2, 3, 4 or 8")
    done = turgo("lite", "rtn", source, "--work-dir", tmp_path / "out", "--w-group-size", "100", "--export", "gptq", "--no-check", check=2)
    assert "no group of 8 or more divides every row" in done.stderr


def test_a_file_that_was_cut(turgo, source, tmp_path):
    weights_file = source / "model.safetensors"
    whole = weights_file.read_bytes()
    for size in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        weights_file.write_bytes(whole[:size])
        done = turgo("lite", "rtn", source, "--work-dir", tmp_path / "out", *RTN)
        assert_refused(done, "model.safetensors")
        assert not (tmp_path / "out").exists()


def test_no_room_at_any_write(program, source, tmp_path):
    """A limit on a file's size stands for a full disk: each write in turn fails, the next run goes on."""
    def run(limit, out):
        def set_limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        return subprocess.run([program, "lite", "rtn", source, "--work-dir", out, *RTN], capture_output=True, text=True, preexec_fn=set_limit if limit else None)

    whole = tmp_path / "whole"
    assert run(0, whole).returncode == 0
    limits = sorted({1, 100, 4096, 150_000, 300_000, 500_000, (whole / "model.safetensors").stat().st_size - 1})
    for limit in limits:
        done = run(limit, tmp_path / "out")
        assert done.returncode == 2 and not (tmp_path / "out").exists(), (limit, done.stderr)
        assert "turgo: cannot" in done.stderr and done.stderr.splitlines()[-1].startswith("turgo: "), done.stderr
    assert run(0, tmp_path / "out").returncode == 0
    assert {**content(tmp_path / "out"), "turgo_report.json": 0} == {**content(whole), "turgo_report.json": 0}
    assert not (tmp_path / "out.partial").exists()


def test_killed_at_any_time(program, source, tmp_path):
    whole = tmp_path / "whole"
    command = [program, "lite", "rtn", source, "--work-dir"]
    start = time.monotonic()
    subprocess.run([*command, whole, *RTN], check=True, capture_output=True)
    took = time.monotonic() - start
    for seed in range(12):
        process = subprocess.Popen([*command, tmp_path / "out", *RTN], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(took * seed / 10)
        process.kill()
        process.wait()
        if (tmp_path / "out").exists():
            break
    subprocess.run([*command, tmp_path / "out", *RTN, "--force"], check=True, capture_output=True)
    assert {**content(tmp_path / "out"), "turgo_report.json": 0} == {**content(whole), "turgo_report.json": 0}


def test_two_runs_in_one_place(turgo, source, tmp_path):
    (tmp_path / "out.partial").mkdir()
    holder = os.open(tmp_path / "out.partial", os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    assert_refused(turgo("lite", "rtn", source, "--work-dir", tmp_path / "out", *RTN), "another run is at work there")
    os.close(holder)
    turgo("lite", "rtn", source, "--work-dir", tmp_path / "out", *RTN, check=0)
