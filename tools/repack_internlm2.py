"""Re-packs a Llama GGUF file (SmolLM2) as an InternLM2 folder with the published list of files: a real model for the
InternLM2 path, whose answers must be those of the original.

    repack_internlm2.py model.gguf OUTPUT [--dtype f32|f16|bf16] [--shards 2] [--tokenizer-model tokenizer.model]
                        [--no-own-tokenizer] [--weights-from FOLDER]

OUTPUT gets config.json (with auto_map), configuration.json, *_internlm2.py (text that must never be run),
generation_config.json, the weights as sharded safetensors with an index, special_tokens_map.json,
tokenizer_config.json, a tokenizer.model where one is given, and tokenizer.json with the GGUF file's own vocabulary.
Weights are dequantised; f32 is exact. Needs numpy only: GGUF (F32, F16, Q4_0, Q4_1, Q8_0) and safetensors are read and
written here, so that the tool shares no code with what it tests.
"""
import argparse
import json
import os
import shutil
import struct

import numpy as np

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 8: (32, 34)}  # ggml type: elements, bytes


class Gguf:
    """Metadata and tensors of one GGUF file; `tensor` gives f32 in row-major order."""

    def __init__(self, path):
        self.data = np.memmap(path, dtype=np.uint8, mode="r")
        self.at = 4
        assert bytes(self.data[:4]) == b"GGUF", f"{path}: not a GGUF file"
        _, num_tensors, num_keys = self.scalar("I"), self.scalar("Q"), self.scalar("Q")
        self.metadata = {}
        for _ in range(num_keys):
            key = self.string()
            self.metadata[key] = self.value(self.scalar("I"))
        self.tensors = {}
        for _ in range(num_tensors):
            name = self.string()
            shape = [self.scalar("Q") for _ in range(self.scalar("I"))][::-1]
            self.tensors[name] = (shape, self.scalar("I"), self.scalar("Q"))
        alignment = self.metadata.get("general.alignment", 32)
        self.begin = (self.at + alignment - 1) // alignment * alignment

    def scalar(self, code):
        size = struct.calcsize("<" + code)
        (value,) = struct.unpack("<" + code, self.data[self.at : self.at + size].tobytes())
        self.at += size
        return value

    def string(self):
        n = self.scalar("Q")
        self.at += n
        return self.data[self.at - n : self.at].tobytes().decode()

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind != 9:
            return self.scalar(SCALARS[kind])
        kind, count = self.scalar("I"), self.scalar("Q")
        return [self.value(kind) for _ in range(count)]

    def tensor(self, name):
        shape, kind, offset = self.tensors[name]
        assert kind in BLOCKS, f"{name}: ggml type {kind} is not read by this tool"
        elements, size = BLOCKS[kind]
        count = int(np.prod(shape)) // elements
        raw = np.asarray(self.data[self.begin + offset :][: count * size]).reshape(count, size)
        if kind < 2:
            return raw.copy().view(np.float32 if kind == 0 else np.float16).astype(np.float32).reshape(shape)
        scale = raw[:, :2].copy().view(np.float16).astype(np.float32)
        if kind == 8:
            return (raw[:, 2:].copy().view(np.int8) * scale).reshape(shape)
        nibbles = np.concatenate([raw[:, -16:] & 15, raw[:, -16:] >> 4], 1).astype(np.float32)
        offset = raw[:, 2:4].copy().view(np.float16).astype(np.float32) if kind == 3 else -8 * scale
        return (nibbles * scale + offset).reshape(shape)


def internlm2_weights(g, heads, kv_heads):
    """name -> function that gives the f32 tensor; nothing large is held."""
    def unpermuted(name, count):  # GGUF's llama keeps rope pairs as neighbours
        w = g.tensor(name)
        return w.reshape(count, -1, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)

    def wqkv(block):
        q = unpermuted(block + "attn_q.weight", heads)
        dim, hidden = q.shape[0] // heads, q.shape[1]
        k, v = unpermuted(block + "attn_k.weight", kv_heads), g.tensor(block + "attn_v.weight")
        parts = [q.reshape(kv_heads, -1, dim, hidden)] + [t.reshape(kv_heads, 1, dim, hidden) for t in (k, v)]
        return np.concatenate(parts, 1).reshape(-1, hidden)

    head = "output.weight" if "output.weight" in g.tensors else "token_embd.weight"
    names = {"model.tok_embeddings.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "output.weight": head}
    makers = {}
    for i in range(g.metadata["llama.block_count"]):
        old, new = f"blk.{i}.", f"model.layers.{i}."
        makers[new + "attention.wqkv.weight"] = lambda block=old: wqkv(block)
        for a, b in (("attention.wo", "attn_output"), ("attention_norm", "attn_norm"), ("ffn_norm", "ffn_norm"),
                     ("feed_forward.w1", "ffn_gate"), ("feed_forward.w2", "ffn_down"), ("feed_forward.w3", "ffn_up")):
            names[f"{new}{a}.weight"] = f"{old}{b}.weight"
    for new, old in names.items():
        makers[new] = lambda name=old: g.tensor(name)
    return makers


def stored(x, dtype):
    if dtype == "bf16":  # round to nearest even
        u = np.ascontiguousarray(x).view(np.uint32)
        return ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype("<u2")
    return x.astype("<f2" if dtype == "f16" else "<f4")


def write_shards(folder, makers, dtype, num_shards):
    names, tag, size = sorted(makers), dtype.upper(), 4 if dtype == "f32" else 2
    weight_map, total = {}, 0
    for shard in range(num_shards):
        part = names[shard * len(names) // num_shards : (shard + 1) * len(names) // num_shards]
        file_name = f"model-{shard + 1:05}-of-{num_shards:05}.safetensors"
        header, end = {"__metadata__": {"format": "pt"}}, 0
        shapes = {name: makers[name]().shape for name in part}
        for name in part:
            n = int(np.prod(shapes[name])) * size
            header[name] = {"dtype": tag, "shape": list(shapes[name]), "data_offsets": [end, end + n]}
            end += n
            weight_map[name] = file_name
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(os.path.join(folder, file_name), "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text)
            for name in part:
                f.write(stored(makers[name](), dtype).tobytes())
        total += end
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(folder, "model.safetensors.index.json", index)


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2, ensure_ascii=False)


def tokenizer_json(meta):
    """SmolLM2's vocabulary with its published pre-tokenizer: digits one by one, then GPT-2's byte-level splits."""
    tokens, types = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    added = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for i, t in enumerate(tokens) if types[i] == 3]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]},
        "post_processor": None, "decoder": byte_level | {"add_prefix_space": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": {t: i for i, t in enumerate(tokens)}, "merges": meta["tokenizer.ggml.merges"]},
    }


def write_companions(folder, meta, own_tokenizer):
    hidden, heads = meta["llama.embedding_length"], meta["llama.attention.head_count"]
    bos, eos = meta["tokenizer.ggml.bos_token_id"], meta["tokenizer.ggml.eos_token_id"]
    write_json(folder, "config.json", {
        "architectures": ["InternLM2ForCausalLM"],
        "auto_map": {"AutoConfig": "configuration_internlm2.InternLM2Config",
                     "AutoModel": "modeling_internlm2.InternLM2ForCausalLM",
                     "AutoModelForCausalLM": "modeling_internlm2.InternLM2ForCausalLM"},
        "bias": False, "bos_token_id": bos, "eos_token_id": eos, "hidden_act": "silu", "hidden_size": hidden,
        "initializer_range": 0.02, "intermediate_size": meta["llama.feed_forward_length"],
        "max_position_embeddings": meta["llama.context_length"], "model_type": "internlm2",
        "num_attention_heads": heads, "num_hidden_layers": meta["llama.block_count"],
        "num_key_value_heads": meta["llama.attention.head_count_kv"], "pad_token_id": 2,
        "rms_norm_eps": meta["llama.attention.layer_norm_rms_epsilon"],
        "rope_scaling": {"type": "dynamic", "factor": 2.0}, "rope_theta": meta["llama.rope.freq_base"],
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "transformers_version": "4.41.0", "use_cache": True,
        "vocab_size": len(meta["tokenizer.ggml.tokens"]), "pretraining_tp": 1})
    write_json(folder, "configuration.json", {"task": "text-generation"})
    write_json(folder, "generation_config.json", {"bos_token_id": bos, "eos_token_id": [eos], "pad_token_id": 2,
                                                  "transformers_version": "4.41.0"})
    for name in ("configuration", "modeling", "tokenization"):
        with open(os.path.join(folder, name + "_internlm2.py"), "w") as f:
            f.write('raise SystemExit("remote code must never be run")\n')
    shutil.copy(os.path.join(folder, "tokenization_internlm2.py"), os.path.join(folder, "tokenization_internlm2_fast.py"))
    with open(os.path.join(folder, "README.md"), "w") as f:
        f.write("A Llama GGUF file re-packed as InternLM2, for tests.\n")
    own = meta["tokenizer.ggml.tokens"]
    special = {"bos_token": own[bos], "eos_token": own[eos], "pad_token": own[2], "unk_token": own[0]}
    if not own_tokenizer:
        special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    write_json(folder, "special_tokens_map.json", special)
    config = {"auto_map": {"AutoTokenizer": ["tokenization_internlm2.InternLM2Tokenizer",
                                             "tokenization_internlm2_fast.InternLM2TokenizerFast"]},
              "add_bos_token": not own_tokenizer, "add_eos_token": False, "clean_up_tokenization_spaces": False,
              "model_max_length": meta["llama.context_length"], "tokenizer_class": "InternLM2Tokenizer", **special,
              "chat_template": meta["tokenizer.chat_template"]}
    if own_tokenizer:
        config["tokenizer_class"] = "GPT2Tokenizer"
        write_json(folder, "tokenizer.json", tokenizer_json(meta))
    write_json(folder, "tokenizer_config.json", config)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("output")
    parser.add_argument("--dtype", choices=("f32", "f16", "bf16"), default="f32")
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--tokenizer-model", help="copied into the folder as tokenizer.model")
    parser.add_argument("--no-own-tokenizer", action="store_true", help="leave out tokenizer.json, as published")
    parser.add_argument("--weights-from", help="link the weights of a folder written before")
    args = parser.parse_args()
    g = Gguf(args.model)
    assert g.metadata["general.architecture"] == "llama", "only Llama files can be re-packed"
    os.makedirs(args.output, exist_ok=True)
    heads, kv_heads = g.metadata["llama.attention.head_count"], g.metadata["llama.attention.head_count_kv"]
    if args.weights_from:
        for name in os.listdir(args.weights_from):
            if ".safetensors" in name:
                os.symlink(os.path.join(os.path.abspath(args.weights_from), name), os.path.join(args.output, name))
    else:
        write_shards(args.output, internlm2_weights(g, heads, kv_heads), args.dtype, args.shards)
    write_companions(args.output, g.metadata, not args.no_own_tokenizer)
    if args.tokenizer_model:
        shutil.copy(args.tokenizer_model, os.path.join(args.output, "tokenizer.model"))


if __name__ == "__main__":
    main()
