from __future__ import annotations

import logging
import threading
import time
from queue import Queue

import pytest

from eventresults.worker.schedule import Schedule


@pytest.fixture
def schedule():
    schedule = Schedule("test")
    yield schedule
    schedule.close()


def test_calls_are_made_in_the_order_of_their_times(schedule):
    # given
    made: Queue[str] = Queue()
    # when
    schedule.after(0.06, lambda: made.put("third"))
    schedule.after(0.02, lambda: made.put("second"))
    schedule.soon(lambda: made.put("first"))
    # then
    assert [made.get(timeout=5) for _ in range(3)] == ["first", "second", "third"]


def test_a_cancelled_call_is_never_made(schedule):
    made: Queue[str] = Queue()
    cancel = schedule.after(0.02, lambda: made.put("cancelled"))
    schedule.after(0.04, lambda: made.put("kept"))
    cancel()
    cancel()
    assert made.get(timeout=5) == "kept"
    assert made.empty()


def test_thousands_are_cancelled_in_no_time_and_the_rest_is_made(schedule):
    # given
    made: Queue[int] = Queue()
    cancels = [schedule.after(3600, lambda: made.put(-1)) for _ in range(5000)]
    schedule.after(0.05, lambda: made.put(1))
    soon = [schedule.after(0.05, lambda: made.put(-2)) for _ in range(3)]
    # when
    began = time.monotonic()
    for cancel in (*soon, *cancels):
        cancel()
    # then
    assert time.monotonic() - began < 1
    assert made.get(timeout=5) == 1
    assert made.empty()


def test_cancelling_what_was_made_does_nothing(schedule):
    made: Queue[int] = Queue()
    cancel = schedule.after(0, lambda: made.put(1))
    assert made.get(timeout=5) == 1
    cancel()
    schedule.after(0, lambda: made.put(2))
    assert made.get(timeout=5) == 2


def test_a_call_that_raises_is_logged_and_stops_no_other(schedule, caplog):
    made: Queue[str] = Queue()
    with caplog.at_level(logging.ERROR):
        schedule.soon(lambda: 1 / 0)
        schedule.soon(lambda: made.put("next"))
        assert made.get(timeout=5) == "next"
    assert "ZeroDivisionError" in caplog.text


def test_a_call_may_make_calls(schedule):
    made: Queue[str] = Queue()
    schedule.soon(lambda: schedule.after(0.001, lambda: made.put("inner")))
    assert made.get(timeout=5) == "inner"


def test_it_closes_at_once_and_twice_and_makes_no_call_after(schedule):
    made: Queue[str] = Queue()
    schedule.after(3600, lambda: made.put("late"))
    schedule.close()
    schedule.close()
    schedule.soon(lambda: made.put("closed"))
    schedule.after(0, lambda: made.put("closed"))
    assert made.empty()
    assert not [thread for thread in threading.enumerate() if thread.name == "eventresults-test-schedule"]


def test_it_can_be_closed_by_one_of_its_calls(schedule):
    done = threading.Event()
    schedule.soon(lambda: (schedule.close(), done.set()))
    assert done.wait(5)
