"""Writes tests/goldens/models: tiny random models with the logits that transformers computes for them in f32.

    make_goldens.py [output folder]      needs torch, transformers, safetensors and gguf; works offline

Each folder holds config.json and model.safetensors (or model.gguf), golden.json {tokens, prompt_tokens} and
logits.npy (f32 [tokens, vocab_size], one forward over all tokens). Where the rope does not depend on the length,
cached decode after the prompt was asserted to give the same rows. Folders with the same weights share one file by a
symbolic link. Seeds are fixed: a second run writes the same bytes.
"""
import copy
import json
import os
import shutil
import sys

import numpy as np
import torch
from safetensors.torch import save_file

import internlm2_forward

PROMPT, TOKENS, VOCAB = 28, 36, 64
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "goldens", "models")

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": VOCAB,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 1000.0, "hidden_act": "silu",
    "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2,
}


def tokens(seed):
    return torch.randint(3, VOCAB, (TOKENS,), generator=torch.Generator().manual_seed(seed))


def randomise(model, seed, dtype, norm_mean=1.0):
    """Weights large enough that attention is far from uniform, rounded to what the file will store."""
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if "norm" in name:
            p.data = norm_mean - 0.5 + torch.rand(p.shape, generator=g)
        elif p.dim() == 1:
            p.data = torch.randn(p.shape, generator=g) * 0.3
        else:
            std = 1.0 if "embed" in name else 1.5 / p.shape[1] ** 0.5
            p.data = torch.randn(p.shape, generator=g) * std
        p.data = p.data.to(dtype).float()
    return model.eval()


def write(name, config, weights, ids, logits, dtype=None, same_weights_as=None):
    folder = os.path.join(OUT, name)
    os.makedirs(folder)
    if config is not None:
        with open(os.path.join(folder, "config.json"), "w") as f:
            json.dump(config, f, indent=1)
    if same_weights_as:
        os.symlink(os.path.join("..", same_weights_as, "model.safetensors"), os.path.join(folder, "model.safetensors"))
    elif weights is not None:
        save_file({k: v.to(dtype).contiguous() for k, v in weights.items()}, os.path.join(folder, "model.safetensors"),
                  metadata={"format": "pt"})
    with open(os.path.join(folder, "golden.json"), "w") as f:
        json.dump({"tokens": ids.tolist(), "prompt_tokens": PROMPT}, f)
    np.save(os.path.join(folder, "logits.npy"), logits.numpy().astype(np.float32))


@torch.no_grad()
def reference(model, ids, cached=True):
    logits = model(ids[None]).logits[0]
    if cached:
        out = model(ids[None, :PROMPT], use_cache=True)
        rows = [out.logits[0]]
        for i in range(PROMPT, TOKENS):
            out = model(ids[None, i : i + 1], past_key_values=out.past_key_values, use_cache=True)
            rows.append(out.logits[0])
        difference = (torch.cat(rows) - logits).abs().max().item()
        assert difference < 5e-5, difference
    return logits


def build(config, seed, dtype, norm_mean=1.0, text=None):
    from transformers import AutoConfig, AutoModelForCausalLM

    arguments = copy.deepcopy(text or config)
    model_type = arguments.pop("model_type")
    arguments.pop("architectures", None)
    made = AutoConfig.for_model(model_type, **arguments)
    made._attn_implementation = "eager"
    torch.manual_seed(seed)
    return randomise(AutoModelForCausalLM.from_config(made).float(), seed, dtype, norm_mean)


def state(model, tied):
    return {k: v for k, v in model.state_dict().items() if not (tied and k == "lm_head.weight")}


def simple(name, config, seed, dtype=torch.bfloat16, norm_mean=1.0, cached=True, same_weights_as=None):
    model, ids = build(config, seed, dtype, norm_mean), tokens(seed)
    logits = reference(model, ids, cached)
    weights = state(model, config["tie_word_embeddings"])
    write(name, config, weights, ids, logits, dtype, same_weights_as)
    return model, ids, logits


def llamas():
    made = simple("llama_gqa", LLAMA, 1)
    simple("llama_bias_tied", LLAMA | {"num_key_value_heads": 4, "attention_bias": True, "mlp_bias": True,
                                       "tie_word_embeddings": True}, 2)
    # A head_dim that is not hidden_size / num_attention_heads, in f32 and with a list of ends.
    simple("llama_head_dim", LLAMA | {"head_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                                      "num_key_value_heads": 1, "eos_token_id": [2, 5]}, 3, torch.float32)
    # Old and new spelling of the same thing: rope_theta + rope_scaling {"type"}, and rope_parameters {"rope_type"}.
    without = {k: v for k, v in LLAMA.items() if k != "rope_theta"}
    ropes = {
        "linear": LLAMA | {"rope_scaling": {"type": "linear", "factor": 4.0}},
        "dynamic": LLAMA | {"max_position_embeddings": 16, "rope_scaling": {"type": "dynamic", "factor": 2.0}},
        "yarn": without | {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0,
                                               "original_max_position_embeddings": 16}},
        "llama3": LLAMA | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                            "high_freq_factor": 4.0, "original_max_position_embeddings": 64}},
        "longrope": without | {"rope_parameters": {
            "rope_type": "longrope", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 16,
            "short_factor": [1.0, 1.1, 1.3, 1.6], "long_factor": [1.0, 1.5, 2.5, 4.0]}},
    }
    ropes["longrope_short"] = copy.deepcopy(ropes["longrope"])
    ropes["longrope_short"]["rope_parameters"]["original_max_position_embeddings"] = 48
    for kind, config in ropes.items():
        # Dynamic and longrope are chosen once from the length: the reference is one forward over all tokens.
        simple(f"llama_{kind}", config, 1, cached=kind in ("linear", "yarn", "llama3"), same_weights_as="llama_gqa")
    return made


def llama_widths():
    """A pruned Llama: layers differ in heads and width. transformers has no such field, so its modules are changed."""
    heads, kv, widths = [4, 2, 6], [2, 1, 2], [48, 16, 40]
    config = LLAMA | {"num_hidden_layers": 3, "head_dim": 8}
    model = build(config, 4, torch.bfloat16)
    for layer, h, k, width in zip(model.model.layers, heads, kv, widths):
        attention, mlp = layer.self_attn, layer.mlp
        for name, shape in (("q_proj", (h * 8, 32)), ("k_proj", (k * 8, 32)), ("v_proj", (k * 8, 32)), ("o_proj", (32, h * 8))):
            setattr(attention, name, torch.nn.Linear(shape[1], shape[0], bias=False))
        attention.num_key_value_groups = h // k
        for name, shape in (("gate_proj", (width, 32)), ("up_proj", (width, 32)), ("down_proj", (32, width))):
            setattr(mlp, name, torch.nn.Linear(shape[1], shape[0], bias=False))
    randomise(model, 4, torch.bfloat16)
    ids = tokens(4)
    lists = {"num_attention_heads": heads, "num_key_value_heads": kv, "intermediate_size": widths}
    write("llama_widths", config | lists, state(model, False), ids, reference(model, ids), torch.bfloat16)


def others():
    common = {k: v for k, v in LLAMA.items() if k not in ("architectures", "model_type")}
    qwen2 = common | {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "tie_word_embeddings": True,
                      "rope_theta": 10000.0, "use_sliding_window": False, "sliding_window": 8, "max_window_layers": 2}
    made = simple("qwen2", qwen2, 5)
    simple("qwen3", common | {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 16,
                              "num_hidden_layers": 1}, 6)
    simple("mistral", common | {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": 8,
                                "head_dim": None}, 7)
    return made


def gemmas():
    text = {
        "model_type": "gemma3_text", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": VOCAB,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 24, "sliding_window": 8, "rope_theta": 1000000.0, "rope_local_base_freq": 100.0,
        "tie_word_embeddings": True, "eos_token_id": 1, "bos_token_id": 2,
    }
    types = {"layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}
    simple("gemma3", {"architectures": ["Gemma3ForCausalLM"]} | text | types, 8, torch.float32, norm_mean=0.0)

    # The multimodal folder: nested text_config with the published scaling of the full layers, a vision tower that is
    # skipped by name. In a bf16 folder transformers rounds the embedding's factor to bf16.
    nested = text | {"num_hidden_layers": 2, "sliding_window_pattern": 2,
                     "rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    model, ids = build(None, 9, torch.bfloat16, 0.0, text=nested), tokens(9)
    embed = model.model.embed_tokens
    embed.embed_scale = embed.embed_scale.bfloat16().float()
    logits = reference(model, ids)
    weights = {"language_model." + k: v for k, v in state(model, True).items()}
    weights["vision_tower.vision_model.embeddings.patch_embedding.bias"] = torch.zeros(8)
    weights["multi_modal_projector.mm_soft_emb_norm.weight"] = torch.zeros(8)
    config = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "text_config": nested,
              "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 8, "num_hidden_layers": 1},
              "eos_token_id": [1, 106]}
    write("gemma3_nested", config, weights, ids, logits, torch.bfloat16)


def internlm2s(llama, ids, expected):
    config, weights = internlm2_forward.from_llama(LLAMA, state(llama, False))
    logits = internlm2_forward.forward(config, weights, ids)
    assert (logits - expected).abs().max() < 5e-5, "the re-mapped Llama must be the same function"
    write("internlm2", config, weights, ids, logits, torch.bfloat16)

    config = config | {"max_position_embeddings": 16, "rope_scaling": {"type": "dynamic", "factor": 2.0}}
    logits = internlm2_forward.forward(config, weights, ids)
    write("internlm2_dynamic", config, None, ids, logits, same_weights_as="internlm2")

    config = config | {"bias": True, "num_hidden_layers": 1}
    config.pop("rope_scaling")
    g = torch.Generator().manual_seed(10)
    weights = {k: v for k, v in weights.items() if ".layers.1." not in k}
    for name, n in (("wqkv", 64), ("wo", 32)):
        weights[f"model.layers.0.attention.{name}.bias"] = (torch.randn(n, generator=g) * 0.5).bfloat16().float()
    write("internlm2_bias", config, weights, ids, internlm2_forward.forward(config, weights, ids), torch.bfloat16)


def permuted(w, heads):
    """Rows as GGUF's llama has them: rope pairs (i, i + dim / 2) of each head become neighbours."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, w.shape[1]).transpose(1, 2).reshape(w.shape)


def gguf_file(name, arch, config, model, ids, logits, rope_factors=None):
    import gguf

    folder = os.path.join(OUT, name)
    write(name, None, None, ids, logits)
    w = gguf.GGUFWriter(os.path.join(folder, "model.gguf"), arch)
    w.add_context_length(config["max_position_embeddings"])
    w.add_embedding_length(config["hidden_size"])
    w.add_block_count(config["num_hidden_layers"])
    w.add_feed_forward_length(config["intermediate_size"])
    w.add_head_count(config["num_attention_heads"])
    w.add_head_count_kv(config["num_key_value_heads"])
    w.add_layer_norm_rms_eps(config["rms_norm_eps"])
    w.add_rope_freq_base(config["rope_theta"])
    if arch == "gemma3":
        w.add_key_length(config["head_dim"])
        w.add_value_length(config["head_dim"])
        w.add_sliding_window(config["sliding_window"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH_NAMES and next(
        a for a, n in gguf.MODEL_ARCH_NAMES.items() if n == arch), config["num_hidden_layers"])
    for key, value in state(model, config["tie_word_embeddings"]).items():
        for part, heads in (("q_proj.weight", "num_attention_heads"), ("k_proj.weight", "num_key_value_heads")):
            if arch == "llama" and key.endswith(part):
                value = permuted(value, config[heads])
        if arch == "gemma3" and "norm" in key:
            value = value + 1
        new = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if value.dim() == 1:
            w.add_tensor(new, value.numpy())
        else:
            raw = value.bfloat16().contiguous().view(torch.uint8).numpy()
            w.add_tensor(new, raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
    if rope_factors is not None:
        w.add_tensor("rope_freqs.weight", rope_factors.astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def ggufs(llama, qwen):
    model, ids, logits = llama
    gguf_file("gguf_llama", "llama", LLAMA, model, ids, logits)
    # llama3 scaling lives in a GGUF file as factors of the wavelengths.
    scaled = build(LLAMA | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                             "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}, 1, torch.bfloat16)
    factors = (model.model.rotary_emb.inv_freq / scaled.model.rotary_emb.inv_freq).numpy()
    assert factors.max() > 2
    gguf_file("gguf_llama3", "llama", LLAMA, scaled, ids, reference(scaled, ids), factors)
    # GGUF keeps Gemma's norms as w and never says which layers slide: every sixth is full.
    config = LLAMA | {"model_type": "gemma3_text", "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
                      "intermediate_size": 32, "sliding_window": 8, "query_pre_attn_scalar": 16,
                      "tie_word_embeddings": True, "hidden_activation": "gelu_pytorch_tanh", "rope_theta": 1000000.0}
    config.pop("hidden_act")
    gemma, ids = build(config, 11, torch.bfloat16, norm_mean=0.0), tokens(11)
    gguf_file("gguf_gemma3", "gemma3", config, gemma, ids, reference(gemma, ids))
    gguf_file("gguf_qwen2", "qwen2", LLAMA | {"rope_theta": 10000.0, "tie_word_embeddings": True}, *qwen)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    torch.set_num_threads(1)
    llama = llamas()
    llama_widths()
    qwen = others()
    gemmas()
    internlm2s(*llama)
    ggufs(llama, qwen)


if __name__ == "__main__":
    main()
