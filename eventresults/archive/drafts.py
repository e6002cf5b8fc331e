"""The files that an archiver has open: one for each partition at most, of one day, its rows gathered into row groups.

Compressing is done by one thread beside the one that reads; no more than one row group of each partition waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Self

from eventresults.archive.arrow import pa
from eventresults.archive.files import ROW_GROUP, Entry, FileWriter
from eventresults.archive.layout import FileName


class Limits(NamedTuple):
    """When a file is full, or old enough to be seen: the first of them that is reached. `seconds` since its first row was read.

    `buffered` bounds the rows of all partitions that wait to be compressed, in bytes.
    """

    rows: int = 1_000_000
    bytes: int = 256 * 2**20
    seconds: float = 60.0
    buffered: int = 256 * 2**20


class Drafts:
    """The drafts, by partition. One thread."""

    def __init__(self, folder: Path, topic: str, limits: Limits, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._topic = topic
        self._limits = limits
        self._clock = clock
        self._numbers = count()
        self._compressor = ThreadPoolExecutor(1, "eventresults-archive")
        self._open: dict[int, _Draft] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for partition in list(self._open):
            self.drop(partition)
        self._compressor.shutdown()

    def day(self, partition: int) -> int | None:
        """The day of the draft of this partition, since the epoch; None when there is none."""
        draft = self._open.get(partition)
        return None if draft is None else draft.day

    def partitions(self) -> list[int]:
        """Those that have a draft."""
        return list(self._open)

    def begin(self, partition: int, start: int, day: int) -> None:
        """Begin a draft that covers what comes from this offset on."""
        path = self._folder / f"{next(self._numbers)}.parquet"
        self._open[partition] = _Draft(FileWriter(path, FileName(self._topic, partition, start)), day, self._clock(), self._compressor)

    def add(self, partition: int, table: Any, end: int, first: int, last: int) -> None:
        """Rows of the draft's day up to `end`, the first and last of which have these log times."""
        self._open[partition].add(table, end, first, last)
        while sum(draft.buffered for draft in self._open.values()) > self._limits.buffered:
            max(self._open.values(), key=lambda draft: draft.buffered).flush()

    def reach(self, partition: int, end: int) -> None:
        """The draft covers what is before `end`, of which the log holds no more."""
        if partition in self._open:
            self._open[partition].end = max(self._open[partition].end, end)

    def due(self) -> list[int]:
        """Partitions whose draft is full or old."""
        return [
            partition
            for partition, draft in self._open.items()
            if draft.rows >= self._limits.rows or draft.bytes >= self._limits.bytes or self._clock() - draft.begun >= self._limits.seconds
        ]

    def patience(self) -> float:
        """Seconds until the oldest draft is due."""
        ages = [self._clock() - draft.begun for draft in self._open.values()]
        return max(0.0, self._limits.seconds - max(ages, default=0.0))

    def finish(self, partition: int) -> tuple[Entry, Path]:
        """End the draft of this partition: what it is, and where it lies."""
        draft = self._open.pop(partition)
        draft.flush()
        draft.wait()
        return draft.writer.finish(draft.end), draft.writer.draft

    def drop(self, partition: int) -> None:
        """Give the draft of this partition up, if there is one."""
        draft = self._open.pop(partition, None)
        if draft is not None:
            draft.abandon()


class _Draft:
    def __init__(self, writer: FileWriter, day: int, begun: float, compressor: ThreadPoolExecutor) -> None:
        self.writer = writer
        self.day = day
        self.begun = begun
        self.end = writer.name.start
        self.rows = 0
        self.buffered = 0
        self.bytes = 0
        self._tables: list[Any] = []
        self._waiting = 0
        self._compressor = compressor
        self._compressing: Future[int] | None = None

    def add(self, table: Any, end: int, first: int, last: int) -> None:
        self._tables.append(table)
        self._waiting += table.num_rows
        self.rows += table.num_rows
        self.buffered += table.nbytes
        self.end = end
        self.writer.span(first, last)
        if self._waiting >= ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        if not self._tables:
            return
        self.wait()
        table = pa.concat_tables(self._tables)
        self._tables, self._waiting, self.buffered = [], 0, 0
        self._compressing = self._compressor.submit(self.writer.write, table)

    def wait(self) -> None:
        if self._compressing is not None:
            self.bytes = self._compressing.result()
            self._compressing = None

    def abandon(self) -> None:
        if self._compressing is not None:
            self._compressing.exception()
        self.writer.abandon()
