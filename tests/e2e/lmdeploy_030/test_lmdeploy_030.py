"""The scripts of this folder give text: not empty, valid UTF-8, without a token of the template."""
import ast
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

FOLDER = pathlib.Path(__file__).parent
TOOLS = FOLDER.parents[2] / "tools"


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """The default model as a Hugging Face folder, behind a symbolic link, as `ln -s` makes one."""
    place = tmp_path_factory.mktemp("hf") / "weights"
    subprocess.run([sys.executable, TOOLS / "export_hf.py", model, place], check=True)
    link = place.parent / "internlm2-chat-1_8b"
    link.symlink_to(place)
    return str(link)


@pytest.fixture(scope="module")
def environment(package_python, folder):
    return environment_of(package_python, folder)


def environment_of(python, folder):
    """Only what that Python's environment has: nothing of this one's path."""
    binaries = os.path.dirname(python)
    assert os.path.exists(os.path.join(binaries, "lmdeploy")), f"{binaries} has no lmdeploy"
    return {"PATH": f"{binaries}:/usr/bin:/bin", "MODEL": folder, "HOME": os.environ["HOME"], "LC_ALL": "C.UTF-8"}


def run(name, environment):
    words = ["python3", FOLDER / name] if name.endswith(".py") else ["sh", FOLDER / name]
    done = subprocess.run(words, capture_output=True, timeout=300, env=environment, cwd="/")
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8"), done.stderr.decode("utf-8")


def assert_text(text):
    """Sampled, as the scripts have it. (What is read was decoded strictly. U+FFFD is no fault: a model of 135 M parameters writes
    broken bytes in Chinese, and an answer may be cut inside a character.)"""
    assert len(text.strip()) > 10
    assert not re.search(r"<\|\w+\|>|\[INST\]|</?s>", text), text


def test_environment_knows_no_other_package(package_python, environment):
    listed = subprocess.run([package_python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True).stdout
    names = {line.split("==")[0].lower() for line in listed.splitlines()}
    assert {"turgo", "turgo-lmdeploy-compat"} <= names and not {"lmdeploy", "torch", "transformers"} & names
    done = subprocess.run(["lmdeploy", "--version"], capture_output=True, text=True, env=environment)
    assert re.fullmatch(r"lmdeploy 0\.3\.0 \(turgo \d+\.\d+\.\d+\)\n", done.stdout)


def answers_of(out):
    texts = [ast.literal_eval(text) for text in re.findall(r"Response\(text=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")", out)]
    assert len(texts) == 2 and all(text.strip() for text in texts), out  # one of them may be as short as "Blessed."
    assert_text(" ".join(texts))


@pytest.mark.parametrize("name", ["pipeline.py", "pipeline_engine_config.py", "pipeline_generation_config.py"])
def test_pipeline(name, environment):
    out, error = run(name, environment)
    answers_of(out)
    is_int8 = "quant_policy 4 is the int8 KV cache of 0.3.0" in error
    assert is_int8 == ("generation" in name) and error.count("\n") == is_int8


def test_pipeline_of_an_awq_folder(environment, tmp_path):
    """As `lmdeploy lite auto_awq` makes one; LMDeploy's own procedure, since our search takes ten times as long."""
    flags = ["--calib-samples", "2", "--calib-seqlen", "64", "--w-group-size", "64", "--procedure", "lmdeploy", "--no-check"]
    done = subprocess.run(["lmdeploy", "lite", "auto_awq", environment["MODEL"], "--work-dir", tmp_path / "awq", *flags], env=environment,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    out, error = run("pipeline_awq.py", {**environment, "MODEL": str(tmp_path / "awq")})
    answers_of(out)
    assert error == ""


def test_serve_and_client(environment):
    assert_text(run("serve_and_client.py", environment)[0])


def test_commands(environment):
    assert_text(run("chat.sh", environment)[0])
    process = subprocess.Popen(["sh", FOLDER / "api_server.sh"], env=environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        wait_for("http://127.0.0.1:23333/health", process)
        assert_text(run("api_client.sh", environment)[0])
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_old_meanings(package_python, environment):
    code = """
import lmdeploy, lmdeploy.vl, sys
from lmdeploy.cli import translate
from lmdeploy.turbomind import EngineConfig
config = lmdeploy.TurbomindEngineConfig(quant_policy=4)
assert config.quant_policy == 8 and EngineConfig is lmdeploy.TurbomindEngineConfig
assert (lmdeploy.GenerationConfig().top_k, lmdeploy.GenerationConfig().top_p) == (1, 1.0)
assert lmdeploy.__version__ == "0.3.0" and lmdeploy.__turgo_version__
assert translate(["serve", "api_server", "M", "--quant-policy", "4"]) == [
    "serve", "api_server", "M", "--quant-policy", "8", "--server-name", "0.0.0.0"]
assert translate(["chat", "torch", "M"]) == ["chat", "M"]
assert translate(["serve", "api_client", "http://x"]) == ["serve", "api_client", "http://x"]
assert "internlm2" in lmdeploy.model.MODELS.module_dict
"""
    subprocess.run([package_python, "-c", code], check=True, capture_output=True, cwd="/")


def wait_for(url, process, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "it has ended"
        try:
            if urllib.request.urlopen(url, timeout=5).status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")
