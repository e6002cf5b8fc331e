"""What is known of a task: whether it exists, its state, its facts, its history and what was known before."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from eventresults import (
    InvalidTaskId,
    Position,
    TaskRevokeRequested,
)
from tests.support.collected import SOON

# exists, state


def test_exists_is_true_from_sent_on_and_false_for_the_unknown_and_the_forgotten(tracker, recorder):
    result = tracker.AsyncResult("t")
    assert not result.exists()

    recorder.sent("t")
    assert result.exists()
    assert result.state == "PENDING"

    recorder.succeeded("t", result=1)
    assert result.exists()

    result.forget()
    assert not result.exists()
    assert result.state == "PENDING"
    assert result.result is None


def test_an_expired_result_does_not_exist(tracker, recorder):
    recorder.succeeded("t", result=1, result_expires=0.05).result(SOON)
    time.sleep(0.1)

    assert not tracker.AsyncResult("t").exists()


def test_a_revoke_request_alone_makes_no_task_exist(tracker):
    result = tracker.AsyncResult("t")
    result.revoke()

    assert not result.exists()
    assert result.state == "PENDING"
    assert isinstance(result.history()[0], TaskRevokeRequested)


def test_ready_never_blocks_for_an_unknown_id(tracker):
    began = time.monotonic()

    assert not tracker.AsyncResult("nobody").ready()
    assert time.monotonic() - began < 2


def test_a_ready_result_is_kept_by_its_object_until_forgotten(tracker, recorder):
    recorder.failed("t", error=ValueError("one"))
    result = tracker.AsyncResult("t")
    assert result.failed()

    recorder.started("t")
    recorder.succeeded("t", result=2)

    assert result.failed()
    assert tracker.AsyncResult("t").successful()


def test_facts_are_read_as_attributes(tracker, recorder):
    recorder.sent("t", name="add", args=(1, "x"), kwargs={"k": (1,)}, queue="q", root_id="root", parent_id="p", group_id="g", retries=2)
    recorder.received("t")
    recorder.started("t")
    recorder.updated("t", state="PROGRESS", meta={"done": 0.5})
    running = tracker.AsyncResult("t")
    assert running.state == running.status == "PROGRESS"
    assert running.info == running.result == running.progress == {"done": 0.5}

    recorder.succeeded("t", result=3, runtime=0.25)
    result = tracker.AsyncResult("t")

    assert (result.name, result.args, result.kwargs, result.queue) == ("add", [1, "x"], {"k": (1,)}, "q")
    assert (result.root_id, result.parent_id, result.group_id) == ("root", "p", "g")
    assert (result.worker, result.retries, result.attempts, result.runtime) == ("w1", 2, 1, 0.25)
    assert result.sent_at <= result.received_at <= result.started_at <= result.date_done <= datetime.now(UTC)
    assert result.queue_time >= 0
    assert isinstance(result.position, Position)
    assert result.progress == {"done": 0.5}


def test_facts_of_an_unknown_task_are_none(tracker):
    result = tracker.AsyncResult("t")

    for (
        name
    ) in "name args kwargs queue worker retries date_done root_id parent_id group_id runtime queue_time position progress sent_at".split():
        assert getattr(result, name) is None, name
    assert result.attempts == 0
    assert result.children is None
    assert result.history() == []
    assert result.as_of(datetime.now(UTC)) is None
    assert result.parent is None


def test_a_hostile_id_is_refused_by_reading_and_not_by_making(tracker):
    result = tracker.AsyncResult("x" * 2000)

    with pytest.raises(InvalidTaskId):
        result.exists()
    with pytest.raises(InvalidTaskId):
        tracker.AsyncResult("").get(timeout=0)


# history, as_of


def test_history_is_every_fact_oldest_first(tracker, recorder):
    recorder.sent("t")
    recorder.started("t")
    recorder.succeeded("t", result=1)

    assert [event.kind for event in tracker.AsyncResult("t").history()] == ["task-sent", "task-started", "task-succeeded"]


def test_as_of_a_position_is_what_was_known_there(tracker, recorder):
    sent = recorder.sent("t", name="add").result(SOON)
    started = recorder.started("t").result(SOON)
    recorder.succeeded("t", result=1).result(SOON)
    result = tracker.AsyncResult("t")

    assert result.as_of(sent).state == "PENDING"
    assert result.as_of(started).state == "STARTED"
    assert result.as_of(result.position).result == 1
    assert result.as_of(Position(sent.partition, sent.offset - 1)) is None
    with pytest.raises(ValueError, match="partition"):
        result.as_of(Position(sent.partition + 1, 0))


def test_as_of_a_time_goes_by_the_clock_of_the_log(tracker, recorder):
    before = datetime.now(UTC) - timedelta(seconds=1)
    recorder.sent("t").result(SOON)
    time.sleep(0.02)
    between = datetime.now(UTC)
    time.sleep(0.02)
    recorder.succeeded("t", result=1).result(SOON)
    time.sleep(0.02)
    result = tracker.AsyncResult("t")

    assert result.as_of(before) is None
    assert result.as_of(between).state == "PENDING"
    assert result.as_of(datetime.now(UTC)).state == "SUCCESS"
    with pytest.raises(ValueError, match="time zone"):
        result.as_of(datetime.now())  # noqa: DTZ005


def test_as_of_sees_what_was_forgotten_later(tracker, recorder):
    done = recorder.succeeded("t", result=1).result(SOON)
    result = tracker.AsyncResult("t")
    result.forget()

    assert result.as_of(done).result == 1
    assert result.as_of(datetime.now(UTC) + timedelta(seconds=1)) is None


def test_as_of_respects_the_expiry(tracker, recorder):
    recorder.succeeded("t", result=1, result_expires=60)
    result = tracker.AsyncResult("t")
    result.get(timeout=SOON)

    assert result.as_of(datetime.now(UTC) + timedelta(seconds=30)).result == 1
    assert result.as_of(datetime.now(UTC) + timedelta(seconds=90)) is None
