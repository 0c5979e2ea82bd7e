"""bench/compression.py keeps calibration and evaluation apart: no run of 50 characters in common, and one that is planted is found. A table
that was stopped goes on, and its pieces add up. Speeds stand beside the rows of their format."""
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("compression", ROOT / "bench/compression.py")
compression = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compression)
TALES = compression.TALES.read_text(encoding="utf-8")


def texts():
    """What the table is measured on: the docs, and TURGO_EVAL_TEXT (WikiText-2's test split) where it is given."""
    yield "docs", "\n".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "docs").glob("*.md")))
    if path := os.environ.get("TURGO_EVAL_TEXT"):
        yield path, pathlib.Path(path).read_text(encoding="utf-8")


@pytest.mark.parametrize("name, text", list(texts()), ids=lambda value: None if len(value) > 80 else value)
def test_calibration_and_evaluation_share_no_run_of_50_characters(name, text):
    assert len(text) > 10_000 and compression.shared_run(TALES, text) == ""


@pytest.mark.parametrize("at", [0, 1, 12_345, len(" ".join(TALES.split())) - 50])
def test_a_planted_run_is_found(at):
    plain = " ".join(TALES.split())
    for length, found in [(50, True), (49, False)]:
        planted = "\u2603" * 500 + plain[at:at + length] + "\u2603" * 500
        assert bool(compression.shared_run(TALES, planted)) == found
        assert bool(compression.shared_run(planted, TALES)) == found


def test_a_run_may_be_broken_in_other_lines():
    words = TALES[3000:3100].split()
    assert compression.shared_run(TALES, "x " + "\n\n".join(words) + " y")


def test_each_row_is_a_command_of_the_program(turgo):
    for name, (_, lite, _) in compression.rows().items():
        if lite:
            done = turgo("lite", *lite, "no-such-model", "--work-dir", "no-such-folder", "--dry-run")
            assert done.returncode == 2 and "no such file" in done.stderr, (name, done.stderr)


# Answers as the program would for tokens that are words; fails to compress to 2 bits, and to compare before `go` is there.
STUB = """#!%s
import json, os, pathlib, sys
asked = sys.argv[1:]
value = lambda flag: asked[asked.index(flag) + 1]
if "--decode" in asked:
    print(json.dumps({"text": " word" * len(value("--decode").split(","))}))
elif asked[0] == "tokenize":
    count = len(sys.stdin.read().split())
    print(json.dumps({"token_ids": list(range(count)), "tokens": ["\\u0120word"] * count}))
elif asked[0] == "lite":
    if value("--w-bits") == "2":
        sys.exit("2 bits are too few")
    folder = pathlib.Path(value("--work-dir"))
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"x" * 7)
elif asked[1] == "logits":
    pathlib.Path(value("--output")).touch()
else:
    text = pathlib.Path(value("--text"))
    if ".001." in text.name and not pathlib.Path("go").exists():
        sys.exit("not yet")
    assert all(pathlib.Path(m).exists() for m in asked[2:4])
    count = len(text.read_text().split())
    print(json.dumps({"mean_kl": count, "top1_agreement": ".001." in text.name, "num_tokens": count, "perplexity": 20.0, "reference_perplexity": 10.0}))
with open("asked", "a") as f:
    f.write(" ".join(asked[:2]) + "\\n")
"""


def test_a_stopped_table_goes_on_and_its_pieces_add_up(tmp_path):
    stub = tmp_path / "turgo"
    stub.write_text(STUB % sys.executable)
    stub.chmod(0o755)
    (tmp_path / "m.gguf").touch()
    (tmp_path / "text.txt").write_text(" word" * 2500)

    def run(*more):
        done = subprocess.run([sys.executable, ROOT / "bench/compression.py", "m.gguf", "--work", "w", "--text", "text.txt", "--turgo", stub, "--jobs", "3",
                               "--rows", "rtn_w4,awq_w4,rtn_w2,kv_8", *more], cwd=tmp_path, capture_output=True, text=True)
        return done, [json.loads(line) for line in done.stdout.splitlines()]
    first, rows = run()
    assert first.returncode == 3 and rows == [] and "not yet" in first.stderr and "2 bits are too few" in first.stderr
    # What a killed writer leaves: half a line.
    with (tmp_path / "w/pieces.jsonl").open("a") as f:
        f.write('\n{"model": "m.gg')
    (tmp_path / "asked").unlink()
    (tmp_path / "go").touch()
    second, rows = run()
    assert sorted(r["row"] for r in rows) == ["awq_w4", "kv_8", "rtn_w4"] and second.returncode == 3  # 2 bits are still missing
    assert (tmp_path / "asked").read_text().splitlines() == 3 * ["eval kl"]  # only the second piece of each
    for r in rows:
        text = r["texts"]["text.txt"]
        assert text["num_tokens"] == 2500 and text["mean_kl"] == pytest.approx((2048**2 + 452**2) / 2500) and text["perplexity"] == pytest.approx(20)
        assert text["top1_agreement"] == pytest.approx(452 / 2500)
        assert ("file_bytes" in r) == (r["row"] != "kv_8")
    table = subprocess.run([sys.executable, ROOT / "bench/compression.py", "--table", tmp_path / "w/rows.jsonl"], capture_output=True, text=True).stdout
    assert "| W4g64 AWQ | 20.00 (+100.0 %) | 1.76e+03 | 18.1 % | 0 | 0 |" in table and "10.000 in the caches' windows" in table
    other, _ = run("--samples", "8")
    assert other.returncode == 1 and "was begun with" in other.stderr


# Writes a folder, and gives each folder, cache and arithmetic a speed of its own.
SPEEDS_PROGRAM = """#!%s
import json, pathlib, sys
asked = sys.argv[1:]
if asked[0] == "lite":
    folder = pathlib.Path(asked[asked.index("--work-dir") + 1])
    folder.mkdir()
    (folder / "asked").write_text(" ".join(asked))
else:
    where = pathlib.Path(asked[1])
    assert where.exists()
    decode = {"rtn_w4": 44, "rtn_w3": 33, "rtn_w2": 22, "naive_w8a8": 88, "fp8": 80, "bf16": 16, "m.gguf": 10}[where.name]
    if "--kv-type" in asked:
        assert asked[asked.index("--context") + 1] == "2048"
        decode = {"bf16": 516, "int8": 508, "k8v4": 584, "int4": 504}[asked[asked.index("--kv-type") + 1]]
    elif "bf16" in asked and where.name.startswith("rtn"):
        decode += 1000
    print(json.dumps({"prefill_tok_s": 2 * decode, "decode_tok_s": decode, "decode_bytes_per_token": 3e6, "precision": "int8", "threads": 2}))
"""


def test_every_row_but_mixed_widths_has_the_speed_of_its_format(tmp_path):
    program = tmp_path / "turgo"
    program.write_text(SPEEDS_PROGRAM % sys.executable)
    program.chmod(0o755)
    (tmp_path / "m.gguf").touch()
    work = tmp_path / "w"
    work.mkdir()
    texts = {"a.txt": {"mean_kl": 0.5, "top1_agreement": 0.5, "perplexity": 20.0, "reference_perplexity": 10.0, "num_tokens": 9}}
    done = [{"model": model, "row": row, "label": f"<{row}>", "texts": texts} for model in ("m.gguf", "other.gguf") for row in compression.rows()]
    (work / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in done))

    def run(*args):
        answer = subprocess.run([sys.executable, ROOT / "bench/compression.py", *args], cwd=tmp_path, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout
    assert "tok/s" not in run("--table", "w/rows.jsonl")
    old = [{"model": "m.gguf", "format": "W4g64", "decode_tok_s": 1}, {"model": "x.gguf", "format": "W4g64", "decode_tok_s": 2}]
    (work / "speeds.jsonl").write_text("".join(json.dumps(s) + "\n" for s in old))
    for _ in range(2):  # the second one replaces what the first one measured
        assert "| W3g64, bf16 activations | 2066 | 1033 | 3 |" in run("m.gguf", "--work", "w", "--speeds", "--rounds", "2", "--turgo", program)
    assert "rtn --w-bits 4 --w-group-size 64 --export gptq" in (work / "m/speeds/rtn_w4/asked").read_text()
    lines = [json.loads(line) for line in (work / "speeds.jsonl").read_text().splitlines()]
    assert len(lines) == 15 and old[1] in lines and len({(s["model"], s["format"]) for s in lines}) == 15
    assert {"model": "m.gguf", "format": "FP8", "prefill_tok_s": 160, "decode_tok_s": 80, "mb_per_token": 3.0, "precision": "int8", "threads": 2,
            "rounds": 2} in lines

    mine, other = run("--table", "w/rows.jsonl").split("### other.gguf")
    assert "tok/s" not in other and "Threads: 2; medians of rounds: 2." in mine
    cells = {line.split(" | ")[0].strip("| "): line.rstrip("| ").split("|")[-2:] for line in mine.splitlines() if line.startswith("| ")}
    assert [int(c) for c in cells["source"]] == [20, 10] and [int(c) for c in cells["source, bf16 cache, after 2,048"]] == [1032, 516]
    for row in compression.rows():
        kind = next((k for k in ("w4", "w3", "w2", "w8a8", "fp8", "kv_84", "kv_8", "kv_4", "mixed") if k in row), "pruned")
        decode = {"w4": 44, "w3": 33, "w2": 22, "w8a8": 88, "fp8": 80, "kv_84": 584, "kv_8": 508, "kv_4": 504, "mixed": None, "pruned": 16}[kind]
        if decode is None:
            assert next(line for line in mine.splitlines() if f"<{row}>" in line).endswith("|  |  |  |  |")  # no size, no seconds, no speeds
        else:
            assert [int(c) for c in cells[f"<{row}>"]] == [2 * decode, decode], row
