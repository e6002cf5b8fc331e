"""A log in one SQLite file: for one machine, any number of processes, nothing to install.

What it promises. An acknowledged record survives the death of any process at any instant. With `synchronous="NORMAL"` (the
default) a power cut or a crash of the system may lose the last commits, never the order or the file; `"FULL"` keeps them too, and costs a
disk flush per commit. The file must lie on a local disk: SQLite's locks and shared memory do not work over network file systems.

    records(offset, log_time, key, value)     offsets from 0, without holes, never given twice
    about(log_id, start)                      who this log is, and where it begins once it is empty
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from eventresults.domain.position import Position
from eventresults.errors import Closed, ConfigError, LogUnavailable
from eventresults.log.base import LogInfo, Record
from eventresults.log.bounds import (
    DEFAULT_APPEND_TIMEOUT,
    DEFAULT_MAX_IN_FLIGHT,
    DEFAULT_MAX_IN_FLIGHT_BYTES,
    DEFAULT_MAX_VALUE_BYTES,
    InFlight,
)
from eventresults.log.forked import leave_to_parent, sqlite_calls, tell_of_forks
from eventresults.log.outside import no_such_partition
from eventresults.log.sqlite_file import SqliteFile, Synchronous
from eventresults.log.sqlite_reader import SqliteReader
from eventresults.log.sqlite_writer import SqliteWriter

T = TypeVar("T")


class SqliteLog:
    """A log of one partition in the file `path`, made at the first use if it is not there.

    `max_in_flight` records and `max_in_flight_bytes` may wait for their commit, for each writer; beyond that `append` blocks for
    `append_timeout` seconds. `clock` gives milliseconds since the epoch.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: Synchronous = "NORMAL",
        append_timeout: float = DEFAULT_APPEND_TIMEOUT,
        max_value_bytes: int = DEFAULT_MAX_VALUE_BYTES,
        max_in_flight: int = DEFAULT_MAX_IN_FLIGHT,
        max_in_flight_bytes: int = DEFAULT_MAX_IN_FLIGHT_BYTES,
        clock: Callable[[], int] | None = None,
    ) -> None:
        if synchronous not in ("NORMAL", "FULL"):
            raise ConfigError(f"synchronous={synchronous!r}: say NORMAL or FULL", setting="synchronous")
        self.path = Path(path).absolute()
        self._synchronous = synchronous
        self._append_timeout = append_timeout
        self._max_value_bytes = max_value_bytes
        self._max_in_flight = max_in_flight
        self._max_in_flight_bytes = max_in_flight_bytes
        self._clock = clock or _wall_clock
        self._asking = threading.Lock()
        self._file: SqliteFile | None = None
        self._closed = False
        tell_of_forks(self)

    @property
    def url(self) -> str:
        """`sqlite:///` and the absolute path."""
        return f"sqlite:///{self.path}"

    def info(self, timeout: float) -> LogInfo:
        """See `Log.info`."""

        def ask(file: SqliteFile) -> LogInfo:
            start, end = file.bounds()
            return LogInfo(file.log_id(), 1, {0: start}, {0: end})

        return self._ask(ask, timeout)

    def partition_for(self, key: bytes) -> int:  # noqa: ARG002 - there is one
        """See `Log.partition_for`."""
        return 0

    def ends(self, partitions: Sequence[int], timeout: float) -> Mapping[int, int]:
        """See `Log.ends`."""
        for number in partitions:
            if number != 0:
                raise no_such_partition(self.url, number, 1)
        end = self._ask(SqliteFile.bounds, timeout)[1]
        return dict.fromkeys(partitions, end)

    def read(self, position: Position, timeout: float) -> Record | None:
        """See `Log.read`."""
        if position.partition != 0:
            return None
        statement = "SELECT offset, log_time, key, value FROM records WHERE offset = ?"
        row = self._ask(lambda file: file.execute(statement, (position.offset,)).fetchone(), timeout)
        return row and Record._make(row)

    def delete_before(self, position: Position, timeout: float = 10.0) -> None:
        """Apply a retention: delete the records before this offset. Their offsets are not given again."""

        def delete(file: SqliteFile) -> None:
            with file.writing(time.monotonic() + timeout):
                start, end = file.bounds()
                start = max(start, min(position.offset, end))
                file.execute("UPDATE about SET start = ?", (start,))
                file.execute("DELETE FROM records WHERE offset < ?", (start,))

        self._ask(delete, timeout)

    def writer(self) -> SqliteWriter:
        """See `Log.writer`."""
        self._check_open()
        in_flight = InFlight(
            max_records=self._max_in_flight, max_bytes=self._max_in_flight_bytes, timeout=self._append_timeout, what=self.url
        )
        return SqliteWriter(partial(self._open, patience=0.0), in_flight, self._append_timeout, self._max_value_bytes, self._clock)

    def reader(self, positions: Mapping[int, int]) -> SqliteReader:
        """See `Log.reader`."""
        self._check_open()
        return SqliteReader(self._open, self.url, self.path, positions)

    def close(self) -> None:
        """See `Log.close`."""
        self._closed = True
        with self._asking, sqlite_calls:
            if self._file is not None:
                self._file.close()
                self._file = None

    def after_fork_in_child(self) -> None:
        """Open anew at the next question."""
        if self._file is not None:
            leave_to_parent(self._file.connection)
            self._file = None
        self._asking = threading.Lock()

    def _open(self, timeout: float, *, patience: float = 5.0) -> SqliteFile:
        return SqliteFile(self.path, synchronous=self._synchronous, timeout=timeout, patience=patience)

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("this log was closed: make a new one", what=self.url)

    def _ask(self, question: Callable[[SqliteFile], T], timeout: float) -> T:
        if not self._asking.acquire(timeout=max(0.0, timeout)):
            raise LogUnavailable(f"{self.url} did not answer within {timeout:g} s: try again", url=self.url, reason="timeout")
        try:
            with sqlite_calls:
                self._check_open()
                if self._file is not None and self._file.is_replaced():
                    self._file.close()
                    self._file = None
                if self._file is None:
                    self._file = self._open(timeout)
                with self._file.errors():
                    return question(self._file)
        finally:
            self._asking.release()


def _wall_clock() -> int:
    return time.time_ns() // 1_000_000
