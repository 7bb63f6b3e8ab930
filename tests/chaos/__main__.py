"""`make chaos`: a minute of trouble, several with LONG=1; SEED=... runs one again. One table; exit code 1 where it is bad."""

import asyncio
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path

from tests.chaos.ledger import Verdict
from tests.chaos.soak import Plan, Result, soak

ROUND = ("kill", "kill", "kill", "pause", "store kill", "store pause", "restart")
GOAL = 7.0
"""Seconds within which nearly all chats go on after a kill, with a lease of five."""


def main() -> int:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    plan = Plan(private=14, groups=2, rate=8.0, acts=ROUND * (7 if os.environ.get("LONG") else 1), gap=7.0)
    with tempfile.TemporaryDirectory(prefix="pieria-chaos-") as folder:
        result = asyncio.run(soak(plan, seed, Path(folder) / "data"))
    log = Path(tempfile.gettempdir()) / f"pieria-chaos-{seed}.log"
    log.write_text("\n".join([result.output, *result.story]))
    print("\n".join([table(result, seed), *result.findings, f"What happened there: {log}"]))
    return int(result.bad)


def table(result: Result, seed: int) -> str:
    """The figures by platform."""
    head = ["platform", "said", "lost", "copies", "marked", "stray", "at most", "disorder", "overlap", "problems"]
    rows = [[*head, "recovery p50", "p99"]]
    for v in result.verdicts:
        figures = [v.said, v.lost, v.copies, v.marked, v.stray, v.most, v.disorder, v.overlaps, v.problems]
        rows.append([v.platform, *map(str, figures), *recovery(v)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    told = f"seed {seed}, {result.seconds:.0f} s; turns begun again at SIGTERM: {result.begun_again}, "
    told += f"wrong ends: {result.wrong_ends}; recovery: seconds after the program is up, goal p99 <= {GOAL:g}"
    return "\n".join([*lines, told])


def recovery(verdict: Verdict) -> tuple[str, str]:
    """Half and nearly all of the chats that a kill hit."""
    found = sorted(verdict.recovery)
    if not found:
        return "-", "-"
    return f"{statistics.median(found):.1f}", f"{found[min(len(found) - 1, int(len(found) * 0.99))]:.1f} ({len(found)})"


if __name__ == "__main__":
    sys.exit(main())
