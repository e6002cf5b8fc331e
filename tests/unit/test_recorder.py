"""Every fact's way into the log: what each verb writes, what is refused, and what happens when the log is slow or gone."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta, timezone
from time import monotonic

import pytest

from eventresults.codec.events import decode_event
from eventresults.codec.values import decode_value
from eventresults.domain.events import EVENT_CLASSES, TaskStarted, TaskSucceeded
from eventresults.domain.position import Position
from eventresults.errors import (
    AppendTimeout,
    Closed,
    EventCorrupt,
    InvalidTaskId,
    LogUnavailable,
    ValueNotEncodable,
    ValueTooLarge,
)
from eventresults.log.memory import MemoryLog
from eventresults.recorder import Appender, Recorder
from eventresults.recorder.appender import UNACKNOWLEDGED_PER_TASK
from tests.support import events
from tests.support.events import TASK, moment


class SlowLog(MemoryLog):
    """A log whose acknowledgements the test holds back, or lets fail."""

    def __init__(self):
        super().__init__()
        self.held: list[tuple[Future, Position]] = []
        self.holds = True
        self.writers = 0

    def writer(self):
        self.writers += 1
        return SlowWriter(self, super().writer())


class SlowWriter:
    def __init__(self, log, writer):
        self.log = log
        self.writer = writer
        self.closed = False

    def append(self, key, value, timeout=None, future=None):
        if self.closed:
            raise Closed("closed", what="writer")
        at = self.writer.append(key, value).result(0)
        if self.log.holds:
            self.log.held.append((future, at))
        else:
            future.set_result(at)
        return future

    def flush(self, timeout):
        return all(future.done() for future, _ in self.log.held)

    def close(self):
        self.closed = True
        for future, _ in self.log.held:
            if not future.done():
                future.set_exception(Closed("given up", what="writer"))


@pytest.fixture
def log():
    return MemoryLog()


@pytest.fixture
def appender(log):
    appender = Appender(log)
    yield appender
    appender.close()


@pytest.fixture
def recorder(appender):
    return Recorder(appender, worker="w1", result_expires=3_600)


def written(log: MemoryLog):
    """Every event in the log, oldest first."""
    found = []
    for offset in range(log.info(1).ends[0]):
        record = log.read(Position(0, offset), 1)
        found.append(decode_event(record.value, key=record.key))
    return found


# Each verb


def test_each_verb_writes_its_fact_with_its_fields(recorder: Recorder, log: MemoryLog):
    # when
    recorder.sent(
        TASK, name="add", args=(1, {2}), kwargs={"x": 1.5}, queue="q", parent_id="p", previous_id="v", root_id="r", group_id="g",
        group_index=3, eta=moment(1), expires=moment(2), retries=1, ignore_result=True,
    )  # fmt: skip
    recorder.received(TASK)
    recorder.started(TASK, pid=7, attempt=2)
    recorder.updated(TASK, state="HALFWAY", meta={"done": (1, 2)})
    recorder.succeeded(TASK, result={"a": (1,)}, children=[["c", None]], runtime=0.5)
    recorder.failed(TASK, error=ValueError("no", 1), traceback="Traceback…", runtime=1.5, result_expires=60)
    recorder.retried(TASK, error={"type": "E", "message": "m"}, traceback="T", when=moment(9))
    recorder.revoked(TASK, reason="enough", terminated=True, signal="SIGTERM")
    recorder.rejected(TASK, requeue=True)
    recorder.forgotten(TASK, reason="done with")

    # then
    facts = written(log)
    assert [fact.kind for fact in facts] == [
        "task-sent", "task-received", "task-started", "task-updated", "task-succeeded", "task-failed", "task-retried",
        "task-revoked", "task-rejected", "task-forgotten",
    ]  # fmt: skip
    sent, received, started, updated, succeeded, failed, retried, revoked, rejected, forgotten = facts
    assert (sent.name, sent.queue, sent.parent_id, sent.previous_id, sent.root_id) == ("add", "q", "p", "v", "r")
    assert (sent.group_id, sent.group_index, sent.retries, sent.ignore_result) == ("g", 3, 1, True)
    assert (sent.eta, sent.expires) == (moment(1), moment(2))
    assert [decode_value(one) for one in sent.args] == [1, {2}]
    assert sent.kwargs == {"x": 1.5}
    assert received.worker == "w1"
    assert (started.worker, started.pid, started.attempt) == ("w1", 7, 2)
    assert (updated.state, decode_value(updated.meta)) == ("HALFWAY", {"done": (1, 2)})
    assert decode_value(succeeded.result) == {"a": (1,)}
    assert (succeeded.children, succeeded.runtime, succeeded.worker, succeeded.result_expires) == ([["c", None]], 0.5, "w1", 3_600)
    assert (failed.error["type"], failed.error["message"]) == ("ValueError", "('no', 1)")
    assert (failed.traceback, failed.runtime, failed.result_expires) == ("Traceback…", 1.5, 60)
    assert (retried.error, retried.traceback, retried.when) == ({"type": "E", "message": "m"}, "T", moment(9))
    assert (revoked.reason, revoked.terminated, revoked.signal, revoked.result_expires) == ("enough", True, "SIGTERM", 3_600)
    assert rejected.requeue is True
    assert forgotten.reason == "done with"


VERBS = ["sent", "received", "started", "updated", "succeeded", "failed", "retried", "revoked", "rejected", "forgotten"]


@pytest.mark.parametrize("verb", VERBS)
def test_only_the_id_is_required_and_the_position_is_returned(recorder: Recorder, log: MemoryLog, verb: str):
    # when
    at = getattr(recorder, verb)(TASK).result(1)

    # then
    [fact] = written(log)
    assert at == Position(0, 0)
    assert fact.kind == f"task-{verb}"
    assert fact.task_id == TASK
    assert len(fact.event_id) == 32
    assert fact.source.endswith(f"/{os.getpid()}")
    assert abs(fact.time - datetime.now(UTC)) < timedelta(seconds=5)
    assert fact.observed is False


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_the_envelope(recorder: Recorder, log: MemoryLog, verb: str):
    getattr(recorder, verb)(TASK, event_id="mine", time=moment(5), source="me", observed=True)
    [fact] = written(log)
    assert (fact.event_id, fact.time, fact.source, fact.observed) == ("mine", moment(5), "me", True)


def test_an_envelope_of_nones_is_filled_in(recorder: Recorder, log: MemoryLog):
    recorder.started(TASK, event_id=None, time=None, source=None, observed=False)
    [fact] = written(log)
    assert fact.event_id
    assert fact.source.startswith("w1@")


def test_a_field_that_a_fact_does_not_have_is_refused(recorder: Recorder, log: MemoryLog):
    with pytest.raises(TypeError, match="wroker"):
        recorder.started(TASK, wroker="w2")
    assert written(log) == []


def test_every_fact_has_an_event_id_of_its_own(recorder: Recorder, log: MemoryLog):
    for _ in range(100):
        recorder.updated(TASK)
    assert len({fact.event_id for fact in written(log)}) == 100


def test_an_integer_id_is_taken_as_its_text(recorder: Recorder, log: MemoryLog):
    recorder.started(42)
    assert written(log)[0].task_id == "42"


def test_without_a_lifetime_results_never_expire(appender: Appender, log: MemoryLog):
    Recorder(appender).succeeded(TASK)
    Recorder(appender, result_expires=60).succeeded(TASK, result_expires=0)
    assert [fact.result_expires for fact in written(log)] == [0, 0]


def test_a_recorder_without_a_worker_is_a_client(appender: Appender, log: MemoryLog):
    Recorder(appender).started(TASK)
    Recorder(appender, source="me@home").started(TASK)
    first, second = written(log)
    assert first.worker is None
    assert first.source.startswith("client@")
    assert second.source == f"me@home/{os.getpid()}"


FORK = """
import os
from eventresults.log.memory import MemoryLog
from eventresults.recorder import Appender, Recorder

recorder = Recorder(Appender(MemoryLog()))
print(os.getpid(), recorder.source, flush=True)
if not os.fork():
    print(os.getpid(), recorder.source, flush=True)
    os._exit(0)
os.wait()
"""


def test_a_forked_child_writes_as_itself():
    output = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=True).stdout
    sources = dict(line.split() for line in output.splitlines())
    assert len(sources) == 2
    assert all(source.endswith(f"/{pid}") for pid, source in sources.items())


# Any event


SAMPLES = {
    cls.kind: make
    for make in (
        events.sent, events.received, events.started, events.updated, events.succeeded, events.failed, events.retried, events.revoked,
        events.rejected, events.revoke_requested, events.forgotten, events.data_erased,
        events.group_saved, events.group_sized, events.group_part,
        events.group_dispatching, events.group_dispatched, events.group_forgotten,
    )
    if (cls := type(make()))
}  # fmt: skip


def test_there_is_a_sample_of_every_class():
    assert SAMPLES.keys() == EVENT_CLASSES.keys()


@pytest.mark.parametrize("kind", sorted(EVENT_CLASSES))
def test_any_event_is_appended_as_it_is(recorder: Recorder, log: MemoryLog, kind: str):
    # given
    fields = {"result_expires": 60.0} if "result_expires" in EVENT_CLASSES[kind].__struct_fields__ else {}
    event = SAMPLES[kind](source="me@there/1", **fields)

    # when
    recorder.append(event).result(1)

    # then
    assert written(log) == [event]


def test_what_an_event_leaves_open_is_filled_in(recorder: Recorder, log: MemoryLog):
    recorder.append(TaskSucceeded(task_id=TASK, time=moment(1), result=1))
    [fact] = written(log)
    assert len(fact.event_id) == 32
    assert fact.source
    assert fact.result_expires == 3_600


def test_an_event_whose_payload_is_no_wire_value_is_refused(recorder: Recorder, log: MemoryLog):
    with pytest.raises(ValueNotEncodable, match="result"):
        recorder.append(TaskSucceeded(task_id=TASK, time=moment(1), result=float("nan")))
    assert written(log) == []


def test_an_event_with_a_field_of_the_wrong_type_is_refused(recorder: Recorder, log: MemoryLog):
    with pytest.raises(EventCorrupt, match="pid"):
        recorder.append(TaskStarted(task_id=TASK, time=moment(1), pid="seven"))
    with pytest.raises(EventCorrupt, match="attempt"):
        recorder.started(TASK, attempt=-1)
    with pytest.raises(EventCorrupt, match="state"):
        recorder.updated(TASK, state="SUCCESS")
    assert written(log) == []


# What is refused


@pytest.mark.parametrize("bad", ["", "x" * 10_240, "ü" * 513, "\ud800", None, b"bytes", 1.5], ids=repr)
@pytest.mark.parametrize("verb", ["sent", "succeeded", "forgotten"])
def test_an_id_that_cannot_be_one_is_refused(recorder: Recorder, log: MemoryLog, verb: str, bad):
    with pytest.raises(InvalidTaskId):
        getattr(recorder, verb)(bad)
    assert log.info(1).ends[0] == 0


def test_the_longest_id_is_taken(recorder: Recorder, log: MemoryLog):
    recorder.started("ü" * 512).result(1)
    assert written(log)[0].task_id == "ü" * 512


def test_a_result_that_is_too_large_is_raised_and_the_task_recorded_as_failed(log: MemoryLog):
    # given
    appender = Appender(log, max_value_bytes=2_000)
    recorder = Recorder(appender, worker="w1", result_expires=60)

    # when
    with pytest.raises(ValueTooLarge) as caught:
        recorder.succeeded(TASK, result="x" * 3_000, runtime=1.5, time=moment(7), event_id="mine")

    # then
    assert caught.value.limit == 2_000
    assert caught.value.size > 3_000
    assert "max_value_bytes" in str(caught.value)
    [fact] = written(log)
    assert (fact.kind, fact.error["type"], fact.runtime, fact.worker, fact.result_expires) == (
        "task-failed",
        "ValueTooLarge",
        1.5,
        "w1",
        60,
    )
    assert fact.time == moment(7)
    assert fact.event_id != "mine"
    appender.close()


def test_a_result_that_no_rule_encodes_is_raised_and_the_task_recorded_as_failed(recorder: Recorder, log: MemoryLog):
    with pytest.raises(ValueNotEncodable):
        recorder.succeeded(TASK, result=threading.Lock())
    [fact] = written(log)
    assert (fact.kind, fact.error["type"]) == ("task-failed", "ValueNotEncodable")


def test_children_that_are_too_many_do_not_keep_the_failure_from_being_recorded(log: MemoryLog):
    appender = Appender(log, max_value_bytes=2_000)
    with pytest.raises(ValueTooLarge):
        Recorder(appender).succeeded(TASK, children=[["child", None]] * 1_000)
    assert [fact.kind for fact in written(log)] == ["task-failed"]
    appender.close()


@pytest.mark.parametrize("verb", ["sent", "updated"])
def test_other_values_that_no_rule_encodes_are_raised_and_nothing_is_recorded(recorder: Recorder, log: MemoryLog, verb: str):
    fields = {"sent": {"args": [threading.Lock()]}, "updated": {"meta": threading.Lock()}}[verb]
    with pytest.raises(ValueNotEncodable):
        getattr(recorder, verb)(TASK, **fields)
    assert written(log) == []


def test_an_error_given_as_facts_must_hold_wire_values(recorder: Recorder, log: MemoryLog):
    with pytest.raises(ValueNotEncodable):
        recorder.failed(TASK, error={"message": float("inf")})
    assert written(log) == []


# When the log is slow


def test_at_most_32_facts_of_a_task_are_unacknowledged():
    # given
    log = SlowLog()
    appender = Appender(log, append_timeout=0.05)
    recorder = Recorder(appender)
    for _ in range(UNACKNOWLEDGED_PER_TASK):
        recorder.updated(TASK)

    # when
    begun = monotonic()
    with pytest.raises(AppendTimeout, match="32 facts") as caught:
        recorder.updated(TASK)

    # then: nothing was appended, and other tasks go on
    assert 0.05 <= monotonic() - begun < 1
    assert caught.value.task_id == TASK
    assert len(log.held) == 32
    recorder.updated("other")

    # when: one is acknowledged
    future, at = log.held[0]
    future.set_result(at)

    # then
    recorder.updated(TASK)
    appender.close()


def test_what_the_writer_refuses_leaves_its_place():
    # given
    class Full(MemoryLog):
        def writer(self):
            writer = super().writer()

            def refuse(key, value, timeout=None, future=None):
                raise AppendTimeout("full", key="k", timeout=1)

            writer.append = refuse
            return writer

    appender = Appender(Full())

    # when
    for _ in range(100):
        with pytest.raises(AppendTimeout, match="full"):
            Recorder(appender).updated(TASK)

    # then
    assert not appender.own.concerns(TASK)
    appender.close()


def test_a_log_that_cannot_be_opened_says_so_and_is_tried_again():
    # given
    class Away(MemoryLog):
        away = True

        def writer(self):
            if self.away:
                raise LogUnavailable("gone", url=self.url, reason="gone")
            return super().writer()

    log = Away()
    appender = Appender(log)
    recorder = Recorder(appender)
    with pytest.raises(LogUnavailable):
        recorder.started(TASK)

    # when
    log.away = False

    # then
    assert recorder.started(TASK).result(1) == Position(0, 0)
    appender.close()


def test_facts_of_one_task_keep_their_order_and_none_is_lost_among_64_threads(log: MemoryLog, appender: Appender):
    # given
    recorder = Recorder(appender)

    def work(number: int):
        for step in range(50):
            recorder.updated(f"t{number}", meta=step)
            recorder.updated("shared", meta=[number, step])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]

    # when
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    # then
    facts = written(log)
    assert len(facts) == 64 * 100
    for number in range(64):
        assert [fact.meta for fact in facts if fact.task_id == f"t{number}"] == list(range(50))
        assert [fact.meta[1] for fact in facts if fact.task_id == "shared" and fact.meta[0] == number] == list(range(50))
    assert appender.own.all_pending() == []


def test_the_log_is_opened_once_and_by_the_first_fact():
    log = SlowLog()
    log.holds = False
    appender = Appender(log)
    recorders = [Recorder(appender) for _ in range(8)]
    assert log.writers == 0
    threads = [threading.Thread(target=recorder.started, args=(f"t{number}",)) for number, recorder in enumerate(recorders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert log.writers == 1
    appender.close()


# The end


def test_flush_tells_whether_everything_was_acknowledged():
    # given
    log = SlowLog()
    appender = Appender(log)
    recorder = Recorder(appender)
    assert recorder.flush(0.01)
    recorder.started(TASK)

    # when / then
    assert not recorder.flush(0.01)
    for future, at in log.held:
        future.set_result(at)
    assert recorder.flush(0.01)
    appender.close()


def test_a_closed_recorder_refuses_facts(log: MemoryLog):
    # given
    appender = Appender(log)
    recorder = Recorder(appender)
    recorder.started(TASK)

    # when
    appender.close()
    appender.close()

    # then
    with pytest.raises(Closed):
        recorder.started(TASK)
    assert len(written(log)) == 1
    assert recorder.flush(0.01)


def test_closing_says_what_was_lost(caplog):
    # given
    log = SlowLog()
    appender = Appender(log)
    future = Recorder(appender).started(TASK)
    Recorder(appender).started("other")

    # when
    with caplog.at_level(logging.ERROR):
        appender.close()

    # then
    assert isinstance(future.exception(0), Closed)
    assert "2 facts were not acknowledged" in caplog.text


def test_closing_without_a_fact_opens_nothing():
    log = SlowLog()
    Appender(log).close()
    assert log.writers == 0


def test_a_closed_appender_leaves_nothing_behind_at_exit():
    from multiprocessing import util

    before = len(util._finalizer_registry)
    for _ in range(5):
        appender = Appender(MemoryLog())
        Recorder(appender).started(TASK)
        appender.close()
    assert len(util._finalizer_registry) == before


SCRIPT = """
import multiprocessing, sys, threading
from eventresults.log.sqlite import SqliteLog
from eventresults.recorder import Appender, Recorder

path, how = sys.argv[1:]
appender = Appender(SqliteLog(path))
recorder = Recorder(appender)

def tell(who, count=300):
    for number in range(count):
        recorder.updated(f"{who}{number}")

def child(who):
    global appender, recorder
    if appender is None:
        appender = Appender(SqliteLog(path)); recorder = Recorder(appender)
    tell(who)

if __name__ == "__main__":
    if how == "exit":
        tell("main")
    elif how == "raise":
        tell("main")
        raise SystemExit(3)
    elif how == "fork":
        tell("main")
        assert recorder.flush(30)  # SQLite does not survive a fork in the midst of a commit
        processes = [multiprocessing.get_context("fork").Process(target=child, args=(f"child{n}-",)) for n in range(2)]
        [process.start() for process in processes]
        [process.join(30) for process in processes]
        sys.exit(max(process.exitcode for process in processes))
    elif how == "spawn":
        process = multiprocessing.get_context("spawn").Process(target=child, args=("child",))
        process.start(); process.join(30)
        sys.exit(process.exitcode)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code", "count"), [("exit", 0, 300), ("raise", 3, 300), ("fork", 0, 900), ("spawn", 0, 300)])
def test_what_is_on_its_way_is_seen_off_at_exit_and_at_the_end_of_a_child(tmp_path, how: str, code: int, count: int):
    # given
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    # when: nobody flushes or closes
    done = subprocess.run(
        [sys.executable, script, tmp_path / "log.db", how], env=environment, timeout=60, capture_output=True, text=True, check=False
    )

    # then
    assert (done.returncode, done.stderr) == (code, "")
    from eventresults.log.sqlite import SqliteLog

    log = SqliteLog(tmp_path / "log.db")
    assert log.info(5).ends[0] == count
    log.close()


@pytest.mark.parametrize("time", [1_700_000_000, "yesterday", datetime(2026, 1, 1), object()])  # noqa: DTZ001 - that is the point
def test_a_time_that_is_none_is_refused_and_says_so(time):
    appender = Appender(MemoryLog())
    with pytest.raises(EventCorrupt, match="time"):
        Recorder(appender).sent("t1", time=time)
    appender.close()


def test_a_time_with_another_offset_is_written_in_utc():
    # given
    log = MemoryLog()
    appender = Appender(log)

    # when
    there = datetime(2026, 11, 22, 21, 0, tzinfo=timezone(timedelta(hours=1)))
    position = Recorder(appender).sent("t1", time=there, eta=there).result(5)

    # then
    written = json.loads(log.read(position, 1).value)
    assert written["time"] == written["eta"] == "2026-11-22T20:00:00Z"
    appender.close()
