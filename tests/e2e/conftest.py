"""Fixtures: the built program (TURGO_BIN) and the default model (TURGO_MODEL); a test that lacks one is skipped."""
import importlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from web_browser import browser, model_folder, open_page, site  # noqa: F401  the web page's fixtures


def _path_from(variable):
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set; ./run test sets it")
    path = pathlib.Path(value).resolve()
    if not path.exists():
        pytest.fail(f"{variable}={value} does not exist")
    return path


@pytest.fixture(scope="session")
def package_python():
    """The interpreter of the environment that has the packages turgo and turgo-lmdeploy-compat."""
    return os.environ.get("TURGO_PYTHON") or pytest.skip("TURGO_PYTHON is not set; ./run test-python sets it")


def pytest_configure():
    """The installed package turgo can be imported here too: that environment has this Python's version."""
    if os.environ.get("TURGO_PYTHON"):
        sys.path += map(str, pathlib.Path(os.environ["TURGO_PYTHON"]).parents[1].glob("lib/python*/site-packages"))
        importlib.import_module("turgo")  # an error here, where a test would skip


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


class Server:
    """A running `turgo serve api_server`: raw bytes and JSON requests to it."""

    def __init__(self, program, model, *flags):
        """`model`: its path, or the address of an engine that has it."""
        where = ["--engine", model] if model.startswith("grpc") else [model]
        self.process = subprocess.Popen(
            [program, "serve", "api_server", *where, "--server-port", "0", "--model-name", "smollm2", *flags],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline().decode()
        assert "serving smollm2 on http" in line, self.process.stderr.read().decode()
        self.port = int(re.search(r":(\d+)(/\S*)?$", line.strip()).group(1))
        self.url = f"http://127.0.0.1:{self.port}"

    def raw(self, data, timeout=30):
        """The whole answer to these bytes, read until the server closes or its Content-Length is there."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            connection.sendall(data)
            answer = b""
            while True:
                piece = connection.recv(65536)
                answer += piece
                head, end, body = answer.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                if not piece or (end and length and len(body) >= int(length.group(1))):
                    return answer

    def request(self, method, path, body=None, headers=None, timeout=60):
        """(status, parsed JSON or text). `body`: JSON value, or bytes as they stand."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **(headers or {})},
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def post(self, path, body, **more):
        return self.request("POST", path, body, **more)

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def stop(self):
        self.process.terminate()
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


class Engine:
    """A running `turgo serve engine`."""

    def __init__(self, program, model, *flags, port=0, name="smollm2"):
        self.process = subprocess.Popen(
            [program, "serve", "engine", model, "--grpc-port", str(port), "--model-name", name, *flags],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        line = self.process.stdout.readline().decode()
        assert f"serving {name} on grpc" in line, line
        self.url = line.split()[-1]
        self.address = self.url.split("://")[1]
        self.port = int(self.address.rsplit(":", 1)[1])

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=20)
        self.process.stdout.close()

    def stop(self):
        self.process.terminate()
        return self.end()

    def end(self):
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        return code


class ApartServer(Server):
    """The same over an engine in a process of its own, which takes the flags about model and queue."""
    ENGINE_FLAGS = {"--session-len", "--max-batch-size", "--max-queue", "--cache-max-entry-count", "--quant-policy", "--threads",
                    "--max-prefill-token-num", "--session-ttl", "--precision", "--tp"}

    def __init__(self, program, model, *flags):
        own = [part for at, flag in enumerate(flags) if flag in self.ENGINE_FLAGS for part in flags[at:at + 2]]
        self.engine = Engine(program, model, *own)
        super().__init__(program, self.engine.url, *flags)
        threading.Thread(target=self._end_engine, daemon=True).start()

    def _end_engine(self):
        """However the server ends, also by the hand of a test."""
        while self.process.poll() is None:
            time.sleep(0.2)
        self.engine.process.terminate()

    def stop(self):
        code = super().stop()
        return code or self.engine.end()  # it has been told; told again it would not wait for what it does


@pytest.fixture(scope="session")
def start_server(program, model):
    """start_server(*flags) -> Server; the caller stops it. TURGO_SERVE_FORM=grpc: with the engine apart."""
    form = {"grpc": ApartServer, "together": Server}[os.environ.get("TURGO_SERVE_FORM", "together")]
    return lambda *flags: form(program, model, *flags)


@pytest.fixture(scope="session")
def grpc_program():
    """The program of a build with gRPC."""
    return str(_path_from("TURGO_GRPC_BIN"))


@pytest.fixture(scope="session")
def start_engine(grpc_program, model):
    """start_engine(*flags, port=0, model=…, name="smollm2") -> Engine; the caller stops it."""
    return lambda *flags, model=model, **more: Engine(grpc_program, model, *flags, **more)


@pytest.fixture(scope="session")
def start_over(grpc_program):
    """start_over(engine, *flags) -> Server of that engine; the caller stops it."""
    return lambda engine, *flags: Server(grpc_program, engine.url, *flags)


@pytest.fixture(scope="session")
def server(start_server):
    one = start_server()
    yield one
    assert one.process.poll() is None, "the server has died"
    assert one.stop() == 0
