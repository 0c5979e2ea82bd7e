"""Fixtures of the web page's tests: Debian's chromium under Playwright, a server with two models, and a fresh page each."""
import json
import shutil
import threading
import time

import pytest

CHROMIUM = "/usr/bin/chromium"

# Short and the same each time.
QUICK = {"temperature": 0, "max_tokens": 16}


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if not shutil.which(CHROMIUM):
        pytest.skip("chromium is not installed; ./run test installs it")
    with sync_api.sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield one
        one.close()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("web_models")
    (folder / "second.gguf").symlink_to(model)
    return folder


@pytest.fixture(scope="session")
def site(start_server, model_folder):
    one = start_server("--models-dir", str(model_folder), "--session-len", "2048")
    threading.Thread(target=one.process.stderr.read, daemon=True).start()  # many tests fill a pipe that nobody reads
    yield one
    assert one.process.poll() is None, "the server has died"
    assert one.stop() == 0


@pytest.fixture
def open_page(browser):
    """open_page(url, settings={}, allow=[…], **context) -> a page whose console must stay free of errors but `allow`ed ones."""
    contexts, errors = [], []

    def open_one(url, settings=QUICK, allow=(), wait=".greeting", script="", **options):
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, "locale": "en-US", **options})
        contexts.append(context)
        if settings is not None:
            context.add_init_script(f"localStorage.getItem('turgo.settings') ?? localStorage.setItem('turgo.settings', {json.dumps(json.dumps(settings))})")
        if script:
            context.add_init_script(script)
        page = context.new_page()
        page.set_default_timeout(30_000)

        def note(text):
            if not any(part in text for part in allow):
                errors.append(text)

        page.on("console", lambda message: note(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: note(f"{error} {error.stack}"))
        page.goto(url)
        if wait:
            page.wait_for_selector(wait)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not errors, errors


def until(page, expression, seconds=30):
    """Waits until the page finds this true. Playwright's own way needs eval(), which the page's policy forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(30)


def shows(page, selector, text):
    """Waits until the first element of `selector` has this text: what an action leads to is drawn later."""
    from playwright.sync_api import expect
    expect(page.locator(selector).first).to_have_text(text, timeout=30_000)


def ready(page):
    page.wait_for_selector(".model .dot[data-state=loaded]")
    return page


def ask(page, text):
    """Sends and waits for the whole answer; its element."""
    page.fill("#prompt", text)
    page.press("#prompt", "Enter")
    return answer(page)


def answer(page):
    page.wait_for_selector(".message.assistant:last-of-type[aria-busy=false] .stats span")
    return page.locator(".message.assistant").last


def sse(*deltas, usage=None):
    """The body of a streamed answer of these deltas."""
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({"choices": [], "usage": usage or {"prompt_tokens": 3, "completion_tokens": len(deltas)}})
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def answers_with(page, *deltas):
    """From now on the server's answers are these."""
    page.unroute("**/v1/chat/completions")
    page.route("**/v1/chat/completions", lambda route: route.fulfill(content_type="text/event-stream", body=sse(*deltas)))


def conversation(*messages, title="Imported"):
    """The text of an export with one conversation: (role, content) in a row."""
    listed = [{"id": str(i), "parent": str(i - 1) if i else None, "role": role, "content": content, "created": i + 1, "finish": "stop"}
              for i, (role, content) in enumerate(messages)]
    return json.dumps({"format": "turgo-conversations", "version": 1, "conversations": [{"title": title, "messages": listed}]})


def take_file(page, text, name="conversations.json"):
    page.set_input_files(".tools input[type=file]", {"name": name, "mimeType": "application/json", "buffer": text.encode()})
