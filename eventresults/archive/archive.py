"""An archive, opened for reading: which files it has, and the records and rows in them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from eventresults.archive import manifest
from eventresults.archive.arrow import datasets, pa, pc, pq
from eventresults.archive.chain import Chain, Gap, chain_of
from eventresults.archive.files import Entry, corrupt, entry_of
from eventresults.archive.layout import EVENTS, GAPS, IDENTITY, FileName
from eventresults.archive.schema import SCHEMA
from eventresults.archive.storage import Storage, storage_of
from eventresults.errors import ArchiveCorrupt, ConfigError
from eventresults.log.base import Record

FORMAT = 1


class Identity(NamedTuple):
    """Which log an archive is of, and the offset at which each partition begins."""

    topic: str
    log_id: str
    starts: Mapping[int, int]

    def dump(self) -> bytes:
        """Its bytes."""
        starts = {str(partition): start for partition, start in self.starts.items()}
        return json.dumps({"format": FORMAT, "topic": self.topic, "log_id": self.log_id, "starts": starts}, indent=1).encode()


class Archive:
    """The archive in one place. It holds nothing open; every method looks afresh at the files that are there.

    Raises `ConfigError` when there is no archive; every method raises `ArchiveCorrupt` when a file is missing or cannot be used.
    """

    def __init__(self, place: str | Path | Storage) -> None:
        self.storage: Storage = storage_of(place) if isinstance(place, (str, Path)) else place
        self.identity = identity_of(self.storage)

    def chains(self, *, holes: bool = False, listed: bool = True) -> Mapping[int, Chain]:
        """The files of each partition, in order.

        `holes` tolerates that files are missing between others, `listed` insists that every file of the manifest is there.
        """
        entries = self.entries(listed=listed)
        by_partition: defaultdict[int, list[Entry]] = defaultdict(list)
        for entry in entries:
            by_partition[entry.partition].append(entry)
        gaps: defaultdict[int, list[Gap]] = defaultdict(list)
        for gap in self._gaps():
            gaps[gap.partition].append(gap)
        chains = {
            partition: chain_of(partition, self.identity.starts.get(partition, 0), by_partition[partition], gaps[partition])
            for partition in sorted(self.identity.starts.keys() | by_partition.keys() | gaps.keys())
        }
        for chain in chains.values():
            if chain.resumes is not None and not holes:
                path = FileName(self.identity.topic, chain.partition, chain.end)
                raise corrupt(
                    path.events(0).rpartition("/")[2],
                    f"it is missing, and with it the offsets {chain.end} to {chain.resumes - 1} of partition {chain.partition}",
                )
        return chains

    def entries(self, *, listed: bool = True) -> list[Entry]:
        """Every file, those that a compaction has made superfluous included."""
        said = manifest.load(self.storage)
        source, root = self.storage.filesystem()
        found: list[Entry] = []
        for stored in self.storage.list(EVENTS):
            entry = said.pop(stored.path, None)
            if FileName.parse(stored.path) is None:
                continue
            if entry is None:
                entry = entry_of(stored.path, stored.size, f"{root}/{stored.path}", source)
            elif entry.bytes != stored.size:
                raise corrupt(stored.path, f"it has {stored.size} bytes, and {entry.bytes} according to the manifest")
            found.append(entry)
        for entry in said.values() if listed else ():
            if not any(one.partition == entry.partition and one.start <= entry.start and one.end >= entry.end for one in found):
                raise corrupt(entry.path, "it is missing, and the manifest lists it")
        return found

    def starts_ends(self) -> Mapping[int, tuple[int, int]]:
        """See `eventresults.archive.starts_ends`."""
        return {partition: (chain.start, chain.end) for partition, chain in self.chains().items() if chain.files}

    def records(self, partition: int, start: int, end: int) -> Iterator[Record]:
        """See `eventresults.archive.records`."""
        from eventresults.archive.rows import NEEDED, records_of  # noqa: PLC0415 - a list of files needs no codec

        chain = self.chains().get(partition)
        for entry in chain.files if chain else ():
            if entry.start < end and entry.end > start:
                for table in self.tables(entry, list(NEEDED), start, end):
                    yield from records_of(table)

    def tables(self, entry: Entry, columns: list[str] | None = None, start: int = 0, end: int = 2**63 - 1) -> Iterator[Any]:
        """The rows of one file with start <= offset < end, a table at a time."""
        source, root = self.storage.filesystem()
        try:
            with pq.ParquetFile(f"{root}/{entry.path}", filesystem=source, page_checksum_verification=True) as file:
                if file.metadata.num_rows != entry.rows:
                    raise corrupt(entry.path, f"it has {file.metadata.num_rows} rows, and {entry.rows} according to the manifest")
                if not file.schema_arrow.equals(SCHEMA):
                    raise corrupt(entry.path, "its columns are not those of an archive")
                for number in range(file.num_row_groups):
                    least, most = _offsets(file.metadata.row_group(number))
                    if most < start or least >= end:
                        continue
                    table = file.read_row_group(number, columns=columns)
                    if least < start or most >= end:
                        offset = table.column("offset")
                        table = table.filter(pc.and_(pc.greater_equal(offset, start), pc.less(offset, end)))
                    yield table
        except FileNotFoundError as error:
            raise corrupt(entry.path, "it went away while it was read: was the archive compacted? Then ask again") from error
        except (OSError, pa.ArrowException) as error:
            raise corrupt(entry.path, f"{type(error).__name__}: {error}") from error

    def scan(self, paths: Sequence[str] | None = None) -> Any:
        """See `eventresults.archive.scan`; of these files alone, if they are given."""
        source, root = self.storage.filesystem()
        if paths is None:
            paths = [entry.path for chain in self.chains().values() for entry in chain.files]
        return datasets().dataset([f"{root}/{path}" for path in paths], schema=SCHEMA, format="parquet", filesystem=source)

    def _gaps(self) -> Iterator[Gap]:
        for stored in self.storage.list(GAPS):
            try:
                found = json.loads(self.storage.read(stored.path) or b"")
                yield Gap(found["partition"], found["start"], found["end"])
            except (ValueError, KeyError, TypeError) as error:
                raise corrupt(stored.path, f"it cannot be read ({type(error).__name__})") from error


def identity_of(storage: Storage) -> Identity:
    """Which log the archive in this place is of. Raises `ConfigError` when there is no archive."""
    raw = storage.read(IDENTITY)
    if raw is None:
        raise ConfigError(
            f"There is no archive at {storage.url}: `eventresults archive run --once --archive DIR` makes one.", setting="archive"
        )
    try:
        found = json.loads(raw)
        if found["format"] != FORMAT:
            raise ConfigError(f"{storage.url} is an archive of format {found['format']}: this version reads {FORMAT}.", setting="archive")
        return Identity(found["topic"], found["log_id"], {int(number): start for number, start in found["starts"].items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ArchiveCorrupt(
            f"{IDENTITY} of {storage.url} cannot be read ({error}): put it back from a copy.", path=IDENTITY, reason=str(error)
        ) from error


def _offsets(group: Any) -> tuple[int, int]:
    column = next(group.column(number) for number in range(group.num_columns) if group.column(number).path_in_schema == "offset")
    return column.statistics.min, column.statistics.max
