"""What deploy/ holds is read by the programs it is for, as far as they are here, and asks for metrics that exist.

No container is built and no cluster is started: compose, Kubernetes, Prometheus and Grafana files are checked for what they say, the
flags in them against the program. kubectl renders the manifests where it is installed; systemd-analyze reads the units.
"""
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import os

import pytest
import yaml

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


@pytest.mark.parametrize("name", [path.name for path in sorted(DEPLOY.glob("*.service"))])
def test_systemd_unit(program, turgo, tmp_path, name):
    unit = (DEPLOY / name).read_text()
    assert "Type=notify" in unit
    [command] = re.findall(r"^ExecStart=/usr/local/bin/turgo serve (\w+)", unit, re.M)
    text = turgo("serve", command, "--help", check=0).stdout
    own = "".join(line for line in unit.splitlines(True) if "http" not in line)  # one comment is about the nodes' units
    for variable in re.findall(r"\bTURGO_(\w+)=", own):
        assert f"--{variable.lower().replace('_', '-')} " in text, f"turgo serve {command} takes no TURGO_{variable}"
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here: the unit is not read")
    copy = tmp_path / name
    copy.write_text(unit.replace("/usr/local/bin/turgo", program))
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True)
    assert "Unknown" not in done.stderr and "Failed to parse" not in done.stderr, done.stderr


@pytest.mark.parametrize("abstract", [False, True])
@pytest.mark.parametrize("command", ["api_server MODEL --server-port 0", "engine MODEL --grpc-port 0", "proxy --server-port 0"])
def test_notifies_systemd(program, model, tmp_path, command, abstract, request):
    if command.startswith("engine"):
        program = request.getfixturevalue("grpc_program")
    path = f"\0turgo-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(30)
        process = subprocess.Popen([program, "serve", *command.replace("MODEL", model).split()], stdout=subprocess.DEVNULL,
                                   env={**os.environ, "NOTIFY_SOCKET": path.replace("\0", "@")})
        assert notify.recv(100) == b"READY=1"
        process.send_signal(signal.SIGTERM)
        assert notify.recv(100) == b"STOPPING=1"
        assert process.wait(30) == 0


def _documents(path):
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


def _flags_are_known(turgo, command, words):
    text = turgo("serve", command, "--help", check=0).stdout
    for word in words:
        assert not word.startswith("--") or re.search(re.escape(word) + r"\b", text), f"turgo serve {command} has no {word}"


def test_compose(turgo):
    compose = _documents(DEPLOY / "compose.yaml")[0]
    services = compose["services"]
    assert set(services) == {"node-1", "node-2", "proxy", "prometheus", "grafana"}
    for path in re.findall(r"\./([\w/.]+):/", (DEPLOY / "compose.yaml").read_text()):
        assert (DEPLOY / path).exists(), path
    for name in ("node-1", "proxy"):
        _flags_are_known(turgo, services[name]["command"][0], services[name]["command"])
    assert set(services["proxy"]["depends_on"]) <= set(services)
    docker = (DEPLOY / "Dockerfile").read_text()
    assert "./run build" in docker and re.search(r"^\s*build\b", (DEPLOY.parent / "run").read_text(), re.M)
    for command in ("api_server", "proxy"):
        _flags_are_known(turgo, command, re.search(rf"# docker run .* turgo {command} (.*)", docker).group(1).split())


def test_prometheus_and_grafana():
    config = _documents(DEPLOY / "prometheus" / "prometheus.yaml")[0]
    assert [job["job_name"] for job in config["scrape_configs"]] == ["turgo", "turgo-proxy"]
    source = _documents(DEPLOY / "grafana" / "datasource.yaml")[0]["datasources"][0]
    for name in ("turgo.json", "proxy.json"):
        board = json.loads((DEPLOY / "grafana" / name).read_text())
        assert all(panel["datasource"]["uid"] == source["uid"] for panel in board["panels"])


def test_kubernetes(turgo):
    kustomization = _documents(DEPLOY / "kustomization.yaml")[0]
    objects = [one for path in kustomization["resources"] for one in _documents(DEPLOY / path)]
    assert all((DEPLOY / path).exists() for entry in kustomization["configMapGenerator"] for path in entry["files"])
    services = {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == "Service"}
    workloads = {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] in ("Deployment", "StatefulSet")}
    assert set(workloads) == {"turgo-node", "turgo-proxy", "prometheus", "grafana"} and "proxy" in services
    for name, spec in workloads.items():
        labels = spec["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"] == labels
        assert sum(service["selector"] == labels for service in services.values()) == 1, name
        pod = spec["template"]["spec"]
        for container in pod["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= {v["name"] for v in pod.get("volumes", [])} | {
                claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
            if "args" in container:
                _flags_are_known(turgo, container["args"][0], container["args"])
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not here: the manifests are not rendered")
    done = subprocess.run(["kubectl", "kustomize", str(DEPLOY)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(yaml.safe_load_all(done.stdout))) == len(objects) + 2


def test_proxy_dashboard_asks_for_what_the_distributor_counts():
    source = (DEPLOY.parent / "src/serve/proxy/proxy_metrics.cpp").read_text()
    board = json.loads((DEPLOY / "grafana" / "proxy.json").read_text())
    asked = {name for panel in board["panels"] for target in panel["targets"] for name in re.findall(r"\bturgo:proxy_(\w+)", target["expr"])}
    assert len(asked) >= 6 and all(f'"{name}"' in source for name in asked), asked
