"""`turgo chat` on a terminal (tmux): line editing with wide characters, Ctrl-C, terminal modes."""
import re
import shlex
import shutil
import subprocess
import time
import uuid

import pytest

BANNER = "double enter to end input >>>"


class Terminal:
    def __init__(self, socket, command, columns=70, rows=40):
        self.socket = socket
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), command)

    def tmux(self, *arguments):
        return subprocess.run(["tmux", "-L", self.socket, *arguments], check=True, capture_output=True, timeout=30,
                              env={"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "TERM": "xterm-256color"}).stdout.decode()

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def keys(self, *names):
        self.tmux("send-keys", *names)

    def paste(self, text):
        self.tmux("set-buffer", text)
        self.tmux("paste-buffer", "-p")

    def screen(self):
        lines = self.tmux("capture-pane", "-p", "-J", "-S", "-200").split("\n")
        return "\n".join(line.rstrip() for line in lines).rstrip("\n")

    def cursor(self):
        return tuple(map(int, self.tmux("display-message", "-p", "#{cursor_x} #{cursor_y}").split()))

    def wait(self, condition, seconds=60):
        """Until condition(screen) holds; its value."""
        end = time.monotonic() + seconds
        while True:
            screen = self.screen()
            if value := condition(screen):
                return value
            assert time.monotonic() < end, f"waited {seconds} s; the screen shows:\n{screen}"
            time.sleep(0.1)

    def prompts(self, count):
        """Waits for the count-th prompt; the text between it and the one before."""
        self.wait(lambda screen: screen.count(BANNER) >= count and screen.endswith(BANNER))
        return self.screen().split(BANNER)[-2]


@pytest.fixture
def terminal(program, model):
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed; ./run test installs it")
    socket = f"turgo-{uuid.uuid4().hex[:8]}"

    def start(*flags):
        chat = shlex.join([program, "chat", model, "--temperature", "0", "--max-new-tokens", "300", *flags])
        # The shell behind it shows how the terminal was left.
        opened = Terminal(socket, f"sh -c {shlex.quote('trap : INT; ' + chat + '; echo code=$?; stty -a; cat')}")
        opened.wait(lambda screen: BANNER in screen)
        return opened

    yield start
    subprocess.run(["tmux", "-L", socket, "kill-server"], capture_output=True, check=False)


def leaves_sanely(opened, code=0):
    screen = opened.wait(lambda screen: "code=" in screen and "icanon" in screen and screen)
    assert f"code={code}" in screen
    assert re.search(r"(?<!-)\bicanon\b", screen) and re.search(r"(?<!-)\becho\b", screen), screen


def test_chinese_prompt_is_edited_and_sent(terminal):
    opened = terminal("--max-new-tokens", "8")
    opened.type("请给我讲一个故事")
    opened.keys("Left", "Left", "Left", "BSpace")
    opened.type("两")
    opened.wait(lambda screen: BANNER + " 请给我讲两个故事" in screen)
    assert opened.cursor()[0] == len(BANNER) + 1 + 5 * 2  # behind 两; each character is two columns wide
    opened.keys("Home")
    opened.type("你好，")
    opened.keys("End", "BSpace", "BSpace")
    opened.type("笑话")
    opened.wait(lambda screen: BANNER + " 你好，请给我讲两个笑话" in screen)
    opened.keys("Enter", "Enter")
    assert opened.prompts(2).strip()
    opened.keys("Up")  # the history has what was sent
    opened.wait(lambda screen: screen.endswith(BANNER + " 你好，请给我讲两个笑话"))
    opened.keys("C-u", "C-d")
    leaves_sanely(opened)


def test_long_input_wraps_between_wide_characters(terminal):
    opened = terminal("--max-new-tokens", "4")
    text = "一二三四五六七八九十" * 6  # 120 columns on a screen of 70
    opened.type(text)
    opened.wait(lambda screen: text in screen.replace("\n", ""))
    opened.keys("C-a")
    assert opened.cursor() == (len(BANNER) + 1, 1)
    opened.keys("C-k")
    opened.wait(lambda screen: screen.endswith(BANNER))
    opened.type("exit")
    opened.keys("Enter", "Enter")
    leaves_sanely(opened)


def test_interrupt_stops_the_answer_and_keeps_the_session(terminal):
    opened = terminal("--ignore-eos", "--max-new-tokens", "2000")
    opened.type("Tell me a very long story.")
    opened.keys("Enter", "Enter")
    opened.wait(lambda screen: len(screen.split("long story.")[1]) > 40)
    opened.keys("C-c")
    opened.prompts(2)
    opened.type("/stats")
    opened.keys("Enter", "Enter")
    first = re.search(r"prompt (\d+) tokens.*answer (\d+) tokens", opened.prompts(3), re.S)
    assert 0 < int(first[2]) < 2000
    opened.type("Go on.")
    opened.keys("Enter", "Enter")
    time.sleep(1.5)
    opened.keys("C-c")
    opened.prompts(4)
    opened.type("/stats")
    opened.keys("Enter", "Enter")
    second = re.search(r"prompt (\d+) tokens, (\d+) of them", opened.prompts(5).replace("\n", " "))
    assert int(second[1]) > int(first[1]) + 5 and int(second[2]) >= int(first[1])
    opened.keys("C-c")
    opened.wait(lambda screen: "Ctrl-C again" in screen)
    opened.keys("C-c")
    leaves_sanely(opened)


def test_keys_typed_during_an_answer_wait_for_the_prompt(terminal):
    opened = terminal("--ignore-eos", "--max-new-tokens", "300", "--threads", "1")
    opened.type("Tell me a very long story.")
    opened.keys("Enter", "Enter")
    opened.wait(lambda screen: len(screen.split("long story.")[1]) > 40)
    opened.type("QQ世")
    opened.keys("BSpace")
    opened.type("界")
    assert "(cut after 300 tokens" not in opened.screen(), "the answer was too fast to type into"
    opened.wait(lambda screen: screen.endswith(BANNER + " QQ界"))
    assert "Q" not in opened.screen().split(BANNER)[-2]
    opened.keys("C-u", "C-d")
    leaves_sanely(opened)


def test_system_prompt_is_set_and_told(terminal):
    opened = terminal("--max-new-tokens", "24")
    opened.type("/system You are Blackbeard, a pirate.")
    opened.keys("Enter", "Enter")
    assert "system prompt set" in opened.prompts(2)
    opened.type("/system")
    opened.keys("Enter", "Enter")
    assert "no system prompt" in opened.prompts(3)
    opened.keys("C-d")
    leaves_sanely(opened)


def test_regenerate_and_end(terminal):
    opened = terminal("--max-new-tokens", "8")
    opened.type("What is gravity?")
    opened.keys("Enter", "Enter")
    opened.prompts(2)
    opened.type("/regen")
    opened.keys("Enter", "Enter")
    opened.prompts(3)
    opened.type("end")
    opened.keys("Enter", "Enter")
    assert "forgotten" in opened.prompts(4)
    opened.type("/regen")
    opened.keys("Enter", "Enter")
    assert "no answer yet" in opened.prompts(5)
    opened.keys("C-d")
    leaves_sanely(opened)


def test_paste_of_several_lines_waits_to_be_sent(terminal):
    opened = terminal("--max-new-tokens", "4")
    opened.paste("one\n\ntwo")
    opened.wait(lambda screen: screen.endswith("two"))
    assert opened.screen().count(BANNER) == 1
    opened.keys("Enter", "Enter")
    opened.prompts(2)


def test_killed_program_restores_the_terminal(terminal):
    opened = terminal()
    opened.type("half a sen")
    pane = opened.tmux("display-message", "-p", "#{pane_pid}").strip()
    children = subprocess.run(["pgrep", "-P", pane], capture_output=True, check=True).stdout.split()
    subprocess.run(["kill", "-TERM", children[0].decode()], check=True)
    leaves_sanely(opened, 143)
