"""The three doors: Celery's classes as they are, ours with app=, and Celery's with what the log adds."""

from __future__ import annotations

import asyncio
import pickle
import threading

import celery.result
import pytest
from celery import Celery, current_app, states

import eventresults
from eventresults.contrib.celery import as_of, history, install, wait_async, watch
from eventresults.errors import ConfigError, WouldBlock
from tests.support.celerybench import bench

DEADLINE = 20.0


@pytest.fixture
def desk():
    with bench() as desk:
        yield desk


@pytest.fixture
def installed(desk):
    install(desk.app)
    return desk


def results(desk):
    """The result of one task through each door."""
    install(desk.app)
    return celery.result.AsyncResult("t", app=desk.app), eventresults.AsyncResult("t", app=desk.app), desk.app.AsyncResult("t")


def test_any_result_tells_its_history(desk):
    desk.backend.store_result("t", {"n": 1}, "PROGRESS")
    desk.backend.store_result("t", 1, states.SUCCESS)

    for result in results(desk):
        assert [event.kind for event in history(result)] == ["task-updated", "task-succeeded"]
        position = desk.backend.tracker.read("t").position
        assert as_of(result, type(position)(position.partition, position.offset - 1)).state == "PROGRESS"


def test_any_result_can_be_awaited_and_watched(desk):
    async def main():
        waiting = [asyncio.create_task(wait_async(result)) for result in results(desk)]
        await asyncio.to_thread(desk.backend.store_result, "t", 5, states.SUCCESS)
        assert await asyncio.gather(*waiting) == [5, 5, 5]
        assert [event.kind async for event in watch(results(desk)[0])] == ["task-succeeded"]

    asyncio.run(main())


def test_delay_returns_results_with_what_the_log_adds(installed):
    result = installed.add.delay(1, 2)
    installed.backend.store_result(result.id, 3, states.SUCCESS)

    assert isinstance(result, celery.result.AsyncResult)
    assert result.get(timeout=DEADLINE) == 3
    assert result.get(timeout=DEADLINE, as_type=float) == 3.0
    assert (result.sent_at is not None, result.position.partition, result.attempts) == (True, 0, 0)
    assert [event.kind for event in result.history()] == ["task-sent", "task-succeeded"]


def test_an_installed_result_can_be_awaited(installed):
    async def main():
        result = installed.add.delay(1, 2)
        waiting = asyncio.ensure_future(result)
        await asyncio.to_thread(installed.backend.store_result, result.id, 3, states.SUCCESS)
        return await waiting

    assert asyncio.run(main()) == 3


def test_installed_results_pickle(installed):
    before = current_app._get_current_object()
    installed.app.set_current()
    try:
        result = pickle.loads(pickle.dumps(installed.app.AsyncResult("t")))
        group = pickle.loads(pickle.dumps(installed.app.GroupResult("g", [result])))
    finally:
        before.set_current()
    assert (type(result), type(group)) == (installed.app.AsyncResult, installed.app.GroupResult)
    assert group == installed.app.GroupResult("g", [result])


def test_a_set_asks_one_question_for_all_its_members(installed, monkeypatch):
    # given
    group = installed.app.GroupResult("g", [installed.app.AsyncResult(f"t{number}") for number in range(5)])
    for number in range(4):
        installed.backend.store_result(f"t{number}", number, states.SUCCESS)
    asked = []
    reader = installed.backend.home.reader
    get_many = reader.get_many
    monkeypatch.setattr(reader, "get_many", lambda ids, **more: asked.append(list(ids)) or get_many(ids, **more))
    monkeypatch.setattr(reader, "get", None)

    # when
    assert not group.ready()
    assert group.waiting()
    assert group.completed_count() == 4
    assert not group.successful()
    installed.backend.store_result("t4", ValueError(), states.FAILURE)
    assert group.ready()
    assert group.failed()
    assert group.completed_count() == 4

    # then
    assert asked[0] == ["t0", "t1", "t2", "t3", "t4"]
    assert len(asked) <= 8  # one a call, and one or two of who keeps the promise of the set


def test_installing_has_requests_to_revoke_recorded_also_where_the_control_was_made_before(desk):
    app = Celery("late", broker="memory://", backend=desk.app.conf.result_backend, set_as_current=False)
    assert type(app.control).__module__ == "celery.app.control"

    install(app)
    app.control.revoke("t")

    assert [event.kind for event in app.backend.tracker.history("t")] == ["task-revoke-requested"]


def test_only_an_app_with_our_backend_can_have_them():
    app = Celery("other", backend="cache+memory://", set_as_current=False)

    with pytest.raises(ConfigError, match="result_backend"):
        install(app)
    with pytest.raises(ConfigError, match="CacheBackend"):
        history(app.AsyncResult("t"))


def test_what_forbids_waiting_forbids_it_in_both_libraries(desk):
    with eventresults.denied_join_result():
        assert celery.result.task_join_will_block()
        with pytest.raises(RuntimeError):
            desk.app.AsyncResult("t").get(timeout=0)
    with celery.result.denied_join_result(), pytest.raises(WouldBlock):
        eventresults.AsyncResult("t", app=desk.app).get(timeout=0)


def test_our_results_read_celerys_values(desk):
    desk.backend.mark_as_failure("f", KeyError("brown"), traceback="Traceback …")
    desk.backend.store_result("p", {"done": 3}, "PROGRESS")

    failed, running = (eventresults.AsyncResult(one, app=desk.app) for one in "fp")
    with pytest.raises(KeyError, match="brown"):
        failed.get(timeout=DEADLINE)
    assert (running.progress, running.info) == ({"done": 3}, {"done": 3})


def test_a_task_of_our_executor_forbids_nothing_to_the_other_threads_of_a_process_that_has_celery(desk):
    running, done = threading.Event(), threading.Event()
    with desk.backend.tracker.executor(max_workers=2) as pool:
        inside = [pool.submit(lambda: (running.set(), done.wait(DEADLINE), eventresults.task_join_will_block())[-1]) for _ in range(2)]
        assert running.wait(DEADLINE)

        assert not eventresults.task_join_will_block()
        assert not celery.result.task_join_will_block()
        done.set()
        assert [result.get(timeout=DEADLINE) for result in inside] == [True, True]
    assert not celery.result.task_join_will_block()
