"""Configurations with today's names and LMDeploy's. The options themselves are turgo/options.py, which C++ wrote;
here is what only Python has: old spellings, and the values that mean "not said" (None)."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass, fields
from typing import Any

from . import _turgo
from .errors import InvalidArgumentError, NotFoundError, UnsupportedError
from .options import EngineOptions, GenerationOptions

__all__ = ["ChatTemplateConfig", "EngineConfig", "GenerationConfig", "PytorchEngineConfig", "TurbomindEngineConfig"]


def as_path(model_path: Any) -> str:
    """A model's path, `~` expanded; bytes and all else are refused."""
    path = os.fspath(model_path) if isinstance(model_path, os.PathLike) else model_path
    if not isinstance(path, str):
        raise InvalidArgumentError(f"model_path: expected a path, got {type(path).__name__} {path!r:.60}")
    return os.path.expanduser(path)


def _said(config: Any, kind: type) -> dict[str, Any]:
    """The options of `kind` that have a value: LMDeploy's scripts say None for "not set"."""
    return {f.name: value for f in fields(kind) if (value := getattr(config, f.name)) is not None}


@dataclass(kw_only=True)
class GenerationConfig(GenerationOptions):
    """What is asked of one answer: GenerationOptions and LMDeploy's other names for them.

    n: only 1 is possible; ask several times for several answers
    do_sample: False picks the likeliest token, whatever temperature says
    random_seed: the same as seed
    stop_words: further strings that end the answer, as stop
    bad_words: words of one token whose tokens, with and without a space in front, may not appear
    """

    n: int = 1
    do_sample: bool | None = None
    random_seed: int | None = None
    stop_words: list[str] | None = None
    bad_words: list[str] | None = None

    def __post_init__(self) -> None:
        self.to_options()

    def to_options(self, bad_token_ids: list[int] | None = None) -> _turgo.Generation:
        """Checked and ready for the engine. Raises InvalidArgumentError."""
        if self.n != 1:
            raise InvalidArgumentError(f"n: expected 1, got {self.n!r}; ask several times for several answers")
        said = _said(self, GenerationOptions)
        if self.random_seed is not None and self.seed is None:
            said["seed"] = self.random_seed
        if self.do_sample is False:
            said["temperature"] = 0.0
        if self.stop_words:
            said["stop"] = _as_list(self.stop) + _as_list(self.stop_words)
        if bad_token_ids:
            said["logit_bias"] = {**dict.fromkeys(bad_token_ids, -1e9), **self.logit_bias}
        return _turgo.Generation(said)


def _as_list(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value)


@dataclass(kw_only=True)
class EngineConfig(EngineOptions):
    """How a model is loaded and run: EngineOptions, and fields of LMDeploy's that need nothing here.

    model_name: the name of a chat template for a model that brings none
    dtype, download_dir, revision: accepted; files are read as they are
    use_logn_attn: only False
    """

    model_name: str | None = None
    dtype: str = "auto"
    use_logn_attn: bool = False
    download_dir: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        if self.use_logn_attn:
            raise UnsupportedError("use_logn_attn: expected False; logN scaling of attention is not built yet")
        _turgo.check_engine_options(self.to_options())

    def to_options(self) -> dict[str, Any]:
        return _said(self, EngineOptions)


TurbomindEngineConfig = EngineConfig


@dataclass(kw_only=True)
class PytorchEngineConfig:
    """Accepted for scripts that choose LMDeploy's PyTorch engine: its fields that have a meaning here are taken."""

    model_name: str = ""
    tp: int = 1
    session_len: int | None = None
    max_batch_size: int = 128
    cache_max_entry_count: float = 0.8
    max_prefill_token_num: int | None = None
    block_size: int = 64
    enable_prefix_caching: bool = True
    quant_policy: int = 0
    eviction_type: str = "recompute"
    prefill_interval: int = 16
    num_cpu_blocks: int = 0
    num_gpu_blocks: int = 0
    adapters: dict[str, str] | None = None
    thread_safe: bool = False
    download_dir: str | None = None
    revision: str | None = None

    def to_engine_config(self) -> EngineConfig:
        warnings.warn("there is one engine, without PyTorch: PytorchEngineConfig's tp, session_len, max_batch_size, "
                      "cache_max_entry_count, max_prefill_token_num, enable_prefix_caching and quant_policy are taken, "
                      "its other fields have no effect", stacklevel=3)
        if self.adapters:
            raise UnsupportedError("adapters: expected none; LoRA adapters are not built yet")
        taken: dict[str, Any] = {
            name: value
            for name in ("tp", "session_len", "max_batch_size", "cache_max_entry_count", "max_prefill_token_num",
                         "enable_prefix_caching", "quant_policy")
            if (value := getattr(self, name)) is not None
        }
        return EngineConfig(model_name=self.model_name or None, **taken)


@dataclass
class ChatTemplateConfig:
    """A chat template: the name of a built-in one (list_models()), and texts that replace its own."""

    model_name: str | None = None
    system: str | None = None
    meta_instruction: str | None = None
    eosys: str | None = None
    user: str | None = None
    eoh: str | None = None
    assistant: str | None = None
    eoa: str | None = None
    separator: str | None = None
    capability: str | None = None
    stop_words: list[str] | None = None

    @classmethod
    def from_json(cls, file_or_string: str | os.PathLike[str]) -> ChatTemplateConfig:
        """From a JSON file, or from JSON text."""
        text = os.fspath(file_or_string)
        where = "the JSON text"
        if not text.lstrip().startswith("{"):
            where = text
            try:
                with open(text, encoding="utf-8") as file:
                    text = file.read()
            except FileNotFoundError:
                raise NotFoundError(f"{text}: expected a JSON file or JSON text of a chat template") from None
        try:
            said = json.loads(text)
        except ValueError as error:
            raise InvalidArgumentError(f"{where}: expected JSON: {error}") from None
        known = {f.name for f in fields(cls)}
        if not isinstance(said, dict) or set(said) - known:
            raise InvalidArgumentError(f"{where}: expected an object with keys of {sorted(known)}, got "
                                       f"{sorted(said) if isinstance(said, dict) else type(said).__name__}")
        return cls(**said)

    def to_json(self, file_path: str | os.PathLike[str] | None = None) -> str:
        """JSON text, also written to `file_path` if that is given."""
        text = json.dumps({f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None},
                          ensure_ascii=False, indent=2)
        if file_path is not None:
            with open(file_path, "w", encoding="utf-8") as file:
                file.write(text)
        return text

    def to_option(self) -> str:
        """What EngineConfig.chat_template takes: a name alone, or JSON."""
        said = json.loads(self.to_json())
        said.pop("capability", None)
        if set(said) == {"model_name"}:
            return str(self.model_name)
        return json.dumps(said)
