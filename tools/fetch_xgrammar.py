#!/usr/bin/env python3
"""Fetches XGrammar's C++ sources (Apache-2.0) and prints their folder; CMake calls it when it configures.

The sdist comes from PyPI through `pip download`, is checked against its sha256 and unpacked, sources and headers alone, to
${TURGO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/turgo}/sources/xgrammar-0.2.8, which appears whole or not at all. Messages go
to stderr. Exit codes: 0 there, 2 failed (one line says why). Standard library only.
"""
import fcntl
import hashlib
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import fetch_model

VERSION = "0.2.8"
SHA256 = "8305646fd2b319d6c3003f51a1665e54cbbe9cba1fb636bc41d0b46434ccbb80"
PARTS = ("cpp/", "include/", "3rdparty/picojson/picojson.h", "3rdparty/dlpack/include/", "3rdparty/dlpack/LICENSE", "LICENSE", "NOTICE")
LEFT_OUT = ("cpp/tvm_ffi/",)
MAX_BYTES = 32 << 20


def download(work):
    # pip asks a source package for its metadata, with the build tools that it names: they stay in pip's temporary folder.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "xgrammar", "--no-cache-dir",
               "--disable-pip-version-check", "--progress-bar", "off", "--dest", str(work), f"xgrammar=={VERSION}"]
    done = subprocess.run(command, env={**os.environ, "TMPDIR": str(work)}, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    found = list(work.glob("xgrammar-*.tar.gz"))
    if done.returncode != 0 or len(found) != 1:
        raise fetch_model.FetchError(f"pip could not download xgrammar: {fetch_model.pip_problem(done.stdout + done.stderr)}")
    digest = hashlib.sha256(found[0].read_bytes()).hexdigest()
    if digest != SHA256:
        raise fetch_model.FetchError(f"xgrammar-{VERSION}.tar.gz: expected sha256 {SHA256}, got {digest}")
    return found[0]


def unpack(archive, folder):
    total = 0
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.partition("/")[2]
            if not member.isfile() or ".." in name or not name.startswith(PARTS) or name.startswith(LEFT_OUT):
                continue
            total += member.size
            if total > MAX_BYTES:
                raise fetch_model.FetchError("xgrammar: more than the expected bytes")
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(tar.extractfile(member).read())


def main():
    try:
        sources = fetch_model.cache_folder().parent / "sources"
        sources.mkdir(exist_ok=True)
        target = sources / f"xgrammar-{VERSION}"
        with open(sources / ".lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_dir():
                fetch_model.require_pip()
                fetch_model.say(f"Fetching the sources of XGrammar {VERSION} (2.7 MB) from PyPI, into {sources}")
                with tempfile.TemporaryDirectory(prefix=".fetch-", dir=sources) as work:
                    folder = pathlib.Path(work) / "sources"
                    unpack(download(pathlib.Path(work)), folder)
                    os.rename(folder, target)
        print(target)
        return 0
    except fetch_model.FetchError as error:
        fetch_model.say(f"fetch_xgrammar: {error}")
    except (OSError, tarfile.TarError) as error:
        fetch_model.say(f"fetch_xgrammar: {error}")
    return 2


if __name__ == "__main__":
    sys.exit(main())
