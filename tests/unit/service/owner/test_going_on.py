"""The one who holds a view and keeps it moving, one at a time, and how that ends."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from time import monotonic

import pytest

from eventresults.domain.position import Position
from eventresults.errors import Closed, LogUnavailable, ViewError, ViewLocked, ViewStale
from eventresults.log.memory import MemoryLog
from eventresults.service import owner as module
from eventresults.service.memoryplace import MemoryPlace
from eventresults.service.owner import Owner
from eventresults.service.places import FolderPlace
from eventresults.view import keys
from eventresults.view.memory import MemoryStore
from tests.support.owned import Folder, MoodyLog, SlowLog, folded, recording, rocks, states, threads, told
from tests.support.views import rows, until, viewing

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


def test_an_owner_closed_while_it_is_about_to_build_anew_leaves_that_to_the_next(tmp_path: Path, monkeypatch):
    # given: it has a reason to look, and the log takes its time
    monkeypatch.setattr(module, "JOIN_SECONDS", 0.05)
    before, log, place = threads(), SlowLog(), FolderPlace(tmp_path / "view", rocks)
    told(log)
    owner = Owner.open(log, place)
    until(lambda: owner.heads[0].next_offset > 0)  # its first look is over
    log.silent = True
    owner.view.doubt(ViewStale("It is not what it should be.", reason="doubt"))
    until(lambda: log.asked and not owner.view.doubt_open)
    log.lose_from(Position(0, 20))

    # when
    owner.close()
    log.speak.set()

    # then
    until(lambda: threads() <= before)
    assert place.current() == 1


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
