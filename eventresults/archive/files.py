"""One Parquet file of an archive: writing it, and what its footer says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from eventresults.archive.arrow import pq
from eventresults.archive.layout import FileName
from eventresults.archive.schema import REPEATED, SCHEMA, STEADY
from eventresults.errors import ArchiveCorrupt

#: Where a footer keeps what a file says of itself.
FOOTER = b"eventresults"
FORMAT = 1
ROW_GROUP = 131_072


class Entry(NamedTuple):
    """What is known of one file. It covers start <= offset < end, of which `rows` are there (a broker leaves holes).

    `first` and `last` are the log times of its first and last row, in milliseconds since the epoch. `sha256` is that of the whole file, ""
    where only its footer was read.
    """

    path: str
    partition: int
    start: int
    end: int
    rows: int
    bytes: int
    first: int
    last: int
    sha256: str = ""


class FileWriter:
    """Writes one file into a draft: `write` and `span`, …, then `finish`, or `abandon`. One thread at a time."""

    def __init__(self, draft: Path, name: FileName) -> None:
        self.draft = draft
        self.name = name
        self._rows = 0
        self._first: int | None = None
        self._last = 0
        self._writer = pq.ParquetWriter(
            draft,
            SCHEMA,
            compression="zstd",
            compression_level=3,
            use_dictionary=REPEATED,
            column_encoding=STEADY,
            write_page_index=True,
            write_page_checksum=True,
            bloom_filter_options={"task_id": {"ndv": ROW_GROUP // 2, "fpp": 0.01}},
        )

    def write(self, table: Any) -> int:
        """Write these rows as row groups; the bytes written so far."""
        self._writer.write_table(table, row_group_size=ROW_GROUP)
        self._rows += table.num_rows
        return self.draft.stat().st_size

    def span(self, first: int, last: int) -> None:
        """Rows with log times from `first` to `last` are written, or will be."""
        self._first = first if self._first is None else self._first
        self._last = last

    def finish(self, end: int) -> Entry:
        """Close the draft, which covers the offsets before `end`; what it is, once it has been created under its path."""
        assert self._first is not None
        name = self.name
        said = {"format": FORMAT, "topic": name.topic, "partition": name.partition, "start": name.start, "end": end}
        said |= {"rows": self._rows, "first": self._first, "last": self._last}
        self._writer.add_key_value_metadata({FOOTER: json.dumps(said).encode()})
        self._writer.close()
        with self.draft.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = self.draft.stat().st_size
        return Entry(name.events(self._first), name.partition, name.start, end, self._rows, size, self._first, self._last, digest)

    def abandon(self) -> None:
        """Close it without a promise about what was written."""
        self._writer.close()


def entry_of(path: str, size: int, source: Any, filesystem: Any) -> Entry:
    """What the footer of this file says. Raises `ArchiveCorrupt` when it has none of ours, or contradicts itself or its name."""
    name = FileName.parse(path)
    try:
        with pq.ParquetFile(source, filesystem=filesystem) as file:
            found = json.loads(file.metadata.metadata[FOOTER])
            rows = file.metadata.num_rows
    except FileNotFoundError:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise corrupt(path, f"its footer cannot be read ({type(error).__name__}: {error})") from error
    said = Entry(path, found["partition"], found["start"], found["end"], found["rows"], size, found["first"], found["last"])
    if found["format"] != FORMAT:
        raise corrupt(path, f"it is of format {found['format']}, and this version reads {FORMAT}")
    if name is None or (name.topic, name.partition, name.start) != (found["topic"], said.partition, said.start):
        raise corrupt(path, "its name contradicts its footer")
    if said.rows != rows or said.end < said.start + rows:
        raise corrupt(path, "its footer contradicts itself")
    return said


def corrupt(path: str, reason: str) -> ArchiveCorrupt:
    """The error of a file that cannot be used."""
    return ArchiveCorrupt(
        f"{path} cannot be used: {reason}. Put it back from a copy; or, while the log still has its records, delete the file and run "
        "`eventresults archive repair`, then `eventresults archive run --once`.",
        path=path,
        reason=reason,
    )
