"""A newcomer with no key and no server: the built-in model on its real weights. What is asserted is structure, and
facts that are computed; a small model's wording is its own."""

import re
from pathlib import Path

import pytest

from tests.stories.program import chat, environment

pytestmark = [pytest.mark.weights, pytest.mark.xdist_group("weights")]


async def test_hello_is_answered_and_nothing_else_is_printed(tmp_path: Path) -> None:
    code, out, _ = await chat(environment(tmp_path), "Hello", seconds=300)
    assert code == 0
    assert 1 <= len(out.strip()) < 2_000
    assert "{" not in out
    assert out.endswith("\n")


async def test_the_calculator_gives_the_number(tmp_path: Path) -> None:
    code, out, _ = await chat(environment(tmp_path), "What is 3719 * 9146?", seconds=300)
    assert code == 0
    assert "34013974" in re.sub(r"[,.  ]", "", out)


async def test_the_capital_of_france(tmp_path: Path) -> None:
    code, out, _ = await chat(environment(tmp_path), "What is the capital of France?", seconds=300)
    assert code == 0
    assert "Paris" in out
