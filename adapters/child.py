"""A child process that ends when this program ends, however that happens, and the socket by which it is reached.

Light to import: the store is started before the imports that take their time.
"""

import ctypes
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

LONGEST_SOCKET = 100
"""Bytes of a unix socket's path; macOS takes 104."""

# The shell reads our pipe: it ends when we do. Its own output is closed, so that the end of that pipe is the child's end.
_GUARD = '"$@" & p=$!; exec >/dev/null 2>&1; cat; kill $p; wait $p'
_PR_SET_PDEATHSIG = 1


class Child:
    """A running process in a session of its own: Ctrl-C in the terminal is for us, the child ends after we have drained.

    It may print to standard error only, which goes to `log`; `keep` are file descriptors that it inherits.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
        keep: Sequence[int] = (),
    ) -> None:
        # The kernel's signal comes with the end of the thread that forked, so only the main thread may rely on it.
        self._guarded = sys.platform != "linux" or threading.current_thread() is not threading.main_thread()
        self._gone: asyncio.Event | None = None
        self._deafen: Callable[[], object] = lambda: None
        words = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) if log else subprocess.DEVNULL
        parent = os.getpid()

        def end_with_parent() -> None:
            _libc_prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it died before the kernel knew that we care
                os._exit(1)

        try:
            self._process = subprocess.Popen(  # noqa: S603 - the command is our own
                ["sh", "-c", _GUARD, "sh", *command] if self._guarded else list(command),
                stdin=subprocess.PIPE if self._guarded else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=words,
                env=None if environment is None else dict(environment),
                pass_fds=tuple(keep),
                start_new_session=True,
                preexec_fn=None if self._guarded else end_with_parent,  # noqa: PLW1509 - it only calls the kernel
            )
        finally:
            if words != subprocess.DEVNULL:
                os.close(words)
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)

    @property
    def pid(self) -> int:
        """The child's process id; the guarding shell's where one stands between."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None and self._listen()

    async def ended(self) -> int:
        """Wait until the child ends, whoever ended it; returns its exit code, negative for a signal."""
        import asyncio

        if self._gone is None:
            self._gone = gone = asyncio.Event()
            if self.alive:
                loop = asyncio.get_running_loop()
                pipe = self._pipe

                def hear() -> None:
                    if not self._listen():
                        self._deafen()
                        gone.set()

                loop.add_reader(pipe, hear)
                self._deafen = lambda: loop.is_closed() or loop.remove_reader(pipe)
            else:
                gone.set()
        await self._gone.wait()
        return self._reap(5.0)

    def close(self, seconds: float = 10.0) -> None:
        """Ask the child to end, wait for it, and end it by force after `seconds`."""
        if self._process.poll() is None and not self._guarded:
            self._process.terminate()
        self._reap(seconds)

    @property
    def _pipe(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def _listen(self) -> bool:
        """Whether the child still holds its end of the pipe."""
        try:
            return os.read(self._pipe, 65536) != b""
        except BlockingIOError:
            return True

    def _reap(self, seconds: float) -> int:
        assert self._process.stdout is not None
        if self._process.stdin is not None:
            self._process.stdin.close()  # the guard ends its child
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            code = self._process.wait()
        if not self._process.stdout.closed:
            self._deafen()
            self._process.stdout.close()
            if self._gone is not None:
                self._gone.set()
        return code


def socket_path(folder: Path, name: str) -> Path:
    """Where a child of this data folder listens: inside it, or, where that path is too long, in a short folder of ours.

    The folder of the socket exists afterwards and is ours alone. Raises OSError where that cannot be.
    """
    inside = folder / name
    if len(os.fsencode(inside)) <= LONGEST_SOCKET:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return inside
    digest = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=8).hexdigest()
    short = Path("/tmp", f"pieria-{os.getuid()}-{digest}")  # noqa: S108 - made 0700, and refused where it is another's
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or short.is_symlink():
        raise PermissionError(1, "it belongs to somebody else", str(short))
    return short / name


def _libc_prctl(option: int, value: int) -> None:
    _LIBC.prctl(option, value)


_LIBC = ctypes.CDLL(None)
