"""Tasks in processes, for real: processes start, work, crash and are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventresults.client.result import AsyncResult
from eventresults.errors import (
    ConfigError,
    MaxRetriesExceededError,
    NotPicklable,
    TaskRevokedError,
    ValueNotEncodable,
    ValueTooLarge,
    WorkerLostError,
    WouldBlock,
)
from eventresults.tracker import Tracker, connect
from eventresults.worker.executor import TrackedExecutor
from tests.support import tasks

ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
IMPORTS = """\
from eventresults.tracker import connect
from eventresults.worker.executor import TrackedExecutor
from tests.support import tasks
"""


def kinds(result) -> list[str]:
    return [event.kind for event in result.history()]


def eventually(condition, timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


def pid_in(path: Path) -> int:
    eventually(path.exists)
    return int(path.read_text())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie of the forkserver is no longer alive.
    return not Path(f"/proc/{pid}/stat").exists() or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(scope="module")
def tracker() -> Iterator[Tracker]:
    with connect("memory://") as tracker:
        yield tracker


@pytest.fixture(scope="module")
def pool(tracker: Tracker) -> Iterator[TrackedExecutor]:
    with TrackedExecutor(tracker, max_workers=2, processes=True, name="e2e") as pool:
        yield pool


# -- tasks


def test_a_task_runs_in_another_process_that_the_log_names(pool):
    result = pool.submit(tasks.who)
    told = result.get(timeout=30)
    assert told["pid"] != os.getpid()
    sent, started, succeeded = result.history()
    assert (sent.kind, started.kind, succeeded.kind) == ("task-sent", "task-started", "task-succeeded")
    assert started.pid == told["pid"]
    assert (told["id"], told["name"], told["root_id"], told["attempt"]) == (result.id, "tests.support.tasks.who", result.id, 1)
    assert succeeded.worker.startswith("e2e@")
    assert succeeded.runtime > 0


def test_a_map_keeps_the_order_of_its_items(pool):
    assert pool.map(tasks.double, range(100)).get(timeout=30) == [number * 2 for number in range(100)]


def test_a_chain_hands_each_result_on(pool):
    last = pool.chain([tasks.add, tasks.double, tasks.double], 1, 2)
    assert last.get(timeout=30) == 12
    assert last.parent.parent.get() == 3
    broken = pool.chain([tasks.fail, tasks.double], "first")
    with pytest.raises(ValueError, match="first"):
        broken.get(timeout=30)


def test_a_failure_has_its_class_its_message_and_its_traceback(pool):
    result = pool.submit(tasks.fail, "no luck")
    with pytest.raises(ValueError, match="no luck"):
        result.get(timeout=30)
    assert "in fail" in result.traceback
    assert "child.py" not in result.traceback


def test_progress_is_seen_while_the_task_runs(pool, tmp_path):
    result = pool.submit(tasks.progress_until, str(tmp_path / "go"))
    eventually(lambda: result.state == "PROGRESS")
    assert result.info == {"done": 1, "of": 2}
    tasks.touch(str(tmp_path / "go"))
    assert result.get(timeout=30) == "released"


def test_threads_of_a_task_may_all_speak(pool):
    result = pool.submit(tasks.updates_from_threads, 20)
    # Threads of the task know no current task by themselves: the function hands it to them.
    assert result.get(timeout=30) == 20
    assert kinds(result).count("task-updated") == 20


def test_a_thread_that_outlives_its_task_does_not_speak_for_the_next(tracker, tmp_path):
    with TrackedExecutor(tracker, max_workers=1, processes=True) as pool:
        pool.submit(tasks.leave_a_thread, str(tmp_path / "said")).get(timeout=30)
        following = pool.submit(tasks.until, str(tmp_path / "said"))
        eventually(lambda: following.state == "STARTED")
        tasks.touch(str(tmp_path / "said.speak"))
        assert following.get(timeout=30) == "released"
    assert (tmp_path / "said").read_text() == "Closed"
    assert kinds(following) == ["task-sent", "task-started", "task-succeeded"]


def test_an_update_that_cannot_be_recorded_raises_in_the_task(pool):
    assert pool.submit(tasks.update_with_object).get(timeout=30) == "ValueNotEncodable"


def test_retries_are_recorded_with_their_attempts(pool):
    result = pool.submit(tasks.retry_until, 3, countdown=0.01)
    assert result.get(timeout=30) == 3
    assert [event.attempt for event in result.history() if event.kind == "task-started"] == [1, 2, 3]
    retried = next(event for event in result.history() if event.kind == "task-retried")
    assert retried.error["type"] == "ConnectionError"
    with pytest.raises(MaxRetriesExceededError):
        pool.options(max_retries=0).submit(tasks.retry_with_nothing).get(timeout=30)


def test_what_a_task_sends_is_its_child(pool):
    result = pool.submit(tasks.send_pair, 5)
    assert result.get(timeout=30) == 5
    assert [child.get(timeout=30) for child in result.children] == [10, 12]
    sent = result.children[0].history()[0]
    assert (sent.parent_id, sent.root_id) == (result.id, result.id)
    assert [value for _, value in result.collect()] == [5, 10, 12]


def test_groups_and_chains_can_be_sent_by_a_task(pool, tracker):
    group = pool.submit(tasks.send_group, 3)
    assert group.get(timeout=30) == 3
    assert [one.get(timeout=30) for one in group.children[0].results] == [0, 2, 4]
    chain = pool.submit(tasks.send_chain, 1)
    assert AsyncResult(chain.get(timeout=30), app=tracker).get(timeout=30) == 4


def test_a_result_that_a_task_returns_is_recorded_as_its_tuple_form(pool, tracker):
    (child_id, _parent), _nodes = pool.submit(tasks.send_and_return, 2).get(timeout=30)
    assert AsyncResult(child_id, app=tracker).get(timeout=30) == 4


def test_get_inside_a_task_raises(pool):
    with pytest.raises(WouldBlock):
        pool.submit(tasks.get_inside, 1).get(timeout=30)


def test_a_task_process_has_no_tracker_and_says_so(pool):
    with pytest.raises(ConfigError, match="connect"):
        pool.submit(tasks.get_inside_allowed, 1).get(timeout=30)


# -- values that do not travel


def test_a_function_that_cannot_travel_is_refused_when_it_is_sent(pool):
    with pytest.raises(NotPicklable, match="top level"):
        pool.submit(lambda: 1)


@pytest.mark.parametrize(
    ("task", "error"), [(tasks.a_lock, NotPicklable), (tasks.shapeless, NotPicklable), (tasks.an_object, ValueNotEncodable)]
)
def test_a_value_that_cannot_travel_or_be_recorded_fails_the_task(pool, task, error):
    result = pool.submit(task)
    with pytest.raises(error):
        result.get(timeout=30)
    assert kinds(result) == ["task-sent", "task-started", "task-failed"]


def test_an_exception_that_cannot_travel_is_recorded_with_its_name_and_text(pool):
    result = pool.submit(tasks.raise_awkward)
    error = result.get(timeout=30, propagate=False)
    assert "1 and 2" in str(error)
    assert result.history()[-1].error["type"] == "Awkward"
    assert "in raise_awkward" in result.traceback


def test_a_value_of_five_megabytes_arrives(pool):
    assert pool.submit(tasks.blob, 5_000_000).get(timeout=30) == "x" * 5_000_000


def test_a_value_over_the_bound_fails_the_task(pool):
    with pytest.raises(ValueTooLarge):
        pool.submit(tasks.blob, 9_000_000).get(timeout=30)


# -- processes that end


@pytest.mark.parametrize(("task", "how"), [(tasks.exit_hard, "exited with code 3"), (tasks.kill_itself, "killed by SIGKILL")])
def test_a_process_that_dies_fails_its_task_and_the_pool_goes_on(pool, task, how):
    result = pool.submit(task)
    with pytest.raises(WorkerLostError, match=how):
        result.get(timeout=30)
    assert kinds(result) == ["task-sent", "task-started", "task-failed"]
    assert pool.map(tasks.double, range(10)).get(timeout=30) == [number * 2 for number in range(10)]


def test_what_a_task_said_before_it_was_killed_is_recorded(pool):
    result = pool.submit(tasks.update_and_die, 10)
    with pytest.raises(WorkerLostError):
        result.get(timeout=30)
    assert kinds(result) == ["task-sent", "task-started", *["task-updated"] * 10, "task-failed"]


def test_a_process_killed_from_outside_fails_the_one_task_that_it_ran(pool, tmp_path):
    first, second = pool.submit(tasks.running_at, str(tmp_path / "a")), pool.submit(tasks.running_at, str(tmp_path / "b"))
    pid, _ = pid_in(tmp_path / "a"), pid_in(tmp_path / "b")
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerLostError) as caught:
        first.get(timeout=30)
    assert (caught.value.pid, caught.value.exitcode) == (pid, -9)
    assert second.state == "STARTED"
    tasks.touch(str(tmp_path / "b.go"))
    assert second.get(timeout=30) == "released"


def test_a_process_killed_while_it_was_idle_costs_no_task(tracker):
    with TrackedExecutor(tracker, max_workers=1, processes=True) as pool:
        pid = pool.submit(tasks.pid_of_task).get(timeout=30)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{pid}").exists())  # a zombie's pipes may still be open
        assert pool.submit(tasks.pid_of_task).get(timeout=30) != pid


def test_a_process_is_replaced_after_so_many_tasks(tracker):
    with TrackedExecutor(tracker, max_workers=1, processes=True, max_tasks_per_child=2) as pool:
        pids = pool.map(tasks.pid_of_task, range(5)).get(timeout=60)
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]


# -- revoking


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "USR1", None])
def test_terminating_one_of_two_running_tasks_ends_its_process_and_no_other(pool, tmp_path, name):
    first, second = pool.submit(tasks.running_at, str(tmp_path / "a")), pool.submit(tasks.running_at, str(tmp_path / "b"))
    pids = pid_in(tmp_path / "a"), pid_in(tmp_path / "b")
    first.revoke(terminate=True, signal=name)
    with pytest.raises(TaskRevokedError) as caught:
        first.get(timeout=30)
    assert caught.value.terminated is True
    assert caught.value.signal == {"USR1": "SIGUSR1", None: "SIGTERM"}.get(name, name)
    assert not alive(pids[0])
    assert alive(pids[1])
    tasks.touch(str(tmp_path / "b.go"))
    assert second.get(timeout=30) == "released"
    assert kinds(first) == ["task-sent", "task-started", "task-revoke-requested", "task-revoked"]


def test_a_running_task_runs_on_unless_it_is_to_be_terminated(pool, tmp_path):
    result = pool.submit(tasks.running_at, str(tmp_path / "a"))
    pid_in(tmp_path / "a")
    result.revoke()
    tasks.touch(str(tmp_path / "a.go"))
    assert result.get(timeout=30) == "released"


def test_a_task_that_outlives_its_signal_keeps_its_outcome(pool, tmp_path):
    result = pool.submit(tasks.outlive_sigterm, str(tmp_path / "a"))
    eventually((tmp_path / "a").exists)
    result.revoke(terminate=True)
    eventually(lambda: "task-revoke-requested" in kinds(result))
    tasks.touch(str(tmp_path / "a.go"))
    assert result.get(timeout=30) == "released"
    assert pool.map(tasks.double, range(10)).get(timeout=30) == [number * 2 for number in range(10)]


def test_what_a_task_does_to_its_signals_ends_with_it(tracker, tmp_path):
    with TrackedExecutor(tracker, max_workers=1, processes=True) as pool:
        pid = pool.submit(tasks.ignore_sigterm).get(timeout=30)
        result = pool.submit(tasks.running_at, str(tmp_path / "a"))
        assert pid_in(tmp_path / "a") == pid
        result.revoke(terminate=True)
        with pytest.raises(TaskRevokedError):
            result.get(timeout=10)


def test_a_storm_of_terminations_hits_no_other_task(pool):
    doomed = [pool.submit(time.sleep, 0.003) for _ in range(60)]
    kept = [pool.submit(tasks.double, number) for number in range(60)]
    for result in doomed:
        result.revoke(terminate=True, signal="SIGKILL")
    assert [result.get(timeout=60) for result in kept] == [number * 2 for number in range(60)]
    for result in doomed:
        result.get(timeout=60, propagate=False)
        assert result.state in {"SUCCESS", "REVOKED"}


# -- starting


def test_an_initializer_prepares_each_process(tracker):
    with TrackedExecutor(tracker, max_workers=1, processes=True, initializer=tasks.leave_mark, initargs=("ready",)) as pool:
        assert pool.submit(tasks.read_marks).get(timeout=30) == ["ready"]


def test_a_failing_initializer_fails_tasks_clearly(tracker):
    with TrackedExecutor(tracker, max_workers=1, processes=True, initializer=tasks.break_start) as pool:
        with pytest.raises(WorkerLostError, match="no database"):
            pool.submit(tasks.add, 1, 2).get(timeout=30)
        with pytest.raises(NotPicklable):
            TrackedExecutor(tracker, processes=True, initializer=lambda: None)


def test_spawn_works_and_fork_is_refused(tracker):
    with TrackedExecutor(tracker, max_workers=1, processes=True, mp_context="spawn") as pool:
        assert pool.submit(tasks.add, 1, 2).get(timeout=60) == 3
    with pytest.raises(ConfigError, match="forkserver"):
        TrackedExecutor(tracker, processes=True, mp_context="fork")


# -- the end


def test_the_end_of_the_executor_ends_its_processes(tracker):
    with TrackedExecutor(tracker, max_workers=2, processes=True) as pool:
        pids = set(pool.map(tasks.pid_of_task, range(20)).get(timeout=30))
    eventually(lambda: not any(alive(pid) for pid in pids), timeout=5)


def test_a_shutdown_with_a_timeout_terminates_what_runs(tracker, tmp_path):
    pool = TrackedExecutor(tracker, max_workers=1, processes=True)
    running, waiting = pool.submit(tasks.running_at, str(tmp_path / "a")), pool.submit(tasks.add, 1, 2)
    pid = pid_in(tmp_path / "a")
    began = time.monotonic()
    pool.shutdown(timeout=0.1)
    assert time.monotonic() - began < 5
    assert not alive(pid)
    assert (running.state, waiting.state) == ("REVOKED", "REVOKED")
    assert running.history()[-1].terminated is True


def program(tmp_path: Path, body: str) -> Path:
    path = tmp_path / "program.py"
    path.write_text(IMPORTS + textwrap.dedent(body))
    return path


def start(path: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(path), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENV,
        start_new_session=True,
    )


@pytest.mark.parametrize("processes", [False, True])
def test_an_interpreter_that_exits_without_shutdown_ends_soon(tmp_path, processes):
    path = program(
        tmp_path,
        f"""
        if __name__ == "__main__":
            pool = TrackedExecutor(connect("sqlite:///{tmp_path}/events.db"), max_workers=2, processes={processes})
            for name in ("a", "b"):
                pool.options(task_id=name).submit(tasks.running_at, "{tmp_path}/" + name)
            pool.options(task_id="c").submit(tasks.add, 1, 2)
            for name in ("a", "b"):
                tasks.until("{tmp_path}/" + name)
        """,
    )
    running = start(path)
    pids = pid_in(tmp_path / "a"), pid_in(tmp_path / "b")
    began = time.monotonic()
    _, errors = running.communicate(timeout=30)
    assert time.monotonic() - began < 5.5
    assert running.returncode == 0, errors
    assert "Traceback" not in errors
    with connect(f"sqlite:///{tmp_path}/events.db") as tracker:
        assert tracker.read("c").state == "REVOKED"
        if processes:
            assert not any(alive(pid) for pid in pids)
            assert tracker.read("a").state == "REVOKED"


def test_ctrl_c_ends_the_task_processes(tmp_path):
    path = program(
        tmp_path,
        f"""
        if __name__ == "__main__":
            with TrackedExecutor(connect("memory://"), max_workers=1, processes=True) as pool:
                pool.submit(tasks.running_at, "{tmp_path}/a").get()
        """,
    )
    running = start(path)
    pid = pid_in(tmp_path / "a")
    os.killpg(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert running.returncode == -signal.SIGINT
    assert not alive(pid)


def test_task_processes_end_when_their_parent_is_killed(tmp_path):
    path = program(
        tmp_path,
        f"""
        if __name__ == "__main__":
            with TrackedExecutor(connect("memory://"), max_workers=1, processes=True) as pool:
                pool.submit(tasks.running_at, "{tmp_path}/a").get()
        """,
    )
    running = start(path)
    pid = pid_in(tmp_path / "a")
    running.kill()
    running.communicate(timeout=30)
    eventually(lambda: not alive(pid), timeout=5)


def test_a_function_typed_into_a_session_is_refused_when_it_is_sent():
    body = """
        def typed(): pass
        with connect("memory://") as tracker, TrackedExecutor(tracker, max_workers=1, processes=True) as pool:
            try:
                pool.submit(typed)
            except TypeError as error:
                print(error)
        """
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS + textwrap.dedent(body)], capture_output=True, text=True, timeout=60, check=False, env=ENV
    )
    assert "into a file" in done.stdout, done.stderr


def test_functions_of_the_main_module_work_and_a_missing_guard_is_explained(tmp_path):
    guarded = program(
        tmp_path,
        """
        def triple(x):
            return x * 3
        if __name__ == "__main__":
            with connect("memory://") as tracker, TrackedExecutor(tracker, max_workers=1, processes=True) as pool:
                result = pool.submit(triple, 4)
                print(result.get(timeout=30), result.name)
        """,
    )
    running = start(guarded)
    output, errors = running.communicate(timeout=60)
    assert output.strip() == "12 __main__.triple", errors
    unguarded = program(
        tmp_path,
        """
        with connect("memory://") as tracker, TrackedExecutor(tracker, max_workers=1, processes=True) as pool:
            print(pool.submit(tasks.add, 1, 2).get(timeout=30, propagate=False))
        """,
    )
    running = start(unguarded)
    output, errors = running.communicate(timeout=60)
    assert "__main__" in output + errors
