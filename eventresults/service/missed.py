"""Requests to revoke that came while nobody told of them: no index holds these, the log does."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import monotonic

from eventresults.codec.events import decode_event
from eventresults.domain.events import TaskRevokeRequested
from eventresults.domain.position import Position
from eventresults.errors import EventCorrupt, EventResultsError
from eventresults.log.base import Log, Record
from eventresults.view.base import Change, Fact
from eventresults.view.listeners import Listeners

logger = logging.getLogger(__name__)

LIMIT_SECONDS = 10.0


def tell_missed_revokes(log: Log, after: Mapping[int, int], listeners: Listeners) -> None:
    """Tell of every request to revoke that the log holds from these offsets on, in at most 10 seconds; some may be told twice."""
    deadline = monotonic() + LIMIT_SECONDS
    try:
        ends = log.ends(sorted(after), LIMIT_SECONDS)
        left = {partition: offset for partition, offset in after.items() if offset < ends[partition]}
        reader = log.reader(left)
        try:
            while left and monotonic() < deadline:
                for partition, poll in reader.poll(0.2).items():
                    for record in poll.records:
                        _tell(partition, record, listeners)
                    if poll.next_offset >= ends[partition]:
                        left.pop(partition, None)
        finally:
            reader.close()
    except EventResultsError as error:
        logger.warning("requests to revoke that came meanwhile could not be looked for: %s", error)
    else:
        if left:
            logger.warning("requests to revoke that came meanwhile were not all looked for in %g s", LIMIT_SECONDS)


def _tell(partition: int, record: Record, listeners: Listeners) -> None:
    if record.value is None or TaskRevokeRequested.kind.encode() not in record.value:
        return
    at = Position(partition, record.offset)
    try:
        event = decode_event(record.value, key=record.key, position=at)
    except EventCorrupt:
        return  # the view has it among its dead letters
    if isinstance(event, TaskRevokeRequested):
        listeners.tell_revoke(Change(event.task_id, Fact(at, record.log_time, event), None))
