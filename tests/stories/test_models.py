"""An operator with a key of any provider: the tool loop, the effort and the fallback, on each wire, in the real program."""

from pathlib import Path

import pytest

from tests.servers.models import ModelServer, Reply, ToolCall
from tests.stories.program import chat, environment

WIRES = {
    "chat completions": ("openai:test-model", "OPENAI", "/v1/chat/completions"),
    "responses": ("responses:test-model", "OPENAI", "/v1/responses"),
    "muse spark": ("muse:muse-spark-1.3", "MODEL", "/v1/responses"),
    "messages": ("anthropic:claude-sonnet-5-5", "ANTHROPIC", "/v1/messages"),
}


@pytest.mark.parametrize("wire", WIRES)
async def test_a_question_that_needs_the_calculator_is_answered_on_each_wire(tmp_path: Path, wire: str) -> None:
    model, name, path = WIRES[wire]
    async with ModelServer(models=["test-model", "muse-spark-1.3", "claude-sonnet-5-5"]) as server:
        server.reply(
            tool_calls=[ToolCall("calculator", {"expression": "2**64"}), ToolCall("calculator", {"expression": "7*6"})]
        )
        server.brain = lambda request: Reply(text="18446744073709551616 and 42.")
        settings = environment(
            tmp_path, **{f"{name}_BASE_URL": server.url, f"{name}_API_KEY": "sk-test-key-0123456789"}
        )
        code, out, err = await chat({**settings, "PIERIA_MODEL": f"{model}@high"}, "2 to the 64, and 7 times 6?\n")
        assert (code, out, err) == (0, "18446744073709551616 and 42.\n", "")
        asked = [seen for seen in server.requests if seen.path == path]
        assert len(asked) == 2
        assert b"18446744073709551616" in asked[1].body
        assert b"42" in asked[1].body.replace(b"18446744073709551616", b"")


async def test_a_provider_that_is_down_is_stood_in_for_on_another_wire(tmp_path: Path) -> None:
    async with ModelServer(models=["claude-sonnet-5-5"]) as anthropic, ModelServer() as openai:
        anthropic.fail(529, times=10)
        openai.reply("From the other.")
        settings = environment(
            tmp_path,
            ANTHROPIC_API_KEY="sk-ant-test-0123456789",
            ANTHROPIC_BASE_URL=anthropic.url,
            OPENAI_API_KEY="sk-test-0123456789",
            OPENAI_BASE_URL=openai.url,
            PIERIA_MODEL="anthropic:claude-sonnet-5-5,openai:test-model",
        )
        code, out, _ = await chat(settings, "hello\n")
        assert code == 0
        assert out.startswith("From the other.")
        assert "anthropic:claude-sonnet-5-5" in out
