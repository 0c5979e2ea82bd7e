"""The default model's GGUF vocabulary: ids equal to Hugging Face `tokenizers` on 100,000 random Unicode strings.

The oracle is built from the file's vocabulary and merges with the published pre-tokenizer."""
import os

import pytest

from tokenizer_fuzz import assert_same, strings, turgo_encode

tokenizers = pytest.importorskip("tokenizers")
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers  # noqa: E402

COUNT = int(os.environ.get("TURGO_ORACLE_STRINGS", "100000"))


def byte_characters():
    """GPT-2's spelling of bytes, from the published rule."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {b: chr(b) for b in printable}
    table.update({b: chr(0x100 + i) for i, b in enumerate(b for b in range(256) if b not in table)})
    return table


def hugging_face_ids(tokenizer, texts):
    return [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]


# --- the default model: GGUF, gpt2 vocabulary, pre-tokenizer smollm ---------------------------------------------------


@pytest.fixture(scope="module")
def gguf_model():
    path = os.environ.get("TURGO_MODEL")
    if not path:
        pytest.skip("TURGO_MODEL is not set (path of the default model's GGUF file: ./run model)")
    gguf = pytest.importorskip("gguf")
    fields = gguf.GGUFReader(path).fields
    assert fields["tokenizer.ggml.model"].contents() == "gpt2"
    assert fields["tokenizer.ggml.pre"].contents() == "smollm"
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    model = models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges)
    tokenizer = Tokenizer(model)
    # The published pre-tokenizer: digits one by one, then GPT-2's pattern.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    control = [t for t, kind in zip(tokens, types) if kind == 3]
    # The file has no piece for 13 bytes that its training text did not hold (0xC0, 0xF1 ...): they are dropped.
    mapped = {c: b for b, c in byte_characters().items()}
    have = {mapped[t] for t in tokens if t in mapped}
    return path, tokenizer, control, bytes(set(range(256)) - have)


def test_default_model(gguf_model):
    path, oracle, _, missing = gguf_model
    texts = strings(COUNT, seed=1)
    ours, decoded = turgo_encode("gguf", path, texts)
    assert_same(texts, ours, hugging_face_ids(oracle, texts))
    wrong = [t for t, d in zip(texts, decoded) if d != t.encode().translate(None, missing)]
    assert not wrong, f"{len(wrong)} texts do not survive encode and decode, e.g. {wrong[0]!r}"


def test_default_model_control_tokens(gguf_model):
    path, oracle, control, missing = gguf_model
    assert "<|im_end|>" in control
    oracle = Tokenizer.from_str(oracle.to_str())
    oracle.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in control])
    texts = [control[i % len(control)].join([t[: len(t) // 2], t[len(t) // 2:]]) for i, t in enumerate(strings(20000, seed=2))]
    ours, _ = turgo_encode("gguf", path, texts, special=True)
    assert_same(texts, ours, hugging_face_ids(oracle, texts))
    # The same text from a user: not one control token.
    ids, decoded = turgo_encode("gguf", path, texts)
    control_ids = {oracle.token_to_id(t) for t in control}
    assert not any(control_ids.intersection(i) for i in ids)
    assert decoded == [t.encode().translate(None, missing) for t in texts]


def test_ill_formed_utf8(gguf_model):
    path, oracle, _, _ = gguf_model
    texts = [t.encode()[1:-1] for t in strings(20000, seed=3)] + [b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"a\xf0\x9f\x98"]
    ours, _ = turgo_encode("gguf", path, texts)
    assert_same(texts, ours, hugging_face_ids(oracle, [t.decode(errors="replace") for t in texts]))
