"""Folders quantised by AWQ, GPTQ, compressed-tensors, smooth_quant and fp8: written here by numpy from the formats' published
rules, they give the same bits as the f32 folder of w = scale * (code - zero). Broken ones are refused by name."""
import json
import struct

import numpy as np
import pytest

HIDDEN, HEADS, KV_HEADS, DIM, WIDTH, VOCAB = 256, 4, 2, 64, 512, 96
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # nibble i of a word is column 8 c + AWQ_ORDER[i]
NAMES = {"F16": np.float16, "F32": np.float32, "I32": np.int32, "I64": np.int64, "I8": np.int8}
TOKENS = ",".join(map(str, np.random.default_rng(5).integers(0, VOCAB, 40)))


class BF16:
    def __init__(self, values):
        self.bits = (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


class F8:
    def __init__(self, codes):
        self.bits = np.asarray(codes, np.uint8)


def e4m3(code):
    """A byte's value: sign, four bits of exponent, three of mantissa; no infinities, 0x7f and 0xff are NaN."""
    exponent, mantissa = code >> 3 & 15, code & 7
    size = np.where(exponent == 0, mantissa * 2.0 ** -9, (8 + mantissa) * 2.0 ** (exponent - 10.0))
    return np.where(code & 127 == 127, np.nan, np.where(code & 128, -size, size)).astype(np.float32)


def write_safetensors(path, tensors):
    header, blobs, at = {}, [], 0
    for name, value in tensors.items():
        short = {BF16: "BF16", F8: "F8_E4M3"}.get(type(value))
        bits = value.bits if short else np.ascontiguousarray(value)
        kind = short or next(k for k, t in NAMES.items() if bits.dtype == t)
        header[name] = {"dtype": kind, "shape": list(bits.shape), "data_offsets": [at, at + bits.nbytes]}
        blobs.append(bits.tobytes())
        at += bits.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def config(**more):
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "num_hidden_layers": 2,
            "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": DIM, "intermediate_size": WIDTH,
            "vocab_size": VOCAB, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
            "tie_word_embeddings": False, **more}


def write_folder(folder, tensors, **more):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**config(), **more}))
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


def linears():
    """name -> (n, k)"""
    shapes = {"self_attn.q_proj": (HEADS * DIM, HIDDEN), "self_attn.k_proj": (KV_HEADS * DIM, HIDDEN),
              "self_attn.v_proj": (KV_HEADS * DIM, HIDDEN), "self_attn.o_proj": (HIDDEN, HEADS * DIM),
              "mlp.gate_proj": (WIDTH, HIDDEN), "mlp.up_proj": (WIDTH, HIDDEN), "mlp.down_proj": (HIDDEN, WIDTH)}
    return {f"model.layers.{i}.{name}": shape for i in range(2) for name, shape in shapes.items()}


def plain_tensors(rng):
    t = {"model.embed_tokens.weight": rng.normal(0, 1, (VOCAB, HIDDEN)).astype(np.float32),
         "lm_head.weight": rng.normal(0, 0.05, (VOCAB, HIDDEN)).astype(np.float32),
         "model.norm.weight": np.ones(HIDDEN, np.float32)}
    for i in range(2):
        for name in ("input_layernorm", "post_attention_layernorm"):
            t[f"model.layers.{i}.{name}.weight"] = rng.uniform(0.5, 1.5, HIDDEN).astype(np.float32)
    return t


def bit_fields(codes, bits):
    """[k, …] codes -> [k bits / 32, …] u32 words, fields from the lowest bit up, across words."""
    stream = (codes[:, None].astype(np.uint32) >> np.arange(bits).reshape(1, bits, *[1] * (codes.ndim - 1))) & 1
    stream = stream.reshape(-1, 32, *codes.shape[1:])
    return (stream.astype(np.uint64) << np.arange(32, dtype=np.uint64).reshape(1, 32, *[1] * (codes.ndim - 1))).sum(1).astype(np.uint32)


def i32(words):
    return words.astype(np.uint32).view(np.int32)


def awq(name, code, zero, scale, **_):
    def pack(rows):  # [.., n] -> [.., n / 8]
        rows = rows.reshape(rows.shape[0], -1, 8)[:, :, AWQ_ORDER].astype(np.uint32)
        return i32((rows << (4 * np.arange(8, dtype=np.uint32))).sum(2, dtype=np.uint32))
    return {f"{name}.qweight": pack(code.T), f"{name}.qzeros": pack(zero.T), f"{name}.scales": scale.T.astype(np.float16)}


def gptq(name, code, zero, scale, bits, v1=False, index=None, **_):
    stored = zero - 1 if v1 else zero
    out = {f"{name}.qweight": i32(bit_fields(code.T, bits)), f"{name}.qzeros": i32(bit_fields(stored, bits)).T.copy(),
           f"{name}.scales": scale.T.astype(np.float16)}
    if index is not None:
        out[f"{name}.g_idx"] = index.astype(np.int32)
        out[f"{name}.bias"] = np.zeros(code.shape[0], np.float16)  # what AutoGPTQ adds to every linear
    return out


def pack_quantized(name, code, zero, scale, bits, symmetric=True, scale_type=np.float16, plain_zero=False, index=None, **_):
    out = {f"{name}.weight_packed": i32(bit_fields(code.T, bits)).T.copy(), f"{name}.weight_scale": scale_type(scale),
           f"{name}.weight_shape": np.array(code.shape, np.int64)}
    if not symmetric:
        out[f"{name}.weight_zero_point"] = (zero - 2 ** (bits - 1)).astype(np.int8) if plain_zero else i32(bit_fields(zero, bits))
    if index is not None:
        out[f"{name}.weight_g_idx"] = index.astype(np.int32)
    return out


def int_quantized(name, code, zero, scale, **_):
    return {f"{name}.weight": (code - 128).astype(np.int8), f"{name}.weight_scale": BF16(scale)}


def smooth(name, code, zero, scale, **_):
    return {f"{name}.weight": (code - 128).astype(np.int8), f"{name}.scale": scale.astype(np.float32)}


def float_quantized(name, code, zero, scale, layout="rows", suffix="weight_scale", block=None, **_):
    if layout == "tensor":
        scale = scale[0, 0].reshape(())
    elif layout == "blocks":
        scale = scale[::block[0]]
    more = {f"{name}.weight_zero_point": F8(np.zeros((len(code), 1)))} if layout == "rows" else {f"{name}.input_scale": np.ones(1, np.float32)}
    return {f"{name}.weight": F8(code), f"{name}.{suffix}": BF16(scale) if layout == "rows" else scale.astype(np.float32), **more}


def compressed(kind, **weights):
    return {"quant_method": "compressed-tensors", "format": kind, "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}}


def fp8(columns, rows=128):
    return {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [rows, columns]}


AWQ = {"quant_method": "awq", "version": "gemm", "bits": 4}
GPTQ = {"quant_method": "gptq"}
CASES = {
    "awq_g32": (awq, dict(bits=4, group=32), {**AWQ, "group_size": 32}),
    "awq_g64": (awq, dict(bits=4, group=64), {**AWQ, "group_size": 64}),
    "awq_g128": (awq, dict(bits=4, group=128), {**AWQ, "group_size": 128}),
    "awq_g16_as_f32": (awq, dict(bits=4, group=16), {**AWQ, "group_size": 16}),
    "gptq_v1": (gptq, dict(bits=4, group=128, v1=True, low_zero=1), {**GPTQ, "bits": 4, "group_size": 128, "checkpoint_format": "gptq"}),
    "gptq_v1_unnamed": (gptq, dict(bits=4, group=64, v1=True, symmetric=True), {**GPTQ, "bits": 4, "group_size": 64}),
    "gptq_rows": (gptq, dict(bits=4, group=-1), {**GPTQ, "bits": 4, "group_size": -1, "checkpoint_format": "gptq_v2"}),
    "gptq_act_order": (gptq, dict(bits=4, group=64, act_order=True), {**GPTQ, "bits": 4, "group_size": 64, "desc_act": True, "checkpoint_format": "gptq_v2"}),
    "gptq_2": (gptq, dict(bits=2, group=64), {**GPTQ, "bits": 2, "group_size": 64, "checkpoint_format": "gptq_v2"}),
    "gptq_3": (gptq, dict(bits=3, group=32), {**GPTQ, "bits": 3, "group_size": 32, "checkpoint_format": "gptq_v2"}),
    "gptq_3_act_order": (gptq, dict(bits=3, group=128, act_order=True), {**GPTQ, "bits": 3, "group_size": 128, "checkpoint_format": "gptq_v2"}),
    "gptq_8": (gptq, dict(bits=8, group=128, symmetric=True), {**GPTQ, "bits": 8, "group_size": 128, "checkpoint_format": "gptq_v2"}),
    "gptq_8_asymmetric_as_f32": (gptq, dict(bits=8, group=128), {**GPTQ, "bits": 8, "group_size": 128, "checkpoint_format": "gptq_v2"}),
    "ct_w4": (pack_quantized, dict(bits=4, group=128, symmetric=True), compressed("pack-quantized")),
    "ct_w4_bf16": (pack_quantized, dict(bits=4, group=64, symmetric=True, scale_type=BF16, halve=True), compressed("pack-quantized")),
    "ct_w4_asymmetric": (pack_quantized, dict(bits=4, group=64, symmetric=False), compressed("pack-quantized")),
    "ct_w4_plain_zero": (pack_quantized, dict(bits=4, group=32, symmetric=False, plain_zero=True), compressed("pack-quantized")),
    "ct_w4_g_idx": (pack_quantized, dict(bits=4, group=32, symmetric=True, act_order=True), compressed("pack-quantized")),
    "ct_w3": (pack_quantized, dict(bits=3, group=64, symmetric=False), compressed("pack-quantized")),
    "ct_w2": (pack_quantized, dict(bits=2, group=32, symmetric=True), compressed("pack-quantized")),
    "ct_w8": (pack_quantized, dict(bits=8, group=128, symmetric=True), compressed("pack-quantized")),
    "ct_mixed": (pack_quantized, dict(bits=4, group=64, symmetric=False, mixed=True), compressed("pack-quantized")),
    "ct_w8a8": (int_quantized, dict(bits=8, group=-1, symmetric=True, halve=True), compressed("int-quantized")),
    "ct_f8_rows": (float_quantized, dict(bits=8, group=-1, halve=True), compressed("float-quantized", strategy="channel")),
    "ct_f8_tensor": (float_quantized, dict(bits=8, group=-1, layout="tensor"), compressed("float-quantized", strategy="tensor")),
    "ct_f8_groups": (float_quantized, dict(bits=8, group=64, halve=True), compressed("float-quantized", strategy="group")),
    "ct_f8_blocks": (float_quantized, dict(bits=8, group=128, layout="blocks", block=(128, 128)),
                     compressed("float-quantized", strategy="block", block_structure=[128, 128])),
    "fp8_blocks": (float_quantized, dict(bits=8, group=128, layout="blocks", block=(128, 128), suffix="weight_scale_inv"), fp8(128)),
    "fp8_cut_blocks": (float_quantized, dict(bits=8, group=192, layout="blocks", block=(48, 192), suffix="weight_scale_inv"), fp8(192, 48)),
    "fp8_narrow_blocks_as_f32": (float_quantized, dict(bits=8, group=32, layout="blocks", block=(128, 32), suffix="weight_scale_inv"), fp8(32)),
    "fp8_tensor": (float_quantized, dict(bits=8, group=-1, layout="tensor"), {"quant_method": "fp8", "activation_scheme": "static"}),
    "smooth_quant_f8": (float_quantized, dict(bits=8, group=-1, suffix="scale", halve=True), {"quant_method": "smooth_quant", "quant_dtype": "float8_e4m3fn"}),
    "smooth_quant": (smooth, dict(bits=8, group=-1, symmetric=True, full=True), {"quant_method": "smooth_quant", "quant_dtype": "int8"}),
}


def make(tmp_path, case, change=None, **more):
    """(packed folder, f32 folder); `change` is applied to the head's rows, `more` goes into config.json"""
    pack, o, quantization = CASES[case]
    rng = np.random.default_rng(sum(map(ord, case)))
    tensors = plain_tensors(rng)
    head = "model.embed_tokens.weight" if more.get("tie_word_embeddings") else "lm_head.weight"
    if head != "lm_head.weight":
        del tensors["lm_head.weight"]
    if change:
        tensors[head] = change(tensors[head])
    dense = dict(tensors)
    orders = {k: rng.permutation(k) for k in (HIDDEN, HEADS * DIM, WIDTH)}
    for i, (name, (n, k)) in enumerate(linears().items()):
        group = k if o["group"] < 0 else o["group"]
        if o.get("mixed"):
            o = {**o, "bits": 2 + i % 3}
        code = rng.integers(0, 2 ** o["bits"], (n, k))
        zero = rng.integers(o.get("low_zero", 0), 2 ** o["bits"], (n, -(-k // group)))
        if o.get("symmetric"):
            zero[:] = 2 ** (o["bits"] - 1)
        scale = rng.uniform(0.5, 1.5, zero.shape) * 0.1 / 2 ** o["bits"]
        scale = scale.astype(np.float32 if o.get("full") else np.float16).astype(np.float32)
        if o.get("halve"):
            scale = (scale.view(np.uint32) & 0xffff0000).view(np.float32)
        index = np.arange(k) // group
        if o.get("act_order"):
            index = index[orders[k if "o_proj" not in name else HEADS * DIM]]
        if pack is float_quantized:
            code[code & 127 == 127] ^= 1  # no NaN
            rows = {"rows": 1, "tensor": n}.get(o.get("layout", "rows")) or o["block"][0]
            scale = np.repeat(scale[::rows], rows, axis=0)[:n]
            if o.get("layout") == "tensor":
                scale[:] = scale[0, 0]
        options = {key: o[key] for key in ("bits", "v1", "symmetric", "scale_type", "plain_zero", "layout", "suffix", "block") if key in o}
        tensors.update(pack(name, code, zero, scale, index=index if o.get("act_order") else None, **options))
        value = e4m3(code) if pack is float_quantized else (code - zero[:, index]).astype(np.float32)
        dense[f"{name}.weight"] = scale[:, index] * value
    return (write_folder(tmp_path / "packed", tensors, quantization_config=quantization, **more), write_folder(tmp_path / "dense", dense, **more))


def logits(turgo, folder, precision, out, *flags):
    turgo("eval", "logits", folder, "--token-ids", TOKENS, "--precision", precision, "--output", out, *flags, check=0)
    return np.load(out)


@pytest.mark.parametrize("case", CASES)
def test_weights_are_exact(turgo, tmp_path, case):
    packed, dense = make(tmp_path, case)
    want = logits(turgo, dense, "f32", tmp_path / "dense.npy")
    assert np.isfinite(want).all() and want.std() > 0.1
    got = logits(turgo, packed, "f32", tmp_path / "packed.npy")
    if "act_order" in CASES[case][1]:  # columns are summed in their stored order
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)
    else:
        np.testing.assert_array_equal(got, want)
    spread = np.abs(want).max()
    for precision, tolerance in [("int8", 0.06), ("bf16", 0.03)]:
        got = logits(turgo, packed, precision, tmp_path / "packed.npy")
        assert np.abs(got - want).max() < tolerance * spread, precision
    if case.endswith("as_f32"):
        done = turgo("eval", "logits", packed, "--token-ids", "1", "--output", tmp_path / "one.npy", check=0)
        assert "are held as f32" in done.stderr


def rounded_to_8_bits(rows):
    """The values of Q8_0: blocks of 32 with a scale of amax / 127 in f16."""
    blocks = rows.reshape(-1, 32)
    scale = np.abs(blocks).max(1, keepdims=True) / np.float32(127)
    codes = np.floor(blocks * (np.float32(1) / scale) + np.float32(127.5)) - np.float32(127)
    return (codes * scale.astype(np.float16).astype(np.float32)).reshape(rows.shape)


@pytest.mark.parametrize("tied", [False, True])
def test_the_head_is_packed_in_8_bits(turgo, tmp_path, tied):
    packed, dense = make(tmp_path, "awq_g64", tie_word_embeddings=tied)
    for precision in ("int8", "bf16"):
        exact = logits(turgo, packed, precision, tmp_path / "out.npy", "--head-type", "file")
        got = logits(turgo, packed, precision, tmp_path / "out.npy")
        assert 0 < np.abs(got - exact).max() < 0.02 * np.abs(exact).max(), precision
        again, _ = make(tmp_path / precision, "awq_g64", change=rounded_to_8_bits, tie_word_embeddings=tied)
        np.testing.assert_array_equal(logits(turgo, again, precision, tmp_path / "out.npy"), got)
    # f32 is the reference, and weights of plain folders are nobody's to round.
    for folder, precision in [(packed, "f32"), (dense, "bf16")]:
        np.testing.assert_array_equal(*(logits(turgo, folder, precision, tmp_path / "out.npy", "--head-type", t) for t in ("int8", "file")))


def test_a_head_to_be_rounded_must_be_finite(turgo, tmp_path):
    def spoil(rows):
        rows[3, 5] = np.nan
        return rows
    packed, _ = make(tmp_path, "awq_g64", change=spoil)
    done = turgo("eval", "logits", packed, "--token-ids", "1", "--output", tmp_path / "out.npy", check=2)
    assert "tensor 'lm_head.weight': expected finite numbers" in done.stderr


def test_two_ranks_read_their_shares(turgo, tmp_path):
    packed, dense = make(tmp_path, "awq_g64")
    got, want = (logits(turgo, folder, "f32", tmp_path / "out.npy", "--tp", "2") for folder in (packed, dense))
    np.testing.assert_array_equal(got, want)


def test_other_ranks_can_not_cut_act_order(turgo, tmp_path):
    packed, _ = make(tmp_path, "gptq_act_order")
    done = turgo("generate", packed, "--prompt", "a", "--tp", "2", check=2)
    assert "--tp 1" in done.stderr


def broken(change):
    return pytest.param(change, id=change.__name__)


def missing_scales(t, c):
    del t["model.layers.0.mlp.up_proj.scales"]
    return "mlp.up_proj.scales"


def short_zeros(t, c):
    t["model.layers.1.self_attn.o_proj.qzeros"] = t["model.layers.1.self_attn.o_proj.qzeros"][:1]
    return "o_proj.qzeros': expected shape [4, 32], got [1, 32]"


def float_codes(t, c):
    t["model.layers.0.mlp.up_proj.qweight"] = t["model.layers.0.mlp.up_proj.qweight"].view(np.float32)
    return "expected a matrix of i32"


def wide_groups(t, c):
    t["model.layers.0.mlp.up_proj.scales"] = t["model.layers.0.mlp.up_proj.scales"][:3]
    return "3 groups do not share 256 columns"


def nan_scale(t, c):
    t["model.layers.1.mlp.down_proj.scales"][2, 7] = np.nan
    return "down_proj.weight': expected finite numbers"


def other_version(t, c):
    c["version"] = "gemv_fast"
    return "'awq version gemv_fast' are not supported"


def other_bits(t, c):
    c["bits"] = 3
    return "awq with 3 bits"


def other_method(t, c):
    c["quant_method"] = "bitsandbytes"
    return "expected awq, gptq, compressed-tensors, smooth_quant or fp8"


def nothing_packed(t, c):
    for name in [name for name in t if name.endswith((".qweight", ".qzeros", ".scales"))]:
        del t[name]
    return "but there are no such tensors"


def both_forms(t, c):
    t["model.layers.0.mlp.up_proj.weight"] = np.zeros((WIDTH, HIDDEN), np.float32)
    return "expected unique names"


@pytest.mark.parametrize("change", [broken(change) for change in (missing_scales, short_zeros, float_codes, wide_groups, nan_scale, other_version, other_bits,
                                                other_method, nothing_packed, both_forms)])
def test_broken_folders_are_refused_by_name(turgo, tmp_path, change):
    rng = np.random.default_rng(1)
    tensors, quantization = plain_tensors(rng), {**AWQ, "group_size": 64}
    for name, (n, k) in linears().items():
        tensors.update(awq(name, rng.integers(0, 16, (n, k)), rng.integers(0, 16, (n, k // 64)), np.full((n, k // 64), 0.01)))
    words = change(tensors, quantization)
    folder = write_folder(tmp_path / "broken", tensors, quantization_config=quantization)
    done = turgo("eval", "logits", folder, "--token-ids", "1", "--output", tmp_path / "out.npy")
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1, done.stderr


def missing_float_scale(t, c):
    del t["model.layers.0.mlp.up_proj.weight_scale_inv"]
    return "expected a tensor 'model.layers.0.mlp.up_proj.weight_scale_inv' beside it"


def short_block_scales(t, c):
    t["model.layers.0.mlp.up_proj.weight_scale_inv"] = np.ones((3, 2), np.float32)
    return "up_proj.weight_scale_inv': expected one scale, 512 for the rows or [4, 2] for blocks of 128 x 128, got [3, 2]"


def nan_code(t, c):
    t["model.layers.1.mlp.down_proj.weight"].bits[3, 70] = 0xff
    return "down_proj.weight': expected finite numbers, element 1600 (f8g64) is NaN or infinite in its block of 64"


def infinite_products(t, c):
    t["model.layers.1.mlp.down_proj.weight_scale_inv"][0, 1] = 3e38
    return "down_proj.weight': expected finite numbers, element 128 (f8g64)"


def byte_scales(t, c):
    t["model.layers.0.mlp.up_proj.weight_scale_inv"] = np.ones((4, 2), np.int8)
    return "type i8 can not be this part of a fp8 weight"


def real_zero_points(t, c):
    t["model.layers.0.mlp.up_proj.weight_zero_point"] = np.ones((4, 2), np.int8)
    return "expected nothing but zeros beside float weights"


def other_float(t, c):
    c["fmt"] = "e5m2"
    return "'fp8 of the kind e5m2' are not supported; expected e4m3"


def no_block_size(t, c):
    c["weight_block_size"] = [128, 1 << 60]
    return "expected a tensor 'model.layers.0.self_attn.q_proj.weight_scale' beside it"


@pytest.mark.parametrize("change", [broken(change) for change in (missing_float_scale, short_block_scales, nan_code, infinite_products, byte_scales,
                                                                  real_zero_points, other_float, no_block_size)])
def test_broken_float_folders_are_refused_by_name(turgo, tmp_path, change):
    rng = np.random.default_rng(1)
    tensors, quantization = plain_tensors(rng), fp8(128)
    for name, (n, k) in linears().items():
        tensors.update(float_quantized(name, rng.integers(0, 120, (n, k)), None, np.full((n, k // 128), 0.01), "blocks", "weight_scale_inv", (128, 128)))
    words = change(tensors, quantization)
    folder = write_folder(tmp_path / "broken", tensors, quantization_config=quantization)
    done = turgo("eval", "logits", folder, "--token-ids", "1", "--output", tmp_path / "out.npy")
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_hostile_group_index(turgo, tmp_path):
    rng = np.random.default_rng(1)
    tensors = plain_tensors(rng)
    for name, (n, k) in linears().items():
        index = np.arange(k) // 64
        index[3] = 1 << 30
        tensors.update(gptq(name, rng.integers(0, 16, (n, k)), rng.integers(0, 16, (n, k // 64)), np.full((n, k // 64), 0.01), 4, index=index))
    folder = write_folder(tmp_path / "broken", tensors, quantization_config={**GPTQ, "bits": 4, "group_size": 64})
    done = turgo("eval", "logits", folder, "--token-ids", "1", "--output", tmp_path / "out.npy", check=2)
    assert "g_idx': element 3: expected a group of 0 to" in done.stderr
