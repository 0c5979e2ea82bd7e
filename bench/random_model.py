#!/usr/bin/env python3
"""Makes GGUF files with random weights: for speeds of shapes whose trained weights need not be at hand.

usage: bench/random_model.py FOLDER [--shape 135m|0.5b|1.5b] [--tokenizer MODEL.gguf] [--q4-1]
Weights are Gaussian of variance 1 / in_features, norms one, so that activations stay of order one through the layers.
135m is SmolLM2's shape in Qwen2's architecture; --q4-1 writes Q4_1 with an embedding in Q8_0, as its default file has.
With --tokenizer the file takes that model's tokenizer, so that it can be calibrated on a text. Needs numpy and gguf (.venv has them).
"""
import argparse
import os
import pathlib

import gguf
import gguf.quants
import numpy as np


# hidden_size, layers, heads, kv heads, intermediate_size, vocab_size; SmolLM2's and Qwen2's
SHAPES = {"135m": (576, 30, 9, 3, 1536, 49152), "0.5b": (896, 24, 14, 2, 4864, 151936), "1.5b": (1536, 28, 12, 2, 8960, 151936)}


def qwen2_half_billion(folder: pathlib.Path) -> pathlib.Path:
    """Qwen2-0.5B's shape, without a tokenizer."""
    return qwen2(folder, "0.5b")


def copy_tokenizer(source: pathlib.Path, writer: gguf.GGUFWriter, vocab: int) -> None:
    """All of the source's tokenizer.* keys; its vocabulary is filled up to `vocab` with tokens that no text has."""
    for name, field in gguf.GGUFReader(source).fields.items():
        if not name.startswith("tokenizer."):
            continue
        value, kind = field.contents(), field.types[0]
        if name == "tokenizer.ggml.tokens":
            value += [f"<unused{i}>" for i in range(vocab - len(value))]
        elif name in ("tokenizer.ggml.token_type", "tokenizer.ggml.scores"):
            value += [5 if name.endswith("type") else 0] * (vocab - len(value))  # 5: unused
        writer.add_key_value(name, value, kind, sub_type=field.types[1] if kind == gguf.GGUFValueType.ARRAY else None)


def qwen2(folder: pathlib.Path, shape: str, tokenizer: pathlib.Path | None = None, q4_1: bool = False) -> pathlib.Path:
    """Qwen2's architecture with a tied head."""
    target = folder / f"qwen2-{shape}-random{'-text' if tokenizer else ''}{'-q4_1' if q4_1 else ''}.gguf"
    if target.exists():
        return target
    hidden, layers, heads, kv_heads, mlp, vocab = SHAPES[shape]
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
    if tokenizer:
        copy_tokenizer(tokenizer, writer, vocab)
    else:
        writer.add_tokenizer_model("none")

    def matrix(name: str, rows: int, cols: int) -> None:
        values = random.standard_normal((rows, cols), dtype=np.float32) / cols ** 0.5
        if not q4_1:
            writer.add_tensor(name, values.astype(np.float16))
            return
        kind = gguf.GGMLQuantizationType.Q8_0 if name == "token_embd.weight" else gguf.GGMLQuantizationType.Q4_1
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--shape", choices=SHAPES, default="0.5b")
    parser.add_argument("--tokenizer", type=pathlib.Path)
    parser.add_argument("--q4-1", action="store_true")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print(qwen2(args.folder, args.shape, args.tokenizer, args.q4_1))
