"""What deploy/ holds is read by the programs it is for, as far as they are here, and asks for metrics that exist."""
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import os

import pytest

DEPLOY = pathlib.Path(__file__).parents[2] / "deploy"


def test_dashboard_asks_for_what_metrics_has(server):
    server.post("/v1/completions", {"prompt": "Hi", "max_tokens": 3})
    text = server.get("/metrics")[1]
    served = set(re.findall(r"^((?:[a-z]+:)?\w+)[ {]", text, re.M))
    served |= set(re.findall(r"^# TYPE (\S+)", text, re.M))  # a counter that has counted nothing yet
    board = json.loads((DEPLOY / "grafana" / "turgo.json").read_text())
    asked = {name for panel in board["panels"] for target in panel["targets"] for name in re.findall(r"\b(?:(?:vllm|lmdeploy|turgo):|process_)\w+", target["expr"])}
    assert len(asked) >= 9 and asked <= served, asked - served
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_systemd_unit(program, model, tmp_path):
    unit = (DEPLOY / "turgo.service").read_text()
    assert "Type=notify" in unit
    if shutil.which("systemd-analyze"):
        copy = tmp_path / "turgo.service"
        copy.write_text(unit.replace("/usr/local/bin/turgo", program))
        done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True)
        assert "Unknown" not in done.stderr and "Failed to parse" not in done.stderr, done.stderr


@pytest.mark.parametrize("abstract", [False, True])
def test_notifies_systemd(program, model, tmp_path, abstract):
    path = f"\0turgo-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(30)
        process = subprocess.Popen([program, "serve", "api_server", model, "--server-port", "0"], stdout=subprocess.DEVNULL,
                                   env={**os.environ, "NOTIFY_SOCKET": path.replace("\0", "@")})
        assert notify.recv(100) == b"READY=1"
        process.send_signal(signal.SIGTERM)
        assert notify.recv(100) == b"STOPPING=1"
        assert process.wait(30) == 0


def test_files_are_whole():
    for name in ("Dockerfile", "compose.yaml", "prometheus/prometheus.yaml", "grafana/datasource.yaml", "grafana/dashboards.yaml"):
        assert (DEPLOY / name).read_text().strip(), name
    compose = (DEPLOY / "compose.yaml").read_text()
    for path in re.findall(r"\./([\w/.]+):/", compose):
        assert (DEPLOY / path).exists(), path
    docker = (DEPLOY / "Dockerfile").read_text()
    assert "./run build" in docker and re.search(r"^\s*build\b", (DEPLOY.parent / "run").read_text(), re.M)
