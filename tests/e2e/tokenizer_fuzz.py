"""Random Unicode text for the tokenizer oracles, and the tool that runs ours. Deterministic: seeds are fixed."""
import functools
import os
import random
import struct
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORDS = """the quick brown fox jumped over don't I'll we've you're he'd it's I'm THE Don'T CAN'T naïve café Straße
Ελληνικά Привет мир שלום مرحبا नमस्ते สวัสดี 你好世界 こんにちは カタカナ 안녕하세요 über Ångström ﬁnance ｆｕｌｌ ① ² ½ Ⅷ
function() return x==y; a.b->c https://example.org/?q=1&r=2 1234567890 3.14159 0xFF 12,345 ٣٤٥ १२३ <b>bold</b> {"k":[1]}
👍 👩‍👩‍👧 🇩🇪 ❤️ e\u0301 a\u0308\u0323 \u1e69 s\u0323\u0307 \u212b \u2126 \ufb01 \uac00 \u1100\u1161 İ ı ſ 'ſ ß ŉ ǅ
▁ ▁▁ <0x0A> <s> </s> <unk> <|endoftext|> <|im_start|> <|im_end|> [INST] 's 'S 'T 'Re 'VE 'll 'LL
""".split()
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n", "\n ", "\u00a0", "\u3000", "\u2003", "\u200b", "\u0085",
          "\u2028", "\u180e", "\ufeff", "\x00", "\x1f", "\x7f", "\u200d", "\ufffd", " \r", "\x0b", "\x0c"]
BLOCKS = [(0x20, 0x7F), (0x20, 0x7F), (0xA0, 0x180), (0x180, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x780),
          (0x900, 0xE00), (0xE00, 0x1100), (0x1100, 0x1200), (0x1E00, 0x2100), (0x2100, 0x2C00), (0x2C00, 0x3000),
          (0x3000, 0x3400), (0x4E00, 0x9FFF), (0xA000, 0xABFF), (0xAC00, 0xD7A4), (0xE000, 0xF900), (0xF900, 0x10000),
          (0x10000, 0x11000), (0x11000, 0x13000), (0x1D000, 0x1F000), (0x1F000, 0x1FB00), (0x20000, 0x2A6E0),
          (0xE0000, 0xE0200), (0, 0x110000)]


@functools.lru_cache(maxsize=4)
def strings(count, seed):
    """`count` strings of words, spaces, runs and characters of every block, without surrogates."""
    rng = random.Random(seed)
    rand = rng.random

    def characters():
        low, high = BLOCKS[int(rand() * len(BLOCKS))]
        codes = [low + int(rand() * (high - low)) for _ in range(1 + int(rand() * 6))]
        return "".join(chr(c) for c in codes if not 0xD800 <= c < 0xE000)

    result = []
    for _ in range(count):
        parts = []
        for _ in range(1 + int(rand() * 9)):
            kind = rand()
            if kind < 0.45:
                parts.append(WORDS[int(rand() * len(WORDS))])
                if rand() < 0.6:
                    parts.append(" ")
            elif kind < 0.6:
                parts.append(SPACES[int(rand() * len(SPACES))])
            elif kind < 0.65:
                run = SPACES + WORDS
                parts.append(run[int(rand() * len(run))] * (1 + int(rand() * 12)))
            else:
                parts.append(characters())
        result.append("".join(parts))
    return tuple(result)


def build_tool():
    build = os.environ.get("TURGO_BUILD_DIR")
    if not build:
        pytest.skip("TURGO_BUILD_DIR is not set (the CMake build folder, with TURGO_TESTS=ON)")
    tool = Path(build) / "tests" / "tools" / "tokenize_lines"
    assert tool.exists(), f"{tool} is missing: build with TURGO_TESTS=ON"
    return str(tool)


def turgo_encode(kind, path, texts, special=False):
    """Our ids and decoded bytes of each text (str or bytes)."""
    raw = [t if isinstance(t, bytes) else t.encode() for t in texts]
    stdin = b"".join(struct.pack("<I", len(t)) + t for t in raw)
    command = [build_tool(), kind, str(path)] + (["--special"] if special else [])
    run = subprocess.run(command, input=stdin, capture_output=True, timeout=300)
    assert run.returncode == 0, (run.returncode, run.stderr.decode(errors="replace"))
    data, pos, ids, decoded = run.stdout, 0, [], []
    for _ in raw:
        (count,) = struct.unpack_from("<I", data, pos)
        ids.append(list(struct.unpack_from(f"<{count}i", data, pos + 4)))
        pos += 4 + 4 * count
        (size,) = struct.unpack_from("<I", data, pos)
        decoded.append(data[pos + 4:pos + 4 + size])
        pos += 4 + size
    assert pos == len(data)
    return ids, decoded


def assert_same(texts, ours, theirs, show=lambda ids: ids):
    assert len(texts) == len(ours) == len(theirs)
    different = [i for i in range(len(texts)) if ours[i] != list(theirs[i])]
    examples = "\n".join(f"{texts[i]!r}\n  ours   {show(ours[i])}\n  theirs {show(list(theirs[i]))}" for i in different[:5])
    assert not different, f"{len(different)} of {len(texts)} texts differ, e.g.\n{examples}"
