"""The embedded Valkey: quick to start, alone on its folder, gone with its parent, and nothing acknowledged is lost."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from adapters.child import LONGEST_SOCKET
from adapters.valkey import LOG, DataFolderBusy, Valkey
from core.errors import StoreError
from tests.conftest import wait_until

PROGRAM = """
import asyncio, sys, threading
from pathlib import Path
from adapters.valkey import Valkey

server = Valkey(Path(sys.argv[1]))
if sys.argv[2] == "guarded":  # not from the main thread: the shell stands between
    thread = threading.Thread(target=server.spawn)
    thread.start()
    thread.join()
else:
    server.spawn()
asyncio.run(server.ready())
print("ready", flush=True)
sys.stdin.read()
"""


async def started(folder: Path) -> Valkey:
    server = Valkey(folder)
    server.spawn()
    await server.ready()
    return server


def program(folder: Path, way: str) -> subprocess.Popen[bytes]:
    """Another program that runs a server on the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), way], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def server_pid(folder: Path) -> int:
    async def ask() -> int:
        async with Redis.from_url(f"unix://{folder / 'valkey.sock'}") as redis:
            return (await redis.info("server"))["process_id"]

    return asyncio.run(ask())


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        pass
    if Path("/proc").exists():
        return False
    return subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 0


async def test_it_answers_within_a_second(tmp_path: Path) -> None:
    begin = time.monotonic()
    server = await started(tmp_path)
    try:
        assert time.monotonic() - begin < 1.0
        async with Redis.from_url(server.url) as redis:
            assert await redis.ping()
            told = await redis.config_get("appendonly", "appendfsync", "maxmemory-policy", "port")
            assert told == {
                "appendonly": "yes",
                "appendfsync": "everysec",
                "maxmemory-policy": "noeviction",
                "port": "0",
            }
            assert int((await redis.config_get("maxmemory"))["maxmemory"]) <= 2 * 1024**3
    finally:
        server.close()


async def test_nobody_else_can_reach_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    server = await started(folder)
    try:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert server.socket.stat().st_mode & 0o077 == 0
    finally:
        server.close()


@pytest.mark.parametrize("way", ["direct", "guarded"])
def test_it_ends_when_its_program_is_killed(tmp_path: Path, way: str) -> None:
    with program(tmp_path, way) as process:
        pid = server_pid(tmp_path)
        assert runs(pid)
        process.kill()
    asyncio.run(wait_until(lambda: not runs(pid), 2.0))


@pytest.mark.parametrize("way", ["direct", "guarded"])
def test_a_program_may_start_again_the_moment_after_a_kill(tmp_path: Path, way: str) -> None:
    for _ in range(3):
        with program(tmp_path, way) as process:
            first = server_pid(tmp_path)
            process.kill()
        with program(tmp_path, way) as again:
            assert not runs(first), "two servers on the same files"
            again.kill()


async def test_a_second_program_on_the_folder_is_refused_and_told_the_socket(tmp_path: Path) -> None:
    server = await started(tmp_path)
    try:
        begin = time.monotonic()
        with pytest.raises(DataFolderBusy) as busy:
            Valkey(tmp_path).spawn()
        assert time.monotonic() - begin < 0.5
        assert busy.value.socket == server.socket
        assert str(tmp_path) in busy.value.sentence
        async with Redis.from_url(server.url) as redis:
            assert await redis.ping(), "the first goes on"
    finally:
        server.close()


async def test_what_was_acknowledged_survives_kill_9_of_the_server(tmp_path: Path) -> None:
    server = await started(tmp_path)
    async with Redis.from_url(server.url) as redis:
        for n in range(2000):
            await redis.set(f"key{n}", n)
        pid = (await redis.info("server"))["process_id"]
        os.kill(pid, signal.SIGKILL)
    assert await asyncio.wait_for(server.ended(), 5.0) == -signal.SIGKILL
    server.close()
    server.spawn()
    await server.ready()
    try:
        async with Redis.from_url(server.url) as redis:
            assert await redis.dbsize() == 2000
            assert await redis.get("key1999") == b"1999"
    finally:
        server.close()


async def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    server = await started(folder)
    try:
        assert len(os.fsencode(server.socket)) <= LONGEST_SOCKET
        assert server.socket.parent.stat().st_mode & 0o777 == 0o700
        with pytest.raises(DataFolderBusy) as busy:
            Valkey(folder).spawn()
        assert busy.value.socket == server.socket
        async with Redis.from_url(server.url) as redis:
            assert await redis.ping()
    finally:
        server.close()
        server.socket.parent.rmdir()


async def test_a_damaged_file_is_told_with_the_log(tmp_path: Path) -> None:
    server = await started(tmp_path)
    async with Redis.from_url(server.url) as redis:
        for n in range(100):
            await redis.set(f"key{n}", n)
    server.close()
    journal = next((tmp_path / "appendonlydir").glob("*.incr.aof"))
    data = bytearray(journal.read_bytes())
    data[200:260] = b"x" * 60
    journal.write_bytes(data)
    server.spawn()
    try:
        with pytest.raises(StoreError) as error:
            await server.ready()
        assert LOG in error.value.sentence
    finally:
        server.close()


def test_without_any_server_the_remedy_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "from pathlib import Path\nfrom adapters.valkey import Valkey\nValkey(Path('x')).spawn()"
    root = str(Path(__file__).parents[2])
    packages = [path for path in sys.path if "site-packages" not in path and path]
    environment = {"PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join([root, *packages])}
    told = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "StoreError: No Valkey comes for this machine" in told.stderr
    assert "REDIS_URL" in told.stderr


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    tmp_path.chmod(0o755)
    with pytest.raises(StoreError, match="other files"):
        Valkey(tmp_path).spawn()
    assert tmp_path.stat().st_mode & 0o777 == 0o755
