"""Who can use the page: how it is served and guarded, names and contrast of all that is seen, keys alone, phones, languages."""
import gzip
import pathlib
import re
import urllib.error
import urllib.request

import pytest
from web_browser import QUICK, answer, conversation, ready, take_file, until

WEB = pathlib.Path(__file__).resolve().parents[2] / "web"
SHOWCASE = """## Title

Text with **bold**, `code`, [a link](https://example.org), [none](javascript:x), $x^2$ and $\\bad{$

> quote

- [x] done
- [ ] open

| a | b |
|---|--:|
| 1 | 2 |

```python
def f(x):  # comment
    return print("text", 12, None)
```

```diff
- old
+ new
```
"""


def fetch(url, **headers):
    """(status, headers, body) as they came."""
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request) as got:
            return got.status, got.headers, got.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_files_are_served_as_they_are(site):
    total = 0
    for path in sorted(path for path in WEB.rglob("*") if path.is_file()):
        name = path.relative_to(WEB).as_posix()
        url = site.url + ("/" if name == "index.html" else f"/assets/{name}")
        status, headers, body = fetch(url)
        assert (status, body) == (200, path.read_bytes()), name
        total += len(body)
        kind = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}[path.suffix]
        assert headers["Content-Type"].startswith(kind) and headers["X-Content-Type-Options"] == "nosniff"
        packed = fetch(url, Accept_Encoding="br, gzip;q=0.8")
        assert packed[1]["Content-Encoding"] == "gzip" and gzip.decompress(packed[2]) == body
        assert fetch(url, Accept_Encoding="gzip;q=0, br")[1]["Content-Encoding"] is None
        again = fetch(url, If_None_Match=f'"x", W/{headers["ETag"]}')
        assert (again[0], again[2], again[1]["ETag"]) == (304, b"", headers["ETag"])
        assert fetch(url, If_None_Match='"old"')[0] == 200
    assert total <= 300_000
    for name in ("", "none.js", "index.html/x", "..%2f..%2fCMakeLists.txt", "view/../app.js", "app.js%00"):
        assert fetch(f"{site.url}/assets/{name}")[0] in (400, 404), name
    assert site.request("HEAD", "/") == (200, "") and site.post("/", {})[0] == 405


def test_the_policy_is_strict(site):
    for path in ("/", "/assets/app.js"):
        policy = fetch(site.url + path)[1]["Content-Security-Policy"]
        parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
        assert parts["default-src"] == "'none'" and parts["script-src"] == "'self'" and parts["style-src"] == "'self'"
        assert parts["connect-src"] == "'self'" and parts["frame-ancestors"] == "'none'" and parts["require-trusted-types-for"] == "'script'"
        assert "unsafe" not in policy and "http" not in policy and "*" not in policy
    index = (WEB / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|style=", index)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", "".join(p.read_text() for p in WEB.rglob("*.js")))
    for name in re.findall(r'(?:href|src)="(assets/[^"]+)"', index):
        assert (WEB / name.removeprefix("assets/")).exists(), name
    modules = {path.relative_to(WEB).as_posix() for path in WEB.rglob("*.js")} - {"boot.js", "app.js"}
    assert modules == set(re.findall(r'modulepreload" href="assets/([^"]+)"', index))


def test_other_pages_may_not_call(site):
    for origin, status in [(site.url, 200), ("http://evil.example", 403), ("null", 403)]:
        assert fetch(site.url + "/v1/models", Origin=origin)[0] == status
    assert fetch(site.url + "/", Host="evil.example")[0] == 403  # a name that was bound anew to 127.0.0.1


def test_a_page_behind_another_name_calls_its_own_server(start_server):
    server = start_server("--allowed-hosts", "chat.example")
    host = f"chat.example:{server.port}"
    for origin, status in [(f"http://{host}", 200), ("https://other.example", 403), ("http://chat.example:1", 403)]:
        assert fetch(server.url + "/v1/models", Host=host, Origin=origin)[0] == status
    assert fetch(server.url + "/v1/models", Host="evil.example", Origin="http://evil.example")[0] == 403
    assert server.stop() == 0


CHECK = r"""() => {
    const faults = [];
    const shown = e => e.checkVisibility({opacityProperty: false, visibilityProperty: true}) && !e.closest('[inert]')
        && !(document.querySelector('dialog[open]') && !e.closest('dialog'));
    const what = e => e.outerHTML.slice(0, 120);
    const textOf = id => document.getElementById(id)?.textContent.trim() ?? '';
    const nameOf = e => (e.getAttribute('aria-label') || (e.getAttribute('aria-labelledby') ?? '').split(' ').map(textOf).join(' ').trim()
        || [...e.labels ?? []].map(l => l.textContent).join(' ').trim() || (e.matches('input, textarea, select') ? '' : e.textContent.trim())
        || e.getAttribute('alt') || '').trim();
    const controls = 'button, input:not([type=hidden]), textarea, select, a[href], summary, dialog, [role=menu], [role^=menuitem], [role=img], [role=group], [tabindex="0"], aside, nav';
    for (const e of document.querySelectorAll(controls)) {
        if (!shown(e)) continue;
        if (!nameOf(e)) faults.push('no name: ' + what(e));
        const box = e.getBoundingClientRect();
        if (e.matches('button, summary') && box.width && (box.width < 24 || box.height < 24)) faults.push('small target: ' + what(e));
    }
    for (const e of document.querySelectorAll('img:not([alt])')) faults.push('no alt: ' + what(e));
    for (const e of document.querySelectorAll('svg:not([aria-hidden=true])')) faults.push('svg: ' + what(e));
    const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
    for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push('id twice: ' + id);
    for (const name of ['aria-controls', 'aria-describedby', 'aria-labelledby', 'for'])
        for (const e of document.querySelectorAll(`[${name}]`))
            for (const id of e.getAttribute(name).split(' ')) if (!document.getElementById(id)) faults.push(`${name} leads nowhere: ` + what(e));
    for (const [selector, count] of [['h1', 1], ['main', 1]]) if (document.querySelectorAll(selector).length !== count) faults.push(selector);
    let level = 1;
    for (const e of document.querySelectorAll('main :is(h1, h2, h3, h4, h5, h6):not(.prose *)')) {  // a model's headings are its own
        const now = Number(e.localName[1]);
        if (now > level + 1) faults.push('heading skips a level: ' + what(e));
        level = now;
    }
    // Contrast of each text with what is behind it, all layers mixed.
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    const colours = new Map();
    const rgba = text => {
        if (!colours.has(text)) {
            canvas.clearRect(0, 0, 1, 1);
            canvas.fillStyle = text;
            canvas.fillRect(0, 0, 1, 1);
            const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
            colours.set(text, [r, g, b, a / 255]);
        }
        return colours.get(text);
    };
    const over = (top, below, alpha = top[3]) => [0, 1, 2].map(i => top[i] * alpha + below[i] * (1 - alpha));
    const ground = e => {
        const layers = [];
        for (let one = e; one; one = one.parentElement) {
            const style = getComputedStyle(one);
            layers.push(rgba(style.backgroundColor));
            if (layers.at(-1)[3] === 1) break;
        }
        return layers.reverse().reduce((below, layer) => over(layer, below), rgba(getComputedStyle(document.body).backgroundColor));
    };
    const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
    const judge = (e, colour, text, least) => {
        let alpha = 1;
        for (let one = e; one; one = one.parentElement) alpha *= Number(getComputedStyle(one).opacity);
        if (alpha === 0) return;  // not seen: it comes with the mouse or the focus
        const below = ground(e);
        const found = ratio(over(rgba(colour), below, rgba(colour)[3] * alpha), below);
        window.lowest = Math.min(window.lowest ?? 99, least === 4.5 ? found : 99);
        if (found < least) faults.push(`contrast ${found.toFixed(2)} of ${JSON.stringify(text.slice(0, 40))} in ${what(e)}`);
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const e = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !shown(e) || e.closest('.sr, :disabled')) continue;
        judge(e, getComputedStyle(e).color, walker.currentNode.data, 4.5);
    }
    for (const e of document.querySelectorAll('input, textarea')) if (shown(e) && e.placeholder) judge(e, getComputedStyle(e, '::placeholder').color, e.placeholder, 4.5);
    for (const e of document.querySelectorAll('button .icon')) if (shown(e) && !e.closest(':disabled')) judge(e, getComputedStyle(e).stroke, 'icon', 3);
    for (const e of document.querySelectorAll('input, textarea, select')) {
        if (!shown(e) || e.closest('.box') || e.type === 'checkbox') continue;
        const edge = ratio(rgba(getComputedStyle(e).borderTopColor), ground(e.parentElement));
        if (edge < 3) faults.push(`edge ${edge.toFixed(2)} of ${what(e)}`);
    }
    return faults;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_names_and_contrast(site, open_page, theme, language):
    page = ready(open_page(site.url, color_scheme=theme, locale=language, reduced_motion="reduce"))
    assert page.get_attribute("html", "lang") == ("zh-CN" if language == "zh-CN" else "en")

    def check(state):
        assert page.evaluate(CHECK) == [], state

    check("empty")
    page.fill("#prompt", "x")
    check("ready to send")
    page.fill("#prompt", "")
    take_file(page, conversation(("user", "A question"), ("assistant", SHOWCASE)))
    page.wait_for_selector(".toast")
    page.click(".list .open")
    page.wait_for_selector(".prose table")
    check("conversation")
    page.hover(".message.assistant")
    check("under the mouse")
    page.click(".message.user button:nth-of-type(2)")
    check("editing")
    page.keyboard.press("Escape")
    page.click(".dots")
    check("menu")
    page.keyboard.press("Escape")
    page.click(".model")
    check("models")
    page.keyboard.press("Escape")
    page.fill("input[type=search]", "question")
    page.wait_for_selector(".snippet")
    check("search")
    page.keyboard.press("Control+/")
    check("shortcuts")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+,")
    check("settings")
    page.fill("dialog .mono >> nth=1", "{")
    page.click("dialog button.primary")
    check("a wrong setting")
    page.fill("dialog .mono >> nth=1", "{}")
    page.click("dialog button.primary")
    page.wait_for_selector(".chip")
    check("chips")
    page.evaluate("document.querySelector('.notice').hidden = false")
    check("notice")


def test_every_text_is_in_both_languages(blank_texts=WEB / "dictionary.js"):
    used = set(re.findall(r"""\bt\(\s*'(\w+)'""", "".join(p.read_text() for p in WEB.rglob("*.js"))))
    lines = re.findall(r"^  (\w+): \['((?:[^'\\]|\\.)*)', '((?:[^'\\]|\\.)*)'\],$", blank_texts.read_text(), re.M)
    assert len(lines) == len(re.findall(r"^  \w+: \[", blank_texts.read_text(), re.M)) and used <= {name for name, _, _ in lines}
    for name, english, chinese in lines:
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", chinese)), name
        if english != chinese:
            assert re.search(r"[\u4e00-\u9fff]", chinese), name


def test_theme_and_language_are_chosen_and_kept(site, open_page):
    page = ready(open_page(site.url, color_scheme="light"))
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.click("button[aria-label^='Theme']")  # light
    assert page.evaluate(ground) == light
    page.click("button[aria-label^='Theme']")  # dark
    dark = page.evaluate(ground)
    assert dark != light
    page.fill("#prompt", "a draft")
    page.click(".tools button:has-text('Settings')")
    page.get_by_label("Language").select_option("zh")
    page.click("dialog button.primary")
    page.wait_for_selector(".new:has-text('新对话')")
    assert page.input_value("#prompt") == "a draft" and page.get_attribute("html", "lang") == "zh-CN"
    page.reload()
    page.wait_for_selector(".new:has-text('新对话')")
    assert page.evaluate(ground) == dark


def focused(page):
    return page.evaluate("(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent || document.activeElement.id).trim()")


def test_keys_alone(site, open_page):
    """From the first question to deleting it, without a mouse."""
    page = ready(open_page(site.url, {**QUICK, "max_tokens": 400}))
    assert page.evaluate("document.activeElement.id") == "prompt"
    page.keyboard.type("Tell me a long story")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("please")
    assert page.input_value("#prompt") == "Tell me a long story\nplease"
    page.keyboard.press("Enter")
    page.wait_for_selector("button[aria-label=Stop]")
    until(page, "document.querySelector('.message.assistant > .prose')?.textContent.length > 0")
    page.keyboard.press("Escape")
    page.wait_for_selector(".state:text('Stopped')")
    page.keyboard.press("ArrowUp")  # edits the last question
    until(page, "document.activeElement.closest('.editor') !== null")
    page.keyboard.press("Control+a")
    page.keyboard.type("Say hi")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("button[aria-label=Stop]")
    page.keyboard.press("Escape")
    page.wait_for_selector(".message.user .place:text('2 / 2')")
    page.keyboard.press("Control+Shift+Enter")
    page.wait_for_selector(".message.assistant .place:text('2 / 2')")
    page.keyboard.press("Escape")
    page.wait_for_selector(".message.assistant[aria-busy=false]")
    page.keyboard.press("Control+m")
    assert focused(page).startswith("smollm2")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Home")
    page.keyboard.press("Escape")
    assert focused(page).startswith("Model:")
    seen = []
    for _ in range(60):  # Tab goes round and shows where it is
        page.keyboard.press("Tab")
        state = page.evaluate("""() => {
            const e = document.activeElement;
            const box = e.getBoundingClientRect();
            const style = getComputedStyle(e);
            const isMarked = style.outlineStyle !== 'none' || e.closest('.box') !== null || e.matches('.scroll');
            return e === document.body ? null : [isMarked && box.width > 0 && style.visibility === 'visible', e.outerHTML.slice(0, 90)];
        }""")
        if state is None:
            break
        assert state[0], state
        seen.append(state[1])
    assert len(seen) > 12
    page.keyboard.press("Control+k")
    assert page.evaluate("document.activeElement.type") == "search"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert focused(page).startswith("Options of")
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    assert focused(page) == "Delete"
    page.keyboard.press("Enter")
    page.wait_for_selector(".greeting")
    page.keyboard.press("Control+b")
    page.wait_for_selector("button[aria-label='Show conversations'][aria-expanded=false]")


def test_an_input_method_keeps_its_enter(site, open_page):
    page = ready(open_page(site.url))
    page.fill("#prompt", "nihao")
    page.evaluate("document.querySelector('#prompt').dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))")
    assert page.locator(".message").count() == 0 and page.input_value("#prompt") == "nihao"


@pytest.mark.parametrize("width", [320, 390])
def test_phones(site, open_page, width):
    page = ready(open_page(site.url, viewport={"width": width, "height": 700}, is_mobile=True, has_touch=True))
    assert not page.is_visible(".new")
    page.tap("button[aria-label='Show conversations']")
    page.wait_for_selector(".new")
    take_file(page, conversation(("user", "A question with-a-word-that-is-much-longer-than-any-phone-is-wide-" * 3), ("assistant", SHOWCASE + "x" * 300)))
    page.wait_for_selector(".list .open")
    page.wait_for_timeout(250)  # the drawer has come to rest
    page.tap(".list .open")
    page.wait_for_selector(".prose table")
    assert page.get_attribute(".frame", "data-sidebar") == "closed"
    wide = page.evaluate("""() => [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1
        && !e.closest('.table, pre, .formula, svg, .sr, math')).map(e => e.outerHTML.slice(0, 100))""")
    assert wide == [] and page.evaluate("document.documentElement.scrollWidth") <= width
    page.tap("#prompt")
    page.keyboard.type("Hello")
    page.keyboard.press("Enter")  # a phone's Enter is a new line
    assert page.input_value("#prompt") == "Hello\n"
    page.tap(".send")
    answer(page)
    small = page.evaluate("""() => [...document.querySelectorAll('main button')].filter(e => e.checkVisibility())
        .filter(e => e.getBoundingClientRect().height < 28 && !e.closest('.code')).map(e => e.outerHTML.slice(0, 100))""")
    assert small == []
    page.keyboard.press("Control+b")
    page.keyboard.press("Escape")
    assert page.get_attribute(".frame", "data-sidebar") == "closed"
