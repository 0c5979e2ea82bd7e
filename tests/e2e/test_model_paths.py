"""Model paths as people have them: symbolic links, cut-off downloads, foreign code. Errors are one line and status 2."""
import os
import pathlib
import shutil

import pytest

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens/models"

FLAGS = ["--prompt", "hi", "--max-new-tokens", 2, "--temperature", 0]


@pytest.fixture(scope="module")
def head(model):
    with open(model, "rb") as file:
        return file.read(4097)


def test_symbolic_links_are_followed(turgo, model, tmp_path):
    plain = turgo("generate", model, *FLAGS, check=0).stdout
    folder = tmp_path / "real"
    folder.mkdir()
    (folder / "model.gguf").symlink_to(model)
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "link2").symlink_to("link")
    for path in (folder / "model.gguf", folder, tmp_path / "link", tmp_path / "link2", tmp_path / "link2" / "model.gguf"):
        assert turgo("generate", path, *FLAGS, check=0).stdout == plain


def test_cut_off_anywhere_in_the_first_4_kib(turgo, head, tmp_path):
    """Every byte is a row of io's own test; here a sample goes through the whole program."""
    path = tmp_path / "cut.gguf"
    for size in [*range(64), *range(64, 4097, 61), 4096]:
        path.write_bytes(head[:size])
        done = turgo("generate", path, *FLAGS)
        assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, (size, done)
        assert "cut.gguf" in done.stderr, done.stderr


def test_cut_off_in_the_weights(turgo, model, tmp_path):
    path = tmp_path / "cut.gguf"
    size = os.path.getsize(model)
    for kept in (size - 1, size // 2):
        with open(model, "rb") as source, open(path, "wb") as out:
            out.write(source.read(kept))
        done = turgo("generate", path, *FLAGS)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and "beyond the file" in done.stderr, done.stderr


def test_weights_that_are_not_numbers(turgo, model, tmp_path):
    """The last tensor's last blocks become NaN: refused with the tensor's name, instead of an answer of noise."""
    with open(model, "rb") as source:
        data = bytearray(source.read())
    data[-400:] = b"\xff" * 400
    path = tmp_path / "nan.gguf"
    path.write_bytes(data)
    done = turgo("generate", path, *FLAGS)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert "finite numbers" in done.stderr and "tensor '" in done.stderr


def test_ten_million_merges(turgo, tmp_path):
    """A tokenizer.json of 60 MB that says the same merge over and over: read in one pass, and the merge counts once."""
    merges = ",".join(['"a b"'] * 10_000_000)
    (tmp_path / "tokenizer.json").write_text(f'{{"model":{{"type":"BPE","vocab":{{"a":0,"b":1,"ab":2}},"merges":[{merges}]}}}}')
    shutil.copy(GOLDENS / "llama_gqa" / "config.json", tmp_path)
    shutil.copy(GOLDENS / "llama_gqa" / "model.safetensors", tmp_path)
    assert turgo("tokenize", tmp_path, "abab", check=0, timeout=120).stdout == "2,2\n"


def test_remote_code_is_never_trusted(turgo, model):
    plain = turgo("generate", model, *FLAGS, check=0)
    asked = turgo("generate", model, *FLAGS, "--trust-remote-code", check=0)
    assert asked.stdout == plain.stdout and plain.stderr == ""
    assert asked.stderr.count("\n") == 1 and "no code of a model ever does" in asked.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["chat", "--help"], ["check_env"], ["list"], ["chta"]])
def test_no_colours(turgo, arguments):
    done = turgo(*arguments)
    assert "\x1b" not in done.stdout + done.stderr
