"""pipeline, serve and client with 0.3.0's signatures."""

from __future__ import annotations

from typing import Any

import turgo
from turgo import APIClient, ChatTemplateConfig, PytorchEngineConfig, Response

from .messages import GenerationConfig, TurbomindEngineConfig

__all__ = ["Pipeline", "client", "pipeline", "serve"]


class Pipeline(turgo.Pipeline):
    """A call without gen_config samples (top_k 40, top_p 0.8, temperature 0.8); stream_infer and batch_infer without
    one are greedy. So it was."""

    def __call__(self, prompts: Any, gen_config: Any = None, request_output_len: int = 512, top_k: int = 40,
                 top_p: float = 0.8, temperature: float = 0.8, repetition_penalty: float = 1.0,
                 ignore_eos: bool = False, do_preprocess: bool = True, adapter_name: str | None = None,
                 **options: Any) -> Any:
        if gen_config is None:
            gen_config = GenerationConfig(max_new_tokens=request_output_len, top_k=top_k, top_p=top_p,
                                          temperature=temperature, repetition_penalty=repetition_penalty,
                                          ignore_eos=ignore_eos)
        return super().__call__(prompts, gen_config, do_preprocess=do_preprocess, adapter_name=adapter_name, **options)

    def batch_infer(self, prompts: Any, gen_config: Any = None, do_preprocess: bool = True, **options: Any) -> Any:
        return super().__call__(prompts, gen_config or GenerationConfig(), do_preprocess=do_preprocess, **options)

    def stream_infer(self, prompts: Any, gen_config: Any = None, do_preprocess: bool = True, **options: Any) -> Any:
        return super().stream_infer(prompts, gen_config or GenerationConfig(), do_preprocess=do_preprocess, **options)


def pipeline(model_path: str, model_name: str | None = None,
             backend_config: TurbomindEngineConfig | PytorchEngineConfig | None = None,
             chat_template_config: ChatTemplateConfig | None = None, log_level: str = "ERROR", **options: Any) -> Pipeline:
    options.pop("trust_remote_code", None)
    return Pipeline.open(model_path, model_name, backend_config or TurbomindEngineConfig(), chat_template_config,
                         log_level, **options)


def serve(model_path: str, model_name: str | None = None,
          backend_config: TurbomindEngineConfig | PytorchEngineConfig | None = None,
          chat_template_config: ChatTemplateConfig | None = None, server_name: str = "0.0.0.0",
          server_port: int = 23333, log_level: str = "ERROR", api_keys: str | list[str] | None = None,
          ssl: bool = False, **options: Any) -> APIClient:
    return turgo.serve(model_path, model_name, backend_config, chat_template_config, server_name, server_port, log_level,
                       api_keys, ssl)


def client(api_server_url: str = "http://0.0.0.0:23333", api_key: str | None = None, **options: Any) -> APIClient:
    return turgo.client(api_server_url.replace("//0.0.0.0", "//127.0.0.1"), api_key)
