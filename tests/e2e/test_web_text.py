"""What the page makes of a model's text: Markdown, code and formulas as DOM nodes; hostile texts stay text, and fast."""
import json

import pytest
from web_browser import answers_with, ask, conversation, ready, sse, until

# Renders a text in one piece -> its HTML, for reading only. Icons and head lines of code blocks are left out.
RENDER = """async text => {
    const { MarkdownView } = await import('./assets/markdown/stream.js');
    const box = document.createElement('div');
    const view = new MarkdownView(box);
    view.update(text, true);
    box.querySelectorAll('.code-head, svg').forEach(node => node.remove());
    return box.innerHTML.replace(/ (target|rel|tabindex|role|scope|aria-label|title)="[^"]*"/g, '');
}"""


@pytest.fixture(scope="module")
def blank(browser, site):
    """One page for all tests that only call its modules."""
    page = browser.new_page()
    page.goto(site.url)
    yield page
    page.close()


def code(text, language=""):
    return f'<div class="code"><pre><code>{text}</code></pre></div>'


def table(head, *rows):
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{"".join(f"<th>{cell}</th>" for cell in head)}</tr></thead><tbody>{body}</tbody></table></div>'


CASES = [
    # paragraphs and inline forms
    ("a\nb\n\nc", "<p>a<br>b</p><p>c</p>"), ("a\\\nb <br> c", "<p>a<br>b <br> c</p>"),
    ("*a* **b** ***c*** ~~d~~ `e`", "<p><em>a</em> <strong>b</strong> <em><strong>c</strong></em> <del>d</del> <code>e</code></p>"),
    ("a * b * c, 2*3*4 and snake_case_name", "<p>a * b * c, 2<em>3</em>4 and snake_case_name</p>"),
    ("**a *b* c** *d **e** f*", "<p><strong>a <em>b</em> c</strong> <em>d <strong>e</strong> f</em></p>"),
    ("*a **b* c**", "<p><em>a <em><em>b</em> c</em></em></p>"), ("**unclosed and *half", "<p>**unclosed and *half</p>"),
    ("**中文：**后面，前面**“引文”**后面", "<p><strong>中文：</strong>后面，前面<strong>“引文”</strong>后面</p>"),
    ("`` a`b `` and `x", "<p><code>a`b</code> and `x</p>"), (r"\*no\* \# &amp; &lt;b&gt; &#65;", "<p>*no* # &amp; &lt;b&gt; A</p>"),
    ("[a *b*](https://x.org/p_(q) \"t\") <https://y.org>", '<p><a href="https://x.org/p_(q)">a <em>b</em></a> <a href="https://y.org/">https://y.org</a></p>'),
    ("see https://x.org/a_b_c, (https://y.org).", '<p>see <a href="https://x.org/a_b_c">https://x.org/a_b_c</a>, (<a href="https://y.org/">https://y.org</a>).</p>'),
    ("![cat](https://x.org/c.png)", '<p><a href="https://x.org/c.png" class="picture">cat</a></p>'),
    ("[a] [b](c d) ](e)", "<p>[a] [b](c d) ](e)</p>"),
    # blocks
    ("# a\n## b ##\n###### c\n#d", "<h3>a</h3><h4>b</h4><h6>c</h6><p>#d</p>"), ("a\n===\nb\n---", "<h3>a</h3><h4>b</h4>"),
    ("a\n\n---\n\n***", "<p>a</p><hr><hr>"), ("> a\n> > b\nc", "<blockquote><p>a</p><blockquote><p>b<br>c</p></blockquote></blockquote>"),
    ("- a\n- b\n  - c\n\n1. d\n2. e", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul><ol><li>d</li><li>e</li></ol>"),
    ("1. a\n  - b\n2. c", "<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>"), ("3) a\n4) b", '<ol start="3"><li>a</li><li>b</li></ol>'),
    ("- a\n\n- b", '<ul class="loose"><li><p>a</p></li><li><p>b</p></li></ul>'),
    ("- [x] a\n- [ ] b", '<ul><li class="task"><span class="tick">☑</span> a</li><li class="task"><span class="tick">☐</span> b</li></ul>'),
    ("- a\n  ```\n  x\n   y\n  ```\n- b", f"<ul><li>a{code('x' + chr(10) + ' y')}</li><li>b</li></ul>"),
    ("text\n- a\ntext\n2. b", '<p>text</p><ul><li>a<br>text</li></ul><ol start="2"><li>b</li></ol>'),
    ("```\n<b>\n``", code("&lt;b&gt;\n``")), ("~~~~x\n~~~\n~~~~", code("~~~")), ("a\n\n    b\n      c", "<p>a</p>" + code("b\n  c")),
    ("```py\nif x: # c\n    f('s', 1)\n```", code('<span class="hl-keyword">if</span> x: <span class="hl-comment"># c</span>\n    <span class="hl-call">f</span>'
                                                 "(<span class=\"hl-string\">'s'</span>, <span class=\"hl-number\">1</span>)")),
    ("a | b\n--|:-:\n1 | `x\\|y`\n2", '<div class="table"><table><thead><tr><th>a</th><th class="center">b</th></tr></thead><tbody><tr><td>1</td>'
                                       '<td class="center"><code>x|y</code></td></tr></tbody></table></div><p>2</p>'),
    ("a | b | c\n-|-|-\n| 1", table(["a", "b", "c"], ["1"]).replace("</td></tr>", '</td><td colspan="2"></td></tr>')),
    ("| a |\n|---|\n| 1 | 2 |", table(["a"], ["1"])), ("a | b\n-|-|-", "<p>a | b<br>-|-|-</p>"),
    # what is no markup here
    ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
    ("<img src=x onerror=alert(1)>", "<p>&lt;img src=x onerror=alert(1)&gt;</p>"),
    ("[x](javascript:alert(1)) [y](/v1/models) [z](data:text/html,x)", '<p><span class="dead-link">x</span> <span class="dead-link">y</span> <span class="dead-link">z</span></p>'),
    ("<javascript:alert(1)> ![p](javascript:alert(1))", '<p>&lt;javascript:alert(1)&gt; <span class="dead-link picture">p</span></p>'),
    ("[x](JaVaScRiPt:alert(1)) [y](java\tscript:alert(1))", '<p><span class="dead-link">x</span> [y](java\tscript:alert(1))</p>'),
    ("price $5 and $6, or $x$5", "<p>price $5 and $6, or $x$5</p>"),
]


@pytest.mark.parametrize("text, html", CASES, ids=[str(i) for i in range(len(CASES))])
def test_markdown(blank, text, html):
    assert blank.evaluate(RENDER, text) == html


M = '<math xmlns="http://www.w3.org/1998/Math/MathML" '
FORMULAS = [
    ("x^2", "<msup><mi>x</mi><mn>2</mn></msup>"), ("x^10", "<msup><mi>x</mi><mn>1</mn></msup><mn>0</mn>"), ("a_{ij}^n", "<msubsup><mi>a</mi><mrow><mi>i</mi><mi>j</mi></mrow><mi>n</mi></msubsup>"),
    (r"\frac12", "<mfrac><mn>1</mn><mn>2</mn></mfrac>"), (r"\sqrt[3]{x}", "<mroot><mi>x</mi><mn>3</mn></mroot>"), ("f''", "<msup><mi>f</mi><mo>′′</mo></msup>"),
    (r"\alpha\le\beta", '<mi>α</mi><mo stretchy="false">≤</mo><mi>β</mi>'), (r"\mathbb{R}^n", "<msup><mi>ℝ</mi><mi>n</mi></msup>"),
    (r"\sum_{i=1}^n i", '<munderover><mo movablelimits="true">∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover><mi>i</mi>'),
    (r"\int_0^1", "<msubsup><mo>∫</mo><mn>0</mn><mn>1</mn></msubsup>"), (r"\text{if } x", "<mtext>if&nbsp;</mtext><mi>x</mi>"),
    (r"\left(\frac ab\right]", '<mrow><mo fence="true" stretchy="true" symmetric="true">(</mo><mfrac><mi>a</mi><mi>b</mi></mfrac><mo fence="true" stretchy="true" symmetric="true">]</mo></mrow>'),
    (r"\begin{cases} a & b \\ c & d \end{cases}", '<mrow><mo fence="true" stretchy="true" symmetric="true">{</mo><mtable><mtr><mtd class="l"><mi>a</mi></mtd><mtd class="l"><mi>b</mi></mtd></mtr>'
     '<mtr><mtd class="l"><mi>c</mi></mtd><mtd class="l"><mi>d</mi></mtd></mtr></mtable></mrow>'),
    (r"\hat{x}", '<mover accent="true"><mi>x</mi><mo stretchy="false">^</mo></mover>'), ("-1", "<mo>−</mo><mn>1</mn>"),
    (r"\operatorname{rank} A", '<mrow><mi mathvariant="normal">rank</mi><mspace width="0.1667em"></mspace></mrow><mi>A</mi>'),
]


@pytest.mark.parametrize("tex, mathml", FORMULAS, ids=[tex for tex, _ in FORMULAS])
def test_formulas(blank, tex, mathml):
    html = blank.evaluate("async tex => (await import('./assets/math/mathml.js')).mathNode(tex, false).innerHTML", tex)
    assert html == f"<mrow>{mathml}</mrow>" or html == mathml or f"<mrow>{html}</mrow>" == mathml


@pytest.mark.parametrize("tex", [r"\frac{1}", "{x", "x}", r"\unknown", r"\begin{evil}x\end{evil}", r"\left(x", "a & b", r"\begin{matrix}x", "x" * 6000,
                                 "{" * 3000 + "}" * 3000, r"\sqrt{" * 100 + "x" + "}" * 100, "^" * 50, "\\", r"\text{", r"\href{javascript:alert(1)}{x}"])
def test_broken_formulas_are_shown_as_they_are(blank, tex):
    found = blank.evaluate("async tex => { const n = (await import('./assets/math/mathml.js')).mathNode(tex, true); return [n.localName, n.textContent]; }", tex)
    assert found == ["code", tex] or (found[0] == "math" and tex == "^" * 50)


@pytest.mark.parametrize("text", ["$a+b$ and \\(c\\) x", "$$\na=b\n$$", "\\[\nx\n\\]", "so $$x$$ it is"])
def test_where_formulas_stand(blank, text):
    assert blank.evaluate(RENDER, text).count("<math") == (2 if "\\(" in text else 1)


def test_a_stream_ends_as_the_whole_text(blank):
    """Cut anywhere, in steps of 1, 3 and 17 characters: the page ends up with what one piece gives."""
    everything = "\n\n".join(text for text, _ in CASES) + "\n\n$$\n\\frac{a}{b}\n- c\n$$\n\nend $x$\n\n- a\n\n  b\n\n1. c\n\n   ```js\n   let a = 1;\n\n   ```\n\n$$\nopen"
    wrong = blank.evaluate("""async text => {
        const { MarkdownView } = await import('./assets/markdown/stream.js');
        const whole = document.createElement('div');
        new MarkdownView(whole).update(text, true);
        const wrong = [];
        for (const step of [1, 3, 17]) {
            const box = document.createElement('div');
            const view = new MarkdownView(box);
            for (let end = step; end < text.length; end += step) view.update(text.slice(0, end), false);
            view.update(text, true);
            if (box.innerHTML !== whole.innerHTML) wrong.push([step, box.innerHTML, whole.innerHTML]);
        }
        return wrong;
    }""", everything)
    assert wrong == []


# JavaScript for each text: ten megabytes are quicker made in the page than sent there.
HOSTILE = {
    "line": "'a'.repeat(1e7)", "words": "'word '.repeat(2e6)", "brackets": "'['.repeat(2e5)", "links": "'[]('.repeat(1e5)",
    "images": "'!['.repeat(2e5)", "stars": "'*a **b '.repeat(5e4)", "underscores": "'_'.repeat(3e5)", "ticks": "'`a``b'.repeat(8e4)",
    "quotes": "'> '.repeat(1e5) + 'x'", "nested lists": "'- '.repeat(1e5) + 'x'", "dollars": "'$a '.repeat(1e5)", "display": r"'$$\n'.repeat(1e5)",
    "deep list": r"Array.from({length: 1000}, (_, i) => ' '.repeat(2 * i) + '- x').join('\n')", "items": r"'- x\n'.repeat(1e5)",
    "pipes": r"'|'.repeat(3e5) + '\n' + '|-'.repeat(15e4)", "rows": r"'a|b\n-|-\n' + '|\n'.repeat(2e5)", "wide": r"'|a'.repeat(64) + '\n' + '|-'.repeat(64) + '\n|1'.repeat(1e4)",
    "wide rows": r"'|'.repeat(65) + '\n' + '|-'.repeat(64) + ('\n' + '|'.repeat(65)).repeat(1e4)", "cells": r"'|a'.repeat(16) + '\n' + '|-'.repeat(16) + ('\n' + '|a'.repeat(16)).repeat(1e4)",
    "fences": r"'```\n'.repeat(1e5)", "angle": "'<'.repeat(3e5)", "comment": r"'```html\n' + '<!--'.repeat(1e4) + '\n```'",
    "strings": r"""'```js\n' + '"\'`'.repeat(15e3) + '\n```'""", "urls": "'https://'.repeat(4e4)", "hashes": "'#'.repeat(3e5)", "entities": "'&amp'.repeat(8e4)",
    "spaces": "' '.repeat(3e5) + 'x'", "newlines": r"'\n'.repeat(3e5)", "braces": r"'$' + '{'.repeat(1500) + '$ ' + '$\\sqrt'.repeat(3000)",
    "rules": "'- '.repeat(15e4)", "equals": r"'a\n' + '='.repeat(3e5)", "zero": r"'\0'.repeat(1e5)", "marks": r"'Z\u0334\u0353\u0319'.repeat(6e4)",
    "overrides": r"'\u202e\u2066abc'.repeat(5e4)",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_drawn_quickly(blank, name):
    """The first screens of a text, whatever its form and length. The limit is for a slow, busy machine."""
    milliseconds, nodes = blank.evaluate("""async () => {
        const text = TEXT;
        const { MarkdownView } = await import('./assets/markdown/stream.js');
        const box = document.createElement('div');
        document.body.append(box);
        const begin = performance.now();
        new MarkdownView(box).update(text, true);
        const taken = performance.now() - begin;
        const count = box.querySelectorAll('*').length;
        box.parentNode.querySelectorAll(':scope > .more').forEach(node => node.remove());
        box.remove();
        return [taken, count];
    }""".replace("TEXT", HOSTILE[name]))
    assert milliseconds < 3000 and nodes < 60_000, (milliseconds, nodes)


NASTY = """<script>window.pwned = 1</script> <img src=x onerror="window.pwned = 2"> <svg onload=window.pwned=3> <iframe srcdoc="<script>parent.pwned=4</script>">
[click](javascript:window.pwned=5) [data](data:text/html,<script>1</script>) ![track](http://198.51.100.7/pixel.gif) <a href="javascript:window.pwned=6">x</a>
<style>body{display:none}</style> <base href="http://198.51.100.7/"> <meta http-equiv=refresh content="0;url=http://198.51.100.7/">
$\\href{javascript:window.pwned=7}{x}$ `<script>window.pwned = 8</script>`

```html
<script>window.pwned = 9</script>
```
"""


def test_hostile_answers_do_nothing(site, open_page):
    page = ready(open_page(site.url))
    calls = []
    page.on("request", lambda request: calls.append(request.url))
    answers_with(page, *[{"content": piece} for piece in [NASTY[i:i + 7] for i in range(0, len(NASTY), 7)]])
    ask(page, "Say something nasty")
    assert "<script>window.pwned = 1</script>" in page.text_content(".message.assistant")
    for link in page.locator(".message.assistant .dead-link").all():
        link.click()
    page.wait_for_timeout(200)
    assert page.evaluate("window.pwned") is None and page.is_visible(".composer")
    assert page.locator(".message :is(script, img, iframe, style, base, meta, [onerror], [onload], a[href^=javascript])").count() == 0
    assert all(url.startswith(site.url) for url in calls), calls
    hrefs = page.evaluate("[...document.querySelectorAll('.message a')].map(a => a.href)")
    assert set(hrefs) == {"http://198.51.100.7/pixel.gif", "http://198.51.100.7/"}  # shown as links, not loaded


def test_scripts_can_not_be_made_from_text(blank):
    """The policy itself: neither eval nor markup nor foreign addresses, whatever a module might do one day."""
    tries = blank.evaluate("""async () => {
        await new Promise(resolve => setTimeout(resolve));  // what a debugger evaluates may eval() itself
        const refused = async f => { try { await f(); return false; } catch { return true; } };
        return [await refused(() => (0, eval)('1')), await refused(() => { document.createElement('div').innerHTML = '<b>'; }),
                await refused(() => { const inline = document.createElement('script'); inline.append('window.pwned = 1'); document.body.append(inline); if (!window.pwned) throw 0; }),
                await refused(() => fetch('http://198.51.100.7/')), await refused(() => new Worker('data:text/javascript,1'))];
    }""")
    assert tries == [True] * 5


def test_a_line_of_ten_megabytes(site, open_page):
    """As an answer, kept, drawn again after a reload, and as a question in an imported file."""
    page = ready(open_page(site.url))
    answers_with(page, {"content": "x" * 10_000_000}, {"content": "\n\nend"})
    ask(page, "Long")
    page.wait_for_selector(".more:has-text('Show more (9.9 MB left)')")
    page.fill("#prompt", "The page still takes keys")
    page.reload()
    page.wait_for_selector(".more:has-text('9.9 MB')")
    page.click(".message.assistant > .more")
    page.wait_for_selector(".more:has-text('9.8 MB')")
    page.evaluate("""text => {
        const files = new DataTransfer();
        files.items.add(new File([text.replace('Y', 'y'.repeat(1e7)).replace('Z', 'z\\\\n'.repeat(5e5))], 'huge.json'));
        const input = document.querySelector('.tools input[type=file]');
        input.files = files.files;
        input.dispatchEvent(new Event('change'));
    }""", conversation(("user", "Y"), ("assistant", "Z"), title="Huge"))
    page.click(".list .open:has-text('Huge')")
    page.wait_for_selector(".bubble .more")
    assert page.locator(".message.assistant > .prose *").count() < 10_000
    page.fill("input[type=search]", "yyyyyyyy")
    page.wait_for_selector(".snippet")


def test_broken_streams_end_with_a_clear_word(site, open_page):
    page = ready(open_page(site.url, allow=["Failed to load"]))
    whole = sse({"content": "half"})
    for body, said in [(whole[:whole.index("data: [DONE]")], "broke off"), ("data: {\"choices\": [\n\n", "broke off"), ("data: 7\n\n", "broke off"), ("", "broke off"),
                       ("data: " + json.dumps({"error": {"message": "the model <b>tripped</b>"}}) + "\n\n", "the model <b>tripped</b>")]:
        page.unroute("**/v1/chat/completions")
        page.route("**/v1/chat/completions", lambda route: route.fulfill(content_type="text/event-stream", body=body))  # noqa: B023
        page.click("button.new")
        until(page, "!document.querySelector('.message')")
        page.wait_for_selector(".model .dot[data-state=loaded]")
        page.fill("#prompt", "Go")
        until(page, "!document.querySelector('.send').disabled")
        page.press("#prompt", "Enter")
        page.wait_for_selector(".state.wrong")
        assert said in page.text_content(".state.wrong")
        page.click(".notice button") if page.is_visible(".notice") else None
        until(page, "document.querySelector('.notice').hidden")
