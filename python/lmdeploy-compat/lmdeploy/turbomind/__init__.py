"""Names that scripts import from lmdeploy.turbomind."""

from ..messages import TurbomindEngineConfig
from ..messages import TurbomindEngineConfig as EngineConfig

__all__ = ["EngineConfig", "TurbomindEngineConfig"]
