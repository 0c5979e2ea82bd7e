"""`turgo serve api_client`: the chat of the terminal over a server, and over one that knows only OpenAI's route."""
import http.server
import json
import os
import pty
import re
import select
import signal
import subprocess
import threading
import time

import pytest

GREEDY = ["--temperature", "0", "--max-new-tokens", "16"]


def answers(done):
    return [part.strip() for part in done.stdout.split("double enter to end input >>> ")[1:-1]]


def test_same_answers_as_chat(turgo, server, model):
    said = "Name three colours.\n\nAnd two more.\n\nend\n\nName three colours.\n\nexit\n\n"
    client = turgo("serve", "api_client", server.url, *GREEDY, stdin=said, check=0)
    assert client.stderr == ""
    got = answers(client)
    assert len(got) == 4 and got[2] == "" and got[0] == got[3] != got[1]
    assert got == answers(turgo("chat", model, *GREEDY, stdin=said, check=0))


def test_commands(turgo, server):
    said = "/system Answer in French.\n\nHello!\n\n/regen\n\n/stats\n\n/help\n\n/nothing\n\nHello!\n\n"
    done = turgo("serve", "api_client", server.url, *GREEDY, stdin=said, check=2)
    assert done.stderr == "turgo: there is no command /nothing; /help lists them\n"
    got = done.stdout.split("double enter to end input >>> ")[1:]
    assert got[1].strip() == got[2].strip() != "" and "tokens/s" in got[3] and "/regen" in got[4]


def test_two_clients_do_not_meet(turgo, server):
    alone = answers(turgo("serve", "api_client", server.url, *GREEDY, stdin="Hi\n\nWhat did I say?\n\nexit\n\n"))
    both = [subprocess.Popen([os.environ["TURGO_BIN"], "serve", "api_client", server.url, *GREEDY],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for one in both:
        out = one.communicate("Hi\n\nWhat did I say?\n\nexit\n\n", timeout=120)[0]
        assert [part.strip() for part in out.split("double enter to end input >>> ")[1:-1]] == alone


def test_wrong_servers(turgo, server):
    assert turgo("serve", "api_client", "ftp//x y", check=2).stderr.count("\n") == 1
    done = turgo("serve", "api_client", "http://127.0.0.1:1", check=2)
    assert "no server answers" in done.stderr and done.stderr.count("\n") == 1
    missing = turgo("serve", "api_client", server.url, "--model-name", "gpt-4", stdin="Hi\n\n", check=2)
    assert "not served" in missing.stderr or "no model" in missing.stderr


@pytest.fixture
def openai_only():
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def reply(self, status, body, kind="application/json"):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.reply(200, json.dumps({"data": [{"id": "m"}]}).encode())

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/chat/completions":
                return self.reply(404, b'{"detail": "Not Found"}')
            seen.append(body["messages"])
            chunks = [{"choices": [{"delta": {"content": text}, "finish_reason": None}]} for text in ("Hel", "lo")]
            text = "".join(f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in chunks) + "data: [DONE]\n\n"
            self.reply(200, text.encode(), "text/event-stream")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()


def test_server_with_openai_routes_alone(turgo, openai_only):
    url, seen = openai_only
    done = turgo("serve", "api_client", url, "--system", "S", stdin="one\n\ntwo\n\nexit\n\n", check=0)
    assert answers(done) == ["Hello", "Hello"]
    assert seen[-1] == [{"role": "system", "content": "S"}, {"role": "user", "content": "one"},
                        {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "two"}]


def test_ctrl_c_stops_the_answer_and_keeps_the_conversation(program, server):
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm"
        os.execv(program, [program, "serve", "api_client", server.url, "--max-new-tokens", "2000", "--ignore-eos"])
    shown = b""

    def until(pattern, seconds=60):
        nonlocal shown
        end = time.monotonic() + seconds
        while not re.search(pattern, shown):
            assert time.monotonic() < end, shown
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 65536)
        shown = b""

    try:
        until(rb">>> ")
        os.write(terminal, b"Tell me a story.\r\r")
        until(rb"[a-z]+ [a-z]+ [a-z]+ [a-z]+ [a-z]+ [a-z]+")
        os.kill(child, signal.SIGINT)
        until(rb">>> ", 10)
        os.write(terminal, b"/stats\r\r")
        until(rb"answer \d+ tokens")
        os.write(terminal, b"exit\r\r")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert 'num_requests_running{engine="0",model_name="smollm2"} 0' in server.get("/metrics")[1]
    finally:
        os.close(terminal)
