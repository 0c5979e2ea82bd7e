"""Help, version, errors: what every command owes its user, without computing much."""
import json
import shutil
import subprocess
import time

import pytest


def assert_one_line_error(done, *words):
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("turgo: ") and done.stderr.count("\n") == 1 and done.stderr.endswith("\n"), done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_no_argument_prints_help(turgo):
    bare, asked = turgo(check=0), turgo("--help", check=0)
    assert bare.stdout == asked.stdout
    for command in ("chat", "generate", "tokenize", "eval ppl", "eval kl", "eval logits", "eval tasks", "bench", "list", "check_env"):
        assert f"  {command} " in bare.stdout


def test_help_takes_less_than_50_ms(program):
    times = []
    for _ in range(10):
        start = time.perf_counter()
        subprocess.run([program, "--help"], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - start)
    print(f"--help: {1000 * min(times):.1f} ms")
    assert min(times) < 0.05


def test_every_command_has_help(turgo):
    text = turgo("chat", "--help", check=0).stdout
    for flag in ("--session-len", "--max-batch-size", "--cache-max-entry-count", "--model-format", "--quant-policy",
                 "--tp", "--rope-scaling-factor", "--trust-remote-code", "--threads", "--precision", "--chat-template",
                 "--temperature", "--top-p", "--top-k", "--repetition-penalty", "--max-new-tokens", "--seed",
                 "--system"):
        assert flag + " " in text, flag
    for command in (["generate"], ["tokenize"], ["eval", "ppl"], ["eval", "kl"], ["eval", "logits"], ["bench"],
                    ["list"], ["check_env"]):
        assert "--help" in turgo(*command, "--help", check=0).stdout
    assert "eval ppl" in turgo("eval", check=0).stdout


def test_version(turgo):
    assert turgo("--version", check=0).stdout.startswith("turgo ")


def test_check_env_and_list(turgo, tmp_path):
    report = json.loads(turgo("check_env", "--json", check=0).stdout)
    assert "scalar" in report["kernels_usable"] and report["kernels_chosen"] in report["kernels_usable"]
    assert report["usable_cores"] >= 1 and report["cache_folder"]
    turgo("check_env", "--dump-file", tmp_path / "env.json", check=0)
    assert json.loads((tmp_path / "env.json").read_text())["turgo"] == report["turgo"]
    listed = json.loads(turgo("list", "--json", check=0).stdout)
    assert "internlm2" in listed["chat_templates"] and "llama" in listed["architectures"]


@pytest.mark.parametrize("command", [
    ["lite", "distill", "MODEL"], ["convert", "internlm2", "MODEL"], ["pull", "x"],
])
def test_planned_commands_say_so(turgo, command):
    assert_one_line_error(turgo(*command), "is not built yet")


@pytest.mark.parametrize("arguments, words", [
    (["chta"], ["unknown command 'chta'", "did you mean 'chat'?"]),
    (["lite", "auto_awk"], ["unknown command 'lite auto_awk'", "did you mean 'lite auto_awq'?"]),
    (["eval", "pl"], ["did you mean 'eval ppl'?"]),
    (["generate"], ["MODEL is missing"]),
    (["generate", "x"], ["--prompt is missing"]),
    (["generate", "x", "--prompt"], ["--prompt expects one value"]),
    (["generate", "x", "y", "--prompt", "p"], ["unexpected argument 'y'"]),
    (["generate", "x", "--prompt", "p", "--temprature", "1"], ["'--temprature'", "did you mean --temperature?"]),
    (["generate", "x", "--prompt", "p", "--max_new_tokens", "1"], ["did you mean --max-new-tokens?"]),
    (["generate", "x", "--prompt", "p", "--temperature", "hot"], ["--temperature: expected a number, got 'hot'"]),
    (["generate", "x", "--prompt", "p", "--top-p", "1.5"], ["--top-p: expected a number from 0 to 1, got '1.5'"]),
    (["generate", "x", "--prompt", "p", "--max-new-tokens", "-1"], ["--max-new-tokens", "'-1'"]),
    (["generate", "x", "--prompt", "p", "--max-new-tokens", "99999999999"], ["--max-new-tokens"]),
    (["generate", "x", "--prompt", "p", "--precision", "fp4"], ["expected one of", "got 'fp4'"]),
    (["generate", "x", "--prompt", "p", "--quant-policy", "5"], ["--quant-policy", "84", "got 5"]),
    (["generate", "x", "--prompt", "p", "--tp", "1000"], ["--tp 1000: expected at most"]),
    (["generate", "/no/such/model", "--prompt", "p"], ["/no/such/model"]),
    (["generate", "/", "--prompt", "p"], ["'/'", "expected"]),
    (["generate", "/dev/zero", "--prompt", "p"], ["/dev/zero"]),
    (["chat", "/no/such/model"], ["/no/such/model"]),
    (["bench", "/no/such/model"], ["/no/such/model"]),
    (["tokenize", "/no/such/model", "text"], ["/no/such/model"]),
    (["eval", "ppl", "/no/such/model", "--text", "x"], ["/no/such/model"]),
    (["eval", "logits", "x", "--output", "y"], ["expected either --token-ids or --text"]),
])
def test_wrong_arguments(turgo, arguments, words):
    assert_one_line_error(turgo(*arguments), *words)


@pytest.mark.parametrize("content, words", [
    (b"", ["model.gguf"]),
    (b"GGUF", ["model.gguf"]),
    (b"GGUF\x03\x00\x00\x00" + b"\xff" * 16, ["model.gguf"]),
    (b"PK\x03\x04 a zip file, as pickles are", ["GGUF"]),
])
def test_broken_model_files(turgo, tmp_path, content, words):
    (tmp_path / "model.gguf").write_bytes(content)
    assert_one_line_error(turgo("generate", tmp_path / "model.gguf", "--prompt", "p"), *words)


def test_prompts_and_flags_that_the_model_refuses(turgo, model, tmp_path):
    long = "word " * 3000
    assert_one_line_error(turgo("generate", model, "--prompt", "-", "--session-len", 512, stdin=long), "512")
    assert_one_line_error(turgo("generate", model, "--raw", "--prompt", ""), "empty")
    assert_one_line_error(turgo("generate", model, "--prompt", "p", "--stop", ""), "stop")
    assert_one_line_error(turgo("generate", model, "--prompt", "p", "--raw", "--system", "s"), "--system")
    assert_one_line_error(turgo("generate", model, "--prompt", "p", "--chat-template", "no-such"), "no-such")
    assert_one_line_error(turgo("generate", model, "--prompt", "p", "--model-format", "awq"), "--model-format awq")
    assert_one_line_error(turgo("generate", model, "--prompt", "p", env={"TURGO_ISA": "mmx"}), "TURGO_ISA")
    assert_one_line_error(turgo("eval", "ppl", model, "--text", tmp_path / "no.txt"), "no.txt")
    assert_one_line_error(turgo("eval", "logits", model, "--token-ids", "1,x", "--output", tmp_path / "o.npy"), "'1,x'")
    assert_one_line_error(turgo("eval", "logits", model, "--token-ids", "1", "--output", tmp_path / "no" / "o.npy"))
    assert_one_line_error(turgo("tokenize", model, "--decode", "1,999999"), "999999")
    assert not list(tmp_path.iterdir())  # nothing half-written


def test_format_hf_is_what_scripts_say_of_any_file(turgo, model):
    done = turgo("generate", model, "--prompt", "p", "--max-new-tokens", "1", "--model-format", "hf", check=0)
    assert done.stderr.startswith("warning: --model-format hf: ") and done.stderr.count("\n") == 1


def test_full_disk_and_closed_pipe(program, model):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([program, "generate", model, "--prompt", "Hi", "--max-new-tokens", "4"], stdout=full,
                              stderr=subprocess.PIPE, timeout=300)
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1, done.stderr
    reader = subprocess.Popen([program, "generate", model, "--prompt", "Tell me a long story.", "--max-new-tokens",
                               "400", "--ignore-eos"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert reader.stdout.read(1)
    reader.stdout.close()
    assert reader.wait(timeout=60) == 0
    assert reader.stderr.read() == b""


def test_base_model_says_how_to_chat(turgo, model, tmp_path):
    base = tmp_path / "base.gguf"
    shutil.copyfile(model, base)
    key = b"tokenizer.chat_template"
    with open(base, "r+b") as file:
        at = file.read(1 << 24).index(key)
        file.seek(at)
        file.write(b"tokenizer.no__template_")
    for command in (["chat", base], ["generate", base, "--prompt", "p"]):
        assert_one_line_error(turgo(*command), "no chat template", "--chat-template")
    raw = turgo("generate", base, "--raw", "--prompt", "The capital of France is", "--temperature", 0,
                "--max-new-tokens", 4, check=0)
    assert "Paris" in raw.stdout
    chosen = turgo("generate", base, "--chat-template", "chatml", "--prompt", "What is gravity?", "--temperature", 0,
                   "--max-new-tokens", 16, check=0)
    assert "gravity" in chosen.stdout.lower()
