"""The fold of one task, stopped on its way."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import cast

from eventresults.domain.fold import UNFINISHED_EXPIRES, TaskKind, apply
from eventresults.domain.meta import TaskMeta
from eventresults.domain.position import Position
from eventresults.view.base import Fact

#: A moment: a log time (with a zone), or up to and with the fact at a position.
When = datetime | Position


def as_of(history: Iterable[Fact], when: When, *, unfinished_expires: int = UNFINISHED_EXPIRES) -> TaskMeta | None:
    """What the facts up to a log time, or up to and with a position, add up to; None where the task did not exist then.

    `unfinished_expires` (milliseconds; 0: never) is how long the view keeps a task without an end.

    Raises ValueError for a time without a zone, and for a position in another partition than the task's.
    """
    if isinstance(when, Position):
        return _at_position(history, when, unfinished_expires)
    if when.tzinfo is None:
        raise ValueError(f"as_of({when!r}) needs a time zone: datetime(…, tzinfo=UTC), or when.astimezone()")
    clock = when.timestamp() * 1000
    meta = folded((fact for fact in history if fact.log_time <= clock), unfinished_expires=unfinished_expires)
    return meta if meta is not None and meta.exists and not meta.expired(int(clock)) else None


def folded(history: Iterable[Fact], *, unfinished_expires: int = UNFINISHED_EXPIRES) -> TaskMeta | None:
    """What these facts add up to, a tombstone included."""
    meta: TaskMeta | None = None
    for fact in history:
        meta = apply(meta, cast("TaskKind", fact.event), fact.position, fact.log_time, unfinished_expires=unfinished_expires)
    return meta


def _at_position(history: Iterable[Fact], when: Position, unfinished_expires: int) -> TaskMeta | None:
    facts = []
    for fact in history:
        if fact.position.partition != when.partition:
            raise other_partition(when, fact.position.partition)
        if fact.position.offset <= when.offset:
            facts.append(fact)
    meta = folded(facts, unfinished_expires=unfinished_expires)
    return meta if meta is not None and meta.exists else None


def other_partition(when: Position, partition: int) -> ValueError:
    """The error for a task of another partition."""
    return ValueError(
        f"as_of({when}): this task's facts stand in partition {partition}, and positions of two partitions have no order. "
        "Ask by log time (a datetime) instead."
    )
