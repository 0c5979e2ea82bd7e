"""The oracle of the tables of hostile requests: after every row the same process answers, the error has OpenAI's form, short and
without a secret of the machine, and memory is back; after all of them files, threads, KV blocks and counters are back too. A
stream that runs beside all of them says what it says alone."""
import concurrent.futures
import json
import os
import re
import threading
import time

MB = 1 << 20
MOST_AT_ONCE = 20  # requests of a row


def statuses_of(answer):
    """The status of each answer in these bytes, without 100 Continue."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer) if code != b"100"]


def metrics_of(server, headers=None):
    """Each sample by its name with labels, and their sums by name alone."""
    status, text = server.get("/metrics", headers=headers)
    assert status == 200
    out = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            out[name] = float(value)
            out.setdefault(name.split("{")[0], 0.0)
            if "{" in name:
                out[name.split("{")[0]] += float(value)
    return out


class Neighbour(threading.Thread):
    """Asks for the same greedy answer again and again, streamed."""
    BODY = {"prompt": "The capital of France is", "max_tokens": 24, "temperature": 0, "stream": True}

    def __init__(self, server, headers=None):
        super().__init__(daemon=True)
        self.server, self.headers, self.ended, self.answers, self.failure = server, headers, threading.Event(), [], None

    def ask(self):
        status, text = self.server.post("/v1/completions", self.BODY, headers=self.headers, timeout=120)
        assert status == 200 and text.endswith("data: [DONE]\n\n"), text
        return "".join(json.loads(line[6:])["choices"][0]["text"] for line in text.split("\n\n") if line.startswith("data: {"))

    def run(self):
        try:
            while not self.ended.is_set():
                self.answers.append(self.ask())
                self.ended.wait(0.2)
        except Exception as failure:  # the row that is checked next fails by it
            self.failure = failure

    def check(self, alone):
        if self.failure:
            raise self.failure
        assert set(self.answers) <= {alone}


class Oracle:
    def __init__(self, server, headers=None, kept=0):
        self.server, self.headers, self.kept = server, headers, kept  # bytes that bounded caches may hold
        self.pid = server.process.pid
        self.neighbour = Neighbour(server, headers)
        # What is made once, with the first request of its kind or the first so many at once (their blocks of the cache), is no leak.
        assert server.post("/v1/completions", {"prompt": "x", "max_tokens": 2, "guided_regex": "[a-z]+"}, headers=headers, timeout=120)[0] == 200
        with concurrent.futures.ThreadPoolExecutor(MOST_AT_ONCE) as pool:
            assert set(pool.map(lambda i: server.post("/v1/completions", {"prompt": f"{i}", "max_tokens": 32, "ignore_eos": True}, headers=headers, timeout=120)[0],
                                range(2 * MOST_AT_ONCE))) == {200}
        self.alone = self.neighbour.ask()
        self.at_start = self.resources()
        self.neighbour.start()

    def metrics(self):
        return metrics_of(self.server, self.headers)

    def resident(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) * 1024

    def resources(self):
        return {"resident": self.resident(), "files": len(os.listdir(f"/proc/{self.pid}/fd")), "threads": len(os.listdir(f"/proc/{self.pid}/task"))}

    def check_error(self, body):
        """OpenAI's error object, at most 2 KB, without pointers, paths or a long echo of the request."""
        value = json.loads(body) if isinstance(body, (bytes, str)) else body
        error = value["error"]
        assert set(error) == {"message", "type", "param", "code"} and error["message"] and error["type"], value
        text = json.dumps(value)
        assert len(text) <= 2048 and not re.search(r"0x[0-9a-f]{6}|/root/|/home/|/tmp/|/var/|\.cpp|\.cc:", text), text
        assert not re.search(r"[\x00-\x1f]", error["message"]), error
        # A template's own words are cut at 1,000 bytes; a request's at 128.
        assert error["message"].startswith("chat template") or not re.search(r"(.)\1{128}", error["message"]), error
        return error

    def check_row(self):
        assert self.server.process.poll() is None and self.server.process.pid == self.pid, "the server has died"
        assert self.server.get("/livez")[0] == 200
        limit = self.at_start["resident"] + self.kept + 64 * MB
        for _ in range(300):
            if self.resident() <= limit:
                break
            time.sleep(0.1)
        assert self.resident() <= limit, f"{self.resident() / MB:.0f} MB resident, {self.at_start['resident'] / MB:.0f} before"
        self.neighbour.check(self.alone)
        assert self.neighbour.is_alive()

    def check_end(self):
        """Comes before the server is stopped."""
        self.neighbour.ended.set()
        self.neighbour.join(120)
        assert not self.neighbour.is_alive() and self.neighbour.answers
        self.neighbour.check(self.alone)
        for _ in range(600):
            m, now = self.metrics(), self.resources()
            idle = m["vllm:num_requests_running"] == m["vllm:num_requests_waiting"] == m["turgo:kv_blocks_active"] == 0
            balanced = m["turgo:answers_begun_total"] == m["turgo:answers_ended_total"]
            back = now["files"] <= self.at_start["files"] + 2 and now["threads"] <= self.at_start["threads"] + 1
            if idle and balanced and back:
                return
            time.sleep(0.1)
        raise AssertionError(f"not back: {now} after {self.at_start}, idle {idle}, balanced {balanced}")
