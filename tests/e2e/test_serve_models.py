"""Several models behind one address: loaded when asked for, asleep when idle, gone when told."""
import os
import pathlib
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

ASK = {"messages": [{"role": "user", "content": "Name three colours."}], "temperature": 0, "max_tokens": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("models")
    for name in ("one", "two", "three"):
        (folder / f"{name}.gguf").symlink_to(model)
    (folder / "broken.gguf").write_bytes(b"GGUF" + b"\xff" * 100)
    (folder / "notes.txt").write_text("not a model")
    return folder


@pytest.fixture(scope="module")
def pool(start_server, folder):
    one = start_server("--models-dir", str(folder), "--max-models", "2", "--session-len", "512")
    yield one
    assert one.process.poll() is None and one.stop() == 0


def states(pool):
    return {model["id"]: model["status"]["value"] for model in pool.get("/v1/models")[1]["data"]}


def ask(pool, name, **more):
    status, answer = pool.post("/v1/chat/completions", {**ASK, "model": name, **more})
    return answer["choices"][0]["message"]["content"] if status == 200 else (status, answer["error"]["code"])


def test_loads_on_demand_and_makes_room(pool):
    assert states(pool) == {"smollm2": "loaded", "broken": "unloaded", "one": "unloaded", "two": "unloaded",
                            "three": "unloaded"}
    first = ask(pool, "smollm2")
    assert ask(pool, "one") == first == ask(pool, "two") == ask(pool, "two")
    assert sorted(states(pool).values()).count("loaded") == 2 and states(pool)["two"] == "loaded"
    assert ask(pool, "nothing") == (404, "model_not_found")
    assert ask(pool, "broken") == (503, "model_not_loaded") and states(pool)["broken"] == "failed"
    assert ask(pool, "") == first  # nobody named: the first one


def test_load_and_unload(pool):
    assert pool.post("/models/load", {"model": "three"})[0] == 200 and states(pool)["three"] == "loaded"
    assert pool.post("/models/unload", {"model": "three"})[0] == 200 and states(pool)["three"] == "unloaded"
    status, answer = pool.post("/models/load", {"model": "broken"})
    assert status == 500 and answer["error"]["code"] == "model_load_failed"
    assert pool.post("/models/load", {"model": "?"})[0] == 404
    assert pool.get("/v1/models/three")[1]["id"] == "three" and pool.get("/v1/models/x")[0] == 404


def test_sleep_keeps_the_conversation(pool):
    def say(text):
        status, answer = pool.post("/v1/chat/interactive", {"prompt": text, "session_id": 3, "interactive_mode": True, "model": "one",
                                                            "temperature": 0.01, "top_k": 1, "request_output_len": 12})
        return answer if status == 200 else (status, answer["error"]["code"])

    def converse(sleeps):
        first = say("My number is 7421.")
        if sleeps:
            assert pool.post("/sleep", {"model": "one"})[0] == 200
            assert pool.get("/is_sleeping?model=one")[1] == {"is_sleeping": True}
            assert say("Hello?") == (503, "model_not_loaded")
            assert pool.post("/wake_up", {"model": "one"})[0] == 200
            assert pool.get("/is_sleeping?model=one")[1] == {"is_sleeping": False}
        second = say("Which number?")
        pool.post("/v1/chat/interactive", {"prompt": "", "session_id": 3, "model": "one", "request_output_len": 0})
        return first["text"], second["text"], second["history_tokens"] + second["input_tokens"]

    assert converse(False) == converse(True)


def test_busy_models_stay(pool):
    import threading

    texts = []
    ask(pool, "one")
    body = {**ASK, "model": "one", "max_tokens": 300, "ignore_eos": True}
    thread = threading.Thread(target=lambda: texts.append(pool.post("/v1/chat/completions", body)))
    thread.start()
    while 'num_requests_running{engine="0",model_name="one"} 1' not in pool.get("/metrics")[1]:
        time.sleep(0.01)
    assert pool.post("/sleep", {"model": "one"})[1]["error"]["code"] == "model_busy"
    assert pool.post("/models/unload", {"model": "one"})[0] == 200  # what runs ends as if nothing had happened
    thread.join()
    assert texts[0][0] == 200 and texts[0][1]["usage"]["completion_tokens"] == 300


def test_metrics_are_one_valid_text(pool):
    ask(pool, "one"), ask(pool, "two")
    text = pool.get("/metrics")[1]
    kinds = re.findall(r"^# TYPE (\S+) ", text, re.M)
    assert len(kinds) == len(set(kinds)) and "turgo:http_requests_total" in kinds
    assert 'vllm:num_requests_running{engine="0",model_name="one"}' in text and 'model_name="two"' in text


def test_idle_models_sleep(start_server):
    server = start_server("--idle-timeout", "0.3", "--session-len", "512")
    first = ask(server, "smollm2")
    deadline = time.monotonic() + 20
    while states(server)["smollm2"] != "sleeping":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert ask(server, "smollm2") == first
    assert server.stop() == 0


def test_sleep_at_once_harms_nobody(start_server):
    """keep_alive 0 puts the model to sleep between the requests of others, who wait for it instead of being refused."""
    server = start_server("--session-len", "512")

    def ask_often(caller):
        for turn in range(12):
            sleepy = {"prompt": "Hi", "stream": False, "keep_alive": 0, "options": {"num_predict": 1}}
            plain = {"prompt": "Hi", "max_tokens": 1}
            yield server.post("/api/generate", sleepy) if (caller + turn) % 2 else server.post("/v1/completions", plain)

    with ThreadPoolExecutor(4) as callers:
        answers = [answer for list_of in callers.map(lambda caller: list(ask_often(caller)), range(4)) for answer in list_of]
    assert [answer for answer in answers if answer[0] != 200] == [] and len(answers) == 48
    assert server.stop() == 0


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


def test_resident_set_is_flat_over_loads(start_server, tmp_path):
    tiny = pathlib.Path(__file__).parents[1] / "goldens" / "models" / "gguf_llama" / "model.gguf"
    shutil.copy(tiny, tmp_path / "tiny.gguf")
    server = start_server("--models-dir", str(tmp_path))
    def cycle():
        assert server.post("/models/load", {"model": "tiny"})[0] == 200
        assert server.post("/models/unload", {"model": "tiny"})[0] == 200
    cycles = int(os.environ.get("TURGO_LOAD_CYCLES", "40"))
    for _ in range(10):
        cycle()
    before = resident_mib(server.process.pid)
    for _ in range(cycles):
        cycle()
    after = resident_mib(server.process.pid)
    assert after < before + 2, (before, after)
    server.stop()
