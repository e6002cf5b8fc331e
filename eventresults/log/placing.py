"""Finding where a record lies that was acknowledged without saying so.

An idempotent producer that repeats a batch, because the acknowledgement was lost with its broker, may be told no more than that the log has
it already. It lies near the end then: the log is read backwards from there, in steps that grow, until it is met.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from time import monotonic
from typing import Final, NamedTuple, Protocol

from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout, EventResultsError
from eventresults.log.appends import Append
from eventresults.log.base import EventReader, LogInfo, Record

#: How far before the end to look first, in records, and how much further each time.
FIRST_STEP: Final = 500
GROWTH: Final = 10
POLL_SECONDS: Final = 0.5
#: Before the log is asked again, when it cannot be.
PAUSE_SECONDS: Final = 0.2


class Readable(Protocol):
    """What is asked of the log."""

    @property
    def url(self) -> str:
        """Where it is."""

    def info(self, timeout: float) -> LogInfo:
        """See `Log.info`."""

    def reader(self, positions: Mapping[int, int]) -> EventReader:
        """See `Log.reader`."""


class Unplaced(NamedTuple):
    """A record that is in the log, somewhere in this partition."""

    future: Append
    partition: int
    value: bytes


class Placing:
    """Completes futures of records whose place is not known, on a thread that is there while there are any; then calls `placed` with each.

    What is not found within `timeout` seconds gets `AppendTimeout`. Any thread.
    """

    def __init__(self, log: Readable, *, timeout: float, placed: Callable[[Append], None]) -> None:
        self._log = log
        self._timeout = timeout
        self._placed = placed
        self._waiting: deque[Unplaced] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        #: What was found already: equal records lie at several places.
        self._taken: set[Position] = set()
        self._stopped = False

    def find(self, future: Append, partition: int, value: bytes) -> None:
        """Complete this one in time. Returns at once."""
        with self._lock:
            self._waiting.append(Unplaced(future, partition, value))
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._run, name="eventresults-placing", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Look for no more. Idempotent; does not wait."""
        self._stopped = True

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or self._stopped:
                    self._thread = None
                    self._taken.clear()
                    return
                one = self._waiting.popleft()
            one.future.settle(self._place(one))
            self._placed(one.future)

    def _place(self, one: Unplaced) -> Position | AppendTimeout:
        deadline = monotonic() + self._timeout
        pause = threading.Event()
        while not self._stopped and not one.future.done() and monotonic() < deadline:
            try:
                found = self._look(one, deadline)
            except EventResultsError:  # the brokers are still finding their feet: again, until time is up, and then it is said
                pause.wait(PAUSE_SECONDS)
                continue
            if found is not None:
                self._taken.add(found)
                return found
            pause.wait(PAUSE_SECONDS)
        key = one.future.key.decode("utf-8", "replace")
        return AppendTimeout(
            f"{self._log.url} has a fact of {key[:64]!r}, but did not tell where within {self._timeout:g} s: append it again with the same "
            "event_id, it then counts once",
            key=key,
            timeout=self._timeout,
        )

    def _look(self, one: Unplaced, deadline: float) -> Position | None:
        info = self._log.info(max(deadline - monotonic(), 0.1))
        start, end = info.starts[one.partition], info.ends[one.partition]
        step, until = FIRST_STEP, end
        while until > start and monotonic() < deadline:
            since = max(end - step, start)
            for record in self._records(one.partition, since, until, deadline):
                at = Position(one.partition, record.offset)
                if record.value == one.value and record.key == one.future.key and at not in self._taken:
                    return at
            step, until = step * GROWTH, since
        return None

    def _records(self, partition: int, since: int, until: int, deadline: float) -> list[Record]:
        records: list[Record] = []
        position = since
        with closing(self._log.reader({partition: since})) as reader:
            while position < until and monotonic() < deadline:
                poll = reader.poll(POLL_SECONDS).get(partition)
                if poll is not None:
                    records.extend(record for record in poll.records if record.offset < until)
                    position = poll.next_offset
        return records
