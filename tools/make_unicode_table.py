#!/usr/bin/env python3
"""Writes src/text/unicode_{ranges,later,inert}.inc: the general categories that published pre-tokenizer patterns ask for.

The categories are read out of the regular-expression engine of Hugging Face's `tokenizers` (Oniguruma; Unicode 16 with
tokenizers 0.23), so that a text is cut exactly where the model's own tokenizer cuts it. Usage:
    .venv/bin/python tools/make_unicode_table.py        # Python 3.11, whose unicodedata is version 14.0 as PCRE2 10.42
"""
import ctypes
import unicodedata
from pathlib import Path

from tokenizers import Regex, normalizers, pre_tokenizers

CLASSES = ["Lu", "Ll", "Lt", "Lm", "Lo", "M", "N", "P", "S"]  # the order of CharClass in src/text/unicode.h, from 1


def members(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    found = set()
    for base in range(0, 0x110000, 4096):
        chars = [c for c in range(base, base + 4096) if not 0xD800 <= c < 0xE000]
        if chars:
            left = {ord(c) for piece, _ in split.pre_tokenize_str("".join(map(chr, chars))) for c in piece}
            found.update(c for c in chars if c not in left)
    return found


def later_numbers(known):
    """Numbers of Rust's char::is_numeric (the Digits pre-tokenizer), whose Unicode version is ahead of the patterns'."""
    digits = pre_tokenizers.Digits(individual_digits=True)
    found = []
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000 or known[code] == 1 + CLASSES.index("N"):
            continue
        if len(digits.pre_tokenize_str(chr(code) + "a")) == 2:
            found.append(code)
    return found


def main():
    table = bytearray(0x110000)
    for value, name in enumerate(CLASSES, 1):
        for code in members(r"\p{%s}" % name):
            table[code] = value
    for code in later_numbers(table):
        assert table[code] == 0, hex(code)
        table[code] = len(CLASSES) + 1
    runs = [(c, table[c]) for c in range(0x110000) if c == 0 or table[c] != table[c - 1]]
    write("unicode_ranges.inc", "First character of each run << 4 | CharClass.", [s << 4 | v for s, v in runs])
    assert unicodedata.unidata_version == "14.0.0", unicodedata.unidata_version
    later = [c for c in range(0x110000) if table[c] and unicodedata.category(chr(c)) == "Cn"]
    write("unicode_later.inc", "First and last character of each range that Unicode 14 does not assign.", pairs_of(later))
    write("unicode_inert.inc", "First and last of the characters that normal forms leave alone, after Unicode 9.",
          pairs_of(inert()))


class Utf8procProperty(ctypes.Structure):
    _fields_ = [("category", ctypes.c_int16), ("combining_class", ctypes.c_int16)]


def inert():
    """Characters that utf8proc's normal forms move or change, and Hugging Face's (Unicode 9) do not."""
    utf8proc = ctypes.CDLL("libutf8proc.so.2")
    utf8proc.utf8proc_get_property.restype = ctypes.POINTER(Utf8procProperty)
    buffer, last = (ctypes.c_int32 * 32)(), ctypes.c_int(0)
    nfd, nfkd = normalizers.NFD(), normalizers.NFKD()
    found = set()
    for code in range(0xA0, 0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        c = chr(code)
        count = utf8proc.utf8proc_decompose_char(code, buffer, 32, 0x10 | 4, ctypes.byref(last))  # DECOMPOSE, COMPAT
        parts = list(buffer[:count])
        if parts != [code] and nfkd.normalize_str(c) == c:
            found.add(code)
            # A part as new as the whole: it must not compose either.
            found.update(p for p in parts[1:] if p > 0x10000 and not utf8proc.utf8proc_get_property(p).contents.combining_class)
        order = utf8proc.utf8proc_get_property(code).contents.combining_class
        if order > 1 and nfd.normalize_str("a" + c + "\u0334") == "a" + c + "\u0334":
            found.add(code)
        if order == 1 and nfd.normalize_str("a\u0315" + c) == "a\u0315" + c:
            found.add(code)
    return sorted(found)


def pairs_of(codes):
    ends = [c for i, c in enumerate(codes) if i + 1 == len(codes) or codes[i + 1] != c + 1]
    starts = [c for i, c in enumerate(codes) if i == 0 or codes[i - 1] != c - 1]
    return [n for pair in zip(starts, ends) for n in pair]


def write(name, what, numbers):
    lines, line = [f"// Made by tools/make_unicode_table.py. {what}"], ""
    for number in numbers:
        text = f"0x{number:x},"
        if len(line) + len(text) > 118:
            lines.append(line)
            line = ""
        line += text
    lines.append(line)
    (Path(__file__).resolve().parents[1] / "src" / "text" / name).write_text("\n".join(lines) + "\n")


main()
