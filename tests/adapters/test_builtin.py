"""The built-in model on its real weights, which are fetched where they are not in the cache yet."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.child import LONGEST_SOCKET
from adapters.http import Http
from adapters.models import builtin
from adapters.models.builtin import BuiltinServer, fitting, unfit
from adapters.models.weights import fetch, known
from core.errors import ModelFailed, ModelUnknown
from tests.conftest import wait_until

CACHE = Path(
    os.environ.get("PIERIA_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pieria"
)

real = [pytest.mark.weights, pytest.mark.xdist_group("weights")]

PROGRAM = """
import asyncio, sys
from pathlib import Path
from adapters.models.builtin import BuiltinServer

async def main():
    server = BuiltinServer(Path(sys.argv[1]), Path(sys.argv[2]))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    made = Http()
    yield made
    await made.close()


@pytest.fixture
async def file(http: Http) -> Path:
    return await fetch(http, known()["qwen2.5-coder-0.5b"], CACHE)


@pytest.fixture
async def server(file: Path, tmp_path: Path) -> AsyncIterator[BuiltinServer]:
    made = BuiltinServer(file, tmp_path)
    await made.start()
    yield made
    await made.close()


async def answer(http: Http, server: BuiltinServer, **body: Any) -> Any:
    told = await http.call(
        "POST",
        f"{server.base_url}/chat/completions",
        headers={"content-type": "application/json"},
        content=json.dumps({"temperature": 0, "max_tokens": 60, **body}).encode(),
        timeout=httpx.Timeout(60.0),
        uds=str(server.socket),
    )
    assert told.status == 200
    return json.loads(await told.whole(10**7, 60.0))


class TestOnRealWeights:
    pytestmark = real

    async def test_it_knows_the_capital_of_france(self, http: Http, server: BuiltinServer) -> None:
        told = await answer(http, server, messages=[{"role": "user", "content": "What is the capital of France?"}])
        assert "Paris" in told["choices"][0]["message"]["content"]

    async def test_what_it_has_read_it_does_not_read_again(self, http: Http, server: BuiltinServer) -> None:
        system = {"role": "system", "content": "You are a friendly assistant. " + "Be brief. " * 40}
        warm = {"messages": [system, {"role": "user", "content": "Hi"}], "max_tokens": 1}
        await server.warm(json.dumps(warm).encode())
        told = await answer(
            http, server, messages=[system, {"role": "user", "content": "What is the capital of Italy?"}]
        )
        assert told["timings"]["cache_n"] > 100
        assert told["timings"]["prompt_n"] < 20

    async def test_a_schema_holds_its_answers(self, http: Http, server: BuiltinServer) -> None:
        shape = {
            "type": "object",
            "properties": {"tool": {"enum": ["calculator", "none"]}, "expression": {"type": "string"}},
            "required": ["tool", "expression"],
            "additionalProperties": False,
        }
        told = await answer(
            http,
            server,
            messages=[{"role": "user", "content": "Tell me about cats."}],
            response_format={"type": "json_schema", "json_schema": {"name": "route", "strict": True, "schema": shape}},
        )
        found = json.loads(told["choices"][0]["message"]["content"])
        assert set(found) == {"tool", "expression"}
        assert found["tool"] in {"calculator", "none"}

    async def test_it_comes_back_when_it_dies(self, http: Http, server: BuiltinServer) -> None:
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await wait_until(lambda: server.pid not in {None, first}, 10.0)
        await wait_until(lambda: server.ready, 60.0)
        told = await answer(http, server, messages=[{"role": "user", "content": "Say hello."}])
        assert told["choices"][0]["message"]["content"]

    async def test_nobody_but_its_owner_reaches_it(self, server: BuiltinServer, tmp_path: Path) -> None:
        assert server.socket.stat().st_mode & 0o077 == 0
        assert server.socket.parent.stat().st_mode & 0o077 == 0

    async def test_what_it_has_read_is_known_at_the_next_start(self, http: Http, file: Path, tmp_path: Path) -> None:
        beginning = {"role": "system", "content": "You are a pilot on a small boat, who answers kindly. " * 12}

        async def read_anew(server: BuiltinServer) -> int:
            told = await answer(http, server, messages=[beginning, {"role": "user", "content": "Hi"}], max_tokens=1)
            return told["timings"]["prompt_n"]

        kept = tmp_path / "builtin"
        for same, known_already in ((b"a", False), (b"a", True), (b"b", False)):
            server = BuiltinServer(file, tmp_path, same)
            try:
                await server.start()
                assert server.prepared is known_already
                assert (await read_anew(server) < 20) is known_already
                if same == b"a" and not known_already:
                    await server.keep()
                    assert server.prepared
                    assert [path.stat().st_mode & 0o077 for path in kept.iterdir()] == [0]
            finally:
                await server.close()

    async def test_a_damaged_file_of_what_it_has_read_is_read_anew(self, file: Path, tmp_path: Path) -> None:
        server = BuiltinServer(file, tmp_path, b"a")
        try:
            await server.start()
            await server.keep()
            (kept,) = (tmp_path / "builtin").iterdir()
        finally:
            await server.close()
        kept.write_bytes(b"nonsense" * 1000)
        try:
            await server.start()
            assert not server.prepared
        finally:
            await server.close()

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a process's environment")
    async def test_keys_and_tokens_are_not_handed_on(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SOME_API_KEY", "canary")
        server = BuiltinServer(file, tmp_path)
        await server.start()
        told = await asyncio.to_thread(Path(f"/proc/{server.pid}/environ").read_bytes)
        await server.close()
        assert b"GOMP_SPINCOUNT=0" in told
        assert b"canary" not in told

    async def test_it_ends_when_its_program_is_killed(self, file: Path, tmp_path: Path) -> None:
        program = subprocess.Popen([sys.executable, "-c", PROGRAM, str(file), str(tmp_path)], stdout=subprocess.PIPE)  # noqa: ASYNC220 - it returns at once
        assert program.stdout is not None
        pid = int(await asyncio.to_thread(program.stdout.readline))
        program.kill()
        program.wait()
        program.stdout.close()
        await wait_until(lambda: not alive(pid), 3.0)

    async def test_closing_ends_it(self, file: Path, tmp_path: Path) -> None:
        server = BuiltinServer(file, tmp_path)
        await server.start()
        pid = server.pid
        assert pid is not None
        await server.close()
        assert not alive(pid)
        assert server.pid is None


async def test_weights_that_are_none_are_told_with_the_log(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"no model")
    server = BuiltinServer(tmp_path / "model.gguf", tmp_path)
    with pytest.raises(ModelFailed) as error:
        await server.start()
    assert builtin.LOG in error.value.sentence
    await server.close()


async def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    server = BuiltinServer(tmp_path / "model.gguf", tmp_path / ("long" * 30))
    assert len(os.fsencode(server.socket)) <= LONGEST_SOCKET
    server.socket.parent.rmdir()


@pytest.mark.parametrize(
    ("cores", "memory", "name"),
    [(4, 6 * 10**9, "1.5b"), (3, 64 * 10**9, "0.5b"), (64, 5 * 10**9, "0.5b"), (1, 10**9, "0.5b")],
)
def test_the_larger_model_needs_cores_and_memory(
    monkeypatch: pytest.MonkeyPatch, cores: int, memory: int, name: str
) -> None:
    monkeypatch.setattr(builtin, "cores", lambda: cores)
    monkeypatch.setattr(builtin, "free_memory", lambda: memory)
    assert fitting().name == f"qwen2.5-coder-{name}"
    assert fitting("qwen2.5-coder-1.5b").name == "qwen2.5-coder-1.5b", "who names one gets it"


def test_an_unknown_name_is_told_with_the_names_that_are_known() -> None:
    with pytest.raises(ModelUnknown, match=r"builtin:qwen2\.5-coder-0\.5b"):
        fitting("gpt-9")


def test_this_machine_can_run_it() -> None:
    assert unfit() == ""
    assert builtin.cores() >= 1
    assert builtin.free_memory() > 10**8


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not Path("/proc").exists() and not subprocess.run(["ps", "-p", str(pid)], check=False).returncode
