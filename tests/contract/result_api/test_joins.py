"""Many results at once: `get`, `join`, `join_native`, `iter_native`."""

from __future__ import annotations

import time

import pytest

from eventresults import (
    ResultTimeout,
    TaskRevokedError,
)
from tests.support.collected import SOON


@pytest.mark.parametrize("join", ["get", "join", "join_native"])
def test_joins_give_the_values_in_order(three, recorder, later, join):
    recorder.succeeded("b", result=2)
    later(lambda: (recorder.succeeded("c", result=3), recorder.succeeded("a", result=1)))

    assert getattr(three, join)(timeout=SOON) == [1, 2, 3]


def test_join_calls_back_in_order_and_join_native_as_they_come(three, recorder, later):
    recorder.succeeded("b", result=2)
    later(lambda: (recorder.succeeded("c", result=3).result(SOON), recorder.succeeded("a", result=1)))
    arrived, ordered = [], []

    assert three.join_native(timeout=SOON, callback=lambda *call: arrived.append(call)) is None
    assert three.join(timeout=SOON, callback=lambda *call: ordered.append(call)) == []

    assert arrived == [("b", 2), ("c", 3), ("a", 1)]
    assert ordered == [("a", 1), ("b", 2), ("c", 3)]


def test_join_native_raises_at_the_first_failure_to_come(three, recorder):
    recorder.failed("c", error=ValueError("early"))

    with pytest.raises(ValueError, match="early"):
        three.get(timeout=SOON)


def test_join_raises_the_first_failure_in_order(three, recorder):
    recorder.failed("c", error=ValueError("c"))
    recorder.failed("b", error=KeyError("b"))
    recorder.succeeded("a")

    with pytest.raises(KeyError):
        three.join(timeout=SOON)


@pytest.mark.parametrize("join", ["join", "join_native"])
def test_without_propagate_exceptions_stand_in_the_list(three, recorder, join):
    recorder.succeeded("a", result=1)
    recorder.failed("b", error=KeyError("b"))
    recorder.revoked("c")

    values = getattr(three, join)(timeout=SOON, propagate=False)

    assert values[0] == 1
    assert isinstance(values[1], KeyError)
    assert isinstance(values[2], TaskRevokedError)


@pytest.mark.parametrize("join", ["join", "join_native"])
def test_the_timeout_of_a_join_is_for_the_whole(three, recorder, join):
    recorder.succeeded("a")

    began = time.monotonic()
    with pytest.raises(ResultTimeout):
        getattr(three, join)(timeout=0.2)
    assert 0.2 <= time.monotonic() - began < 2
    with pytest.raises(ResultTimeout):
        getattr(three, join)(timeout=0)


def test_iter_native_yields_metas_as_they_come(three, recorder, later):
    recorder.succeeded("b", result=2)
    later(lambda: (recorder.failed("c", error=ValueError("x")).result(SOON), recorder.succeeded("a", result=1)))

    seen = [(task_id, meta["status"]) for task_id, meta in three.iter_native(timeout=SOON)]

    assert seen == [("b", "SUCCESS"), ("c", "FAILURE"), ("a", "SUCCESS")]


def test_one_id_twice_in_a_set_has_two_values(tracker, recorder):
    recorder.succeeded("a", result=1)
    results = tracker.ResultSet([tracker.AsyncResult("a"), tracker.AsyncResult("a")])

    assert results.join_native(timeout=SOON) == [1, 1]
    assert results.join(timeout=SOON) == [1, 1]


def test_joins_tell_of_messages_and_intervals(three, recorder, later):
    later(lambda: [recorder.succeeded(name) for name in "abc"], delay=0.15)
    seen, ticks = [], []

    three.get(timeout=SOON, on_message=seen.append, interval=0.02, on_interval=lambda: ticks.append(1))

    assert sorted(one["task_id"] for one in seen) == ["a", "b", "c"]
    assert len(ticks) >= 2
