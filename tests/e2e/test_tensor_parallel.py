"""`--tp 2` on a CPU: the same text as `--tp 1`, and one line for what can not be."""
import os

import pytest

CORES = len(os.sched_getaffinity(0))


@pytest.mark.skipif(CORES < 2, reason="two ranks need two cores")
def test_two_ranks_answer_as_one(turgo, model):
    """SmolLM2's 9 heads and 3 kv heads do not divide by two: one rank gets 3 of them, the other 6."""
    flags = ["--prompt", "What is a water turbine?", "--temperature", 0, "--precision", "f32", "--max-new-tokens", 24]
    one = turgo("generate", model, *flags, check=0)
    two = turgo("generate", model, *flags, "--tp", 2, check=0)
    assert two.stdout == one.stdout and len(one.stdout) > 40
    shared = turgo("generate", model, *flags, "--tp", 2, "--quant-policy", 4, check=0)
    assert "times the middle one" in shared.stderr  # every rank takes part in the measurement


def test_more_ranks_than_cores(turgo, model):
    done = turgo("generate", model, "--prompt", "x", "--tp", CORES + 1)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"--tp {CORES + 1}: expected at most" in done.stderr
