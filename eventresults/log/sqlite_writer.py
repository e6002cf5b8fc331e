"""Appending to a SQLite file: one thread, and one transaction for all that is waiting."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain

from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout, LogUnavailable
from eventresults.log.appends import Append
from eventresults.log.bounds import InFlight, check_size
from eventresults.log.forked import leave_to_parent, sqlite_calls, tell_of_forks
from eventresults.log.sqlite_file import SqliteFile, explain, is_busy
from eventresults.log.sqlite_wakeup import Wakeup, wakeup_for

_OPEN_TIMEOUT = 10.0
_CLOSE_TIMEOUT = 5.0
_BATCH_RECORDS = 5_000
_ROWS = 50
_INSERT_ROW = "INSERT INTO records VALUES (?, ?, ?, ?)"
_INSERT_ROWS = _INSERT_ROW + ", (?, ?, ?, ?)" * (_ROWS - 1)


class SqliteWriter:
    """Appends through one thread, which commits whatever is waiting in one transaction."""

    def __init__(
        self,
        open_file: Callable[[float], SqliteFile],
        in_flight: InFlight,
        append_timeout: float,
        max_value_bytes: int,
        clock: Callable[[], int],
    ) -> None:
        self._open_file = open_file
        self._in_flight = in_flight
        self._append_timeout = append_timeout
        self._max_value_bytes = max_value_bytes
        self._clock = clock
        self._waiting: deque[tuple[Append, bytes]] = deque()
        self._handed = threading.Condition(threading.Lock())
        self._idle = False
        self._file: SqliteFile | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        tell_of_forks(self)

    def open(self) -> None:
        """See `EventWriter.open`."""
        if self._thread is None:
            self._start()

    def append(self, key: bytes, value: bytes, timeout: float | None = None, future: Append | None = None) -> Append:
        """See `EventWriter.append`."""
        check_size(key, value, self._max_value_bytes)
        if self._thread is None:
            self._start()
        future = self._in_flight.enter(key, value, timeout, future)
        self._waiting.append((future, value))
        if self._idle:
            with self._handed:
                self._handed.notify()
        return future

    def flush(self, timeout: float) -> bool:
        """See `EventWriter.flush`."""
        return self._in_flight.wait(timeout)

    def close(self) -> None:
        """See `EventWriter.close`."""
        deadline = time.monotonic() + _CLOSE_TIMEOUT
        self._in_flight.shut()
        self._in_flight.wait(_CLOSE_TIMEOUT)
        with self._handed:
            self._closed = True
            self._waiting.clear()
            self._handed.notify()
        self._in_flight.abandon()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(max(0.1, deadline - time.monotonic()))

    def after_fork_in_child(self) -> None:
        """The thread stayed behind with the parent: this writer is closed here."""
        if self._file is not None:
            leave_to_parent(self._file.connection)
        self._thread = threading.current_thread()
        self._handed = threading.Condition(threading.Lock())
        self._waiting = deque()
        self._in_flight = InFlight(max_records=1, max_bytes=1, timeout=0, what="the parent process's log")
        self._in_flight.shut()

    def _start(self) -> None:
        with self._handed:
            if self._thread is not None or self._closed:
                return
            # Here rather than in the thread, so that the first caller learns what is wrong with the path.
            with sqlite_calls:
                self._file = self._open_file(_OPEN_TIMEOUT)
            wakeup = wakeup_for(self._file.path)
            # A daemon, because it may die at any instant: what it has not committed was not acknowledged.
            thread = threading.Thread(target=self._run, args=(self._file, wakeup), name="eventresults-sqlite-writer", daemon=True)
            thread.start()
            self._thread = thread

    def _run(self, file: SqliteFile, wakeup: Wakeup) -> None:
        try:
            while batch := self._next_batch():
                outcomes = self._commit(file, wakeup, batch)
                for (future, _), outcome in zip(batch, outcomes, strict=True):
                    future.settle(outcome)
                self._in_flight.leave(future for future, _ in batch)
        finally:
            with sqlite_calls:
                file.close()

    def _next_batch(self) -> list[tuple[Append, bytes]]:
        if not self._waiting:
            with self._handed:
                # First said, then looked: who appends after the look sees that it must notify.
                self._idle = True
                self._handed.wait_for(lambda: self._waiting or self._closed)
                self._idle = False
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH_RECORDS))]

    def _commit(self, file: SqliteFile, wakeup: Wakeup, batch: list[tuple[Append, bytes]]) -> Sequence[Position | Exception]:
        try:
            file.check_in_place()
            with sqlite_calls, wakeup.writing, file.writing(time.monotonic() + self._append_timeout):
                offset, log_time = self._next_record(file)
                rows = [(at, log_time, future.key, value) for at, (future, value) in enumerate(batch, offset)]
                _insert(file, rows)
        except (sqlite3.Error, OSError, LogUnavailable) as error:
            return [self._failure(file, error, future.key) for future, _ in batch]
        wakeup.ring()
        return [Position(0, at) for at in range(offset, offset + len(batch))]

    def _next_record(self, file: SqliteFile) -> tuple[int, int]:
        last = file.execute("SELECT offset + 1, log_time FROM records ORDER BY offset DESC LIMIT 1").fetchone()
        offset, log_time = last or (file.bounds()[1], 0)
        return offset, max(log_time, self._clock())

    def _failure(self, file: SqliteFile, error: Exception, key: bytes) -> Exception:
        if isinstance(error, sqlite3.Error) and is_busy(error):
            return AppendTimeout(
                f"{file.path} was locked by another process for {self._append_timeout:g} s: see who holds it (`fuser {file.path}`), "
                "then append again",
                key=key.decode("utf-8", "replace"),
                timeout=self._append_timeout,
            )
        return explain(file.path, error)


def _insert(file: SqliteFile, rows: list[tuple[int, int, bytes, bytes]]) -> None:
    # Each step of SQLite gives up Python's lock, and among busy threads it is slow to get back: so, many rows in one step.
    whole = len(rows) - len(rows) % _ROWS
    for first in range(0, whole, _ROWS):
        file.execute(_INSERT_ROWS, tuple(chain.from_iterable(rows[first : first + _ROWS])))
    file.connection.executemany(_INSERT_ROW, rows[whole:])
