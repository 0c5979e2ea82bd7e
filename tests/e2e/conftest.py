"""Fixtures: the built program (TURGO_BIN) and the default model (TURGO_MODEL); a test that lacks one is skipped."""
import os
import pathlib
import subprocess

import pytest


def _path_from(variable):
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set; ./run test sets it")
    path = pathlib.Path(value).resolve()
    if not path.exists():
        pytest.fail(f"{variable}={value} does not exist")
    return path


@pytest.fixture(scope="session")
def program():
    return str(_path_from("TURGO_BIN"))


@pytest.fixture(scope="session")
def model():
    return str(_path_from("TURGO_MODEL"))


@pytest.fixture(scope="session")
def turgo(program):
    """turgo("generate", MODEL, …, stdin="…") -> CompletedProcess with str stdout and stderr."""

    def run(*arguments, stdin="", timeout=300, check=None, env=None):
        done = subprocess.run([program, *map(str, arguments)], input=stdin.encode(), capture_output=True,
                              timeout=timeout, env={**os.environ, **(env or {})})
        done.stdout = done.stdout.decode("utf-8")  # strict: the program never writes broken UTF-8
        done.stderr = done.stderr.decode("utf-8")
        if check is not None:
            assert done.returncode == check, done.stderr
        return done

    return run
