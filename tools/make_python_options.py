#!/usr/bin/env python3
"""Writes what Python says about options from the C++ option lists: python/turgo/options.py and the tables in
docs/python.md. `--check` writes nothing and exits 1 if a file is not what it would be (a test runs this).

    build/python-venv/bin/python tools/make_python_options.py [--check]      (the installed turgo is asked)
"""
import importlib.util
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
CLASSES = {
    "engine": ("EngineOptions", "How a model is loaded and run."),
    "generation": ("GenerationOptions", "What is asked of one answer."),
}


def load_extension():
    """turgo._turgo without turgo, whose options.py may not exist yet."""
    folder = pathlib.Path(importlib.util.find_spec("turgo").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("turgo._turgo", next(folder.glob("_turgo.*.so")))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_turgo = load_extension()
HEAD = '''"""Options as the C++ lists have them: written by tools/make_python_options.py, not by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
'''


def default_code(option):
    if "default_code" in option:
        return option["default_code"]
    return repr(option["default"])


def field_code(option):
    code = default_code(option)
    if code in ("[]", "{}"):
        code = f"field(default_factory={'list' if code == '[]' else 'dict'})"
    return f"    {option['name']}: {option['type']} = {code}\n"


def range_text(option):
    low, high = option.get("min"), option.get("max")
    if option.get("choices"):
        return "one of " + ", ".join(repr(choice) for choice in option["choices"])
    if low is None:
        return ""
    low, high = (int(x) if x is not None and x == int(x) else x for x in (low, high))
    return f"{low} to {high}" if high is not None else f"at least {low}"


def default_words(option):
    """The default as people read it: 'the model's own' and not 0."""
    if option["type"] == "bool":
        return default_code(option)
    return option.get("default_text") or default_code(option)


def class_code(which):
    name, summary = CLASSES[which]
    lines = [f"\n\n@dataclass(kw_only=True)\nclass {name}:\n", f'    """{summary}\n\n']
    for option in _turgo.describe_options(which):
        range_ = range_text(option)
        lines.append(f"    {option['name']}: {option['help']} ({range_ + '; ' if range_ else ''}default: {default_words(option)})\n")
    lines.append('    """\n\n')
    lines += [field_code(option) for option in _turgo.describe_options(which)]
    return "".join(lines)


def table(which):
    rows = ["| name | type | default | meaning |\n|---|---|---|---|\n"]
    for option in _turgo.describe_options(which):
        range_ = range_text(option)
        cells = (f"`{option['name']}`", f"`{option['type']}`", default_words(option), option["help"] + (f" ({range_})" if range_ else ""))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join(rows)


def main():
    options = ROOT / "python/turgo/options.py"
    page = ROOT / "docs/python.md"
    text = page.read_text(encoding="utf-8")
    for which in CLASSES:
        pattern = rf"(<!-- {which} options -->\n).*?(<!-- end -->)"
        assert re.search(pattern, text, re.S), f"{page}: no place for the {which} options"
        text = re.sub(pattern, lambda match: match[1] + table(which) + match[2], text, flags=re.S)
    stale = False
    for path, want in ((options, HEAD + "".join(class_code(which) for which in CLASSES)), (page, text)):
        if path.exists() and path.read_text(encoding="utf-8") == want:
            continue
        stale = True
        if "--check" in sys.argv:
            print(f"{path.relative_to(ROOT)} is stale; run tools/make_python_options.py", file=sys.stderr)
        else:
            path.write_text(want, encoding="utf-8")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
