"""The whole life of tasks with a real worker: prefork, a broker made of files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.celeryfarm import DEADLINE, Farm
from tests.support.views import until

pytest.importorskip("celery")

from celery import chain
from celery.contrib.abortable import AbortableAsyncResult
from celery.exceptions import TaskRevokedError

MODULE = "tests.support.celerylife"


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path, MODULE, f"eventresults+sqlite:///{tmp_path}/events.db")


@pytest.fixture
def tasks(farm: Farm) -> Iterator[Any]:
    with farm.client() as tasks:
        yield tasks


def told(tasks: Any, task_id: str) -> list[str]:
    """The kinds of a task's facts; in brackets, those that were learned from a signal. Two processes tell of its beginning."""
    history = tasks.app.backend.tracker.history(task_id)
    return [f"({fact.kind[5:]})" if fact.observed else fact.kind[5:] for fact in history]


def _are_told(tasks: Any, task_id: str, count: int) -> bool:
    return len(told(tasks, task_id)) >= count


def _ends(task: Any) -> list[str]:
    """What the main process of a worker stores of a rejected task."""
    return ["failed"] if task.name.endswith("reject") else []


def lives_are_told(tasks: Any, folder: Path) -> None:
    # given
    (folder / "die").touch()

    # when
    sent = {task: task.delay() for task in (tasks.again, tasks.halfway, tasks.reject, tasks.replace, tasks.dies_once)}
    last = chain(tasks.add.s(1, 1), tasks.add.s(2), tasks.add.s(3)).delay()

    # then: they exist at once
    assert all(tasks.app.backend.task_result_exists(result.id) for result in sent.values())
    assert sent[tasks.again].get(timeout=DEADLINE) == "done"
    assert sent[tasks.replace].get(timeout=DEADLINE) == 7
    assert sent[tasks.dies_once].get(timeout=DEADLINE) == "lives"
    assert last.get(timeout=DEADLINE) == 7
    until(lambda: sent[tasks.reject].state == "FAILURE", timeout=DEADLINE)
    until(lambda: "(updated)" in told(tasks, sent[tasks.halfway].id), timeout=DEADLINE)
    assert (sent[tasks.halfway].state, sent[tasks.halfway].info) == ("HALFWAY", {"done": 1})

    # and their lives are whole: of each, what its client and the main process of the worker tell, and in order what its own process does
    for task, elsewhere, at_work in (
        (tasks.halfway, 2, ["(started)", "updated", "(updated)"]),
        (tasks.reject, 2, ["(started)", "(rejected)"]),
        (tasks.again, 3, ["(started)", "(sent)", "retried", "(started)", "succeeded"]),
        (tasks.replace, 3, ["(started)", "(sent)", "(updated)", "(started)", "succeeded"]),
        (tasks.dies_once, 3, ["(started)", "(started)", "succeeded"]),
    ):
        task_id = sent[task].id
        expected = sorted([*at_work, *["(sent)", "(received)", "(received)"][:elsewhere], *_ends(task)])
        until(partial(_are_told, tasks, task_id, len(expected)), timeout=DEADLINE)
        assert sorted(told(tasks, task_id)) == expected

    lost = tasks.app.backend.tracker.read(sent[tasks.dies_once].id)
    assert (lost.attempts, lost.lost, lost.running) == (2, 1, False)
    meta = tasks.app.backend.tracker.read(last.id)
    assert (meta.previous_id, meta.parent_id, meta.root_id) == (last.parent.id, last.parent.id, last.parent.parent.id)
    assert meta.runtime > 0
    assert meta.worker == "one@farm"
    assert tasks.app.backend.observer.dropped == {}


def test_lives_are_told_whole(farm: Farm, tasks: Any):
    with farm.worker():
        lives_are_told(tasks, farm.folder)


@pytest.mark.kafka
def test_lives_are_told_whole_by_way_of_kafka(tmp_path: Path, kafka: Any, make_topic: Any):
    farm = Farm(tmp_path, MODULE, f"eventresults+kafka://{kafka.bootstrap}/{make_topic(partitions=3)}")
    with farm.client() as tasks, farm.worker():
        lives_are_told(tasks, tmp_path)


def test_a_task_that_was_revoked_while_no_worker_was_there_is_not_run(farm: Farm, tasks: Any):
    # given
    by_id, by_stamp = tasks.add.delay(1, 2), tasks.add.apply_async((1, 2), stamped_headers=["tenant"], tenant="blue")
    run = tasks.add.delay(1, 2)
    by_id.revoke()
    tasks.app.control.revoke_by_stamped_headers({"tenant": ["blue"]})
    farm.lose_commands()

    # when
    with farm.worker():
        # then
        assert run.get(timeout=DEADLINE) == 3
        for revoked in (by_id, by_stamp):
            with pytest.raises(TaskRevokedError):
                revoked.get(timeout=DEADLINE)
    assert [told(tasks, one.id).count("revoked") for one in (by_id, by_stamp)] == [1, 1]
    assert not any("started" in fact for one in (by_id, by_stamp) for fact in told(tasks, one.id))


def test_a_waiting_task_is_revoked_once_by_two_workers_and_a_running_one_is_terminated(farm: Farm, tasks: Any):
    with farm.worker("one"), farm.worker("two"):
        # given
        waiting, running = tasks.add.apply_async((1, 2), countdown=2), tasks.until_told.delay()
        until(lambda: tasks.app.backend.tracker.read(running.id).running, timeout=DEADLINE)
        until(lambda: "(received)" in told(tasks, waiting.id), timeout=DEADLINE)

        # when
        waiting.revoke()
        running.revoke(terminate=True, signal="SIGKILL")

        # then
        for result, why in ((waiting, "revoked"), (running, "terminated")):
            with pytest.raises(TaskRevokedError, match=why):
                result.get(timeout=DEADLINE)
        after = tasks.add.apply_async((1, 2), countdown=2.5)
        assert after.get(timeout=DEADLINE) == 3
    assert [told(tasks, result.id).count("revoked") for result in (waiting, running)] == [1, 1]


def test_a_task_that_is_told_to_abort_does(farm: Farm, tasks: Any):
    with farm.worker():
        # given
        result = tasks.until_told.delay()
        until(lambda: tasks.app.backend.tracker.read(result.id).running, timeout=DEADLINE)

        # when
        AbortableAsyncResult(result.id, app=tasks.app).abort()

        # then
        assert result.get(timeout=DEADLINE) == "aborted"
    assert [fact for fact in told(tasks, result.id) if not fact.startswith("(")] == ["updated", "succeeded"]


def test_a_message_that_is_delivered_again_after_its_success_is_not_run_again(farm: Farm, tasks: Any):
    # given: a broker that forgets that it was acknowledged
    result = tasks.counted.delay()
    [message] = (farm.folder / "queue").iterdir()
    shutil.copy(message, farm.folder / "kept")
    with farm.worker("one"):
        assert result.get(timeout=DEADLINE) == 1

    # when
    text = (farm.folder / "kept").read_text()
    assert '"redelivered"' not in text
    message.write_text(text.replace('"delivery_info": {', '"delivery_info": {"redelivered": true, '))
    with farm.worker("two"):
        until(lambda: told(tasks, result.id).count("(received)") == 2, timeout=DEADLINE)
        tasks.add.delay(1, 2).get(timeout=DEADLINE)

    # then
    assert (farm.folder / "counted").read_text() == "x"
    assert told(tasks, result.id).count("(started)") == 1
    assert result.get() == 1


def test_celery_s_command_prints_a_result(farm: Farm, tasks: Any):
    # given
    tasks.app.backend.store_result("t1", 42, "SUCCESS")

    # when
    printed = farm.run("result", "t1")

    # then
    assert printed.strip() == "42"
