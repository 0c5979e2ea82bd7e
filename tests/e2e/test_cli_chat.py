"""`turgo chat` through a pipe: as scripts and LMDeploy's own tests drive it."""
import re
import subprocess

import pytest

BANNER = "double enter to end input >>> "


@pytest.fixture
def chat(turgo, model):
    """Answers between the prompts, and the exit code. Greedy and short."""

    def run(text, *flags, code=0):
        done = turgo("chat", model, "--temperature", 0, "--max-new-tokens", 24, *flags, stdin=text, check=code)
        assert "\x1b" not in done.stdout  # no terminal, no escape codes
        assert "<|im_" not in done.stdout  # the template is not echoed
        parts = done.stdout.split(BANNER)
        assert parts[0] == "\n"
        return [part.strip() for part in parts[1:]]

    return run


def test_one_question(chat):
    answers = chat("What is gravity?\n\nexit\n\n")
    assert len(answers) == 2 and "gravity" in answers[0].lower() and answers[1] == ""


def test_end_of_input_is_a_good_end(chat):
    assert chat("") == [""]
    asked = chat("What is gravity?\n\n")
    assert "gravity" in asked[0].lower() and asked[1:] == [""]
    assert chat("What is gravity?") == [asked[0]]  # sent by the end of the input
    assert chat("exit") == [""]
    assert chat("\n\n\nexit\n\n") == [""]


def test_several_lines_are_one_message(chat):
    assert len(chat("Here are two words:\nred\nblue\n\nexit\n\n")) == 2


def test_history_is_kept_and_not_computed_again(chat):
    answers = chat("My name is Wilhelmina.\n\n/stats\n\nWhat is my name?\n\n/stats\n\nexit\n\n")
    first = list(map(int, re.findall(r"prompt (\d+) tokens, (\d+) .* answer (\d+) tokens", answers[1])[0]))
    second = list(map(int, re.findall(r"prompt (\d+) tokens, (\d+) .* answer (\d+) tokens", answers[3])[0]))
    assert answers[2] != chat("What is my name?\n\nexit\n\n")[0]
    # All of turn one, but for the last token of its answer, was in the cache.
    assert second[1] >= first[0] + first[2] - 2 and second[1] > first[1]
    assert second[0] > first[0] + first[2]


def test_end_forgets(chat):
    question = "What is my name?\n\n"
    fresh = chat(question + "exit\n\n")[0]
    told = chat("My name is Wilhelmina.\n\nend\n\n" + question + "exit\n\n")
    assert told[2] == fresh  # bit for bit what a new conversation gives


def test_stateful_equals_stateless(chat, turgo, model):
    turns = ["Name a color.", "Name another one.", "Which of the two do you like more?"]
    whole = chat("".join(turn + "\n\n" for turn in turns) + "exit\n\n")
    again = chat("".join(turn + "\n\n" for turn in turns) + "exit\n\n", "--max-prefill-token-num", 16,
                 "--threads", 1)
    assert whole == again


def test_regenerate_and_system(chat):
    flags = ["--temperature", 1.5, "--top-k", 0, "--top-p", 1, "--seed", 3]
    answers = chat("Tell me a story.\n\n/regen\n\n/regen\n\nexit\n\n", *flags)
    assert len(set(answers[:3])) == 3
    assert answers == chat("Tell me a story.\n\n/regen\n\n/regen\n\nexit\n\n", *flags)
    told = chat("/system You are Blackbeard, a pirate.\n\nWho are you?\n\nexit\n\n")
    assert told[1] == chat("Who are you?\n\nexit\n\n", "--system", "You are Blackbeard, a pirate.")[0]
    assert told[1] != chat("Who are you?\n\nexit\n\n")[0]


def test_help_lists_the_commands(chat):
    listed = chat("/help\n\nexit\n\n")[0]
    for command in ("exit", "end", "/system", "/regen", "/stats"):
        assert command in listed


def test_a_turn_that_fails_ends_nothing(turgo, model):
    text = "/regen\n\n/statz\n\n" + "word " * 3000 + "\n\nWhat is gravity?\n\nexit\n\n"
    done = turgo("chat", model, "--temperature", 0, "--max-new-tokens", 24, "--session-len", 512, stdin=text, check=2)
    assert "gravity" in done.stdout.lower()
    errors = done.stderr.splitlines()
    assert len(errors) == 3 and "no answer yet" in errors[0] and "/statz" in errors[1] and "512" in errors[2]


def test_reader_that_goes_away(program, model):
    talk = subprocess.Popen([program, "chat", model, "--max-new-tokens", "400", "--ignore-eos"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    talk.stdin.write(b"Tell me a long story.\n\n")
    talk.stdin.flush()
    assert talk.stdout.read(len(BANNER) + 20)
    talk.stdout.close()
    assert talk.wait(timeout=60) == 0
    assert talk.stderr.read() == b""
