"""tokenizer.model files: ids and text equal to the `sentencepiece` package on 100,000 random Unicode strings each."""
import os
import random
import subprocess

import pytest

import sentencepiece_writer as writer
from tokenizer_fuzz import ROOT, WORDS, assert_same, build_tool, strings, turgo_encode

sentencepiece = pytest.importorskip("sentencepiece")

COUNT = int(os.environ.get("TURGO_ORACLE_STRINGS", "100000"))
FIXTURES = ROOT / "tests" / "fixtures" / "tokenizers"

# Settings beside the fixtures': trained here, on the fuzz's own words, compared on a fifth of the strings.
VARIANTS = {
    "bpe_nmt_nfkc": dict(model_type="bpe"),
    "bpe_no_prefix": dict(model_type="bpe", add_dummy_prefix=False, normalization_rule_name="identity",
                          remove_extra_whitespaces=False, byte_fallback=True),
    "bpe_user_defined": dict(model_type="bpe", user_defined_symbols=["  ", "   ", "over", "'s", "好", "<b>"],
                             control_symbols=["<ctl>"], byte_fallback=True),
    "unigram_nmt_nfkc": dict(model_type="unigram"),
    "unigram_user_defined": dict(model_type="unigram", user_defined_symbols=["  ", "own", "'s", "好", "<b>", "123"],
                                 normalization_rule_name="nfkc_cf", byte_fallback=True),
    "unigram_suffix": dict(model_type="unigram", treat_whitespace_as_suffix=True, normalization_rule_name="nfkc"),
    "unigram_spaces": dict(model_type="unigram", remove_extra_whitespaces=False, normalization_rule_name="identity",
                           split_by_whitespace=False, byte_fallback=True),
}


def train(name, folder):
    texts = [t.replace("\0", " ").replace("\n", " ") for t in strings(1000, seed=9)] + WORDS * 60
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(texts), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / name), vocab_size=6000, character_coverage=0.98, num_threads=2,
        minloglevel=2, hard_vocab_limit=False, **VARIANTS[name])
    return folder / f"{name}.model"


def compare(path, count, seed):
    oracle = sentencepiece.SentencePieceProcessor(model_file=str(path))
    # InternLM2's user-defined <|im_start|> is a control token to us: never matched in plain text.
    texts = [t for t in strings(count + count // 10, seed) if "<|im_" not in t][:count]
    assert len(texts) == count
    theirs = oracle.encode(texts, num_threads=2)
    ours, decoded = turgo_encode("spm", path, texts)
    assert_same(texts, ours, theirs, lambda ids: [oracle.id_to_piece(i) for i in ids])
    # decode: the package writes its unknown surface where ours writes nothing, and U+FFFD for broken bytes.
    unknown = oracle.unk_id()
    same = [(t, d.decode(errors="replace"), o) for t, d, o, i in zip(texts, decoded, oracle.decode(theirs, num_threads=2), theirs)
            if unknown not in i]
    wrong = [s for s in same if s[1] != s[2]]
    assert not wrong, f"{len(wrong)} of {len(same)} decode differently, e.g. {wrong[0]!r}"


@pytest.mark.parametrize("name", ["bpe", "unigram"])
def test_fixture(name):
    compare(FIXTURES / f"{name}.model", COUNT, seed=11)


@pytest.mark.parametrize("name", VARIANTS)
def test_variant(name, tmp_path):
    compare(train(name, tmp_path), COUNT // 5, seed=12)


def test_english_text():
    """Long texts: whole lines of the README and the licence at once."""
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    for name in ("bpe", "unigram"):
        oracle = sentencepiece.SentencePieceProcessor(model_file=str(FIXTURES / f"{name}.model"))
        texts = [text, text.upper(), text * 3, " ".join(text), ""]
        ours, _ = turgo_encode("spm", FIXTURES / f"{name}.model", texts)
        assert_same([t[:60] for t in texts], ours, oracle.encode(texts))


@pytest.mark.parametrize("model_type", [1, 2], ids=["unigram", "bpe"])
@pytest.mark.parametrize("byte_fallback", [False, True])
def test_unused_and_user_defined_pieces(model_type, byte_fallback, tmp_path):
    """Models that no trainer makes: unused pieces (cut up again), equal scores, user-defined pieces inside others."""
    rng = random.Random(model_type)
    pieces = writer.base(byte_fallback)
    known = {p[0] for p in pieces}
    texts = ["".join(rng.choice("ab▁é中") for _ in range(rng.randint(1, 7))) for _ in range(700)]
    for text in ["▁", "a", "b", "é", *texts]:
        if text not in known:
            kind = rng.choice([writer.NORMAL] * 7 + [writer.UNUSED] * 2 + [writer.USER_DEFINED] * (len(text) > 4))
            pieces.append((text, -rng.randint(0, 40) / 4, kind))
            known.add(text)
    path = tmp_path / "odd.model"
    path.write_bytes(writer.model(pieces, model_type, byte_fallback, remove_extra_whitespaces=bool(model_type == 1)))
    oracle = sentencepiece.SentencePieceProcessor(model_file=str(path))
    texts = ["".join(rng.choice("aaabbb  é中x") for _ in range(rng.randint(0, 40))) for _ in range(20000)]
    ours, _ = turgo_encode("spm", path, texts)
    assert_same(texts, ours, oracle.encode(texts, num_threads=2), lambda ids: [oracle.id_to_piece(i) for i in ids])


def test_broken_files_are_one_line_errors(tmp_path):
    whole = writer.model(writer.base() + [("a", -1, writer.NORMAL)])
    broken = {
        "empty": b"", "cut": whole[:-3], "no unknown": writer.model(writer.base()[1:]), "not protobuf": b"GGUF" * 9,
        "piece twice": writer.model(writer.base() + [("a", 0, 1), ("a", 0, 1)]),
        "score nan": writer.model(writer.base() + [("a", float("nan"), 1)]),
        "bad byte piece": writer.model(writer.base(True) + [("<0x-1>", 0, writer.BYTE)], byte_fallback=True),
        "two unknown": writer.model(writer.base() + [("<u>", 0, writer.UNKNOWN)]), "word model": writer.model(writer.base(), 3),
        "broken map": writer.model(writer.base(), charsmap=b"\xff\xff\xff\xff\0\0\0\0"),
    }
    for name, data in broken.items():
        path = tmp_path / "tokenizer.model"
        path.write_bytes(data)
        run = subprocess.run([build_tool(), "spm", str(path)], input=b"", capture_output=True, timeout=60)
        assert run.returncode == 2, (name, run)
        assert run.stderr.count(b"\n") == 1 and len(run.stderr) < 600, (name, run.stderr)
