"""How far a long job is, on stderr: a bar with the time left on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from eventresults.cli.terminal import say
from eventresults.config.durations import words
from eventresults.errors import EventResultsError

if TYPE_CHECKING:
    from eventresults.tracker import Tracker

LINE_EVERY = 10.0
REFRESH = 0.5
#: Whoever waits less than this is told nothing.
QUIET = 1.0


class Meter:
    """Call it with (done, total) as often as you like. One thread."""

    def __init__(self, what: str, *, unit: str = "records", clock: Callable[[], float] = monotonic) -> None:
        self._what = what
        self._unit = unit
        self._clock = clock
        self._begun = self._said = clock()
        self._first: int | None = None
        self._bar: Any = None
        self._task: Any = None

    def __call__(self, done: int, total: int) -> None:
        """Show it."""
        if self._first is None:
            self._first = done
            if sys.stderr.isatty():
                self._bar = _bar()
                self._bar.start()
                self._task = self._bar.add_task(self._what, total=total, completed=done)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)
        elif self._clock() - self._said >= LINE_EVERY:
            self._said = self._clock()
            say(f"{self._what}: {done:,} of {total:,} {self._unit}{self._left(done, total)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _left(self, done: int, total: int) -> str:
        rate = (done - (self._first or 0)) / max(self._clock() - self._begun, 0.001)
        return f", {rate:,.0f}/s, about {words(round(max(total - done, 0) / rate))} left" if rate else ""


def tell_lag(tracker: Tracker, done: threading.Event) -> None:
    """Show how far the view is behind its log, from the second second on, until `done`."""
    if done.wait(QUIET):
        return
    with Meter("The view catches up") as meter:
        while not done.wait(REFRESH):
            try:
                stats = tracker.view_stats()
            except EventResultsError:
                return  # whatever keeps us from asking, the read itself meets and reports
            partitions = stats["partitions"]
            behind = stats.get("building") or (sum(one["position"] for one in partitions), sum(one["end"] for one in partitions))
            meter(*behind)


def _bar() -> Any:
    from rich.console import Console  # noqa: PLC0415 - rich is read only for people
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
