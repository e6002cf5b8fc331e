"""The Result API: what a caller may rely on, whatever log lies below."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel

from eventresults import (
    AsyncResult,
    Closed,
    ConfigError,
    EagerResult,
    GroupResult,
    IncompleteStream,
    InvalidTaskId,
    Position,
    RemoteTaskError,
    ResultSet,
    ResultTimeout,
    TaskRevokedError,
    TaskRevokeRequested,
    WouldBlock,
    allow_join_result,
    connect,
    denied_join_result,
    result_from_tuple,
)
from eventresults.errors import EventResultsError

SOON = 10.0


class Collected:
    """Takes calls from another thread, and waits for them with a deadline."""

    def __init__(self):
        self.items = []
        self._changed = threading.Condition()

    def __call__(self, item=None):
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def wait(self, count=1):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.items) >= count, SOON), f"only {self.items!r} came"
        return self.items


@pytest.fixture
def later():
    """Do something on another thread, shortly; whatever it raises fails the test."""
    threads, errors = [], []

    def do(act, delay=0.05):
        def run():
            time.sleep(delay)
            try:
                act()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run, name="test-later")
        thread.start()
        threads.append(thread)

    yield do
    for thread in threads:
        thread.join(SOON)
    assert not errors


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


# then


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


# forget, revoke


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


# trees


def child_tuples(*results):
    return [result.as_tuple() for result in results]


@pytest.fixture
def tree(tracker, recorder):
    """top -> (left -> group(leaf1, leaf2), right)."""
    left, right = tracker.AsyncResult("left"), tracker.AsyncResult("right")
    group = tracker.GroupResult("g", [tracker.AsyncResult("leaf1"), tracker.AsyncResult("leaf2")])
    recorder.succeeded("top", result="T", children=child_tuples(left, right))
    recorder.succeeded("left", result="L", children=child_tuples(group))
    recorder.succeeded("right", result="R")
    recorder.succeeded("leaf1", result=1)
    recorder.succeeded("leaf2", result=2)
    return tracker.AsyncResult("top")


def test_children_are_results(tracker, tree):
    assert tree.children == [tracker.AsyncResult("left"), tracker.AsyncResult("right")]
    (group,) = tree.children[0].children
    assert isinstance(group, GroupResult)
    assert group.id == "g"
    assert group.app is tracker


def test_collect_walks_the_tree(tree):
    assert [(str(result), value) for result, value in tree.collect(timeout=SOON)] == [
        ("top", "T"),
        ("left", "L"),
        ("right", "R"),
        ("g", [1, 2]),
        ("leaf1", 1),
        ("leaf2", 2),
    ]
    assert tree.get_leaf() == 2


def test_iterdeps_tells_the_parents(tree):
    assert [(str(parent) if parent else None, str(node)) for parent, node in tree.iterdeps()] == [
        (None, "top"),
        ("top", "left"),
        ("top", "right"),
        ("left", "g"),
        ("g", "leaf1"),
        ("g", "leaf2"),
    ]


def test_an_unfinished_tree_is_incomplete_unless_that_is_fine(tracker, recorder):
    recorder.succeeded("top", children=child_tuples(tracker.AsyncResult("slow")))
    recorder.sent("slow")
    top = tracker.AsyncResult("top")

    with pytest.raises(IncompleteStream) as caught:
        list(top.iterdeps())
    assert caught.value.task_id == "slow"
    assert [str(node) for _, node in top.iterdeps(intermediate=True)] == ["top", "slow"]


def test_a_task_that_is_its_own_descendant_is_walked_once(tracker, recorder):
    recorder.succeeded("a", result=1, children=child_tuples(tracker.AsyncResult("b")))
    recorder.succeeded("b", result=2, children=child_tuples(tracker.AsyncResult("a")))

    assert [str(node) for _, node in tracker.AsyncResult("a").iterdeps()] == ["a", "b"]
    assert [value for _, value in tracker.AsyncResult("a").collect(timeout=SOON)] == [1, 2]


def test_the_graph_of_a_tree(tree, tmp_path):
    graph = tree.graph

    assert [str(node) for node in graph] == ["top", "left", "right", "g", "leaf1", "leaf2"]
    assert {str(node): [str(one) for one in below] for node, below in graph.items()}["top"] == ["left", "right"]
    assert [str(node) for node in graph.edges()] == ["top", "left", "g"]
    order = [str(node) for node in graph.topsort()]
    assert order.index("leaf1") < order.index("g") < order.index("left") < order.index("top")
    with (tmp_path / "tree.dot").open("w+") as file:
        graph.to_dot(file)
        file.seek(0)
        drawn = file.read()
    assert drawn.startswith("digraph")
    assert '"top" -> "left"' in drawn
    assert tree.graph is graph


# parents from the log


def test_a_parent_is_restored_from_the_log(tracker, recorder):
    recorder.sent("a")
    recorder.sent("b", previous_id="a", parent_id="sender")
    recorder.sent("c", previous_id="b")
    last = tracker.AsyncResult("c")

    assert last.parent.id == "b"
    assert last.parent.parent.id == "a"
    assert last.parent.parent.parent is None
    assert last.parent.app is tracker


def test_the_walk_along_restored_parents_ends_in_a_circle(tracker, recorder):
    recorder.sent("a", previous_id="b")
    recorder.sent("b", previous_id="a")
    recorder.sent("own", previous_id="own")

    node, walked = tracker.AsyncResult("a"), []
    while node is not None:
        walked.append(node.id)
        assert len(walked) < 5
        node = node.parent

    assert walked == ["a", "b"]
    assert tracker.AsyncResult("own").parent is None


def test_a_saved_group_is_restored_as_parent(tracker, recorder):
    tracker.GroupResult("g", [tracker.AsyncResult("m")]).save()
    recorder.sent("c", previous_id="g")

    parent = tracker.AsyncResult("c").parent

    assert isinstance(parent, GroupResult)
    assert [member.id for member in parent] == ["m"]


def test_a_given_parent_comes_before_the_logs(tracker, recorder):
    recorder.sent("c", previous_id="a")

    assert tracker.AsyncResult("c", parent=tracker.AsyncResult("given")).parent == "given"


def test_tuples_hold_only_given_parents(tracker, recorder):
    recorder.sent("c", previous_id="a")

    assert tracker.AsyncResult("c").as_tuple() == (("c", None), None)
    assert tracker.AsyncResult("c", parent=tracker.AsyncResult("p")).as_tuple() == (("c", (("p", None), None)), None)
    assert tracker.AsyncResult("c", parent=tracker.AsyncResult("p")).as_list() == ["c", "p"]


# identity, pickling


def test_results_of_one_id_are_equal_and_equal_to_the_id(tracker):
    one, other = tracker.AsyncResult("t"), tracker.AsyncResult("t")

    assert one == other == "t"
    assert one != tracker.AsyncResult("u")
    assert one != 7
    assert hash(one) == hash("t")
    assert {one: 1}[other] == 1
    assert str(one) == "t"
    assert repr(one) == "<AsyncResult: t>"
    assert one.task_id == "t"


def test_an_integer_id_is_its_text(tracker, recorder):
    recorder.succeeded("7", result="seven")

    assert tracker.AsyncResult(7).get(timeout=SOON) == "seven"


def test_no_id_is_a_value_error(tracker):
    with pytest.raises(ValueError, match="valid id"):
        tracker.AsyncResult(None)


def test_a_pickled_result_attaches_to_the_current_tracker(tracker, recorder):
    recorder.succeeded("t", result=5)
    original = tracker.AsyncResult("t", parent=tracker.AsyncResult("p"))

    restored = pickle.loads(pickle.dumps(original))

    assert restored == original
    assert restored.parent == "p"
    assert restored.get(timeout=SOON, follow_parents=False) == 5
    assert restored.app is tracker


def test_a_pickled_result_without_a_tracker_says_what_to_do(tracker):
    pickled = pickle.dumps(tracker.AsyncResult("t"))
    tracker.close()

    restored = pickle.loads(pickled)
    with pytest.raises(ConfigError, match="connect"):
        restored.exists()


def test_making_a_result_needs_no_tracker():
    result = AsyncResult("t")

    assert result == "t"
    with pytest.raises(ConfigError, match="connect"):
        result.exists()


def test_a_copy_stays_with_its_tracker(tracker, recorder):
    recorder.succeeded("t", result=5)
    with connect("memory://"):
        original = tracker.AsyncResult("t", parent=tracker.AsyncResult("p"))
        for copied in (copy.copy(original), copy.deepcopy(original)):
            assert copied == original
            assert copied is not original
            assert copied.app is tracker
            assert copied.get(timeout=SOON, propagate=False) == 5


def test_a_result_without_an_app_takes_the_latest_tracker(tracker, recorder):
    recorder.succeeded("t", result=5)

    assert AsyncResult("t").get(timeout=SOON) == 5
    with connect("memory://") as other:
        assert AsyncResult("t").app is other
    assert AsyncResult("t").app is tracker


def test_a_celery_app_whose_backend_is_ours_is_an_app(tracker, recorder):
    class Backend:
        pass

    class Control:
        calls = []

        def revoke(self, *args, **kwargs):
            self.calls.append((args, kwargs))

        def revoke_by_stamped_headers(self, *args, **kwargs):
            self.calls.append((args, kwargs))

    class App:
        backend = Backend()
        control = Control()

    App.backend.tracker = tracker
    recorder.succeeded("t", result=5)
    result = AsyncResult("t", app=App)

    assert result.get(timeout=SOON) == 5
    result.revoke(terminate=True, signal="KILL", timeout=3)
    result.revoke_by_stamped_headers({"a": "b"})
    assert Control.calls == [
        (("t",), {"connection": None, "terminate": True, "signal": "KILL", "reply": False, "timeout": 3}),
        (({"a": "b"},), {"connection": None, "terminate": False, "signal": None, "reply": False, "timeout": None}),
    ]


def test_an_app_that_keeps_its_results_elsewhere_is_refused():
    class App:
        backend = object()

    with pytest.raises(ConfigError, match="result_backend"):
        AsyncResult("t", app=App()).exists()


# sets and groups


@pytest.fixture
def three(tracker):
    return tracker.ResultSet([tracker.AsyncResult(name) for name in "abc"])


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


def test_the_state_of_a_set(three, recorder):
    assert three.waiting()
    assert not three.ready()
    recorder.succeeded("a")
    recorder.succeeded("b")
    assert three.completed_count() == 2
    assert not three.successful()
    assert not three.failed()
    recorder.failed("c", error=ValueError("x"))

    assert three.ready()
    assert not three.waiting()
    assert not three.successful()
    assert three.failed()
    assert three.completed_count() == 2
    with pytest.raises(ValueError, match="x"):
        three.maybe_throw()
    three.maybe_reraise(propagate=False)


def test_membership_of_a_set(tracker):
    a, b = tracker.AsyncResult("a"), tracker.AsyncResult("b")
    results = ResultSet([a])
    results.add(a)
    results.add(b)
    assert results.results == [a, b]
    assert len(results) == 2
    assert list(results) == [a, b]
    assert results[1] is b
    assert results == ResultSet([a, b])
    assert repr(results) == "<ResultSet: [a, b]>"

    results.remove("a")
    results.discard("a")
    with pytest.raises(KeyError):
        results.remove(a)
    results.update([a, b, tracker.AsyncResult("c")])
    assert [r.id for r in results] == ["b", "a", "c"]
    results.clear()
    assert not results.results
    assert results.supports_native_join is None


def test_an_empty_set_is_ready_and_has_no_values(tracker):
    empty = tracker.ResultSet([])

    assert empty.ready()
    assert empty.successful()
    assert empty.join() == []
    assert empty.join_native() == []
    called = Collected()
    empty.then(called)
    assert called.wait() == [empty]


def test_the_promise_of_a_set_fires_when_all_are_ready(three, recorder):
    called = Collected()
    three.then(called)
    for name in "ab":
        recorder.succeeded(name)
    tell = Collected()
    three[0].then(tell)
    tell.wait()
    assert not called.items

    recorder.failed("c", error=ValueError("x"))

    assert called.wait()[0] is three
    again = Collected()
    three.then(again)
    assert again.wait() == [three]
    assert len(called.items) == 1


def test_the_promise_of_a_set_breaks_with_the_first_failure_in_order(three, recorder):
    good, bad = Collected(), Collected()
    three.then(good, on_error=bad)
    recorder.failed("c", error=ValueError("c"))
    recorder.failed("b", error=KeyError("b"))
    recorder.succeeded("a")

    assert isinstance(bad.wait()[0], KeyError)
    assert not good.items


def test_the_promise_of_a_set_waits_for_what_is_added_and_not_for_what_is_taken_out(tracker, three, recorder):
    called = Collected()
    three.then(called)
    three.add(tracker.AsyncResult("d"))
    three.remove("a")
    for name in "bc":
        recorder.succeeded(name)
    tell = Collected()
    tracker.AsyncResult("c").then(tell)
    tell.wait()
    assert not called.items

    recorder.succeeded("d")

    called.wait()
    three.add(tracker.AsyncResult("e"))
    late = Collected()
    three.then(late)
    recorder.succeeded("e")
    late.wait()
    assert len(called.items) == 1


def test_groups_in_groups(tracker, recorder, later):
    inner = tracker.GroupResult("inner", [tracker.AsyncResult("b"), tracker.AsyncResult("c")])
    outer = tracker.GroupResult("outer", [tracker.AsyncResult("a"), inner])
    called = Collected()
    outer.then(called)
    assert not outer.ready()
    later(lambda: [recorder.succeeded(name, result=name) for name in "cba"])

    assert outer.get(timeout=SOON) == ["a", ["b", "c"]]
    assert outer.join(timeout=SOON) == ["a", ["b", "c"]]
    assert dict(outer.iter_native(timeout=SOON))["inner"] == inner.results
    assert outer.ready()
    assert outer.successful()
    assert outer.completed_count() == 2
    assert called.wait() == [outer]


def test_local_results_mix_with_recorded_ones(tracker, recorder):
    recorder.succeeded("a", result=1)
    mixed = tracker.ResultSet([EagerResult("e", 0, "SUCCESS"), tracker.AsyncResult("a")])

    assert mixed.get(timeout=SOON) == [0, 1]
    assert mixed.join_native(timeout=SOON) == [0, 1]
    assert mixed.successful()
    called = Collected()
    mixed.then(called)
    called.wait()


def test_a_saved_group_is_found_again(tracker, recorder):
    recorder.succeeded("a", result=1)
    recorder.succeeded("b", result=2)
    inner = tracker.GroupResult("inner", [tracker.AsyncResult("b")])
    group = tracker.GroupResult(
        "g", [tracker.AsyncResult("a", parent=tracker.AsyncResult("p")), inner], parent=tracker.AsyncResult("before")
    )

    assert group.save() is group
    restored = GroupResult.restore("g", app=tracker)

    assert restored == group
    assert restored.as_tuple() == group.as_tuple()
    assert restored.app is tracker
    assert restored.join(timeout=SOON, propagate=False) == [1, [2]]
    assert GroupResult.restore("g") == group
    assert GroupResult.restore("g", backend=tracker.backend) == group
    assert GroupResult.restore("nobody") is None

    restored.delete()
    assert GroupResult.restore("g") is None
    assert tracker.AsyncResult("a").exists()


def test_group_identity(tracker):
    members = [tracker.AsyncResult("a"), tracker.AsyncResult("b")]
    group = tracker.GroupResult("g", members)

    assert group == tracker.GroupResult("g", list(members)) == "g"
    assert group != tracker.GroupResult("g", members[:1])
    assert group != tracker.GroupResult("g", members, parent=members[0])
    assert hash(group) == hash("g")
    assert str(group) == "g"
    assert repr(group) == "<GroupResult: g [a, b]>"
    assert group.children is group.results
    assert group.as_tuple() == (("g", None), [(("a", None), None), (("b", None), None)])
    assert group
    assert not GroupResult()
    assert tracker.GroupResult(id="g")


def test_a_pickled_group_comes_back_whole(tracker, recorder):
    recorder.succeeded("a", result=1)
    group = tracker.GroupResult("g", [tracker.AsyncResult("a")], parent=tracker.AsyncResult("p"))

    restored = pickle.loads(pickle.dumps(group))

    assert restored == group
    assert restored.get(timeout=SOON, propagate=False) == [1]
    assert pickle.loads(pickle.dumps(ResultSet(group.results))) == ResultSet(group.results)


def test_a_set_forgets_and_revokes_all(three, tracker, recorder):
    for name in "abc":
        recorder.sent(name)

    three.revoke(terminate=True)
    assert [tracker.history(name)[-1].kind for name in "abc"] == ["task-revoke-requested"] * 3

    three.forget()
    assert not any(result.exists() for result in three)


@pytest.mark.parametrize(
    "form",
    [
        (("t", None), None),
        ["t", None],
        (("t", (("p", None), None)), None),
        (("g", None), [(("a", None), None), (("b", (("p", None), None)), None)]),
        (("g", (("p", None), None)), [(("inner", None), [(("a", None), None)])]),
    ],
)
def test_results_come_back_from_their_tuples(tracker, form):
    result = result_from_tuple(form, app=tracker)

    assert result.app is tracker
    if form[0] != "t":
        assert result.as_tuple() == form
    assert result_from_tuple(result) is result


def test_what_is_no_tuple_of_a_result_is_refused():
    with pytest.raises(ValueError, match="as_tuple"):
        result_from_tuple("t")


# local results


def test_an_eager_result_is_there():
    result = EagerResult("e", 42, "SUCCESS", name="add")

    assert result.get() == 42
    assert result.result == 42
    assert (result.state, result.status, result.name, result.traceback) == ("SUCCESS", "SUCCESS", "add", None)
    assert result.ready()
    assert result.exists()
    assert result.successful()
    assert not result.supports_native_join
    assert result.children is None
    assert result.parent is None
    assert result.date_done is None
    assert repr(result) == "<EagerResult: e>"
    assert list(result.collect()) == [(result, 42)]
    assert result.history() == []
    result.forget()


def test_an_eager_failure_raises():
    result = EagerResult("e", ValueError("x"), "FAILURE", traceback="tb")

    with pytest.raises(ValueError, match="x"):
        result.get()
    assert isinstance(result.get(propagate=False), ValueError)
    assert result.failed()
    with pytest.raises(Exception, match="just text"):
        EagerResult("e", "just text", "FAILURE").get()
    assert EagerResult("e", ValueError("x"), "RETRY").get() is None


def test_an_eager_result_calls_back_at_once():
    good, bad, chained = [], [], []
    EagerResult("e", 1, "SUCCESS").then(lambda r: good.append(r.result) or 7).then(chained.append)
    EagerResult("e", ValueError("x"), "FAILURE").then(good.append, on_error=bad.append)

    assert good == [1]
    assert chained == [7]
    assert [str(error) for error in bad] == ["x"]


def test_an_eager_result_can_be_revoked_copied_and_pickled():
    result = EagerResult("e", 42, "SUCCESS", traceback="tb", name="n")
    assert pickle.loads(pickle.dumps(result)).get() == 42
    assert copy.copy(result).result == 42

    result.revoke()

    with pytest.raises(TaskRevokedError):
        result.get()
    assert result.state == "REVOKED"
    assert result.traceback is None


def test_an_eager_get_inside_a_task_is_refused():
    with denied_join_result(), pytest.raises(WouldBlock):
        EagerResult("e", 1, "SUCCESS").get()


# the backend, under Celery's names


def test_the_backend_answers_under_celerys_names(tracker, recorder):
    backend = tracker.backend
    assert backend.get_task_meta("t") | {"status": "PENDING", "result": None, "task_id": "t"} == backend.get_task_meta("t")
    recorder.sent("t", name="add", args=[1])
    recorder.succeeded("t", result=5, children=child_tuples(tracker.AsyncResult("u")))

    meta = backend.get_task_meta("t")
    assert {
        "status",
        "result",
        "traceback",
        "children",
        "date_done",
        "task_id",
        "name",
        "args",
        "kwargs",
        "worker",
        "retries",
        "queue",
    } <= meta.keys()
    assert (meta["status"], meta["result"], meta["name"], meta["args"], meta["worker"]) == ("SUCCESS", 5, "add", [1], "w1")
    assert backend.get_state("t") == "SUCCESS"
    assert backend.get_result("t") == 5
    assert backend.task_result_exists("t")
    assert dict(backend.get_many(["t", "nobody"], max_iterations=1)).keys() == {"t"}
    with pytest.raises(ResultTimeout):
        list(backend.get_many(["t", "nobody"], timeout=0.05))
    assert result_from_tuple(backend.get_children("t")[0], app=tracker) == "u"
    assert "SUCCESS" in backend.READY_STATES
    backend.forget("t")
    assert not backend.task_result_exists("t")
