#!/usr/bin/env python3
"""Writes the seed corpora tests/fuzz/{gguf,safetensors,model_config}: small valid files and some that lie in one field.

A seed starts the fuzzer behind the magic number; what a fuzzer finds later is added beside them by hand.
Deterministic, standard library only. Usage: make_fuzz_seeds.py [OUTPUT_FOLDER]
"""
import json
import pathlib
import struct
import sys

U8, U32, I32, F32, BOOL, STRING, ARRAY, U64 = 0, 4, 5, 6, 7, 8, 9, 10


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def kv(key, kind, payload):
    return text(key) + struct.pack("<I", kind) + payload


def array(kind, items):
    return struct.pack("<IQ", kind, len(items)) + b"".join(items)


def tensor(name, ne, kind, offset):
    return text(name) + struct.pack(f"<I{len(ne)}QIQ", len(ne), *ne, kind, offset)


def gguf(kvs, tensors, data_bytes, version=3, alignment=32, num_kv=None, num_tensors=None):
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors) if num_tensors is None else num_tensors,
                                 len(kvs) if num_kv is None else num_kv) + b"".join(kvs) + b"".join(tensors)
    return head + bytes(-len(head) % alignment) + bytes(data_bytes)


def gguf_seeds():
    arch = kv("general.architecture", STRING, text("llama"))
    every = [arch, kv("u", U32, struct.pack("<I", 7)), kv("f", F32, struct.pack("<f", 1.5)), kv("b", BOOL, b"\1"),
             kv("l", U64, struct.pack("<Q", 1 << 40)),
             kv("tokenizer.ggml.tokens", ARRAY, array(STRING, [text("<s>"), text("a"), text(b"\xff")])),
             kv("tokenizer.ggml.token_type", ARRAY, array(I32, [struct.pack("<i", v) for v in (3, 1, 6)])),
             kv("flags", ARRAY, array(BOOL, [b"\0", b"\1"]))]
    # name, ggml type, elements of a row, bytes of a row
    types = [("f32", 0, 8, 32), ("f16", 1, 16, 32), ("q4_0", 2, 32, 18), ("q4_1", 3, 32, 20), ("q5_0", 6, 32, 22),
             ("q5_1", 7, 32, 24), ("q8_0", 8, 32, 34), ("q2_k", 10, 256, 84), ("q3_k", 11, 256, 110),
             ("q4_k", 12, 256, 144), ("q5_k", 13, 256, 176), ("q6_k", 14, 256, 210), ("bf16", 30, 16, 32)]
    for name, kind, ne, size in types:
        yield name, gguf([arch], [tensor("w", (ne,), kind, 0)], size)
    yield "metadata", gguf(every, [tensor("w", (8, 1, 1, 1), 0, 0)], 32)
    yield "two_tensors", gguf([arch], [tensor("a", (8, 2), 0, 0), tensor("b", (32,), 2, 64)], 82)
    yield "version2", gguf([arch], [tensor("w", (8,), 0, 0)], 32, version=2)
    yield "align64", gguf([kv("general.alignment", U32, struct.pack("<I", 64))], [tensor("w", (8,), 0, 0)], 32,
                          alignment=64)
    yield "align3", gguf([kv("general.alignment", U32, struct.pack("<I", 3))], [tensor("w", (8,), 0, 0)], 32)
    yield "vocabulary", gguf(every, [], 0)
    yield "n_kv_lies", gguf([arch], [], 0, num_kv=2**64 - 1)
    yield "n_tensors_lies", gguf([arch], [tensor("w", (8,), 0, 0)], 32, num_tensors=2**63)
    yield "string_lies", gguf([kv("k", STRING, struct.pack("<Q", 2**40))], [], 32)
    yield "array_lies", gguf([kv("k", ARRAY, struct.pack("<IQ", STRING, 2**60))], [], 32)
    yield "nested_array", gguf([kv("k", ARRAY, struct.pack("<IQ", ARRAY, 1) + array(U8, [b"x"]))], [], 32)
    yield "product_wraps", gguf([arch], [tensor("w", (2**63, 2), 0, 0)], 32)
    yield "offset_lies", gguf([arch], [tensor("w", (8,), 0, 2**64 - 32)], 32)
    yield "overlap", gguf([arch], [tensor("a", (8,), 0, 0), tensor("b", (8,), 0, 0)], 32)
    yield "big_endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0)
    yield "empty", b""


def safetensors(header, data_bytes, length=None):
    data = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(data) if length is None else length) + data + bytes(data_bytes)


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors_seeds():
    for dtype, size in (("F32", 4), ("F16", 2), ("BF16", 2), ("I32", 4), ("I64", 8), ("I8", 1), ("U8", 1), ("F8_E4M3", 1)):
        yield dtype.lower(), safetensors({"w": entry(dtype, [2, 3], 0, 6 * size)}, 6 * size)
    two = {"__metadata__": {"format": "pt"}, "a": entry("U8", [4], 0, 4), "b\u00e9\"": entry("F32", [], 4, 8)}
    yield "two", safetensors(two, 8)
    yield "padded", safetensors(json.dumps(two).encode() + b"     ", 8)
    yield "empty_tensor", safetensors({"e": entry("F32", [0, 2], 0, 0)}, 0)
    yield "rank6", safetensors({"w": entry("U8", [1, 2, 1, 2, 1, 2], 0, 8)}, 8)
    yield "overlap", safetensors({"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 2, 6)}, 6)
    yield "hole", safetensors({"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 5, 9)}, 9)
    yield "wraps", safetensors({"a": entry("F32", [2**32, 2**32, 4], 0, 16)}, 16)
    yield "negative", safetensors({"a": entry("F32", [-4], 0, 16)}, 16)
    yield "duplicate", safetensors(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}}', 0)
    yield "deep", safetensors(b'{"a":' + b"[" * 500, 0)
    yield "length_lies", safetensors(b"{}", 0, length=2**63)
    yield "empty", b""


def model_config_seeds():
    config = {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "rope_scaling": {"type": "linear", "factor": 2.0},
              "eos_token_id": [1, 2], "tie_word_embeddings": True, "x": None, "text_config": {"a": {"b": [1, -1, 1e300]}}}
    yield "config", b"\x3f" + json.dumps(config).encode()
    yield "shallow", b"\x00" + json.dumps(config).encode()
    yield "escapes", b"\x3f" + rb'{"a\"b\\":"\ud83d\ude00\u0000","c":"{[:"}'
    yield "deep", b"\x3f" + b"[" * 300
    yield "nan", b"\x3f" + b'{"a": NaN}'
    yield "surrogate", b"\x3f" + rb'{"a":"\ud800"}'
    yield "numbers", b"\x3f" + b'[18446744073709551616,-9223372036854775809,1e999,-0,0.1e-999]'


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "tests" / "fuzz"
    for corpus, seeds in (("gguf", gguf_seeds()), ("safetensors", safetensors_seeds()),
                          ("model_config", model_config_seeds())):
        (out / corpus).mkdir(parents=True, exist_ok=True)
        for name, data in seeds:
            (out / corpus / name).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
