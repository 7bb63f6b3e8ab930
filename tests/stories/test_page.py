"""The page as people meet it, in a real Chromium: asked, answered, stopped, lost, found again, and never harmed."""

import asyncio
import contextlib
import os
import re
import shutil
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from adapters.chat.web.records import About
from adapters.web.app import serve
from core.errors import StoreError
from core.messages import Said
from tests.adapters.test_web import HOSTILE, Scripted

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

DESK = {"viewport": {"width": 1280, "height": 860}}
PHONE = {"viewport": {"width": 390, "height": 800}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
RICH = r"""## The roots

Both are **whole numbers**: $x = \frac{5 \pm 1}{2}$, and

$$x_1 = 3, \quad x_2 = 2$$

| number | its square | its cube | its fourth power | and its fifth power | and then its sixth |
|--:|--:|--:|--:|--:|--:|
| 2 | 4 | 8 | 16 | 32 | 64 |

```python
def square(x):
    return x * x  # an unusually long remark, so that this line is wider than the screen of a phone
```

See https://example.com/roots
"""
LONG = "\n\n".join(f"Paragraph {n} of a long reply, with enough words to fill a line." for n in range(60))


def chromium():
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return path
    mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    return str(mac) if mac.exists() else ""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser():
    from playwright.async_api import async_playwright

    path = chromium()
    if not path:
        if os.environ.get("PIERIA_TEST_BROWSER") == "1":
            pytest.fail("No Chromium was found, and PIERIA_TEST_BROWSER=1 asks for one.")
        pytest.skip("No Chromium was found: the page is not tried in a browser.")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--host-resolver-rules=MAP *.example 127.0.0.1, MAP *.test ^NOTFOUND"],
        )
        yield launched
        await launched.close()


@contextlib.asynccontextmanager
async def opened(browser, url, path="/", strict=True, **options):
    """A page in a browser of its own, and its troubles: errors of scripts, broken rules, requests that left."""
    context = await browser.new_context(**(DESK | options))
    page = await context.new_page()
    page.set_default_timeout(8_000)
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console",
        lambda line: line.type == "error" and "Failed to load resource" not in line.text and troubles.append(line.text),
    )
    page.on("request", lambda request: request.url.startswith((url, "data:")) or troubles.append(request.url))
    try:
        await page.goto(url + path)
        yield page
        assert not strict or [trouble for trouble in troubles if "net::ERR" not in trouble] == []
    finally:
        await context.close()


@contextlib.asynccontextmanager
async def chatting(browser, engine=None, **options):
    engine = engine or Scripted()
    async with engine.served() as url, opened(browser, url, **options) as page:
        await page.wait_for_selector("#welcome:not([hidden])")
        yield engine, page


async def ask(page, text):
    await page.fill("#words", text)
    await page.press("#words", "Enter")


async def fact(page, expression):
    """Wait until this is true in the page. Playwright's own way evaluates text inside the page, which our rules forbid."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(8):
            while not await page.evaluate(expression):
                await asyncio.sleep(0.02)
            return
    raise AssertionError((expression, await page.inner_text("body")))


async def answered(page, count=1):
    await fact(page, f"document.querySelectorAll('#list .copy-reply').length === {count}")


async def texts(page):
    return [re.sub(r"\s+", " ", text).strip() for text in await page.locator("#list > li .said").all_inner_texts()]


async def test_a_question_is_answered_word_by_word_and_stays_after_a_reload(browser):
    async with chatting(browser) as (engine, page):
        engine.hold_after = 3
        engine.go.clear()
        await ask(page, "Hello **there** my friend")
        await page.wait_for_selector(".growing .said p")
        assert await page.input_value("#words") == ""
        assert await page.locator("#stop").is_visible()
        assert await page.locator("#list").get_attribute("aria-busy") == "true"
        engine.go.set()
        await answered(page)
        assert await texts(page) == ["Hello **there** my friend", "You said: Hello there my friend"]
        assert not await page.locator("#stop").is_visible()
        assert await page.locator("#title").inner_text() == "Hello **there** my friend"
        assert await page.locator("#live").inner_text() == "Pieria: You said: Hello there my friend"
        await page.reload()
        await answered(page)
        assert await texts(page) == ["Hello **there** my friend", "You said: Hello there my friend"]
        assert await page.locator("#cards a[aria-current]").inner_text() == "Hello **there** my friend"


async def test_markdown_code_formulas_and_tables_are_drawn(browser):
    engine = Scripted()
    engine.replies["roots"] = RICH
    async with chatting(browser, engine, permissions=["clipboard-read", "clipboard-write"]) as (_, page):
        await ask(page, "roots")
        await answered(page)
        assert await page.locator(".said math[display=block]").count() == 1
        width = await page.evaluate("document.querySelector('.said mfrac').getBoundingClientRect().width")
        assert 0 < width < 200
        await page.click(".code .copy")
        assert (await page.evaluate("navigator.clipboard.readText()")).startswith("def square(x):\n    return")
        await page.click(".copy-reply")
        assert await page.evaluate("navigator.clipboard.readText()") == RICH
        link = page.locator(".said a")
        assert await link.get_attribute("rel") == "noopener noreferrer nofollow"
        assert await link.get_attribute("target") == "_blank"


async def test_escape_stops_the_reply_and_try_again_begins_a_new_one(browser):
    async with chatting(browser) as (engine, page):
        engine.hold_after = 4
        engine.go.clear()
        await ask(page, "one two three four five six")
        await page.wait_for_selector(".growing")
        await page.keyboard.press("Escape")
        await answered(page)
        assert "Stopped." in (await texts(page))[1]
        assert engine.taken[-1].action == "/stop"
        engine.go.set()
        await page.click(".retry")
        await fact(
            page,
            "document.querySelector('#list').innerText.includes('five six\\n') && !document.querySelector('#list').innerText.includes('Stopped')",
        )
        await answered(page)
        assert (await texts(page))[1] == "You said: one two three four five six"
        assert engine.taken[-1].action == "/retry"


async def test_shift_enter_starts_a_line_and_the_box_grows(browser):
    async with chatting(browser) as (engine, page):
        await page.focus("#words")
        before = (await page.locator("#words").bounding_box())["height"]
        await page.keyboard.type("one")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("two")
        assert (await page.locator("#words").bounding_box())["height"] > before
        await page.keyboard.press("Enter")
        await answered(page)
        assert engine.taken[0].text == "one\ntwo"
        assert (await page.locator("#words").bounding_box())["height"] == before


async def test_a_failed_message_keeps_its_words_and_is_sent_once(browser):
    async with chatting(browser) as (engine, page):
        engine.fault = StoreError("The store does not answer.")
        await ask(page, "precious words")
        await page.wait_for_selector("#trouble:not([hidden])")
        assert "The store does not answer." in await page.locator("#trouble").inner_text()
        assert await page.input_value("#words") == "precious words"
        assert await texts(page) == []
        await page.reload()
        await page.wait_for_selector("#welcome:not([hidden])")
        assert await page.input_value("#words") == "precious words"
        await page.press("#words", "Enter")
        await page.wait_for_selector("#trouble:not([hidden])")
        engine.fault = None
        await page.click("#trouble button")
        await answered(page)
        assert [event.text for event in engine.taken] == ["precious words"]
        assert await page.input_value("#words") == ""
        assert await page.locator("#trouble").is_hidden()


async def test_a_failed_follow_up_leaves_the_running_reply_in_peace(browser):
    async with chatting(browser) as (engine, page):
        engine.go.clear()
        await ask(page, "first")
        await page.wait_for_selector(".thinking")
        await fact(page, "!document.querySelector('.sending')")
        engine.fault = StoreError("The store does not answer.")
        await ask(page, "second")
        await page.wait_for_selector("#trouble:not([hidden])")
        assert await page.locator(".thinking").is_visible()
        assert await page.locator("#stop").is_visible()
        engine.go.set()
        await answered(page)
        assert await page.input_value("#words") == "second"


async def test_words_typed_before_the_page_is_ready_are_kept(browser):
    engine, ready = Scripted(), asyncio.Event()

    async def late(route):
        await ready.wait()
        await route.continue_()

    async with engine.served() as url, opened(browser, "about:", "blank", strict=False) as page:
        await page.route("**/api/about", late)
        await page.goto(url)
        await ask(page, "quick fingers")
        assert await page.input_value("#words") == "quick fingers"
        ready.set()
        await page.wait_for_selector("#welcome:not([hidden])")
        await page.press("#words", "Enter")
        await answered(page)
        assert [event.text for event in engine.taken] == ["quick fingers"]


async def test_an_answer_that_got_lost_on_the_way_is_not_asked_twice(browser):
    async with chatting(browser) as (engine, page):

        async def lose(route):
            await route.fetch()
            await route.abort()

        await page.route("**/api/messages", lose, times=1)
        await ask(page, "ask me once")
        await answered(page)
        await page.wait_for_selector("#trouble", state="hidden")
        assert len(engine.taken) == 1
        assert await page.input_value("#words") == ""
        assert await texts(page) == ["ask me once", "You said: ask me once"]


async def test_another_try_carries_the_same_id(browser):
    async with chatting(browser) as (_, page):
        posted = []

        async def note(route):
            posted.append(route.request.post_data_json)
            await (route.abort() if len(posted) == 1 else route.continue_())

        await page.route("**/api/messages", note)
        await ask(page, "the same words")
        await page.click("#trouble button")
        await answered(page)
        assert posted[0] == posted[1]
        await ask(page, "the same words")
        await answered(page, 2)
        assert posted[2]["id"] != posted[1]["id"]


async def test_a_lost_connection_is_told_and_nothing_is_lost_or_doubled(browser):
    engine = Scripted()
    async with contextlib.AsyncExitStack() as stack:
        async with engine.served() as url:
            page = await stack.enter_async_context(opened(browser, url))
            await page.wait_for_selector("#welcome:not([hidden])")
            await ask(page, "first")
            await answered(page)
        await page.wait_for_selector("#lost:not([hidden])")
        assert "Reconnecting" in await page.locator("#lost").inner_text()
        chat = engine.taken[0].chat
        engine.said[chat] += [Said("user", "from elsewhere"), Said("assistant", "meanwhile")]
        async with engine.served(port=int(url.rpartition(":")[2])):
            await answered(page, 2)
            await page.wait_for_selector("#lost", state="hidden")
            assert await texts(page) == ["first", "You said: first", "from elsewhere", "meanwhile"]
            await ask(page, "second")
            await answered(page, 3)
            assert (await texts(page))[4:] == ["second", "You said: second"]
            await stack.aclose()


async def test_a_reload_during_a_reply_shows_it_grow_on(browser):
    async with chatting(browser) as (engine, page):
        engine.hold_after = 3
        engine.go.clear()
        await ask(page, "/word one two three")
        await page.wait_for_selector(".growing")
        await page.reload()
        await page.wait_for_selector(".growing")
        assert await texts(page) == ["/word one two three", "You said: /word"]
        engine.go.set()
        await answered(page)
        assert (await texts(page))[-1] == "You said: /word one two three"


async def test_two_open_pages_of_one_person_show_the_same(browser):
    async with chatting(browser) as (_, page):
        await ask(page, "one")
        await answered(page)
        other = await page.context.new_page()
        await other.goto(page.url)
        await answered(other)
        await ask(page, "two")
        await answered(other, 2)
        await answered(page, 2)
        assert await texts(other) == await texts(page) == ["one", "You said: one", "two", "You said: two"]


async def test_a_reader_who_scrolls_back_is_left_in_peace(browser):
    engine = Scripted()
    engine.replies["long"] = LONG
    engine.hold_after = 400
    engine.go.clear()
    async with chatting(browser, engine) as (_, page):
        await ask(page, "long")
        await fact(page, "document.querySelector('#scroll').scrollTop > 400")
        await fact(
            page,
            "(() => { const s = document.querySelector('#scroll'); return s.scrollHeight - s.scrollTop - s.clientHeight < 6 })()",
        )
        await page.mouse.move(700, 400)
        await page.mouse.wheel(0, -300)
        await page.wait_for_selector("#newest:not([hidden])")
        place = await page.evaluate("document.querySelector('#scroll').scrollTop")
        engine.go.set()
        await answered(page)
        assert abs(await page.evaluate("document.querySelector('#scroll').scrollTop") - place) < 2
        await page.click("#newest")
        assert await page.evaluate(
            "(() => { const s = document.querySelector('#scroll'); return s.scrollHeight - s.scrollTop - s.clientHeight < 6 })()"
        )


async def test_parts_that_are_complete_are_not_drawn_again(browser):
    engine = Scripted()
    engine.replies["roots"] = RICH
    engine.hold_after = 12
    engine.go.clear()
    async with chatting(browser, engine) as (_, page):
        await ask(page, "roots")
        await page.wait_for_selector(".growing h4")
        await page.evaluate("window.first = document.querySelector('.growing h4')")
        engine.go.set()
        await answered(page)
        assert await page.evaluate("window.first.isConnected")


async def test_new_and_past_chats_each_with_their_draft(browser):
    async with chatting(browser) as (engine, page):
        await ask(page, "the first chat")
        await answered(page)
        await page.fill("#words", "half a thought")
        await page.keyboard.press("Control+Shift+O")
        await page.wait_for_selector("#welcome:not([hidden])")
        assert await page.input_value("#words") == ""
        await ask(page, "the second chat")
        await answered(page)
        assert await page.locator("#cards a").all_inner_texts() == ["the second chat", "the first chat"]
        await page.click("#cards a >> nth=1")
        await fact(page, "document.querySelector('#list').innerText.includes('the first chat')")
        assert await page.input_value("#words") == "half a thought"
        assert await texts(page) == ["the first chat", "You said: the first chat"]
        await page.go_back()
        await fact(page, "document.querySelector('#list').innerText.includes('the second chat')")
        assert len({event.chat.thread for event in engine.taken}) == 2


async def test_commands_are_offered_as_they_are_typed(browser):
    async with chatting(browser) as (engine, page):
        await page.focus("#words")
        await page.keyboard.type("/")
        await page.wait_for_selector("#commands:not([hidden])")
        assert await page.locator("#commands b").all_inner_texts() == ["/help", "/new", "/stop"]
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Tab")
        assert await page.input_value("#words") == "/new "
        await page.fill("#words", "/")
        await page.keyboard.press("Enter")
        await answered(page)
        assert engine.taken[0].text == "/help"
        assert await page.locator(".retry").count() == 0


async def test_the_first_look_tells_who_speaks_and_offers_a_start(browser):
    engine = Scripted()
    engine.card = About(
        "built-in", note="loading the built-in model, 43 %", hint="Set `OPENAI_API_KEY` for a better one."
    )
    async with chatting(browser, engine) as (_, page):
        who = await page.locator("#who").inner_text()
        assert "built-in" in who
        assert "43 %" in who
        assert await page.locator("#who code").inner_text() == "OPENAI_API_KEY"
        engine.card = About("built-in", hint="Set `OPENAI_API_KEY` for a better one.")
        await fact(page, "!document.querySelector('#who').innerText.includes('%')")
        assert await page.locator("#ideas button").count() == 4
        await page.click("#ideas button >> nth=0")
        await answered(page)
        assert "sky" in engine.taken[0].text


async def test_on_a_phone_everything_fits_and_the_chats_are_a_drawer(browser):
    engine = Scripted()
    engine.replies["roots"] = RICH
    async with chatting(browser, engine, **PHONE) as (_, page):
        await page.fill("#words", "roots")
        await page.tap("#send")
        await answered(page)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await page.evaluate(
            "(() => { const s = document.querySelector('#scroll'); return s.scrollWidth <= s.clientWidth })()"
        )
        for wide in (".table", ".code pre"):
            assert await page.evaluate(
                f"(() => {{ const s = document.querySelector('{wide}'); return s.scrollWidth > s.clientWidth }})()"
            )
        assert not await page.locator("#side").is_visible()
        await page.tap("#menu")
        await page.wait_for_selector("#side.shown #cards a")
        await page.tap("#close-side")
        await fact(page, "getComputedStyle(document.querySelector('#side')).visibility === 'hidden'")
        for size in await page.eval_on_selector_all(
            "#menu, #new-small, #send", "all => all.map(one => Math.min(one.offsetWidth, one.offsetHeight))"
        ):
            assert size >= 38


@pytest.mark.parametrize("look", ["light", "dark"])
async def test_both_looks_are_readable(browser, look):
    engine = Scripted()
    engine.replies["roots"] = RICH
    async with chatting(browser, engine, color_scheme=look) as (_, page):
        await ask(page, "roots")
        await answered(page)
        faint = await page.evaluate(CONTRAST)
        assert faint == []
        assert await page.evaluate("document.documentElement.dataset.look") == look
        await page.click("#theme")
        await page.click("#theme")
        assert await page.evaluate("document.documentElement.dataset.look") == "dark"
        await page.reload()
        assert await page.evaluate("document.documentElement.dataset.look") == "dark"


CONTRAST = """() => {
  const channel = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
  const over = (colours) => { canvas.clearRect(0, 0, 1, 1); for (const c of colours) { canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3); };
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !element.checkVisibility({ visibilityProperty: true }) || element.closest('.hidden, .skip')) continue;
    const grounds = [];
    for (let at = element; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
    const ground = light(over(grounds)), text = light(over([...grounds, getComputedStyle(element).color]));
    const ratio = (Math.max(ground, text) + 0.05) / (Math.min(ground, text) + 0.05);
    if (ratio < 4.5) faint.push([element.className || element.tagName, walk.currentNode.data.slice(0, 20), ratio.toFixed(2)]);
  }
  return faint;
}"""


async def test_everything_has_a_name_and_is_reached_by_keyboard(browser):
    async with chatting(browser) as (_, page):
        await ask(page, "hello")
        await answered(page)
        nameless = await page.eval_on_selector_all(
            "button, a, input, textarea",
            "all => all.filter(one => !one.closest('[aria-hidden]') && !(one.getAttribute('aria-label') || one.innerText.trim() || one.textContent.trim()"
            " || (one.labels && one.labels.length))).map(one => one.outerHTML)",
        )
        assert nameless == []
        await page.evaluate("document.activeElement.blur()")
        reached = set()
        for _ in range(25):
            await page.keyboard.press("Tab")
            reached.add(await page.evaluate("document.activeElement.id || document.activeElement.className"))
        assert {"new", "theme", "words", "copy-reply", "retry"} <= reached
        assert await page.locator("[aria-live=polite]").count() == 1
        assert await page.locator("#list").get_attribute("aria-live") is None


async def test_motion_rests_for_those_who_ask_for_it(browser):
    async with chatting(browser, reduced_motion="reduce") as (engine, page):
        engine.go.clear()
        await ask(page, "hello")
        await page.wait_for_selector(".thinking i")
        assert await page.evaluate("getComputedStyle(document.querySelector('.thinking i')).animationName") == "none"
        engine.go.set()


async def test_text_runs_in_its_own_direction(browser):
    engine = Scripted()
    engine.replies["مرحبا"] = "أهلا وسهلا بك"
    async with chatting(browser, engine) as (_, page):
        await ask(page, "مرحبا")
        await answered(page)
        assert await page.evaluate("getComputedStyle(document.querySelector('.reply .said p')).direction") == "rtl"
        assert await page.evaluate("getComputedStyle(document.querySelector('.own .said')).direction") == "rtl"
        engine.replies["قائمة"] = "1. أولا\n2. ثانيا\n\n> اقتباس\n\n- أ\n\n- ب"
        await ask(page, "قائمة")
        await answered(page, 2)
        for part in ("ol", "ol li", "blockquote", "ul", "ul li"):
            assert await page.evaluate(f"getComputedStyle(document.querySelector('.said {part}')).direction") == "rtl"


async def test_a_password_opens_the_page_and_signing_out_closes_it(browser):
    engine = Scripted(password="correct horse", public=True)
    async with engine.served() as url, opened(browser, url) as page:
        await page.wait_for_selector("#gate:not([hidden])")
        await page.fill("#password", "wrong")
        await page.press("#password", "Enter")
        await fact(page, "document.querySelector('#gate-trouble').textContent")
        assert await page.locator("#gate-trouble").inner_text() == "This is not the password."
        await page.fill("#password", "correct horse")
        await page.press("#password", "Enter")
        await page.wait_for_selector("#gate", state="hidden")
        await ask(page, "hello")
        await answered(page)
        assert engine.taken[0].sender.user == "operator"
        await page.click("#sign-out")
        await page.wait_for_selector("#gate:not([hidden])")
        assert await texts(page) == []


async def test_on_a_public_name_without_https_everything_works_too(browser):
    engine = Scripted(password="correct horse", public=True)
    engine.replies["roots"] = RICH
    async with engine.served(hosts=["chat.example"]) as own:
        url = own.replace("127.0.0.1", "chat.example")
        async with opened(browser, url, strict=False) as page:  # Chromium remarks on the missing https
            await page.fill("#password", "correct horse")
            await page.press("#password", "Enter")
            await page.wait_for_selector("#gate", state="hidden")
            await ask(page, "roots")
            await answered(page)
            assert await page.locator("#lost").is_hidden()
            await page.click(".code .copy")
            await fact(page, "document.querySelector('.code .copy').textContent === 'Copied'")
            await page.fill("#words", "")
            await page.focus("#words")
            await page.keyboard.press("Control+V")
            assert (await page.input_value("#words")).startswith("def square")


async def test_a_name_that_was_turned_to_this_machine_gets_nothing(browser):
    engine = Scripted()
    async with engine.served() as own:
        context = await browser.new_context()
        page = await context.new_page()
        answer = await page.goto(own.replace("127.0.0.1", "rebound.example"))
        assert answer.status == 421
        await context.close()


async def test_another_site_on_this_machine_cannot_speak_here(browser):
    async def evil(_request):
        return web.Response(text="<!doctype html><p>hello", content_type="text/html")

    elsewhere = web.Application()
    elsewhere.add_routes([web.get("/", evil)])
    victim = Scripted()
    async with (
        victim.served() as url,
        serve(elsewhere, "127.0.0.1", 0) as other,
        opened(browser, url, strict=False) as page,
    ):
        await page.wait_for_selector("#welcome:not([hidden])")
        await ask(page, "mine")
        await answered(page)
        await page.goto(other)
        outcome = await page.evaluate(
            """async (url) => {
              const words = JSON.stringify({ thread: 'x'.repeat(20), id: 'x'.repeat(20), text: 'evil' });
              const json = { 'Content-Type': 'application/json' };
              const tries = [
                fetch(url + '/api/messages', { method: 'POST', mode: 'no-cors', credentials: 'include', body: words }).then((a) => a.type),
                fetch(url + '/api/messages', { method: 'POST', credentials: 'include', headers: json, body: words }),
                fetch(url + '/api/chats', { credentials: 'include' }),
                new Promise((done, fail) => { const s = new EventSource(url + '/api/events', { withCredentials: true }); s.onmessage = done; s.onerror = fail; }),
                new Promise((done, fail) => { const f = document.createElement('script'); f.src = url + '/api/chats'; f.onload = done; f.onerror = fail; document.body.append(f); }),
              ];
              return (await Promise.allSettled(tries)).map((one) => one.value || one.status);
            }""",
            url,
        )
        assert outcome == ["rejected"] * 5
        assert [event.text for event in victim.taken] == ["mine"]


async def test_the_printed_link_makes_the_operator_once(browser):
    engine = Scripted()
    async with engine.served() as url:
        link = engine.web.invitation()
        async with opened(browser, url, link) as page:
            await page.wait_for_selector("#welcome:not([hidden])")
            await ask(page, "hello")
            await answered(page)
            assert engine.taken[0].sender.user == "operator"
        async with opened(browser, url, link) as page:
            await page.wait_for_selector("#trouble:not([hidden])")
            assert "used already" in await page.locator("#trouble").inner_text()


async def test_a_long_chat_shows_its_end_first_and_the_rest_on_demand(browser):
    async with chatting(browser) as (engine, page):
        await ask(page, "hello")
        await answered(page)
        chat = engine.taken[0].chat
        engine.said[chat] = [Said("assistant" if n % 2 else "user", f"line {n}") for n in range(100)]
        await page.reload()
        await fact(page, "document.querySelectorAll('#list > li').length === 60")
        await page.click("#earlier")
        await fact(page, "document.querySelectorAll('#list > li').length === 100")
        assert (await texts(page))[0] == "line 0"
        assert await page.locator("#earlier").is_hidden()


async def test_hostile_replies_run_nothing_and_no_request_leaves(browser):
    engine = Scripted()
    for number, hostile in enumerate(HOSTILE):
        engine.replies[f"reply {number}"] = hostile
    engine.replies["all"] = "\n\n".join(HOSTILE)
    async with chatting(browser, engine) as (_, page):
        # `opened` fails on any request that leaves; the title and the place would show a hit by navigation
        await ask(page, "all")
        await answered(page)
        await page.evaluate("""() => {
          for (const element of document.querySelectorAll('#list .said *'))
            for (const kind of ['mouseover', 'focus', 'toggle', 'load', 'error', 'begin']) element.dispatchEvent(new Event(kind));
        }""")
        for hostile in HOSTILE[:12]:
            await page.fill("#words", hostile)
            await page.click("#send")
        await fact(page, "document.querySelectorAll('#list .own').length === 13")
        assert await page.evaluate("window.hit") is None
        assert (
            await page.locator(
                "#list script, #list img, #list iframe, #list svg:not([aria-hidden]), #list style, #list [style]"
            ).count()
            == 0
        )
        assert page.url.startswith("http://127.0.0.1")


async def test_even_markup_that_slipped_through_could_not_run_or_load(browser):
    async with chatting(browser, strict=False) as (_, page):
        refused = await page.evaluate(
            """() => { try { document.querySelector('#list').innerHTML = '<img src=x>'; return '' } catch (e) { return e.name } }"""
        )
        assert refused == "TypeError"
        blocked = await page.evaluate("""async () => {
          const seen = [];
          document.addEventListener('securitypolicyviolation', (event) => seen.push(event.effectiveDirective));
          const holder = document.createElement('div');
          document.body.append(holder);
          const add = (tag, attributes) => { const e = document.createElement(tag); for (const [n, v] of attributes) e.setAttribute(n, v); holder.append(e); };
          add('img', [['src', 'https://evil.test/a.png']]);
          add('iframe', [['src', 'https://evil.test/b']]);
          add('link', [['rel', 'stylesheet'], ['href', 'https://evil.test/c.css']]);
          add('p', [['style', 'color: red']]);
          await new Promise((done) => setTimeout(done, 300));
          holder.remove();
          return [...new Set(seen)].sort();
        }""")
        assert {"img-src", "style-src-attr", "style-src-elem", "frame-src"} <= set(blocked)
