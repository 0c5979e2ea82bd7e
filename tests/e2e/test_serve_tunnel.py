"""The server behind `ssh -L PORT:127.0.0.1:23333 -g`, as LMDeploy's tutorial reaches it from another machine: real sshd and ssh on
this one. Skipped where the programs are missing (apt-get install openssh-server); `./run test --full` installs them."""
import getpass
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(port, process):
    for _ in range(200):
        assert process.poll() is None, process.stderr.read()
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nobody listens on port {port}")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    if not SSHD or not shutil.which("ssh"):
        pytest.skip("needs sshd and ssh")
    folder, port = tmp_path_factory.mktemp("ssh"), free_port()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nPidFile none\nUsePAM no\n"
        "StrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\nAllowTcpForwarding yes\n")
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.PIPE, text=True)
    wait_for(port, process)
    yield port, folder
    process.terminate()
    process.wait(10)
    process.stderr.close()


@pytest.fixture
def tunnel(sshd):
    """tunnel(server port) -> the port at this end, open to other machines (-g)."""
    opened = []

    def open_one(target):
        port, folder = sshd
        here = free_port()
        process = subprocess.Popen(
            ["ssh", "-N", "-g", "-L", f"{here}:127.0.0.1:{target}", "-p", str(port), "-i", str(folder / "user"), "-o", "StrictHostKeyChecking=no",
             "-o", f"UserKnownHostsFile={folder}/known", "-o", "ExitOnForwardFailure=yes", "-o", "IdentitiesOnly=yes", f"{getpass.getuser()}@127.0.0.1"],
            stderr=subprocess.PIPE, text=True)
        opened.append(process)
        wait_for(here, process)
        return here

    yield open_one
    for process in opened:
        process.terminate()
        process.wait(10)
        process.stderr.close()


def ask(port, path, body=None, host="workstation.example:6006"):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode() if body else None,
                                     {"Content-Type": "application/json", "Host": host})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 6, "stream": True}


def test_open_server_is_reached(start_server, tunnel):
    """--server-name 0.0.0.0: whatever the browser at the far end calls this machine, it is answered, streams too."""
    server = start_server("--server-name", "0.0.0.0")
    here = tunnel(server.port)
    status, text = ask(here, "/v1/chat/completions", CHAT)
    assert status == 200 and text.endswith("data: [DONE]\n\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: it asks for this machine's own address
        own = probe.getsockname()[0]
    with socket.create_connection((own, here), timeout=30) as connection:  # as another machine would come in
        connection.sendall(f"GET /v1/models HTTP/1.1\r\nHost: {own}:{here}\r\nConnection: close\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    assert server.stop() == 0


def test_loopback_server_names_its_hosts(start_server, tunnel):
    """A server that only listens here refuses a Host that it does not know, and says which flag allows it."""
    server = start_server("--allowed-hosts", "workstation.example")
    here = tunnel(server.port)
    assert ask(here, "/v1/chat/completions", CHAT)[0] == 200
    assert ask(here, "/v1/models", host="localhost:6006")[0] == 200
    status, text = ask(here, "/v1/models", host="other.example")
    assert status == 403 and "--allowed-hosts" in text
    assert server.stop() == 0
