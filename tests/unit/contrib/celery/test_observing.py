"""Facts that are learned on the side hold nobody up: what cannot be recorded is dropped, counted and told of."""

from __future__ import annotations

import logging
import threading
from time import monotonic

import pytest
from prometheus_client import REGISTRY

from eventresults.contrib.celery.observing import Observer
from eventresults.contrib.celery.options import Options
from eventresults.domain.events import TaskReceived
from eventresults.errors import LogUnavailable
from eventresults.log.memory import MemoryLog
from eventresults.log.sqlite import SqliteLog
from eventresults.recorder import Appender, Recorder
from tests.support.celery_apps import celery_app


def received(task_id="t1"):
    return TaskReceived(task_id=task_id, time=Recorder.now(), observed=True)


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def full(tmp_path):
    """A recorder whose log takes nothing more."""
    appender = Appender(SqliteLog(tmp_path / "events.db", max_in_flight=1, append_timeout=30))
    recorder = Recorder(appender)
    recorder.append(received("first")).result(5)
    in_flight = appender._writer._in_flight
    held = in_flight.enter(b"held", b"")
    yield recorder
    in_flight.leave([held])
    appender.close()


@pytest.mark.parametrize(("waits", "bound"), [(True, 0.2), (False, 0.0)])
def test_a_log_that_takes_nothing_holds_nobody_up(full, waits, bound):
    # given
    observer = Observer(Options(observe_timeout=0.2), lambda: full)

    # when
    began = monotonic()
    observer.tell(received, waits=waits)
    took = monotonic() - began

    # then
    assert bound <= took < bound + 5
    assert observer.dropped == {"task-received": 1}


def test_what_is_dropped_is_logged_once_a_minute_and_shown_in_metrics(full, caplog):
    # given
    clock = Clock()
    observer = Observer(Options(observe_timeout=0), lambda: full, clock=clock)
    before = REGISTRY.get_sample_value("eventresults_celery_dropped_facts_total", {"kind": "task-received"}) or 0

    # when
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            observer.tell(received)
        clock.now += 61
        observer.tell(received)

    # then
    assert [record.args[0] for record in caplog.records] == [1, 3]
    assert observer.dropped == {"task-received": 4}
    assert REGISTRY.get_sample_value("eventresults_celery_dropped_facts_total", {"kind": "task-received"}) == before + 4


def test_a_fact_that_the_log_refuses_later_is_counted_too():
    # given
    class AwayLog(MemoryLog):
        def writer(self):
            return self

        def append(self, key, value, timeout=None, future=None):
            raise LogUnavailable("away", url="memory://", reason="away")

        def flush(self, timeout):
            return True

    counted = threading.Event()

    class Noticing(Observer):
        def _drop(self, kind, error):
            super()._drop(kind, error)
            counted.set()

    observer = Noticing(Options(), lambda: Recorder(Appender(AwayLog())))

    # when
    observer.tell(received)

    # then
    assert counted.wait(5)
    assert observer.dropped == {"task-received": 1}


def test_a_task_with_an_impossible_id_is_sent_all_the_same():
    with celery_app("strange") as app:
        # given
        task = app.task(shared=False, name="one")(one)

        # when
        result = task.apply_async(task_id="x" * 2_000)

        # then
        assert result.id == "x" * 2_000
        assert app.backend.observer.dropped == {"task-sent": 1}


def one():
    return 1
