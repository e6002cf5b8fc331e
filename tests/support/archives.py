"""Logs to archive, and what is asked of archives in tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from eventresults.archive.archive import Archive
from eventresults.archive.archiver import Archiver, Done
from eventresults.archive.drafts import Limits
from eventresults.codec.events import encode_event
from eventresults.log.base import Log, Record
from eventresults.log.memory import MemoryLog

#: The last second of a day, in milliseconds.
MIDNIGHT = 1_795_910_400_000


class Clock:
    """A log's clock, in milliseconds, set by the test."""

    def __init__(self, now: int = MIDNIGHT) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def append(log: Log, events: Iterable[Any]) -> None:
    with closing(log.writer()) as writer:
        for event in events:
            writer.append(event.subject.encode(), encode_event(event))
        assert writer.flush(10)


def append_raw(log: Log, pairs: Iterable[tuple[bytes, bytes]]) -> None:
    with closing(log.writer()) as writer:
        for key, value in pairs:
            writer.append(key, value)
        assert writer.flush(10)


def log_records(log: Log) -> Mapping[int, Sequence[Record]]:
    """All records that the log has."""
    info = log.info(10)
    found: dict[int, list[Record]] = {partition: [] for partition in info.starts}
    with closing(log.reader(info.starts)) as reader:
        at = dict(info.starts)
        while any(at[p] < end for p, end in info.ends.items()):
            for partition, poll in reader.poll(5).items():
                found[partition] += poll.records
                at[partition] = poll.next_offset
    return found


def archive_records(archive: Archive) -> Mapping[int, Sequence[Record]]:
    """All records that the archive has."""
    return {partition: list(archive.records(partition, start, end)) for partition, (start, end) in archive.starts_ends().items()}


def archived(log: Log, place: Path, **options: Any) -> Done:
    """Archive what the log holds now."""
    limits = options.pop("limits", Limits())
    return Archiver(log, place, topic=options.pop("topic", "task-events"), limits=limits, **options).once()


def memory_log(partitions: int = 1, clock: Clock | None = None) -> MemoryLog:
    return MemoryLog(None, partitions, clock=clock or Clock())
