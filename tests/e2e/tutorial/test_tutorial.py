"""Runs the nine steps and counts. A step that neither runs nor says that it is not built yet is a failure."""
import os
import pathlib
import subprocess
import sys


FOLDER = pathlib.Path(__file__).parent
STEPS = sorted(path for path in FOLDER.glob("[1-9]_*") if path.suffix in {".sh", ".py"})


def run_step(step, program, model):
    interpreter = [sys.executable] if step.suffix == ".py" else ["sh"]
    return subprocess.run([*interpreter, step], capture_output=True, timeout=300, check=False,
                          env={**os.environ, "TURGO_BIN": program, "MODEL": model})


def test_nine_steps(program, model, capsys):
    assert [int(step.name[0]) for step in STEPS] == list(range(1, 10))
    num_running = 0
    for step in STEPS:
        done = run_step(step, program, model)
        if done.returncode == 0:
            num_running += 1
            verdict = "runs"
        else:
            error = done.stderr.decode()
            assert done.returncode == 2 and error.count("\n") == 1 and "not built yet" in error, (step.name, error)
            assert done.stdout == b""
            verdict = error.strip()
        with capsys.disabled():
            print(f"\n  {step.name}: {verdict}", end="")
    with capsys.disabled():
        print(f"\ntutorial: {num_running} of {len(STEPS)} steps run")
    assert num_running >= 1


def test_terminal_chat_answers(program, model):
    done = run_step(FOLDER / "2_terminal_chat.sh", program, model)
    assert done.returncode == 0
    answer = done.stdout.decode().split("double enter to end input >>> ")[1]
    assert len(answer.strip()) > 10
