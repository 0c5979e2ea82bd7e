"""InternLM2's forward pass in plain torch, written from the published configuration and paper (arXiv 2403.17297):
Llama with q, k and v in one matrix whose rows are grouped by kv head: [num_kv_heads][group + 2][head_dim], where the
last two of a group are k and v; `bias` covers wqkv and wo; rope_scaling {"type": "dynamic", "factor"} is dynamic NTK.
The reference for tests/goldens/models/internlm2*; transformers does not carry this family.
"""
import torch


def rope(config, num_tokens):
    """cos, sin [num_tokens, head_dim]; dynamic NTK for sequences longer than max_position_embeddings."""
    dim = config["hidden_size"] // config["num_attention_heads"]
    base, longest = config["rope_theta"], config["max_position_embeddings"]
    scaling = config.get("rope_scaling")
    if scaling and scaling["type"] == "dynamic" and num_tokens > longest:
        factor = scaling["factor"]
        base *= (factor * num_tokens / longest - (factor - 1)) ** (dim / (dim - 2))
    inv_freq = 1.0 / base ** (torch.arange(0, dim, 2).float() / dim)
    angles = torch.outer(torch.arange(num_tokens).float(), inv_freq)
    return torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def linear(w, name, x):
    return torch.nn.functional.linear(x, w[name + ".weight"], w.get(name + ".bias"))


def attention(config, w, name, x, cos, sin):
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    tokens, dim, group = x.shape[0], x.shape[1] // heads, heads // kv_heads
    qkv = linear(w, name + ".wqkv", x).view(tokens, kv_heads, group + 2, dim)
    q = qkv[:, :, :group].reshape(tokens, heads, dim).transpose(0, 1)
    k = qkv[:, :, group].transpose(0, 1).repeat_interleave(group, 0)
    v = qkv[:, :, group + 1].transpose(0, 1).repeat_interleave(group, 0)
    q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    scores = q @ k.transpose(1, 2) / dim**0.5
    scores = scores.masked_fill(torch.ones(tokens, tokens, dtype=torch.bool).triu(1), float("-inf"))
    out = (scores.softmax(-1) @ v).transpose(0, 1).reshape(tokens, heads * dim)
    return linear(w, name + ".wo", out)


@torch.no_grad()
def forward(config, w, ids):
    """config: config.json as a dict; w: name -> f32 tensor; ids: [tokens]. Returns logits [tokens, vocab_size]."""
    eps = config["rms_norm_eps"]
    cos, sin = rope(config, len(ids))
    x = w["model.tok_embeddings.weight"][ids]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        x = x + attention(config, w, layer + "attention", norm(x, w[layer + "attention_norm.weight"], eps), cos, sin)
        y = norm(x, w[layer + "ffn_norm.weight"], eps)
        gate = torch.nn.functional.silu(linear(w, layer + "feed_forward.w1", y))
        x = x + linear(w, layer + "feed_forward.w2", gate * linear(w, layer + "feed_forward.w3", y))
    return norm(x, w["model.norm.weight"], eps) @ w["output.weight"].T


def from_llama(config, w):
    """A Llama's config and weights under InternLM2's names: the same function in the other layout."""
    heads, kv_heads, hidden = (config[k] for k in ("num_attention_heads", "num_key_value_heads", "hidden_size"))
    dim, group = hidden // heads, heads // kv_heads
    out = {"model.tok_embeddings.weight": w["model.embed_tokens.weight"], "model.norm.weight": w["model.norm.weight"],
           "output.weight": w.get("lm_head.weight", w["model.embed_tokens.weight"])}
    names = {"input_layernorm": "attention_norm", "self_attn.o_proj": "attention.wo", "post_attention_layernorm": "ffn_norm",
             "mlp.gate_proj": "feed_forward.w1", "mlp.up_proj": "feed_forward.w3", "mlp.down_proj": "feed_forward.w2"}
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        for old, new in names.items():
            out[f"{layer}{new}.weight"] = w[f"{layer}{old}.weight"]
        q, k, v = (w[f"{layer}self_attn.{p}_proj.weight"] for p in "qkv")
        parts = [q.reshape(kv_heads, group, dim, hidden)] + [t.reshape(kv_heads, 1, dim, hidden) for t in (k, v)]
        cat = torch.cat if isinstance(q, torch.Tensor) else __import__("numpy").concatenate
        out[layer + "attention.wqkv.weight"] = cat(parts, 1).reshape(-1, hidden)
    keep = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
            "vocab_size", "rms_norm_eps", "max_position_embeddings", "rope_theta")
    return {
        "architectures": ["InternLM2ForCausalLM"], "model_type": "internlm2", "bias": False, "hidden_act": "silu",
        "auto_map": {"AutoConfig": "configuration_internlm2.InternLM2Config",
                     "AutoModelForCausalLM": "modeling_internlm2.InternLM2ForCausalLM"},
        "tie_word_embeddings": False, **{k: config[k] for k in keep}}, out
