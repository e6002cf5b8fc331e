"""Figures of several rounds, and what could not be measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.goals import GOALS, Goal

#: One round of a measurement: names and figures as they come.
Measure = Callable[[], Iterable[tuple[str, float]]]


@dataclass(frozen=True)
class Figure:
    """One name, measured in each round."""

    name: str
    rounds: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def goal(self) -> Goal | None:
        return GOALS.get(self.name)

    @property
    def verdict(self) -> str:
        """met or short; nothing where there is no goal."""
        return "" if self.goal is None else "met" if self.goal.met(self.median) else "short"

    def __str__(self) -> str:
        return shown(self.median)


@dataclass
class Figures:
    """All of a run."""

    rounds: dict[str, list[float]] = field(default_factory=dict)
    #: What was not measured, and why.
    missing: dict[str, str] = field(default_factory=dict)

    def measure(self, what: str, measure: Measure) -> None:
        """One round. One that fails takes no other figure with it."""
        try:
            for name, figure in measure():
                self.add(name, figure)
        except Exception as error:
            self.miss(what, f"{type(error).__name__}: {error}")

    def add(self, name: str, figure: float) -> None:
        """One figure of one round, printed as it comes."""
        self.rounds.setdefault(name, []).append(figure)
        print(f"{name:<72} {shown(figure):>12}", flush=True)

    def miss(self, what: str, why: str) -> None:
        """Something that could not be measured."""
        self.missing[what] = why
        print(f"not measured: {what}: {why}", flush=True)

    def __iter__(self) -> Iterator[Figure]:
        """Those with goals first, in the goals' order."""
        names = [name for name in GOALS if name in self.rounds] + [name for name in self.rounds if name not in GOALS]
        return iter([Figure(name, self.rounds[name]) for name in names])

    def __getitem__(self, name: str) -> Figure:
        return Figure(name, self.rounds[name])

    def __contains__(self, name: str) -> bool:
        return name in self.rounds


def shown(figure: float) -> str:
    """For people: no more digits than tell something."""
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}" if abs(figure) < 1 else f"{figure:.2f}"
