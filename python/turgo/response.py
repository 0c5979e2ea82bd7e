"""What comes back."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Response"]


@dataclass
class Response:
    """An answer, or the next piece of one (stream_infer): then text and token_ids are new, counts are so far.

    finish_reason: 'stop', 'length', 'timeout', 'cancelled'; None while more follows
    session_id: the number of the prompt in its batch
    logprobs: for each token {token id: log probability}, the chosen one first, if they were asked for
    """

    text: str
    generate_token_len: int
    input_token_len: int
    session_id: int
    finish_reason: str | None = None
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[dict[int, float]] | None = None
    cached_token_len: int = 0

    @property
    def index(self) -> int:
        """LMDeploy's later name of session_id."""
        return self.session_id

    @property
    def response(self) -> str:
        """LMDeploy's name of the text in what generate() yields."""
        return self.text

    def __repr__(self) -> str:
        logprobs = f", logprobs=[{len(self.logprobs)} tokens]" if self.logprobs else ""
        return (f"Response(text={self.text!r}, generate_token_len={self.generate_token_len}, "
                f"input_token_len={self.input_token_len}, session_id={self.session_id}, "
                f"finish_reason={self.finish_reason!r}{logprobs})")

    def __str__(self) -> str:
        return repr(self)
