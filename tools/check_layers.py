#!/usr/bin/env python3
"""Fails when a file under src/ includes a folder that is not strictly below its own.

The numbers are the layers of docs/architecture.md. Inside a layer folder anything goes (kernels/cpu may include
kernels/common); kernels/ is stricter and may see nothing of core/ but dtype.h, so that a CUDA plug-in can link it.
"""
import pathlib
import re
import sys

LAYERS = {
    "core": 0, "kernels": 1, "net": 1, "text": 1, "io": 2, "image": 2, "comm": 2, "ops": 3, "models": 4,
    "sampling": 4, "engine": 5, "autograd": 5, "pipeline": 6, "train": 6, "eval": 7, "serve": 7, "compress": 8,
    "apps": 9,
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
TEST_SUFFIX = re.compile(r"_(test|bench|fuzz)\.cpp$|_test_\w+\.h$")  # tests, and headers that only they include


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent / "src"
    errors = []
    num_files = 0
    for path in sorted(root.rglob("*")):
        if path.suffix not in {".h", ".cpp", ".cu", ".cuh"}:
            continue
        num_files += 1
        rel = path.relative_to(root)
        folder = rel.parts[0]
        if folder not in LAYERS:
            errors.append(f"src/{rel}: folder '{folder}' has no layer number in tools/check_layers.py")
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = match.group(1)
            other = target.split("/")[0]
            if "/" not in target or not (root / target).exists():
                errors.append(f'src/{rel}:{number}: include "{target}" is not a path from src/')
            elif other != folder and LAYERS.get(other, 99) >= LAYERS[folder]:
                errors.append(f"src/{rel}:{number}: layer {LAYERS[folder]} ({folder}) includes "
                              f"layer {LAYERS.get(other)} ({other})")
            elif folder == "kernels" and other == "core" and target != "core/dtype.h" \
                    and not TEST_SUFFIX.search(path.name):
                errors.append(f"src/{rel}:{number}: kernels/ may include only core/dtype.h of core/, not {target}")
    print("\n".join(errors) if errors else f"ok: {num_files} files respect the layers")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
