"""A fact that may not wait is handed over at once, also when the log has yet to be opened, or is not there."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

from eventresults.domain.events import TaskReceived, TaskStarted
from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout, LogUnavailable
from eventresults.log.appends import Append
from eventresults.log.memory import MemoryLog
from eventresults.log.sqlite import SqliteLog
from eventresults.recorder import Appender, Recorder

TASK = "t1"


class DoorLog(MemoryLog):
    """A log whose first append waits for `door`, and then fails if `trouble` is set."""

    def __init__(self):
        super().__init__()
        self.door = threading.Event()
        self.trouble = None

    def writer(self):
        return DoorWriter(self, super().writer())


class DoorWriter:
    def __init__(self, log, writer):
        self.log = log
        self.writer = writer

    def open(self):
        self.log.door.wait(5)
        if self.log.trouble is not None:
            raise self.log.trouble

    def append(self, key, value, timeout=None, future=None):
        self.log.door.wait(5)
        if self.log.trouble is not None:
            raise self.log.trouble
        return self.writer.append(key, value, timeout, future)

    def flush(self, timeout):
        return self.writer.flush(timeout)

    def close(self):
        self.writer.close()


@pytest.fixture
def log():
    return DoorLog()


@pytest.fixture
def recorder(log):
    appender = Appender(log)
    yield Recorder(appender)
    log.door.set()
    appender.close()


def received(task_id=TASK):
    return TaskReceived(task_id=task_id, time=Recorder.now(), observed=True)


def test_a_fact_that_may_not_wait_is_taken_while_the_log_is_being_opened(recorder, log):
    # when
    began = monotonic()
    future = recorder.append(received(), timeout=0)
    took = monotonic() - began

    # then
    assert took < 0.5
    assert not future.done()
    log.door.set()
    assert future.result(5) == Position(0, 0)


def test_facts_keep_their_order_whoever_may_wait(recorder, log):
    # given
    first = [recorder.append(received(), timeout=0) for _ in range(3)]

    # when
    threading.Timer(0.05, log.door.set).start()
    last = recorder.append(TaskStarted(task_id=TASK, time=Recorder.now()))

    # then
    assert [future.result(5).offset for future in [*first, last]] == [0, 1, 2, 3]


def test_what_waited_for_a_log_that_cannot_be_opened_fails_with_the_reason_and_the_next_fact_tries_again(recorder, log):
    # given
    log.trouble = LogUnavailable("away", url="memory://", reason="away")
    log.door.set()
    failed = recorder.append(received(), timeout=0)
    with pytest.raises(LogUnavailable):
        failed.result(5)

    # when
    log.trouble = None
    future = recorder.append(received(), timeout=0)

    # then
    assert future.result(5) == Position(0, 0)


def test_flushing_waits_for_what_waits_for_the_log(recorder, log):
    # given
    future = recorder.append(received(), timeout=0)
    assert not recorder.flush(0.01)

    # when
    log.door.set()

    # then
    assert recorder.flush(5)
    assert future.done()


def test_a_full_buffer_is_waited_for_as_long_as_the_fact_allows(tmp_path):
    # given
    log = SqliteLog(tmp_path / "events.db", max_in_flight=1, append_timeout=30)
    recorder = Recorder(Appender(log))
    recorder.append(received("first")).result(5)
    writer = recorder._appender._writer
    held = writer._in_flight.enter(b"held", b"")

    # when
    began = monotonic()
    with pytest.raises(AppendTimeout) as refused:
        recorder.append(received("second"), timeout=0.05)
    took = monotonic() - began

    # then
    assert 0.05 <= took < 2
    assert refused.value.timeout == 0.05
    writer._in_flight.leave([held])
    assert isinstance(recorder.append(received("second"), timeout=0), Append)
    recorder._appender.close()


def test_a_log_that_is_opened_beforehand_takes_facts_meanwhile_and_then_at_once(recorder, log):
    # given
    recorder.open_soon()

    # when
    early = recorder.append(received(), timeout=0)
    assert not early.done()
    log.door.set()

    # then
    assert early.result(5) == Position(0, 0)
    assert recorder.flush(5)
    assert recorder.append(received(), timeout=0).done()


def test_a_log_that_cannot_be_opened_beforehand_is_tried_again_by_the_first_fact(recorder, log):
    # given
    log.trouble = LogUnavailable("away", url="memory://", reason="away")
    log.door.set()
    recorder.open_soon()
    assert recorder.flush(5)

    # when
    log.trouble = None

    # then
    assert recorder.append(received()).result(5) == Position(0, 0)
