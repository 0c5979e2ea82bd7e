"""transformers with compressed-tensors loads what `turgo lite` writes and agrees on the logits (only where TURGO_PEER_PYTHON names an interpreter that has
torch, transformers 5 and compressed-tensors)."""
import json
import os
import subprocess

import numpy as np
import pytest

PEER = r"""
import json, sys
import numpy as np, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, ids, out = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
if sys.argv[4] == "decompress":  # by hand: transformers expects zero points that are not packed, unlike the library that packs them
    from compressed_tensors.compressors import PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationConfig
    from safetensors.torch import load_file
    from transformers import AutoConfig
    config = AutoConfig.from_pretrained(folder)
    scheme = QuantizationConfig.model_validate(config.quantization_config).config_groups["group_0"]
    del config.quantization_config
    tensors = load_file(folder + "/model.safetensors")
    for name in [n.removesuffix(".weight_packed") for n in tensors if n.endswith(".weight_packed")]:
        parts = {n.removeprefix(name + "."): tensors.pop(n) for n in list(tensors) if n.startswith(name + ".weight")}
        parts["weight_scale"] = parts["weight_scale"].float()
        tensors[name + ".weight"] = PackedQuantizationCompressor.decompress(parts, scheme)["weight"]
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected, (missing, unexpected)
    model.tie_weights()
else:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
with torch.no_grad():
    np.save(out, model(torch.tensor([ids])).logits[0].float().numpy())
print(json.dumps({"text": AutoTokenizer.from_pretrained(folder).decode(ids)}))
"""
FORMATS = {"int4_asymmetric": ["rtn", "--w-bits", "4", "--w-group-size", "64", "--export", "compressed-tensors"],
           "int4_symmetric": ["rtn", "--w-bits", "4", "--w-group-size", "32", "--w-sym", "--export", "compressed-tensors"],
           "int8_groups": ["rtn", "--w-bits", "8", "--w-group-size", "64", "--w-sym", "--export", "compressed-tensors"],
           "mixed": ["auto_awq", "--target-bits", "3", "--w-sym", "--w-group-size", "64", "--calib-samples", "1", "--calib-seqlen", "48"],
           "fp8": ["fp8"], "fp8_as_it_stands": ["fp8"],
           "plain": ["prune", "--method", "magnitude", "--sparsity", "0.2", "--dtype", "float32"]}


@pytest.fixture(scope="module")
def peer():
    return os.environ.get("TURGO_PEER_PYTHON") or pytest.skip("TURGO_PEER_PYTHON is not set")


@pytest.mark.parametrize("name", FORMATS)
def test_transformers_agrees(turgo, model, peer, tmp_path, name):
    folder = tmp_path / "result"
    turgo("lite", *FORMATS[name], model, "--work-dir", folder, "--no-check", check=0)
    if name == "fp8":  # the peer would round activations as well: here weights are compared
        config = json.loads((folder / "config.json").read_text())
        config["quantization_config"]["config_groups"]["group_0"]["input_activations"] = None
        (folder / "config.json").write_text(json.dumps(config))
    text = "The quick brown fox jumps over the lazy dog, and the fisherman's wife wishes for a castle."
    ids = json.loads(turgo("tokenize", folder, text, "--json", check=0).stdout)["token_ids"]
    turgo("eval", "logits", folder, "--token-ids", ",".join(map(str, ids)), "--precision", "f32", "--output", tmp_path / "ours.npy", check=0)
    how = "decompress" if name == "int4_asymmetric" else "load"
    done = subprocess.run([peer, "-c", PEER, folder, json.dumps(ids), tmp_path / "theirs.npy", how], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1])["text"] == text
    ours, theirs = np.load(tmp_path / "ours.npy"), np.load(tmp_path / "theirs.npy")
    if name == "fp8_as_it_stands":  # the peer rounds activations to three bits of mantissa, which moves single logits by a tenth and more
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.98
        assert (ours.argmax(1) == theirs.argmax(1)).mean() > 0.8
        return
    assert np.abs(ours - theirs).max() < 2e-3 * np.abs(theirs).max()
    assert (ours.argmax(1) == theirs.argmax(1)).mean() > 0.95
