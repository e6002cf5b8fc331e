"""The first facts of a process, which open its log: who may not wait for that hands them over, and goes on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from eventresults.errors import AppendTimeout, EventResultsError, LogUnavailable, TopicMisconfigured
from eventresults.log.appends import Append
from eventresults.log.base import EventWriter

#: Facts that may wait for a log to be opened.
WAITING = 10_000


class Opening:
    """One writer, opened by whoever appends first: in the foreground, or by a thread for one that gives a `timeout`. Any thread.

    Facts keep the order in which they were handed over. What waited for a log that could not be opened fails with the reason.
    """

    def __init__(self, writer: EventWriter, *, patience: float) -> None:
        """`patience` (seconds) bounds how long one without a timeout waits for those before it."""
        self._writer = writer
        self._patience = patience
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[tuple[Append, bytes, bytes]] = deque()
        self._thread: threading.Thread | None = None
        #: The log is open, and nothing waits for it.
        self._open = False

    def append(self, key: bytes, value: bytes, timeout: float | None, future: Append) -> None:
        """As `EventWriter.append`; with a timeout, opening the log takes none of it."""
        if self._open:
            self._writer.append(key, value, timeout, future)
        elif timeout is not None:
            self._append_later(key, value, timeout, future)
        elif not self.wait(self._patience):
            raise self._too_late(key, self._patience)
        else:
            self._writer.append(key, value, None, future)
            with self._changed:
                self._open = self._thread is None

    def begin(self) -> None:
        """Have the log opened by now, without waiting; what keeps it from that is told to who appends."""
        with self._changed:
            if not self._open and self._thread is None:
                self._start(self._reach)

    def wait(self, timeout: float) -> bool:
        """Wait until nothing waits here; False when `timeout` seconds were not enough."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, timeout)

    def _append_later(self, key: bytes, value: bytes, timeout: float, future: Append) -> None:
        with self._changed:
            if not self._open:
                if len(self._waiting) >= WAITING:
                    raise self._too_late(key, timeout)
                self._waiting.append((future, key, value))
                if self._thread is None:
                    self._start(self._run)
                return
        self._writer.append(key, value, timeout, future)

    def _start(self, target: Callable[[], None]) -> None:
        # A daemon: the process may end before a log that is away answers.
        self._thread = threading.Thread(target=target, name="eventresults-opening", daemon=True)
        self._thread.start()

    def _reach(self) -> None:
        try:
            self._writer.open()
        except EventResultsError:
            with self._changed:
                if not self._waiting:
                    self._end()
                    return
        self._run()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._open = True
                    self._end()
                    return
                future, key, value = self._waiting.popleft()
            try:
                self._writer.append(key, value, None, future)
            except (LogUnavailable, TopicMisconfigured, AppendTimeout) as error:
                self._fail(future, error)
                return
            except Exception as error:  # noqa: BLE001 - this fact's own trouble, told to whoever waits for it
                future.settle(error)

    def _fail(self, future: Append, error: EventResultsError) -> None:
        with self._changed:
            failed = [future, *(one for one, _, _ in self._waiting)]
            self._waiting.clear()
            self._end()
        for one in failed:
            one.settle(error)

    def _end(self) -> None:
        self._thread = None
        self._changed.notify_all()

    def _too_late(self, key: bytes, timeout: float) -> AppendTimeout:
        return AppendTimeout(
            f"The log was still being opened, and {len(self._waiting):,} facts wait for it: is it reachable? Nothing was appended.",
            key=key.decode("utf-8", "replace"),
            timeout=timeout,
        )
