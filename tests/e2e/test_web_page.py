"""The built-in page in chromium, as a person uses it: talk, stop, branch, switch models, keep, lose the server."""
import json
import pathlib
import re
import signal
import subprocess
import time

import pytest
from web_browser import QUICK, answer, answers_with, ask, conversation, ready, shows, take_file, until

SCHEMA = {"type": "object", "properties": {"colour": {"enum": ["red", "green"]}, "n": {"type": "integer"}}, "required": ["colour", "n"],
          "additionalProperties": False}


def test_send_shows_a_stream_and_its_figures(site, open_page):
    settings = {"temperature": 0, "max_tokens": 80}  # long enough for several drawings on a quick machine
    page = ready(open_page(site.url, settings))
    page.evaluate("""() => {  // the lengths that the answer had on its way
        window.lengths = new Set();
        new MutationObserver(() => lengths.add(document.querySelector('.message.assistant > .prose')?.textContent.length))
            .observe(document.body, {subtree: true, childList: true, characterData: true}); }""")
    text = ask(page, "Describe the sea in one sentence.").locator("> .prose").text_content()
    body = {"model": "smollm2", "messages": [{"role": "user", "content": "Describe the sea in one sentence."}], **settings}
    said = site.post("/v1/chat/completions", body)[1]
    assert re.sub(r"[^a-zA-Z]", "", text) == re.sub(r"[^a-zA-Z]", "", said["choices"][0]["message"]["content"])
    assert len(page.evaluate("[...lengths]")) > 3
    figures = page.text_content(".message.assistant .stats")
    assert f"{said['usage']['completion_tokens']} tokens" in figures and "tokens/s" in figures and f"prompt {said['usage']['prompt_tokens']}" in figures
    assert page.title() == "Describe the sea in one sentence. · Turgo"
    ask(page, "And on?")
    assert page.locator(".message").count() == 4 and page.locator(".list li").count() == 1


def test_stop_and_regenerate(site, open_page):
    page = ready(open_page(site.url, {"temperature": 0, "max_tokens": 1500}))
    page.fill("#prompt", "Write a very long story about the sea.")
    page.press("#prompt", "Enter")
    until(page, "document.querySelector('.message.assistant > .prose')?.textContent.length > 20")
    page.click("button[aria-label=Stop]")
    page.wait_for_selector(".state:text('Stopped')")
    stopped = page.text_content(".message.assistant > .prose")
    deadline = time.monotonic() + 10
    while re.search(r'num_requests_running\{engine="0",model_name="smollm2"\} [1-9]', site.get("/metrics")[1]):
        assert time.monotonic() < deadline, "the server goes on answering"
        time.sleep(0.05)
    page.evaluate(f"localStorage.setItem('turgo.settings', '{json.dumps(QUICK)}')")
    page.reload()
    ready(page)
    shows(page, ".message.assistant > .prose", stopped)  # what had come is kept
    page.click("button[aria-label='Answer again']")
    assert answer(page).locator(".place").text_content() == "2 / 2"
    page.click("button[aria-label='Previous version']")
    shows(page, ".message.assistant > .prose", stopped)
    page.click("button[aria-label='Next version']")
    shows(page, ".message.assistant .place", "2 / 2")


def test_edit_makes_a_branch_and_delete_can_be_undone(site, open_page):
    page = ready(open_page(site.url))
    first = ask(page, "Name a river.").text_content()
    ask(page, "Name another.")
    question = page.locator(".message.user").first
    question.hover()
    question.locator("button[aria-label=Edit]").click()
    page.fill(".editor textarea", "Name a mountain.")
    page.click(".editor button.primary")
    answer(page)
    assert page.locator(".message").count() == 2
    shows(page, ".bubble", "Name a mountain.")
    page.click(".message.user button[aria-label='Previous version']")
    assert page.locator(".message").count() == 4
    shows(page, ".message.assistant", first)
    page.locator(".message.user button[aria-label=Delete]").last.click()
    assert page.locator(".message").count() == 2
    page.click(".toast button:text('Undo')")
    assert page.locator(".message").count() == 4
    page.reload()
    page.wait_for_selector(".message")
    assert page.locator(".message").count() == 4
    shows(page, ".bubble", "Name a river.")


def test_models_are_switched_and_loaded(site, open_page):
    page = ready(open_page(site.url))
    assert site.post("/models/unload", {"model": "second"})[0] == 200
    page.click(".model")
    page.wait_for_selector("[role=menuitemradio]:has-text('second'):has-text('not loaded')")
    page.click("[role=menuitemradio]:has-text('second')")
    ready(page)
    with page.expect_request("**/v1/chat/completions") as sent:
        ask(page, "Hello")
    assert sent.value.post_data_json["model"] == "second"
    assert page.get_attribute(".message.assistant", "aria-label") == "Answer of second"
    page.reload()
    assert page.inner_text(".model .name") == "second"
    page.click(".model")
    page.click("[role=menuitem]:has-text('Unload second')")
    page.wait_for_selector(".model .dot[data-state=unloaded]")
    ask(page, "Are you there?")  # a model that sleeps is woken by the question
    assert {model["id"]: model["status"]["value"] for model in site.get("/v1/models")[1]["data"]}["second"] == "loaded"


def test_settings_reach_the_request_and_a_schema_holds(site, open_page):
    page = ready(open_page(site.url))
    page.click(".tools button:has-text('Settings')")
    page.get_by_label("System prompt").fill("You are terse.")
    page.get_by_label("Temperature").fill("9")
    page.get_by_label("Shape of answers").fill('{"type": ')
    page.click("dialog button.primary")
    assert "No JSON schema" in page.inner_text("dialog .wrong")
    page.get_by_label("Shape of answers").fill(json.dumps(SCHEMA))
    page.click("dialog button.primary")
    assert page.inner_text("dialog .wrong") == "From 0 to 2"
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_label("Most tokens").fill("60")
    page.get_by_label("Seed").fill("7")
    page.click("dialog button.primary")
    page.wait_for_selector("dialog", state="detached")
    with page.expect_request("**/v1/chat/completions") as sent:
        text = ask(page, "Which colour, and how many?").locator("> .prose").text_content()
    body = sent.value.post_data_json
    assert body["messages"][0] == {"role": "system", "content": "You are terse."}
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.5, 60, 7) and "top_p" not in body
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    value = json.loads(text)
    assert value["colour"] in ("red", "green") and isinstance(value["n"], int)
    page.click("button[aria-label='Turn off: Answers follow a JSON schema']")
    with page.expect_request("**/v1/chat/completions") as sent:
        ask(page, "And now?")
    assert "response_format" not in sent.value.post_data_json


def test_what_the_server_refuses_is_said(site, open_page):
    page = ready(open_page(site.url, {**QUICK, "schema": '{"not": {}}'}, allow=["400"]))
    page.fill("#prompt", "Hello")
    page.press("#prompt", "Enter")
    page.wait_for_selector(".state.wrong:has-text('the keyword')")
    assert "can not be enforced" in page.text_content(".state.wrong")


def test_export_and_import(site, open_page, tmp_path):
    page = ready(open_page(site.url))
    ask(page, "Name a tree.")
    with page.expect_download() as download:
        page.click(".tools button:has-text('Export all')")
    path = tmp_path / "all.json"
    download.value.save_as(path)
    exported = json.loads(path.read_text())
    assert exported["format"] == "turgo-conversations" and len(exported["conversations"][0]["messages"]) == 2
    ask(page, "Name another.")  # what was open when files came goes on being kept
    take_file(page, path.read_text())
    page.wait_for_selector(".toast")
    ask(page, "And another.")
    page.reload()
    page.wait_for_selector(".message")
    assert page.locator(".message").count() == 6 and page.locator(".list li").count() == 2
    other = ready(open_page(site.url))
    other.set_input_files(".tools input[type=file]", str(path))
    other.click(".list .open")
    shows(other, ".message.assistant > .prose", page.text_content(".message.assistant > .prose"))
    with other.expect_download() as download:
        other.click(".dots")
        other.click("[role=menuitem]:has-text('Export')")
    again = json.loads(pathlib.Path(download.value.path()).read_text())
    assert [m["content"] for m in again["conversations"][0]["messages"]] == [m["content"] for m in exported["conversations"][0]["messages"]]
    llama = {"conv": {"id": "c", "name": "From llama.cpp", "lastModified": 5, "currNode": "q"}, "messages": [
        {"id": "r", "type": "root", "role": "system", "content": "", "parent": None, "timestamp": 1},
        {"id": "q", "type": "text", "role": "user", "content": "Hi from there", "parent": "r", "timestamp": 2, "extra": [{"type": "TEXT", "name": "a.txt", "content": "abc"}]}]}
    take_file(other, json.dumps([llama]))
    other.click(".open:has-text('From llama.cpp')")
    shows(other, ".bubble", "Hi from there")
    shows(other, ".attachment .name", "a.txt")


@pytest.mark.parametrize("text", [
    "no json", "{}", '{"format": "turgo-conversations"}', '{"format": "turgo-conversations", "conversations": [3]}',
    '[{"messages": [{"id": "a", "parent": "a", "role": "user", "content": ""}]}]',          # its own parent
    '[{"messages": [{"id": "a", "parent": "b", "role": "user", "content": ""}]}]',          # of nobody
    '[{"messages": [{"id": "a", "parent": null, "role": "root", "content": ""}]}]', '[{"messages": [{"id": "a"}]}]', "[[]]", "null",
])
def test_bad_imports_change_nothing(site, open_page, text):
    page = open_page(site.url)
    take_file(page, text)
    page.wait_for_selector(".toast:has-text('can not be imported')")
    assert page.locator(".list li").count() == 0


def test_conversations_are_found_renamed_and_deleted(site, open_page):
    page = open_page(site.url)
    for i in range(3):
        take_file(page, conversation(("user", f"Question {i}"), ("assistant", f"The needle is number {i}."), title=f"Talk {i}"))
        page.wait_for_selector(f".list .open:has-text('Talk {i}')")
    page.keyboard.press("Control+k")
    page.keyboard.type("NEEDLE is number 1")
    page.wait_for_selector(".snippet mark")
    assert page.locator(".list li").count() == 1
    page.click(".list .dots")
    page.click("[role=menuitem]:has-text('Rename')")
    page.get_by_label("Title").fill("Found")
    page.keyboard.press("Enter")
    page.wait_for_selector(".list .name:text('Found')")
    page.fill("input[type=search]", "xyzzy")
    page.wait_for_selector(".list .empty:text('Nothing found')")
    page.fill("input[type=search]", "")
    until(page, "document.querySelectorAll('.list li').length === 3")
    page.click(".list li:has-text('Found') .dots")
    page.click("[role=menuitem]:has-text('Delete')")
    until(page, "document.querySelectorAll('.list li').length === 2")
    page.click(".toast button:text('Undo')")
    page.click(".list .open:has-text('Found')")
    until(page, "document.title === 'Found · Turgo'")
    shows(page, ".message.assistant > .prose", "The needle is number 1.")


def test_attachments(site, open_page):
    page = ready(open_page(site.url))
    pixel = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6260606060000000050001a5f645400000000049454e44ae426082")
    page.set_input_files(".composer input[type=file]", [
        {"name": "poem.md", "mimeType": "text/markdown", "buffer": "Grün ```is``` the sea".encode()},
        {"name": "dot.png", "mimeType": "image/png", "buffer": pixel}])
    page.wait_for_selector(".note:has-text('smollm2 reads text only')")
    page.set_input_files(".composer input[type=file]", {"name": "program", "mimeType": "", "buffer": b"\x7fELF\0\xff\xfe"})
    page.wait_for_selector(".note:has-text('program is neither text nor a picture')")
    page.set_input_files(".composer input[type=file]", {"name": "big.txt", "mimeType": "text/plain", "buffer": b"a" * 2_100_000})
    page.wait_for_selector(".note:has-text('big.txt is too large')")
    with page.expect_request("**/v1/chat/completions") as sent:
        ask(page, "Which colour?")
    content = sent.value.post_data_json["messages"][0]["content"]
    assert content == "poem.md:\n````\nGrün ```is``` the sea\n````\n\nWhich colour?"  # no picture: the model is blind
    assert page.locator(".message .attachment").count() == 2


def test_thoughts_are_folded(site, open_page):
    page = ready(open_page(site.url))
    answers_with(page, {"reasoning_content": "First I *think*."}, {"reasoning_content": " Then more."}, {"content": "The answer."})
    ask(page, "Think")
    assert page.text_content(".message.assistant > .prose") == "The answer." and not page.is_visible(".thoughts .prose")
    page.click(".thoughts summary")
    shows(page, ".thoughts .prose", "First I think. Then more.")
    assert page.is_visible(".thoughts .prose") and page.locator(".thoughts em").count() == 1


def test_another_conversation_while_one_is_answered(site, open_page):
    page = ready(open_page(site.url, {"temperature": 0, "max_tokens": 600}))
    page.fill("#prompt", "Write a very long story about the sea.")
    page.press("#prompt", "Enter")
    page.wait_for_selector("button[aria-label=Stop]")
    page.keyboard.press("Control+Shift+O")
    page.wait_for_selector(".greeting")
    assert page.get_attribute(".send", "aria-label") == "Send" and page.locator(".list .busy").count() == 1
    page.wait_for_selector(".list .busy", state="detached", timeout=120_000)
    page.click(".list .open")
    tokens = int(re.search(r"(\d+) tokens", page.text_content(".message.assistant .stats")).group(1))
    assert tokens > 100 and len(page.text_content(".message.assistant > .prose")) > 2 * tokens


def start_on(program, model, port, *flags):
    process = subprocess.Popen([program, "serve", "api_server", model, "--server-port", str(port), "--model-name", "smollm2", *flags],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    line = process.stdout.readline().decode()
    assert "serving smollm2" in line
    return process, int(re.search(r":(\d+)", line).group(1))


def test_a_server_that_dies_and_comes_back(program, model, open_page):
    process, port = start_on(program, model, 0, "--session-len", "2048")
    page = ready(open_page(f"http://127.0.0.1:{port}/", {"temperature": 0, "max_tokens": 1500}, allow=["ERR_", "Failed to load"]))
    page.fill("#prompt", "Write a very long story about the sea.")
    page.press("#prompt", "Enter")
    until(page, "document.querySelector('.message.assistant > .prose')?.textContent.length > 20")
    process.send_signal(signal.SIGKILL)
    process.wait()
    page.wait_for_selector(".state.wrong:text('The connection to the server broke off.')")
    page.wait_for_selector(".notice:has-text('The server does not answer')")
    assert len(page.text_content(".message.assistant > .prose")) > 20
    page.fill("#prompt", "Still there?")
    assert page.is_disabled(".send")
    process, _ = start_on(program, model, port)
    page.click(".notice button")
    page.wait_for_selector(".notice", state="hidden")
    assert page.is_enabled(".send") and page.input_value("#prompt") == "Still there?"
    process.terminate()
    assert process.wait(30) == 0


def test_the_key_is_asked_for_and_stays_here(program, model, open_page):
    process, port = start_on(program, model, 0, "--api-keys", "secret-one", "--api-prefix", "/llm")
    url = f"http://127.0.0.1:{port}/llm"
    page = open_page(url, wait="dialog", allow=["401"])  # the prefix without its slash leads there
    assert page.url == url + "/"
    page.keyboard.press("Escape")
    page.fill("dialog input[type=password]", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog .wrong:text('does not take this key')")
    page.fill("dialog input[type=password]", "secret-one")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog", state="detached")
    ready(page)
    ask(page, "Hello")
    assert page.evaluate("sessionStorage.getItem('turgo.key')") == "secret-one" and page.evaluate("localStorage.getItem('turgo.key')") is None
    assert "secret-one" not in page.url + page.evaluate("document.documentElement.outerHTML")
    page.click(".tools button:has-text('Settings')")
    page.click("dialog button:has-text('Forget the API key')")
    page.wait_for_selector("dialog:has-text('asks for a key')")
    for _ in range(4):  # of two in a row a browser lets the second close any dialog
        page.keyboard.press("Escape")
    page.wait_for_timeout(200)
    assert page.is_visible("dialog:has-text('asks for a key')")
    assert page.evaluate("sessionStorage.getItem('turgo.key')") is None
    process.terminate()
    assert process.wait(30) == 0


def test_memory_stands_in_where_the_browser_keeps_nothing(site, open_page):
    page = ready(open_page(site.url, script="indexedDB.open = () => { throw new Error('no storage here'); }"))
    ask(page, "Hello")
    ask(page, "And again")
    assert page.locator(".message").count() == 4 and "keeps nothing" in page.inner_text(".kept")


def test_no_web_serves_no_page(start_server):
    server = start_server("--no-web")
    assert server.get("/")[0] == 404 and server.get("/assets/app.js")[0] == 404
    assert server.stop() == 0
