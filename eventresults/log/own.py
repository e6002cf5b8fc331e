"""What this process wrote itself, so that its reads can wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, wait
from time import monotonic

from eventresults.domain.position import Position
from eventresults.log.appends import Append

#: Ids whose facts are looked through at once for those acknowledged meanwhile; until then a fact is known by its future.
LOOKED_THROUGH = 20_000
#: Acknowledged writes remembered by id; beyond this they are remembered by partition alone (a read may then wait for more than its own).
REMEMBERED = 100_000
#: Of an id with facts without bound, those acknowledged meanwhile are looked for when so many came.
SETTLED_EVERY = 64


class OwnWrites:
    """Unacknowledged facts by id, and the positions of acknowledged ones until the view has folded them. Any thread.

    Nothing is done when a fact is acknowledged: its future says so to whoever asks. A busy writer has thousands on their way.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget everything, as a forked child must: what the parent wrote is the parent's to see through."""
        self._lock = threading.Lock()
        self._facts: dict[str, list[Append]] = {}
        self._acknowledged: dict[str, Position] = {}
        #: Per partition, the highest offset among the writes no longer remembered by id, and among all.
        self._floors: dict[int, int] = {}
        self._highest: dict[int, int] = {}
        self._look_through_at = LOOKED_THROUGH
        #: The last of the facts that are too many to be remembered by id, and what tells how far the log has them.
        self._last: Append | None = None
        self._last_number = 0
        self._reached: Callable[[], Mapping[int, int]] = dict
        self._positions: Callable[[], Mapping[int, int]] = dict

    def follow(self, positions: Callable[[], Mapping[int, int]]) -> None:
        """A view is read here: `positions()` tells how far it has folded each partition, and what lies before need not be remembered."""
        self._positions = positions

    def enter(self, subject: str, future: Append, *, most: int, timeout: float) -> bool:
        """A fact of this id is about to be handed over, at most the `most`th that is unacknowledged; False when it was not for `timeout` s.

        It counts until `future` is done.
        """
        with self._lock:
            facts = self._facts.get(subject)
            if facts is None:
                self._facts[subject] = [future]
                if len(self._facts) > self._look_through_at:
                    self._look_through()
                return True
            if len(facts) < most:
                facts.append(future)
                return True
        return self._enter_later(subject, future, most, monotonic() + timeout)

    def add_unbounded(self, subject: str, future: Append) -> None:
        """A fact is on its way that needed no place, for its kind of log bounds what waits."""
        with self._lock:
            facts = self._facts.setdefault(subject, [])
            if len(facts) % SETTLED_EVERY == SETTLED_EVERY - 1:
                self._settle(subject)
                facts = self._facts.setdefault(subject, [])
            facts.append(future)
            if len(self._facts) > self._look_through_at:
                self._look_through()

    def add_last(self, number: int, future: Append, reached: Callable[[], Mapping[int, int]]) -> None:
        """A fact is on its way, one of too many to be remembered by id: until `future` is done, any read waits for it.

        It is done only after all of lower numbers; `reached()` then gives the highest offset of each partition.
        """
        with self._lock:
            if self._last is None or self._last_number < number:
                self._last, self._last_number, self._reached = future, number, reached

    def give_up(self, subject: str) -> None:
        """The last fact of this id was not handed over, which its future says."""
        with self._lock:
            self._settle(subject)

    def concerns(self, subject: str) -> bool:
        """Whether a read of this id may have to wait for a write of this process. Cheap."""
        if self._last is not None or subject in self._facts:
            with self._lock:
                self._settle_last()
                self._settle(subject)
        return subject in self._facts or subject in self._acknowledged or bool(self._floors) or self._last is not None

    def pending(self, subject: str) -> list[Append]:
        """The facts of this id that are not acknowledged yet."""
        with self._lock:
            return self._settle(subject) + self._settle_last()

    def all_pending(self) -> list[Append]:
        """All facts that are not acknowledged yet."""
        with self._lock:
            return [future for subject in list(self._facts) for future in self._settle(subject)] + self._settle_last()

    def needed(self, subject: str, partition: int) -> int:
        """The offset up to which the view must have folded this partition, so that it holds every acknowledged fact of this id."""
        with self._lock:
            self._settle_last()
            self._settle(subject)
            known = self._acknowledged.get(subject)
            floor = self._floors.get(partition, -1)
            return max(floor, known.offset if known is not None else -1) + 1

    def all_needed(self) -> dict[int, int]:
        """The offsets up to which the view must have folded each partition, so that it holds every acknowledged fact."""
        with self._lock:
            self._settle_last()
            self._look_through()
            return {partition: offset + 1 for partition, offset in self._highest.items()}

    def forget_acknowledged(self) -> None:
        """The log is another one now: the positions that it gave mean nothing any more."""
        with self._lock:
            self._look_through()
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

    def _enter_later(self, subject: str, future: Append, most: int, deadline: float) -> bool:
        while True:
            with self._lock:
                pending = self._settle(subject)
                if len(pending) < most:
                    self._facts.setdefault(subject, []).append(future)
                    return True
            remaining = deadline - monotonic()
            if remaining <= 0:
                return False
            wait(pending, remaining, FIRST_COMPLETED)

    def _look_through(self) -> None:
        for subject in list(self._facts):
            self._settle(subject)
        self._look_through_at = len(self._facts) + LOOKED_THROUGH
        positions = self._positions()
        if positions:
            self._acknowledged = {s: at for s, at in self._acknowledged.items() if at.offset >= positions.get(at.partition, 0)}
        if len(self._acknowledged) > REMEMBERED:
            self._floors = dict(self._highest)
            self._acknowledged.clear()

    def _settle(self, subject: str) -> list[Append]:
        """What is still on its way of this id; what is not becomes a position. Under the lock."""
        facts = self._facts.get(subject)
        if facts is None:
            return []
        left: list[Append] = []
        last: Position | None = None
        for future in facts:
            outcome = future.outcome
            if outcome is None:
                left.append(future)
            elif isinstance(outcome, Position) and (last is None or outcome.offset > last.offset):
                last = outcome
        if last is not None:
            self._acknowledge(subject, last)
        if left:
            facts[:] = left
        else:
            # A read looks without the lock: the position was known before the fact is gone.
            del self._facts[subject]
        return left

    def _settle_last(self) -> list[Append]:
        """The last of too many, while it is on its way; then those before it are there, too. Under the lock."""
        if self._last is None:
            return []
        if not self._last.done():
            return [self._last]
        for partition, offset in self._reached().items():
            for known_by in (self._floors, self._highest):
                known_by[partition] = max(offset, known_by.get(partition, -1))
        self._last = None
        return []

    def _acknowledge(self, subject: str, position: Position) -> None:
        partition, offset = position
        known = self._acknowledged.get(subject)
        if known is None or known.offset < offset:
            self._acknowledged[subject] = position
        if offset > self._highest.get(partition, -1):
            self._highest[partition] = offset
