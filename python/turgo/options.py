"""Options as the C++ lists have them: written by tools/make_python_options.py, not by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class EngineOptions:
    """How a model is loaded and run.

    threads: compute threads (0 to 1024; default: one per core)
    precision: arithmetic of the weights' products; auto: int8 for quantised weights (one of 'auto', 'int8', 'bf16', 'f32'; default: auto)
    head_type: 16-bit head of a folder with quantised layers: in 8 bits, or as in the file (always with f32) (one of 'int8', 'file'; default: int8)
    session_len: context in tokens: prompt, history and answer (0 to 16777216; default: the model's own)
    max_batch_size: requests computed at once (1 to 65536; default: 128)
    cache_max_entry_count: share of the free memory for the KV cache; 1 and more: number of blocks (0.001 to 1000000000; default: 0.8)
    cache_block_seq_len: tokens per block of the KV cache (64 to 64; default: 64)
    max_prefill_token_num: most tokens of one step (1 to 65536; default: 512)
    num_tokens_per_iter: tokens of a step in which answers are running too (0 to 65536; default: as measured times allow beside answers)
    max_prefill_iters: steps that a prompt may be cut into, whatever they take (0 to 65536; default: any number)
    session_ttl: seconds after which an idle session is forgotten; 0: never (0 to 1000000000; default: 0)
    model_format: checked against what the files are (one of '', 'hf', 'gguf', 'llama', 'awq', 'gptq', 'compressed-tensors', 'smooth_quant', 'fp8'; default: seen from the files)
    quant_policy: KV cache: 0 bf16, 8 int8, 84 int8 keys with 4-bit values, 4 int4; 16 and 32: bf16 and f32 (0 to 84; default: 0)
    tp: ranks that share the model; on a CPU each computes on cores of its own (1 to 1024; default: 1)
    rope_scaling_factor: stretch the positions by this factor; 0: as trained (0 to 1024; default: 0)
    chat_template: name (`turgo list`), Jinja file, or LMDeploy's JSON (default: the model's own)
    log_level: messages on stderr (one of 'debug', 'info', 'warning', 'error', 'DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'; default: warning)
    trust_remote_code: accepted and not needed: no code of a model is ever run (default: False)
    backend: accepted: there is one engine (one of '', 'turbomind', 'pytorch'; default: '')
    enable_prefix_caching: keep the KV of prompts for requests that begin alike (default: True)
    """

    threads: int = 0
    precision: str = 'auto'
    head_type: str = 'int8'
    session_len: int = 0
    max_batch_size: int = 128
    cache_max_entry_count: float = 0.8
    cache_block_seq_len: int = 64
    max_prefill_token_num: int = 512
    num_tokens_per_iter: int = 0
    max_prefill_iters: int = 0
    session_ttl: float = 0.0
    model_format: str = ''
    quant_policy: int = 0
    tp: int = 1
    rope_scaling_factor: float = 0.0
    chat_template: str = ''
    log_level: str = 'warning'
    trust_remote_code: bool = False
    backend: str = ''
    enable_prefix_caching: bool = True


@dataclass(kw_only=True)
class GenerationOptions:
    """What is asked of one answer.

    max_new_tokens: most tokens of an answer (at least 0; default: 512)
    min_new_tokens: no end before so many tokens (at least 0; default: 0)
    temperature: 0 picks the likeliest token (0 to 100; default: 0.8)
    top_k: sample from the K likeliest tokens; 0: all, 1: greedy (at least -1; default: 40)
    top_p: sample from the likeliest tokens that make up this probability (0 to 1; default: 0.8)
    min_p: leave out tokens below this share of the likeliest (0 to 1; default: 0)
    repetition_penalty: above 1: seen tokens become less likely (0 to 100; default: 1)
    presence_penalty: taken from the logits of generated tokens (-2 to 2; default: 0)
    frequency_penalty: the same, for each occurrence (-2 to 2; default: 0)
    seed: same seed, same answer (default: random)
    stop: end the answer before this text; may be given several times (default: [])
    include_stop: keep the stop text in the answer (default: False)
    ignore_eos: go on after the model's end token (default: False)
    logprobs: report log probabilities: the chosen token's and the N best (-1 to 100; default: none)
    skip_special_tokens: leave control tokens out of the text (default: True)
    stop_token_ids: tokens that end the answer, beside the model's own (default: [])
    logit_bias: added to the logits of these tokens (default: {})
    max_seconds: > 0: the answer ends after so many seconds, with finish_reason 'timeout' (default: 0.0)
    priority: smaller is served first (default: 0)
    response_format: {'type': 'json_schema', 'json_schema': {'schema': …}}, 'json_object' or 'regex_schema': the answer's form (default: None)
    """

    max_new_tokens: int = 512
    min_new_tokens: int = 0
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.8
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    stop: list[str] = field(default_factory=list)
    include_stop: bool = False
    ignore_eos: bool = False
    logprobs: int = -1
    skip_special_tokens: bool = True
    stop_token_ids: list[int] = field(default_factory=list)
    logit_bias: dict[int, float] = field(default_factory=dict)
    max_seconds: float = 0.0
    priority: int = 0
    response_format: dict[str, Any] | None = None
