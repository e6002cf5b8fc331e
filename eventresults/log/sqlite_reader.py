"""Reading a SQLite file: as fast as it goes, and awake within milliseconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from operator import itemgetter
from pathlib import Path

from eventresults.errors import Closed
from eventresults.log.base import Poll, Record
from eventresults.log.forked import leave_to_parent, sqlite_calls, tell_of_forks
from eventresults.log.outside import outside
from eventresults.log.sqlite_file import SqliteFile
from eventresults.log.sqlite_wakeup import wakeup_for

_OPEN_TIMEOUT = 1.0
_POLL_RECORDS = 10_000
_POLL_BYTES = 32 * 1024 * 1024
_FETCH = 500
_value = itemgetter(3)
_record: Callable[[tuple[int, int, bytes, bytes]], Record] = partial(tuple.__new__, Record)  # Record._make, at half its price


class SqliteReader:
    """Reads the file; woken at once by this process's appends, and within milliseconds by those of others."""

    def __init__(self, open_file: Callable[[float], SqliteFile], url: str, path: Path, positions: Mapping[int, int]) -> None:
        self._open_file = open_file
        self._url = url
        self._positions = dict(positions)
        self._wakeup = wakeup_for(path)
        self._using = threading.Lock()
        self._file: SqliteFile | None = None
        self._woken = False
        self._closed = False
        tell_of_forks(self)

    def poll(self, timeout: float) -> Mapping[int, Poll]:
        """See `EventReader.poll`."""
        deadline = time.monotonic() + timeout
        while True:
            seen = self._wakeup.count
            with self._using, sqlite_calls:
                file = self._opened(timeout)
                with file.errors():
                    version = _data_version(file)
                    polls = self._take(file)
            if polls or self._woken or time.monotonic() >= deadline:
                self._woken = False
                return polls
            self._wait(deadline, seen, version)

    def wake(self) -> None:
        """See `EventReader.wake`."""
        self._woken = True
        self._wakeup.ring()

    def close(self) -> None:
        """See `EventReader.close`."""
        self._closed = True
        self._wakeup.ring()
        with self._using, sqlite_calls:
            if self._file is not None:
                self._file.close()
                self._file = None

    def after_fork_in_child(self) -> None:
        """The connection is the parent's: this reader is closed here."""
        if self._file is not None:
            leave_to_parent(self._file.connection)
            self._file = None
        self._closed = True
        self._using = threading.Lock()

    def _opened(self, timeout: float) -> SqliteFile:
        if self._closed:
            raise Closed("this reader was closed: make a new one", what="reader")
        if self._file is None:
            self._file = self._open_file(max(timeout, _OPEN_TIMEOUT))
        return self._file

    def _wait(self, deadline: float, seen: int, version: int) -> None:
        began = looked = time.monotonic()
        while True:
            now = time.monotonic()
            # After a second of silence, look less often: 5 ms late then, and hardly any work while nothing happens.
            pause = 0.001 if now - began < 1 else 0.005
            if self._wakeup.wait(seen, min(pause, deadline - now)) or self._woken or self._closed or now >= deadline:
                return
            with self._using, sqlite_calls:
                file = self._opened(_OPEN_TIMEOUT)
                with file.errors():
                    if _data_version(file) != version:
                        return
                if now - looked > 1:
                    looked = now
                    file.check_in_place()

    def _take(self, file: SqliteFile) -> dict[int, Poll]:
        for number, offset in self._positions.items():
            if number != 0:
                raise outside(self._url, number, offset, start=0, end=0)
        if 0 not in self._positions:
            return {}
        offset = self._positions[0]
        records = _fetch(file, offset)
        if not records or records[0].offset != offset:
            start, end = file.bounds()
            if not start <= offset <= end:
                raise outside(self._url, 0, offset, start=start, end=end)
        if not records:
            return {}
        self._positions[0] = next_offset = records[-1].offset + 1
        return {0: Poll(records, next_offset)}


def _fetch(file: SqliteFile, offset: int) -> list[Record]:
    cursor = file.execute(
        "SELECT offset, log_time, key, value FROM records WHERE offset >= ? ORDER BY offset LIMIT ?", (offset, _POLL_RECORDS)
    )
    records: list[Record] = []
    size = 0
    while size < _POLL_BYTES and (rows := cursor.fetchmany(_FETCH)):
        size += sum(map(len, map(_value, rows)))
        records += map(_record, rows)
    cursor.close()
    return records


def _data_version(file: SqliteFile) -> int:
    return int(file.execute("PRAGMA data_version").fetchone()[0])
