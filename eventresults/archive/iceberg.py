"""An archive as an Iceberg table, for engines that read those: its files are added as they are, none is copied.

What was added already is written in the table's own snapshots, as the offset behind it of each partition: so adding again adds what is new,
and of two that add at once one begins anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from eventresults.archive.archive import Archive
from eventresults.archive.chain import Chain
from eventresults.archive.extra import extra
from eventresults.archive.files import Entry
from eventresults.archive.schema import SCHEMA
from eventresults.errors import ArchiveError

with extra("iceberg"):
    from pyiceberg.catalog import Catalog, load_catalog
    from pyiceberg.exceptions import CommitFailedException
    from pyiceberg.table import Table

#: Where a snapshot says how far it goes: {"partition": offset, …}.
OFFSETS = "eventresults.offsets"
TRIES = 5


class Added(NamedTuple):
    """What one call added, and up to where the table goes now."""

    files: int
    rows: int
    ends: Mapping[int, int]


def open_catalog(uri: str, *, warehouse: str) -> Catalog:
    """A catalog in an SQL database (`sqlite:///…`, `postgresql://…`), or a REST catalog (`https://…`)."""
    kind = "rest" if uri.startswith(("http://", "https://")) else "sql"
    return load_catalog("eventresults", type=kind, uri=uri, warehouse=warehouse)


def add_to_table(archive: Archive, catalog: Catalog, name: str) -> Added:
    """Add the archive's files that the table `namespace.name` lacks, and make it if it is not there.

    Raises `ArchiveError` when the table is of another archive, or a compaction has merged files that it has with files that it lacks.
    """
    namespace = name.rpartition(".")[0]
    if not namespace:
        raise ArchiveError(f"{name!r} is no table's name: write namespace.name.")
    catalog.create_namespace_if_not_exists(namespace)
    table = catalog.create_table_if_not_exists(name, schema=SCHEMA, properties={"eventresults.log": archive.identity.log_id})
    if table.properties.get("eventresults.log") != archive.identity.log_id:
        raise ArchiveError(f"The table {name} is of another log than {archive.storage.url}: name another table.")
    for left in reversed(range(TRIES)):
        try:
            return _add(archive, table.refresh())
        except CommitFailedException:
            if not left:
                raise
    raise AssertionError


def offsets_of(table: Table) -> Mapping[int, int]:
    """Up to where the table goes, by partition: the offset behind its last record."""
    snapshot = table.current_snapshot()
    while snapshot is not None:
        said = snapshot.summary.get(OFFSETS) if snapshot.summary else None
        if said is not None:
            return {int(partition): end for partition, end in json.loads(said).items()}
        parent = snapshot.parent_snapshot_id
        snapshot = None if parent is None else table.snapshot_by_id(parent)
    return {}


def _add(archive: Archive, table: Table) -> Added:
    have = offsets_of(table)
    chains = archive.chains()
    new = [entry for chain in chains.values() for entry in _lacking(chain, have.get(chain.partition, chain.start), table)]
    ends = {**have, **{partition: chain.end for partition, chain in chains.items() if chain.files}}
    if new:
        where = archive.storage.location
        said = json.dumps({str(partition): end for partition, end in sorted(ends.items())})
        table.add_files([f"{where}/{entry.path}" for entry in new], snapshot_properties={OFFSETS: said})
    return Added(len(new), sum(entry.rows for entry in new), ends)


def _lacking(chain: Chain, end: int, table: Any) -> list[Entry]:
    """The files behind this offset, at which one of them begins."""
    lacking = [entry for entry in chain.files if entry.end > end]
    if lacking and lacking[0].start < end:
        raise ArchiveError(
            f"{lacking[0].path} holds records that the table {'.'.join(table.name())} has, and others that it lacks: the archive was "
            "compacted since. Drop the table and add all anew; and compact before you add."
        )
    return lacking
