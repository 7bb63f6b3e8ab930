"""The built-in model: llama.cpp's server in a child process on a unix socket, started again when it dies.

A process of its own: it crashes without us, ends with us, and never takes all cores. It speaks Chat Completions.
"""

import asyncio
import hashlib
import json
import logging
import os
import platform
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from adapters.child import Child, socket_path
from adapters.models.builtin_server import SLOTS
from adapters.models.weights import Weights, known
from core.errors import ModelFailed, ModelUnknown

log = logging.getLogger(__name__)

SMALL, LARGE = "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"
LARGE_NEEDS_CORES = 4
LARGE_NEEDS_MEMORY = 6 * 10**9
LOG = "builtin.log"
LOAD_SECONDS = 120.0
PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Of the environment; keys and tokens are none of the model's business."""


def fitting(name: str = "") -> Weights:
    """The built-in model of this name; without one, the one that suits this machine. Raises ModelUnknown."""
    models = known()
    if name and name not in models:
        raise ModelUnknown(
            f"There is no built-in model {name!r}: set PIERIA_MODEL to builtin:{' or builtin:'.join(models)}."
        )
    if missing := unfit():
        raise ModelUnknown(missing)
    large = cores() >= LARGE_NEEDS_CORES and free_memory() >= LARGE_NEEDS_MEMORY
    return models[name or (LARGE if large else SMALL)]


def unfit() -> str:
    """Why the built-in model cannot run on this machine, in one sentence; "" where it can."""
    if find_spec("xllamacpp") is None:
        return "The built-in model's runtime is not installed: run make install, or set a provider's key."
    if sys.platform == "linux" and platform.machine() == "x86_64":
        needed = {"avx2", "fma", "f16c"}
        try:
            lines = Path("/proc/cpuinfo").read_text().splitlines()
        except OSError:
            return ""
        flags = {flag for line in lines if line.startswith("flags") for flag in line.split()}
        if flags and not needed <= flags:
            lacks = ", ".join(sorted(needed - flags)).upper()
            return f"The built-in model cannot run on this processor (it lacks {lacks}): set a provider's key."
    return ""


def cores() -> int:
    """Processor cores that we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes of memory that nobody uses, as far as the system tells; half of all where it does not."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
                limit = Path("/sys/fs/cgroup/memory.max")
                told = limit.read_text().strip() if limit.exists() else ""
                return min(free, int(told)) if told.isdecimal() else free
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


class BuiltinServer:
    """A model server on the files of one data folder."""

    base_url = "http://builtin/v1"
    window = 4096
    """Tokens that a request may have, the answer with it. More would be slow to read: about 100 tokens a second a core."""

    def __init__(self, weights: Path, data: Path, beginning: bytes = b"") -> None:
        """`beginning` stands for what every prompt begins with: what was kept of another one is not taken."""
        self.prepared = False
        """Whether it knows the beginning of every prompt already."""
        self.socket = socket_path(data, "llm.sock")
        self._weights = weights
        self._log = data / LOG
        self._folder = data / "builtin"
        known_by = f"{weights.name} {version('xllamacpp')} {self.window} ".encode() + beginning
        self._kept = self._folder / f"{hashlib.sha256(known_by).hexdigest()[:32]}.read"
        self._child: Child | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._ready = False

    async def start(self) -> None:
        """Start it and wait until it answers; from then on it is started again whenever it dies. Raises ModelFailed."""
        await self._spawn()
        self._keeping = asyncio.create_task(self._keep_alive(), name="built-in model")

    async def keep(self) -> None:
        """Keep what it has read, so that the next start need not read it again: seconds on a small machine.

        To be called before anybody's words reach it: the file is not sealed.
        """
        try:
            fresh = [self._folder / f"{slot}.new" for slot in range(SLOTS)]
            for slot, file in enumerate(fresh):
                await self._ask("POST", f"/slots/{slot}?action=save", _named(file))
            if there := [file for file in fresh if file.is_file()]:
                fullest = max(there, key=lambda file: file.stat().st_size)
                fullest.chmod(0o600)
                fullest.replace(self._kept)
                self.prepared = True
            for old in self._folder.iterdir():
                if old != self._kept:
                    old.unlink()
        except OSError as error:
            log.info("what the built-in model has read is not kept: %s", error)

    async def warm(self, request: bytes) -> None:
        """Let it read a Chat Completions body (JSON, with `max_tokens` 1), so that the next one that begins alike is quick."""
        await self._ask("POST", "/v1/chat/completions", request)

    async def close(self) -> None:
        """End it."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None
        self._end()

    @property
    def ready(self) -> bool:
        """Whether it answers; false while it loads, at the start and after it died."""
        return self._ready

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._child.pid if self._child is not None and self._child.alive else None

    async def _spawn(self) -> None:
        self._end()
        self.socket.unlink(missing_ok=True)
        self._folder.mkdir(exist_ok=True, mode=0o700)
        threads = max(1, cores() - 1)
        command = [sys.executable, "-P", "-m", "adapters.models.builtin_server"]
        command += [str(self._weights), str(self.socket), str(threads), str(self.window), str(self._folder)]
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        # Threads that spin while they wait starve each other on a busy machine: 98 tokens a second became 3.
        environment |= {"GOMP_SPINCOUNT": "0", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}
        self._child = child = Child(command, log=self._log, environment=environment)
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                while await self._ask("GET", "/health") != 200:
                    if not child.alive:
                        raise ModelFailed(f"The built-in model ended at its start: {self._last_words()}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            self._end()
            raise ModelFailed(
                f"The built-in model did not load within {LOAD_SECONDS:.0f} s: see {self._log}."
            ) from None
        self.socket.chmod(0o600)
        if self._kept.is_file():
            self.prepared = await self._ask("POST", "/slots/0?action=restore", _named(self._kept)) == 200
        self._ready = True

    async def _keep_alive(self) -> None:
        pause = 0.2
        loop = asyncio.get_running_loop()
        while True:
            begin = loop.time()
            code = await self._child.ended() if self._child is not None else 0
            self._ready = False
            pause = 0.2 if loop.time() - begin > 60.0 else min(pause * 2, 30.0)
            log.warning("the built-in model ended by itself (exit code %d), it starts again: see %s", code, self._log)
            await asyncio.sleep(pause)
            try:
                await self._spawn()
            except (ModelFailed, OSError) as error:
                log.warning("the built-in model does not start: %s", error)

    def _end(self) -> None:
        self._ready = False
        if self._child is not None:
            self._child.close(5.0)
            self._child = None

    async def _ask(self, method: str, path: str, body: bytes = b"") -> int:
        """The status of the server's answer; 0 while nobody listens."""
        head = f"{method} {path} HTTP/1.1\r\nhost: builtin\r\nconnection: close\r\ncontent-type: application/json\r\n"
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.socket))
        except OSError:
            return 0
        try:
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            status = (await reader.readline()).split(b" ")
            while await reader.read(65536):
                pass
        except OSError:
            return 0
        finally:
            writer.close()
        return int(status[1]) if len(status) > 1 else 0

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return f"{lines[-1][:300]} (more in {self._log})" if lines else "it left no log."


def _named(file: Path) -> bytes:
    return json.dumps({"filename": file.name}).encode()
