"""What needs large packages (tests/requirements-full.txt) and chromium: ./run test-python --full sets TURGO_FULL_PYTHON, an
environment of its own. The page of `serve gradio` is driven in a browser."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

from lmdeploy_030.test_lmdeploy_030 import FOLDER, environment_of, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("TURGO_FULL_PYTHON")
pytestmark = pytest.mark.skipif(not PYTHON, reason="TURGO_FULL_PYTHON is not set; ./run test-python --full sets it")


@pytest.fixture(scope="module")
def hf_folder(model, tmp_path_factory):
    place = tmp_path_factory.mktemp("hf") / "f32"
    subprocess.run([sys.executable, ROOT / "tools/export_hf.py", model, place, "--dtype", "f32"], check=True)
    return str(place)


def start(*words, env=None):
    return subprocess.Popen([str(w) for w in words], env={**os.environ, "TURGO_PYTHON": PYTHON, **(env or {})},
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def stop(process):
    process.terminate()
    process.wait(30)
    process.stderr.close()


def drive(url, tmp_path, what="page"):
    """One turn, a long answer that Cancel ends, Reset; in chromium. Returns what the page said."""
    shot = os.environ.get("TURGO_SCREENSHOTS") or str(tmp_path)
    done = subprocess.run([sys.executable, ROOT / "tests/e2e/gradio_driver.py", url, f"{shot}/{what}.png"], capture_output=True,
                          text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_page(said):
    assert said["title"] == "Turgo" and said["sliders"] == ["Maximum new tokens", "Top_p", "Temperature"]
    assert len(said["answer"]) > 10 and said["pieces"] == 4, said
    assert 0 < said["cancelled_length"] and said["grew_after_cancel"] == 0, said
    assert said["messages_after_reset"] == 0 and said["foreign_requests"] == [], said


def test_gradio_page_of_a_server(program, server, tmp_path):
    page = start(program, "serve", "gradio", server.url, "--server-port", "6016")
    try:
        wait_for("http://127.0.0.1:6016/", page)
        check_page(drive("http://127.0.0.1:6016/", tmp_path, "gradio_server"))
    finally:
        stop(page)


def test_gradio_page_of_a_local_model(program, model, tmp_path):
    page = start(program, "serve", "gradio", model, "--server-port", "6017", "--session-len", "2048")
    try:
        wait_for("http://127.0.0.1:6017/", page)
        check_page(drive("http://127.0.0.1:6017/", tmp_path, "gradio_local"))
    finally:
        stop(page)


def test_the_page_as_lmdeploy_s_readers_type_it(hf_folder, tmp_path):
    """`lmdeploy serve api_server` and `lmdeploy serve gradio` of lmdeploy_030/, beside nothing but lmdeploy-compat and gradio."""
    clean = {"env": environment_of(PYTHON, hf_folder), "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(["sh", FOLDER / "api_server.sh"], **clean)
    page = None
    try:
        wait_for("http://127.0.0.1:23333/health", server)
        page = subprocess.Popen(["sh", FOLDER / "gradio.sh"], **clean)
        wait_for("http://127.0.0.1:6006/", page)
        check_page(drive("http://127.0.0.1:6006/", tmp_path, "gradio_lmdeploy"))
    finally:
        for process in filter(None, (page, server)):
            process.terminate()
            process.wait(30)


def test_gradio_bad_input(program):
    for words in (["/no/such/model"], ["http://127.0.0.1:1"]):
        done = subprocess.run([program, "serve", "gradio", *words], capture_output=True, text=True,
                              env={**os.environ, "TURGO_PYTHON": PYTHON}, timeout=120)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("turgo: "), done.stderr


def test_gradio_interface_example(model):
    page = start(PYTHON, ROOT / "examples/gradio_interface.py", model, "6018")
    try:
        wait_for("http://127.0.0.1:6018/", page)
        code = ("from gradio_client import Client; print(Client('http://127.0.0.1:6018/', verbose=False)"
                ".predict('Name three colours.', 20))")
        done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and len(done.stdout) > 10, done.stderr
    finally:
        stop(page)


def test_transformers_baseline(hf_folder):
    done = subprocess.run([PYTHON, ROOT / "examples/transformers_baseline.py", hf_folder, "--json"], capture_output=True,
                          text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert results["transformers"]["answers"] == results["turgo"]["answers"]
    for name, one in results.items():
        print(name, {key: round(value, 2) for key, value in one.items() if key != "answers"})


def test_llm_plugin(model, tmp_path):
    environment = {**os.environ, "TURGO_MODEL": model, "LLM_USER_PATH": str(tmp_path)}

    def llm(*words):
        done = subprocess.run([str(pathlib.Path(PYTHON).parent / "llm"), *words], capture_output=True, text=True,
                              env=environment, timeout=120, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = llm("-m", "turgo", "Name one spring flower.", "-o", "temperature", "0", "-o", "max_new_tokens", "30")
    assert len(first.strip()) > 5
    assert len(llm("-c", "When is it planted?", "-o", "max_new_tokens", "30").strip()) > 5
