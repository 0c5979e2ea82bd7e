"""LMDeploy 0.3.0's names on Turgo: scripts run with only the model's path changed. Defaults and meanings are that
release's: GenerationConfig() is greedy, a call without one samples, quant_policy=4 is an int8 KV cache."""

from turgo import Tokenizer
from turgo import __version__ as __turgo_version__

from .api import client, pipeline, serve
from .messages import EngineGenerationConfig, GenerationConfig, PytorchEngineConfig, TurbomindEngineConfig
from .model import ChatTemplateConfig
from .version import __version__

__all__ = ["ChatTemplateConfig", "EngineGenerationConfig", "GenerationConfig", "PytorchEngineConfig", "Tokenizer",
           "TurbomindEngineConfig", "__turgo_version__", "__version__", "client", "pipeline", "serve"]
