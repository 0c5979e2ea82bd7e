"""Installs the peer: llama.cpp from the sdist of llama-cpp-python, built for this very machine, once, in the cache."""
import json
import os
import pathlib
import subprocess
import sys
import tarfile

VERSION = "0.3.36"
TOOLS = ["llama-bench", "llama-batched-bench", "llama-perplexity", "llama-quantize", "llama-server"]
# The same source on machines without AVX-512: beside TURGO_ISA=avx2.
AVX2_CMAKE = ["-DGGML_NATIVE=OFF", "-DGGML_AVX=ON", "-DGGML_AVX2=ON", "-DGGML_FMA=ON", "-DGGML_F16C=ON", "-DGGML_BMI2=ON"]
# And on those with AVX-512 but without AMX: beside TURGO_ISA=avx512.
AVX512_CMAKE = [*AVX2_CMAKE, "-DGGML_AVX512=ON", "-DGGML_AVX512_VBMI=ON", "-DGGML_AVX512_VNNI=ON", "-DGGML_AVX512_BF16=ON"]


def cache_folder() -> pathlib.Path:
    base = os.environ.get("TURGO_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "turgo")
    return pathlib.Path(base) / "peers" / f"llama-cpp-python-{VERSION}"


def build(extra_cmake=(), name="native") -> pathlib.Path:
    """Returns the folder with the peer's programs. `extra_cmake` makes another build, e.g. without AVX-512."""
    folder = cache_folder()
    binaries = folder / name / "bin"
    if all((binaries / tool).exists() for tool in TOOLS):
        return binaries
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"llama_cpp_python-{VERSION}" / "vendor" / "llama.cpp"
    if not source.exists():
        print(f"fetching llama.cpp (sdist of llama-cpp-python {VERSION})", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "llama-cpp-python",
                        "-d", str(folder), f"llama-cpp-python=={VERSION}"], check=True)
        with tarfile.open(next(folder.glob("*.tar.gz"))) as tar:
            tar.extractall(folder, filter="data")
    print(f"building llama.cpp ({name}); this takes a while once", file=sys.stderr)
    build_folder = folder / name
    log = folder / f"{name}.log"
    with open(log, "w", encoding="utf-8") as out:
        for command in (
                ["cmake", "-S", str(source), "-B", str(build_folder), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                 "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_SERVER=ON",
                 "-DLLAMA_BUILD_EXAMPLES=OFF", "-DBUILD_SHARED_LIBS=OFF", *extra_cmake],
                ["cmake", "--build", str(build_folder), "--target", *TOOLS]):
            if subprocess.run(command, stdout=out, stderr=subprocess.STDOUT).returncode:
                sys.exit(f"the peer did not build; log: {log}")
    return binaries


def server() -> pathlib.Path:
    return build() / "llama-server"


def requantize(binaries: pathlib.Path, model: pathlib.Path, kind: str) -> pathlib.Path:
    """The peer's own `kind` of the same model (it requantises, so its quality differs: see the KL column)."""
    target = cache_folder() / f"{model.stem}-{kind}.gguf"
    if not target.exists():
        subprocess.run([str(binaries / "llama-quantize"), "--allow-requantize", str(model), str(target) + ".part", kind],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.replace(str(target) + ".part", target)
    return target


def bench(binaries: pathlib.Path, model: pathlib.Path, flags: list) -> dict:
    """One repetition of llama-bench (its own warm-up before it): tokens per second by ("prefill" or "decode", tokens)."""
    out = subprocess.run([str(binaries / "llama-bench"), "-m", str(model), *flags, "-r", "1", "-o", "json"],
                         check=True, capture_output=True, text=True).stdout
    return {("decode", r["n_gen"]) if r["n_gen"] else ("prefill", r["n_prompt"]): r["avg_ts"] for r in json.loads(out)}


def batched(binaries: pathlib.Path, model: pathlib.Path, sizes, context: int, gen_tokens: int, threads: int) -> dict:
    """Tokens per second of all sequences together, by their number, each behind a prompt of its own of `context` tokens."""
    out = subprocess.run([str(binaries / "llama-batched-bench"), "-m", str(model), "-c", str(max(sizes) * (context + gen_tokens)),
                          "-b", "2048", "-ub", "512", "-npp", str(context), "-ntg", str(gen_tokens), "-npl",
                          ",".join(map(str, sizes)), "-t", str(threads), "--output-format", "jsonl"],
                         check=True, capture_output=True, text=True)
    rows = [json.loads(line) for line in (out.stdout + out.stderr).splitlines() if line.startswith("{")]
    return {row["pl"]: row["speed_tg"] for row in rows}
