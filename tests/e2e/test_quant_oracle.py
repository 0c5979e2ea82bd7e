"""The committed blocks of tests/goldens/quant_blocks are what the `gguf` package says; quant_blocks_test.cpp compares
Turgo's conversions with them, bit for bit."""
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("gguf")
ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "tests" / "goldens" / "quant_blocks"


def test_goldens_are_the_gguf_packages(tmp_path):
    subprocess.run([sys.executable, str(ROOT / "tools" / "make_quant_goldens.py"), str(tmp_path)], check=True)
    names = sorted(path.name for path in GOLDENS.iterdir())
    assert len(names) == 18 and names == sorted(path.name for path in tmp_path.iterdir())
    for name in names:
        assert (GOLDENS / name).read_bytes() == (tmp_path / name).read_bytes(), name
