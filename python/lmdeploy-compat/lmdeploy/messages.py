"""Configurations with 0.3.0's defaults and meanings."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import turgo
from turgo import PytorchEngineConfig, Response

__all__ = ["EngineGenerationConfig", "GenerationConfig", "PytorchEngineConfig", "Response", "TurbomindEngineConfig",
           "quant_policy_of"]


@dataclass(kw_only=True)
class GenerationConfig(turgo.GenerationConfig):
    """Greedy unless told otherwise, as in 0.3.0."""

    top_p: float = 1.0
    top_k: int = 1
    temperature: float = 0.8


EngineGenerationConfig = GenerationConfig


def quant_policy_of(number: int) -> int:
    """0.3.0's 4 was an int8 KV cache; turgo's 4 is int4."""
    if number != 4:
        return number
    print("lmdeploy: quant_policy 4 is the int8 KV cache of 0.3.0 here, turgo's 8 (turgo's own 4 would be int4)",
          file=sys.stderr)
    return 8


@dataclass(kw_only=True)
class TurbomindEngineConfig(turgo.EngineConfig):
    """quant_policy as in 0.3.0: 0 or 4 (int8), and turgo's numbers."""

    def __post_init__(self) -> None:
        self.quant_policy = quant_policy_of(self.quant_policy)
        super().__post_init__()
