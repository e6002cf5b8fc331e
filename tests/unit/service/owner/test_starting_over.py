"""What makes an owner start over when it opens a view: another log, or a damaged view."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from eventresults.codec import plain
from eventresults.domain.position import Position
from eventresults.view import keys
from eventresults.view.shard import SCHEMA
from tests.support.owned import Folder, rocks, states, told

# When the log is another one: on opening


def test_a_log_that_was_created_again_is_noticed_on_opening(folder: Folder, caplog):
    # given
    with folder.viewing() as view:
        states(view)
    folder.recreate_log()
    told(folder.log, ["new"])

    # when
    with folder.viewing() as view:
        # then
        assert view.get("new").state == "SUCCESS"
        assert states(view) == [None] * 10
        assert view.owner.generation == 2
    assert "deleted and created again" in caplog.text


def test_a_retention_that_passed_the_view_is_noticed_on_opening(folder: Folder, caplog):
    # given
    with folder.viewing() as view:
        states(view)
    told(folder.log, ["later", "last"])
    folder.log.delete_before(Position(0, 33))

    # when
    with folder.viewing() as view:
        # then: what is gone from the log is gone from the view
        assert states(view, ["t0", "later", "last"]) == [None, None, "SUCCESS"]
        assert view.owner.generation == 2
    assert (
        "retention passed the view: partition 0 begins at 33, the view had folded only up to 30; the 3 records between are gone"
        in caplog.text
    )


def test_a_retention_that_did_not_pass_the_view_changes_nothing(folder: Folder):
    with folder.viewing() as view:
        states(view)
    folder.log.delete_before(Position(0, 30))
    with folder.viewing() as view:
        assert states(view) == ["SUCCESS"] * 10
        assert view.owner.generation == 1


def lose_from(path: Path, offset: int) -> None:
    """What a power cut does to the tail of a log."""
    import sqlite3

    connection = sqlite3.connect(path / "log.db")
    connection.execute("DELETE FROM records WHERE offset >= ?", (offset,))
    connection.commit()
    connection.close()


def test_a_log_that_ends_before_the_view_is_noticed_on_opening(folder: Folder, caplog):
    with folder.viewing() as view:
        states(view)
    lose_from(folder.path, 25)
    with folder.viewing() as view:
        assert states(view) == ["SUCCESS"] * 8 + ["STARTED", None] or states(view)[:8] == ["SUCCESS"] * 8
        assert view.owner.heads[0].next_offset == 25
        assert view.owner.generation == 2
    assert "lost its tail: partition 0 ends at 25, the view had folded up to 30" in caplog.text


def test_a_log_that_lost_its_tail_and_grew_anew_is_noticed_on_opening(folder: Folder, caplog):
    with folder.viewing() as view:
        states(view)
    lose_from(folder.path, 25)
    told(folder.log, [f"n{number}" for number in range(10)])
    with folder.viewing() as view:
        assert states(view)[9] is None
        assert states(view, ["n0", "n9"]) == ["SUCCESS"] * 2
        assert view.owner.generation == 2
    assert "lost its tail and grew anew: the record at 0:29 is not the one that was folded" in caplog.text


# When the view is damaged: on opening


def alter_head(folder: Folder, **fields) -> None:
    with_store = rocks(folder.path / "view" / "1" / "0")
    head = plain.unpack(with_store.get(keys.HEAD))
    with_store.commit({keys.HEAD: plain.pack({**head, **fields})})
    with_store.close()


@pytest.mark.parametrize("schema", [SCHEMA - 1, SCHEMA + 1])
def test_a_view_of_another_version_is_built_anew(folder: Folder, caplog, schema: int):
    with folder.viewing() as view:
        states(view)
    alter_head(folder, schema=schema, what_it_knows="more")
    with folder.viewing() as view:
        assert states(view) == ["SUCCESS"] * 10
        assert view.owner.generation == 2
    assert f"written by another version (schema {schema}" in caplog.text


def damage_manifest(shard: Path) -> None:
    [manifest] = shard.glob("MANIFEST-*")
    manifest.write_bytes(b"\x00" * 100)


def damage_current(shard: Path) -> None:
    (shard / "CURRENT").write_bytes(b"nonsense")


def damage_tables(shard: Path) -> None:
    tables = list(shard.glob("*.sst"))
    assert tables
    for table in tables:
        table.write_bytes(b"\xff" * table.stat().st_size)


def lose_tables(shard: Path) -> None:
    for table in shard.glob("*.sst"):
        table.unlink()


@pytest.mark.parametrize("damage", [damage_manifest, damage_current, damage_tables, lose_tables])
def test_a_damaged_shard_is_built_anew(folder: Folder, caplog, damage):
    # given
    with folder.viewing() as view:
        states(view)
    damage(folder.path / "view" / "1" / "0")

    # when
    with folder.viewing() as view:
        # then
        assert states(view) == ["SUCCESS"] * 10
        assert view.owner.generation == 2
    assert "it is damaged" in caplog.text


def test_a_damaged_head_is_built_anew(folder: Folder, caplog):
    with folder.viewing() as view:
        states(view)
    store = rocks(folder.path / "view" / "1" / "0")
    store.commit({keys.HEAD: b"\xc1"})
    store.close()
    with folder.viewing() as view:
        assert states(view) == ["SUCCESS"] * 10
        assert view.owner.generation == 2
    assert "it is damaged" in caplog.text


def test_a_deleted_view_is_built_anew(folder: Folder):
    with folder.viewing() as view:
        states(view)
    shutil.rmtree(folder.path / "view")
    with folder.viewing() as view:
        assert states(view) == ["SUCCESS"] * 10


def test_the_generation_before_is_removed(folder: Folder):
    with folder.viewing() as view:
        states(view)
    alter_head(folder, schema=0)
    with folder.viewing() as view:
        states(view)
        assert sorted(path.name for path in (folder.path / "view").iterdir()) == ["2", "current"]
