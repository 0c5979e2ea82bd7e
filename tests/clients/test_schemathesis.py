"""schemathesis makes requests out of /openapi.json, right ones and wrong ones: none may end in a 5xx, answers have the types and
the form that are described, what the description forbids is refused, and a wrong method is answered with those that a path has."""
import os
import pathlib
import re
import subprocess
import sys

import pytest

EXAMPLES = "40" if os.environ.get("TURGO_FULL") else "6"
CHECKS = ("not_a_server_error,content_type_conformance,status_code_conformance,response_schema_conformance,negative_data_rejection,"
          "unsupported_method,allow_header_conformance")
MOVES = "/(unload|sleep|wake_up|load)$"  # they take the model away from the others: on a server of their own


@pytest.mark.parametrize("which", ["--exclude-path-regex", "--include-path-regex"], ids=["answers", "loads"])
def test_every_route(start_server, tmp_path, which):
    server = start_server("--session-len", "256", "--timeout", "20", "--max-batch-size", "16", "--sessions-dir", str(tmp_path))
    try:
        described = set(server.get("/openapi.json")[1]["paths"])
        wanted = {path for path in described if bool(re.search(MOVES, path)) == which.startswith("--include")}
        program = pathlib.Path(sys.executable).parent / "schemathesis"
        done = subprocess.run([str(program), "run", server.url + "/openapi.json", "--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES,
                               "--checks", CHECKS, "--seed", "1", which, MOVES, "--request-timeout", "60", "--no-color"],
                              capture_output=True, text=True, timeout=1500, cwd=tmp_path)
        assert server.process.poll() is None, "the server has died"
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        [tested], [cases] = re.findall(r"Tested: (\d+)", done.stdout), re.findall(r"(\d+) generated", done.stdout)
        print(f"{tested} operations, {cases} requests")
        counted = re.findall(r'turgo:http_requests_total\{[^}]*route="([^"]*)"', server.get("/metrics")[1])
        assert wanted <= {route.replace("*}", "}") for route in counted} and int(cases) > len(wanted) >= 5
        assert server.stop() == 0
    finally:
        server.process.kill()
