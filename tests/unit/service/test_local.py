"""A view that the first read opens."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from time import monotonic

import pytest

from eventresults.errors import Closed, LogUnavailable, ViewLocked, ViewStale
from eventresults.log.memory import MemoryLog
from eventresults.log.own import OwnWrites
from eventresults.projector import Lifetimes
from eventresults.service.local import LocalView
from eventresults.service.memoryplace import MemoryPlace
from eventresults.view.memory import MemoryStore
from tests.support.events import LOG_EPOCH, TASK
from tests.support.views import FakeClock, tell_life, until, viewing


class SlowPlace(MemoryPlace):
    """A place whose view takes as long to open as the test wants."""

    def __init__(self):
        super().__init__(MemoryStore)
        self.opens = threading.Event()
        self.begun = threading.Event()
        self.count = 0

    def open(self):
        self.count += 1
        self.begun.set()
        assert self.opens.wait(10)
        return super().open()


def projectors() -> int:
    return sum(thread.name == "eventresults-projector" for thread in threading.enumerate())


def local(log, place, **settings) -> LocalView:
    settings = {"lifetimes": Lifetimes(), "read_timeout": 5.0, "connect_timeout": 5.0, **settings}
    return LocalView(log, place, OwnWrites(), **settings)


READS = {
    "get": lambda view: view.get(TASK),
    "get_many": lambda view: view.get_many([TASK])[TASK],
    "group": lambda view: view.group(TASK),
    "history": lambda view: view.history(TASK),
    "recent": lambda view: view.recent().items,
    "opened": lambda view: view.opened("group").items,
    "subscribe": lambda view: view.subscribe([TASK], print).close(),
    "open_revokes": lambda view: view.open_revokes(print).close(),
    "owner": lambda view: view.owner.heads[0].counts,
}


def test_nothing_is_opened_before_the_first_read():
    log = MemoryLog()
    with viewing(log):
        assert projectors() == 0


@pytest.mark.parametrize("read", READS)
def test_the_first_read_of_any_kind_opens_it(read: str):
    with viewing(MemoryLog()) as (view, _):
        assert not READS[read](view)
        assert projectors() == 1
    assert projectors() == 0


def test_threads_that_read_first_together_open_it_once():
    # given
    place = SlowPlace()
    view = local(MemoryLog(), place)
    found = []
    threads = [threading.Thread(target=lambda: found.append(view.get(TASK))) for _ in range(8)]
    for thread in threads:
        thread.start()

    # when
    place.opens.set()
    for thread in threads:
        thread.join(5)

    # then
    assert found == [None] * 8
    assert place.count == 1
    view.close()


def test_a_read_does_not_wait_longer_than_its_timeout_for_another_to_open_it():
    # given
    place = SlowPlace()
    view = local(MemoryLog(), place)
    opener = threading.Thread(target=lambda: view.get(TASK))
    opener.start()
    assert place.begun.wait(5)

    # when
    begun = monotonic()
    with pytest.raises(ViewStale, match="still being opened"):
        view.get(TASK, timeout=0.05)

    # then
    assert monotonic() - begun < 1
    place.opens.set()
    opener.join(5)
    view.close()


def test_what_keeps_it_from_being_opened_is_raised_and_the_next_read_tries_again():
    # given
    class Away(MemoryLog):
        away = True

        def info(self, timeout):
            if self.away:
                raise LogUnavailable("gone", url=self.url, reason="gone")
            return super().info(timeout)

    log = Away()
    with viewing(log) as (view, _):
        with pytest.raises(LogUnavailable):
            view.get(TASK)

        # when
        log.away = False

        # then
        assert view.get(TASK) is None


def test_a_process_that_must_not_own_says_who_could():
    with viewing(MemoryLog(), may_own=False) as (view, _), pytest.raises(ViewLocked, match="own='never'") as caught:
        view.get(TASK)
    assert "leave `own` at 'auto'" in str(caught.value)


def test_a_closed_view_refuses_every_read():
    with viewing(MemoryLog()) as (view, _):
        assert view.get(TASK) is None
        view.close()
        view.close()
        for read in READS.values():
            with pytest.raises(Closed):
                read(view)


def test_a_view_that_was_never_opened_is_not_opened_after_its_end():
    with viewing(MemoryLog()) as (view, _):
        view.close()
        with pytest.raises(Closed):
            view.get(TASK)
    assert projectors() == 0


def test_a_view_that_is_closed_while_it_is_opened_leaves_no_thread():
    # given
    place = SlowPlace()
    view = local(MemoryLog(), place)
    outcome = []

    def read():
        try:
            view.get(TASK)
        except Closed as error:
            outcome.append(error)

    opener = threading.Thread(target=read)
    opener.start()
    assert place.begun.wait(5)

    # when
    begun = monotonic()
    view.close()
    assert monotonic() - begun < 1
    place.opens.set()

    # then
    opener.join(5)
    assert len(outcome) == 1
    assert projectors() == 0


def test_the_reader_s_clock_hides_what_has_expired():
    # given
    clock = FakeClock()
    with viewing(MemoryLog(clock=clock), clock=clock) as (view, recorder):
        tell_life(recorder, [TASK])
        assert view.get(TASK).state == "SUCCESS"

        # when
        clock.now = LOG_EPOCH + 86_400_000

        # then: hidden at once, though no record of that time was folded
        assert view.get(TASK) is None
        assert view.recent().items == []
        assert len(view.history(TASK)) == 3

        # when: the sweep comes by, long after
        clock.now = LOG_EPOCH + 100 * 86_400_000
        recorder.started("other").result(1)

        # then
        until(lambda: view.owner.view.shard(0).task(TASK) is None)


def test_waiting_for_a_position():
    with viewing(MemoryLog()) as (view, recorder):
        at = recorder.started(TASK).result(1)
        assert view.wait_until(at)
        assert not view.wait_until(at._replace(offset=at.offset + 1), timeout=0.02)


SCRIPT = """
import os, sys
from pathlib import Path
from eventresults.log.sqlite import SqliteLog
from eventresults.projector import Lifetimes
from eventresults.recorder import Appender, Recorder
from eventresults.service.local import LocalView
from eventresults.service.places import FolderPlace
from eventresults.view.rocksdb import RocksStore

folder, how = Path(sys.argv[1]), sys.argv[2]
log = SqliteLog(folder / "log.db")
appender = Appender(log)
recorder = Recorder(appender)
view = LocalView(log, FolderPlace(folder / "view", RocksStore), appender.own, lifetimes=Lifetimes(), read_timeout=10, connect_timeout=10)
recorder.succeeded("t0").result(10)
assert view.get("t0").state == "SUCCESS"

if how == "exit":
    for number in range(200):
        recorder.updated(f"t{number}")
    sys.exit(0)

child = os.fork()
if child == 0:
    assert view.held.pid == os.getppid(), view.held  # it asks its parent
    assert view.get("t0").state == "SUCCESS"
    recorder.started("t1").result(10)
    assert view.get("t1").state == "STARTED"
    if how == "exit-child":
        sys.exit(0)
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert view.get("t1").state == "STARTED"
assert view.get("nobody") is None
view.close()
appender.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["exit", "exit-child", "_exit-child"])
def test_a_process_ends_well_with_an_open_view_and_so_does_a_forked_child(tmp_path, how: str):
    # given
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    # when
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:unclosed database:ResourceWarning", "-c", SCRIPT, tmp_path, how],
        env=environment,
        timeout=60,
        capture_output=True,
        text=True,
        check=False,
    )

    # then
    assert (done.returncode, done.stderr) == (0, "")
