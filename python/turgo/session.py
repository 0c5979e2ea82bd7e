"""A conversation with state: its messages here, its tokens and KV in the engine, which computes only what is new."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .config import GenerationConfig
from .errors import InvalidArgumentError
from .prompts import Prompt, read_prompt
from .response import Response

if TYPE_CHECKING:
    from .pipeline import Pipeline

__all__ = ["Session"]

_numbers = itertools.count()


class Session:
    """Made by pipe.session() or pipe.chat(). `history` holds (question, answer) pairs, `response` the last answer."""

    def __init__(self, pipe: Pipeline, system: str | None = None) -> None:
        self._pipe = pipe
        self._id = f"session-{next(_numbers)}"
        self._closed = False
        self.messages: list[dict[str, Any]] = [] if system is None else [{"role": "system", "content": system}]
        self.response: Response | None = None

    @property
    def history(self) -> list[tuple[str, str]]:
        turns = [m for m in self.messages if m["role"] != "system"]
        return [(q["content"], a["content"]) for q, a in zip(turns[::2], turns[1::2])]

    def ask(self, prompt: str, gen_config: GenerationConfig | None = None, **options: Any) -> Response:
        """The whole answer."""
        for _ in self._turn(prompt, gen_config, options, whole=True):
            pass
        assert self.response is not None
        return self.response

    __call__ = ask

    def stream(self, prompt: str, gen_config: GenerationConfig | None = None, **options: Any) -> Iterator[Response]:
        """The answer piece by piece. Leaving the loop ends it; what was said so far stays in the conversation."""
        return self._turn(prompt, gen_config, options, whole=False)

    def _turn(self, prompt: str, gen_config: GenerationConfig | None, options: dict[str, Any],
              whole: bool) -> Iterator[Response]:
        from .pipeline import _Batch

        if self._closed:
            raise InvalidArgumentError("the session is closed; pipe.session() opens another")
        asked = read_prompt(prompt, True, "prompt")
        if not asked.is_chat:
            raise InvalidArgumentError("prompt: expected text or messages in a session, got token ids")
        conversation = self.messages + asked.value
        batch = _Batch(self._pipe, [Prompt(conversation, True)], self._pipe._options(gen_config, options, 1), whole,
                       self._id)
        pieces: list[Response] = []
        try:
            for piece in batch:
                pieces.append(piece)
                yield piece
        finally:
            if pieces:
                self._keep(conversation, pieces)

    def _keep(self, conversation: list[dict[str, Any]], pieces: list[Response]) -> None:
        last, text = pieces[-1], "".join(piece.text for piece in pieces)
        ids = [i for piece in pieces for i in piece.token_ids]
        logprobs = [p for piece in pieces for p in piece.logprobs or []]
        self.response = Response(text, last.generate_token_len, last.input_token_len, last.session_id,
                                 last.finish_reason or "cancelled", ids, logprobs or None, last.cached_token_len)
        self.messages = [*conversation, {"role": "assistant", "content": text}]

    def rewind(self, turns: int = 1) -> None:
        """Forgets the last questions with their answers."""
        for _ in range(turns):
            while self.messages and self.messages[-1]["role"] == "assistant":
                self.messages.pop()
            if not self.messages or self.messages[-1]["role"] == "system":
                raise InvalidArgumentError(f"turns: expected at most as many as there were, got {turns}")
            self.messages.pop()

    def fork(self) -> Session:
        """A second conversation that begins with this one; its KV is shared until they differ."""
        other = Session(self._pipe)
        other.messages = list(self.messages)
        if self.messages and self._id in self._pipe._model.session_ids():
            self._pipe._model.session_fork(self._id, other._id)
        return other

    def close(self) -> None:
        """Forgets the conversation in the engine."""
        if not self._closed:
            self._closed = True
            self._pipe._end_session(self._id)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<turgo.Session of {len(self.history)} turns{', closed' if self._closed else ''}>"
