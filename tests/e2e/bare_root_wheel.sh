#!/usr/bin/env bash
# What a user of the wheel has: in a fresh Debian root with python3-venv and nothing else (no compiler, none of the
# libraries that the build takes), the wheel installs, the module answers, and so does the command.
#
# usage: tests/e2e/bare_root_wheel.sh WHEEL MODEL [FOLDER]   (needs root and debootstrap)
set -euo pipefail
wheel=$(realpath "$1") model=$(realpath "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/e2e/bare_root_lib.sh
make_bare_root "${3:-$(mktemp -d /var/tmp/turgo-wheel.XXXXXX)}" ca-certificates,python3,python3-venv
cp "$wheel" "$model" "$root/root/"

start=$SECONDS
in_root python3 -m venv /root/venv
in_root /root/venv/bin/python -m pip install -q --disable-pip-version-check "/root/$(basename "$wheel")"
echo "bare_root_wheel: installed in $((SECONDS - start)) s: $(in_root /root/venv/bin/python -m pip list --format=freeze | tr '\n' ' ')"
in_root /root/venv/bin/python - "/root/$(basename "$model")" <<'PYTHON' | tee "$root/answer"
import sys
from turgo import pipeline
for answer in pipeline(sys.argv[1])(["Hi, pls intro yourself", "上海是"], max_new_tokens=40):
    print(answer)
PYTHON
[ "$(grep -cE "^Response\(text=.{10,}, generate_token_len=" "$root/answer")" -eq 2 ] || { echo "bare_root_wheel: no answers"; exit 1; }
in_root /root/venv/bin/turgo generate "/root/$(basename "$model")" --prompt 'What is gravity?' --max-new-tokens 20 | tee "$root/answer"
[ "$(wc -c <"$root/answer")" -gt 20 ] || { echo "bare_root_wheel: the command gave no answer"; exit 1; }
echo "1 passed, 0 failed"
