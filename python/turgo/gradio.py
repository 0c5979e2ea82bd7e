"""The page behind `turgo serve gradio`: a chat with a local model or with a server, as LMDeploy's page had it
(instruction, Cancel, Reset, three sliders), on current Gradio. Nothing leaves this machine: no share link, no
analytics, no web fonts.

    python -m turgo.gradio MODEL_OR_URL [--server-name 127.0.0.1] [--server-port 6006]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Protocol

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
import gradio  # noqa: E402  (this module has the same name; imports are absolute)

from .client import APIClient, client  # noqa: E402
from .errors import TurgoError  # noqa: E402

Message = dict[str, Any]


class Source(Protocol):
    """Who answers: pieces of text for a conversation."""

    name: str

    def answer(self, messages: list[Message], max_new_tokens: int, top_p: float,
               temperature: float) -> Iterator[str]: ...


class LocalModel:
    """A model in this process; the prefix cache knows a conversation's earlier turns."""

    def __init__(self, path: str, engine_options: dict[str, Any]) -> None:
        from .config import EngineConfig
        from .pipeline import pipeline

        self.name = os.path.basename(path.rstrip("/"))
        self._pipe = pipeline(path, backend_config=EngineConfig(**engine_options))

    def answer(self, messages: list[Message], max_new_tokens: int, top_p: float, temperature: float) -> Iterator[str]:
        for piece in self._pipe.stream_infer(messages, max_new_tokens=max_new_tokens, top_p=top_p,
                                             temperature=temperature):
            yield piece.text


class Server:
    """A server with OpenAI's chat route."""

    def __init__(self, caller: APIClient, model: str | None = None) -> None:
        self._client = caller
        self.name = model or caller.available_models[0]

    def answer(self, messages: list[Message], max_new_tokens: int, top_p: float, temperature: float) -> Iterator[str]:
        chunks = self._client.chat_completions_v1(self.name, messages, stream=True, max_tokens=max_new_tokens,
                                                  top_p=top_p, temperature=temperature)
        for chunk in chunks:
            if "error" in chunk:
                raise TurgoError(str(chunk["error"].get("message", chunk["error"])))
            if chunk["choices"]:
                yield chunk["choices"][0]["delta"].get("content") or ""


class Page:
    """The callbacks. A browser tab is known by its session hash; Cancel and Reset reach its running answer."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._stops: dict[str, threading.Event] = {}

    def ask(self, text: str, history: list[Message]) -> tuple[str, list[Message]]:
        return "", history + [{"role": "user", "content": text}] if text.strip() else history

    def answer(self, history: list[Message], max_new_tokens: int, top_p: float, temperature: float,
               request: gradio.Request) -> Iterator[list[Message]]:
        if not history or history[-1]["role"] != "user":
            yield history
            return
        stop = self._stops[request.session_hash or ""] = threading.Event()
        messages = [{"role": m["role"], "content": _text(m["content"])} for m in history]
        said = ""
        try:
            pieces = self._source.answer(messages, int(max_new_tokens), float(top_p), float(temperature))
            with closing(pieces):  # type: ignore[type-var]
                for piece in pieces:
                    if stop.is_set():
                        break
                    said += piece
                    yield history + [{"role": "assistant", "content": said}]
        except TurgoError as error:
            raise gradio.Error(str(error)) from error

    def cancel(self, request: gradio.Request) -> None:
        if (stop := self._stops.get(request.session_hash or "")) is not None:
            stop.set()

    def reset(self, request: gradio.Request) -> list[Message]:
        self.cancel(request)
        return []

    def forget(self, request: gradio.Request) -> None:
        """The tab was closed."""
        self.cancel(request)
        self._stops.pop(request.session_hash or "", None)

    def build(self) -> gradio.Blocks:
        with gradio.Blocks(title="Turgo", fill_height=True) as page:
            gradio.Markdown(f"## Turgo Playground\n{self._source.name}")
            chatbot = gradio.Chatbot(show_label=False, scale=1, elem_id="chat", feedback_options=None,
                                     buttons=["copy", "copy_all"], placeholder="Ask something")
            box = gradio.Textbox(show_label=False, placeholder="Instruction; Enter sends", elem_id="instruction", lines=1,
                                 submit_btn=True)
            with gradio.Row():
                cancel = gradio.Button("Cancel", elem_id="cancel")
                reset = gradio.Button("Reset", elem_id="reset")
            with gradio.Row():
                sliders = [gradio.Slider(1, 2048, value=512, step=1, label="Maximum new tokens"),
                           gradio.Slider(0.01, 1, value=0.8, step=0.01, label="Top_p"),
                           gradio.Slider(0.01, 1.5, value=0.7, step=0.01, label="Temperature")]
            asked = box.submit(self.ask, [box, chatbot], [box, chatbot], queue=False, show_progress="hidden")
            running = asked.then(self.answer, [chatbot, *sliders], chatbot, show_progress="hidden",
                                 concurrency_limit=32)
            cancel.click(self.cancel, queue=False)
            reset.click(self.reset, None, chatbot, queue=False, cancels=[running])
            page.unload(self.forget)
        return page


def _text(content: Any) -> str:
    """A message of Gradio's is text, or a list of parts with text."""
    if isinstance(content, str):
        return content
    return "".join(part if isinstance(part, str) else part.get("text", "") for part in content)


def open_source(model_or_server: str, model_name: str | None, engine_options: dict[str, Any]) -> Source:
    if model_or_server.startswith(("http://", "https://")):
        return Server(client(model_or_server, os.environ.get("TURGO_API_KEY")), model_name)
    return LocalModel(model_or_server, engine_options)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="turgo serve gradio", description="A web page to chat with a model or a server.")
    parser.add_argument("model_path_or_server", help="a model, or a server's address: http://localhost:23333")
    parser.add_argument("--server-name", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--server-port", type=int, default=6006, help="port of the page")
    parser.add_argument("--model-name", help="which of the server's models (default: its first)")
    parser.add_argument("--engine-options", type=json.loads, default={}, help="JSON of EngineConfig's fields")
    o = parser.parse_args(words)
    try:
        page = Page(open_source(o.model_path_or_server, o.model_name, o.engine_options)).build()
    except TurgoError as error:
        print(f"turgo: {error}", file=sys.stderr)
        sys.exit(2)
    fonts = ["system-ui", "sans-serif"]
    theme = gradio.themes.Default(font=fonts, font_mono=["ui-monospace", "monospace"])
    try:
        page.queue(max_size=100).launch(server_name=o.server_name, server_port=o.server_port, share=False, theme=theme,
                                        show_error=True, footer_links=[])
    except OSError as error:
        print(f"turgo: serve gradio: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
