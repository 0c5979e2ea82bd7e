"""`llm -m turgo 'Hi'`: the model that TURGO_MODEL names, in llm's own process; streams, and knows conversations."""
from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import llm
from pydantic import Field

import turgo


@llm.hookimpl
def register_models(register: Any) -> None:
    if os.environ.get("TURGO_MODEL"):
        register(Turgo())


class Turgo(llm.Model):
    model_id = "turgo"
    can_stream = True

    class Options(llm.Options):
        temperature: float | None = Field(default=None, description="0 picks the likeliest token", ge=0)
        max_new_tokens: int | None = Field(default=None, description="most tokens of an answer", ge=1)

    def __init__(self) -> None:
        self._pipe: turgo.Pipeline | None = None

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any = None) -> Iterator[str]:
        if self._pipe is None:
            self._pipe = turgo.pipeline(os.environ["TURGO_MODEL"])
        messages = []
        for earlier in conversation.responses if conversation else []:
            messages += [{"role": "user", "content": earlier.prompt.prompt},
                         {"role": "assistant", "content": earlier.text_or_raise()}]
        if prompt.system:
            messages.insert(0, {"role": "system", "content": prompt.system})
        messages.append({"role": "user", "content": prompt.prompt})
        options = {name: value for name, value in prompt.options.model_dump().items() if value is not None}
        for piece in self._pipe.stream_infer(messages, **options):
            yield piece.text
        response.set_usage(input=piece.input_token_len, output=piece.generate_token_len)
