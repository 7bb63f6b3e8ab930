"""`make bench`: a bare bot and ours, side by side. ONLY=load,max runs some scenarios, LONG=1 takes longer."""

import gc
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from tests.load.plan import BOT_CORE, LOAD_CORE, LONG, QUICK, Plan
from tests.load.programs import FREE, pin
from tests.load.scenarios.burst import burst
from tests.load.scenarios.flood import flood
from tests.load.scenarios.growth import growth
from tests.load.scenarios.idle import idle
from tests.load.scenarios.load import load
from tests.load.scenarios.max import at_most
from tests.load.scenarios.neighbour import slow_neighbour
from tests.load.scenarios.workers import workers
from tests.load.table import Chapter, table

SCENARIOS: dict[str, Callable[[Plan, Path], Awaitable[Chapter]]] = {
    "idle": idle,
    "load": load,
    "max": at_most,
    "burst": burst,
    "neighbour": slow_neighbour,
    "flood": flood,
    "growth": growth,
    "workers": workers,
}
QUIET = 0.5
"""Load average up to which the machine is ours."""


def main() -> int:
    plan = LONG if os.environ.get("LONG") else QUICK
    wanted = [name.strip() for name in os.environ.get("ONLY", "").split(",") if name.strip()] or list(SCENARIOS)
    if unknown := [name for name in wanted if name not in SCENARIOS]:
        print(f"ONLY names {', '.join(unknown)}; there are {', '.join(SCENARIOS)}.", file=sys.stderr)
        return 2
    busy = os.getloadavg()[0]
    pin()
    gc.disable()  # the servers' own pauses are nobody's figures
    began = time.monotonic()
    chapters = uvloop.run(_run(plan, wanted))
    settings = " ".join(f"{name}={value}" for name, value in FREE.items())
    print(f"{settings} (flood: with limits)")
    print(f"bots on core {BOT_CORE}, servers and people on core {LOAD_CORE}; {time.monotonic() - began:.0f} s")
    print(f"load average before: {busy:.1f}{' (others were at work: trust the ratios only)' if busy > QUIET else ''}\n")
    print(table(chapters))
    return 0


async def _run(plan: Plan, wanted: list[str]) -> list[Chapter]:
    chapters = []
    with tempfile.TemporaryDirectory(prefix="pieria-bench-") as folder:
        for name in wanted:
            print(f"{name} …", file=sys.stderr, flush=True)
            try:
                chapters.append(await SCENARIOS[name](plan, Path(folder) / name))
            except RuntimeError as error:  # the other scenarios go on
                chapters.append(Chapter(name, (), str(error).splitlines()))
            gc.collect()
    return chapters


if __name__ == "__main__":
    sys.exit(main())
