"""schemathesis makes requests out of /openapi.json, right ones and wrong ones: none may end in a 5xx (503 is an answer: not loaded, no
room), answers have the types that are described, and what the description forbids is refused."""
import os
import pathlib
import subprocess
import sys

EXAMPLES = "40" if os.environ.get("TURGO_FULL") else "6"


def test_every_route(start_server, tmp_path):
    server = start_server("--session-len", "256", "--timeout", "20", "--max-batch-size", "16", "--sessions-dir", str(tmp_path))
    program = pathlib.Path(sys.executable).parent / "schemathesis"
    done = subprocess.run([str(program), "run", server.url + "/openapi.json", "--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES,
                           "--checks", "not_a_server_error,content_type_conformance,status_code_conformance,response_schema_conformance,negative_data_rejection,"
                           "unsupported_method,allow_header_conformance", "--seed", "1",
                           "--exclude-path-regex", "unload|sleep|wake_up|load$", "--request-timeout", "60", "--no-color"],
                          capture_output=True, text=True, timeout=1500, cwd=tmp_path)
    assert server.process.poll() is None, "the server has died"
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert server.stop() == 0
