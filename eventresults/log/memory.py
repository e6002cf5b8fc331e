"""A log in the memory of this process: for tests, for trying things out, and for work that need not outlive its process."""

from __future__ import annotations

import os
import threading
import time
import uuid
import weakref
from bisect import bisect_left
from typing import TYPE_CHECKING

from eventresults.domain.position import Position
from eventresults.errors import Closed, ConfigError, LogUnavailable
from eventresults.log.appends import Append
from eventresults.log.base import LogInfo, Poll, Record
from eventresults.log.bounds import DEFAULT_MAX_VALUE_BYTES, check_size
from eventresults.log.outside import no_such_partition, outside
from eventresults.log.partition import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_POLL_RECORDS = 5_000


class MemoryLog:
    """A log that lives as long as something in this process holds it.

    Without a `name` it is nobody else's. Logs of one name share their records: they end when the last such log, writer or reader
    is gone. `partitions` is 1 by default; for a shared log that exists, None takes what it has and another number is a `ConfigError`.
    `clock` gives milliseconds since the epoch. An append is acknowledged at once.
    """

    def __init__(
        self,
        name: str | None = None,
        partitions: int | None = None,
        *,
        max_value_bytes: int = DEFAULT_MAX_VALUE_BYTES,
        clock: Callable[[], int] | None = None,
    ) -> None:
        if partitions is not None and partitions < 1:
            raise ConfigError(f"partitions={partitions}: a log has at least one", setting="partitions")
        self._name = name or ""
        self._records = _shared(self._name, partitions, clock) if name else _Records(partitions or 1, clock)
        self._max_value_bytes = max_value_bytes
        self._closed = False

    @property
    def url(self) -> str:
        """`memory://`, with the name of a shared log."""
        return f"memory://{self._name}"

    def info(self, timeout: float) -> LogInfo:  # noqa: ARG002 - memory answers at once
        """See `Log.info`."""
        records = self._open()
        with records.changed:
            count = len(records.partitions)
            starts = {n: records.partitions[n].start for n in range(count)}
            ends = {n: records.partitions[n].end for n in range(count)}
        return LogInfo(records.log_id, count, starts, ends)

    def partition_for(self, key: bytes) -> int:
        """See `Log.partition_for`."""
        return partition_of(key, len(self._records.partitions))

    def ends(self, partitions: Sequence[int], timeout: float) -> Mapping[int, int]:  # noqa: ARG002
        """See `Log.ends`."""
        records = self._open()
        with records.changed:
            return {n: records.partition(n, self.url).end for n in partitions}

    def read(self, position: Position, timeout: float) -> Record | None:  # noqa: ARG002
        """See `Log.read`."""
        records = self._open()
        with records.changed:
            if not 0 <= position.partition < len(records.partitions):
                return None
            found = records.partitions[position.partition].read(position.offset, 1)
        return found[0] if found and found[0].offset == position.offset else None

    def writer(self) -> MemoryWriter:
        """See `Log.writer`."""
        return MemoryWriter(self._open(), self._max_value_bytes)

    def reader(self, positions: Mapping[int, int]) -> MemoryReader:
        """See `Log.reader`."""
        return MemoryReader(self._open(), self.url, positions)

    def close(self) -> None:
        """See `Log.close`."""
        self._closed = True

    def delete_before(self, position: Position) -> None:
        """Do what retention does: records before this offset of the partition are gone, and the start moves."""
        self._open().delete_before(position)

    def lose_from(self, position: Position) -> None:
        """Do what a power cut may do: this record and all after it are gone, and their offsets are given again."""
        self._open().lose_from(position)

    def leave_hole(self, partition: int, offsets: int = 1) -> None:
        """Do what a transaction marker does: use up offsets without a record."""
        self._open().leave_hole(partition, offsets)

    def _open(self) -> _Records:
        if self._closed:
            raise Closed("this log was closed: make a new one", what=self.url)
        return self._records


class MemoryWriter:
    """Appends to a `MemoryLog`."""

    def __init__(self, records: _Records, max_value_bytes: int) -> None:
        self._records = records
        self._max_value_bytes = max_value_bytes
        self._closed = False

    def open(self) -> None:
        """See `EventWriter.open`."""

    def append(
        self,
        key: bytes,
        value: bytes,
        timeout: float | None = None,  # noqa: ARG002 - there is always room
        future: Append | None = None,
    ) -> Append:
        """See `EventWriter.append`."""
        if self._closed:
            raise Closed("this writer was closed: make a new one", what="writer")
        check_size(key, value, self._max_value_bytes)
        future = future or Append()
        future.settle(self._records.append(key, value))
        return future

    def flush(self, timeout: float) -> bool:  # noqa: ARG002 - nothing is ever unacknowledged
        """See `EventWriter.flush`."""
        return True

    def close(self) -> None:
        """See `EventWriter.close`."""
        self._closed = True


class MemoryReader:
    """Reads a `MemoryLog`."""

    def __init__(self, records: _Records, url: str, positions: Mapping[int, int]) -> None:
        self._records = records
        self._url = url
        self._positions = dict(positions)
        #: Losses that came before this reader do not concern it.
        self._losses = [len(partition.losses) for partition in records.partitions]
        self._woken = False
        self._closed = False

    def poll(self, timeout: float) -> Mapping[int, Poll]:
        """See `EventReader.poll`."""
        deadline = time.monotonic() + timeout
        with self._records.changed:
            while True:
                if self._closed:
                    raise Closed("this reader was closed: make a new one", what="reader")
                polls = self._take()
                remaining = deadline - time.monotonic()
                if polls or self._woken or remaining <= 0:
                    self._woken = False
                    return polls
                self._records.changed.wait(remaining)

    def wake(self) -> None:
        """See `EventReader.wake`."""
        with self._records.changed:
            self._woken = True
            self._records.changed.notify_all()

    def close(self) -> None:
        """See `EventReader.close`."""
        with self._records.changed:
            self._closed = True
            self._records.changed.notify_all()

    def _take(self) -> dict[int, Poll]:
        polls = {}
        for number, offset in self._positions.items():
            if not 0 <= number < len(self._records.partitions):
                raise outside(self._url, number, offset, start=0, end=0)
            partition = self._records.partitions[number]
            if any(loss < offset for loss in partition.losses[self._losses[number] :]):
                # As Kafka's clients know by the leader's epoch, however far the log has grown anew.
                raise outside(self._url, number, offset, start=partition.start, end=partition.end)
            if offset == partition.end:
                continue
            if not partition.start <= offset <= partition.end:
                raise outside(self._url, number, offset, start=partition.start, end=partition.end)
            records = partition.read(offset, _POLL_RECORDS)
            next_offset = records[-1].offset + 1 if len(records) == _POLL_RECORDS else partition.end
            polls[number] = Poll(records, next_offset)
        for number, poll in polls.items():
            self._positions[number] = poll.next_offset
        return polls


class _Partition:
    __slots__ = ("end", "log_time", "losses", "records", "start")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.start = 0
        self.end = 0
        self.log_time = 0
        #: Where tails were lost, in the order of events.
        self.losses: list[int] = []

    def read(self, offset: int, count: int) -> list[Record]:
        # (offset,) sorts just before the record of that offset.
        first = bisect_left(self.records, (offset,))
        return self.records[first : first + count]


class _Records:
    """What the logs of one name share. `changed` guards it all."""

    def __init__(self, partitions: int, clock: Callable[[], int] | None) -> None:
        self.log_id = uuid.uuid4().hex
        self.partitions = [_Partition() for _ in range(partitions)]
        self.changed = threading.Condition(threading.Lock())
        self._clock = clock or _wall_clock
        self._pid = os.getpid()

    def partition(self, number: int, url: str) -> _Partition:
        if not 0 <= number < len(self.partitions):
            raise no_such_partition(url, number, len(self.partitions))
        return self.partitions[number]

    def append(self, key: bytes, value: bytes) -> Position:
        if os.getpid() != self._pid:
            raise LogUnavailable(
                "a memory:// log is not shared with forked processes: what is appended here would be seen by nobody. "
                "Use sqlite:///events.db, or send the facts to the parent process",
                url="memory://",
                reason="forked",
            )
        number = partition_of(key, len(self.partitions))
        partition = self.partitions[number]
        with self.changed:
            partition.log_time = max(partition.log_time, self._clock())
            offset = partition.end
            partition.end = offset + 1
            partition.records.append(Record(offset, partition.log_time, key, value))
            self.changed.notify_all()
        return Position(number, offset)

    def delete_before(self, position: Position) -> None:
        with self.changed:
            partition = self.partitions[position.partition]
            partition.start = max(partition.start, min(position.offset, partition.end))
            del partition.records[: bisect_left(partition.records, (partition.start,))]
            self.changed.notify_all()

    def lose_from(self, position: Position) -> None:
        with self.changed:
            partition = self.partitions[position.partition]
            partition.end = max(partition.start, min(position.offset, partition.end))
            del partition.records[bisect_left(partition.records, (partition.end,)) :]
            partition.losses.append(partition.end)
            self.changed.notify_all()

    def leave_hole(self, partition: int, offsets: int) -> None:
        with self.changed:
            self.partitions[partition].end += offsets
            self.changed.notify_all()


_named: weakref.WeakValueDictionary[str, _Records] = weakref.WeakValueDictionary()
_naming = threading.Lock()


def _shared(name: str, partitions: int | None, clock: Callable[[], int] | None) -> _Records:
    with _naming:
        records = _named.get(name)
        if records is None:
            records = _named[name] = _Records(partitions or 1, clock)
        have = len(records.partitions)
        if partitions not in (None, have):
            raise ConfigError(
                f"memory://{name} exists with {have} partitions, not {partitions}: leave the number out, or take another name",
                setting="partitions",
            )
        return records


def _wall_clock() -> int:
    return time.time_ns() // 1_000_000
