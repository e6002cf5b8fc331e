"""Who is told a stretch of the log again: nobody, whoever prints it, or another log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import Final

from eventresults.domain.events import TaskEvent, UnknownEvent
from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout
from eventresults.log.base import Log
from eventresults.log.stretch import Found
from eventresults.replay.retelling import Retelling

#: A life knows its last 64 facts again; of what is not safe yet, and so may come twice, no task has more than this.
MOST_OF_ONE: Final = 32
MOST: Final = 1_000
SETTLE_SECONDS: Final = 60.0


class Counting:
    """Takes it all and tells nobody: what is counted is what a replay would tell."""

    full = False

    def __init__(self) -> None:
        #: The tasks and groups that would be told of.
        self.subjects: set[str] = set()

    def take(self, found: Found, event: TaskEvent | UnknownEvent) -> None:  # noqa: ARG002 - it looks at the event alone
        """Count its task or group."""
        self.subjects.add(event.subject)

    def settle(self) -> None:
        """Nothing."""


class Printing:
    """Hands each record on, and flushes."""

    full = False

    def __init__(self, show: Callable[[Found], None], flush: Callable[[], None]) -> None:
        self._show = show
        self.settle = flush

    def take(self, found: Found, event: TaskEvent | UnknownEvent) -> None:  # noqa: ARG002 - as recorded
        """Show it."""
        self._show(found)


class Appending:
    """Appends to another log what `retelling` makes of each event. Close it.

    What is told twice, because a replay was resumed, has the same event ids, and counts once.
    """

    def __init__(self, log: Log, retelling: Retelling) -> None:
        self._retelling = retelling
        self._writer = log.writer()
        self._pending: list[Future[Position]] = []
        self._by_subject: Counter[str] = Counter()
        self.full = False
        #: Events that have no form there.
        self.left_out = 0

    def take(self, found: Found, event: TaskEvent | UnknownEvent) -> None:
        """Append it. Raises what `EventWriter.append` does."""
        told = self._retelling(found, event)
        if told is None:
            self.left_out += 1
            return
        self._pending.append(self._writer.append(*told))
        self._by_subject[event.subject] += 1
        self.full = self.full or len(self._pending) >= MOST or self._by_subject[event.subject] >= MOST_OF_ONE

    def settle(self) -> None:
        """Wait until the log has all of it."""
        deadline = monotonic() + SETTLE_SECONDS
        for future in self._pending:
            try:
                future.result(max(deadline - monotonic(), 0.0))
            except TimeoutError as error:
                if isinstance(error, AppendTimeout):
                    raise
                raise AppendTimeout(
                    f"The other log did not acknowledge within {SETTLE_SECONDS:g} s: resume when it does.", timeout=SETTLE_SECONDS
                ) from error
        self._pending = []
        self._by_subject.clear()
        self.full = False

    def close(self) -> None:
        """Idempotent."""
        self._writer.close()
