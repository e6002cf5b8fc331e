"""Reading stretches of a log: between positions or times, its last records, and what comes."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import NamedTuple

import typer

from eventresults.cli.terminal import say
from eventresults.cli.times import milliseconds, moment
from eventresults.domain.position import Position
from eventresults.errors import LogUnavailable
from eventresults.log.base import Log, LogInfo, Record

#: A log that gives nothing for this long before its own end has stopped answering.
SILENCE = 30.0
POLL = 0.5

Wanted = Callable[[Record], bool]


class Found(NamedTuple):
    """One record and its partition."""

    partition: int
    record: Record


class Stretch(NamedTuple):
    """What to read: from these offsets to before those; within them, records at or after `since` and before `until` (log time, ms)."""

    starts: Mapping[int, int]
    ends: Mapping[int, int]
    until: int | None = None


def place(text: str) -> Position | datetime:
    """A position (`partition:offset`) or a time."""
    return Position.parse(text) if re.fullmatch(r"\d{1,9}:\d{1,19}", text.strip()) else moment(text)


def stretch(
    log: Log,
    info: LogInfo,
    *,
    begin: Sequence[Position | datetime],
    end: Sequence[Position | datetime],
    partitions: Sequence[int] | None = None,
) -> Stretch:
    """The stretch between these places. Positions name the partitions to read; without any, all of them are (or just `partitions`)."""
    first = {one.partition: one.offset for one in begin if isinstance(one, Position)}
    last = {one.partition: one.offset for one in end if isinstance(one, Position)}
    for partition in first | last:
        if partition not in info.starts:
            raise typer.BadParameter(f"there is no partition {partition}: this log has {info.partitions}, counted from 0")
    named = set(first) | set(last) or set(info.starts)
    chosen = sorted(named if partitions is None else named & set(partitions))
    since = max((milliseconds(one) or 0 for one in begin if isinstance(one, datetime)), default=None)
    until = min((milliseconds(one) or 0 for one in end if isinstance(one, datetime)), default=None)
    starts: dict[int, int] = {}
    for partition in chosen:
        start = first.get(partition, info.starts[partition])
        if start < info.starts[partition]:
            say(f"The log begins at {partition}:{info.starts[partition]} now: retention removed what was before.")
            start = info.starts[partition]
        starts[partition] = start if since is None else _first_at(log, partition, start, info.ends[partition], since)
    return Stretch(starts, {p: min(last.get(p, info.ends[p]), info.ends[p]) for p in chosen}, until)


def read(log: Log, what: Stretch) -> Iterator[Found]:
    """The records of a stretch: in order within a partition. Raises `LogUnavailable` when the log stops answering."""
    ends = {partition: end for partition, end in what.ends.items() if what.starts[partition] < end}
    while ends:
        at = dict(what.starts)
        reader = log.reader({partition: at[partition] for partition in ends})
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


def last(log: Log, info: LogInfo, partitions: Sequence[int], count: int, wanted: Wanted) -> list[Found]:
    """The last `count` wanted records of these partitions together, by log time."""
    found: list[Found] = []
    for partition in partitions if count else ():
        start, end, span = info.starts[partition], info.ends[partition], max(count, 64)
        while True:
            begin = max(start, end - span)
            kept = deque((one for one in read(log, Stretch({partition: begin}, {partition: end})) if wanted(one.record)), maxlen=count)
            if len(kept) == count or begin == start:
                break
            span *= 8  # too few of them were wanted, or offsets have holes: look further back
        found.extend(kept)
    return sorted(found, key=lambda one: one.record.log_time)[-count:] if count else []


def follow(log: Log, starts: Mapping[int, int]) -> Iterator[list[Found]]:
    """What comes, poll by poll, without an end; an unreachable log is told of and tried again."""
    reader = log.reader(starts)
    told = False
    try:
        while True:
            try:
                polled = reader.poll(POLL)
                told = False
            except LogUnavailable as error:
                if not told:
                    say(f"{error} Trying on.")
                told = True
                continue
            yield [Found(partition, record) for partition, poll in polled.items() for record in poll.records]
    finally:
        reader.close()


def _first_at(log: Log, partition: int, start: int, end: int, when: int) -> int:
    """The first offset in start <= offset < end whose log time is `when` or later; `end` if there is none. Log time never falls: bisect."""
    while start < end:
        middle = (start + end) // 2
        found = next(read(log, Stretch({partition: middle}, {partition: end})), None)
        if found is None or found.record.log_time >= when:
            end = middle
        else:
            start = found.record.offset + 1
    return end
