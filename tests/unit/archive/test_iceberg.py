"""An archive's files are an Iceberg table, each of them once."""

from __future__ import annotations

import pytest

from eventresults.archive.archive import Archive
from eventresults.archive.compact import compact
from eventresults.archive.iceberg import OFFSETS, add_to_table, offsets_of, open_catalog
from eventresults.errors import ArchiveError
from tests.support.archives import append, archived, log_records, memory_log
from tests.support.events import sent, started, succeeded


@pytest.fixture
def catalog(tmp_path):
    (tmp_path / "warehouse").mkdir()
    catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}/warehouse")
    yield catalog
    catalog.close()


def three(task_id):
    return [make(task_id=task_id) for make in (sent, started, succeeded)]


def test_files_are_added_once_with_the_offsets_that_they_reach(catalog, tmp_path):
    # given
    log = memory_log(partitions=2)
    append(log, [event for number in range(10) for event in three(f"a{number}")])
    archived(log, tmp_path / "archive")
    archive = Archive(tmp_path / "archive")

    # when / then: all, nothing, what is new
    assert add_to_table(archive, catalog, "shop.events").rows == 30
    assert add_to_table(archive, catalog, "shop.events").files == 0
    append(log, three("b"))
    archived(log, tmp_path / "archive")
    assert add_to_table(archive, catalog, "shop.events").rows == 3

    # and the table reads as the log does
    table = catalog.load_table("shop.events")
    rows = table.scan(selected_fields=("partition", "offset")).to_arrow().to_pylist()
    assert sorted(tuple(row.values()) for row in rows) == [(p, one.offset) for p, records in log_records(log).items() for one in records]
    assert offsets_of(table) == log.info(1).ends
    assert table.current_snapshot().summary[OFFSETS]


def test_a_snapshot_of_somebody_else_hides_no_offsets(catalog, tmp_path):
    log = memory_log()
    append(log, three("a"))
    archived(log, tmp_path / "archive")
    archive = Archive(tmp_path / "archive")
    add_to_table(archive, catalog, "shop.events")
    table = catalog.load_table("shop.events")
    table.append(table.scan().to_arrow().slice(0, 1))
    assert add_to_table(archive, catalog, "shop.events").files == 0


def test_what_was_compacted_over_the_tables_end_is_refused(catalog, tmp_path):
    log = memory_log()
    append(log, three("a"))
    archived(log, tmp_path / "archive")
    archive = Archive(tmp_path / "archive")
    add_to_table(archive, catalog, "shop.events")
    append(log, three("b"))
    archived(log, tmp_path / "archive")
    compact(archive)
    with pytest.raises(ArchiveError, match="compacted since"):
        add_to_table(archive, catalog, "shop.events")


def test_a_table_of_another_log_is_left_alone(catalog, tmp_path):
    for name in ("one", "other"):
        log = memory_log()
        append(log, three("a"))
        archived(log, tmp_path / name)
    add_to_table(Archive(tmp_path / "one"), catalog, "shop.events")
    with pytest.raises(ArchiveError, match="of another log"):
        add_to_table(Archive(tmp_path / "other"), catalog, "shop.events")
    with pytest.raises(ArchiveError, match=r"write namespace\.name"):
        add_to_table(Archive(tmp_path / "other"), catalog, "events")
