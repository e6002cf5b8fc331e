"""The archive: every record of a log, kept in Parquet files for as long as anybody asks, readable by whatever reads Parquet.

    DIR/archive.json                                            which log this is of; written once
    DIR/events/day=2026-11-28/task-events-0-00000000000000001200.parquet
    DIR/gaps/task-events-0-00000000000000000800.json            what retention removed before it was archived
    DIR/manifest.json                                           what is in the files; made anew from them when it is gone

A file is named by topic, partition and first offset, and is created only if it is absent. Each begins where the one before it ends, and
where to go on is read from the files themselves: so a crash, a rerun or two archivers at once double nothing and lose nothing. A row keeps
enough to give the record back, byte for byte.

Needs `pip install 'eventresults[archive]'`; importing this room alone loads none of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventresults.log.base import Log, Record

if TYPE_CHECKING:
    from eventresults.archive.archive import Archive

__all__ = ["as_log", "open_archive", "records", "scan", "starts_ends"]


def open_archive(archive: str | Path) -> Archive:
    """The archive in this folder. Raises `ConfigError` when there is none, or the extra is missing."""
    from eventresults.archive.archive import Archive  # noqa: PLC0415 - brings pyarrow

    return Archive(archive)


def as_log(archive: str | Path) -> Log:
    """The archive as a log to be read, under the identity of the log that it is of; it ends where the archive ends now.

    Where retention took a log's beginning, `eventresults.log.joined.JoinedLog(log, as_log(archive))` still has it. Raises `ArchiveCorrupt`
    when a file is missing.
    """
    from eventresults.archive.log import ArchivedLog  # noqa: PLC0415 - brings pyarrow

    return ArchivedLog(open_archive(archive))


def starts_ends(archive: str | Path) -> Mapping[int, tuple[int, int]]:
    """Of each partition that the archive holds anything of: its first offset, and the offset that comes after its last.

    Raises `ArchiveCorrupt` when a file between them is missing or cannot be read.
    """
    return open_archive(archive).starts_ends()


def scan(archive: str | Path) -> Any:
    """All rows as a `pyarrow.dataset.Dataset`, for pandas, polars and whatever else reads Arrow.

    Its columns are those of `eventresults.archive.schema`. Raises `ArchiveCorrupt` when a file is missing.
    """
    return open_archive(archive).scan()


def records(archive: str | Path, partition: int, start: int, end: int) -> Iterator[Record]:
    """The records of one partition with start <= offset < end, in order, byte for byte as the log had them.

    Offsets that the archive does not hold are left out without a word (see `starts_ends`). Raises `ArchiveCorrupt` when a file is missing
    or cannot be read.
    """
    return open_archive(archive).records(partition, start, end)
