"""What an executor does when its log does not do."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from eventresults.errors import AppendTimeout, Closed, LogUnavailable, ValueTooLarge
from eventresults.recorder import Recorder
from eventresults.tracker import Tracker
from eventresults.worker.executor import TrackedExecutor
from tests.support import tasks


class Stubborn(Recorder):
    """A recorder whose log accepts nothing for a while."""

    refusals = 0
    ids: list[str]

    def _record(self, kind, subject, fields, envelope):
        if kind == "task-succeeded":
            self.ids.append(envelope["event_id"])
            if self.refusals:
                self.refusals -= 1
                raise AppendTimeout("the buffer is full", task_id=subject, timeout=0.0)
        return super()._record(kind, subject, fields, envelope)


class Broken(Recorder):
    """A recorder whose log fails what it accepted."""

    error: Exception = LogUnavailable("gone", url="memory://", reason="test")

    def _record(self, kind, subject, fields, envelope):
        if kind == "task-succeeded":
            future: Future = Future()
            future.set_exception(self.error)
            return future
        return super()._record(kind, subject, fields, envelope)


def app_with(tracker: Tracker, kind: type[Recorder]) -> SimpleNamespace:
    recorder = kind(tracker._appender)
    return SimpleNamespace(backend=SimpleNamespace(recorder=recorder, reader=tracker.backend.reader))


def test_a_fact_is_tried_until_the_log_accepts_it_and_stays_the_same_fact(tracker, caplog):
    app = app_with(tracker, Stubborn)
    app.backend.recorder.refusals, app.backend.recorder.ids = 2, []
    with caplog.at_level(logging.WARNING), TrackedExecutor(app, max_workers=1) as pool:
        result = pool.submit(tasks.add, 1, 2)
    assert tracker.AsyncResult(result.id).get(timeout=10) == 3
    assert len(app.backend.recorder.ids) == 3
    assert len(set(app.backend.recorder.ids)) == 1
    assert "accepts no facts" in caplog.text


def test_a_shutdown_with_a_timeout_gives_up_what_the_log_never_accepts(tracker, caplog):
    app = app_with(tracker, Stubborn)
    app.backend.recorder.refusals, app.backend.recorder.ids = 10**9, []
    pool = TrackedExecutor(app, max_workers=1)
    with caplog.at_level(logging.ERROR):
        pool.submit(tasks.add, 1, 2)
        began = time.monotonic()
        pool.shutdown(timeout=0.05)
        pool.shutdown(timeout=5)
        assert time.monotonic() - began < 5
    assert "is lost (succeeded)" in caplog.text


def test_a_fact_that_the_log_loses_is_logged(tracker, caplog):
    with caplog.at_level(logging.ERROR), TrackedExecutor(app_with(tracker, Broken), max_workers=1) as pool:
        pool.submit(tasks.add, 1, 2)
    assert "is lost (succeeded): gone" in caplog.text


def test_the_end_of_a_task_that_the_log_did_not_take_in_time_is_told_again(tracker):
    class Late(Recorder):
        refused: list[str] = []

        def _record(self, kind, subject, fields, envelope):
            if kind == "task-succeeded" and not self.refused:
                self.refused.append(envelope["event_id"])
                future: Future = Future()
                future.set_exception(AppendTimeout("not acknowledged", task_id=subject, timeout=0.0))
                return future
            return super()._record(kind, subject, fields, envelope)

    pool = TrackedExecutor(app_with(tracker, Late), max_workers=1)
    result = tracker.AsyncResult(pool.submit(tasks.add, 1, 2).id)
    assert result.get(timeout=10) == 3
    assert [event.event_id for event in result.history()][-1] == Late.refused[0]
    pool.shutdown()


def test_a_value_that_only_the_log_finds_too_large_fails_the_task(tracker):
    app = app_with(tracker, Broken)
    app.backend.recorder.error = ValueTooLarge("too large", size=2, limit=1, task_id="t")
    pool = TrackedExecutor(app, max_workers=1)
    result = tracker.AsyncResult(pool.options(task_id="t").submit(tasks.add, 1, 2).id)
    with pytest.raises(ValueTooLarge):
        result.get(timeout=10)
    pool.shutdown()


def test_a_tracker_closed_first_loses_facts_loudly_and_hangs_nothing(tracker, caplog):
    entered, go = threading.Event(), threading.Event()

    def work():
        entered.set()
        assert go.wait(10)

    pool = TrackedExecutor(tracker, max_workers=1)
    pool.submit(work)
    assert entered.wait(10)
    tracker.close()
    with pytest.raises(Closed):
        pool.submit(tasks.add, 1, 2)
    with caplog.at_level(logging.ERROR):
        go.set()
        began = time.monotonic()
        pool.shutdown()
        assert time.monotonic() - began < 5
    assert "is lost (succeeded)" in caplog.text
