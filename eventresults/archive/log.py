"""An archive as a log, to be read as any log is: folded afresh, replayed, compared. It is never appended to."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from eventresults.archive.archive import Archive
from eventresults.archive.rows import NEEDED, records_of
from eventresults.domain.position import Position
from eventresults.errors import ArchiveError, Closed
from eventresults.log.base import LogInfo, Poll, Record
from eventresults.log.outside import no_such_partition, outside
from eventresults.log.partition import partition_of


class ArchivedLog:
    """The records of an archive, under the identity of the log that they came from.

    It ends where the archive ended when this was made. `starts` makes it begin later than the archive does, as where the log begins now.
    Its methods raise `ArchiveCorrupt` besides what `Log` says.
    """

    def __init__(self, archive: Archive, *, starts: Mapping[int, int] | None = None) -> None:
        self._archive = archive
        self._chains = archive.chains()
        self._starts = {p: max(chain.start, (starts or {}).get(p, 0)) for p, chain in self._chains.items()}
        self._ends = {p: max(chain.end, self._starts[p]) for p, chain in self._chains.items()}

    @property
    def url(self) -> str:
        """See `Log.url`."""
        return f"archive:{self._archive.storage.url}"

    def info(self, timeout: float) -> LogInfo:  # noqa: ARG002 - files answer at once
        """See `Log.info`."""
        return LogInfo(self._archive.identity.log_id, len(self._chains), self._starts, self._ends)

    def partition_for(self, key: bytes) -> int:
        """See `Log.partition_for`."""
        return partition_of(key, len(self._chains))

    def ends(self, partitions: Sequence[int], timeout: float) -> Mapping[int, int]:  # noqa: ARG002
        """See `Log.ends`."""
        return {partition: self._ends[partition] for partition in partitions}

    def read(self, position: Position, timeout: float) -> Record | None:  # noqa: ARG002
        """See `Log.read`."""
        if not self._starts.get(position.partition, 0) <= position.offset < self._ends.get(position.partition, 0):
            return None
        return next(self._archive.records(position.partition, position.offset, position.offset + 1), None)

    def writer(self) -> NoReturn:
        """Raises `ArchiveError`: an archive is written by its archiver alone."""
        raise ArchiveError(f"{self.url} is an archive: it is read, and only `eventresults archive run` writes it.")

    def reader(self, positions: Mapping[int, int]) -> ArchivedReader:
        """See `Log.reader`."""
        for partition, offset in positions.items():
            if partition not in self._chains:
                raise no_such_partition(self.url, partition, len(self._chains))
            start, end = self._starts[partition], self._ends[partition]
            if not start <= offset <= end:
                raise outside(self.url, partition, offset, start=start, end=end)
        return ArchivedReader({partition: self.polls(partition, offset) for partition, offset in positions.items()})

    def polls(self, partition: int, offset: int, end: int | None = None) -> Iterator[Poll]:
        """What is there from this offset on (and before `end`), a row group at a time."""
        end = self._ends[partition] if end is None else min(end, self._ends[partition])
        for entry in self._chains[partition].files:
            if entry.end <= offset or entry.start >= end:
                continue
            for table in self._archive.tables(entry, list(NEEDED), offset, end):
                records = list(records_of(table))
                if records:
                    yield Poll(records, records[-1].offset + 1)
            yield Poll([], min(entry.end, end))
        if end > offset:
            yield Poll([], end)

    def close(self) -> None:
        """See `Log.close`."""


class ArchivedReader:
    """Reads the files, partition by partition."""

    def __init__(self, polls: Mapping[int, Iterator[Poll]]) -> None:
        self._polls = dict(polls)
        self._woken = threading.Event()
        self._closed = False

    def poll(self, timeout: float) -> Mapping[int, Poll]:
        """See `EventReader.poll`."""
        if self._closed:
            raise Closed("this reader was closed: make a new one", what="reader")
        for partition, polls in list(self._polls.items()):
            found = next(polls, None)
            if found is not None:
                return {partition: found}
            del self._polls[partition]
        self._woken.wait(timeout)
        self._woken.clear()
        return {}

    def wake(self) -> None:
        """See `EventReader.wake`."""
        self._woken.set()

    def close(self) -> None:
        """See `EventReader.close`."""
        self._closed = True
        self._woken.set()
