"""What README.md and the guides tell people to type works: from a clone, with nothing else prepared."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import aiohttp
import pytest

from adapters.web.app import check_exposure
from bots.settings import read
from tests.servers.models import ModelServer
from tests.stories.program import environment

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs/guide").glob("*.md"))]
_BLOCK = re.compile(r"^ *```\w*\n(.*?)^ *```|((?:^ {4}\S.*\n)+)", re.DOTALL | re.MULTILINE)
_SET = re.compile(r"(?:^|(?<=\s))([A-Z][A-Z_]*)=(\S*)")
_MAKE = re.compile(r"\bmake ([a-z]+)")


def blocks(document: Path) -> list[str]:
    """The code blocks of a document, fenced or indented, without their comments."""
    found = [fenced or indented for fenced, indented in _BLOCK.findall(document.read_text())]
    return [re.sub(r"(?:^|\s+)# .*", "", block) for block in found]


def examples() -> list[tuple[str, dict[str, str]]]:
    """The settings that belong together: those in front of one command, or those of a block without a command."""
    found = []
    for document in DOCUMENTS:
        for block in blocks(document):
            for lines in block.splitlines() if "make " in block else [block]:
                if settings := dict(_SET.findall(lines)):
                    found.append((f"{document.name}: {' '.join(settings)}", settings))
    return found


def test_the_documents_hold_the_examples_that_the_tests_below_look_at():
    names = {name for _, settings in examples() for name in settings}
    assert {"OPENAI_API_KEY", "TELEGRAM_BOT_TOKEN", "PIERIA_MODEL", "PIERIA_WEIGHTS", "PIERIA_PUBLIC_URL"} <= names


@pytest.mark.parametrize("settings", [pytest.param(s, id=name) for name, s in examples()])
def test_a_program_with_the_settings_of_an_example_starts(tmp_path, settings):
    told = read(settings, tmp_path)
    check_exposure(told.host, told.public_url, told.password.reveal())


def test_every_target_of_make_that_is_named_exists():
    texts = [path.read_text() for path in (*ROOT.glob("*.md"), *DOCUMENTS)]
    code = [piece for text in texts for piece in re.findall(r"`[^`\n]+`", text)]
    targets = {
        target for piece in (*code, *(b for d in DOCUMENTS for b in blocks(d))) for target in _MAKE.findall(piece)
    }
    assert {"run", "chat", "test", "check"} <= targets
    for target in sorted(targets):
        told = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr


async def test_from_git_clone_to_an_answer_and_to_the_page_as_the_readme_says(tmp_path):
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("this is no git checkout")
    text = (ROOT / "README.md").read_text()
    first = next(line.strip() for line in text.splitlines() if "git clone" in line)
    settings = environment(tmp_path / "data", TELEGRAM_API_URL="http://127.0.0.1:9")
    settings["TELEGRAM_BOT_TOKEN"] = re.search(r"TELEGRAM_BOT_TOKEN=(\S+) make run", text)[1]
    settings.pop("VIRTUAL_ENV", None)
    clone = tmp_path / "pieria"
    await shell(first.replace("<this repository>", f"--quiet {ROOT}"), tmp_path, settings)
    assert (clone / "Makefile").exists()
    await shell("make install", clone, settings)
    assert os.access(clone / ".venv/bin/pieria", os.X_OK)
    async with ModelServer() as models:
        settings["OPENAI_BASE_URL"] = models.url
        models.reply("Hello, newcomer.")
        assert await shell('echo "Hello" | make chat', clone, settings) == "Hello, newcomer.\n"
        await run_and_visit(clone, settings)
    assert await shell("git status --short", clone, settings) == ""


async def run_and_visit(clone: Path, settings: dict[str, str]) -> None:
    """`make run` until its page answers, then Ctrl-C."""
    run = await asyncio.create_subprocess_shell(
        "make run", cwd=clone, env=settings, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        async with asyncio.timeout(30):
            said = (await run.stdout.readuntil(b"Ctrl-C ends it.")).decode()
        assert re.search(r"Telegram +on ", said)
        assert "openai:test-model (OPENAI_BASE_URL is set)" in said
        async with aiohttp.ClientSession() as session, session.get(re.search(r"http://\S+", said)[0]) as page:
            assert (page.status, "<title>Pieria" in await page.text()) == (200, True)
        os.killpg(run.pid, signal.SIGINT)
        async with asyncio.timeout(30):
            await run.communicate()
    finally:
        if run.returncode is None:
            os.killpg(run.pid, signal.SIGKILL)
            await run.wait()


async def shell(command: str, folder: Path, settings: dict[str, str]) -> str:
    """What a command prints; it must succeed."""
    process = await asyncio.create_subprocess_shell(
        command, cwd=folder, env=settings, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    assert process.returncode == 0, f"{command}: {out.decode()}{err.decode()}"
    return out.decode()
