"""The tracker: what `connect` gives."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

import eventresults
from eventresults import AsyncResult, Closed, ConfigError, Position, ResultTimeout, ViewLocked


def test_the_latest_open_tracker_is_the_current_one():
    # given
    first = eventresults.connect("memory://")
    second = eventresults.connect("memory://")

    # when / then
    assert eventresults.current_tracker() is second
    second.close()
    first.close()
    with pytest.raises(ConfigError, match="connect"):
        eventresults.current_tracker()


def test_connecting_and_recording_open_no_view(tmp_path):
    with eventresults.connect(f"sqlite:///{tmp_path}/events.db") as tracker:
        tracker.recorder().sent("t1").result(timeout=5)
        assert not (tmp_path / "events.db.view").exists()

        tracker.read("t1")
        assert (tmp_path / "events.db.view" / "current").exists()


def test_a_second_reader_of_the_same_view_reads_through_the_first(tmp_path):
    url = f"sqlite:///{tmp_path}/events.db"
    with eventresults.connect(url) as owner, eventresults.connect(url) as other:
        owner.read("t1")
        assert other.read("t1") is None
        other.recorder().sent("t1")
        assert other.read("t1") is not None  # what it wrote itself
        assert owner.read("t1") is not None
        assert other.view_stats()["pid"] == os.getpid()
        with pytest.raises(ViewLocked, match="owns the view"):
            assert other.view.owner


def test_what_a_closed_tracker_is_asked_raises_closed():
    tracker = eventresults.connect("memory://")
    tracker.close()
    tracker.close()
    with pytest.raises(Closed):
        tracker.read("t1")
    with pytest.raises(Closed):
        tracker.recorder().sent("t1")


def test_closing_releases_those_who_wait():
    # given
    tracker = eventresults.connect("memory://")
    raised = []
    waiting = threading.Event()

    def wait():
        try:
            AsyncResult("never", app=tracker).get(timeout=30, on_interval=waiting.set, interval=0.01)
        except Closed as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(10)

    # when
    tracker.close()
    thread.join(10)

    # then
    assert len(raised) == 1


def test_closing_ends_executors_that_were_left_open():
    # given
    tracker = eventresults.connect("memory://")
    pool = tracker.executor(max_workers=1)
    assert pool.submit(pow, 2, 3).get(timeout=10) == 8

    # when
    tracker.close()

    # then
    with pytest.raises(Closed):
        pool.submit(pow, 2, 3)


def test_tasks_are_listed_by_their_first_fact_newest_first(tracker):
    # given
    recorder = tracker.recorder()
    for number in range(5):
        recorder.sent(f"t{number}", name="even" if number % 2 == 0 else "odd").result(timeout=5)
    recorder.succeeded("t0")

    # when / then
    assert {meta.task_id for meta in tracker.tasks()} == {f"t{number}" for number in range(5)}
    assert [meta.task_id for meta in tracker.tasks(state="SUCCESS")] == ["t0"]
    assert {meta.task_id for meta in tracker.tasks(name="odd")} == {"t1", "t3"}
    assert len(tracker.tasks(limit=2)) == 2
    assert tracker.tasks(until=datetime.now(UTC) - timedelta(hours=1)) == []
    assert len(tracker.tasks(since=datetime.now(UTC) - timedelta(hours=1))) == 5


def test_reading_many_tells_of_each_id(tracker):
    tracker.recorder().sent("t1")
    found = tracker.read_many(["t1", "t2"])
    assert found["t1"].state == "PENDING"
    assert found["t2"] is None


def test_waiting_for_a_position_ends_when_the_view_is_there_and_otherwise_in_time(tracker):
    position = tracker.recorder().sent("t1").result(timeout=5)
    tracker.wait_until(position, timeout=5)
    with pytest.raises(ResultTimeout):
        tracker.wait_until(Position(0, position.offset + 1_000), timeout=0.05)


def test_the_url_shows_no_password():
    with eventresults.connect("kafka://me:hunter2@localhost:9092/tasks") as tracker:
        assert "hunter2" not in tracker.url + repr(tracker) + repr(tracker.settings)


def test_rebuilding_and_verifying_find_the_view_right(tracker):
    # given
    with tracker.executor(max_workers=2) as pool:
        results = [pool.submit(divmod, 7, number) for number in range(4)]
        states = [result.get(timeout=10, propagate=False) and result.state for result in results]

    # when
    folded = tracker.rebuild()

    # then
    assert folded == 12
    assert tracker.verify() == []
    assert [result.state for result in map(tracker.AsyncResult, (result.id for result in results))] == states
