"""`then`: who is called back, with what, on which thread, and how often."""

from __future__ import annotations

import threading

import pytest

from eventresults import (
    Closed,
    TaskRevokedError,
)
from tests.support.collected import SOON, Collected


def test_then_calls_back_with_the_result_on_the_callback_thread(tracker, recorder):
    called = Collected()
    result = tracker.AsyncResult("t")
    result.then(lambda r: called((r, threading.current_thread().name)))

    recorder.succeeded("t", result=5)

    (got, thread), *more = called.wait()
    assert got is result
    assert thread == "eventresults-callbacks"
    assert not more
    assert got.result == 5


def test_then_calls_back_when_ready_already(tracker, recorder):
    recorder.succeeded("t", result=5)
    called = Collected()

    tracker.AsyncResult("t").then(called)

    assert called.wait()[0].get() == 5


def test_a_failure_goes_to_on_error_alone(tracker, recorder):
    good, bad = Collected(), Collected()
    tracker.AsyncResult("t").then(good, on_error=bad)
    recorder.failed("t", error=ValueError("x"))

    assert isinstance(bad.wait()[0], ValueError)
    assert not good.items


def test_a_revocation_goes_to_on_error(tracker, recorder):
    bad = Collected()
    tracker.AsyncResult("t").then(print, on_error=bad)
    recorder.revoked("t", reason="no")

    assert isinstance(bad.wait()[0], TaskRevokedError)


def test_without_on_error_a_failure_goes_to_the_callback(tracker, recorder):
    called = Collected()
    tracker.AsyncResult("t").then(called)
    recorder.failed("t", error=ValueError("x"))

    assert called.wait()[0].failed()


def test_then_chains_as_vine_does(tracker, recorder):
    called = Collected()
    tracker.AsyncResult("t").then(lambda r: r.result + 1).then(lambda n: n * 10).then(called)
    recorder.succeeded("t", result=5)

    assert called.wait() == [60]


def test_an_exception_in_a_callback_stops_no_other(tracker, recorder, caplog):
    called, broken = Collected(), Collected()
    result = tracker.AsyncResult("t")

    def explode(_):
        raise RuntimeError("my own fault")

    def leave(_):
        raise SystemExit(3)

    result.then(explode).then(called, on_error=broken)
    result.then(leave)
    result.then(called)
    recorder.succeeded("t", result=5)

    assert called.wait() == [result]
    assert isinstance(broken.wait()[0], RuntimeError)
    assert "my own fault" in caplog.text


def test_each_of_many_promises_fires_exactly_once_under_threads(tracker, recorder):
    threads_count, tasks = 16, 40
    results = [tracker.AsyncResult(f"t{n}") for n in range(tasks)]
    calls = Collected()
    barrier = threading.Barrier(threads_count + 1)

    def register():
        barrier.wait(SOON)
        for result in results:
            result.then(lambda r: calls(r.id))
            tracker.AsyncResult(result.id).then(lambda r: calls(r.id))
            result.ready()

    threads = [threading.Thread(target=register, name=f"test-then-{n}") for n in range(threads_count)]
    for thread in threads:
        thread.start()
    barrier.wait(SOON)
    for result in results:
        recorder.succeeded(result.id, result=1)
        recorder.succeeded(result.id, result=2)
    for thread in threads:
        thread.join(SOON)

    expected = 2 * threads_count * tasks
    calls.wait(expected)
    done = Collected()
    tracker.AsyncResult("t0").then(done)
    done.wait()
    assert len(calls.items) == expected
    assert {calls.items.count(result.id) for result in results} == {2 * threads_count}


def test_a_promise_fires_at_the_first_ready_state_and_never_again(tracker, recorder):
    calls, errors = Collected(), Collected()
    tracker.AsyncResult("t").then(calls, on_error=errors)

    recorder.failed("t", error=ValueError("first"))
    recorder.started("t")
    recorder.succeeded("t", result=1)
    done = Collected()
    tracker.AsyncResult("u").then(done)
    recorder.succeeded("u")
    done.wait()

    assert [str(error) for error in errors.items] == ["first"]
    assert not calls.items


def test_a_callback_may_wait_for_another_task(tracker, recorder, later):
    values = Collected()
    tracker.AsyncResult("a").then(lambda _: values(tracker.AsyncResult("b").get(timeout=SOON)))
    recorder.succeeded("a")
    later(lambda: recorder.succeeded("b", result="b's"))

    assert values.wait() == ["b's"]


def test_an_open_promise_breaks_when_the_tracker_closes(tracker):
    good, bad = Collected(), Collected()
    tracker.AsyncResult("t").then(good, on_error=bad)

    tracker.close()

    assert isinstance(bad.wait()[0], Closed)
    assert not good.items
    with pytest.raises(Closed):
        tracker.AsyncResult("u").then(good)
