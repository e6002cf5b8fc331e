"""Signs of life on the disk, while nobody listens at a view."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from time import monotonic, sleep

import pytest

from eventresults.filelock import FileLock
from eventresults.view import beat as module
from eventresults.view.beat import ELSEWHERE, Beat, Pulse, sign_of_life, work_done
from tests.support.views import until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(module, "STOPPED_SECONDS", 0.2)


def test_a_beat_is_seen_until_it_ends(tmp_path: Path) -> None:
    # given
    file = tmp_path / "LOCK"
    assert sign_of_life(file) is None
    lock = FileLock.take(file)
    beat, seen = Beat(lock), set()

    # when
    beat.begin()
    beat.begin()

    # then
    until(lambda: seen.add(sign_of_life(file)) or len(seen) > 3)

    # when / then
    beat.end(elsewhere=False)
    last = sign_of_life(file)
    sleep(0.05)
    assert sign_of_life(file) == last
    lock.release()


def test_where_no_thread_can_begin_any_more_one_sign_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given: an interpreter that ends
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    lock = FileLock.take(tmp_path / "LOCK")
    lock.touch(ELSEWHERE)
    beat = Beat(lock)

    # when
    beat.begin()

    # then
    assert sign_of_life(tmp_path / "LOCK") != ELSEWHERE
    beat.end(elsewhere=False)
    lock.release()


def test_who_is_heard_elsewhere_says_so_here(tmp_path: Path) -> None:
    lock = FileLock.take(tmp_path / "LOCK")
    beat = Beat(lock)
    beat.begin()
    beat.end(elsewhere=True)
    sleep(0.05)
    assert sign_of_life(tmp_path / "LOCK") == ELSEWHERE
    beat.begin()
    assert sign_of_life(tmp_path / "LOCK") != ELSEWHERE
    beat.end(elsewhere=False)
    lock.release()
    beat.end(elsewhere=True)  # it is another's by now
    assert sign_of_life(tmp_path / "LOCK") != ELSEWHERE


def test_who_gives_no_sign_for_long_is_stopped() -> None:
    pulse = Pulse()
    assert not pulse.stopped(1, 7)
    until(lambda: pulse.stopped(1, 7))
    assert not pulse.stopped(1, 8)
    until(lambda: pulse.stopped(1, 8))
    assert not pulse.stopped(2, 8)


def test_who_works_is_not_stopped() -> None:
    # given
    pulse, begun = Pulse(), monotonic()
    before = work_done(os.getpid())
    until(lambda: sum(range(10_000)) and work_done(os.getpid()) != before)

    # when / then: no other sign of life than that
    work = 0
    while monotonic() - begun < 0.5:
        work += 1
        assert not pulse.stopped(1, 7, work)
    until(lambda: pulse.stopped(1, 7, work))
    assert work_done(None) is None


@pytest.mark.parametrize("sign", [None, ELSEWHERE])
def test_of_whom_there_is_nothing_to_be_seen_here_nothing_is_said(sign: int | None) -> None:
    pulse = Pulse()
    pulse.stopped(1, sign)
    sleep(0.25)
    assert not pulse.stopped(1, sign)
