"""`make chaos`: a minute of trouble for each house, several with LONG=1; SEED=... runs one again, ONLY=one|many one house.
One table for each; exit code 1 where one is bad.
"""

import asyncio
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path

from tests.chaos.house import Many, One
from tests.chaos.ledger import GOAL
from tests.chaos.soak import Plan, Result, soak

ROUND = (
    "kill program",
    "kill program",
    "kill program",
    "pause program",
    "kill store",
    "pause store",
    "restart program",
)
ROUND_OF_MANY = (
    *("kill worker", "kill worker", "kill adapters", "kill adapters", "kill store"),
    *("pause worker", "pause adapters", "pause store", "restart worker", "restart adapters"),
)
HOUSES = {
    "one": Plan(One, private=14, groups=2, rate=8.0, acts=ROUND, gap=7.0),
    "many": Plan(Many, private=14, groups=2, rate=8.0, acts=ROUND_OF_MANY, gap=6.0),
}
ABOUT = {
    "one": "one process with its embedded store",
    "many": "two adapters processes and three workers that share a store",
}
LONG = 7
"""Rounds of a long run."""


def main() -> int:
    only = os.environ.get("ONLY") or ""
    if only not in {"", *HOUSES}:
        print(f"ONLY names one of {', '.join(HOUSES)}.", file=sys.stderr)
        return 2
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    return int(any([bad(name, seed) for name in ([only] if only else HOUSES)]))  # noqa: C419 - all of them run


def bad(name: str, seed: int) -> bool:
    """Run it in front of one house and print what came of it."""
    plan = HOUSES[name]
    if os.environ.get("LONG"):
        plan = plan.times(LONG)
    with tempfile.TemporaryDirectory(prefix="pieria-chaos-") as folder:
        result = asyncio.run(soak(plan, seed, Path(folder) / "data"))
    log = Path(tempfile.gettempdir()) / f"pieria-chaos-{name}-{seed}.log"
    log.write_text("\n".join([result.output, *result.story]))
    print(
        "\n".join([f"\n{ABOUT[name]}", table(result, seed), *result.findings, f"What happened there: {log}"]),
        flush=True,
    )
    return result.bad


def table(result: Result, seed: int) -> str:
    """The figures by platform."""
    head = ["platform", "said", "lost", "copies", "marked", "stray", "at most", "disorder", "overlap", "problems"]
    rows = [[*head, "recovery p50", "p99"]]
    for v in result.verdicts:
        figures = [v.said, v.lost, v.copies, v.marked, v.stray, v.most, v.disorder, v.overlaps, v.problems]
        rows.append([v.platform, *map(str, figures), *recovery(v.recovery)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    told = f"seed {seed}, {result.seconds:.0f} s; turns begun again at SIGTERM: {result.begun_again}, "
    told += f"wrong ends: {result.wrong_ends}; recovery: seconds after somebody can go on, goal p99 <= {GOAL:g}"
    return "\n".join([*lines, told])


def recovery(seconds: list[float]) -> tuple[str, str]:
    """Half and nearly all of the chats that a kill hit."""
    found = sorted(seconds)
    if not found:
        return "-", "-"
    return f"{statistics.median(found):.1f}", f"{found[min(len(found) - 1, int(len(found) * 0.99))]:.1f} ({len(found)})"


if __name__ == "__main__":
    sys.exit(main())
