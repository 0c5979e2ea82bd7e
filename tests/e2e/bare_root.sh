#!/usr/bin/env bash
# The first minute of a new user: in a fresh Debian root with git, python3 and pip and nothing else, `./run chat` must
# install what is missing, build, fetch the default model, answer a question and leave with status 0 within 10 minutes.
#
# usage: tests/e2e/bare_root.sh [FOLDER]   (needs root and debootstrap; default folder: a new one under /var/tmp)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/e2e/bare_root_lib.sh
make_bare_root "${1:-$(mktemp -d /var/tmp/turgo-bare.XXXXXX)}" ca-certificates,git,python3,python3-pip

git clone -q . "$root/turgo"

start=$SECONDS
printf 'What is gravity?\n\nexit\n\n' | in_root bash -c 'cd /turgo && git config --global --add safe.directory /turgo; ./run chat' >"$root/answer" 2>"$root/messages" ||
  { echo "bare_root: ./run chat failed"; tail -n 20 "$root/messages"; exit 1; }
first=$((SECONDS - start))
start=$SECONDS
printf 'exit\n\n' | in_root bash -c 'cd /turgo && ./run chat' >/dev/null 2>&1 || { echo "bare_root: second start failed"; exit 1; }
echo "bare_root: first chat after $first s, second start $((SECONDS - start)) s"
cat "$root/answer"
grep -q 'double enter to end input >>>' "$root/answer" || { echo "bare_root: no prompt"; exit 1; }
[ "$(wc -c <"$root/answer")" -gt 120 ] || { echo "bare_root: no answer"; exit 1; }
[ "$first" -le 600 ] || { echo "bare_root: more than 10 minutes"; exit 1; }
echo "1 passed, 0 failed"
