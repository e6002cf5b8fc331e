"""Projections on their way through one poll: what was told them becomes rows of the same batch, or the mark of a failure."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from eventresults.codec import plain
from eventresults.codec.wire import check_wire
from eventresults.domain.events import TaskEvent, UnknownEvent
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position
from eventresults.domain.projection import LONGEST_KEY, Projection, Transition
from eventresults.view import keys
from eventresults.view.projected import Mark, begun
from eventresults.view.shard import Batch, Head, Shard

logger = logging.getLogger(__name__)


class Running:
    """The projections of one poll. `batch_into` ends it."""

    def __init__(self, shard: Shard, head: Head, projections: Sequence[Projection]) -> None:
        marks = begun(projections) if head.fresh else head.projections
        #: Of each projection that was folded up to here, whether or not it may go on.
        self._marks: dict[str, Mark] = {
            one.name: mark for one in projections if (mark := marks.get(one.name)) is not None and mark["version"] == one.version
        }
        self._going = [_Going(one, shard) for one in projections if one.name in self._marks and "failed" not in self._marks[one.name]]

    def tell(
        self,
        event: TaskEvent | UnknownEvent,
        at: Position,
        log_time: int,
        before: TaskMeta | GroupMeta | None,
        after: TaskMeta | GroupMeta,
    ) -> None:
        """One fact that counted, and the rows before and after it."""
        transition = Transition(event, at, log_time, _as_read(before, log_time), _as_read(after, log_time))
        for one in self._going:
            try:
                one.tell(transition)
            except Exception as error:  # noqa: BLE001 - it is the user's code
                self._fail(one, at, error)

    def batch_into(self, batch: Batch) -> dict[str, Mark]:
        """Put what changed into the batch; the marks for its head."""
        for one in list(self._going):
            puts: dict[bytes, bytes] = {}
            deletes: list[bytes] = []
            changed_at = Position(0, -1)
            try:
                for key, (state, changed_at) in one.states.items():  # noqa: B007 - it says where this fails
                    row = keys.projected(one.projection.name, key)
                    if state is None:
                        deletes.append(row)
                    else:
                        check_wire(state, name=f"the state of {key[:64]!r}")
                        puts[row] = plain.pack(state)
            except Exception as error:  # noqa: BLE001
                self._fail(one, changed_at, error)
                continue
            batch.puts.update(puts)
            batch.deletes.extend(deletes)
        return self._marks

    def _fail(self, one: _Going, at: Position, error: Exception) -> None:
        name = one.projection.name
        self._going = [other for other in self._going if other is not one]
        reason = f"{type(error).__name__}: {error}"[:500]
        self._marks = {**self._marks, name: {**self._marks[name], "failed": {"offset": at.offset, "reason": reason}}}
        logger.error("the projection %s failed at %s and is not run on; the tasks' own view goes on", name, at, exc_info=error)


class _Going:
    """One projection that may go on, and the states that this poll has changed so far, each with the position that did."""

    def __init__(self, projection: Projection, shard: Shard) -> None:
        self.projection = projection
        self.states: dict[str, tuple[Any, Position]] = {}
        self._shard = shard

    def tell(self, transition: Transition) -> None:
        projection = self.projection
        key = projection.key(transition)
        if key is None:
            return
        if key in self.states:
            state, _ = self.states[key]
        else:
            if type(key) is not str or not 0 < len(key.encode()) <= LONGEST_KEY:
                raise ValueError(f"a key is 1 to {LONGEST_KEY} bytes of UTF-8, not {key!r:.80}")
            raw = self._shard.get(keys.projected(projection.name, key))
            state = None if raw is None else plain.unpack(raw)
        self.states[key] = projection.apply(state, transition), transition.position


def _as_read(meta: TaskMeta | GroupMeta | None, log_time: int) -> TaskMeta | GroupMeta | None:
    """What a read at this log time would have told of it."""
    return meta if meta is not None and meta.exists and not meta.expired(log_time) else None
