"""A worker obeys requests to revoke that it was not told of by the broker."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from celery import signals
from celery.app.control import Control as CeleryControl
from celery.worker import control as commands
from celery.worker import state as worker_state

from eventresults.contrib.celery import revokes as module
from eventresults.errors import ViewStale
from tests.support.celery_apps import celery_app, kinds, request_of


def one():
    return 1


@pytest.fixture(autouse=True)
def _a_worker_s_state_is_the_process_s():
    worker_state.reset_state()
    yield
    module._shutting_down()
    worker_state.reset_state()


@pytest.fixture
def app(monkeypatch):
    monkeypatch.setattr(CeleryControl, "broadcast", lambda *_, **__: None)
    monkeypatch.setattr(module, "LOOK_SECONDS", 5.0)  # this machine may be busy
    with celery_app("revokes") as app:
        yield app


@pytest.fixture
def task(app):
    return app.task(shared=False, name="one")(one)


class Consumer:
    def __init__(self, app, hub):
        self.app = app
        self.hub = hub


def start(app, hub=None):
    """A worker is ready."""
    module._ready(sender=Consumer(app, hub))
    return app.backend.revokes


def received(task, task_id, **headers):
    """A worker received the task; whether it would run it."""
    request = request_of(task, task_id=task_id, **headers)
    signals.task_received.send(sender=None, request=request)
    return not request.revoked()


def until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_requests_that_stand_open_are_merged_when_a_worker_is_ready(app):
    # given
    app.control.revoke([f"t{number}" for number in range(1_500)])
    app.control.revoke_by_stamped_headers({"tenant": "blue"})

    # when
    start(app)

    # then
    assert all(f"t{number}" in worker_state.revoked for number in range(1_500))
    assert worker_state.revoked_stamps == {"tenant": ["blue"]}


def test_requests_are_followed_while_the_worker_runs(app):
    # given
    start(app)

    # when
    app.control.revoke("t1")
    app.control.revoke_by_stamped_headers({"tenant": "blue"})
    app.control.revoke_by_stamped_headers({"tenant": ["blue", "red"]})

    # then
    until(lambda: "t1" in worker_state.revoked and worker_state.revoked_stamps.get("tenant") == ["blue", "red"])


def test_celery_s_sets_are_changed_on_the_main_loop_where_there_is_one(app):
    # given
    calls = []
    start(app, hub=SimpleNamespace(call_soon=calls.append))

    # when
    app.control.revoke("t1")
    until(lambda: calls)
    assert "t1" not in worker_state.revoked
    calls[0]()

    # then
    assert "t1" in worker_state.revoked


def test_a_task_that_celery_has_forgotten_to_be_revoked_is_not_run(app, task):
    # given
    task.apply_async(task_id="t1")
    app.control.revoke("t1")
    app.control.revoke("unknown")
    start(app)

    # when
    worker_state.revoked.clear()

    # then
    assert not received(task, "t1")
    assert not received(task, "unknown")
    assert received(task, "t2")
    assert app.AsyncResult("t1").state == "REVOKED"


def test_a_task_that_another_worker_announced_as_revoked_is_not_run(app, task):
    # given: the request has ended with the announcement
    task.apply_async(task_id="t1")
    app.control.revoke("t1")
    app.backend.mark_as_revoked("t1", "revoked")
    assert app.backend.home.reader.opened("revoke").items == []

    # when
    start(app)

    # then
    assert not received(task, "t1")
    assert kinds(app, "t1").count("revoked") == 1


def test_a_request_ends_when_its_task_is_forgotten(app, task):
    # given
    start(app)
    app.control.revoke(["t1", "unknown"])
    until(lambda: "unknown" in worker_state.revoked)

    # when
    for task_id in ("t1", "unknown"):
        app.AsyncResult(task_id).forget()
    worker_state.revoked.clear()
    task.apply_async(task_id="t1")

    # then
    assert received(task, "t1")
    assert received(task, "unknown")


def test_a_request_ends_when_its_task_is_ready(app, task):
    # given
    app.control.revoke("t1")
    app.backend.store_result("t1", 1, "SUCCESS")

    # when
    start(app)

    # then
    assert received(task, "t1")


def test_looking_asks_the_log_nothing_and_holds_nobody_up_when_the_view_is_slow(app, task, monkeypatch):
    # given
    revokes = start(app)
    asked = []

    class Slow:
        def get(self, task_id, *, freshness, timeout):
            asked.append((freshness, timeout))
            raise ViewStale("slow", reason="slow")

    monkeypatch.setattr(app.backend.home, "reader", Slow())

    # when
    for number in range(5):
        assert received(task, f"t{number}")

    # then
    assert asked == [("applied", module.LOOK_SECONDS)]
    assert revokes.merged


def test_a_worker_that_cannot_learn_of_requests_at_once_learns_of_them_later(app, monkeypatch):
    # given
    app.control.revoke("t1")
    reader, opened = app.backend.home.reader, app.backend.home.reader.opened
    failing = [True]

    def fail_first(*args, **options):
        if failing.pop() if failing else False:
            raise ViewStale("slow", reason="slow")
        return opened(*args, **options)

    monkeypatch.setattr(reader, "opened", fail_first)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(module, "MERGE_SECONDS", 0.0)

    # when
    revokes = start(app)

    # then
    until(lambda: revokes.merged)
    assert "t1" in worker_state.revoked


def test_a_worker_that_is_told_by_the_broker_marks_what_nobody_has_started(app, task):
    # given
    start(app)
    done, waiting = task.apply_async(task_id="done"), task.apply_async(task_id="waiting")
    app.backend.store_result("done", 1, "SUCCESS")
    questions = []
    ends = app.backend.tracker.log.ends
    app.backend.tracker.log.ends = lambda *args: questions.append(args) or ends(*args)

    # when
    run = app.backend.home.recorder.started("running", observed=True)
    assert run.result(5)
    commands.revoke(SimpleNamespace(app=app), ["done", "waiting", "running", *(f"t{number}" for number in range(20))])

    # then
    assert len(questions) <= 5
    del app.backend.tracker.log.ends
    assert (done.state, waiting.state) == ("SUCCESS", "REVOKED")
    assert app.AsyncResult("t7").state == "REVOKED"
    assert app.AsyncResult("running").state == "PENDING"  # another worker has it, and tells how it ends


def test_what_was_heard_with_the_request_is_not_asked_for_again(app, task, monkeypatch):
    # given
    revokes = start(app)
    task.apply_async(task_id="t1")
    app.control.revoke(["t1", "unknown"])
    until(lambda: {"t1", "unknown"} <= revokes._known.keys())
    monkeypatch.setattr(module, "HEARD_SECONDS", 60.0)
    with monkeypatch.context() as patch:
        patch.setattr(app.backend.home, "reader", None)

        # when
        states = [revokes.state_of(task_id) for task_id in ("t1", "unknown")]

    # then
    assert states == ["PENDING", "PENDING"]
