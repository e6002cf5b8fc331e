"""Telling again: the changes of some ids that the view holds in history, for who was away while they were told."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from eventresults.codec.ids import key_of
from eventresults.log.base import Log
from eventresults.projector.states import Lifetimes, States
from eventresults.view.base import Change, Fact, Listener
from eventresults.view.live import LiveView
from eventresults.view.shard import Shard


def replayed(shard: Shard, subject: str, after: int, lifetimes: Lifetimes) -> Iterator[Change]:
    """The changes of this id at or after this offset, oldest first, as the projector told them."""
    metas = (shard.task(subject), shard.group(subject))
    last = [meta.last_offset for meta in metas if meta is not None]
    if not any(offset >= after for offset in last):
        return
    facts = sorted((fact for offset in last for fact in shard.history(subject, offset)), key=_position)
    states = States({}, {subject: None}, lifetimes)
    for fact in facts:
        before, now = states.tell(fact.event, fact.position, fact.log_time, shard)
        if fact.position.offset >= after and now is not None and now is not before:
            yield Change(subject, fact, now)


def _position(fact: Fact) -> tuple[int, int]:
    return fact.position


def replay(view: LiveView, log: Log, subjects: Iterable[str], after: Mapping[int, int], lifetimes: Lifetimes) -> Iterator[Change]:
    """The changes of all these ids at or after these offsets, each id's oldest first. A partition that is not named: none of it."""
    for subject in subjects:
        partition = log.partition_for(key_of(subject))
        start = after.get(partition)
        if start is not None and partition in view.partitions and view.position(partition) > start:
            yield from replayed(view.shard(partition), subject, start, lifetimes)


class Gate:
    """A listener before another one: holds back what is told live until history has been told, and lets nothing through twice."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self._held: deque[Change] | None = deque()
        self._told: dict[str, int] = {}

    def __call__(self, change: Change, /) -> None:
        with self._lock:
            if self._held is not None:
                self._held.append(change)
                return
        self._listener(change)

    def told(self, change: Change) -> None:
        """This one, of history, was told."""
        self._told[change.subject] = change.fact.position.offset

    def open(self) -> None:
        """History is told: now what came meanwhile, and from now on all at once."""
        with self._lock:
            for change in self._held or ():
                if change.fact.position.offset > self._told.get(change.subject, -1):
                    self._listener(change)
            self._held = None
            self._told = {}
