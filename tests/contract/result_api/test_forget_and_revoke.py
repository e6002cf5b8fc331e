"""`forget` and `revoke` are facts."""

from __future__ import annotations

import time

import pytest

from eventresults import (
    ConfigError,
)
from tests.support.collected import SOON


def test_forget_follows_the_given_parents_and_no_others(tracker, recorder):
    for task_id in ("a", "b", "c", "x"):
        recorder.sent(task_id, previous_id="x" if task_id == "a" else None)
        recorder.succeeded(task_id)
    chain = tracker.AsyncResult("c", parent=tracker.AsyncResult("b", parent=tracker.AsyncResult("a")))

    chain.forget()

    assert [tracker.AsyncResult(task_id).exists() for task_id in ("a", "b", "c", "x")] == [False, False, False, True]


def test_forget_reaches_the_members_of_a_group_that_is_a_parent(tracker, recorder):
    for task_id in ("a", "m1", "m2", "c"):
        recorder.succeeded(task_id)
    group = tracker.GroupResult("g", [tracker.AsyncResult("m1"), tracker.AsyncResult("m2")], parent=tracker.AsyncResult("a"))

    tracker.AsyncResult("c", parent=group).forget()

    assert tracker.read_many(["a", "m1", "m2", "c"]) == dict.fromkeys(["a", "m1", "m2", "c"])


def test_an_id_can_be_used_again_after_forgetting(tracker, recorder):
    recorder.succeeded("t", result=1)
    result = tracker.AsyncResult("t")
    assert result.get(timeout=SOON) == 1
    result.forget()

    recorder.sent("t")
    assert result.exists()
    assert not result.ready()
    recorder.succeeded("t", result=2)
    assert result.get(timeout=SOON) == 2


def test_revoke_is_a_fact_with_its_facts(tracker):
    tracker.AsyncResult("t").revoke(terminate=True, signal="KILL")

    (event,) = tracker.history("t")
    assert (event.terminate, event.signal) == (True, "KILL")
    assert event.by


def test_revoke_with_wait_returns_when_the_task_is_ready_or_time_is_up(tracker, recorder, later):
    recorder.sent("t")
    began = time.monotonic()
    assert tracker.AsyncResult("t").revoke(wait=True, timeout=0.1) is None
    assert 0.1 <= time.monotonic() - began < 3

    later(lambda: recorder.revoked("t"))
    tracker.AsyncResult("t").revoke(wait=True, timeout=SOON)
    assert tracker.AsyncResult("t").state == "REVOKED"


def test_stamped_headers_are_celerys_alone(tracker):
    with pytest.raises(ConfigError, match="Celery"):
        tracker.AsyncResult("t").revoke_by_stamped_headers({"a": "b"})
