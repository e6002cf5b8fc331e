from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from eventresults.client.result import AsyncResult
from eventresults.errors import Closed, ConfigError, TaskRevokedError, ValueNotEncodable, ValueTooLarge, WorkerLostError, WouldBlock
from eventresults.tracker import connect
from eventresults.worker.context import current_task
from eventresults.worker.executor import TrackedExecutor
from eventresults.worker.run import run
from tests.support import tasks


def kinds(result) -> list[str]:
    return [event.kind for event in result.history()]


def eventually(condition, timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.002)


class Gate:
    """A task that runs until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self) -> str:
        self.entered.set()
        assert self.open.wait(20)
        return "through"


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open.set()


# -- one task


def test_a_task_is_sent_started_and_succeeds(pool):
    result = pool.submit(pow, 2, 10)
    assert isinstance(result, AsyncResult)
    assert result.get(timeout=10) == 1024
    assert kinds(result) == ["task-sent", "task-started", "task-succeeded"]
    sent, started, succeeded = result.history()
    assert (sent.name, sent.args, sent.root_id, sent.parent_id) == ("builtins.pow", [2, 10], result.id, None)
    assert started.attempt == 1
    assert started.worker == succeeded.worker == succeeded.source
    assert succeeded.worker.startswith("unit@")
    assert succeeded.worker.endswith(f"/{started.pid}")
    assert succeeded.runtime >= 0
    assert succeeded.children == []


def test_a_failure_is_recorded_with_its_traceback_and_raised_by_get(pool):
    result = pool.submit(tasks.fail, "no luck")
    with pytest.raises(ValueError, match="no luck"):
        result.get(timeout=10)
    assert kinds(result) == ["task-sent", "task-started", "task-failed"]
    assert "in fail" in result.traceback


def test_a_value_that_cannot_be_recorded_fails_the_task_and_get_raises_why(pool):
    result = pool.submit(tasks.an_object)
    with pytest.raises(ValueNotEncodable):
        result.get(timeout=10)
    assert kinds(result) == ["task-sent", "task-started", "task-failed"]


def test_a_value_that_is_too_large_fails_the_task_with_that():
    with connect("memory://", max_value_bytes=10_000) as tracker, TrackedExecutor(tracker, max_workers=1) as pool:
        result = pool.submit(tasks.blob, 20_000)
        with pytest.raises(ValueTooLarge):
            result.get(timeout=10)
        assert pool.submit(tasks.blob, 1_000).get(timeout=10) == "x" * 1_000


def test_an_error_that_is_too_large_to_record_still_fails_the_task():
    with connect("memory://", max_value_bytes=10_000) as tracker, TrackedExecutor(tracker, max_workers=1) as pool:
        result = pool.submit(tasks.fail, "x" * 20_000)
        with pytest.raises(Exception, match="ValueError") as caught:
            result.get(timeout=10)
        assert len(str(caught.value)) < 5_000
        assert result.state == "FAILURE"


def test_any_object_may_be_an_argument_and_is_recorded_as_its_repr(pool):
    seen = []
    thing = object()
    result = pool.submit(seen.append, thing)
    assert result.get(timeout=10) is None
    assert seen == [thing]
    assert result.history()[0].args == [{"repr": repr(thing), "flag": "not-encodable"}]


def test_an_exit_of_a_task_is_a_failure_and_the_worker_goes_on(pool):
    result = pool.submit(tasks.exit_softly)
    assert isinstance(result.get(timeout=10, propagate=False), Exception)
    assert result.state == "FAILURE"
    assert pool.submit(tasks.add, 1, 1).get(timeout=10) == 2


def test_a_thousand_quick_tasks_all_succeed(tracker):
    with TrackedExecutor(tracker, max_workers=4) as pool:
        results = [pool.submit(tasks.double, number) for number in range(1000)]
    assert [result.get(timeout=10) for result in results] == [number * 2 for number in range(1000)]


def test_workers_work_side_by_side(pool):
    barrier = threading.Barrier(2, timeout=10)
    first, second = pool.submit(barrier.wait), pool.submit(barrier.wait)
    assert {first.get(timeout=10), second.get(timeout=10)} == {0, 1}


# -- options


def test_options_name_the_task_its_queue_and_its_id(tracker):
    with TrackedExecutor(tracker, max_workers=1, queue="usual") as pool:
        named = pool.options(task_id="mine", name="the.task", queue="special").submit(tasks.add, 1, 2)
        usual = pool.submit(tasks.add, 1, 2)
        assert named.id == "mine"
        assert named.get(timeout=10) == 3
        sent = named.history()[0]
        assert (sent.name, sent.queue) == ("the.task", "special")
        assert usual.history()[0].queue == "usual"


def test_an_id_may_not_be_used_while_its_task_is_unfinished(tracker, pool, gate):
    pool.options(task_id="same").submit(gate)
    with pytest.raises(ConfigError, match="unfinished"):
        pool.options(task_id="same").submit(tasks.add, 1, 2)
    assert kinds(AsyncResult("same", app=tracker))[:1] == ["task-sent"]
    with pytest.raises(ConfigError, match="one task"):
        pool.options(task_id="same").map(tasks.double, [1])


def test_a_countdown_holds_a_task_back_and_later_ones_pass_it(pool):
    began = time.monotonic()
    late = pool.options(countdown=0.3).submit(time.monotonic)
    early = pool.submit(time.monotonic)
    assert early.get(timeout=10) - began < late.get(timeout=10) - began
    assert late.get() - began >= 0.29
    assert late.history()[0].eta is not None


def test_an_eta_that_passed_is_now(pool):
    assert pool.options(eta=datetime.now(UTC) - timedelta(hours=1)).submit(tasks.add, 1, 2).get(timeout=10) == 3


def test_a_task_that_expired_before_its_start_is_revoked(pool):
    result = pool.options(expires=datetime.now(UTC) - timedelta(seconds=1)).submit(tasks.add, 1, 2)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=10)
    assert kinds(result) == ["task-sent", "task-revoked"]
    assert result.history()[-1].reason == "expired"


def test_a_retry_is_not_bound_by_expires(pool):
    assert pool.options(expires=0.2).submit(tasks.retry_until, 2, countdown=0.25).get(timeout=10) == 2


@pytest.mark.parametrize("setting", ["max_workers", "max_queued", "max_tasks_per_child"])
def test_a_setting_below_one_is_refused(tracker, setting):
    with pytest.raises(ConfigError, match=setting):
        TrackedExecutor(tracker, **{setting: 0})


# -- the running task


def test_a_task_knows_itself(pool):
    result = pool.submit(tasks.who)
    told = result.get(timeout=10)
    assert (told["id"], told["name"], told["root_id"], told["parent_id"]) == (result.id, "tests.support.tasks.who", result.id, None)
    assert (told["attempt"], told["retries"]) == (1, 0)
    assert current_task() is None


def test_progress_is_seen_while_the_task_runs(pool, tmp_path):
    result = pool.submit(tasks.progress_until, str(tmp_path / "go"))
    eventually(lambda: result.state == "PROGRESS")
    assert result.info == {"done": 1, "of": 2}
    tasks.touch(str(tmp_path / "go"))
    assert result.get(timeout=10) == "released"
    assert kinds(result) == ["task-sent", "task-started", "task-updated", "task-succeeded"]


def test_an_update_that_cannot_be_recorded_raises_in_the_task(pool):
    assert pool.submit(tasks.update_with_object).get(timeout=10) == "ValueNotEncodable"


def test_a_retry_is_recorded_and_the_next_attempt_follows(pool):
    result = pool.submit(tasks.retry_until, 3, countdown=0.01)
    assert result.get(timeout=10) == 3
    assert kinds(result) == [
        "task-sent", "task-started", "task-retried", "task-started", "task-retried", "task-started", "task-succeeded"
    ]  # fmt: skip
    started = [event for event in result.history() if event.kind == "task-started"]
    assert [event.attempt for event in started] == [1, 2, 3]
    retried = next(event for event in result.history() if event.kind == "task-retried")
    assert retried.error["type"] == "ConnectionError"
    assert "attempt 1" in retried.traceback
    assert retried.when is not None
    assert result.attempts == 3


def test_after_the_last_retry_the_error_fails_the_task(pool):
    result = pool.options(max_retries=1).submit(tasks.retry_until, 9)
    with pytest.raises(ConnectionError, match="attempt 2"):
        result.get(timeout=10)
    assert result.attempts == 2


def test_get_inside_a_task_raises_and_may_be_allowed(pool):
    with pytest.raises(WouldBlock):
        pool.submit(tasks.get_inside, 1).get(timeout=10)
    assert pool.submit(tasks.get_inside_allowed, 4).get(timeout=10) == 8


def test_what_a_task_sends_is_its_child(pool):
    result = pool.submit(tasks.send_pair, 5)
    assert result.get(timeout=10) == 5
    children = result.children
    assert [child.get(timeout=10) for child in children] == [10, 12]
    sent = children[0].history()[0]
    assert (sent.parent_id, sent.root_id) == (result.id, result.id)
    assert [value for _, value in result.collect()] == [5, 10, 12]


def test_what_a_task_sends_to_the_executor_it_knows_is_its_child_too(pool):
    result = pool.submit(lambda: pool.submit(tasks.add, 1, 2).id)
    child_id = result.get(timeout=10)
    assert [child.id for child in result.children] == [child_id]


def test_a_group_that_a_task_sends_is_one_child(pool):
    result = pool.submit(tasks.send_group, 3)
    assert result.get(timeout=10) == 3
    [group] = result.children
    assert [one.get(timeout=10) for one in group.results] == [0, 2, 4]


def test_a_result_that_a_task_returns_is_recorded_as_its_tuple_form(tracker, pool):
    result = pool.submit(tasks.send_and_return, 2)
    (child_id, parent), nodes = result.get(timeout=10)
    assert (parent, nodes) == (None, None)
    assert AsyncResult(child_id, app=tracker).get(timeout=10) == 4


def test_without_a_trail_there_are_no_children(tracker):
    with TrackedExecutor(tracker, max_workers=1, trail=False) as pool:
        result = pool.submit(tasks.send_pair, 5)
        assert result.get(timeout=10) == 5
        assert not result.children


# -- many tasks


def test_a_map_keeps_the_order_of_its_items(pool):
    group = pool.map(tasks.add, range(20), range(20))
    assert group.get(timeout=10) == [number * 2 for number in range(20)]
    sent = [result.history()[0] for result in group.results]
    assert {event.group_id for event in sent} == {group.id}
    assert [event.group_index for event in sent] == list(range(20))


def test_a_group_is_made_of_different_calls(pool):
    assert pool.group([(tasks.add, (1, 2)), (tasks.double, ("a",))]).get(timeout=10) == [3, "aa"]


def test_a_chain_hands_each_result_on(pool):
    last = pool.chain([tasks.add, tasks.double, str], 1, 2)
    assert last.get(timeout=10) == "6"
    middle, first = last.parent, last.parent.parent
    assert first.parent is None
    assert (first.get(timeout=10), middle.get(timeout=10)) == (3, 6)
    sent = last.history()[0]
    assert (sent.previous_id, sent.root_id, sent.parent_id) == (middle.id, first.id, None)
    assert [child.id for child in first.children] == [middle.id]
    assert [value for _, value in first.collect()] == [3, 6, "6"]


def test_a_chain_that_breaks_raises_its_first_error_and_the_rest_never_runs(pool):
    last = pool.chain([tasks.double, tasks.fail, tasks.identity], "x")
    with pytest.raises(ValueError, match="xx"):
        last.get(timeout=10)
    eventually(lambda: last.state == "REVOKED")
    assert kinds(last) == ["task-sent", "task-revoked"]
    assert last.parent.id in last.history()[-1].reason


def test_a_chain_breaks_where_a_value_cannot_be_recorded(pool):
    last = pool.chain([tasks.an_object, tasks.identity])
    with pytest.raises(ValueNotEncodable):
        last.get(timeout=10)


def test_an_empty_chain_is_refused(pool):
    with pytest.raises(ConfigError, match="at least one"):
        pool.chain([])


# -- revoking


def test_a_task_revoked_before_its_start_never_runs(tracker, gate):
    ran = []
    with TrackedExecutor(tracker, max_workers=1) as pool:
        pool.submit(gate)
        waiting = pool.submit(ran.append, 1)
        waiting.revoke()
        with pytest.raises(TaskRevokedError):
            waiting.get(timeout=10)  # at once, not only when its turn comes
        gate.open.set()
    assert kinds(waiting) == ["task-sent", "task-revoke-requested", "task-revoked"]
    assert ran == []


def test_a_request_made_just_now_is_seen_when_the_task_is_taken_up(tracker):
    ran = []
    with TrackedExecutor(tracker, max_workers=1) as pool:
        for number in range(30):
            AsyncResult(f"early-{number}", app=tracker).revoke()
            pool.options(task_id=f"early-{number}").submit(ran.append, number)
    assert ran == []


def test_a_revoked_task_takes_the_rest_of_its_chain_along(tracker, gate):
    with TrackedExecutor(tracker, max_workers=1) as pool:
        pool.submit(gate)
        last = pool.chain([tasks.double, tasks.double, tasks.double], 1)
        last.parent.revoke()
        eventually(lambda: last.state == "REVOKED")
        gate.open.set()
    assert last.parent.parent.get(timeout=10) == 2
    assert last.parent.state == "REVOKED"


def test_a_running_task_runs_on(pool, gate, caplog):
    result = pool.submit(gate)
    assert gate.entered.wait(10)
    with caplog.at_level(logging.WARNING, "eventresults"):
        result.revoke()
        result.revoke(terminate=True)
        eventually(lambda: "cannot be terminated" in caplog.text)
    gate.open.set()
    assert result.get(timeout=10) == "through"


def test_a_task_waiting_for_its_next_attempt_can_be_revoked(pool):
    result = pool.submit(tasks.retry_until, 2, countdown=60)
    eventually(lambda: result.state == "RETRY")
    result.revoke()
    with pytest.raises(TaskRevokedError):
        result.get(timeout=10)


# -- the end


def test_the_end_waits_for_all_that_was_sent_and_for_what_that_sends(tracker):
    with TrackedExecutor(tracker, max_workers=1) as pool:
        parent = pool.submit(tasks.send_pair, 1)
        late = pool.options(countdown=0.1).submit(tasks.add, 1, 1)
        again = pool.submit(tasks.retry_until, 2, countdown=0.05)
        last = pool.chain([tasks.double, tasks.double], 1)
    states = [result.state for result in (parent, late, again, last, *parent.children)]
    assert states == ["SUCCESS"] * 6


def test_what_had_not_begun_is_revoked_when_futures_are_cancelled(tracker, gate):
    pool = TrackedExecutor(tracker, max_workers=1)
    running = pool.submit(gate)
    assert gate.entered.wait(10)
    waiting, later = pool.submit(tasks.add, 1, 1), pool.options(countdown=3600).submit(tasks.add, 1, 1)
    threading.Timer(0.05, gate.open.set).start()
    pool.shutdown(cancel_futures=True)
    assert [result.state for result in (running, waiting, later)] == ["SUCCESS", "REVOKED", "REVOKED"]
    assert waiting.history()[-1].reason == "executor shut down"


def test_a_retry_asked_for_after_a_cancelling_shutdown_is_revoked(tracker, gate):
    def work():
        gate()
        current_task().retry()

    pool = TrackedExecutor(tracker, max_workers=1)
    result = pool.submit(work)
    assert gate.entered.wait(10)
    pool.shutdown(wait=False, cancel_futures=True)
    gate.open.set()
    pool.shutdown()
    assert result.state == "REVOKED"


def test_a_shutdown_with_a_timeout_ends_in_time_and_leaves_threads_alone(tracker, gate, caplog):
    pool = TrackedExecutor(tracker, max_workers=1)
    running, waiting = pool.submit(gate), pool.submit(tasks.add, 1, 1)
    assert gate.entered.wait(10)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        pool.shutdown(timeout=0.05)
    assert time.monotonic() - began < 2
    assert "leaves 1 tasks running" in caplog.text
    assert waiting.state == "REVOKED"
    gate.open.set()
    assert running.get(timeout=10) == "through"
    pool.shutdown()


def test_it_can_be_shut_down_twice_and_then_takes_nothing(tracker):
    pool = TrackedExecutor(tracker, max_workers=1)
    assert pool.submit(tasks.add, 1, 1).get(timeout=10) == 2
    pool.shutdown()
    pool.shutdown()
    with pytest.raises(Closed, match="shut down"):
        pool.submit(tasks.add, 1, 1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("eventresults-executor")]


def test_an_executor_that_ran_nothing_can_be_shut_down(tracker):
    TrackedExecutor(tracker).shutdown()


def test_a_shutdown_without_waiting_lets_the_work_go_on(tracker, gate):
    pool = TrackedExecutor(tracker, max_workers=1)
    first, second = pool.submit(gate), pool.submit(tasks.add, 1, 1)
    pool.shutdown(wait=False)
    with pytest.raises(Closed):
        pool.submit(tasks.add, 1, 1)
    gate.open.set()
    assert (first.get(timeout=10), second.get(timeout=10)) == ("through", 2)
    pool.shutdown()


def test_an_interrupt_leaves_the_block_without_waiting_for_what_has_not_begun(tracker):
    with pytest.raises(KeyboardInterrupt), TrackedExecutor(tracker, max_workers=1) as pool:
        late = pool.options(countdown=3600).submit(tasks.add, 1, 1)
        raise KeyboardInterrupt
    assert late.state == "REVOKED"


def test_a_task_cannot_wait_for_the_end_of_its_own_executor(pool):
    with pytest.raises(WouldBlock, match="wait=False"):
        pool.submit(pool.shutdown).get(timeout=10)


# -- bounds


def test_submit_waits_while_too_many_tasks_are_unfinished(tracker, gate):
    with TrackedExecutor(tracker, max_workers=1, max_queued=2) as pool:
        pool.submit(gate)
        pool.submit(tasks.add, 1, 1)
        sent = threading.Event()

        def one_more():
            pool.submit(tasks.add, 1, 1)
            sent.set()

        thread = threading.Thread(target=one_more)
        thread.start()
        assert not sent.wait(0.05)
        gate.open.set()
        assert sent.wait(10)
        thread.join(10)


def test_a_shutdown_releases_who_waits_to_submit(tracker, gate):
    pool = TrackedExecutor(tracker, max_workers=1, max_queued=1)
    pool.submit(gate)
    raised: list[Exception] = []

    def one_more():
        try:
            pool.submit(tasks.add, 1, 1)
        except Closed as error:
            raised.append(error)

    thread = threading.Thread(target=one_more)
    thread.start()
    pool.shutdown(wait=False)
    thread.join(10)
    assert len(raised) == 1
    gate.open.set()
    pool.shutdown()


def test_a_task_that_sends_too_many_is_told_so_and_does_not_wait_for_itself(tracker):
    with TrackedExecutor(tracker, max_workers=1, max_queued=2) as pool:
        with pytest.raises(WouldBlock, match="max_queued"):
            pool.submit(tasks.send_group, 100).get(timeout=10)
        assert pool.submit(tasks.send_group, 5).get(timeout=10) == 5


# -- initializers


def test_an_initializer_runs_once_in_each_worker_and_its_failure_fails_tasks(tracker):
    calls: list[str] = []

    def prepare(name):
        calls.append(name)
        if len(calls) == 1:
            raise RuntimeError("no database")

    with TrackedExecutor(tracker, max_workers=1, initializer=prepare, initargs=("x",)) as pool:
        with pytest.raises(WorkerLostError, match="no database"):
            pool.submit(tasks.add, 1, 1).get(timeout=10)
        assert pool.submit(tasks.add, 1, 1).get(timeout=10) == 2
        assert pool.submit(tasks.add, 1, 2).get(timeout=10) == 3
    assert calls == ["x", "x"]


# -- a block as a task


def test_a_block_is_recorded_as_a_task(tracker):
    with run(tracker, "nightly", args=(1,), kwargs={"deep": True}, task_id="block") as task:
        assert current_task() is task
        task.update("PROGRESS", 0.5)
        task.result = {"rows": 3}
    result = AsyncResult("block", app=tracker)
    assert result.get(timeout=10) == {"rows": 3}
    assert kinds(result) == ["task-sent", "task-started", "task-updated", "task-succeeded"]
    assert (result.name, result.args, result.kwargs) == ("nightly", [1], {"deep": True})
    assert current_task() is None


def test_a_block_that_raises_is_recorded_as_failed_and_raises(tracker):
    with pytest.raises(ZeroDivisionError), run(tracker, "nightly", task_id="block"):
        1 / 0  # noqa: B018
    result = AsyncResult("block", app=tracker)
    assert result.state == "FAILURE"
    assert "1 / 0" in result.traceback


def test_what_an_executor_is_sent_in_a_block_is_the_blocks_child(tracker, pool):
    with run(tracker, "outer", task_id="outer") as task:
        child = pool.submit(tasks.add, 1, 2)
        task.result = child.get(timeout=10)
        with run(tracker, "inner", task_id="inner"):
            pass
        with pytest.raises(ConfigError, match="executor"):
            task.submit(tasks.add, 1, 2)
    result = AsyncResult("outer", app=tracker)
    assert [one.id for one in result.children] == [child.id, "inner"]
    assert child.parent_id == "outer"
    assert AsyncResult("inner", app=tracker).root_id == "outer"


def test_a_block_whose_result_cannot_be_recorded_raises_and_is_failed(tracker):
    with pytest.raises(ValueNotEncodable), run(tracker, "odd", task_id="odd") as task:
        task.result = object()
    assert AsyncResult("odd", app=tracker).state == "FAILURE"
