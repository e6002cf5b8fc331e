"""What this process wrote itself, so that its reads can wait for it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from time import monotonic

from eventresults.domain.position import Position

#: Acknowledged writes remembered by id; beyond this they are remembered by partition alone (a read may then wait for more than its own).
REMEMBERED = 100_000


class OwnWrites:
    """Unacknowledged facts by id, and the positions of acknowledged ones until the view has folded them. Any thread."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget everything, as a forked child must: what the parent wrote is the parent's to see through."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        #: None holds the place of a fact that is being handed over.
        self._pending: dict[str, list[Future[Position] | None]] = {}
        self._acknowledged: dict[str, Position] = {}
        #: Per partition, the highest offset among the writes no longer remembered by id, and among all.
        self._floors: dict[int, int] = {}
        self._highest: dict[int, int] = {}

    def begin(self, subject: str, *, most: int, deadline: float) -> bool:
        """Take one of `most` places for unacknowledged facts of this id; False when none was free until the monotonic `deadline`.

        The place is given back by `add`, once that fact is acknowledged or has failed, or else by `give_up`.
        """
        with self._changed:
            while len(self._pending.get(subject, ())) >= most:
                remaining = deadline - monotonic()
                if remaining <= 0:
                    return False
                self._changed.wait(remaining)
            self._pending.setdefault(subject, []).append(None)
            return True

    def add(self, subject: str, future: Future[Position]) -> None:
        """The fact that a place was taken for is on its way."""
        with self._lock:
            places = self._pending[subject]
            places[places.index(None)] = future
        future.add_done_callback(lambda done: self._done(subject, done))

    def give_up(self, subject: str) -> None:
        """The fact that a place was taken for was not handed over."""
        with self._lock:
            self._leave(subject, None)

    def _done(self, subject: str, future: Future[Position]) -> None:
        with self._lock:
            # First known by its position and then no longer pending: a read looks without the lock.
            if not future.cancelled() and future.exception() is None:
                self._acknowledge(subject, future.result())
            self._leave(subject, future)

    def _leave(self, subject: str, what: Future[Position] | None) -> None:
        places = self._pending[subject]
        full = len(places)
        places.remove(what)
        if not places:
            del self._pending[subject]
        if full > 1:
            self._changed.notify_all()

    def _acknowledge(self, subject: str, position: Position) -> None:
        partition, offset = position
        known = self._acknowledged.get(subject)
        if known is None or known.offset < offset:
            self._acknowledged[subject] = position
        if offset > self._highest.get(partition, -1):
            self._highest[partition] = offset
        if len(self._acknowledged) > REMEMBERED:
            self._floors = dict(self._highest)
            self._acknowledged.clear()

    def concerns(self, subject: str) -> bool:
        """Whether a read of this id may have to wait for a write of this process. Cheap."""
        return subject in self._pending or subject in self._acknowledged or bool(self._floors)

    def pending(self, subject: str) -> list[Future[Position]]:
        """The facts of this id that are not acknowledged yet."""
        with self._lock:
            return [future for future in self._pending.get(subject, ()) if future is not None]

    def all_pending(self) -> list[Future[Position]]:
        """All facts that are not acknowledged yet."""
        with self._lock:
            return [future for places in self._pending.values() for future in places if future is not None]

    def needed(self, subject: str, partition: int) -> int:
        """The offset up to which the view must have folded this partition, so that it holds every acknowledged fact of this id."""
        with self._lock:
            known = self._acknowledged.get(subject)
            floor = self._floors.get(partition, -1)
            return max(floor, known.offset if known is not None else -1) + 1

    def all_needed(self) -> dict[int, int]:
        """The offsets up to which the view must have folded each partition, so that it holds every acknowledged fact."""
        with self._lock:
            return {partition: offset + 1 for partition, offset in self._highest.items()}

    def forget_acknowledged(self) -> None:
        """The log is another one now: the positions that it gave mean nothing any more."""
        with self._lock:
            self._acknowledged.clear()
            self._floors.clear()
            self._highest.clear()

    def folded(self, subject: str, positions: Mapping[int, int]) -> None:
        """The view reached these positions (by partition): what lies before them need not be remembered."""
        with self._lock:
            known = self._acknowledged.get(subject)
            if known is not None and known.offset < positions.get(known.partition, 0):
                del self._acknowledged[subject]
            for known_by in (self._floors, self._highest):
                for partition in [p for p, offset in known_by.items() if offset < positions.get(p, 0)]:
                    del known_by[partition]
