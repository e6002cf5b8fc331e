"""Folding the log afresh: in place of the live view, or beside it to prove it right."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from eventresults.codec import plain, rows
from eventresults.domain.position import Position
from eventresults.errors import LogUnavailable, ViewError, ViewLocked, ViewStale
from eventresults.log.memory import MemoryLog
from eventresults.projector import Lifetimes
from eventresults.service import afresh, answers, owner
from eventresults.service.afresh import Difference, rebuild, rebuild_beside, verify, verify_checkpoint
from eventresults.service.memoryplace import MemoryPlace
from eventresults.service.places import FolderPlace
from eventresults.service.snapshots import checkpoint_view
from eventresults.view import keys
from eventresults.view.memory import MemoryStore
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore
from tests.support.events import LOG_EPOCH
from tests.support.owned import told
from tests.support.views import FakeClock, tell_life, until, viewing

IDS = [f"t{number}" for number in range(100)]


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(owner, "BACKOFF_SECONDS", (0.01, 0.05))


def scratch(_: Path) -> MemoryStore:
    return MemoryStore()


class Stores(MemoryPlace):
    """A place whose stores a test can tamper with."""

    def __init__(self):
        self.made: list[MemoryStore] = []
        super().__init__(self._make)

    def _make(self):
        self.made.append(MemoryStore())
        return self.made[-1]


@pytest.fixture
def scene():
    log, place = MemoryLog(partitions=1), Stores()
    with viewing(log, place) as (view, recorder):
        tell_life(recorder, IDS)
        recorder.forgotten("t1")
        log.writer().append(b"k", b"garbage")
        recorder.started("open").result(1)
        view.get("open")
        yield log, place, view, recorder
    log.close()


def tamper(place: Stores, view, task_id: str, **fields) -> None:
    """Change a row behind the view's back."""
    store = place.made[0]
    meta = rows.decode_task(store.get(keys.state(task_id)))
    store.commit({keys.state(task_id): rows.encode_task(meta.evolve(**fields))})
    view.owner.view.shard(0)._tasks.drop(task_id)


# Verify


def test_a_view_that_is_right_has_no_differences(scene):
    _, _, view, _ = scene
    seen = []
    assert verify(view.owner, scratch, progress=lambda done, total: seen.append((done, total))) == []
    assert seen[-1] == (303, 303)


def test_an_altered_row_is_found_and_told_field_by_field(scene):
    _, place, view, _ = scene
    tamper(place, view, "t7", result="forged", worker="evil")
    assert verify(view.owner, scratch) == [Difference("t7", "result", "forged", "t7"), Difference("t7", "worker", "evil", "w1")]


def test_who_asks_from_elsewhere_is_told_by_the_owner(scene):
    # given / then
    _, place, view, _ = scene
    assert answers.answer(view.owner, "verify", {}, 10.0) == {"partitions": [0], "differences": []}

    # when / then
    tamper(place, view, "t7", result={"forged": 1})
    assert answers.answer(view.owner, "verify", {}, 10.0)["differences"] == [("t7", "result", "{'forged': 1}", "t7")]


def test_an_owner_verifies_for_one_at_a_time(scene, monkeypatch):
    # given: one that takes its time
    _, _, view, _ = scene
    began, go = threading.Event(), threading.Event()
    monkeypatch.setattr(answers, "verify_checkpoint", lambda *_, **__: began.set() or (go.wait(10) and []))
    first = threading.Thread(target=answers.answer, args=(view.owner, "verify", {}, 10.0))
    first.start()
    assert began.wait(10)

    # when / then
    with pytest.raises(ViewError, match="ask again"):
        answers.answer(view.owner, "verify", {}, 10.0)
    go.set()
    first.join(10)
    monkeypatch.undo()
    assert answers.answer(view.owner, "verify", {}, 10.0)["differences"] == []


def test_a_row_that_was_removed_or_added_is_found(scene):
    # given
    _, place, view, _ = scene
    store = place.made[0]
    forged = rows.decode_task(store.get(keys.state("t3"))).evolve(task_id="forged")

    # when
    store.commit({keys.state("forged"): rows.encode_task(forged)}, [keys.state("t7")])

    # then
    assert verify(view.owner, scratch) == [Difference("forged", "row", "SUCCESS", None), Difference("t7", "row", None, "SUCCESS")]


def test_a_tampered_history_is_found(scene):
    # given
    _, place, view, _ = scene
    store = place.made[0]
    key, raw = next(store.scan(keys.HISTORY, keys.after(keys.HISTORY)))
    (previous, offset, log_time, value), *others = rows.decode_segment(raw)

    # when: one fact in it, or all of them
    store.commit({key: rows.encode_segment([(previous, offset, log_time, value.replace(b'"add"', b'"sub"')), *others])})
    [difference] = verify(view.owner, scratch)
    assert difference[:2] == ("t0", "history")

    store.commit({}, [key])
    found = verify(view.owner, scratch)
    assert {difference.field for difference in found} == {"history"}
    assert len(found) == 1 + len(others)


def test_a_tampered_listing_is_found(scene):
    # given
    _, place, view, _ = scene
    store = place.made[0]
    key, _ = next(store.scan(keys.RECENT, keys.after(keys.RECENT)))

    # when
    store.commit({}, [key])

    # then
    subject = key[9:].decode()
    assert verify(view.owner, scratch) == [Difference(subject, "listing", False, True)]


def test_a_tampered_dead_letter_is_found(scene):
    # given
    _, place, view, _ = scene
    store = place.made[0]
    [(key, raw)] = store.scan(keys.DEAD, keys.after(keys.DEAD))

    # when
    offset, log_time, _, *rest = plain.unpack(raw)
    store.commit({key: plain.pack([offset, log_time, "nothing to see here", *rest])})

    # then
    [difference] = verify(view.owner, scratch)
    assert (difference.subject, difference.field, difference.live) == ("0:301", "dead letter", "nothing to see here")
    store.commit({}, [key])
    [difference] = verify(view.owner, scratch)
    assert (difference.field, difference.live) == ("dead letter", None)


def test_lives_that_began_before_the_log_does_are_left_out(scene):
    # given
    log, place, view, _recorder = scene
    log.delete_before(Position(0, 100))

    # then
    assert verify(view.owner, scratch) == []
    tamper(place, view, "t7", result="forged")
    assert verify(view.owner, scratch) == []
    tamper(place, view, "t77", result="forged")
    assert [difference.subject for difference in verify(view.owner, scratch)] == ["t77"]


def test_a_life_that_followed_a_forgetting_before_the_log_s_start_is_right():
    # given
    log = MemoryLog()
    with viewing(log) as (view, recorder):
        recorder.started("t0")
        recorder.forgotten("t0")
        recorder.started("t0").result(1)
        assert view.get("t0").first_offset == 2

        # when
        log.delete_before(Position(0, 2))

        # then
        assert verify(view.owner, scratch) == []


def test_what_the_sweep_has_or_has_not_taken_is_no_difference():
    # given: a sweep in small steps, and one in a single large one
    clock = FakeClock()
    log = MemoryLog(clock=clock)
    with viewing(log, clock=clock, lifetimes=Lifetimes(unfinished=1_000, history=1_000)) as (view, recorder):
        for number in range(2_000):
            recorder.succeeded(f"t{number}", result_expires=1.0)
        view.get("t0")
        clock.now += 10_000
        for number in range(3):
            recorder.succeeded(f"later{number}", result_expires=100.0).result(1)
            view.get(f"later{number}")
        swept = view.owner.heads[0].counts["swept"]
        assert 0 < swept < 2_000

        # when / then
        assert verify(view.owner, scratch) == []


def test_verifying_goes_on_while_facts_come_in():
    # given
    log = MemoryLog(partitions=2)
    stop = threading.Event()
    with viewing(log) as (view, recorder):

        def work():
            number = 0
            while not stop.is_set():
                tell_life(recorder, [f"n{number % 50}"])
                number += 1

        thread = threading.Thread(target=work)
        thread.start()
        view.get("n0")

        # when / then
        for _ in range(5):
            assert verify(view.owner, scratch) == []
        stop.set()
        thread.join(5)
        assert view.get("n1").state == "SUCCESS"


def test_the_live_view_does_not_stand_still_while_it_is_verified(scene):
    # given: a verification that has begun to fold
    _, _, view, recorder = scene
    read = []

    def look(done, total):
        if not read:
            recorder.succeeded("open").result(1)
            read.append(view.get("open", timeout=2.0).state)

    # when / then
    assert verify(view.owner, scratch, progress=look) == []
    assert read == ["SUCCESS"]


def test_a_checkpoint_is_verified_where_nobody_owns_the_view(tmp_path):
    # given: checkpoints, as another process's owner makes them
    log, folder = MemoryLog(partitions=2), tmp_path / "checkpoints"
    folder.mkdir()
    with viewing(log) as (view, recorder):
        tell_life(recorder, IDS)
        view.recent(freshness="latest")
        checkpoint_view(view.owner, folder)
        tell_life(recorder, ["later"])
        view.recent(freshness="latest")

    # when / then
    assert verify_checkpoint(log, folder, scratch, lifetimes=Lifetimes(), open_checkpoint=MemoryStore) == []
    assert sorted(path.name for path in folder.iterdir()) == ["0", "1"]


def test_a_checkpoint_of_another_log_is_not_compared(tmp_path):
    # given
    log = MemoryLog()
    with viewing(log) as (view, recorder):
        tell_life(recorder, IDS)
        view.get("t0")
        checkpoint_view(view.owner, tmp_path)

    # when / then
    with pytest.raises(ViewStale, match="created again"):
        verify_checkpoint(MemoryLog(), tmp_path, scratch, lifetimes=Lifetimes(), open_checkpoint=MemoryStore)


# Rebuild beside


def test_a_view_is_rebuilt_beside_its_owner_who_goes_on_meanwhile(tmp_path):
    # given
    resources = RocksResources(block_cache=4 * MEGABYTE, write_buffers=MEGABYTE)
    log = MemoryLog(partitions=2)
    place, beside = (FolderPlace(tmp_path / "view", lambda path: RocksStore(path, resources=resources)) for _ in range(2))
    with viewing(log, place) as (view, recorder):
        tell_life(recorder, IDS)
        view.get("t0")
        with beside.draft(), pytest.raises(ViewLocked):
            rebuild_beside(log, beside)
        seen, told = [], []

        def look(done, total):
            if not seen:
                tell_life(recorder, ["meanwhile"])
                told.append(view.get("meanwhile").state)
            seen.append((done, total))

        # when
        count = rebuild_beside(log, beside, progress=look)

        # then: the owner went on while it was rebuilt
        assert count == 300  # what came meanwhile is little, and the next owner's
        assert seen[-1] == (300, 300)
        assert told == ["SUCCESS"]
        assert place.current() == 2
        assert view.get("t0").state == "SUCCESS"
        assert view.owner.generation == 2
    with viewing(log, place) as (view, _):
        assert view.owner.generation == 2
        assert view.get("meanwhile").result == "meanwhile"
        assert verify(view.owner, lambda path: RocksStore(path, resources=resources)) == []


def test_a_rebuild_beside_goes_on_until_it_is_within_a_few_records(tmp_path, monkeypatch):
    # given: facts that come while it folds
    monkeypatch.setattr(afresh, "FEW", 5)
    log = MemoryLog()
    with viewing(log) as (_, recorder):
        tell_life(recorder, IDS)
        recorder.flush(5)
        more = [[f"m{number}" for number in range(40)], [f"n{number}" for number in range(10)]]
        ends = log.ends

        def ends_after_more(partitions, timeout):
            if more:
                tell_life(recorder, more.pop(0))
                recorder.flush(5)
            return ends(partitions, timeout)

        monkeypatch.setattr(log, "ends", ends_after_more)
        place = FolderPlace(tmp_path / "view", RocksStore)

        # when / then
        assert rebuild_beside(log, place) == 450
        assert place.current() == 1


def test_a_rebuild_beside_that_fails_leaves_the_view_as_it_was(tmp_path, monkeypatch):
    # given
    log = MemoryLog()
    place = FolderPlace(tmp_path / "view", RocksStore)
    with viewing(log, place) as (view, recorder):
        tell_life(recorder, IDS)
        view.get("t0")

        def fail(done, total):
            raise ViewError("the disk is full")

        # when
        with pytest.raises(ViewError, match="full"):
            rebuild_beside(log, FolderPlace(tmp_path / "view", RocksStore), progress=fail)

        # then
        assert view.owner.generation == place.current() == 1
        place.tidy()
        assert not (tmp_path / "view" / "2").exists()


# Rebuild


def test_a_rebuilt_view_is_equal_and_in_place(scene):
    # given
    _, place, view, recorder = scene
    tamper(place, view, "t7", result="forged")
    seen = []

    # when
    count = rebuild(view.owner, progress=lambda done, total: seen.append((done, total)))

    # then
    assert count == 303
    assert seen[-1] == (303, 303)
    assert view.owner.generation == 2
    assert view.get("t7").result == "t7"
    assert verify(view.owner, scratch) == []

    # when: it goes on
    recorder.succeeded("open").result(1)

    # then
    assert view.get("open").state == "SUCCESS"


def test_watchers_are_told_each_fact_once_over_a_rebuild_under_load():
    # given
    log = MemoryLog(partitions=2)
    told, count = [], 600
    with viewing(log) as (view, recorder):
        tell_life(recorder, IDS)
        view.get("t0")
        ids = [f"n{number}" for number in range(count)]
        view.subscribe(ids, lambda change: told.append((change.subject, change.fact.position)))

        def work():
            for task_id in ids:
                recorder.started(task_id)
                recorder.succeeded(task_id)

        thread = threading.Thread(target=work)
        thread.start()

        # when
        for _ in range(4):
            rebuild(view.owner)
        thread.join(10)

        # then
        view.recent(freshness="latest")
        until(lambda: len(told) >= 2 * count)
        assert len(set(told)) == len(told) == 2 * count
        assert view.owner.generation == 5
        assert verify(view.owner, scratch) == []


class HeldLog(MemoryLog):
    """A log whose first reader, the projector's, can be held back."""

    def __init__(self):
        super().__init__()
        self.held = False
        self.readers = 0

    def reader(self, positions):
        reader = super().reader(positions)
        self.readers += 1
        if self.readers == 1:
            poll = reader.poll
            reader.poll = lambda timeout: {} if self.held and not time.sleep(0.001) else poll(min(timeout, 0.01))
        return reader


def test_a_rebuild_goes_no_further_than_what_watchers_were_told():
    # given: a view that is behind
    log, told = HeldLog(), []
    with viewing(log) as (view, recorder):
        tell_life(recorder, ["t0"])
        assert view.get("t0") is not None
        view.subscribe(["t1"], lambda change: told.append(change.fact.event.kind))
        log.held = True
        time.sleep(0.02)  # the poll under way ends
        tell_life(recorder, ["t1"])

        # when
        rebuild(view.owner)

        # then
        assert view.get("t1").state == "SUCCESS"
        assert told == ["task-sent", "task-started", "task-succeeded"]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_from_a_log_that_took_another_one_s_place_nothing_is_rebuilt_and_all_begun_anew(scene, when: str):
    # given
    log, _, view, _ = scene
    heard, before = [], log._records
    view.subscribe(["new"], lambda change: heard.append(change.fact.position.offset))

    def replace_log(*_) -> None:
        if log._records is before:
            log._records = MemoryLog(partitions=1)._records
            told(log, ["new"])

    # when
    if when == "before":
        replace_log()
    with pytest.raises(ViewStale, match="deleted and created again"):
        rebuild(view.owner, progress=replace_log)

    # then
    until(lambda: heard == [0, 1, 2])
    assert view.get("t7") is None


def test_reads_go_on_during_rebuilds_and_are_right():
    # given
    log = MemoryLog(partitions=2)
    stop = threading.Event()
    wrong = []
    with viewing(log, read_timeout=20.0) as (view, recorder):
        tell_life(recorder, IDS)
        recorder.started("open")

        def read():
            while not stop.is_set():
                try:
                    if [meta and meta.state for meta in view.get_many([*IDS[:5], "open", "nobody"]).values()] != [
                        *["SUCCESS"] * 5, "STARTED", None,
                    ]:  # fmt: skip
                        wrong.append("many")
                    if view.get("open").state != "STARTED" or len(view.history("t9")) != 3 or len(view.recent(limit=3).items) != 3:
                        wrong.append("one")
                except Exception as error:
                    wrong.append(error)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()

        # when
        for _ in range(10):
            rebuild(view.owner)
        stop.set()
        for thread in threads:
            thread.join(20)

    # then
    assert wrong == []


def test_a_rebuild_on_disk_leaves_one_generation_which_is_reopened(tmp_path):
    # given
    resources = RocksResources(block_cache=4 * MEGABYTE, write_buffers=MEGABYTE)
    log = MemoryLog()
    place = FolderPlace(tmp_path / "view", lambda path: RocksStore(path, resources=resources))
    with viewing(log, place) as (view, recorder):
        tell_life(recorder, IDS)
        view.get("t0")

        # when
        rebuild(view.owner)

        # then
        assert sorted(path.name for path in (tmp_path / "view").iterdir()) == ["2", "checkpoints", "current"]
        assert verify(view.owner, lambda path: RocksStore(path, resources=resources)) == []
    with viewing(log, place) as (view, _):
        assert view.owner.heads[0].next_offset == 300
        assert view.get("t99").result == "t99"


def test_one_rebuild_at_a_time(tmp_path):
    log = MemoryLog()
    place = FolderPlace(tmp_path / "view", RocksStore)
    with viewing(log, place) as (view, recorder):
        tell_life(recorder, IDS)
        view.get("t0")
        with place.draft(), pytest.raises(ViewLocked):
            rebuild(view.owner)
        assert rebuild(view.owner) == 300


@pytest.mark.parametrize("beside", [True, False])
def test_while_a_view_is_rebuilt_another_process_may_succeed_its_owner(tmp_path, beside):
    # given
    log = MemoryLog()
    place = FolderPlace(tmp_path / "view", RocksStore)
    with viewing(log, place) as (view, recorder):
        tell_life(recorder, IDS)
        view.get("t0")
        succeeded = []

        def look(done, total):
            if not succeeded:
                with closing(place.succeed()) as build:
                    place.publish(build)
                    succeeded.append(build.number)

        # when
        if beside:
            rebuild_beside(log, place, progress=look)
        else:
            with pytest.raises(ViewStale, match="has another owner now"):
                rebuild(view.owner, progress=look)

        # then: what is built beside takes its place in turn; what its former owner built does not
        assert succeeded == [2]
        assert place.current() == (3 if beside else 2)
        assert view.get("t99").result == "t99"


def test_a_rebuild_that_fails_leaves_the_view_as_it_was(scene, monkeypatch):
    # given
    _, place, view, _ = scene

    class Full(MemoryStore):
        def commit(self, puts, deletes=()):
            raise ViewError("the disk is full")

    monkeypatch.setattr(place, "_make_store", Full)

    # when
    with pytest.raises(ViewError, match="full"):
        rebuild(view.owner)

    # then
    assert view.owner.generation == 1
    assert view.get("t7").result == "t7"


def test_a_log_that_falls_silent_before_its_end_is_told(monkeypatch, scene):
    # given
    log, _, view, _ = scene
    monkeypatch.setattr(afresh, "POLL_SECONDS", 0.001)

    class Silent:
        def poll(self, timeout):
            return {}

        def close(self):
            pass

    monkeypatch.setattr(log, "reader", lambda positions: Silent())

    # when / then
    with pytest.raises(LogUnavailable, match="gave no record"):
        verify(view.owner, scratch)


def test_a_closed_owner_is_not_rebuilt(scene):
    _, _, view, _ = scene
    owner_ = view.owner
    view.close()
    with pytest.raises(Exception, match="closed"):
        rebuild(owner_)
    assert replace(owner_.heads[0], log_time=LOG_EPOCH).next_offset == 303
