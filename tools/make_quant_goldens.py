#!/usr/bin/env python3
"""Writes tests/goldens/quant_blocks/TYPE.bin: random blocks of every GGUF type and what the `gguf` package makes of them.

A file is the blocks, then their elements as little-endian f32. The quantisable types also get TYPE.quantized.bin: f32
elements, then the blocks that `gguf` quantises them to. Deterministic; needs numpy and gguf.
Usage: make_quant_goldens.py [OUTPUT_FOLDER]
"""
import pathlib
import sys

import gguf
import numpy as np

# Offsets of the f16 fields of each block; the rest may be any bytes.
HALVES = {
    "F32": [], "F16": [], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}
QUANTIZABLE = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]


def random_blocks(name, rng):
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    count = 1024 // block_size  # 1,024 elements of each type
    if block_size == 1:
        values = rng.standard_normal(count).astype(np.float32)
        values[:4] = [0.0, -0.0, 1e-7, -60000.0]  # 1e-7 is subnormal in f16
        if name == "F32":
            return values.view(np.uint8)
        if name == "F16":
            return values.astype(np.float16).view(np.uint8)
        return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    raw = rng.integers(0, 256, (count, block_bytes), dtype=np.uint8)
    for offset in HALVES[name]:
        scale = rng.standard_normal(count).astype(np.float16)
        scale[0] = np.float16(6e-7)  # a subnormal scale
        raw[:, offset:offset + 2] = scale.view(np.uint8).reshape(count, 2)
    return raw.reshape(-1)


def dequantized(name, raw):
    view = {"F32": np.float32, "F16": np.float16}.get(name, np.uint8)
    row = raw.view(view).reshape(1, -1)
    return gguf.dequantize(row, gguf.GGMLQuantizationType[name]).astype("<f4").reshape(-1)


def quantize_input(rng):
    values = rng.standard_normal(1024).astype(np.float32)
    values[:32] = 0          # a block of zeros
    values[32:64] = 1.25     # a constant block
    values[64:96] = 1e-6
    values[100] = 1000       # an outlier
    return values


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "tests" / "goldens" / "quant_blocks"
    out.mkdir(parents=True, exist_ok=True)
    for name in HALVES:
        raw = random_blocks(name, np.random.default_rng(list(name.encode())))
        (out / f"{name.lower()}.bin").write_bytes(raw.tobytes() + dequantized(name, raw).tobytes())
    values = quantize_input(np.random.default_rng(7))
    for name in QUANTIZABLE:
        blocks = gguf.quantize(values.reshape(1, -1), gguf.GGMLQuantizationType[name])
        (out / f"{name.lower()}.quantized.bin").write_bytes(values.astype("<f4").tobytes() + blocks.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
