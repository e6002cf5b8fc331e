"""Reading stretches of a log: between positions or times, its last records, and what comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

import typer

from eventresults.cli.terminal import say
from eventresults.cli.times import place
from eventresults.domain.position import Position
from eventresults.errors import LogUnavailable
from eventresults.log.base import Log, LogInfo, Record
from eventresults.log.stretch import POLL, Found, Stretch, between, read

__all__ = ["Found", "Stretch", "Wanted", "follow", "last", "place", "read", "stretch"]

Wanted = Callable[[Record], bool]


def stretch(
    log: Log,
    info: LogInfo,
    *,
    begin: Sequence[Position | datetime],
    end: Sequence[Position | datetime],
    partitions: Sequence[int] | None = None,
) -> Stretch:
    """See `eventresults.log.stretch.between`; what retention removed is passed over, and told."""
    try:
        found = between(log, info, begin=begin, end=end, partitions=partitions)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    for one in begin:
        if isinstance(one, Position) and one.partition in found.starts and one.offset < info.starts[one.partition]:
            say(f"The log begins at {one.partition}:{info.starts[one.partition]} now: retention removed what was before.")
    return found


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
