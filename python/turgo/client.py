"""serve(): the server beside this process. client(): a caller for it, or for any server with the same routes.
The standard library does the HTTP, so nothing more has to be installed; the `openai` package works as well."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from typing import Any

from .config import ChatTemplateConfig, EngineConfig, PytorchEngineConfig, as_path
from .errors import InputOutputError, InvalidArgumentError, NotFoundError, UnsupportedError

__all__ = ["APIClient", "client", "find_program", "serve"]


def find_program() -> str:
    """The command `turgo` of this installation."""
    folders = [os.path.dirname(sys.executable), sysconfig.get_path("scripts")]
    found = os.environ.get("TURGO_BIN") or next(
        (path for folder in folders if (path := shutil.which("turgo", path=folder))), None) or shutil.which("turgo")
    if not found:
        raise NotFoundError("the program turgo is not there; expected it beside python, where `pip install turgo` puts it")
    return found


class APIClient:
    """Calls a server's routes; those that stream are generators of parsed JSON. Close it to end a server that
    serve() started."""

    def __init__(self, api_server_url: str = "http://127.0.0.1:23333", api_key: str | None = None,
                 process: subprocess.Popen[bytes] | None = None) -> None:
        if not isinstance(api_server_url, str) or not api_server_url.startswith(("http://", "https://")):
            raise InvalidArgumentError(f"api_server_url: expected http://HOST:PORT, got {api_server_url!r}")
        self.api_server_url = api_server_url.rstrip("/")
        self.api_key = api_key
        self.process = process

    # -- LMDeploy's names of the calls

    @property
    def available_models(self) -> list[str]:
        return [str(model["id"]) for model in self._json("GET", "/v1/models")["data"]]

    def encode(self, input: str | list[str], do_preprocess: bool = False, add_bos: bool = True) -> tuple[Any, Any]:
        """(token ids, how many), or lists of both for a list."""
        got = self._json("POST", "/v1/encode", {"input": input, "do_preprocess": do_preprocess, "add_bos": add_bos})
        return got["input_ids"], got["length"]

    def chat_completions_v1(self, model: str, messages: str | list[dict[str, Any]], stream: bool = False,
                            **fields: Any) -> Iterator[dict[str, Any]]:
        """OpenAI's chat completions: one object, or with stream=True its chunks."""
        return self._objects("/v1/chat/completions", {"model": model, "messages": messages, "stream": stream, **fields})

    def completions_v1(self, model: str, prompt: str | list[Any], stream: bool = False,
                       **fields: Any) -> Iterator[dict[str, Any]]:
        return self._objects("/v1/completions", {"model": model, "prompt": prompt, "stream": stream, **fields})

    def chat_interactive_v1(self, prompt: str | list[dict[str, Any]], session_id: int = -1, interactive_mode: bool = False,
                            stream: bool = False, **fields: Any) -> Iterator[dict[str, Any]]:
        """Stateful: with interactive_mode the server keeps the conversation under session_id."""
        return self._objects("/v1/chat/interactive", {"prompt": prompt, "session_id": session_id, "stream": stream,
                                                      "interactive_mode": interactive_mode, **fields})

    def end_session(self, session_id: int) -> None:
        for _ in self.chat_interactive_v1("", session_id, interactive_mode=False, request_output_len=0):
            pass

    def close(self) -> None:
        """Ends the server, if serve() started it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self) -> APIClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- HTTP

    def _open(self, method: str, path: str, body: Any = None) -> Any:
        import urllib.error
        import urllib.request

        headers = {"Content-Type": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api_server_url + path, data, headers, method=method)
        try:
            return urllib.request.urlopen(request, timeout=600)
        except urllib.error.HTTPError as error:
            raise InvalidArgumentError(f"{path}: {_error_text(error.code, error.read())}") from None
        except (OSError, ValueError) as error:
            raise InputOutputError(f"{self.api_server_url}: no server answers there: {error}") from None

    def _json(self, method: str, path: str, body: Any = None) -> Any:
        with self._open(method, path, body) as answer:
            return json.loads(answer.read())

    def _objects(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The answer's JSON object, or the objects of its event stream or JSON lines."""
        with self._open("POST", path, body) as answer:
            if not body["stream"]:
                yield json.loads(answer.read())
                return
            for line in answer:
                text = line.decode().removeprefix("data: ").strip()
                if text == "[DONE]":
                    return
                if text:
                    yield json.loads(text)


def _error_text(status: int, body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}: {body[:200]!r}"


def client(api_server_url: str = "http://127.0.0.1:23333", api_key: str | None = None) -> APIClient:
    """A caller for the server at this address."""
    return APIClient(api_server_url, api_key)


def _flags(config: EngineConfig) -> list[str]:
    """The engine options that differ from the defaults, as the command line has them."""
    flags = []
    standard = EngineConfig().to_options()
    for name, value in config.to_options().items():
        if value == standard.get(name):
            continue
        if name == "enable_prefix_caching":
            raise UnsupportedError("enable_prefix_caching: expected True; a server always keeps prefixes")
        flag = "--" + name.replace("_", "-")
        flags += [flag] if value is True else [flag, str(value)]
    return flags


def serve(model_path: str | os.PathLike[str], model_name: str | None = None,
          backend_config: EngineConfig | PytorchEngineConfig | None = None,
          chat_template_config: ChatTemplateConfig | None = None, server_name: str = "127.0.0.1",
          server_port: int = 23333, log_level: str | None = None, api_keys: str | list[str] | None = None,
          ssl: bool = False, timeout: float = 600) -> APIClient:
    """Starts `turgo serve api_server` in a process of its own and returns its client when it is ready. close(), or
    the end of this process, ends it. server_port=0 takes any free port."""
    if isinstance(backend_config, PytorchEngineConfig):
        backend_config = backend_config.to_engine_config()
    config = backend_config or EngineConfig()
    words = [find_program(), "serve", "api_server", as_path(model_path), "--server-name", server_name, "--server-port",
             str(server_port), *_flags(config)]
    if model_name:
        words += ["--model-name", model_name]
    if chat_template_config is not None:
        words += ["--chat-template", chat_template_config.to_option()]
    if log_level is not None:
        words += ["--log-level", log_level]
    keys = [api_keys] if isinstance(api_keys, str) else api_keys or []
    for key in keys:
        words += ["--api-keys", key]
    if ssl:
        words.append("--ssl")
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    url = _wait_for_address(process, timeout)
    threading.Thread(target=_drain, args=(process,), daemon=True).start()
    started = APIClient(url, keys[0] if keys else None, process)
    atexit.register(started.close)
    return started


def _drain(process: subprocess.Popen[bytes]) -> None:
    """Whatever else it writes must not fill the pipe."""
    assert process.stdout is not None
    with process.stdout as stream:
        while stream.readline():
            pass


def _wait_for_address(process: subprocess.Popen[bytes], timeout: float) -> str:
    """The URL in "serving NAME on URL", the line that a ready server prints."""
    import selectors

    assert process.stdout is not None
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if not selector.select(0.1):
                continue
            line = process.stdout.readline().decode("utf-8", "replace")
            if not line:
                raise InputOutputError(f"the server ended with status {process.wait()} (its message is on stderr)")
            if "serving " in line and " on http" in line:
                return line.strip().rsplit(" ", 1)[1].replace("0.0.0.0", "127.0.0.1")
    process.kill()
    raise InputOutputError(f"the server was not ready after {timeout} s")
