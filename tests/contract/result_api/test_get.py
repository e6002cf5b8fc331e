"""`get`: values and errors, time, types, joins and parents."""

from __future__ import annotations

import threading
import time

import pytest
from pydantic import BaseModel

from eventresults import (
    AsyncResult,
    Closed,
    RemoteTaskError,
    ResultTimeout,
    TaskRevokedError,
    WouldBlock,
    allow_join_result,
    denied_join_result,
)
from eventresults.errors import EventResultsError
from tests.support.collected import SOON, Collected

# get: values, errors


def test_get_returns_the_value_of_a_task_that_is_done(tracker, recorder):
    recorder.succeeded("t", result={"a": [1, 2.5, None], "b": (1, 2)})

    assert tracker.AsyncResult("t").get(timeout=SOON) == {"a": [1, 2.5, None], "b": (1, 2)}


def test_get_waits_for_a_task_that_is_not_done(tracker, recorder, later):
    recorder.sent("t", name="add")
    later(lambda: recorder.succeeded("t", result=42))

    assert tracker.AsyncResult("t").get(timeout=SOON) == 42


def test_get_waits_for_an_id_nobody_has_heard_of_yet(tracker, recorder, later):
    later(lambda: recorder.succeeded("t", result=42))

    assert tracker.AsyncResult("t").get(timeout=SOON) == 42


def test_a_value_of_none_is_a_value(tracker, recorder):
    recorder.succeeded("t", result=None)

    result = tracker.AsyncResult("t")

    assert result.get(timeout=SOON) is None
    assert result.ready()


def test_get_raises_the_exception_of_a_failed_task(tracker, recorder):
    recorder.failed("t", error=ZeroDivisionError("by nothing"), traceback="Traceback: line 1")
    result = tracker.AsyncResult("t")

    with pytest.raises(ZeroDivisionError, match="by nothing") as caught:
        result.get(timeout=SOON)

    assert any("line 1" in note for note in caught.value.__notes__)
    assert result.traceback == "Traceback: line 1"
    assert result.failed()
    assert isinstance(result.result, ZeroDivisionError)


def test_get_without_propagate_returns_the_exception(tracker, recorder):
    recorder.failed("t", error=KeyError("k"))

    value = tracker.AsyncResult("t").get(timeout=SOON, propagate=False)

    assert isinstance(value, KeyError)
    assert value.args == ("k",)


def test_an_exception_that_cannot_be_rebuilt_keeps_its_facts(tracker, recorder):
    recorder.failed("t", error={"type": "GoneError", "module": "elsewhere", "message": "lost", "args": [1]})

    with pytest.raises(RemoteTaskError) as caught:
        tracker.AsyncResult("t").get(timeout=SOON)

    assert (caught.value.type, caught.value.module, caught.value.remote_message) == ("GoneError", "elsewhere", "lost")


@pytest.mark.parametrize("error", [None, {}, {"message": 7}])
def test_a_failed_result_whose_value_is_no_exception_still_reads(tracker, recorder, error):
    recorder.failed("t", error=error)
    result = tracker.AsyncResult("t")

    assert isinstance(result.result, Exception)
    assert isinstance(result.get(timeout=SOON, propagate=False), Exception)
    with pytest.raises(EventResultsError):
        result.get(timeout=SOON)


def test_raising_again_does_not_grow_the_traceback(tracker, recorder):
    recorder.failed("t", error=ValueError("x"))
    result = tracker.AsyncResult("t")

    depths = []
    for _ in range(5):
        with pytest.raises(ValueError, match="x") as caught:
            result.get(timeout=SOON)
        depths.append(len(caught.traceback))

    assert len(set(depths)) == 1


def test_a_revoked_task_raises_with_its_facts(tracker, recorder):
    recorder.revoked("t", reason="not needed", terminated=True, signal="TERM")
    result = tracker.AsyncResult("t")

    with pytest.raises(TaskRevokedError, match="not needed") as caught:
        result.get(timeout=SOON)

    assert caught.value.facts == {"task_id": "t", "reason": "not needed", "terminated": True, "signal": "TERM"}
    assert result.state == "REVOKED"
    assert result.ready()
    assert not result.failed()


def test_a_retried_task_has_its_exception_as_result_and_is_not_ready(tracker, recorder):
    recorder.retried("t", error=ConnectionError("again"), traceback="tb")
    result = tracker.AsyncResult("t")

    assert result.state == "RETRY"
    assert isinstance(result.result, ConnectionError)
    assert not result.ready()
    assert isinstance(result.maybe_throw(), ConnectionError)


def test_the_first_ready_state_is_what_a_waiting_get_gets(tracker, recorder, later):
    later(lambda: (recorder.failed("t", error=ValueError("first")), recorder.started("t"), recorder.succeeded("t", result="second")))

    with pytest.raises(ValueError, match="first"):
        tracker.AsyncResult("t").get(timeout=SOON)
    recorder.flush(SOON)
    assert tracker.AsyncResult("t").get(timeout=SOON) == "second"


# get: time


def test_timeout_is_a_timeout_error_with_its_facts(tracker, recorder):
    recorder.sent("t")
    recorder.started("t")

    began = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        tracker.AsyncResult("t").get(timeout=0.2)
    took = time.monotonic() - began

    assert isinstance(caught.value, ResultTimeout)
    assert caught.value.facts == {"task_id": "t", "timeout": 0.2, "state": "STARTED"}
    assert 0.2 <= took < 2


def test_the_timeout_class_hangs_on_the_result_class():
    assert AsyncResult.TimeoutError is ResultTimeout


def test_timeout_zero_looks_once(tracker, recorder):
    result = tracker.AsyncResult("t")
    with pytest.raises(ResultTimeout):
        result.get(timeout=0)

    recorder.succeeded("t", result=1)

    assert result.get(timeout=0) == 1


def test_on_interval_is_called_by_the_waiting_thread_every_interval(tracker):
    threads, times = [], []
    result = tracker.AsyncResult("t")

    with pytest.raises(ResultTimeout):
        result.get(
            timeout=0.55, interval=0.1, on_interval=lambda: (threads.append(threading.current_thread()), times.append(time.monotonic()))
        )

    assert set(threads) == {threading.current_thread()}
    assert 2 <= len(times) <= 5


def test_what_on_interval_raises_ends_the_wait(tracker):
    def stop():
        raise InterruptedError("enough")

    with pytest.raises(InterruptedError):
        tracker.AsyncResult("t").get(timeout=SOON, interval=0.01, on_interval=stop)


def test_on_message_gets_every_change_in_order(tracker, recorder, later):
    seen = []
    result = tracker.AsyncResult("t")
    later(
        lambda: (
            recorder.sent("t"),
            recorder.started("t"),
            recorder.updated("t", state="PROGRESS", meta={"done": 1}),
            recorder.updated("t", state="PROGRESS", meta={"done": 2}),
            recorder.succeeded("t", result=7),
        )
    )

    result.get(timeout=SOON, on_message=seen.append)

    assert [one["status"] for one in seen] == ["PENDING", "STARTED", "PROGRESS", "PROGRESS", "SUCCESS"]
    assert [one["result"] for one in seen] == [None, None, {"done": 1}, {"done": 2}, 7]
    assert {one["task_id"] for one in seen} == {"t"}


def test_on_message_gets_what_is_there_when_the_task_is_done_already(tracker, recorder):
    recorder.succeeded("t", result=7)
    seen = []

    tracker.AsyncResult("t").get(timeout=SOON, on_message=seen.append)

    assert [one["status"] for one in seen] == ["SUCCESS"]


def test_callback_is_called_with_id_and_value(tracker, recorder):
    recorder.succeeded("t", result=7)
    calls = []

    assert tracker.AsyncResult("t").get(timeout=SOON, callback=lambda *call: calls.append(call)) == 7
    assert calls == [("t", 7)]


def test_an_ignored_result_is_none_at_once(tracker):
    result = tracker.AsyncResult("t")
    assert result.ignored is False
    result.ignored = True

    assert result.get() is None


def test_pending_gets_raise_closed_when_the_tracker_closes(tracker, later):
    later(tracker.close, delay=0.1)

    began = time.monotonic()
    with pytest.raises(Closed):
        tracker.AsyncResult("t").get(timeout=SOON)
    assert time.monotonic() - began < 3


def test_fifty_waiters_are_told_by_one_finish(tracker, recorder):
    values = Collected()
    threads = [
        threading.Thread(target=lambda: values(tracker.AsyncResult("t").get(timeout=SOON)), name=f"test-waiter-{n}") for n in range(50)
    ]
    for thread in threads:
        thread.start()

    recorder.succeeded("t", result="all")

    assert values.wait(50) == ["all"] * 50
    for thread in threads:
        thread.join(SOON)


# get: as_type, joins, parents


class Point(BaseModel):
    x: int
    y: int


def test_as_type_validates_the_value(tracker, recorder):
    recorder.succeeded("t", result=Point(x=1, y=2))
    result = tracker.AsyncResult("t")

    assert result.get(timeout=SOON) == {"x": 1, "y": 2}
    assert result.get(timeout=SOON, as_type=Point) == Point(x=1, y=2)
    with pytest.raises(ValueError, match="validation error"):
        result.get(timeout=SOON, as_type=list[int])


def test_get_inside_a_task_is_refused_unless_allowed(tracker, recorder):
    recorder.succeeded("t", result=1)
    result = tracker.AsyncResult("t")

    with denied_join_result():
        with pytest.raises(WouldBlock):
            result.get(timeout=SOON)
        with pytest.raises(RuntimeError):
            tracker.ResultSet([result]).get(timeout=SOON)
        assert result.get(timeout=SOON, disable_sync_subtasks=False) == 1
        with allow_join_result():
            assert result.get(timeout=SOON) == 1
        with pytest.raises(WouldBlock):
            result.get(timeout=SOON)
    assert result.get(timeout=SOON) == 1


def test_the_failure_of_a_given_parent_ends_the_wait(tracker, recorder, later):
    grandparent = tracker.AsyncResult("a")
    child = tracker.AsyncResult("c", parent=tracker.AsyncResult("b", parent=grandparent))
    later(lambda: recorder.failed("a", error=ValueError("root cause")))

    began = time.monotonic()
    with pytest.raises(ValueError, match="root cause"):
        child.get(timeout=SOON)
    assert time.monotonic() - began < 5


def test_a_given_group_as_parent_is_followed_too(tracker, recorder):
    recorder.failed("m2", error=ValueError("a member"))
    group = tracker.GroupResult("g", [tracker.AsyncResult("m1"), tracker.AsyncResult("m2")])

    with pytest.raises(ValueError, match="a member"):
        tracker.AsyncResult("c", parent=group).get(timeout=SOON)


def test_parents_are_not_followed_when_nobody_wants_it(tracker, recorder):
    recorder.failed("a", error=ValueError("root cause"))
    recorder.succeeded("b", result="fine")
    child = tracker.AsyncResult("b", parent=tracker.AsyncResult("a"))

    assert child.get(timeout=SOON, follow_parents=False) == "fine"
    assert child.get(timeout=SOON, propagate=False) == "fine"
    with pytest.raises(ValueError, match="root cause"):
        child.get(timeout=SOON)


def test_parents_of_the_log_do_not_make_a_get_fail(tracker, recorder):
    recorder.failed("a", error=ValueError("root cause"))
    recorder.sent("b", previous_id="a")
    recorder.succeeded("b", result="fine")

    assert tracker.AsyncResult("b").get(timeout=SOON) == "fine"
