"""The figures, side by side: bare, ours, how they compare, what was to be reached, and whether it was."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound of ours: a number, or so many times what bare has."""

    bound: float
    times: bool = False
    least: bool = False

    def met(self, bare: float | None, ours: float) -> bool:
        bound = self.bound * (bare or 0.0) if self.times else self.bound
        return ours >= bound if self.least else ours <= bound

    def told(self, unit: str) -> str:
        return f"{'>=' if self.least else '<='} {self.bound:g}{'x' if self.times else f' {unit}'.rstrip()}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line; None where there is nothing to measure."""

    what: str
    unit: str
    bare: float | None
    ours: float | None
    goal: Goal | None = None


@dataclass(frozen=True, slots=True)
class Chapter:
    """A scenario's lines, and how they were measured."""

    title: str
    figures: Sequence[Figure]
    notes: Sequence[str] = ()


def most(bound: float) -> Goal:
    return Goal(bound)


def times_most(bound: float) -> Goal:
    return Goal(bound, times=True)


def times_least(bound: float) -> Goal:
    return Goal(bound, times=True, least=True)


def table(chapters: Sequence[Chapter]) -> str:
    """All of it as text."""
    lines = []
    for chapter in chapters:
        lines += ["", chapter.title, *(_row(figure) for figure in chapter.figures)]
        lines += [f"    {note}" for note in chapter.notes]
    head = f"  {'':<56}{'bare':>12}{'ours':>12}{'ratio':>8}  goal"
    return "\n".join([head, *lines])


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share lies; 0 of none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


def _row(figure: Figure) -> str:
    ratio = f"{figure.ours / figure.bare:.2f}x" if figure.bare and figure.ours is not None else ""
    verdict = ""
    if figure.goal and figure.ours is not None:
        met = "ok" if figure.goal.met(figure.bare, figure.ours) else "NO"
        verdict = f"  {figure.goal.told(figure.unit):<12} {met}"
    cells = "".join(f"{_number(value, figure.unit):>12}" for value in (figure.bare, figure.ours))
    return f"  {figure.what:<56}{cells}{ratio:>8}{verdict}".rstrip()


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    digits = 0 if (value == int(value) and abs(value) < 1e6) or abs(value) >= 1000 else 1 if abs(value) >= 100 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()
