"""One large file from one address to the disk: goes on where it broke off, notices quickly that a source is gone."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import httpx

from adapters.http import Answer, Http

HEAD_SECONDS = 5.0
"""Until a source has answered; one that cannot be reached must not hold a start up."""
IDLE_SECONDS = 30.0
HOPS = 5
TRIES = 4
"""Without a byte of progress."""


class SourceGone(Exception):
    """The source does not give the file; the text says why, in a few words."""


class SourceLies(Exception):
    """The source gives something else."""


async def download(http: Http, url: str, path: Path, *, size: int = 0, tell: Callable[[int], None]) -> None:
    """Fetch `url` to `path`, behind what lies there already; `tell` hears the bytes on the disk.

    `size` is the file's in bytes, 0 where it is not known; a source with another size lies. Raises SourceGone, SourceLies,
    and OSError of the disk.
    """
    best, failures, answered = 0, 0, False
    while True:
        have = _size(path)
        if size and have >= size:
            return
        try:
            async with _opened(http, url, start=have) as answer:
                answered = True
                if await _write(answer, path, have, size, tell):
                    return
            reason = "the connection broke"
        except httpx.TransportError as error:
            reason = _told(error)
        now = _size(path)
        failures = 0 if now > best else failures + 1
        best = max(best, now)
        if failures >= TRIES or not answered:
            raise SourceGone(reason)
        await asyncio.sleep(0.1 * 2**failures)


async def page(http: Http, url: str, accept: str, most: int = 16 * 1024**2) -> tuple[bytes, str]:
    """A page of at most `most` bytes, and its content type. Raises SourceGone."""
    try:
        async with _opened(http, url, accept=accept) as answer:
            return await answer.whole(most, IDLE_SECONDS), answer.headers.get("content-type", "")
    except httpx.TransportError as error:
        raise SourceGone(_told(error)) from error


async def _write(answer: Answer, path: Path, have: int, size: int, tell: Callable[[int], None]) -> bool:
    """Write the body; whether it came whole."""
    if answer.status == 416:  # what lies there is longer than the file
        _cut(path, 0).close()
        return False
    start = have if answer.status == 206 else 0
    if start and not answer.headers.get("content-range", "").startswith(f"bytes {start}-"):
        raise SourceLies("it sends another part than asked for")
    told = answer.headers.get("content-length", "")
    whole = start + int(told) if told.isdecimal() else size
    if size and whole != size:
        raise SourceLies(f"its file has {whole:,} bytes instead of {size:,}")
    with _cut(path, start) as file:
        done = start
        while chunk := await answer.read(IDLE_SECONDS):
            done += len(chunk)
            if whole and done > whole:
                raise SourceLies("it sends more than it said")
            file.write(chunk)
            tell(done)
    return not whole or done == whole


@asynccontextmanager
async def _opened(http: Http, url: str, *, start: int = 0, accept: str = "*/*") -> AsyncIterator[Answer]:
    """The answer of whoever has the file in the end, its head read. Raises SourceGone and httpx.TransportError."""
    host = urlsplit(url).netloc
    for _ in range(HOPS):
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"}:
            raise SourceGone("its address is not HTTP")
        headers = {"accept": accept, "accept-encoding": "identity", "user-agent": "pieria"}
        if start:
            headers["range"] = f"bytes={start}-"
        if parts.username is not None and parts.netloc == host:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                answer = await http.call("GET", plain, headers=headers, timeout=httpx.Timeout(HEAD_SECONDS))
        except TimeoutError:
            raise SourceGone(f"no answer within {HEAD_SECONDS:.0f} s") from None
        except httpx.InvalidURL:
            raise SourceGone("its address is not a URL") from None
        try:
            if answer.status in {200, 206, 416}:
                yield answer
                return
            if answer.status not in {301, 302, 303, 307, 308}:
                raise SourceGone(f"it answers {answer.status}")
            url = urljoin(url, answer.headers.get("location", ""))
        finally:
            await answer.close()
    raise SourceGone("it sends us round in circles")


def _told(error: httpx.TransportError) -> str:
    return "it went silent" if isinstance(error, httpx.TimeoutException) else f"no connection ({type(error).__name__})"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _cut(path: Path, length: int) -> BinaryIO:
    """The file, open for writing behind its first `length` bytes."""
    file = path.open("r+b" if path.exists() else "wb")
    file.truncate(length)
    file.seek(length)
    return file
