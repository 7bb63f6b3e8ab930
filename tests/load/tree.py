"""What a program and all its children cost: processor time and memory, from /proc."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_STORES = ("valkey", "redis")


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of processor time so far, and the store's part of them."""

    total: float
    store: float

    def since(self, before: "Cpu") -> "Cpu":
        return Cpu(self.total - before.total, self.store - before.store)


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes: resident, proportional (shared pages by parts), and the resident ones of all but the store."""

    rss: float
    pss: float
    ours: float


class Tree:
    """Processes by their roots: each with all that it started."""

    def __init__(self, *roots: int) -> None:
        self._roots = roots

    def cpu(self) -> Cpu:
        total = store = 0.0
        for pid, name in self._all().items():
            spent = _spent(pid)
            total += spent
            store += spent if name.startswith(_STORES) else 0.0
        return Cpu(total, store)

    def memory(self) -> Memory:
        rss = pss = ours = 0.0
        for pid, name in self._all().items():
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            sizes = {line.partition(":")[0]: int(line.split()[1]) / 1024 for line in lines[1:]}
            rss += sizes["Rss"]
            pss += sizes["Pss"]
            ours += 0.0 if name.startswith(_STORES) else sizes["Rss"]
        return Memory(rss, pss, ours)

    def _all(self) -> dict[int, str]:
        """Every process of the tree, with its name."""
        parents: dict[int, tuple[int, str]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
                parents[int(entry.name)] = (int(fields[2]), fields[0])
        found = {root: parents[root][1] for root in self._roots if root in parents}
        grown = True
        while grown:
            more = {pid: name for pid, (parent, name) in parents.items() if parent in found and pid not in found}
            found |= more
            grown = bool(more)
        return found


def _spent(pid: int) -> float:
    """Of all its threads that live: finer than the ticks that /proc/<pid>/stat counts in."""
    spent = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            spent += int(task.read_text().split()[0])
    return spent / 1e9


def _stat(pid: int) -> list[str]:
    """Name, state, parent and what follows; nothing when it ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    name, _, rest = text.partition("(")[2].rpartition(")")
    return [name, *rest.split()]
