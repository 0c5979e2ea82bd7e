"""The examples of examples/, built by the C and the C++ compiler, against the program."""
import os
import pathlib
import re
import subprocess

import pytest

QUESTIONS = ["What is a water turbine?", 'Who said "eureka"\nand where?']


@pytest.fixture(scope="module")
def build():
    folder = pathlib.Path(os.environ.get("TURGO_BUILD_DIR", "/nonexistent"))
    if not (folder / "examples").is_dir():
        pytest.skip("TURGO_BUILD_DIR has no examples; ./run test sets and builds it")
    return folder


def run(*arguments, code=0):
    done = subprocess.run([str(a) for a in arguments], capture_output=True, timeout=300)
    assert done.returncode == code, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


def test_c(turgo, model, build):
    text, _ = run(build / "examples/example_c", model, *QUESTIONS)
    flags = ["--max-new-tokens", 40, "--temperature", 0, "--quant-policy", 8]
    first = turgo("generate", model, "--prompt", QUESTIONS[0], *flags, check=0).stdout
    assert text.startswith(first)
    assert text.splitlines()[-1].startswith("[the session holds ") and len(text) > len(first) + 40
    _, error = run(build / "examples/example_c", "/no/such/model", "x", code=1)
    assert "/no/such/model" in error


def test_cpp(turgo, model, build):
    text, _ = run(build / "examples/example_cpp", model, QUESTIONS[0])
    first = turgo("generate", model, "--prompt", QUESTIONS[0], "--max-new-tokens", 40, "--temperature", 0, check=0).stdout
    assert text.startswith(first)
    one, other = text.splitlines()[-2:]
    assert one == other and len(one.split()) == 8


def test_shared_library_exports_the_c_interface_only(build):
    table = run("nm", "-D", "--defined-only", build / "lib/libturgo.so")[0]
    names = {line.split()[-1].split("@")[0] for line in table.splitlines()} - {"TURGO_1"}
    header = (pathlib.Path(__file__).parents[2] / "src/pipeline/turgo.h").read_text()
    assert names == set(re.findall(r"^TURGO_API .*?(turgo_\w+)\(", header, re.MULTILINE))
