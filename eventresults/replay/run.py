"""A stretch of the log, told again: to whoever takes it, at a pace, from where it was interrupted.

Where it is, is noted once whatever was told until then is safe with who took it: what comes after is told again when it is resumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Final, Protocol

from eventresults.codec.events import decode_event
from eventresults.codec.readable import kind_of
from eventresults.domain.events import TaskEvent, UnknownEvent
from eventresults.domain.position import Position
from eventresults.errors import EventCorrupt
from eventresults.log.base import Log
from eventresults.log.stretch import Found, Stretch, read
from eventresults.replay.where import Where

#: A note is taken at least so often.
NOTE_SECONDS: Final = 1.0
NOTE_RECORDS: Final = 1_000


class Taker(Protocol):
    """Who is told."""

    @property
    def full(self) -> bool:
        """Whether it wants to make safe what it has, before it takes more."""

    def take(self, found: Found, event: TaskEvent | UnknownEvent) -> None:
        """Take one event, with its record."""

    def settle(self) -> None:
        """Return when all that was taken is safe. Raises when it is not."""


class Pace:
    """Lets at most `rate` events a second through."""

    def __init__(self, rate: float, *, clock: Callable[[], float] = monotonic, wait: Callable[[float], object] = sleep) -> None:
        self._step = 1 / rate
        self._clock = clock
        self._wait = wait
        self._next = clock()

    def __call__(self) -> None:
        """Wait for one's turn. Time that nobody used is not made up for."""
        now = self._clock()
        if self._next > now:
            self._wait(self._next - now)
        self._next = max(self._next, now) + self._step


@dataclass
class Tally:
    """What was read, and what of it was told. Log times are in milliseconds."""

    read: int = 0
    told: int = 0
    #: Records that are no events.
    unreadable: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    first: int | None = None
    last: int | None = None

    def count(self, found: Found, event: TaskEvent | UnknownEvent) -> None:
        """One more was told."""
        self.told += 1
        self.kinds[kind_of(event)] += 1
        log_time = found.record.log_time
        self.first = log_time if self.first is None else min(self.first, log_time)
        self.last = log_time if self.last is None else max(self.last, log_time)


def run(
    log: Log,
    stretch: Stretch,
    where: Where,
    taker: Taker,
    *,
    after: Mapping[int, int] | None = None,
    pace: Callable[[], None] = lambda: None,
    note: Callable[[Mapping[int, int], Tally], None] = lambda _at, _tally: None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Tally:
    """Tell the taker each event of the stretch that is meant, in order within each partition; what was read and told.

    `after`: offsets before which all was told already. `note(offsets, tally)` is called when all before these is safe, `progress(done,
    total)` with offsets. An interrupt is noted, too. Raises what the log and the taker raise.
    """
    tally = Tally()
    at = {partition: max(start, (after or {}).get(partition, start)) for partition, start in stretch.starts.items()}
    begun = dict(at)
    total, done = stretch.offsets, stretch.offsets - stretch._replace(starts=at).offsets
    noted, since = monotonic(), 0
    try:
        for found in read(log, stretch if where.remembers else stretch._replace(starts=at)):
            partition, record = found
            event = _event(found)
            if record.offset < begun[partition]:
                if event is not None:
                    where.learn(event)
                continue
            tally.read += 1
            if event is None:
                tally.unreadable += 1
            elif where.matches(event):
                pace()
                taker.take(found, event)
                tally.count(found, event)
            done += record.offset + 1 - at[partition]
            at[partition] = record.offset + 1
            since += 1
            if since >= NOTE_RECORDS or taker.full or monotonic() - noted > NOTE_SECONDS:
                taker.settle()
                note(at, tally)
                progress(done, total)
                noted, since = monotonic(), 0
    except KeyboardInterrupt:
        taker.settle()
        note(at, tally)
        raise
    taker.settle()
    note({**at, **{p: max(at[p], end) for p, end in stretch.ends.items()}}, tally)
    progress(total, total)
    return tally


def _event(found: Found) -> TaskEvent | UnknownEvent | None:
    partition, record = found
    try:
        return decode_event(record.value, key=record.key or b"", position=Position(partition, record.offset))
    except EventCorrupt:
        return None
