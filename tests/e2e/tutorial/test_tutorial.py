"""Runs the nine steps and counts. A step that neither runs nor says that it is not built yet is a failure."""
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request


FOLDER = pathlib.Path(__file__).parent
STEPS = sorted(path for path in FOLDER.glob("[1-9]_*") if path.suffix in {".sh", ".py"})


def run_step(step, program, model):
    interpreter = [sys.executable] if step.suffix == ".py" else ["sh"]
    return subprocess.run([*interpreter, step], capture_output=True, timeout=300, check=False,
                          env={**os.environ, "TURGO_BIN": program, "MODEL": model})


def start_server(step, program, model):
    """Step 3 runs until it is told to end: the steps after it need it."""
    process = subprocess.Popen(["sh", step], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
                               env={**os.environ, "TURGO_BIN": program, "MODEL": model})
    for _ in range(600):
        assert process.poll() is None, process.stderr.read().decode()
        try:
            if urllib.request.urlopen("http://127.0.0.1:23333/health", timeout=5).status == 200:
                return process
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def stop_server(process):
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=60)
    process.stderr.close()


def test_nine_steps(program, model, capsys):
    assert [int(step.name[0]) for step in STEPS] == list(range(1, 10))
    num_running = 0
    server = None
    for step in STEPS:
        if step.name == "3_api_server.sh":
            server = start_server(step, program, model)
            num_running += 1
            with capsys.disabled():
                print(f"\n  {step.name}: runs", end="")
            continue
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
    stop_server(server)
    with capsys.disabled():
        print(f"\ntutorial: {num_running} of {len(STEPS)} steps run")
    assert num_running >= 3


def test_terminal_chat_answers(program, model):
    done = run_step(FOLDER / "2_terminal_chat.sh", program, model)
    assert done.returncode == 0
    answer = done.stdout.decode().split("double enter to end input >>> ")[1]
    assert len(answer.strip()) > 10
