"""An archive is proven right, and every way in which it can be wrong is found, with its place."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from eventresults import archive as archives
from eventresults.archive.archive import Archive
from eventresults.archive.arrow import pa, pq
from eventresults.archive.compact import compact, repair
from eventresults.archive.drafts import Limits
from eventresults.archive.log import ArchivedLog
from eventresults.archive.verify import Comparison, check_files
from eventresults.domain.position import Position
from eventresults.errors import ArchiveCorrupt, ArchiveError, Closed, TopicMisconfigured, ViewStale
from eventresults.log.joined import JoinedLog
from tests.support.archives import append, append_raw, archive_records, archived, log_records, memory_log
from tests.support.events import failed, sent, started, succeeded


@pytest.fixture
def log():
    log = memory_log(partitions=2)
    append(log, [make(task_id=f"task-{number}") for number in range(20) for make in (sent, started, succeeded, failed)])
    append_raw(log, [(b"junk", b"\xff")])
    return log


@pytest.fixture
def archive(log, tmp_path):
    archived(log, tmp_path)
    return Archive(tmp_path)


def found(archive, log, **span):
    comparison = Comparison(archive, log)
    return [(one.partition, one.offset, one.what) for one in comparison.differences(**span)], comparison


def tamper(tmp_path, change, partition=0):
    """Write a file again with other rows, its footer and the manifest as if nothing had happened."""
    (path,) = tmp_path.rglob(f"task-events-{partition}-*.parquet")
    table = pq.read_table(path, partitioning=None)
    changed = change(table)
    meta = pq.read_metadata(path).metadata
    with pq.ParquetWriter(path, changed.schema, compression="zstd") as writer:
        writer.write_table(changed)
        footer = json.loads(meta[b"eventresults"]) | {"rows": changed.num_rows}
        writer.add_key_value_metadata({b"eventresults": json.dumps(footer).encode()})
    repair(Archive(tmp_path))


def put(table, name, row, value):
    values = table.column(name).to_pylist()
    values[row] = value
    return table.set_column(table.column_names.index(name), table.schema.field(name), pa.array(values, table.schema.field(name).type))


def test_an_archive_that_is_right_is_proven_so(archive, log):
    differences, comparison = found(archive, log)
    assert differences == []
    assert (comparison.rows, comparison.beyond, comparison.behind()) == (81, 0, 0)
    assert check_files(archive) == 2


def test_a_value_that_was_altered_is_found_with_its_place(archive, log, tmp_path):
    tamper(tmp_path, lambda table: put(table, "result", 2, '{"paid":true}'))
    differences, _ = found(archive, log)
    offset = pq.read_table(next(tmp_path.rglob("task-events-0-*.parquet")), partitioning=None).column("offset").to_pylist()[2]
    assert (0, offset, "the record's value") in differences or differences[0][:2] == (0, offset)


def test_a_column_that_says_other_things_than_its_record_is_found(archive, log, tmp_path):
    tamper(tmp_path, lambda table: put(table, "state", 1, "SUCCESS"))
    differences, _ = found(archive, log)
    assert differences == [(0, 1, "column state")]


def test_a_record_that_was_left_out_is_found(archive, log, tmp_path):
    tamper(tmp_path, lambda table: pa.concat_tables([table.slice(0, 3), table.slice(4)]))
    assert found(archive, log)[0] == [(0, 3, "missing in the archive")]


def test_a_record_that_was_put_in_is_found(log, tmp_path):
    log.leave_hole(0, 1)
    append(log, [sent(task_id=f"more-{number}") for number in range(20)])
    archived(log, tmp_path)
    offsets = [record.offset for record in log_records(log)[0]]
    hole = next(offset for offset in range(len(offsets)) if offset not in offsets)
    tamper(tmp_path, lambda table: pa.concat_tables([table.slice(0, hole), put(table.slice(0, 1), "offset", 0, hole), table.slice(hole)]))
    assert (0, hole, "not in the log") in found(Archive(tmp_path), log)[0]


def test_a_stretch_can_be_chosen(archive, log, tmp_path):
    tamper(tmp_path, lambda table: put(table, "state", 1, "SUCCESS"))
    assert found(archive, log, starts={0: 2}, ends={0: 9})[0] == []
    assert found(archive, log, starts={0: 0})[0] != []
    assert found(archive, log, starts={1: 0})[0] == []


def test_what_only_the_archive_still_has_is_proven_by_itself(archive, log):
    log.delete_before(Position(0, 5))
    differences, comparison = found(archive, log)
    assert differences == []
    assert comparison.beyond == 5


def test_an_archive_that_is_behind_is_told_to_be(archive, log):
    append(log, [sent(task_id="new")])
    assert Comparison(archive, log).behind() == 1


def test_bytes_that_rotted_are_found_by_their_sum(archive, tmp_path):
    path = next(tmp_path.rglob("task-events-1-*.parquet"))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ArchiveCorrupt, match="SHA-256 differs"):
        check_files(archive)


def test_a_manifest_that_contradicts_a_footer_is_found(archive, tmp_path):
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"first": 1', '"first": 2', 1))
    with pytest.raises(ArchiveCorrupt, match="the manifest contradicts its footer"):
        check_files(archive)


def test_an_archive_reads_as_the_log_that_it_is_of(archive, log):
    # given
    reading = ArchivedLog(archive)
    info = reading.info(1)

    # when
    with closing(reading.reader(info.starts)) as reader:
        records = {0: [], 1: []}
        while polled := reader.poll(0):
            for partition, poll in polled.items():
                records[partition] += poll.records

    # then
    assert records == log_records(log)
    assert info == log.info(1)
    assert reading.partition_for(b"task-1") == log.partition_for(b"task-1")
    assert reading.read(Position(0, 3), 1) == log.read(Position(0, 3), 1)
    assert reading.read(Position(0, 3_000), 1) is None
    with pytest.raises(ArchiveError, match="only `eventresults archive run` writes it"):
        reading.writer()
    with pytest.raises(ViewStale):
        reading.reader({0: 1_000})
    with pytest.raises(TopicMisconfigured):
        reading.reader({7: 0})
    with pytest.raises(Closed):
        reader.poll(0)


def test_a_log_reaches_back_as_far_as_its_archive(archive, log, tmp_path):
    # given
    before = log_records(log)
    log.delete_before(Position(0, 30))
    log.delete_before(Position(1, 2))
    append(log, [sent(task_id="new")])

    # when
    records = log_records(JoinedLog(log, archives.as_log(tmp_path)))

    # then
    assert {p: records[p][: len(before[p])] for p in before} == before
    assert sum(map(len, records.values())) == sum(map(len, before.values())) + 1


def test_an_archive_can_be_read_from_where_its_log_begins_now(archive, log):
    log.delete_before(Position(0, 5))
    assert ArchivedLog(archive, starts=log.info(1).starts).info(1) == log.info(1)


def test_small_files_become_one_and_nothing_else_changes(log, tmp_path):
    # given
    for number in range(6):
        append(log, [sent(task_id=f"late-{number}-{one}") for one in range(5)])
        archived(log, tmp_path, limits=Limits(rows=1))
    before = archive_records(Archive(tmp_path))

    # when
    done = compact(Archive(tmp_path))

    # then
    assert (done.into, done.files > 6) == (2, True)
    assert sorted(path.name for path in tmp_path.rglob("*.parquet")) == [f"task-events-{p}-{0:020}.c1.parquet" for p in (0, 1)]
    assert archive_records(Archive(tmp_path)) == before == log_records(log)
    assert check_files(Archive(tmp_path)) == 2
    assert found(Archive(tmp_path), log)[0] == []

    # and it goes on
    append(log, [sent(task_id="last")])
    assert archived(log, tmp_path).rows == 1
    assert compact(Archive(tmp_path)).into == 1
    assert compact(Archive(tmp_path)) == (0, 0, 0, 0)
    assert archive_records(Archive(tmp_path)) == log_records(log)


def test_a_compaction_that_a_crash_cut_short_counts_nothing_twice_and_is_ended_by_the_next(log, tmp_path, monkeypatch):
    # given
    for number in range(3):
        append(log, [sent(task_id=f"late-{number}-{one}") for one in range(5)])
        archived(log, tmp_path)
    archive = Archive(tmp_path)

    def crash(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(archive.storage, "delete", crash)
    with pytest.raises(OSError, match="Input/output"):
        compact(archive)

    # then
    assert archive_records(Archive(tmp_path)) == log_records(log)
    with pytest.raises(ArchiveError, match=r"Another compaction .* under way \(process"):
        compact(Archive(tmp_path))
    (tmp_path / "compacting.json").unlink()
    compact(Archive(tmp_path))
    assert len(list(tmp_path.rglob("*.parquet"))) == 2
    assert archive_records(Archive(tmp_path)) == log_records(log)


def test_the_newest_files_can_be_left_alone_and_full_ones_are(log, tmp_path):
    for number in range(4):
        append(log, [sent(task_id=f"late-{number}-{one}") for one in range(40)])
        archived(log, tmp_path)
    compact(Archive(tmp_path), keep_newest=2)
    assert all(len(chain.files) == 3 for chain in Archive(tmp_path).chains().values())
    assert compact(Archive(tmp_path), rows=10).into == 0


def test_a_manifest_is_made_anew_from_the_files(archive, tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    assert repair(archive) == 2
    assert check_files(archive) == 2
