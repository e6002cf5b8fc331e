"""The one who holds a view and keeps it moving: what makes it start over, what it waits out, and how it ends."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic

import pytest

from eventresults.codec import plain
from eventresults.domain.position import Position
from eventresults.errors import Closed, LogUnavailable, TopicMisconfigured, ViewCorrupt, ViewError, ViewLocked, ViewStale
from eventresults.log.memory import MemoryLog
from eventresults.log.sqlite import SqliteLog
from eventresults.recorder import Appender, Recorder
from eventresults.service import owner as module
from eventresults.service.local import LocalView
from eventresults.service.memoryplace import MemoryPlace
from eventresults.service.owner import Owner
from eventresults.service.places import FolderPlace
from eventresults.service.shards import open_shards
from eventresults.view import keys
from eventresults.view.memory import MemoryStore
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore
from eventresults.view.shard import SCHEMA, Shard
from tests.support.views import rows, tell_life, until, viewing

IDS = [f"t{number}" for number in range(10)]


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Look at the log often, and try again soon."""
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(module, "BACKOFF_SECONDS", (0.01, 0.05))


def rocks(path: Path) -> RocksStore:
    return RocksStore(path, resources=RocksResources(block_cache=4 * MEGABYTE, write_buffers=MEGABYTE))


@contextmanager
def recording(log):
    appender = Appender(log)
    try:
        yield Recorder(appender)
    finally:
        appender.close()


def told(log, ids=IDS) -> None:
    with recording(log) as recorder:
        tell_life(recorder, ids)
        assert recorder.flush(10)


def folded(view: LocalView) -> int:
    return sum(head.counts.get("records", 0) for head in view.owner.heads.values())


def states(view: LocalView, ids=IDS) -> list[str | None]:
    return [meta and meta.state for meta in view.get_many(ids, freshness="latest").values()]


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("eventresults")}


class Folder:
    """A SQLite log with a view beside it, opened as often as a test likes."""

    def __init__(self, path: Path):
        self.path = path
        self.log = SqliteLog(path / "log.db")

    @property
    def place(self) -> FolderPlace:
        return FolderPlace(self.path / "view", rocks)

    @contextmanager
    def viewing(self, **settings):
        with viewing(self.log, self.place, **settings) as (view, _):
            yield view

    def recreate_log(self) -> None:
        self.log.close()
        for file in self.path.glob("log.db*"):
            file.unlink()
        self.log = SqliteLog(self.path / "log.db")


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path)
    told(folder.log)
    yield folder
    folder.log.close()


# Going on


def test_a_view_is_folded_from_the_start_of_the_log(folder: Folder):
    with folder.viewing() as view:
        assert states(view) == ["SUCCESS"] * 10
        assert view.owner.generation == 1


def test_a_reopened_view_goes_on_from_its_position_and_not_from_the_start(folder: Folder, caplog):
    # given
    with folder.viewing() as view:
        states(view)
    told(folder.log, ["later"])

    # when
    with folder.viewing() as view:
        began = view.owner.heads[0].next_offset
        assert view.get("later").state == "SUCCESS"

        # then: thirty of the thirty-three records were counted before, and none twice
        assert began >= 30
        assert folded(view) == 33
        assert view.owner.generation == 1
    assert "built anew" not in caplog.text


def test_a_view_follows_the_log_as_it_grows(folder: Folder):
    with folder.viewing() as view, recording(folder.log) as recorder:
        for number in range(20):
            recorder.started(f"n{number}").result(5)
            assert view.get(f"n{number}").state == "STARTED"


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


# When the log is another one: while running


def test_a_log_that_was_created_again_is_noticed_while_running(folder: Folder, caplog):
    with folder.viewing() as view:
        # given
        states(view)

        # when
        for file in folder.path.glob("log.db*"):
            file.unlink()
        told(SqliteLog(folder.path / "log.db"), ["new"])

        # then
        until(lambda: view.owner.generation == 2)
        assert view.get("new").state == "SUCCESS"
        assert view.get("t0") is None
    assert "deleted and created again" in caplog.text


@pytest.fixture
def memory():
    log = MemoryLog()
    told(log)
    with viewing(log, read_timeout=5.0) as (view, recorder):
        assert states(view) == ["SUCCESS"] * 10
        yield log, view, recorder
    log.close()


def test_a_read_that_meets_a_shrunken_log_is_stale_and_later_ones_are_right(memory, caplog):
    log, view, recorder = memory

    # when
    with view.owner.still:  # the projector shall not be faster than this read
        log.lose_from(Position(0, 27))
        with pytest.raises(ViewStale, match="lost its tail") as caught:
            view.get("nobody")

    # then
    assert (caught.value.position, caught.value.end) == (30, 27)
    until(lambda: view.owner.generation == 2)
    assert states(view) == ["SUCCESS"] * 9 + [None]
    recorder.started("t9").result(1)
    assert view.get("t9").state == "STARTED"
    assert "lost its tail: partition 0 ends at 27, the view had folded up to 30" in caplog.text


def test_a_log_that_lost_its_tail_and_grew_anew_is_noticed_while_running(memory, caplog):
    log, view, _ = memory
    with view.owner.still:
        log.lose_from(Position(0, 27))
        told(log, ["n1", "n2"])
    until(lambda: view.owner.generation == 2)
    assert states(view, ["t8", "t9", "n1", "n2"]) == ["SUCCESS", None, "SUCCESS", "SUCCESS"]
    assert "lost its tail and grew anew" in caplog.text


def test_a_retention_that_passes_the_view_is_noticed_while_running(memory, caplog):
    log, view, _ = memory
    with view.owner.still:
        told(log, ["n1", "n2"])
        log.delete_before(Position(0, 33))
    until(lambda: view.owner.generation == 2)
    assert states(view, ["t9", "n1", "n2"]) == [None, None, "SUCCESS"]
    assert "retention passed the view" in caplog.text


def test_watchers_are_told_what_a_new_log_holds(memory):
    log, view, recorder = memory
    told_of = []
    view.subscribe(["t0", "n"], lambda change: told_of.append((change.subject, change.fact.position.offset)))
    log.lose_from(Position(0, 3))
    until(lambda: view.owner.generation == 2)
    recorder.started("n").result(1)
    until(lambda: ("n", 3) in told_of)
    assert [offset for subject, offset in told_of if subject == "t0"] == [0, 1, 2]


@pytest.mark.parametrize("when", ["while it is owned", "between two owners"])
@pytest.mark.parametrize("who", ["a reader", "the next owner"])
def test_watchers_are_told_when_a_log_lost_its_tail_and_grew_anew_under_its_id(tmp_path: Path, when: str, who: str, monkeypatch):
    # given: one who watches what another owns, and was told all of it
    monkeypatch.setattr(module, "JOIN_SECONDS", 0.1)
    log, told_of = MemoryLog(), []
    told(log)

    def place() -> FolderPlace:
        return FolderPlace(tmp_path / "view", rocks)

    with ExitStack() as stack:
        owner, _ = stack.enter_context(viewing(log, place()))
        assert states(owner) == ["SUCCESS"] * 10
        watcher, _ = stack.enter_context(viewing(log, place(), may_own=who == "the next owner"))
        watcher.subscribe(["n", "t9"], lambda change: told_of.append((change.subject, change.fact.position.offset)))
        told(log, ["t9"])
        until(lambda: watcher.held.told.offsets == {0: 33})

        # when
        with owner.owner.still:  # it shall not be faster than this
            log.lose_from(Position(0, 20))
            told(log, ["n"])
            if when == "between two owners":
                owner.close()
        if when == "between two owners" and who == "a reader":
            states(stack.enter_context(viewing(log, place()))[0])

        # then
        until(lambda: [offset for subject, offset in told_of if subject == "n"] == [20, 21, 22])
        told(log, ["t9"])
        until(lambda: ("t9", 25) in told_of)
        assert [offset for subject, offset in told_of if subject == "n"] == [20, 21, 22]


# A changed number of partitions


class GrowingLog(MemoryLog):
    def add_partition(self) -> None:
        self._records.partitions.append(type(self._records.partitions[0])())


def test_a_changed_number_of_partitions_is_refused_on_opening():
    # given: a place that keeps its stores
    log, stores = GrowingLog(partitions=2), [MemoryStore(), MemoryStore(), MemoryStore()]
    told(log)

    class Kept(MemoryPlace):
        def next(self):
            build = super().next()
            build.open_store = lambda partition: Unclosed(stores[partition])
            return build

    class Unclosed:
        def __init__(self, store):
            self.store = store

        def __getattr__(self, name):
            return getattr(self.store, name)

        def close(self):
            pass

    with viewing(log, Kept(MemoryStore)) as (view, _):
        assert states(view) == ["SUCCESS"] * 10
    log.add_partition()

    # when / then
    with viewing(log, Kept(MemoryStore)) as (view, _), pytest.raises(TopicMisconfigured, match="had 2 partitions .* has 3 now") as caught:
        view.get("t0")
    assert "eventresults topic init" in str(caught.value)
    assert caught.value.problems == ["partitions changed from 2 to 3"]


def test_a_changed_number_of_partitions_is_told_to_readers_while_running():
    # given
    log = GrowingLog(partitions=2)
    told(log)
    with viewing(log, read_timeout=20.0) as (view, _):
        assert states(view) == ["SUCCESS"] * 10

        # when
        log.add_partition()
        until(lambda: view.owner.view.trouble is not None)

        # then: who must wait is told at once
        told(log, ["a", "b", "c", "d"])
        begun = monotonic()
        with pytest.raises(TopicMisconfigured, match="had 2 partitions .* has 3 now"):
            view.get_many(["a", "b", "c", "d"])
        assert monotonic() - begun < 5
        assert view.owner.generation == 1


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_log_created_again_with_another_number_of_partitions_must_be_connected_to_again(partitions: int):
    # given
    log = MemoryLog(partitions=2)
    told(log)
    with viewing(log) as (view, _):
        assert states(view) == ["SUCCESS"] * 10

        # when
        log._records = MemoryLog(partitions=partitions)._records
        told(log, ["a", "b", "c"])
        until(lambda: isinstance(view.owner.view.trouble, TopicMisconfigured))

        # then
        with pytest.raises(TopicMisconfigured, match="connect again|has 3 now"):
            view.get_many(["nobody", "no one", "none"])

    # and a new connection finds its view built anew
    with viewing(log) as (view, _):
        assert states(view, ["a", "b", "c", "t0"]) == ["SUCCESS"] * 3 + [None]


# Trouble that passes


class MoodyLog(MemoryLog):
    """A log that can be out of reach."""

    away = False

    def reader(self, positions):
        self._be_there()
        return super().reader(positions)

    def info(self, timeout):
        self._be_there()
        return super().info(timeout)

    def _be_there(self):
        if self.away:
            raise LogUnavailable("broker 3 is on fire", url=self.url, reason="fire")


class MoodyStore(MemoryStore):
    """A store whose disk can be full, and which fails until it is opened again."""

    full = False
    opened = 0

    def __init__(self, kept=None):
        super().__init__()
        self.failed = False
        type(self).opened += 1

    def commit(self, puts, deletes=()):
        if type(self).full or self.failed:
            self.failed = True
            raise ViewError("the disk is full")
        super().commit(puts, deletes)


def test_a_log_out_of_reach_is_told_to_who_waits_and_waited_out(caplog):
    # given
    log = MoodyLog()
    told(log, ["t0"])
    with viewing(log) as (view, recorder):
        assert states(view, ["t0"]) == ["SUCCESS"]

        # when
        log.away = True
        until(lambda: view.owner.view.trouble is not None)
        recorder.started("t1").result(1)

        # then
        with pytest.raises(ViewStale, match="held up: broker 3 is on fire"):
            view.get("t1", timeout=0.05)
        assert view.get("t0").state == "SUCCESS"

        # when
        log.away = False

        # then
        assert view.get("t1").state == "STARTED"
        until(lambda: view.owner.view.trouble is None)
    assert caplog.text.count("held up: broker 3 is on fire") == 1


def test_a_store_that_fails_is_told_to_who_waits_and_opened_again(monkeypatch, caplog):
    # given
    monkeypatch.setattr(MoodyStore, "full", False)
    monkeypatch.setattr(MoodyStore, "opened", 0)
    log = MemoryLog()
    told(log, ["t0"])
    with viewing(log, MemoryPlace(MoodyStore)) as (view, recorder):
        assert states(view, ["t0"]) == ["SUCCESS"]
        told_of = []
        view.subscribe(["t0", "t1"], lambda change: told_of.append((change.subject, change.fact.event.kind)))

        # when
        MoodyStore.full = True
        recorder.started("t1").result(1)
        with pytest.raises(ViewStale, match="the disk is full|opened again"):
            view.get("t1", timeout=0.3)

        # when
        MoodyStore.full = False

        # then
        assert view.get("t1").state == "STARTED"
        assert view.owner.generation == 1
        assert MoodyStore.opened > 1
        # and nobody was told anything twice
        until(lambda: told_of == [("t1", "task-started")])
    assert "the disk is full" in caplog.text


def test_a_damaged_row_that_a_reader_meets_is_healed(caplog):
    # given
    log = MemoryLog()
    told(log)
    stores = []

    def make():
        stores.append(MemoryStore())
        return stores[-1]

    with viewing(log, MemoryPlace(make)) as (view, recorder):
        assert states(view) == ["SUCCESS"] * 10
        told_of = []
        view.subscribe(IDS, told_of.append)
        stores[0].commit({keys.state("t3"): b"\x01\xc1"})
        shard: Shard = view.owner.view.shard(0)
        shard._tasks.drop("t3")

        # when
        with pytest.raises(ViewCorrupt):
            view.get("t3")

        # then
        until(lambda: view.owner.generation == 2)
        assert states(view) == ["SUCCESS"] * 10
        assert told_of == []
        recorder.forgotten("t3").result(1)
        until(lambda: len(told_of) == 1)
    assert "it is damaged" in caplog.text


def test_a_damaged_row_that_the_fold_meets_is_healed():
    # given
    log = MemoryLog()
    told(log)
    stores = []

    def make():
        stores.append(MemoryStore())
        return stores[-1]

    with viewing(log, MemoryPlace(make)) as (view, recorder):
        states(view)
        stores[0].commit({keys.state("t3"): b"\x01\xc1"})
        view.owner.view.shard(0)._tasks.drop("t3")

        # when
        recorder.forgotten("t3").result(1)

        # then
        until(lambda: view.owner.generation == 2)
        assert states(view) == ["SUCCESS"] * 3 + [None] + ["SUCCESS"] * 6


def test_a_view_whose_folder_is_deleted_is_built_anew_while_running(folder: Folder, caplog):
    with folder.viewing() as view:
        # given
        states(view)

        # when
        shutil.rmtree(folder.path / "view")

        # then
        until(lambda: "its folder was deleted" in caplog.text)
        told(folder.log, ["later"])
        assert view.get("later").state == "SUCCESS"
        assert states(view) == ["SUCCESS"] * 10
        assert (folder.path / "view" / "current").read_text() == "1\n"
    with folder.viewing() as view:
        assert view.owner.heads[0].next_offset == 33


def test_an_owner_whose_place_another_took_resigns(folder: Folder):
    with folder.viewing() as view:
        # given
        states(view)

        # when
        owner = view.owner
        other = folder.place
        build = other.next()
        other.publish(build)

        # then: it lets go, and waits for the other to answer
        until(lambda: owner.resigned)
        with pytest.raises(Closed):
            owner.view.shard(0)
        told(folder.log, ["later"])
        with pytest.raises(ViewStale):
            view.get("later", timeout=0.2)

        # and when / then: the other is gone
        build.close()
        assert view.get("later") is not None
        assert (view.owner.generation, view.owner is owner) == (2, False)


def test_what_was_read_for_a_generation_is_not_folded_into_the_next():
    # given: a log that has another generation take the view's place between a poll and its fold
    class Interrupting(MemoryLog):
        interrupt = None

        def reader(self, positions):
            reader = super().reader(positions)
            poll = reader.poll

            def interrupted(timeout):
                polled = poll(timeout)
                if polled and self.interrupt is not None:
                    interrupt, self.interrupt = self.interrupt, None
                    interrupt()
                return polled

            reader.poll = interrupted
            return reader

    log = Interrupting()
    told(log)
    with viewing(log) as (view, _):
        assert states(view) == ["SUCCESS"] * 10
        owner = view.owner

        def start_over():
            build = owner.place.next()
            with owner.still:
                owner.replace(build, open_shards(build.open_store, log.info(1)), same_log=False)

        # when
        log.interrupt = start_over
        told(log, ["later"])

        # then
        until(lambda: owner.generation == 2)
        assert states(view, [*IDS, "later"]) == ["SUCCESS"] * 11
        assert folded(view) == 33


# One at a time, and the end


def test_a_view_has_one_owner(folder: Folder):
    with folder.viewing() as view:
        states(view)
        with folder.viewing() as other:
            assert states(other) == ["SUCCESS"] * 10
            with pytest.raises(ViewLocked, match=f"pid {os.getpid()}"):
                assert other.owner
        with pytest.raises(ViewLocked, match="open"):
            Owner.open(folder.log, folder.place)
    with folder.viewing() as view:
        assert states(view) == ["SUCCESS"] * 10


def test_closing_is_quick_and_idempotent_and_ends_the_thread(folder: Folder):
    # given
    before = threads()
    owner = Owner.open(folder.log, folder.place)
    assert "eventresults-projector" in threads() - before

    # when
    begun = monotonic()
    owner.close()
    owner.close()

    # then
    assert monotonic() - begun < 1
    until(lambda: threads() == before)
    with pytest.raises(Closed):
        owner.view.shard(0)


def test_closing_while_the_log_is_silent_is_quick(monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 60.0)
    log = MemoryLog()
    for _ in range(20):
        owner = Owner.open(log, MemoryPlace(MemoryStore))
        begun = monotonic()
        owner.close()
        assert monotonic() - begun < 0.5


def test_closing_while_the_log_is_out_of_reach_is_quick(monkeypatch):
    monkeypatch.setattr(module, "BACKOFF_SECONDS", (30.0, 30.0))
    log = MoodyLog()
    owner = Owner.open(log, MemoryPlace(MemoryStore))
    log.away = True
    until(lambda: owner.view.trouble is not None)
    begun = monotonic()
    owner.close()
    assert monotonic() - begun < 0.5


def test_closing_releases_who_reads():
    # given: a projector that is stuck, and readers
    log = MemoryLog()
    outcomes = []
    with viewing(log) as (view, recorder):
        owner = view.owner
        with owner.still:
            recorder.started("t0").result(1)

            def read():
                try:
                    outcomes.append(view.get("t0"))
                except Closed as error:
                    outcomes.append(error)

            readers = [threading.Thread(target=read) for _ in range(5)]
            for reader in readers:
                reader.start()
            closing = threading.Thread(target=view.close)
            owner.view.close()
            for reader in readers:
                reader.join(5)
            closing.start()
        closing.join(10)
    assert [type(outcome) for outcome in outcomes] == [Closed] * 5


def test_an_owner_that_cannot_be_opened_leaves_the_lock(folder: Folder):
    # given
    def refuse(path):
        raise ViewError("no room")

    # when
    with pytest.raises(ViewError, match="no room"):
        Owner.open(folder.log, FolderPlace(folder.path / "view", refuse))

    # then
    Owner.open(folder.log, folder.place).close()


def test_a_log_that_cannot_be_asked_keeps_the_view_from_being_opened():
    log = MoodyLog()
    log.away = True
    with pytest.raises(LogUnavailable):
        Owner.open(log, MemoryPlace(MemoryStore))
    assert "eventresults-projector" not in threads()


def test_a_bug_in_the_fold_is_told_and_logged_with_its_trace(monkeypatch, caplog):
    # given
    log = MemoryLog()
    with viewing(log) as (view, recorder):
        assert view.get("t0") is None

        def stumble(*_, **__):
            raise KeyError("bug")

        # when
        with monkeypatch.context() as patched:
            patched.setattr("eventresults.projector.projector.fold_poll", stumble)
            recorder.started("t0").result(1)
            with pytest.raises(ViewStale, match="the projector failed: KeyError"):
                view.get("t0", timeout=0.2)

        # then
        assert view.get("t0").state == "STARTED"
    assert any(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)


def test_nothing_of_a_closed_view_remains_in_its_stores(folder: Folder):
    with folder.viewing() as view:
        states(view)
    store = rocks(folder.path / "view" / "1" / "0")
    assert {row[:1] for row in rows(store)} >= {keys.STATE, keys.HISTORY, keys.RECENT, keys.META}
    store.close()
