"""A stretch of a log: what lies between two places, read in order within each partition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import NamedTuple

from eventresults.domain.position import Position
from eventresults.errors import LogUnavailable
from eventresults.log.base import Log, LogInfo, Record

#: A log that gives nothing for this long before its own end has stopped answering.
SILENCE = 30.0
POLL = 0.5


class Found(NamedTuple):
    """One record and its partition."""

    partition: int
    record: Record


class Stretch(NamedTuple):
    """What to read: from these offsets to before those; within them, records before `until` (log time, ms)."""

    starts: Mapping[int, int]
    ends: Mapping[int, int]
    until: int | None = None

    @property
    def offsets(self) -> int:
        """How many offsets lie in it; no fewer than its records."""
        return sum(max(end - self.starts[partition], 0) for partition, end in self.ends.items())


def between(
    log: Log,
    info: LogInfo,
    *,
    begin: Sequence[Position | datetime],
    end: Sequence[Position | datetime],
    partitions: Sequence[int] | None = None,
) -> Stretch:
    """The stretch from these places on and before those. Positions name the partitions to read; without any, all are (or `partitions`).

    It begins no earlier than the log does, and ends no later. Raises ValueError for a partition that this log does not have, and what
    the log raises.
    """
    first = {one.partition: one.offset for one in begin if isinstance(one, Position)}
    last = {one.partition: one.offset for one in end if isinstance(one, Position)}
    for partition in first | last:
        if partition not in info.starts:
            raise ValueError(f"there is no partition {partition}: this log has {info.partitions}, counted from 0")
    named = set(first) | set(last) or set(info.starts)
    chosen = sorted(named if partitions is None else named & set(partitions))
    since = max((_ms(one) for one in begin if isinstance(one, datetime)), default=None)
    until = min((_ms(one) for one in end if isinstance(one, datetime)), default=None)
    starts = {}
    for partition in chosen:
        start = max(first.get(partition, 0), info.starts[partition])
        starts[partition] = start if since is None else first_at(log, partition, start, info.ends[partition], since)
    return Stretch(starts, {p: min(last.get(p, info.ends[p]), info.ends[p]) for p in chosen}, until)


def read(log: Log, what: Stretch) -> Iterator[Found]:
    """The records of a stretch: in order within a partition. Raises `LogUnavailable` when the log stops answering."""
    ends = {partition: end for partition, end in what.ends.items() if what.starts[partition] < end}
    if not ends:
        return
    reader = log.reader({partition: what.starts[partition] for partition in ends})
    heard = monotonic()
    try:
        while ends:
            polled = reader.poll(POLL)
            if polled:
                heard = monotonic()
            elif monotonic() - heard > SILENCE:
                raise LogUnavailable(
                    f"{log.url} gave no record for {SILENCE:g} s before its end: is it reachable?", url=log.url, reason="silence"
                )
            for partition, poll in polled.items():
                if partition not in ends:
                    continue
                for record in poll.records:
                    if record.offset >= ends[partition] or (what.until is not None and record.log_time >= what.until):
                        ends.pop(partition)
                        break
                    yield Found(partition, record)
                else:
                    if poll.next_offset >= ends[partition]:
                        ends.pop(partition)
    finally:
        reader.close()


def exact(log: Log, what: Stretch) -> Stretch:
    """The same stretch, its ends found by offset, so that it is known how far they are."""
    until = what.until
    if until is None:
        return what
    return Stretch(what.starts, {p: first_at(log, p, min(what.starts[p], end), end, until) for p, end in what.ends.items()})


def first_at(log: Log, partition: int, start: int, end: int, when: int) -> int:
    """The first offset in start <= offset < end whose log time (ms) is `when` or later; `end` if there is none."""
    # Log time never falls: bisect.
    while start < end:
        middle = (start + end) // 2
        found = next(read(log, Stretch({partition: middle}, {partition: end})), None)
        if found is None or found.record.log_time >= when:
            end = middle
        else:
            start = found.record.offset + 1
    return end


def _ms(when: datetime) -> int:
    return int(when.timestamp() * 1000)
