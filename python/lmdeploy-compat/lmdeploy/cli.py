"""The command `lmdeploy`: the program `turgo` with 0.3.0's defaults (servers listen on every address) and meanings
(--quant-policy 4 is int8). Becomes that program, so that signals and exit codes are its own."""

from __future__ import annotations

import os
import sys

from turgo import TurgoError
from turgo.client import find_program

from .messages import quant_policy_of
from .version import __version__

LISTENERS = {"api_server", "gradio"}


def translate(words: list[str]) -> list[str]:
    """0.3.0's command line -> turgo's."""
    words = list(words)
    if words[:1] == ["chat"] and words[1:2] in (["turbomind"], ["torch"]):  # deprecated forms of 0.3.0
        del words[1]
    for i, word in enumerate(words):
        if word == "--quant-policy" and words[i + 1 : i + 2] == ["4"]:
            words[i + 1] = str(quant_policy_of(4))
        if word == "--quant-policy=4":
            words[i] = f"--quant-policy={quant_policy_of(4)}"
    has_name = any(word.split("=")[0] == "--server-name" for word in words)
    if words[:1] == ["serve"] and words[1:2] and words[1] in LISTENERS and not has_name:
        words += ["--server-name", "0.0.0.0"]
    return words


def main() -> None:
    words = sys.argv[1:]
    if words[:1] in (["-v"], ["--version"]):
        from turgo import __version__ as turgo_version

        print(f"lmdeploy {__version__} (turgo {turgo_version})")
        return
    try:
        program = find_program()
    except TurgoError as error:
        print(f"lmdeploy: {error}", file=sys.stderr)
        sys.exit(2)
    os.environ.setdefault("TURGO_PYTHON", sys.executable)
    os.execv(program, [program, *translate(words)])


if __name__ == "__main__":
    main()
