from __future__ import annotations

import threading

import pytest

from eventresults.client.result import AsyncResult
from eventresults.errors import Closed
from eventresults.worker.executor import TrackedExecutor
from tests.support import tasks


@pytest.fixture
def pool(tracker):
    with TrackedExecutor(tracker, eager=True, max_retries=3) as pool:
        yield pool


def test_a_task_runs_at_once_in_the_callers_thread_and_is_not_recorded(pool, tracker):
    result = pool.submit(threading.get_ident)
    assert type(result).__name__ == "EagerResult"
    assert result.get() == threading.get_ident()
    assert (result.state, result.name) == ("SUCCESS", "_thread.get_ident")
    assert not AsyncResult(result.id, app=tracker).exists()


def test_a_failure_is_kept_for_get(pool):
    result = pool.submit(tasks.fail, "no luck")
    assert result.failed()
    assert "no luck" in result.traceback
    with pytest.raises(ValueError, match="no luck"):
        result.get()


def test_retries_follow_at_once(pool):
    assert pool.submit(tasks.retry_until, 3, countdown=3600).get() == 3
    assert pool.options(max_retries=1).submit(tasks.retry_until, 9).failed()


def test_nested_tasks_are_eager_too(pool):
    assert pool.submit(tasks.get_inside, 4).get() == 8


def test_maps_and_chains_work(pool):
    assert pool.map(tasks.double, [1, 2]).get() == [2, 4]
    last = pool.chain([tasks.add, tasks.double], 1, 2)
    assert (last.get(), last.parent.get()) == (6, 3)
    broken = pool.chain([tasks.fail, tasks.double], "first")
    assert broken.state == "REVOKED"
    with pytest.raises(ValueError, match="first"):
        broken.get()


def test_an_eager_executor_can_be_shut_down(tracker):
    pool = TrackedExecutor(tracker, eager=True)
    pool.shutdown()
    with pytest.raises(Closed):
        pool.submit(tasks.add, 1, 2)
