"""The loop of the projector: poll, fold, commit, and then tell."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import NamedTuple

from eventresults.domain.projection import Projection
from eventresults.log.base import EventReader, Poll
from eventresults.projector.batch import fold_poll
from eventresults.projector.states import Lifetimes
from eventresults.view.live import LiveView
from eventresults.view.shard import Head

logger = logging.getLogger(__name__)


class Step(NamedTuple):
    """One poll of one partition that was folded and committed: where the shard stood before and after it, and how long that took."""

    partition: int
    before: Head
    after: Head
    fold_seconds: float
    commit_seconds: float


#: Told of every step, on the projector's thread: it must return at once and raise nothing.
Observer = Callable[[Step], None]


def unobserved(_: Step) -> None:
    """The observer that looks away."""


class Projector:
    """Moves a live view along its log, one poll at a time. Used by one thread; `wake` may come from any."""

    def __init__(
        self,
        reader: EventReader,
        view: LiveView,
        heads: Mapping[int, Head],
        lifetimes: Lifetimes | None = None,
        *,
        observer: Observer = unobserved,
        projections: Sequence[Projection] = (),
    ) -> None:
        self._reader = reader
        self._view = view
        self._heads = dict(heads)
        self._lifetimes = lifetimes or Lifetimes()
        self._observer = observer
        self._projections = projections

    @property
    def heads(self) -> Mapping[int, Head]:
        """Where each shard stands."""
        return self._heads

    def poll(self, timeout: float) -> Mapping[int, Poll]:
        """Wait at most `timeout` seconds for records. Raises what the reader raises."""
        return self._reader.poll(timeout)

    def fold(self, polled: Mapping[int, Poll]) -> int:
        """Fold what `poll` gave, commit, publish; the number of records taken.

        Raises what the store raises; nothing of that partition's poll is then committed, and only a new reader at the positions of
        `heads` gives it again.
        """
        taken = 0
        for partition, poll in polled.items():
            if partition not in self._heads:
                continue  # it left while this was on its way
            shard, before, begun = self._view.shard(partition), self._heads[partition], perf_counter()
            folded = fold_poll(shard, before, poll, self._lifetimes, watched=self._view.watched, projections=self._projections)
            committing = perf_counter()
            shard.commit(folded.batch)
            committed = perf_counter()
            if before.projections:
                _tell_dropped(partition, before, folded.batch.head)
            self._heads[partition] = folded.batch.head
            self._view.publish(partition, poll.next_offset, folded.changes(self._view.listens))
            self._observer(Step(partition, before, folded.batch.head, committing - begun, committed - committing))
            taken += len(poll.records)
        return taken

    def enter(self, partition: int, head: Head) -> None:
        """Fold this partition, too; the view has its shard. Not while `fold` runs."""
        self._heads[partition] = head

    def leave(self, partition: int) -> None:
        """Fold this partition no more. Not while `fold` runs."""
        self._heads.pop(partition, None)

    def wake(self) -> None:
        """Make a step in progress return at once."""
        self._reader.wake()

    def close(self) -> None:
        """Close the reader; the view stays. Idempotent."""
        self._reader.close()


def _tell_dropped(partition: int, before: Head, after: Head) -> None:
    for name in sorted(before.projections.keys() - after.projections.keys()):
        logger.warning(
            "partition %d goes on without the projection %s, which this process does not have in that version: it is built anew once an "
            "owner that has it comes",
            partition,
            name,
        )
