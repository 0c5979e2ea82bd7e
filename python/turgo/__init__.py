"""Turgo: compress, run and serve large language models on a plain CPU, without PyTorch.

    from turgo import pipeline
    pipe = pipeline('model.gguf')
    print(pipe(['What is gravity?', '上海是']))
"""

from ._turgo import list_chat_templates, version
from .client import APIClient, client, serve
from .config import ChatTemplateConfig, EngineConfig, GenerationConfig, PytorchEngineConfig, TurbomindEngineConfig
from .errors import TurgoError
from .pipeline import Pipeline, pipeline
from .response import Response
from .session import Session
from .tokenizer import Tokenizer

__all__ = [
    "APIClient", "ChatTemplateConfig", "EngineConfig", "GenerationConfig", "Pipeline", "PytorchEngineConfig", "Response",
    "Session", "Tokenizer", "TurbomindEngineConfig", "TurgoError", "__version__", "client", "list_models", "pipeline",
    "serve",
]

__version__: str = version()


def list_models() -> list[str]:
    """The names that ChatTemplateConfig and pipeline's model_name know: built-in chat templates."""
    return list_chat_templates()
