"""Waiting for Celery's own results: told, once each, by however many threads, and nothing is left behind."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery import states
from celery.exceptions import TimeoutError as CeleryTimeout

from tests.support.celerybench import bench

DEADLINE = 20.0


@pytest.fixture
def desk():
    with bench() as desk:
        yield desk


@pytest.fixture
def store(desk):
    return lambda task_id, value=None, state=states.SUCCESS: desk.backend.store_result(task_id, value, state)


@pytest.fixture
def later(store):
    """Store a result once somebody waits."""
    threads = []

    def start(*stored, after=0.05):
        thread = threading.Timer(after, lambda: [store(*one) for one in stored])
        thread.start()
        threads.append(thread)

    yield start
    for thread in threads:
        thread.join()


def test_get_is_told_when_the_task_ends(desk, later):
    later(("t", 42))

    assert desk.app.AsyncResult("t").get(timeout=DEADLINE, interval=1_000) == 42


def test_time_up_is_celerys_timeout_and_is_kept_to(desk):
    began = time.monotonic()
    with pytest.raises(CeleryTimeout, match="was not ready after 0.1 s"):
        desk.app.AsyncResult("t").get(timeout=0.1)
    assert 0.1 <= time.monotonic() - began < 5


def test_no_time_at_all_looks_once(desk, store):
    with pytest.raises(CeleryTimeout):
        desk.app.AsyncResult("t").get(timeout=0)
    store("t", 1)
    assert desk.app.AsyncResult("t").get(timeout=0) == 1


def test_every_state_is_told_to_on_message(desk, store):
    told, left = [], [(3,), ({"done": 2}, "PROGRESS"), ({"done": 1}, "PROGRESS")]

    def called():  # what came before it waits would be told as it is by then
        if left:
            store("t", *left.pop())

    desk.app.AsyncResult("t").get(timeout=DEADLINE, on_message=told.append, interval=0.01, on_interval=called)

    assert [(one["status"], one["result"]) for one in told] == [("PROGRESS", {"done": 1}), ("PROGRESS", {"done": 2}), ("SUCCESS", 3)]


def test_that_a_task_was_sent_is_no_message(desk, later):
    desk.backend.home.recorder.sent("t", name="n", observed=True).result(DEADLINE)
    later(("t", 3))
    told = []

    desk.app.AsyncResult("t").get(timeout=DEADLINE, on_message=told.append)

    assert [one["status"] for one in told] == ["SUCCESS"]


def test_on_interval_is_called_while_nothing_happens(desk, store):
    calls = []

    def called():
        calls.append(1)
        if len(calls) == 3:
            store("t", 1)

    assert desk.app.AsyncResult("t").get(timeout=DEADLINE, interval=0.01, on_interval=called) == 1


def test_the_failure_of_a_parent_reaches_who_waits_for_its_child(desk, later):
    later(("parent", ValueError("no"), states.FAILURE))
    child = desk.app.AsyncResult("child", parent=desk.app.AsyncResult("parent"))

    with pytest.raises(ValueError, match="no"):
        child.get(timeout=DEADLINE, interval=1_000)


def test_a_group_is_joined_natively_in_its_order(desk, later):
    group = desk.app.GroupResult("g", [desk.app.AsyncResult(one) for one in "abc"])
    later(("c", 3), ("a", 1), ("b", 2))

    assert group.join_native(timeout=DEADLINE) == [1, 2, 3]
    assert group.join(timeout=DEADLINE) == [1, 2, 3]


def test_results_come_as_they_get_ready(desk, store):
    group = desk.app.GroupResult("g", [desk.app.AsyncResult(one) for one in "abc"])
    store("b", 2)
    came = group.iter_native(timeout=DEADLINE)
    order = [next(came)[0]]
    for task_id in "ca":
        store(task_id)
        order.append(next(came)[0])

    assert order == ["b", "c", "a"]
    assert list(came) == []


def test_a_group_within_a_group_comes_when_all_of_it_is_ready(desk, later):
    inner = desk.app.GroupResult("inner", [desk.app.AsyncResult("b"), desk.app.AsyncResult("c")])
    outer = desk.app.GroupResult("outer", [desk.app.AsyncResult("a"), inner])
    later(("b", 2), ("a", 1), ("c", 3))

    assert outer.join_native(timeout=DEADLINE) == [1, [2, 3]]


def test_one_task_twice_in_a_set_comes_twice(desk, store):
    store("a", 1)
    results = desk.app.ResultSet([desk.app.AsyncResult("a"), desk.app.AsyncResult("b")])
    results.results.append(desk.app.AsyncResult("a"))
    store("b", 2)

    assert sorted(task_id for task_id, _ in results.iter_native(timeout=DEADLINE)) == ["a", "a", "b"]


def test_nothing_is_joined_at_once(desk):
    assert desk.app.GroupResult("g", []).join_native(timeout=DEADLINE) == []


def test_many_threads_wait_at_once_and_each_gets_its_own(desk, store):
    ids = [f"t{number}" for number in range(24)]
    with ThreadPoolExecutor(len(ids)) as pool:
        waiting = [pool.submit(desk.app.AsyncResult(one).get, timeout=DEADLINE) for one in ids]
        for one in reversed(ids):
            store(one, one)

        assert [future.result(DEADLINE) for future in waiting] == ids


def test_then_calls_once_also_when_several_threads_ask_and_wait(desk, later):
    result = desk.app.AsyncResult("t")
    called = []
    later(("t", 1))
    with ThreadPoolExecutor(8) as pool:
        for number in range(8):
            pool.submit(result.then, lambda _, number=number: called.append(number))
            pool.submit(result.get, timeout=DEADLINE)
    wait_for(lambda: len(called) >= 8)

    assert sorted(called) == list(range(8))


def test_then_tells_a_failure_to_on_error(desk, store):
    told, failed = [], []
    result = desk.app.AsyncResult("t")
    result.then(told.append, failed.append)
    store("t", ValueError("no"), states.FAILURE)
    wait_for(lambda: failed)

    assert [type(one) for one in failed] == [ValueError]
    assert told == []


def test_without_on_error_a_failure_is_told_to_the_callback(desk, store):
    told = []
    desk.app.AsyncResult("t").then(told.append)
    store("t", ValueError("no"), states.FAILURE)
    wait_for(lambda: told)

    assert told == ["t"]


def test_then_on_what_is_ready_calls_too(desk, store):
    store("t", 1)
    told = []
    desk.app.AsyncResult("t").then(told.append)
    wait_for(lambda: told)

    assert told == ["t"]


def test_an_exception_in_one_callback_stops_no_other(desk, store, caplog):
    told = []
    result = desk.app.AsyncResult("t")
    result.then(lambda _: 1 / 0)
    result.then(told.append)
    store("t", 1)
    wait_for(lambda: told)

    assert "ZeroDivisionError" in caplog.text


def test_a_set_tells_when_all_are_ready(desk, store):
    told = []
    group = desk.app.GroupResult("g", [desk.app.AsyncResult(one) for one in "abc"])
    group.then(lambda one: told.append(one.id))
    for one in "abc":
        assert told == []
        store(one)
    wait_for(lambda: told)

    assert told == ["g"]


def test_a_result_that_is_dropped_leaves_nothing_behind(desk):
    result = desk.app.AsyncResult("t")
    result.then(print, weak=True)
    dropped = weakref.ref(result)
    assert len(desk.backend._mirrors) == 1

    del result
    gc.collect()

    assert dropped() is None
    assert desk.backend._mirrors == {}


def test_what_was_told_leaves_nothing_behind(desk, store):
    told = []
    for number in range(50):
        desk.app.AsyncResult(f"t{number}").then(told.append)
    for number in range(50):
        store(f"t{number}")
    wait_for(lambda: len(told) == 50)

    assert desk.backend._mirrors == {}
    wait_for(lambda: len(desk.backend.home.registry) == 0)


def test_get_many_gives_each_as_it_gets_ready(desk, store):
    store("a", 1)
    assert dict(desk.backend.get_many(["a", "b"], max_iterations=1)).keys() == {"a"}
    store("b", 2)
    assert {task_id: meta["result"] for task_id, meta in desk.backend.get_many(["a", "b"], timeout=DEADLINE)} == {"a": 1, "b": 2}
    with pytest.raises(CeleryTimeout):
        list(desk.backend.get_many(["never"], timeout=0.01))


def wait_for(true):
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_asking_to_be_told_neither_waits_for_a_view_nor_fails_without_one(tmp_path):
    # given a view that nobody owns, and that this process may not
    with bench(result_backend_transport_options={"view": str(tmp_path / "view"), "own": "never", "read_timeout": 0.05}) as desk:
        began = time.monotonic()
        told = []

        # when
        group = desk.app.GroupResult("g", [desk.app.AsyncResult(f"t{number}") for number in range(100)])
        group.then(told.append)

        # then
        assert time.monotonic() - began < 1
        assert told == []
        del group
