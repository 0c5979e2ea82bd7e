"""SmolLM2's real weights as an InternLM2 folder with the published list of files: same greedy text as the original.

auto_map points at Python files that would end the process if anything ran them."""
import json
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPT = os.path.join(HERE, "..", "..", "tools", "repack_internlm2.py")
FIXTURE = os.path.join(HERE, "..", "fixtures", "tokenizers", "bpe.model")
PUBLISHED = ["tokenizer.model", "README.md", "config.json", "configuration.json", "configuration_internlm2.py", "generation_config.json",
             "model.safetensors.index.json", "modeling_internlm2.py", "special_tokens_map.json",
             "tokenization_internlm2.py", "tokenization_internlm2_fast.py", "tokenizer_config.json"]
PROMPTS = ["What is gravity?", "List three colours:"]


@pytest.fixture(scope="module")
def turgo():
    path = os.environ.get("TURGO_BIN")
    if not path:
        pytest.skip("TURGO_BIN is not set (path of the turgo binary)")
    return path


@pytest.fixture(scope="module")
def original():
    path = os.environ.get("TURGO_MODEL")
    if not path:
        pytest.skip("TURGO_MODEL is not set (path of the default model's GGUF file: ./run model)")
    return path


@pytest.fixture(scope="module")
def folder(original, tmp_path_factory):
    out = str(tmp_path_factory.mktemp("internlm2"))
    subprocess.run([sys.executable, SCRIPT, original, out, "--tokenizer-model", FIXTURE], check=True)
    yield out
    for name in os.listdir(out):  # 650 MB in f32
        os.unlink(os.path.join(out, name))


def generate(turgo, model, prompt):
    # f32 on both sides: the dequantised weights are the same numbers, so the tokens must be the same.
    command = [turgo, "generate", model, "--prompt", prompt, "--top-k", "1", "--max-new-tokens", "32", "--precision", "f32", "--json"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_folder_has_the_published_files(folder):
    names = os.listdir(folder)
    assert not set(PUBLISHED) - set(names)
    assert any(n.startswith("model-00001-of-") for n in names)
    assert "auto_map" in json.load(open(os.path.join(folder, "config.json")))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_same_greedy_text(turgo, original, folder, prompt):
    want, got = generate(turgo, original, prompt), generate(turgo, folder, prompt)
    assert got["token_ids"] == want["token_ids"]
    assert got["text"] == want["text"]
    assert got["input_token_len"] == want["input_token_len"]


def test_exactly_the_published_files(turgo, original, folder, tmp_path):
    """No tokenizer.json: the vocabulary is a SentencePiece model. auto_map is ignored, with or without the flag."""
    out = str(tmp_path)
    subprocess.run([sys.executable, SCRIPT, original, out, "--tokenizer-model", FIXTURE, "--no-own-tokenizer",
                    "--weights-from", folder], check=True)
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert sorted(os.listdir(out)) == sorted(PUBLISHED + shards)
    for flag in ([], ["--trust-remote-code"]):
        command = [turgo, "generate", out, "--raw", "--prompt", "The sea", "--max-new-tokens", "4", "--ignore-eos", "--json", *flag]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["generate_token_len"] == 4
        assert "must never be run" not in result.stderr
