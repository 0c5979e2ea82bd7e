"""Names that scripts import from lmdeploy.pytorch."""

from ..messages import PytorchEngineConfig
from ..messages import PytorchEngineConfig as EngineConfig

__all__ = ["EngineConfig", "PytorchEngineConfig"]
