"""Proving an archive: its files are what the manifest says, its rows are what the log holds, and its columns say what its records say."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import chain as chained
from typing import Any, NamedTuple

from eventresults.archive.archive import Archive
from eventresults.archive.chain import Chain
from eventresults.archive.files import Entry, corrupt, entry_of
from eventresults.archive.rows import CHUNK, records_of, rows_of
from eventresults.archive.schema import SCHEMA
from eventresults.errors import LogUnavailable
from eventresults.log.base import Log, Record

POLL_SECONDS = 0.5
EMPTY_POLLS = 60

#: Called with (records compared so far, records to compare in all).
Progress = Callable[[int, int], None]


class Difference(NamedTuple):
    """What is not the same at one position: what the archive has there, and what is right."""

    partition: int
    offset: int
    what: str
    archived: Any = None
    right: Any = None


def check_files(archive: Archive) -> int:
    """Read every file to its last byte; how many there are. Raises `ArchiveCorrupt` for the first that is not what the manifest says."""
    count = 0
    source, root = archive.storage.filesystem()
    for link in archive.chains().values():
        for entry in link.files:
            raw = archive.storage.read(entry.path)
            if raw is None:
                raise corrupt(entry.path, "it is missing")
            if entry.sha256 and hashlib.sha256(raw).hexdigest() != entry.sha256:
                raise corrupt(entry.path, "its bytes are not those that were written: its SHA-256 differs from the manifest's")
            said = entry_of(entry.path, len(raw), f"{root}/{entry.path}", source)
            if said != entry._replace(sha256=""):
                raise corrupt(entry.path, f"the manifest contradicts its footer ({_contradiction(entry, said)})")
            count += 1
    return count


class Comparison:
    """One archive beside one log. `rows` were compared; of `beyond` offsets the log holds no more: there, columns alone were proven."""

    def __init__(self, archive: Archive, log: Log, *, timeout: float = 10.0) -> None:
        self._archive = archive
        self._log = log
        self._info = log.info(timeout)
        self._chains = archive.chains()
        self.rows = 0
        self.beyond = 0

    def differences(
        self, *, starts: Mapping[int, int] | None = None, ends: Mapping[int, int] | None = None, progress: Progress | None = None
    ) -> Iterator[Difference]:
        """Every position where they differ, in order within a partition.

        Offsets are those from `starts` to before `ends`, of the partitions that they name; of all that the archive has without any.
        """
        named = (starts or {}).keys() | (ends or {}).keys() or self._chains.keys()
        spans = {p: self._span(self._chains[p], starts or {}, ends or {}) for p in sorted(named) if p in self._chains}
        total = sum(end - start for start, end in spans.values())
        for partition, (start, end) in spans.items():
            held = max(start, self._info.starts.get(partition, end))
            self.beyond += max(min(held, end) - start, 0)
            truth = self._logged(partition, held, end)
            right = next(truth, None)
            for table in self._archived(partition, start, end):
                records = list(records_of(table))
                yield from self._columns(partition, table, records)
                for record in records:
                    while right is not None and right.offset < record.offset:
                        yield Difference(partition, right.offset, "missing in the archive", None, _shown(right))
                        right = next(truth, None)
                    if record.offset >= held:
                        yield from self._record(partition, record, right)
                        if right is not None and right.offset == record.offset:
                            right = next(truth, None)
                self.rows += len(records)
                if progress is not None:
                    progress(self.rows, max(total, self.rows))
            for left in chained(() if right is None else (right,), truth):
                yield Difference(partition, left.offset, "missing in the archive", None, _shown(left))

    def behind(self) -> int:
        """How many offsets the log has beyond the archive."""
        return sum(max(end - (self._chains[p].end if p in self._chains else 0), 0) for p, end in self._info.ends.items())

    def _span(self, link: Chain, starts: Mapping[int, int], ends: Mapping[int, int]) -> tuple[int, int]:
        start = max(starts.get(link.partition, link.start), link.start)
        return start, max(min(ends.get(link.partition, link.end), link.end), start)

    def _archived(self, partition: int, start: int, end: int) -> Iterator[Any]:
        for entry in self._chains[partition].files:
            if entry.end > start and entry.start < end:
                for table in self._archive.tables(entry, None, start, end):
                    for first in range(0, table.num_rows, CHUNK):
                        yield table.slice(first, CHUNK)

    def _columns(self, partition: int, table: Any, records: list[Record]) -> Iterator[Difference]:
        """Where the typed columns say other things than the records that they were made of."""
        made = rows_of(partition, records)
        if made.equals(table):
            return
        for name in SCHEMA.names:
            if not made.column(name).equals(table.column(name)):
                for record, one, other in zip(records, table.column(name).to_pylist(), made.column(name).to_pylist(), strict=True):
                    if one != other:
                        yield Difference(partition, record.offset, f"column {name}", one, other)
                        break

    def _record(self, partition: int, record: Record, right: Record | None) -> Iterator[Difference]:
        if right is None or right.offset != record.offset:
            yield Difference(partition, record.offset, "not in the log", _shown(record), None)
        elif right != record:
            for name, one, other in zip(Record._fields, record, right, strict=True):
                if one != other:
                    yield Difference(partition, record.offset, f"the record's {name}", _text(one), _text(other))

    def _logged(self, partition: int, start: int, end: int) -> Iterator[Record]:
        """The log's own records of this stretch."""
        end = min(end, self._info.ends.get(partition, 0))
        if start >= end:
            return
        empty = 0
        with closing(self._log.reader({partition: start})) as reader:
            while True:
                polled = reader.poll(POLL_SECONDS)
                empty = 0 if polled else empty + 1
                if empty > EMPTY_POLLS:
                    raise LogUnavailable(
                        f"{self._log.url} gave no record for {EMPTY_POLLS * POLL_SECONDS:g} s before its end: is it reachable?",
                        url=self._log.url,
                        reason="silence",
                    )
                for poll in polled.values():
                    for record in poll.records:
                        if record.offset >= end:
                            return
                        yield record
                    if poll.next_offset >= end:
                        return


def _contradiction(entry: Entry, said: Entry) -> str:
    return ", ".join(
        f"{name}: {one}, {other} in the footer" for name, one, other in zip(Entry._fields[:-1], entry, said, strict=False) if one != other
    )


def _shown(record: Record) -> dict[str, Any]:
    return {"log_time": record.log_time, "key": _text(record.key), "value": _text(record.value)}


def _text(value: Any) -> Any:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
