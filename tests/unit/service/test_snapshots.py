"""Snapshots: taken of a view that moves, checked byte by byte, and put in its place."""

from __future__ import annotations

import errno
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from eventresults.domain.position import Position
from eventresults.errors import Closed, ViewCorrupt, ViewError, ViewLocked
from eventresults.log.memory import MemoryLog
from eventresults.service import manifest, opening, snapshots
from eventresults.service.afresh import rebuild, verify
from eventresults.service.memoryplace import MemoryPlace
from eventresults.service.places import FolderPlace
from eventresults.service.snapshots import checkpoint_view, checkpoints_in, restore, restore_shard, snapshot
from eventresults.view.folders import held_folder
from eventresults.view.memory import MemoryStore
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore
from eventresults.view.shard import Shard
from tests.support.views import tell_life, viewing

IDS = [f"t{number}" for number in range(100)]
RESOURCES = RocksResources(block_cache=4 * MEGABYTE, write_buffers=MEGABYTE)


def rocks(path: Path) -> RocksStore:
    return RocksStore(path, resources=RESOURCES)


@pytest.fixture
def log() -> Iterator[MemoryLog]:
    log = MemoryLog(partitions=2)
    yield log
    log.close()


@pytest.fixture
def place(tmp_path: Path) -> FolderPlace:
    return FolderPlace(tmp_path / "view", rocks)


@pytest.fixture
def taken(log: MemoryLog, place: FolderPlace, tmp_path: Path) -> Path:
    """A snapshot of a view that has folded a hundred lives; the view was closed since."""
    with viewing(log, place) as (view, recorder):
        tell_life(recorder, IDS)
        view.recent(freshness="latest")
        return snapshot(view.owner, tmp_path / "kept")


def elsewhere(tmp_path: Path) -> FolderPlace:
    return FolderPlace(tmp_path / "elsewhere", rocks)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Taking


def test_a_snapshot_says_whose_it_is_where_it_stands_and_what_its_files_are(log: MemoryLog, taken: Path) -> None:
    said = json.loads((taken / "manifest.json").read_text())
    assert (said["format"], said["log"], said["log_id"], said["partitions"]) == (1, log.url, log.info(1).log_id, 2)
    ends = log.info(1).ends
    for partition in (0, 1):
        shard = said["shards"][str(partition)]
        assert (shard["next_offset"], shard["last_offset"]) == (ends[partition], ends[partition] - 1)
        assert [file["name"] for file in shard["files"]] == names(taken / str(partition))
        assert all(file["size"] == (taken / str(partition) / file["name"]).stat().st_size for file in shard["files"])
    assert names(taken.parent) == [taken.name]


def test_beside_the_view_a_snapshot_shares_its_tables(taken: Path) -> None:
    tables = list(taken.glob("*/*.sst"))
    assert len(tables) >= 2
    assert all(table.stat().st_nlink >= 2 for table in tables)


def test_a_snapshot_leaves_nothing_behind_in_the_view(place: FolderPlace, taken: Path, tmp_path: Path) -> None:
    assert names(tmp_path / "view") == ["1", "checkpoints", "current"]
    assert names(tmp_path / "view" / "checkpoints") == []


def test_the_view_is_read_and_moves_while_snapshots_are_taken(log: MemoryLog, place: FolderPlace, tmp_path: Path) -> None:
    stop = threading.Event()
    with viewing(log, place) as (view, recorder):
        tell_life(recorder, IDS)

        def work() -> None:
            number = 0
            while not stop.is_set():
                tell_life(recorder, [f"n{number % 50}"])
                number += 1

        thread = threading.Thread(target=work)
        thread.start()
        view.recent(freshness="latest")
        try:
            for _ in range(3):
                snapshot(view.owner, tmp_path / "kept")
                assert view.get("t7").result == "t7"
        finally:
            stop.set()
            thread.join(10)
        view.recent(freshness="latest")
    assert len(names(tmp_path / "kept")) == 3
    other = elsewhere(tmp_path)
    restore(log, other, tmp_path / "kept")
    with viewing(log, other) as (view, _):
        assert verify(view.owner, rocks) == []


def test_a_checkpoint_during_a_rebuild_is_of_the_one_view_or_the_other(log: MemoryLog, place: FolderPlace, tmp_path: Path) -> None:
    with viewing(log, place) as (view, recorder):
        tell_life(recorder, IDS)
        view.recent(freshness="latest")
        rebuilding = threading.Thread(target=lambda: [rebuild(view.owner) for _ in range(5)])
        rebuilding.start()
        number = 0
        while rebuilding.is_alive() or number == 0:
            into = tmp_path / f"checkpoint{number}"
            into.mkdir()
            checkpoint_view(view.owner, into)
            for partition, path in checkpoints_in(into).items():
                with closing(Shard(rocks(path), partition)) as shard:
                    assert shard.head() == view.owner.heads[partition]
            number += 1
        rebuilding.join(10)
        owner = view.owner
    (tmp_path / "late").mkdir()
    with pytest.raises(Closed):
        checkpoint_view(owner, tmp_path / "late")


def test_only_so_many_are_kept_of_each_shard(log: MemoryLog, place: FolderPlace, tmp_path: Path) -> None:
    with viewing(log, place) as (view, recorder):
        tell_life(recorder, IDS)
        view.recent(freshness="latest")
        kept = [snapshot(view.owner, tmp_path / "kept", keep=2).name for _ in range(4)]
        assert names(tmp_path / "kept") == kept[2:]
        # given: the latest holds only one of the two shards
        said = json.loads((tmp_path / "kept" / kept[3] / "manifest.json").read_text())
        del said["shards"]["1"]
        (tmp_path / "kept" / kept[3] / "manifest.json").write_text(json.dumps(said))
        # when
        latest = snapshot(view.owner, tmp_path / "kept", keep=2).name
        # then
        assert names(tmp_path / "kept") == [*kept[2:], latest]
    assert restore_shard(tmp_path / "kept", 1, tmp_path / "one", log_id=log.info(1).log_id)


def test_on_another_file_system_a_snapshot_is_a_copy_of_its_own(
    log: MemoryLog, place: FolderPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a disk that shares no files with the view's
    def refuse(source: Path, target: Path, **_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    with viewing(log, place) as (view, recorder):
        tell_life(recorder, IDS)
        view.recent(freshness="latest")
        monkeypatch.setattr(manifest.os, "link", refuse)
        # when
        path = snapshot(view.owner, tmp_path / "kept")
    # then
    tables = list(path.glob("*/*.sst"))
    assert len(tables) >= 2
    assert all(table.stat().st_nlink == 1 for table in tables)
    other = elsewhere(tmp_path)
    restore(log, other, path)
    with viewing(log, other) as (view, _):
        assert verify(view.owner, rocks) == []


def test_what_a_killed_process_left_unfinished_goes_and_what_another_writes_stays(
    log: MemoryLog, place: FolderPlace, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    (kept / ".unfinished-left" / "snapshot").mkdir(parents=True)
    with held_folder(kept, prefix=snapshots.UNFINISHED) as held, viewing(log, place) as (view, recorder):
        tell_life(recorder, IDS)
        view.recent(freshness="latest")
        name = snapshot(view.owner, kept).name
        assert names(kept) == sorted([held.name, name])


def test_an_empty_view_is_not_taken(log: MemoryLog, place: FolderPlace, tmp_path: Path) -> None:
    with viewing(log, place) as (view, _), pytest.raises(ViewError, match="holds nothing yet"):
        snapshot(view.owner, tmp_path / "kept")
    assert names(tmp_path / "kept") == []


def test_a_folder_that_cannot_be_written_says_what_to_do(log: MemoryLog, place: FolderPlace, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with viewing(log, place) as (view, recorder):
        tell_life(recorder, IDS)
        view.recent(freshness="latest")
        with pytest.raises(ViewError, match="choose another with --to"):
            snapshot(view.owner, tmp_path / "file")


# Restoring


def test_a_restored_view_goes_on_from_where_the_snapshot_stands(log: MemoryLog, taken: Path, tmp_path: Path) -> None:
    # given: facts that the snapshot does not hold
    other = elsewhere(tmp_path)
    with viewing(log, MemoryPlace(MemoryStore)) as (_, recorder):
        tell_life(recorder, ["later"])
        recorder.flush(5)
    # when
    assert restore(log, other, taken.parent) == 1
    # then: it folded three records, not all
    with viewing(log, other) as (view, _):
        assert view.get("t99").result == "t99"
        assert view.get("later").state == "SUCCESS"
        assert view.owner.generation == 1
        assert sum(head.counts["records"] for head in view.owner.heads.values()) == 303
        assert verify(view.owner, rocks) == []
    # and the snapshot is as it was
    assert restore(log, other, taken) == 2


def test_a_restore_takes_the_place_of_a_view_that_is_there(log: MemoryLog, place: FolderPlace, taken: Path, tmp_path: Path) -> None:
    assert restore(log, place, taken) == 2
    with viewing(log, place) as (view, _):
        assert view.owner.generation == 2
        assert view.get("t1").result == "t1"
    assert names(tmp_path / "view") == ["2", "checkpoints", "current"]


@pytest.mark.parametrize("damage", ["altered", "shortened", "missing", "linked"])
def test_a_damaged_snapshot_is_refused_and_the_view_stays(log: MemoryLog, place: FolderPlace, taken: Path, damage: str) -> None:
    # given: copies, for the tables are shared with the view
    table = max((taken / "1").glob("*.sst"))
    raw = table.read_bytes()
    table.unlink()
    if damage == "altered":
        table.write_bytes(raw[:100] + bytes([raw[100] ^ 1]) + raw[101:])
    elif damage == "shortened":
        table.write_bytes(raw[:-1])
    elif damage == "linked":
        (taken / "stolen").write_bytes(raw)
        table.symlink_to(taken / "stolen")
    # when / then
    with pytest.raises(ViewCorrupt, match=table.name) as caught:
        restore(log, place, taken)
    assert "Take another snapshot" in str(caught.value)
    with viewing(log, place) as (view, _):
        assert view.owner.generation == 1
        assert view.get("t1").result == "t1"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda m: m["shards"]["0"]["files"][0].update(name="../1/CURRENT"), id="a path"),
        pytest.param(lambda m: m["shards"]["0"]["files"][0].update(name="/etc/passwd"), id="an absolute path"),
        pytest.param(lambda m: m["shards"]["0"]["files"][0].update(name=".."), id="dots"),
        pytest.param(lambda m: m["shards"]["0"]["files"][0].update(name="a\n"), id="a line end"),
        pytest.param(lambda m: m["shards"]["0"]["files"][0].update(size=-1), id="a size below zero"),
        pytest.param(lambda m: m["shards"]["0"]["files"][0].update(size=10**30), id="a size beyond all"),
        pytest.param(lambda m: m["shards"]["0"]["files"][0].update(size=1), id="a wrong size"),
        pytest.param(lambda m: m["shards"]["0"]["files"][0].update(sha256="0" * 64), id="a wrong checksum"),
        pytest.param(lambda m: m["shards"]["0"]["files"].append({"name": "gone", "size": 0, "sha256": "0" * 64}), id="a missing file"),
        pytest.param(lambda m: m["shards"]["0"]["files"].append(m["shards"]["0"]["files"][0]), id="a file twice"),
        pytest.param(lambda m: m["shards"]["0"].update(fingerprint="zz"), id="a wrong fingerprint"),
        pytest.param(lambda m: m["shards"]["0"].update(next_offset="one"), id="a text for a number"),
        pytest.param(lambda m: m["shards"].update({"../..": m["shards"]["0"]}), id="a path for a partition"),
        pytest.param(lambda m: m.update(format=2), id="a later format"),
        pytest.param(lambda m: m.pop("log_id"), id="no log id"),
        pytest.param(lambda m: m.clear(), id="nothing"),
    ],
)
def test_a_manifest_that_lies_is_one_clear_error(log: MemoryLog, taken: Path, tmp_path: Path, change) -> None:
    said = json.loads((taken / "manifest.json").read_text())
    change(said)
    (taken / "manifest.json").write_text(json.dumps(said))
    with pytest.raises(ViewCorrupt, match=r"The snapshot .* cannot be used"):
        restore(log, elsewhere(tmp_path), taken)
    assert elsewhere(tmp_path).current() is None


@pytest.mark.parametrize("raw", [b"", b"garbage", b"\xff\xfe", b"[]", b'"x"', b"[" * 100_000])
def test_a_manifest_that_is_none_is_one_clear_error(log: MemoryLog, taken: Path, tmp_path: Path, raw: bytes) -> None:
    (taken / "manifest.json").write_bytes(raw)
    with pytest.raises(ViewCorrupt, match="not one that this version wrote"):
        restore(log, elsewhere(tmp_path), taken)


def test_a_folder_without_snapshots_says_so(log: MemoryLog, tmp_path: Path) -> None:
    with pytest.raises(ViewError, match="there is none"):
        restore(log, elsewhere(tmp_path), tmp_path)
    with pytest.raises(ViewError, match="choose another with --from"):
        restore(log, elsewhere(tmp_path), tmp_path / "nowhere")


def test_a_snapshot_of_another_log_is_refused(taken: Path, tmp_path: Path) -> None:
    with closing(MemoryLog(partitions=2)) as other, pytest.raises(ViewError, match="is of another log"):
        restore(other, elsewhere(tmp_path), taken)


def test_a_snapshot_of_another_version_is_refused(log: MemoryLog, taken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "SCHEMA", 99)
    with pytest.raises(ViewError, match="another version"):
        restore(log, elsewhere(tmp_path), taken)
    assert not restore_shard(taken, 0, tmp_path / "one", log_id=log.info(1).log_id)


def test_a_snapshot_that_retention_has_passed_is_refused(log: MemoryLog, taken: Path, tmp_path: Path) -> None:
    with viewing(log, MemoryPlace(MemoryStore)) as (_, recorder):
        tell_life(recorder, IDS)
        recorder.flush(5)
    log.delete_before(Position(0, log.info(1).ends[0]))
    with pytest.raises(ViewError, match="retention passed"):
        restore(log, elsewhere(tmp_path), taken)


def test_a_restore_waits_for_no_other_build(log: MemoryLog, place: FolderPlace, taken: Path) -> None:
    with place.draft(), pytest.raises(ViewLocked):
        restore(log, place, taken)


def test_a_restore_returns_once_nobody_answers_from_before(log: MemoryLog, place: FolderPlace, taken: Path) -> None:
    with viewing(log, place) as (view, _):
        owner = view.owner
        # when
        assert restore(log, place, taken) == 2
        # then
        assert owner.resigned
        assert view.get("t1").result == "t1"
        assert view.owner.generation == 2


def test_a_restore_does_not_wait_for_ever_for_one_who_does_not_let_go(
    log: MemoryLog, place: FolderPlace, taken: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(opening, "NOTICE_SECONDS", 0.05)
    with closing(place.open()):
        assert restore(log, place, taken) == 2
    assert "does not let go of it: it may be stopped" in caplog.text


def test_a_view_in_memory_cannot_be_restored(log: MemoryLog, taken: Path) -> None:
    with pytest.raises(ViewError, match="no folder"):
        restore(log, MemoryPlace(MemoryStore), taken)


# One shard


def test_one_shard_is_restored_whole_or_not_at_all(log: MemoryLog, taken: Path, tmp_path: Path) -> None:
    log_id = log.info(1).log_id
    assert restore_shard(taken.parent, 1, tmp_path / "deep" / "1", log_id=log_id)
    with closing(Shard(rocks(tmp_path / "deep" / "1"), 1)) as shard:
        assert shard.head().next_offset == log.info(1).ends[1]
    # when: the next one is damaged, and what a killed process left is in the way
    (tmp_path / "deep" / "0.half").mkdir()
    (taken / "0" / "CURRENT").write_text("MANIFEST-666666\n")
    with pytest.raises(ViewCorrupt, match="CURRENT"):
        restore_shard(taken.parent, 0, tmp_path / "deep" / "0", log_id=log_id)
    # then
    assert names(tmp_path / "deep") == ["1"]


def test_a_shard_that_no_snapshot_holds_comes_from_the_log(log: MemoryLog, taken: Path, tmp_path: Path) -> None:
    log_id = log.info(1).log_id
    assert not restore_shard(taken.parent, 7, tmp_path / "7", log_id=log_id)
    assert not restore_shard(taken.parent, 0, tmp_path / "0", log_id="another")
    assert not restore_shard(tmp_path / "nowhere", 0, tmp_path / "0", log_id=log_id)
    assert not (tmp_path / "0").exists()


def test_an_older_snapshot_that_cannot_be_read_does_not_stop_a_new_one(
    log: MemoryLog, place: FolderPlace, taken: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (taken / "manifest.json").write_text("garbage")
    with viewing(log, place) as (view, _), caplog.at_level(logging.WARNING):
        view.recent(freshness="latest")
        snapshot(view.owner, taken.parent, keep=1)
    assert len(names(taken.parent)) == 2
    assert "left where it is" in caplog.text
