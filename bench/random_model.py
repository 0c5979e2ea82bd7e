"""Makes GGUF files with random weights: for speeds of shapes whose trained weights need not be at hand.

Weights are Gaussian of variance 1 / in_features, norms one, so that activations stay of order one through the layers.
Needs numpy and gguf (.venv has them).
"""
import os
import pathlib

import gguf
import numpy as np


def qwen2_half_billion(folder: pathlib.Path) -> pathlib.Path:
    """Qwen2-0.5B's shape, without a tokenizer: 24 layers of 896, 14 heads on 2 kv heads, MLP 4,864, 151,936 tokens."""
    target = folder / "qwen2-0.5b-random.gguf"
    if target.exists():
        return target
    hidden, layers, heads, kv_heads, mlp, vocab = 896, 24, 14, 2, 4864, 151936
    kv = hidden // heads * kv_heads
    random = np.random.default_rng(0)
    part = target.with_suffix(".part")
    writer = gguf.GGUFWriter(part, "qwen2")
    writer.add_context_length(32768)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(mlp)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(vocab)
    writer.add_tokenizer_model("none")

    def matrix(name: str, rows: int, cols: int) -> None:
        writer.add_tensor(name, (random.standard_normal((rows, cols), dtype=np.float32) / cols ** 0.5).astype(np.float16))

    def vector(name: str, n: int, value: float) -> None:
        writer.add_tensor(name, np.full(n, value, np.float32))
    matrix("token_embd.weight", vocab, hidden)
    vector("output_norm.weight", hidden, 1)
    for i in range(layers):
        b = f"blk.{i}."
        for name, rows, cols in (("attn_q", hidden, hidden), ("attn_k", kv, hidden), ("attn_v", kv, hidden),
                                 ("attn_output", hidden, hidden), ("ffn_gate", mlp, hidden), ("ffn_up", mlp, hidden),
                                 ("ffn_down", hidden, mlp)):
            matrix(f"{b}{name}.weight", rows, cols)
        for name, n in (("attn_q", hidden), ("attn_k", kv), ("attn_v", kv)):
            vector(f"{b}{name}.bias", n, 0)
        for name in ("attn_norm", "ffn_norm"):
            vector(f"{b}{name}.weight", hidden, 1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(part, target)
    return target
