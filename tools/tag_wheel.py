#!/usr/bin/env python3
"""Tags a wheel for the systems that it runs on: tag_wheel.py WHEEL OUTPUT_FOLDER; prints the new file's path.

Every ELF file in it may need only the libraries that each manylinux system has, and the newest versioned symbol that it
takes from glibc, libstdc++ or libgcc decides the tag manylinux_2_N (PEP 600; which release has which libstdc++: the
auditwheel project's policies). Refuses a wheel over 25 MB. Standard library and binutils.
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

ALLOWED = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libstdc++.so.6", "libgcc_s.so.1",
           "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
GLIBCXX = [("3.4.19", 17), ("3.4.22", 24), ("3.4.24", 27), ("3.4.25", 28), ("3.4.26", 31), ("3.4.28", 31), ("3.4.29", 34),
           ("3.4.30", 35), ("3.4.31", 38), ("3.4.32", 38), ("3.4.33", 39)]
MAX_BYTES = 25_000_000


def numbers(version):
    return tuple(map(int, version.split(".")))


def glibc_of(path):
    """The N of the oldest manylinux_2_N that this file runs on."""
    text = subprocess.run(["objdump", "-p", path], capture_output=True, text=True, check=True).stdout
    foreign = set(re.findall(r"NEEDED +(\S+)", text)) - ALLOWED
    if foreign:
        sys.exit(f"{path.name}: needs {', '.join(sorted(foreign))}, which other systems may not have")
    oldest = [numbers(v)[1] for v in re.findall(r"GLIBC_(2\.\d+)", text)]
    for version in re.findall(r"GLIBCXX_([\d.]+)", text):
        fitting = [n for known, n in GLIBCXX if numbers(known) >= numbers(version)]
        if not fitting:
            sys.exit(f"{path.name}: libstdc++'s GLIBCXX_{version} is newer than this tool")
        oldest.append(fitting[0])
    return max(oldest, default=17)


def main(wheel, output):
    wheel, output = pathlib.Path(wheel), pathlib.Path(output)
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        binaries = [p for p in pathlib.Path(folder).rglob("*") if p.is_file() and p.open("rb").read(4) == b"\x7fELF"]
        if not binaries:
            sys.exit(f"{wheel.name}: expected compiled files, got none")
        oldest = max(map(glibc_of, binaries))
    done = subprocess.run([sys.executable, "-m", "wheel", "version"], capture_output=True)
    if done.returncode:
        sys.exit("tag_wheel: the package wheel is missing; pip install wheel")
    machine = wheel.stem.rsplit("_", 2)[-2:]
    tag = f"manylinux_2_{oldest}_{'_'.join(machine)}"
    output.mkdir(exist_ok=True)
    done = subprocess.run([sys.executable, "-m", "wheel", "tags", "--platform-tag", tag, str(wheel)], capture_output=True,
                          text=True, check=True)
    made = wheel.parent / done.stdout.strip().splitlines()[-1]
    place = made.replace(output / made.name)
    if place.stat().st_size > MAX_BYTES:
        sys.exit(f"{place}: expected at most {MAX_BYTES / 1e6:.0f} MB, got {place.stat().st_size / 1e6:.1f}")
    print(place)


if __name__ == "__main__":
    main(*sys.argv[1:3])
