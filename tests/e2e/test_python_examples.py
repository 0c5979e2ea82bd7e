"""The scripts of examples/ that need nothing but turgo (and openai) run and say what they promise; all pass
`mypy --strict`. Those that need large packages run in test_python_full.py."""
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def run(package_python, name, *arguments, more_path=()):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(more_path)}
    done = subprocess.run([package_python, EXAMPLES / name, *arguments], capture_output=True, text=True, timeout=300,
                          env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_batch(package_python, model):
    out = run(package_python, "batch.py", model)
    assert len(re.findall(r"\[\d+ tokens, (?:stop|length)\]", out)) == 4


def test_stream(package_python, model):
    assert re.search(r".{20,}\n\[\d+ tokens, (stop|length)\]\n$", run(package_python, "stream.py", model), re.S)


def test_chat_session(package_python, model):
    known = [tuple(map(int, m)) for m in re.findall(r"\[(\d+) of (\d+)", run(package_python, "chat_session.py", model))]
    assert len(known) == 3 and all(a > 20 and a < b for a, b in known[1:])


def test_json_schema(package_python, model):
    assert re.fullmatch(r".* [1-9]\d?\n", run(package_python, "json_schema.py", model))


def test_logits(package_python, model):
    out = run(package_python, "logits.py", model)
    good, scrambled = map(float, re.findall(r"perplexity +([\d.]+)", out))
    assert "%" in out and good * 10 < scrambled


def test_openai_client(package_python, model):
    site = subprocess.run([sys.executable, "-c", "import openai; print(openai.__path__[0])"], capture_output=True, text=True)
    packages = str(pathlib.Path(site.stdout.strip()).parent)  # openai is this environment's
    assert len(run(package_python, "openai_client.py", model, more_path=[packages])) > 10


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_code_of_the_pages(package_python, model, tmp_path, page):
    (tmp_path / "model.gguf").symlink_to(model)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)
    assert blocks
    for block in blocks:
        done = subprocess.run([package_python, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_types(package_python):
    mypy = pytest.importorskip("mypy.api")
    scripts = [str(path) for path in EXAMPLES.glob("*.py")]
    out, error, code = mypy.run(["--strict", "--python-executable", package_python, "--cache-dir", os.devnull,
                                 "--disable-error-code", "import-not-found", *scripts])
    assert code == 0, out + error
