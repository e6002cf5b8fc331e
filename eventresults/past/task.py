"""One task at a moment: from the view's history where that suffices, else from the log or its archive, and it says which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

from eventresults.codec.events import decode_event
from eventresults.codec.ids import key_of
from eventresults.domain.events import GroupFact, TaskSent
from eventresults.domain.fold import UNFINISHED_EXPIRES
from eventresults.domain.meta import TaskMeta
from eventresults.domain.position import Position
from eventresults.errors import EventCorrupt
from eventresults.log.base import Log, LogInfo, Record
from eventresults.log.stretch import Stretch, first_at, read
from eventresults.past.fold import When, as_of, other_partition
from eventresults.past.reach import Reach
from eventresults.view.base import Fact

Source = Literal["view", "log", "archive"]


class Histories(Protocol):
    """Whoever tells the facts of an id: a `ViewReader`."""

    def history(self, subject: str) -> list[Fact]:
        """See `ViewReader.history`."""


@dataclass(frozen=True)
class Past:
    """What was known of one task at a moment, and how that is known.

    `meta`: None where the task did not exist then. `source`: who answered. `partial`: the log begins amid this task's life, so that what
    was told earlier is missing.
    """

    task_id: str
    when: When
    meta: TaskMeta | None
    source: Source
    partial: bool = False


class TimeTravel:
    """Answers what was known of tasks. Any thread.

    `complete_since` tells, of a partition, the log time (ms) from which on the view has kept all that existed: see
    `eventresults.service.answers`. `unfinished_expires` (ms; 0: never) is how long the view keeps a task without an end; `timeout`
    (seconds) bounds each question to the log. `older` opens an archive of the log, where what retention took is read (None: nowhere).
    """

    def __init__(
        self,
        view: Histories,
        log: Log,
        *,
        complete_since: Callable[[int], int],
        unfinished_expires: int = UNFINISHED_EXPIRES,
        timeout: float = 10.0,
        older: Callable[[], Log] | None = None,
    ) -> None:
        self._view: Final = view
        self._log: Final = log
        self._complete_since = complete_since
        self._unfinished_expires = unfinished_expires
        self._timeout = timeout
        self._older = older

    def task(self, task_id: str, when: When) -> Past:
        """What was known of this task at a log time, or up to and with a position.

        Raises ValueError for a time without a zone and for a position in another partition than the task's, `PastGone` when the moment
        lies before what the log still holds, and what the view and the log raise.
        """
        facts = [fact for fact in self._view.history(task_id) if not isinstance(fact.event, GroupFact)]
        meta = as_of(facts, when, unfinished_expires=self._unfinished_expires)
        if facts and _reached(facts[0].position.offset, facts[0].log_time, when):
            return Past(task_id, when, meta, "view")
        # Nothing that the view holds was told by then: did it never hold more, or does it no longer?
        partition = self._log.partition_for(key_of(task_id))
        if isinstance(when, Position) and when.partition != partition:
            raise other_partition(when, partition)
        reach = self.reach()
        log, info, begins = reach
        start = info.starts[partition]
        reach.check(when, partition)
        # A view that is younger than the log's start may never have held what the archive alone can tell.
        if not reach.is_archived(when, partition) and self._kept(log, partition, when, info):
            return Past(task_id, when, None, "view")
        facts = self._from_log(log, task_id, partition, when, info)
        meta = as_of(facts, when, unfinished_expires=self._unfinished_expires)
        partial = bool(facts) and start > 0 and not isinstance(facts[0].event, TaskSent)
        archived = start < begins[partition] and (not facts or facts[0].position.offset < begins[partition])
        return Past(task_id, when, meta, "archive" if archived else "log", partial=partial)

    def reach(self) -> Reach:
        """The log, as far back as it can be read; an archive is opened only where retention took something."""
        gone = self._older is not None and any(self._log.info(self._timeout).starts.values())
        return Reach.of(self._log, self._older() if gone and self._older is not None else None, self._timeout)

    def _kept(self, log: Log, partition: int, when: When, info: LogInfo) -> bool:
        """Whether the view would still know of whatever existed then."""
        if isinstance(when, datetime):
            return _ms(when) >= self._complete_since(partition)
        if when.offset < info.starts[partition]:
            return True
        record = log.read(when, self._timeout)
        return record is not None and record.log_time >= self._complete_since(partition)

    def _from_log(self, log: Log, task_id: str, partition: int, when: When, info: LogInfo) -> list[Fact]:
        key, start, end = key_of(task_id), info.starts[partition], info.ends[partition]
        end = min(end, when.offset + 1) if isinstance(when, Position) else first_at(log, partition, start, end, _ms(when) + 1)
        found = (one.record for one in read(log, Stretch({partition: start}, {partition: end})))
        return [fact for record in found if record.key == key and (fact := _fact(partition, record)) is not None]


def _fact(partition: int, record: Record) -> Fact | None:
    """What this record tells of a task; None for what is no event, or a group's."""
    at = Position(partition, record.offset)
    try:
        event = decode_event(record.value, key=record.key, position=at)
    except EventCorrupt:
        return None
    return None if isinstance(event, GroupFact) else Fact(at, record.log_time, event)


def _reached(offset: int, log_time: int, when: When) -> bool:
    """Whether what stands there was told by this moment."""
    return offset <= when.offset if isinstance(when, Position) else log_time <= _ms(when)


def _ms(when: datetime) -> int:
    return int(when.timestamp() * 1000)
