"""A stretch of the log, folded into a view of its own, perhaps with other projections; the live view knows nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from eventresults.domain.projection import Projection
from eventresults.log.base import Log, LogInfo, Poll, Record
from eventresults.log.stretch import Found, Stretch
from eventresults.projector import Lifetimes, fold_poll
from eventresults.replay.run import Tally, run
from eventresults.replay.where import Where
from eventresults.service.shards import Opened, OpenStore, open_shards

#: Records folded together.
FOLDED_AT_ONCE: Final = 5_000


def fold_stretch(
    log: Log,
    info: LogInfo,
    stretch: Stretch,
    where: Where,
    open_store: OpenStore,
    *,
    lifetimes: Lifetimes,
    projections: Sequence[Projection] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Opened, Tally]:
    """Fold the events that are meant into these stores, on from where they are; the shards, to be closed, and what was read."""
    opened = open_shards(open_store, info)
    try:
        for partition, head in opened.heads.items():
            if head.fresh and partition in stretch.starts:
                opened.heads[partition] = replace(head, next_offset=stretch.starts[partition])
        folding = _Folding(opened, lifetimes, projections)
        tally = run(log, stretch, where, folding, after=opened.positions, note=folding.move, progress=progress)
    except BaseException:
        opened.close()
        raise
    return opened, tally


class _Folding:
    """A `Taker` whose notes are the heads of the shards."""

    def __init__(self, opened: Opened, lifetimes: Lifetimes, projections: Sequence[Projection]) -> None:
        self._opened = opened
        self._lifetimes = lifetimes
        self._projections = projections
        self._taken: dict[int, list[Record]] = {}
        self._count = 0

    @property
    def full(self) -> bool:
        """See `Taker.full`."""
        return self._count >= FOLDED_AT_ONCE

    def take(self, found: Found, event: object) -> None:  # noqa: ARG002 - the fold reads the record
        """Keep it for the next commit."""
        self._taken.setdefault(found.partition, []).append(found.record)
        self._count += 1

    def settle(self) -> None:
        """It is safe once it is noted."""

    def move(self, at: Mapping[int, int], _: Tally) -> None:
        """Fold what was taken, and commit it with these offsets."""
        heads = self._opened.heads
        for partition, offset in at.items():
            if offset <= heads[partition].next_offset:
                continue
            poll = Poll(self._taken.get(partition, []), offset)
            shard = self._opened.shards[partition]
            batch = fold_poll(shard, heads[partition], poll, self._lifetimes, projections=self._projections).batch
            shard.commit(batch)
            heads[partition] = batch.head
        self._taken, self._count = {}, 0
