"""The bots as programs: each in processes of its own on the bots' core, started as its user starts it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.load.course import Course, Unanswered, course
from tests.load.plan import BOT_CORE, LOAD_CORE
from tests.load.tree import Tree
from tests.stories.program import environment

HERE = Path(__file__).parent
"""-P: our telegram.py is not the library of this name."""
PIERIA = (sys.executable, str(Path(sys.executable).with_name("pieria")))
BARE = (sys.executable, "-P", str(HERE / "bare.py"))
NOBODY = (sys.executable, "-P", str(HERE / "nobody.py"))

FREE = {"PIERIA_ACCESS": "open", "PIERIA_RATE": "off", "PIERIA_SEND_LIMITS": "off"}
"""The settings of ours where no limits are measured."""
START = 30.0
"""Seconds that a start may take."""
LAST_WORDS = 2_000
"""Letters of what a program printed that are shown where it failed."""
LIMITED = {"PIERIA_ACCESS": "open"}


@dataclass(slots=True, eq=False)
class Program:
    """One process that was started, and what it printed."""

    process: asyncio.subprocess.Process
    began: float
    output: bytearray = field(default_factory=bytearray)
    reading: asyncio.Task[None] | None = None

    async def up(self) -> None:
        """Wait until it says that it runs."""
        async with asyncio.timeout(START):
            while b"Ctrl-C ends it" not in self.output:
                if self.process.returncode is not None:
                    raise RuntimeError(f"it ended:\n{self.output.decode()}")
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), 40.0)
        except TimeoutError:
            self.process.kill()
        if self.reading:
            await self.reading


@dataclass(slots=True, eq=False)
class Bot:
    """A bot that runs on its course."""

    name: str
    course: Course
    programs: list[Program]
    tree: Tree

    @property
    def first_poll(self) -> float:
        """Seconds from its start to its first request for updates."""
        return self.course.telegram.polled.result() - self.programs[-1].began

    @property
    def problems(self) -> list[str]:
        """What it did that no server takes, and what it printed of failures."""
        printed = b"".join(bytes(program.output) for program in self.programs).decode()
        wrong = [line for line in printed.splitlines() if "Traceback" in line or " ERROR " in line]
        return [*self.course.record.problems, *wrong]


async def start(command: tuple[str, ...], settings: dict[str, str], folder: Path) -> Program:
    """Start a program in a folder, pinned with all that it will start."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    began = monotonic()
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment(folder / "data", **settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=lambda: os.sched_setaffinity(0, {BOT_CORE}),
    )
    program = Program(process, began)

    async def read() -> None:
        assert process.stdout is not None
        while data := await process.stdout.read(65536):
            program.output += data

    program.reading = asyncio.create_task(read())
    return program


@asynccontextmanager
async def bot(
    name: str,
    command: tuple[str, ...],
    folder: Path,
    settings: dict[str, str] | None = None,
    *,
    limits: bool = False,
    helpers: Sequence[tuple[str, ...]] = (),
    store: int = 0,
) -> AsyncIterator[Bot]:
    """A bot that polls. `helpers` are programs that work with it, up before it starts; `store` is a store's process id."""
    async with course(limits=limits) as made, AsyncExitStack() as stack:
        programs = []
        for number, each in enumerate((*helpers, command)):
            program = await start(each, made.settings | (settings or {}), folder / str(number))
            stack.push_async_callback(program.stop)
            programs.append(program)
            if each is not command:
                await program.up()
        ended = asyncio.ensure_future(programs[-1].process.wait())
        await asyncio.wait((made.telegram.polled, ended), timeout=START, return_when=asyncio.FIRST_COMPLETED)
        if not made.telegram.polled.done():
            raise RuntimeError(f"{name} never polled:\n{programs[-1].output.decode()}")
        roots = [*(program.process.pid for program in programs), *((store,) if store else ())]
        try:
            yield Bot(name, made, programs, Tree(*roots))
        except Unanswered:
            printed = "\n".join(program.output.decode()[-LAST_WORDS:] for program in programs)
            raise RuntimeError(f"{name} answers no more:\n{printed}") from None


def data(folder: Path) -> Path:
    """Where a bot of one program that was started in a folder keeps its data."""
    return folder / "0" / "data"


@asynccontextmanager
async def both(folder: Path, settings: dict[str, str], *, limits: bool = False) -> AsyncIterator[tuple[Bot, Bot]]:
    """The bare bot and ours, each on a course of its own; whoever is not asked is idle."""
    async with AsyncExitStack() as stack:
        bare = await stack.enter_async_context(bot("bare", BARE, folder / "bare", limits=limits))
        ours = await stack.enter_async_context(bot("ours", (*PIERIA, "run"), folder / "ours", settings, limits=limits))
        yield bare, ours


def pin(core: int = LOAD_CORE) -> None:
    """This process on a core, with whatever it starts from now on; the servers and people on that of the load."""
    os.sched_setaffinity(0, {core})
