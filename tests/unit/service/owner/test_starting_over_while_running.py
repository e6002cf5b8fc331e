"""What makes an owner start over while it runs, or refuse to: a log that is another one than before."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest

from eventresults.domain.position import Position
from eventresults.errors import TopicMisconfigured, ViewStale
from eventresults.log.memory import MemoryLog
from eventresults.log.sqlite import SqliteLog
from eventresults.service import owner as module
from eventresults.service.memoryplace import MemoryPlace
from eventresults.service.places import FolderPlace
from eventresults.view.memory import MemoryStore
from tests.support.owned import Folder, rocks, states, told
from tests.support.views import until, viewing

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
