"""Telling again: the changes of some ids that the view holds in history, for who was away while they were told."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from eventresults.codec.ids import key_of
from eventresults.domain.meta import TaskMeta
from eventresults.log.base import Log
from eventresults.projector.states import Lifetimes, States
from eventresults.view.base import Change, Fact, Listener
from eventresults.view.live import LiveView
from eventresults.view.shard import Shard

#: Rows looked up together.
LOOK_UP: Final = 1_000
#: Changes that a gate holds back at most.
HELD_BACK: Final = 50_000


def replay(
    view: LiveView, log: Log, subjects: Iterable[str], after: Mapping[int, int], until: Mapping[int, int], lifetimes: Lifetimes
) -> Iterator[Change]:
    """The changes of all these ids at or after the offsets `after` and before the offsets `until`, each id's oldest first.

    A partition that is not in both: none of it. `until` must have been reached, see `LiveView.reached`.
    """
    spans = {partition: (start, until[partition]) for partition, start in after.items() if until.get(partition, start) > start}
    if not spans:
        return
    by_partition: dict[int, list[str]] = {}
    for subject in subjects:
        partition = log.partition_for(key_of(subject))
        if partition in spans:
            by_partition.setdefault(partition, []).append(subject)
    for partition, concerned in by_partition.items():
        for at in range(0, len(concerned), LOOK_UP):
            shard, some = view.shard(partition), concerned[at : at + LOOK_UP]
            tasks = shard.tasks(some)
            for subject in some:
                yield from _replayed(shard, subject, tasks.get(subject), spans[partition], lifetimes)


def _replayed(shard: Shard, subject: str, task: TaskMeta | None, span: tuple[int, int], lifetimes: Lifetimes) -> Iterator[Change]:
    """The changes of this id in this span of offsets, oldest first, as the projector told them."""
    start, end = span
    last = [meta.last_offset for meta in (task, shard.group(subject)) if meta is not None]
    if not any(offset >= start for offset in last):
        return
    facts = sorted((fact for offset in last for fact in shard.history(subject, offset)), key=_position)
    states = States({}, {subject: None}, lifetimes)
    for fact in facts:
        before, now = states.tell(fact.event, fact.position, fact.log_time, shard)
        if start <= fact.position.offset < end and now is not None and now is not before:
            yield Change(subject, fact, now)


def _position(fact: Fact) -> tuple[int, int]:
    return fact.position


class Gate:
    """A listener before another one: holds back what is told live until history has been told, and lets nothing through twice.

    `overrun` is called when more is held back than may be.
    """

    def __init__(self, listener: Listener, overrun: Callable[[], None] = lambda: None) -> None:
        self._listener = listener
        self._overrun = overrun
        self._lock = threading.Lock()
        self._held: deque[Change] | None = deque()
        self._until: Mapping[int, int] = {}

    def __call__(self, change: Change, /) -> None:
        """One that happened just now."""
        with self._lock:
            if self._held is not None:
                if len(self._held) < HELD_BACK:
                    self._held.append(change)
                else:
                    self._overrun()
                return
        self._pass(change)

    def open(self, until: Mapping[int, int]) -> None:
        """History before `until` is told: now what came meanwhile, and from now on all at once."""
        with self._lock:
            self._until = until
            for change in self._held or ():
                self._pass(change)
            self._held = None

    def _pass(self, change: Change) -> None:
        partition, offset = change.fact.position
        # What was committed when history was read may be told live only afterwards.
        if offset >= self._until.get(partition, 0):
            self._listener(change)
