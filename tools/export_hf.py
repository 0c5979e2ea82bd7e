"""Writes a Llama GGUF file (SmolLM2) as the Hugging Face folder it came from, with dequantised weights: what
transformers, and a script that says `--model-format hf`, can load.

    export_hf.py model.gguf OUTPUT [--dtype bf16|f16|f32] [--shards 1]

OUTPUT gets config.json, generation_config.json, model.safetensors or shards with an index, tokenizer.json,
tokenizer_config.json (with the chat template) and special_tokens_map.json. f32 is exact. Needs numpy only.
"""
import argparse
import os

from repack_internlm2 import Gguf, tokenizer_json, write_json, write_shards

LAYER_NAMES = {
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}


def llama_weights(g, heads, kv_heads):
    """name -> function that gives the f32 tensor; nothing large is held."""
    def unpermuted(name, count):  # GGUF's llama keeps rope pairs as neighbours
        w = g.tensor(name)
        return w.reshape(count, -1, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)

    names = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if "output.weight" in g.tensors:
        names["lm_head.weight"] = "output.weight"
    makers = {}
    for i in range(g.metadata["llama.block_count"]):
        old, new = f"blk.{i}.", f"model.layers.{i}."
        makers[new + "self_attn.q_proj.weight"] = lambda block=old: unpermuted(block + "attn_q.weight", heads)
        makers[new + "self_attn.k_proj.weight"] = lambda block=old: unpermuted(block + "attn_k.weight", kv_heads)
        names |= {f"{new}{a}.weight": f"{old}{b}.weight" for a, b in LAYER_NAMES.items()}
    for new, old in names.items():
        makers[new] = lambda name=old: g.tensor(name)
    return makers


def write_companions(folder, g, dtype):
    meta = g.metadata
    hidden, heads = meta["llama.embedding_length"], meta["llama.attention.head_count"]
    bos, eos = meta["tokenizer.ggml.bos_token_id"], meta["tokenizer.ggml.eos_token_id"]
    tokens = meta["tokenizer.ggml.tokens"]
    write_json(folder, "config.json", {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": bos, "eos_token_id": eos,
        "head_dim": hidden // heads, "hidden_act": "silu", "hidden_size": hidden, "initializer_range": 0.02,
        "intermediate_size": meta["llama.feed_forward_length"], "max_position_embeddings": meta["llama.context_length"],
        "mlp_bias": False, "model_type": "llama", "num_attention_heads": heads,
        "num_hidden_layers": meta["llama.block_count"], "num_key_value_heads": meta["llama.attention.head_count_kv"],
        "pretraining_tp": 1, "rms_norm_eps": meta["llama.attention.layer_norm_rms_epsilon"], "rope_scaling": None,
        "rope_theta": meta["llama.rope.freq_base"], "tie_word_embeddings": "output.weight" not in g.tensors,
        "torch_dtype": {"bf16": "bfloat16", "f16": "float16", "f32": "float32"}[dtype], "use_cache": True,
        "vocab_size": len(tokens)})
    write_json(folder, "generation_config.json", {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": 2})
    special = {"bos_token": tokens[bos], "eos_token": tokens[eos], "pad_token": tokens[2], "unk_token": tokens[0]}
    write_json(folder, "special_tokens_map.json", special)
    write_json(folder, "tokenizer_config.json", {
        "add_bos_token": False, "add_prefix_space": False, "clean_up_tokenization_spaces": False,
        "model_max_length": meta["llama.context_length"], "tokenizer_class": "GPT2Tokenizer",
        "chat_template": meta["tokenizer.chat_template"], **special})
    write_json(folder, "tokenizer.json", tokenizer_json(meta))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("output")
    parser.add_argument("--dtype", choices=("bf16", "f16", "f32"), default="bf16")
    parser.add_argument("--shards", type=int, default=1)
    args = parser.parse_args()
    g = Gguf(args.model)
    assert g.metadata["general.architecture"] == "llama", "only Llama files can be written so"
    os.makedirs(args.output, exist_ok=True)
    heads, kv_heads = g.metadata["llama.attention.head_count"], g.metadata["llama.attention.head_count_kv"]
    write_shards(args.output, llama_weights(g, heads, kv_heads), args.dtype, args.shards)
    write_companions(args.output, g, args.dtype)


if __name__ == "__main__":
    main()
