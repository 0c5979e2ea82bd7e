#!/usr/bin/env python3
"""Writes src/text/unicode_ranges.inc: the general categories that published pre-tokenizer patterns ask for.

The categories are read out of the regular-expression engine of Hugging Face's `tokenizers` (Oniguruma; Unicode 16 with
tokenizers 0.23), so that a text is cut exactly where the model's own tokenizer cuts it. Usage:
    .venv/bin/python tools/make_unicode_table.py > src/text/unicode_ranges.inc
"""
from tokenizers import Regex, pre_tokenizers

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


def main():
    table = bytearray(0x110000)
    for value, name in enumerate(CLASSES, 1):
        for code in members(r"\p{%s}" % name):
            table[code] = value
    runs = [(c, table[c]) for c in range(0x110000) if c == 0 or table[c] != table[c - 1]]
    print("// Made by tools/make_unicode_table.py. First character of each run << 4 | CharClass.")
    numbers = [f"0x{start << 4 | value:x}," for start, value in runs]
    line = ""
    for number in numbers:
        if len(line) + len(number) > 118:
            print(line)
            line = ""
        line += number
    print(line)


main()
