"""bench/compression.py keeps calibration and evaluation apart: no run of 50 characters in common, and one that is planted is found."""
import importlib.util
import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("compression", ROOT / "bench/compression.py")
compression = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compression)
TALES = compression.TALES.read_text(encoding="utf-8")


def texts():
    """What the table is measured on: the docs, and TURGO_EVAL_TEXT (WikiText-2's test split) where it is given."""
    yield "docs", "\n".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "docs").glob("*.md")))
    if path := os.environ.get("TURGO_EVAL_TEXT"):
        yield path, pathlib.Path(path).read_text(encoding="utf-8")


@pytest.mark.parametrize("name, text", list(texts()), ids=lambda value: None if len(value) > 80 else value)
def test_calibration_and_evaluation_share_no_run_of_50_characters(name, text):
    assert len(text) > 10_000 and compression.shared_run(TALES, text) == ""


@pytest.mark.parametrize("at", [0, 1, 12_345, len(" ".join(TALES.split())) - 50])
def test_a_planted_run_is_found(at):
    plain = " ".join(TALES.split())
    for length, found in [(50, True), (49, False)]:
        planted = "\u2603" * 500 + plain[at:at + length] + "\u2603" * 500
        assert bool(compression.shared_run(TALES, planted)) == found
        assert bool(compression.shared_run(planted, TALES)) == found


def test_a_run_may_be_broken_in_other_lines():
    words = TALES[3000:3100].split()
    assert compression.shared_run(TALES, "x " + "\n\n".join(words) + " y")


def test_each_row_is_a_command_of_the_program(turgo):
    for name, (_, lite, _) in compression.rows().items():
        if lite:
            done = turgo("lite", *lite, "no-such-model", "--work-dir", "no-such-folder", "--dry-run")
            assert done.returncode == 2 and "no such file" in done.stderr, (name, done.stderr)
