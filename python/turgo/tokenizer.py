"""Strings and token ids of a model, without loading its weights."""

from __future__ import annotations

import os
from typing import Any

from . import _turgo
from .config import as_path
from .prompts import as_ids

__all__ = ["Tokenizer"]


class Tokenizer:
    """Tokenizer(path): of a GGUF file, a Hugging Face folder, or the same model as a pipeline's."""

    def __init__(self, model_path: str | os.PathLike[str]) -> None:
        self._tokenizer = _turgo.Tokenizer.load(as_path(model_path))

    def encode(self, s: str, add_bos: bool = True, add_special_tokens: bool = True) -> list[int]:
        """add_bos: BOS in front if the model wants it. add_special_tokens: text like '<|im_start|>' is one token."""
        return self._tokenizer.encode(s, bool(add_bos), bool(add_special_tokens))

    def decode(self, t: Any, offset: int | None = None, skip_special_tokens: bool = True) -> str:
        """`t`: ids, as a list or an integer array; from `offset` on."""
        ids = as_ids(t, "ids")
        return self._tokenizer.decode(ids[offset:] if offset else ids, bool(skip_special_tokens))

    def __call__(self, s: str) -> dict[str, list[int]]:
        return {"input_ids": self.encode(s)}

    @property
    def vocab_size(self) -> int:
        return self._tokenizer.vocab_size

    @property
    def bos_token_id(self) -> int:
        """-1 if the model has none."""
        return self._tokenizer.bos_token_id

    @property
    def eos_token_id(self) -> int:
        """-1 if the model has none."""
        return self._tokenizer.eos_token_id
