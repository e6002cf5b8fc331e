"""How the view does: of each partition its position, the log's end, and how far behind it is. Asked at most once a second."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from time import monotonic, time
from typing import NamedTuple, Protocol

from eventresults.domain.position import Position
from eventresults.errors import EventResultsError
from eventresults.log.base import Log
from eventresults.view.live import LiveView
from eventresults.view.shard import Head

FRESH_SECONDS = 1.0


class PartitionVitals(NamedTuple):
    """One shard. `end`, `lag` (records) and `lag_seconds` are None while the log cannot be asked."""

    position: int
    size: int
    end: int | None
    lag: int | None
    lag_seconds: float | None


class Vitals(NamedTuple):
    """The whole view. `trouble` says what holds it up, or why it cannot be asked."""

    generation: int
    partitions: Mapping[int, PartitionVitals]
    trouble: str | None
    settled: bool = True
    #: Whether it failed, of each projection (name, partition) that was folded up to here.
    projections: Mapping[tuple[str, int], bool] = {}

    @property
    def lag(self) -> int | None:
        """The longest lag in records; None while it is not known."""
        lags = [one.lag for one in self.partitions.values()]
        return None if None in lags else max((lag for lag in lags if lag is not None), default=0)


class Holder(Protocol):
    """What holds the view, or a part of it, open in this process."""

    @property
    def view(self) -> LiveView:
        """The shards."""

    @property
    def heads(self) -> Mapping[int, Head]:
        """Where each of them stands."""

    @property
    def generation(self) -> int:
        """Which build of the view it is."""

    @property
    def settled(self) -> bool:
        """Whether every shard that it is to hold is open."""


class Pulse:
    """Takes the vitals of what `holder()` holds (None: this process holds nothing). Any thread; may block for `timeout` seconds."""

    def __init__(self, holder: Callable[[], Holder | None], log: Log, *, timeout: float = 3.0, clock: Callable[[], float] = time) -> None:
        self._holder = holder
        self._log = log
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._taken: tuple[float, Vitals | None] | None = None

    def take(self) -> Vitals | None:
        """The vitals, at most a second old. Raises what opening the view does."""
        with self._lock:
            if self._taken is None or monotonic() - self._taken[0] > FRESH_SECONDS:
                holder = self._holder()
                self._taken = monotonic(), None if holder is None else self._of(holder)
            return self._taken[1]

    def _of(self, holder: Holder) -> Vitals:
        heads = holder.heads
        deadline = monotonic() + self._timeout
        trouble = None if holder.view.trouble is None else str(holder.view.trouble)
        ends: Mapping[int, int] = {}
        try:
            ends = self._log.ends(list(heads), self._timeout)
        except EventResultsError as error:
            trouble = trouble or str(error)
        partitions = {}
        for partition, head in heads.items():
            try:
                position, size = holder.view.position(partition), holder.view.shard(partition).size()
            except (EventResultsError, KeyError):
                continue  # it has just left
            end = ends.get(partition)
            lag = None if end is None else max(end - position, 0)
            behind = None if lag is None else self._behind(Position(partition, position), head.log_time, deadline) if lag else 0.0
            partitions[partition] = PartitionVitals(position, size, end, lag, behind)
        projections = {(name, p): "failed" in mark for p, head in heads.items() for name, mark in head.projections.items()}
        return Vitals(holder.generation, partitions, trouble, holder.settled, projections)

    def _behind(self, at: Position, folded: int, deadline: float) -> float | None:
        """How long the first record that is not folded has waited, in seconds; at most since the last that is folded."""
        try:
            record = self._log.read(at, max(deadline - monotonic(), 0.01))
        except EventResultsError:
            return None
        since = folded if record is None else record.log_time
        return max(self._clock() - since / 1000, 0.0) if since else None
