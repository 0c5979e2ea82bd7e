"""Every command of README.md runs. `./run test` is the one that runs this very file."""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.S) for line in block.splitlines() if line.strip()]

pytestmark = pytest.mark.skipif(not os.environ.get("TURGO_BIN"), reason="TURGO_BIN is not set: run ./run test")


def test_first_commands_come_early_and_the_page_is_short():
    lines = README.splitlines()
    assert len(lines) <= 150
    assert {"./run chat", "./run test"} <= set(lines[:20])


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "./run test"])
def test_command(command):
    # A person at a terminal types into `./run chat`; here the pipe ends at once.
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_links_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
