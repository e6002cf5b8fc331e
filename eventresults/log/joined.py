"""A log that reaches back as far as an older copy of it does: what retention removed is read there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eventresults.domain.position import Position
from eventresults.errors import ConfigError
from eventresults.log.base import EventReader, EventWriter, Log, LogInfo, Poll, Record


class JoinedLog:
    """`log`, and before its start `older`: an archive of it. Closes neither.

    Where the older one ends before the log begins, records are missing between the two: then the log alone is read, and begins where it
    does. Raises `ConfigError` when they are not of the same log.
    """

    def __init__(self, log: Log, older: Log, *, timeout: float = 10.0) -> None:
        self._log = log
        self._older = older
        now, then = log.info(timeout), older.info(timeout)
        if now.log_id != then.log_id or now.partitions != then.partitions:
            raise ConfigError(f"{older.url} holds records of another log than {log.url}: name the archive of this one.", setting="archive")
        #: Where the log itself begins.
        self.begins: Mapping[int, int] = now.starts
        whole = {p: then.starts[p] < start <= then.ends[p] for p, start in now.starts.items()}
        self._starts = {p: then.starts[p] if whole[p] else start for p, start in now.starts.items()}

    @property
    def url(self) -> str:
        """The log's."""
        return self._log.url

    def info(self, timeout: float) -> LogInfo:
        """The log's, with earlier starts."""
        return self._log.info(timeout)._replace(starts=self._starts)

    def partition_for(self, key: bytes) -> int:
        """See `Log.partition_for`."""
        return self._log.partition_for(key)

    def ends(self, partitions: Sequence[int], timeout: float) -> Mapping[int, int]:
        """See `Log.ends`."""
        return self._log.ends(partitions, timeout)

    def read(self, position: Position, timeout: float) -> Record | None:
        """See `Log.read`."""
        log = self._older if position.offset < self.begins[position.partition] else self._log
        return log.read(position, timeout)

    def writer(self) -> EventWriter:
        """The log's."""
        return self._log.writer()

    def reader(self, positions: Mapping[int, int]) -> JoinedReader:
        """See `Log.reader`."""
        return JoinedReader(self._log, self._older, positions, self.begins)

    def close(self) -> None:
        """Nothing: both are their makers'."""


class JoinedReader:
    """Reads all that is older first, and then on in the log. An `EventReader`."""

    def __init__(self, log: Log, older: Log, positions: Mapping[int, int], begins: Mapping[int, int]) -> None:
        self._log = log
        self._begins = begins
        self._at = dict(positions)
        self._past = {partition for partition, offset in positions.items() if offset < begins[partition]}
        self._reader: EventReader
        if self._past:
            self._reader = older.reader({partition: positions[partition] for partition in self._past})
        else:
            self._reader = log.reader(positions)

    def poll(self, timeout: float) -> Mapping[int, Poll]:
        """See `EventReader.poll`."""
        polled = self._reader.poll(timeout)
        if not self._past:
            return polled
        found = {partition: self._cut(partition, poll) for partition, poll in polled.items() if partition in self._past}
        self._past = {partition for partition in self._past if self._at[partition] < self._begins[partition]}
        if not self._past:
            self._reader.close()
            self._reader = self._log.reader(self._at)
        return found

    def wake(self) -> None:
        """See `EventReader.wake`."""
        self._reader.wake()

    def close(self) -> None:
        """See `EventReader.close`."""
        self._reader.close()

    def _cut(self, partition: int, poll: Poll) -> Poll:
        """What of it lies before the log's start."""
        end = self._begins[partition]
        self._at[partition] = at = min(poll.next_offset, end)
        return Poll([record for record in poll.records if record.offset < end], at)
