"""Every record comes into the archive once, whatever happens to whoever writes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eventresults import archive as archives
from eventresults.archive.archive import Archive
from eventresults.archive.archiver import Archiver
from eventresults.archive.drafts import Limits
from eventresults.archive.storage import LocalFolder
from eventresults.domain.position import Position
from eventresults.errors import ArchiveCorrupt, ArchiveGap, ArchiveMismatch, ArchiveUnavailable, ConfigError, LogUnavailable
from tests.support.archives import Clock, append, append_raw, archive_records, archived, log_records, memory_log
from tests.support.events import sent, started, succeeded

DAY = 86_400_000


def three(task_id: str):
    return [make(task_id=task_id) for make in (sent, started, succeeded)]


def files(place: Path) -> list[str]:
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*.parquet"))


def test_every_record_is_there_byte_for_byte(tmp_path):
    # given
    log = memory_log(partitions=3)
    append(log, [event for number in range(50) for event in three(f"task-{number}")])
    append_raw(log, [(b"junk", b"no JSON \x04\xff"), (b"\xff\x00", b"{}"), ("ключ".encode(), b'{"v":1,"kind":"task-teleported"}')])

    # when
    done = archived(log, tmp_path)

    # then
    assert done.rows == 153
    assert archive_records(Archive(tmp_path)) == log_records(log)


def test_a_second_run_adds_what_is_new_and_a_third_nothing(tmp_path):
    log = memory_log()
    append(log, three("a"))
    assert archived(log, tmp_path).rows == 3
    append(log, three("b"))
    assert archived(log, tmp_path).rows == 3
    assert archived(log, tmp_path).files == 0
    assert archives.starts_ends(tmp_path) == {0: (0, 6)}
    assert archive_records(Archive(tmp_path)) == log_records(log)


def test_a_stretch_of_records_can_be_had(tmp_path):
    log = memory_log()
    append(log, [sent(task_id=f"t{number}") for number in range(10)])
    archived(log, tmp_path, limits=Limits(rows=1))
    assert [record.offset for record in archives.records(tmp_path, 0, 3, 6)] == [3, 4, 5]
    assert list(archives.records(tmp_path, 7, 0, 10)) == []


def test_files_are_named_by_topic_partition_and_first_offset_and_lie_by_day(tmp_path):
    # given records of two days
    clock = Clock()
    log = memory_log(clock=clock)
    append(log, three("a"))
    clock.now += DAY
    append(log, three("b"))

    # when
    archived(log, tmp_path)

    # then
    assert files(tmp_path) == [
        "events/day=2026-11-29/task-events-0-00000000000000000000.parquet",
        "events/day=2026-11-30/task-events-0-00000000000000000003.parquet",
    ]


def test_a_file_that_is_full_is_followed_by_another(tmp_path):
    log = memory_log()
    for number in range(4):
        append(log, three(str(number)))
        archived(log, tmp_path, limits=Limits(rows=2))
    assert len(files(tmp_path)) == 4


def test_what_another_archiver_wrote_meanwhile_is_gone_on_from(tmp_path):
    # given an archiver that read six records and is about to write them, when another writes the first three
    log = memory_log()
    append(log, three("a"))

    class Slow(LocalFolder):
        def create(self, path: str, source: Path) -> bool:
            if path.endswith(".parquet") and not self.met:
                self.met = True
                archived(log, tmp_path)
                append(log, three("b"))
            return super().create(path, source)

        met = False

    # when
    done = Archiver(log, Slow(tmp_path), topic="task-events").once()
    assert done.rows == 0
    archived(log, tmp_path)

    # then nothing is there twice
    assert archive_records(Archive(tmp_path)) == log_records(log)
    assert [path[-28:] for path in files(tmp_path)] == ["00000000000000000000.parquet", "00000000000000000003.parquet"]


def test_a_crash_leaves_nothing_half_written(tmp_path):
    # given a disk that gives up before the file is there
    log = memory_log()
    append(log, three("a"))

    class Broken(LocalFolder):
        def create(self, path: str, source: Path) -> bool:
            if path.endswith(".parquet"):
                raise OSError(28, "No space left on device")
            return super().create(path, source)

    # when
    with pytest.raises(ArchiveUnavailable, match="No space left on device"):
        Archiver(log, Broken(tmp_path), topic="task-events").once()

    # then
    assert files(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["archive.json"]
    assert archived(log, tmp_path).rows == 3


def test_a_crash_between_file_and_manifest_is_healed(tmp_path):
    log = memory_log()
    append(log, three("a"))
    archived(log, tmp_path)
    (tmp_path / "manifest.json").unlink()
    append(log, three("b"))
    assert archived(log, tmp_path).rows == 3
    assert archive_records(Archive(tmp_path)) == log_records(log)
    assert len(json.loads((tmp_path / "manifest.json").read_text())["files"]) == 2


def test_holes_that_a_broker_leaves_are_gone_over(tmp_path):
    log = memory_log()
    append(log, three("a"))
    log.leave_hole(0, 2)
    append(log, three("b"))
    log.leave_hole(0, 1)
    archived(log, tmp_path)
    archived(log, tmp_path)
    append(log, three("c"))
    archived(log, tmp_path)
    assert archive_records(Archive(tmp_path)) == log_records(log)


def test_a_log_that_ends_in_a_hole_is_archived_to_its_end(tmp_path):
    log = memory_log()
    append(log, three("a"))
    archived(log, tmp_path)
    log.leave_hole(0, 2)
    assert archived(log, tmp_path).rows == 0
    append(log, three("b"))
    assert archived(log, tmp_path).rows == 3
    assert archive_records(Archive(tmp_path)) == log_records(log)


def test_all_partitions_are_read_through_one_reader(tmp_path):
    log = memory_log(partitions=8)
    append(log, [event for number in range(100) for event in three(f"task-{number}")])
    made, make = [], log.reader
    log.reader = lambda positions: made.append(positions) or make(positions)
    assert archived(log, tmp_path).rows == 300
    assert len(made) == 1


def test_an_archive_begins_where_the_log_begins(tmp_path):
    log = memory_log()
    append(log, three("a"))
    log.delete_before(Position(0, 2))
    archived(log, tmp_path)
    assert archives.starts_ends(tmp_path) == {0: (2, 3)}


def test_a_gap_by_retention_is_refused_and_can_be_gone_over_with_a_note(tmp_path):
    # given
    log = memory_log()
    append(log, three("a"))
    archived(log, tmp_path)
    append(log, three("b"))
    log.delete_before(Position(0, 5))

    # when / then
    with pytest.raises(ArchiveGap, match="offsets 3 to 4 left the log") as raised:
        archived(log, tmp_path)
    assert raised.value.facts == {"partition": 0, "start": 3, "end": 5}
    assert archives.starts_ends(tmp_path) == {0: (0, 3)}

    # and with leave
    assert archived(log, tmp_path, allow_gap=True).rows == 1
    assert archives.starts_ends(tmp_path) == {0: (0, 6)}
    assert [record.offset for record in archives.records(tmp_path, 0, 0, 9)] == [0, 1, 2, 5]
    assert Archive(tmp_path).chains()[0].gaps == ((0, 3, 5),)


def test_an_archive_of_another_topic_or_of_a_log_made_again_is_refused(tmp_path):
    log = memory_log()
    append(log, three("a"))
    archived(log, tmp_path)
    with pytest.raises(ArchiveMismatch, match="is an archive of 'task-events'"):
        archived(log, tmp_path, topic="others")
    with pytest.raises(ArchiveMismatch, match="another log of that name"):
        archived(memory_log(), tmp_path)


def test_a_folder_that_is_no_archive_is_said_to_be_none(tmp_path):
    with pytest.raises(ConfigError, match="There is no archive at"):
        archives.starts_ends(tmp_path)


def test_a_file_that_is_missing_is_named_and_comes_back_from_the_log(tmp_path):
    # given
    log = memory_log()
    for task_id in "abc":
        append(log, three(task_id))
        archived(log, tmp_path)
    second = tmp_path / files(tmp_path)[1]
    second.unlink()

    # when / then
    for ask in (archives.starts_ends, lambda place: archived(log, place)):
        with pytest.raises(ArchiveCorrupt, match=r"0+3\.parquet cannot be used: it is missing"):
            ask(tmp_path)

    # and without what lists it, what lies between the others is archived again
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(ArchiveCorrupt, match="it is missing, and with it the offsets 3 to 5 of partition 0"):
        archives.starts_ends(tmp_path)
    assert archived(log, tmp_path).rows == 3
    assert archive_records(Archive(tmp_path)) == log_records(log)


@pytest.mark.parametrize("damage", ["truncated", "garbage", "flipped"])
def test_a_file_that_was_damaged_is_named(tmp_path, damage):
    # given
    log = memory_log()
    append(log, [event for number in range(500) for event in three(f"task-{number}")])
    archived(log, tmp_path)
    path = tmp_path / files(tmp_path)[0]
    raw = bytearray(path.read_bytes())
    if damage == "truncated":
        del raw[-100:]
    elif damage == "garbage":
        raw[:] = b"x" * len(raw)
    else:
        raw[1000] ^= 0xFF
    path.write_bytes(raw)

    # when / then
    with pytest.raises(ArchiveCorrupt, match="cannot be used") as raised:
        list(archives.records(tmp_path, 0, 0, 10_000))
    assert raised.value.path.endswith("task-events-0-00000000000000000000.parquet")


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (lambda text: "{", "cannot be read"),
        (lambda text: text.replace('"format": 1', '"format": 9'), "of format 9"),
        (lambda text: text.replace('"rows": 3', '"rows": 4'), "3 rows, and 4 according to the manifest"),
        (lambda text: text.replace('"bytes": ', '"bytes": 1'), "according to the manifest"),
        (lambda text: text.replace('"partition"', '"parted"'), "cannot be read"),
    ],
)
def test_a_manifest_that_lies_is_found_out(tmp_path, lie, said):
    log = memory_log()
    append(log, three("a"))
    archived(log, tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(lie(manifest.read_text()))
    with pytest.raises(ArchiveCorrupt, match=said):
        list(archives.records(tmp_path, 0, 0, 10))


def test_following_writes_files_as_time_passes_and_the_rest_when_it_is_stopped(tmp_path):
    # given a file that is due as soon as it is begun
    log = memory_log()
    append(log, three("a"))
    archiver = Archiver(log, tmp_path, topic="task-events", limits=Limits(seconds=0))

    class Stopping(LocalFolder):
        def replace(self, path: str, content: bytes) -> None:
            super().replace(path, content)
            archiver.stop()

    archiver._storage = Stopping(tmp_path)
    assert archiver.follow().rows == 3

    # when it is stopped before its file is due
    append(log, three("b"))
    other = Archiver(log, tmp_path, topic="task-events")
    clock = log.reader
    log.reader = lambda positions: _Stopping(clock(positions), other)

    # then
    assert other.follow().rows == 3


def test_following_outlives_a_log_that_is_away_and_says_so_once(tmp_path, caplog):
    # given a log that cannot be read twice, and then can
    log = memory_log()
    append(log, three("a"))
    archiver = Archiver(log, tmp_path, topic="task-events")
    make, away = log.reader, [LogUnavailable("away"), LogUnavailable("away")]

    class Away(_Stopping):
        def poll(self, timeout):
            if away:
                raise away.pop()
            return super().poll(timeout)

    log.reader = lambda positions: Away(make(positions), archiver)
    archiver._stopped.wait = lambda seconds: None

    # when / then
    assert archiver.follow().rows == 3
    assert [record.message for record in caplog.records] == ["The log cannot be read, trying on: away"]
    with pytest.raises(LogUnavailable):
        away.append(LogUnavailable("away"))
        append(log, three("b"))
        Archiver(log, tmp_path, topic="task-events").once()


class _Stopping:
    """A reader that has somebody stop the archiver once it gave something."""

    def __init__(self, reader, archiver):
        self._reader = reader
        self._archiver = archiver

    def poll(self, timeout):
        found = self._reader.poll(timeout)
        if found:
            self._archiver.stop()
        return found

    def __getattr__(self, name):
        return getattr(self._reader, name)
