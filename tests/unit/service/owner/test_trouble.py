"""What an owner waits out, heals or gives way to."""

from __future__ import annotations

import shutil

import pytest

from eventresults.errors import Closed, ViewCorrupt, ViewError, ViewStale
from eventresults.log.memory import MemoryLog
from eventresults.service.memoryplace import MemoryPlace
from eventresults.service.shards import open_shards
from eventresults.view import keys
from eventresults.view.memory import MemoryStore
from eventresults.view.shard import Shard
from tests.support.owned import IDS, Folder, MoodyLog, SlowLog, folded, states, told
from tests.support.views import until, viewing


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


def closed(view) -> bool:
    try:
        view.shard(0)
    except Closed:
        return True
    return False


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


def test_a_look_at_a_log_that_takes_its_time_holds_nothing_up():
    log = SlowLog()
    with viewing(log) as (view, recorder):
        # given: the owner looks whether the log is still the same one
        states(view)
        log.silent = True
        until(lambda: log.asked)

        # when / then
        at = recorder.started("t0").result(5)
        assert view.get("t0", freshness=at, timeout=5).state == "STARTED"
        log.speak.set()


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
        until(lambda: owner.resigned and closed(owner.view))
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
