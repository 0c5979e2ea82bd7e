#!/usr/bin/env python3
"""The web page's size and time to first paint in Debian's chromium, cold and warm, and how fast it draws Markdown.

usage: bench/web_page.py MODEL.gguf [--rounds 7]     (needs chromium and playwright: tests/requirements.txt)
"""
import argparse
import gzip
import os
import pathlib
import re
import statistics
import subprocess

from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).resolve().parent.parent
TURGO = os.environ.get("TURGO_BIN") or str(ROOT / "build/bin/turgo")
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
DRAW = """async text => {
    const { MarkdownView } = await import('./assets/markdown/stream.js');
    const box = document.createElement('div');
    document.body.append(box);
    const begin = performance.now();
    const view = new MarkdownView(box);
    view.limit = view.maxLines = text.length;
    view.update(text, true);
    const whole = performance.now() - begin;
    const grown = new MarkdownView(box);
    grown.limit = grown.maxLines = text.length;
    for (let end = 4; end < text.length + 4; end += 4) grown.update(text.slice(0, end), false);
    return [whole, performance.now() - begin - whole];
}"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    files = [path.read_bytes() for path in (ROOT / "web").rglob("*") if path.is_file()]
    print(f"files {len(files)}, {sum(map(len, files)) / 1000:.1f} kB, gzip {sum(len(gzip.compress(f, 9)) for f in files) / 1000:.1f} kB")
    server = subprocess.Popen([TURGO, "serve", "api_server", args.model, "--server-port", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    url = "http://127.0.0.1:" + re.search(r":(\d+)", server.stdout.readline().decode()).group(1)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
            cold, warm, ready = [], [], []
            for _ in range(args.rounds):
                context = browser.new_context()
                page = context.new_page()
                page.goto(url)
                page.wait_for_selector(".greeting")
                cold.append(page.evaluate(PAINT))
                ready.append(page.evaluate("performance.getEntriesByName('page-made')[0].startTime"))
                page.reload()
                page.wait_for_selector(".greeting")
                warm.append(page.evaluate(PAINT))
                context.close()
            print(f"first paint: {statistics.median(cold):.0f} ms cold, {statistics.median(warm):.0f} ms warm; page made after {statistics.median(ready):.0f} ms "
                  f"(medians of {args.rounds})")
            page = browser.new_page()
            page.goto(url)
            text = (ROOT / "docs/architecture.md").read_text()
            whole, grown = page.evaluate(DRAW, text)
            print(f"{len(text)} characters of Markdown: {whole:.0f} ms at once, {grown:.0f} ms in pieces of 4 "
                  f"({grown / len(text) * 4:.2f} ms each)")
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
