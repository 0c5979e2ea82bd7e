"""Runs the nine steps and counts. A step that neither runs nor says why it can not is a failure."""
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request


FOLDER = pathlib.Path(__file__).parent
STEPS = sorted(path for path in FOLDER.glob("[1-9]_*") if path.suffix in {".sh", ".py"})
FULL_PYTHON = os.environ.get("TURGO_FULL_PYTHON")  # has torch, transformers and gradio: ./run test-python --full
PYTHON = FULL_PYTHON or os.environ.get("TURGO_PYTHON") or sys.executable
STAYING = {"3_api_server.sh": "http://127.0.0.1:23333/health", "5_gradio.sh": "http://127.0.0.1:6006/"}
REASONS = ("not built yet", "is not installed here", "has no gradio", "has no turgo")


def start_step(step, program, model):
    interpreter = [PYTHON] if step.suffix == ".py" else ["sh"]
    return subprocess.Popen([*interpreter, step], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                            env={**os.environ, "TURGO_BIN": program, "MODEL": model, "TURGO_PYTHON": PYTHON})


def run_step(step, program, model):
    process = start_step(step, program, model)
    out, error = process.communicate(timeout=300)
    return subprocess.CompletedProcess(step, process.returncode, out, error)


def answers(url, process):
    """A step that stays: it is there, or it has ended."""
    for _ in range(1200):
        if process.poll() is not None:
            return False
        try:
            if urllib.request.urlopen(url, timeout=5).status == 200:
                return True
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


def stop(process):
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)


def hugging_face(model, place):
    """Step 1 is transformers', which reads folders."""
    subprocess.run([sys.executable, FOLDER.parents[2] / "tools/export_hf.py", model, place], check=True)
    return str(place)


def test_nine_steps(program, model, capsys, tmp_path):
    assert [int(step.name[0]) for step in STEPS] == list(range(1, 10))
    running, staying = [], []
    for step in STEPS:
        path = hugging_face(model, tmp_path / "hf") if step.name[0] == "1" and FULL_PYTHON else model
        if step.name in STAYING:
            process = start_step(step, program, path)
            runs = answers(STAYING[step.name], process)
            if runs:
                staying.append(process)
            else:
                out, error = process.communicate()
                done = subprocess.CompletedProcess(step, process.returncode, out, error)
        else:
            done = run_step(step, program, path)
            runs = done.returncode == 0
        verdict = "runs"
        if not runs:
            error = done.stderr.decode()
            assert done.returncode == 2 and error.count("\n") == 1, (step.name, error)
            assert any(reason in error for reason in REASONS), (step.name, error)
            assert done.stdout == b""
            verdict = error.strip()
        running += [int(step.name[0])] * runs
        with capsys.disabled():
            print(f"\n  {step.name}: {verdict}", end="")
    for process in staying:
        stop(process)
    with capsys.disabled():
        print(f"\ntutorial: {len(running)} of {len(STEPS)} steps run")
    wanted = {2, 3, 4} | ({6, 7} if PYTHON != sys.executable else set()) | ({1, 5} if FULL_PYTHON else set())
    assert wanted <= set(running)


def test_terminal_chat_answers(program, model):
    done = run_step(FOLDER / "2_terminal_chat.sh", program, model)
    assert done.returncode == 0
    answer = done.stdout.decode().split("double enter to end input >>> ")[1]
    assert len(answer.strip()) > 10
