"""Making one file of many small ones of the same day.

The new file has another name, and is there, whole, before the old ones are deleted. Until they are, and after a crash between, whoever
reads through the manifest or through this library counts each record once; whoever reads the folder as it is may meet some twice.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import NamedTuple

from eventresults.archive import manifest
from eventresults.archive.archive import Archive
from eventresults.archive.arrow import pa
from eventresults.archive.files import ROW_GROUP, Entry, FileWriter, corrupt
from eventresults.archive.layout import FileName, day_of
from eventresults.archive.storage import Storage
from eventresults.errors import ArchiveError

LOCK = "compacting.json"


class Compacted(NamedTuple):
    """How many files became how many, and the bytes of them."""

    files: int
    into: int
    bytes_before: int
    bytes_after: int


def compact(archive: Archive, *, rows: int = 1_000_000, keep_newest: int = 0) -> Compacted:
    """Merge neighbouring files of one day, as long as the result has no more than `rows`; the newest few of each partition stay.

    Raises `ArchiveError` while another compaction is under way, `ArchiveCorrupt` when a file cannot be read: nothing is deleted then.
    """
    merged: list[tuple[Sequence[Entry], Entry]] = []
    with _alone(archive.storage):
        for chain in archive.chains().values():
            for entry in chain.superfluous:  # of a compaction that a crash cut short
                archive.storage.delete(entry.path)
            candidates = chain.files[: len(chain.files) - keep_newest]
            merged += [(run, _merge(archive, run)) for run in _runs(candidates, rows)]
        manifest.save(archive.storage, _linked(archive))
    before = [entry for run, _ in merged for entry in run]
    after = [entry for _, entry in merged]
    return Compacted(len(before), len(after), sum(entry.bytes for entry in before), sum(entry.bytes for entry in after))


def repair(archive: Archive) -> int:
    """Make the manifest anew from the footers of the files that are there; how many.

    Raises `ArchiveCorrupt` for a file whose footer is none of ours.
    """
    manifest.save(archive.storage, ())
    entries = archive.entries()
    manifest.save(archive.storage, entries)
    return len(entries)


def _runs(files: Sequence[Entry], rows: int) -> Iterator[Sequence[Entry]]:
    """Neighbours that are worth merging."""
    for _, group in groupby(files, key=lambda entry: day_of(entry.first)):
        run: list[Entry] = []
        for entry in group:
            if run and (sum(one.rows for one in run) + entry.rows > rows or run[-1].end != entry.start):
                if len(run) > 1:
                    yield run
                run = []
            run.append(entry)
        if len(run) > 1:
            yield run


def _merge(archive: Archive, run: Sequence[Entry]) -> Entry:
    names = [name for entry in run if (name := FileName.parse(entry.path))]
    name = names[0]._replace(level=max(one.level for one in names) + 1)
    with archive.storage.drafts() as folder:
        draft = folder / "merged.parquet"
        writer = FileWriter(draft, name)
        try:
            _copy(archive, run, writer)
        except BaseException:
            writer.abandon()
            raise
        entry = writer.finish(run[-1].end)
        if entry.rows != sum(one.rows for one in run):
            raise corrupt(
                run[0].path, f"{entry.rows} rows were read of it and its neighbours, and there should be {sum(one.rows for one in run)}"
            )
        archive.storage.create(entry.path, draft)
    for old in run:
        archive.storage.delete(old.path)
    return entry


def _copy(archive: Archive, run: Sequence[Entry], writer: FileWriter) -> None:
    waiting, rows = [], 0
    for entry in run:
        writer.span(entry.first, entry.last)
        for table in archive.tables(entry):
            waiting.append(table)
            rows += table.num_rows
            if rows >= ROW_GROUP:
                whole = pa.concat_tables(waiting)
                fits = rows - rows % ROW_GROUP
                writer.write(whole.slice(0, fits))
                waiting, rows = [whole.slice(fits)], rows - fits
    if rows:
        writer.write(pa.concat_tables(waiting))


def _linked(archive: Archive) -> Iterator[Entry]:
    for chain in archive.chains(listed=False).values():
        yield from chain.files


@contextmanager
def _alone(storage: Storage) -> Iterator[None]:
    with storage.drafts() as folder:
        note = folder / LOCK
        note.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
        if not storage.create(LOCK, note):
            raise ArchiveError(
                f"Another compaction of {storage.url} is under way ({_holder(storage)}). If that process is gone, delete {LOCK} and "
                "try again."
            )
    try:
        yield
    finally:
        storage.delete(LOCK)


def _holder(storage: Storage) -> str:
    try:
        found = json.loads(storage.read(LOCK) or b"")
        return f"process {found['pid']} on {found['host']}"
    except (ValueError, KeyError, TypeError):
        return "by whom, it does not say"
