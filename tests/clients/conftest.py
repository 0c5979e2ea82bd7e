"""The fixtures of tests/e2e: the program, the model, a server."""
import importlib.util
import pathlib
import sys

_path = pathlib.Path(__file__).parents[1] / "e2e" / "conftest.py"
sys.path.append(str(_path.parent))
_spec = importlib.util.spec_from_file_location("e2e_conftest", _path)
_e2e = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_e2e)
program, model, turgo, start_server, server = _e2e.program, _e2e.model, _e2e.turgo, _e2e.start_server, _e2e.server
