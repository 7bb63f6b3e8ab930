"""The page on the real program: a newcomer opens the printed link and asks, and nothing that goes wrong costs a word."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.servers.models import ModelServer, Reply
from tests.stories.program import environment, plain_text_in, running
from tests.stories.test_page import PHONE, RICH, answered, ask, browser, fact, opened, texts

__all__ = ["browser"]  # a fixture

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

WORDS = "A long and growing reply. " * 40


@asynccontextmanager
async def home(folder: Path, **settings: str) -> AsyncIterator[tuple[ModelServer, dict[str, str], str]]:
    """A model on loopback, the settings that point at it, and where the page will be."""
    async with ModelServer() as models:
        told = environment(folder, OPENAI_BASE_URL=models.url, PIERIA_MODEL="openai:test-model", **settings)
        yield models, told, f"http://127.0.0.1:{told['PIERIA_PORT']}"


async def link(program) -> str:
    """The path of the link that the program printed."""
    return (await program.says(r"http://[^\s/]+(/enter\?token=\S+)"))[1]


def slowly(_request: dict) -> Reply:
    return Reply(text=WORDS, tokens_per_second=25)


async def test_a_newcomer_opens_the_printed_link_asks_stops_retries_and_finds_the_chat_again(browser, tmp_path):
    async with home(tmp_path) as (models, settings, url):
        async with running(settings) as program, opened(browser, url, await link(program)) as page:
            await page.wait_for_selector("#welcome:not([hidden])")
            await fact(page, "document.querySelector('#model').textContent.includes('test-model')")
            models.brain = lambda _: Reply(text=RICH, tokens_per_second=60)
            await ask(page, "What are the roots?")
            await page.wait_for_selector(".growing .said h4")
            await answered(page)
            assert await page.locator(".reply math[display=block]").count() == 1
            assert await page.locator(".reply .code .k").count() > 0
            assert await page.locator(".reply .table td").count() > 0

            models.brain = slowly
            await ask(page, "Tell me a long story.")
            await fact(page, "(document.querySelector('.growing')?.innerText || '').length > 60")
            await page.click("#stop")
            await answered(page, 2)
            assert (await texts(page))[-1].endswith("(stopped)")
            models.brain = lambda _: "A short story."
            await page.click("li:last-child .retry")
            await fact(page, "document.querySelector('#list').innerText.includes('A short story.')")
            await fact(page, "!document.querySelector('#list').innerText.includes('growing reply')")
            assert (await texts(page))[2:] == ["Tell me a long story.", "A short story."]

            await page.click("#new")
            await page.wait_for_selector("#welcome:not([hidden])")
            models.brain = lambda _: "The second answer."
            await ask(page, "Another thing")
            await answered(page)
            await page.reload()
            await answered(page)
            assert await page.locator("#cards a").all_inner_texts() == ["Another thing", "What are the roots?"]
            await page.click("#cards a >> nth=1")
            await answered(page, 2)
            assert (await texts(page))[3] == "A short story."
        assert plain_text_in(tmp_path, "short story", "second answer", "Another thing") == []


async def test_kill_9_in_the_middle_of_a_reply_leaves_one_reply_on_the_page_that_stayed_and_on_a_new_one(
    browser, tmp_path
):
    async with home(tmp_path) as (models, settings, url):
        models.brain = slowly
        async with running(settings) as program, opened(browser, url, await link(program), strict=False) as page:
            await ask(page, "Will this survive?")
            await fact(page, "(document.querySelector('.growing')?.innerText || '').length > 60")
            await page.fill("#words", "half a thought")
            place = page.url
            await program.kill()
            await page.wait_for_selector("#lost:not([hidden])")
            models.brain = lambda _: Reply(text="The end.", first_token_delay=2.0)
            async with running(settings):
                await page.wait_for_selector("#lost", state="hidden", timeout=15_000)
                other = await page.context.new_page()
                await other.goto(place)
                await fact(other, "document.querySelectorAll('#list .own').length === 1")
                for one in (page, other):
                    await answered(one)
                    assert await texts(one) == ["Will this survive?", "The end."]
                await other.reload()
                await answered(other)
                assert await texts(other) == ["Will this survive?", "The end."]
                assert await page.input_value("#words") == "half a thought"
                await page.press("#words", "Enter")
                await answered(page, 2)
                await answered(other, 2)
                assert await texts(page) == await texts(other)
                assert await page.locator("#cards a").all_inner_texts() == ["Will this survive?"]


async def test_two_tabs_stay_in_sync_and_another_browser_sees_nothing(browser, tmp_path):
    async with (
        home(tmp_path) as (models, settings, url),
        running(settings),
        opened(browser, url) as page,
        opened(browser, url) as stranger,
    ):
        await page.wait_for_selector("#welcome:not([hidden])")
        models.brain = lambda _: "First try."
        await ask(page, "My secret plan")
        await answered(page)
        tab = await page.context.new_page()
        await tab.goto(page.url)
        await answered(tab)
        models.brain = lambda _: Reply(text="Second try. " * 20, tokens_per_second=40)
        await page.click(".retry")
        await tab.wait_for_selector(".growing")
        for one in (page, tab):
            await fact(one, "!document.querySelector('.growing, .redo')")
            await answered(one)
            assert (await texts(one))[1].startswith("Second try.")

        await stranger.goto(page.url)
        await stranger.wait_for_selector("#welcome:not([hidden])")
        models.brain = lambda _: "Hello, stranger."
        await ask(stranger, "Who is here?")
        await answered(stranger)
        assert await texts(stranger) == ["Who is here?", "Hello, stranger."]
        assert await stranger.locator("#cards a").all_inner_texts() == ["Who is here?"]
        assert await page.locator("#cards a").all_inner_texts() == ["My secret plan"]


async def test_commands_work_and_leave_the_conversation_as_it_was(browser, tmp_path):
    async with home(tmp_path) as (models, settings, url), running(settings), opened(browser, url) as page:
        models.brain = lambda request: Reply(text=f"I was asked {len(request['messages'])} lines.")
        await page.wait_for_selector("#welcome:not([hidden])")
        await page.keyboard.type("/he")
        await page.keyboard.press("Enter")
        await answered(page)
        assert "start a new conversation" in (await texts(page))[1]
        assert await page.locator(".retry").count() == 0
        assert await page.locator("#stop").is_hidden()
        await ask(page, "A question")
        await answered(page, 2)
        await ask(page, "/model openai:test-model")
        await answered(page, 3)
        assert "From now on" in (await texts(page))[-1]
        assert await page.locator("#model").inner_text() == "openai:test-model"
        before = await texts(page)
        await page.click("#new")
        await page.wait_for_selector("#welcome:not([hidden])")
        await page.go_back()
        await answered(page, 3)
        assert await texts(page) == before

        old = page.url
        await ask(page, "/new a fresh start")
        await page.wait_for_selector("#welcome:not([hidden])")
        assert await page.input_value("#words") == "a fresh start"
        await page.press("#words", "Enter")
        await answered(page)
        assert page.url != old
        assert await page.locator("#cards a").all_inner_texts() == ["a fresh start", "A question"]
        await page.goto(old)
        await page.reload()
        await answered(page)
        assert (await texts(page))[0] == "A question"


async def test_a_question_that_waits_stands_below_the_reply_that_runs(browser, tmp_path):
    async with home(tmp_path) as (models, settings, url), running(settings), opened(browser, url) as page:
        models.brain = lambda request: Reply(
            text=f"Reply to {request['messages'][-1]['content'].split()[-1]}", first_token_delay=0.6
        )
        await page.wait_for_selector("#welcome:not([hidden])")
        await ask(page, "one")
        await page.wait_for_selector(".dots")
        await fact(page, "!document.querySelector('.sending')")
        await ask(page, "two")
        await answered(page, 2)
        shown = ["one", "Reply to one", "two", "Reply to two"]
        assert await texts(page) == shown
        await page.reload()
        await answered(page, 2)
        assert await texts(page) == shown


async def test_a_model_that_fails_gives_a_sentence_and_try_again_works_even_after_a_reload(browser, tmp_path):
    async with home(tmp_path) as (models, settings, url), running(settings), opened(browser, url) as page:
        models.brain = lambda _: Reply(status=401)
        await page.wait_for_selector("#welcome:not([hidden])")
        await ask(page, "Are you there?")
        await page.wait_for_selector(".failed .retry")
        assert "OPENAI_API_KEY" in (await texts(page))[1]
        await page.reload()
        await page.wait_for_selector(".unanswered .retry")
        models.brain = lambda _: "Now I am."
        await page.click(".unanswered .retry")
        await answered(page)
        assert await texts(page) == ["Are you there?", "Now I am."]
        assert await page.locator(".unanswered").count() == 0
        await page.reload()
        await answered(page)
        assert await texts(page) == ["Are you there?", "Now I am."]


@pytest.mark.parametrize("look", ["light", "dark"])
async def test_on_a_phone_in_either_look_a_chat_is_found_again_in_the_drawer(browser, tmp_path, look):
    options = {**PHONE, "color_scheme": look}
    async with home(tmp_path) as (models, settings, url), running(settings), opened(browser, url, **options) as page:
        models.brain = lambda _: RICH
        await page.wait_for_selector("#welcome:not([hidden])")
        assert await page.evaluate("document.documentElement.dataset.look") == look
        await page.fill("#words", "What are the roots?")
        await page.tap("#send")
        await answered(page)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.tap("#new-small")
        await page.wait_for_selector("#welcome:not([hidden])")
        await page.tap("#menu")
        await page.tap("#side.shown #cards a")
        await answered(page)
        assert re.search("whole numbers", (await texts(page))[1])
