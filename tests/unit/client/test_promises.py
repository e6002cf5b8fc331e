from __future__ import annotations

import threading

import pytest
import vine

from eventresults.client.pending import Outcome, Promise, run_here


def test_callbacks_get_the_value_in_order():
    promise, calls = Promise(run_here), []
    promise.then(lambda value: calls.append(("first", value)))
    promise.then(lambda value: calls.append(("second", value)))

    promise(5)

    assert calls == [("first", 5), ("second", 5)]
    assert promise.ready
    assert promise.value == ((5,), {})


def test_a_promise_settles_once():
    promise, calls = Promise(run_here), []
    promise.then(calls.append, calls.append)

    assert promise.settle(Outcome((1,)))
    assert not promise.settle(Outcome((2,)))
    promise(3)
    promise.throw1(ValueError("late"))

    assert calls == [1]


def test_who_comes_late_is_called_too():
    promise, calls = Promise(run_here), []
    promise(5)

    promise.then(calls.append)

    assert calls == [5]


def test_a_failure_goes_to_on_error_and_down_the_chain():
    promise, here, below = Promise(run_here), [], []
    promise.then(print, here.append).then(print).then(print, below.append)
    error = ValueError("x")

    promise.throw1(error)

    assert here == [error]
    assert below == [error]
    assert promise.failed
    assert promise.reason is error
    assert not promise.ready


def test_a_failure_with_a_value_goes_to_the_callback_of_who_has_no_on_error():
    promise, good, bad = Promise(run_here), [], []
    promise.then(good.append)
    promise.then(good.append, bad.append)

    promise.settle(Outcome(("value",), ValueError("x")))

    assert good == ["value"]
    assert [str(error) for error in bad] == ["x"]


def test_throw_raises_unless_told_otherwise():
    promise = Promise(run_here)
    with pytest.raises(ValueError, match="x"):
        promise.throw(ValueError("x"))
    promise.throw(ValueError("y"), propagate=False)
    assert str(promise.reason) == "x"


def test_a_cancelled_promise_calls_nothing():
    promise, calls = Promise(run_here), []
    after = promise.then(calls.append)
    promise.cancel()
    promise(5)

    assert calls == []
    assert after.cancelled
    assert promise.then(calls.append).cancelled


def test_one_callback_can_be_cancelled():
    promise, calls = Promise(run_here), []
    promise.then(calls.append).cancel()
    promise.then(calls.append)

    promise(5)

    assert calls == [5]


def test_no_callback_passes_the_value_on():
    promise, calls = Promise(run_here), []
    promise.then(None).then(calls.append)

    promise(5)

    assert calls == [5]


def test_what_cannot_be_called_is_refused_at_once():
    with pytest.raises(TypeError, match="callable"):
        Promise(run_here).then(5)


def test_vines_promises_and_barriers_take_part(caplog):
    assert issubclass(Promise, vine.Thenable)
    one, other, calls = Promise(run_here), Promise(run_here), []
    barrier = vine.barrier([one, other])
    barrier.then(lambda: calls.append("both"))
    theirs = vine.promise(lambda value: value + 1)

    assert one.then(theirs) is theirs
    theirs.then(calls.append)
    one(5)
    assert calls == [6]
    other.settle(Outcome((7,), ValueError("also counts")))

    assert calls == [6, "both"]
    assert not caplog.records


def test_a_vine_promise_is_told_of_a_failure():
    promise, errors = Promise(run_here), []
    theirs = vine.promise(print, on_error=errors.append)
    promise.then(theirs)

    promise.throw1(ValueError("x"))

    assert [str(error) for error in errors] == ["x"]


def test_a_vine_barrier_that_is_broken_is_no_callback_that_raised(caplog):
    promise = Promise(run_here)
    barrier = vine.barrier([promise])
    barrier.then(print)

    promise.throw1(ValueError("nobody listens for it"))

    assert barrier.p.failed
    assert not caplog.records


def test_exactly_once_when_settled_and_watched_by_many_threads():
    for _ in range(50):
        promise, calls, lock = Promise(run_here), [], threading.Lock()

        def call(value, calls=calls, lock=lock):
            with lock:
                calls.append(value)

        def race(n, promise=promise, call=call):
            promise.then(call)
            promise(n)

        threads = [threading.Thread(target=race, args=(n,), name=f"test-{n}") for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

        assert len(calls) == 8
        assert len(set(calls)) == 1
