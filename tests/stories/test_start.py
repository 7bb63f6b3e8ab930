"""The start of the program, where it goes otherwise than planned."""

import asyncio
import time
from pathlib import Path

from tests.stories.program import chat, environment, running


async def test_ctrl_c_ends_it_while_the_model_is_still_being_fetched(tmp_path: Path) -> None:
    hearing = asyncio.Event()

    async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hearing.set()
        await reader.read()  # until the caller hangs up
        writer.close()

    async with await asyncio.start_server(says_nothing, "127.0.0.1", 0) as mirror:
        address = f"http://127.0.0.1:{mirror.sockets[0].getsockname()[1]}/weights"
        settings = environment(
            tmp_path / "data", PIERIA_MODEL="builtin:", PIERIA_WEIGHTS=address, PIERIA_CACHE=str(tmp_path)
        )
        async with running(settings) as program:
            await asyncio.wait_for(hearing.wait(), 10)
            begin = time.monotonic()
            assert await program.stop() == 0
            assert time.monotonic() - begin < 10
    assert "Model ready" not in program.output


async def test_where_no_model_can_be_had_commands_and_arithmetic_work_all_the_same(tmp_path: Path) -> None:
    settings = environment(tmp_path / "data", PIERIA_MODEL="builtin:no-such-model")
    code, out, err = await chat(settings, "6 * 7\n")
    assert (code, out, err) == (0, "42\n", "")
    _, out, _ = await chat(settings, "What is the capital of France?\n")
    assert "There is no built-in model" in out
    _, out, _ = await chat(settings, "/status\n")
    assert out.startswith("Model: offline")
