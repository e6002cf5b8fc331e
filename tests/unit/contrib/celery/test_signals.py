"""What is learned of a task from Celery's signals, beside what Celery stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from celery import signals
from celery.exceptions import Ignore, Reject

from tests.support.celery_apps import PID, WORKER, celery_app, history, kinds, request_of, run


@pytest.fixture
def app():
    with celery_app() as app:
        yield app


@pytest.fixture
def add(app):
    return app.task(shared=False, name="add")(plus)


def plus(x, y):
    return x + y


def one():
    return 1


def fail():
    raise ValueError("no")


def again(self):
    raise self.retry(countdown=60, exc=ValueError("no"))


# Started, and how long it ran


def test_a_start_is_observed_and_the_runtime_travels_in_the_success(app, add):
    # when
    task_id = run(add, 1, 2)

    # then
    assert kinds(app, task_id) == ["(started)", "succeeded"]
    started, succeeded = history(app, task_id)
    assert (started.worker, started.pid) == (WORKER, PID)
    assert 0 < succeeded.runtime < 5


def test_a_failure_carries_its_runtime_too(app):
    task_id = run(app.task(shared=False, name="fail")(fail))

    assert kinds(app, task_id) == ["(started)", "failed"]
    assert 0 < history(app, task_id)[-1].runtime < 5


def test_a_start_that_celery_stores_is_not_told_twice(app):
    # given
    task = app.task(shared=False, name="tracked", track_started=True)(one)

    # when
    task_id = run(task)

    # then
    assert kinds(app, task_id) == ["started", "succeeded"]


def test_an_observed_start_does_not_show_in_the_state(app):
    # given
    states = []

    def look(self):
        states.append(self.AsyncResult(self.request.id).state)

    # when
    run(app.task(shared=False, name="look", bind=True)(look))

    # then
    assert states == ["PENDING"]


def test_a_task_that_runs_again_without_a_word_of_its_end_was_lost(app, add):
    # given: a worker that dies between its start and its end, which sends no signal
    task_id = "lost"
    add.push_request(id=task_id, hostname=WORKER)
    try:
        signals.task_prerun.send(sender=add, task_id=task_id, task=add, args=(), kwargs={})
    finally:
        add.pop_request()

    # when: its message is delivered again
    run(add, 1, 2, task_id=task_id)

    # then
    meta = app.backend.tracker.read(task_id)
    assert (meta.state, meta.attempts, meta.lost) == ("SUCCESS", 2, 1)


def test_nothing_is_told_of_an_eager_task_unless_its_result_is_stored(app):
    # given
    plain = app.task(shared=False, name="plain")(one)
    stored = app.task(shared=False, name="stored", store_eager_result=True)(one)

    # when
    results = plain.apply(), stored.apply()

    # then
    assert [kinds(app, result.id) for result in results] == [[], ["(started)", "succeeded"]]


# Received


def test_a_received_task_is_told_with_its_worker(app, add):
    # given
    request = request_of(add, 1, 2)

    # when
    signals.task_received.send(sender=None, request=request)

    # then
    assert kinds(app, request.id) == ["(received)"]
    assert history(app, request.id)[0].worker == WORKER
    assert app.AsyncResult(request.id).state == "PENDING"


# Other ends


def test_a_rejected_task_is_told_with_where_its_message_goes(app):
    # given
    def reject():
        raise Reject("no", requeue=True)

    # when
    task_id = run(app.task(shared=False, name="reject", acks_late=True)(reject))

    # then
    assert kinds(app, task_id) == ["(started)", "(rejected)"]
    assert history(app, task_id)[-1].requeue is True
    assert app.AsyncResult(task_id).state == "PENDING"


def test_an_ignored_task_is_told_and_keeps_the_state_that_it_set(app):
    # given
    def ignore(self):
        self.update_state(state="HALFWAY", meta={"done": 1})
        raise Ignore

    # when
    task_id = run(app.task(shared=False, name="ignore", bind=True)(ignore))

    # then
    assert kinds(app, task_id) == ["(started)", "updated", "(updated)"]
    assert history(app, task_id)[-1].state == "IGNORED"
    result = app.AsyncResult(task_id)
    assert (result.state, result.info) == ("HALFWAY", {"done": 1})


def test_a_retry_is_told_once_with_when_the_next_attempt_is_due(app):
    # given
    task = app.task(shared=False, name="again", bind=True)(again)

    # when
    task_id = run(task)

    # then
    assert kinds(app, task_id) == ["(started)", "(sent)", "retried"]
    _, sent, retried = history(app, task_id)
    assert sent.retries == 1
    assert retried.when == sent.eta
    assert timedelta(seconds=50) < retried.when - datetime.now(UTC) < timedelta(seconds=61)
    meta = app.backend.tracker.read(task_id)
    assert (meta.state, meta.running, meta.parent_id) == ("RETRY", False, None)


# Revoked


def test_a_revocation_counts_once_however_many_workers_announce_it(app, add):
    # given
    requests = [request_of(add, 1, 2, task_id="t1") for _ in range(3)]
    add.apply_async((1, 2), task_id="t1")

    # when
    for request in requests:
        request._announce_revoked("revoked", False, None, False)

    # then
    assert kinds(app, "t1") == ["(sent)", "revoked"]
    assert app.AsyncResult("t1").state == "REVOKED"
    assert history(app, "t1")[-1].terminated is False


def test_a_task_that_was_forgotten_and_sent_again_can_be_revoked_again(app, add):
    # given
    for _ in range(2):
        add.apply_async((1, 2), task_id="t1")
        request_of(add, 1, 2, task_id="t1")._announce_revoked("terminated", True, "SIGTERM", False)
        assert app.AsyncResult("t1").state == "REVOKED"
        assert history(app, "t1")[-1].terminated is True

        # when
        app.AsyncResult("t1").forget()


# Ignored results


@pytest.fixture
def tracking():
    with celery_app("tracking", track_ignored=True) as app:
        assert app.backend.options.track_ignored
        yield app


def test_a_task_whose_result_is_ignored_leaves_no_fact(app):
    # given
    task = app.task(shared=False, name="quiet", ignore_result=True)(one)

    # when
    task.apply_async(task_id="t1")
    signals.task_received.send(sender=None, request=request_of(task, task_id="t1"))
    run(task, task_id="t1")

    # then
    assert kinds(app, "t1") == []


def test_ignored_tasks_are_told_of_where_they_are_tracked(tracking):
    # given
    task = tracking.task(shared=False, name="quiet and told of", ignore_result=True)(one)

    # when
    task.apply_async(task_id="t1")
    signals.task_received.send(sender=None, request=request_of(task, task_id="t1"))
    run(task, task_id="t1")

    # then
    assert kinds(tracking, "t1") == ["(sent)", "(received)", "(started)", "(succeeded)"]
    assert history(tracking, "t1")[0].ignore_result is True
    assert 0 < history(tracking, "t1")[-1].runtime < 5
    assert tracking.AsyncResult("t1").state == "PENDING"


def test_how_tracked_ignored_tasks_fail_retry_and_are_revoked_is_observed(tracking):
    # given
    failing = tracking.task(shared=False, name="failing quietly", ignore_result=True)(fail)
    retrying = tracking.task(shared=False, name="again quietly", bind=True, ignore_result=True)(again)
    stores = tracking.task(shared=False, name="failing loudly", ignore_result=True, store_errors_even_if_ignored=True)(fail)

    # when
    failed, retried, stored = run(failing), run(retrying), run(stores)
    for _ in range(2):
        request_of(failing, task_id="t1")._announce_revoked("revoked", False, None, False)

    # then
    assert kinds(tracking, failed) == ["(started)", "(failed)"]
    assert history(tracking, failed)[-1].error["type"] == "ValueError"
    assert kinds(tracking, retried) == ["(started)", "(sent)", "(retried)"]
    assert history(tracking, retried)[-1].error["message"] == "no"
    assert kinds(tracking, stored) == ["(started)", "failed"]
    assert kinds(tracking, "t1") == ["(revoked)"]


# Options


def test_each_kind_can_be_turned_off():
    with celery_app("choosy", observe="sent,received") as app:
        # given
        add = app.task(shared=False, name="add")(plus)

        # when
        add.apply_async((1, 2), task_id="t1")
        signals.task_received.send(sender=None, request=request_of(add, task_id="t1"))
        run(add, 1, 2, task_id="t1")

        # then
        assert kinds(app, "t1") == ["(sent)", "(received)", "succeeded"]
        assert history(app, "t1")[-1].runtime > 0


def test_all_can_be_turned_off():
    with celery_app("silent", observe=False) as app:
        # given
        add = app.task(shared=False, name="add")(plus)

        # when
        result = add.delay(1, 2)
        task_id = run(add, 1, 2)

        # then
        assert kinds(app, result.id) == []
        assert kinds(app, task_id) == ["succeeded"]
