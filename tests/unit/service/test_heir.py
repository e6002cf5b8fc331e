"""When another process is sent to own a view, and when it is not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eventresults.errors import ViewLocked, ViewStale
from eventresults.log.memory import MemoryLog
from eventresults.service.heir import RETRY_SECONDS, Baton, HeirProcess
from eventresults.service.places import FolderPlace
from eventresults.service.unfit import RocksThreads
from eventresults.view.memory import MemoryStore
from tests.support.events import TASK
from tests.support.views import until, viewing


class Counted:
    """An heir that never comes."""

    why = "it was hindered"

    def __init__(self) -> None:
        self.sent = 0

    def send(self, *, silent: int | None, needed: Callable[[], bool]) -> None:
        self.sent += needed()


@pytest.fixture
def forked(monkeypatch):
    monkeypatch.setattr(RocksThreads, "inherited", True)


@pytest.fixture
def place(tmp_path: Path) -> FolderPlace:
    return FolderPlace(tmp_path / "view", lambda _: MemoryStore())


def test_a_fork_of_an_owner_sends_an_heir_and_says_why_it_does_not_serve(forked, place: FolderPlace):
    heir = Counted()
    with viewing(MemoryLog(), place, heir=heir) as (view, _), pytest.raises(ViewStale, match="it was hindered"):
        view.get(TASK, timeout=0.2)
    assert heir.sent > 0


def test_whoever_looks_only_once_sends_an_heir_too(forked, place: FolderPlace):
    heir = Counted()
    with viewing(MemoryLog(), place, heir=heir) as (view, _), pytest.raises(ViewStale):
        view.get(TASK, timeout=0)
    assert heir.sent == 1


def test_no_heir_is_needed_while_somebody_holds_the_view(forked, place: FolderPlace):
    heir = Counted()
    held = place.open()
    try:
        with viewing(MemoryLog(), place, heir=heir) as (view, _), pytest.raises(ViewStale, match=str(os.getpid())):
            view.get(TASK, timeout=0.2)
    finally:
        held.close()
    assert heir.sent == 0


def test_who_is_forbidden_to_own_sends_the_heir_it_was_given(place: FolderPlace):
    heir = Counted()
    with viewing(MemoryLog(), place, heir=heir, may_own=False) as (view, _), pytest.raises(ViewStale, match="Another was started"):
        view.get(TASK, timeout=0.2)
    assert heir.sent > 0


def test_who_is_forbidden_to_own_and_has_no_heir_says_so(place: FolderPlace):
    with viewing(MemoryLog(), place, heir=None, may_own=False) as (view, _), pytest.raises(ViewLocked, match="own='never' or 'spawn'"):
        view.get(TASK, timeout=0.2)


def test_who_may_own_sends_no_heir(place: FolderPlace):
    heir = Counted()
    with viewing(MemoryLog(), place, heir=heir) as (view, _):
        assert view.get(TASK) is None
    assert heir.sent == 0


def test_one_at_a_time_has_the_baton(tmp_path: Path):
    first = Baton.take(tmp_path / "view")
    assert first is not None
    assert Baton.take(tmp_path / "view") is None
    first.finish()
    second = Baton.take(tmp_path / "view")
    assert second is not None
    second.close()
    second.close()


def test_a_child_that_is_forked_at_this_moment_does_not_keep_the_baton(tmp_path: Path):
    # given
    baton = Baton.take(tmp_path)
    assert baton is not None
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(there)
        os.read(here, 1)
        os._exit(0)
    try:
        # when
        baton.close()

        # then
        until(lambda: Baton.take(tmp_path)).close()
    finally:
        os.close(here)
        os.close(there)
        assert os.waitpid(child, 0)[1] == 0


def test_what_failed_a_moment_ago_is_not_started_again_at_once(tmp_path: Path):
    # given: a module that ends at once
    heir = HeirProcess(tmp_path, module="no_such_module", handed={})
    asked = []

    def needed() -> bool:
        asked.append(True)
        return True

    def send() -> int:
        heir.send(silent=None, needed=needed)
        return len(asked)

    # when
    assert send() == 1
    gone = until(lambda: Baton.take(tmp_path))

    # then
    assert heir.why == "it has not come to serve it"
    gone.close()
    os.utime(tmp_path / "HEIR")  # however long that took
    assert send() == 1

    # when / then: some time after
    long_ago = (tmp_path / "HEIR").stat().st_mtime - RETRY_SECONDS
    os.utime(tmp_path / "HEIR", (long_ago, long_ago))
    assert send() == 2
    until(lambda: Baton.take(tmp_path)).close()


def test_what_cannot_be_started_is_told(tmp_path: Path, monkeypatch, caplog):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    heir = HeirProcess(tmp_path, module="eventresults.cli.heir", handed={})
    heir.send(silent=None, needed=lambda: True)
    assert "could not be started" in heir.why
    assert "no-python" in caplog.text
