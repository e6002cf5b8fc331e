"""What a log is: records in order, per partition, appended and never changed.

A `Log` makes writers and readers and answers where it begins and ends. Offsets grow, but need not be dense
(a broker's transaction markers leave holes): progress is judged by positions, never by counting records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from eventresults.domain.position import Position
from eventresults.log.appends import Append


class Record(NamedTuple):
    """One record. `log_time` is the log's own clock in milliseconds since the epoch, never falling within a partition."""

    offset: int
    log_time: int
    key: bytes | None
    value: bytes | None


class Poll(NamedTuple):
    """What one poll of one partition gave: its records, and the offset to go on from.

    `next_offset` may lie beyond the last record + 1 when the log skipped a hole.
    """

    records: Sequence[Record]
    next_offset: int


class LogInfo(NamedTuple):
    """What a log says of itself. `log_id` changes when the log was deleted and created again."""

    log_id: str
    partitions: int
    starts: Mapping[int, int]
    ends: Mapping[int, int]


class EventWriter(Protocol):
    """Appends records. Safe to call from many threads; records of one key keep their order."""

    def open(self) -> None:
        """Reach the log now, as the first append else would; raises what that would. Idempotent."""

    def append(self, key: bytes, value: bytes, timeout: float | None = None, future: Append | None = None) -> Append:
        """Hand one record over, and return a future of its position: `future`, if the caller made one for it.

        The future is done once the record is durable as the log promises it. It raises `AppendTimeout`, or `Closed` for what
        `close` gave up, when it is unknown whether the record is there, another `LogError` when it is not. It cannot be
        cancelled, and its callbacks run on a thread of the log: they must return at once.

        What this method itself raises was not taken, and is not in the log: `ValueTooLarge`; `AppendTimeout` when the buffer stayed
        full for `timeout` seconds (None: the append timeout; it blocks until then); `LogUnavailable` or `TopicMisconfigured` when the
        log cannot be opened; `Closed` after `close()`.
        """

    def flush(self, timeout: float) -> bool:
        """Wait until everything handed over is acknowledged or has failed; False when `timeout` seconds were not enough."""

    def close(self) -> None:
        """Flush for at most 5 seconds, then give up what is left (their futures raise `Closed`). Idempotent."""


class EventReader(Protocol):
    """Reads records in order from given positions. Used by one thread; `wake` and `close` may come from any."""

    def poll(self, timeout: float) -> Mapping[int, Poll]:
        """Wait at most `timeout` seconds for records; an empty mapping when none came (or after `wake`).

        A partition is in the mapping if its position moved. Raises `LogUnavailable` when the log cannot be read now (a later poll may
        work), `ViewStale` with the facts (and `start`) when a position asked for lies outside of what the log still holds, `Closed`
        once closed, also while it waits.
        """

    def wake(self) -> None:
        """Make the poll in progress, or else the next one, return at once."""

    def close(self) -> None:
        """Idempotent."""


class Log(Protocol):
    """A log that can be appended to and read. Making one opens nothing; the first use does. Safe to call from many threads."""

    @property
    def url(self) -> str:
        """Where it is, passwords masked."""

    def info(self, timeout: float) -> LogInfo:
        """Ask the log what it is.

        Raises `LogUnavailable` when it cannot be asked within `timeout` seconds, `TopicMisconfigured` when it is not there.
        """

    def partition_for(self, key: bytes) -> int:
        """The partition that this key lives in: Java-compatible murmur2 of the key (see `eventresults.log.partition`).

        The number of partitions is asked once; raises as `info` does if it cannot be had.
        """

    def ends(self, partitions: Sequence[int], timeout: float) -> Mapping[int, int]:
        """Ask for the end (the offset that the next record will have) of each partition, *after* this call began.

        Never waits for a reader's poll: the question has its own connection. Raises as `info` does.
        """

    def read(self, position: Position, timeout: float) -> Record | None:
        """The record at exactly this position; None when the log does not hold one there. Raises as `info` does."""

    def writer(self) -> EventWriter:
        """A new writer, to be closed by the caller."""

    def reader(self, positions: Mapping[int, int]) -> EventReader:
        """A new reader of exactly these partitions from these offsets, to be closed by the caller."""

    def close(self) -> None:
        """Close what the log opened for itself (not its writers and readers). Idempotent."""
