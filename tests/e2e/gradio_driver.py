"""Drives the page of `serve gradio` in Debian's chromium: gradio_driver.py URL SCREENSHOT; prints JSON. For test_python_full.py."""
import json
import shutil
import sys
import time

from playwright.sync_api import sync_playwright


def main(url, screenshot):
    said = {"foreign_requests": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 800})
        host = url.split("/")[2]
        page.on("request", lambda r: None if host in r.url or r.url.startswith(("data:", "blob:"))
                else said["foreign_requests"].append(r.url))
        page.goto(url)
        box = page.locator("#instruction textarea")
        box.wait_for(timeout=60000)
        said["title"] = page.title()
        said["sliders"] = [label for label in ("Maximum new tokens", "Top_p", "Temperature")
                           if page.get_by_label(label, exact=False).count()]
        answers = page.locator("#chat .bot.message, #chat [data-testid=bot]")

        def text():
            return answers.last.inner_text().strip() if answers.count() else ""

        def ask(question):
            box.fill(question)
            box.press("Enter")

        ask("Name three colours and say a word about each of them.")
        last, deadline, last_change = "", time.monotonic() + 60, time.monotonic()
        while time.monotonic() < deadline and time.monotonic() - last_change < 3:
            if text() != last or not last:
                last, last_change = text(), time.monotonic()
            time.sleep(0.02)
        said["answer"] = text()
        page.screenshot(path=screenshot)
        pieces = set()
        for _ in range(5):  # it grows before the eyes, and is then cut off; an answer is sampled, some are short
            count, pieces, last_change = answers.count(), set(), time.monotonic()
            ask("Write a very long story about a river, with many chapters.")
            while len(pieces) < 4 and time.monotonic() - last_change < (3 if pieces else 30):
                if answers.count() > count and text() and text() not in pieces:
                    pieces.add(text())
                    last_change = time.monotonic()
                time.sleep(0.02)
            if len(pieces) >= 4:
                break
        said["pieces"] = len(pieces)
        page.locator("#cancel").click()
        time.sleep(0.7)
        said["cancelled_length"] = len(text())
        time.sleep(1.5)
        said["grew_after_cancel"] = len(text()) - said["cancelled_length"]
        page.locator("#reset").click()
        time.sleep(1)
        said["messages_after_reset"] = answers.count()
        browser.close()
    print(json.dumps(said, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:3])
