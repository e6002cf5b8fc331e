"""Recording through an outbox: what the recorder, and reads of one's own writes, make of facts that wait for the log."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

import eventresults
from eventresults.domain.position import Position
from eventresults.errors import EventCorrupt, LogUnavailable, ValueTooLarge, ViewStale
from eventresults.log import dispatcher
from eventresults.log.appends import Append
from eventresults.log.memory import MemoryLog
from eventresults.log.outbox import Outbox
from eventresults.log.own import SETTLED_EVERY, OwnWrites
from eventresults.recorder import Recorder, outboxed
from eventresults.recorder.outboxed import OutboxAppender

DEADLINE = 10.0


class AwayLog(MemoryLog):
    """A log that cannot be written until the test gives it back."""

    away = True

    def writer(self):
        if self.away:
            raise LogUnavailable("away", url=self.url, reason="away")
        return super().writer()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "BACKOFF_SECONDS", (0.001, 0.01))
    monkeypatch.setattr("eventresults.log.outbox._CLOSE_TIMEOUT", 1.0)


@pytest.fixture
def log():
    return AwayLog(partitions=3)


@pytest.fixture
def appender(log: AwayLog, tmp_path: Path):
    appender = OutboxAppender(Outbox(log, tmp_path / "outbox", append_timeout=0.2, max_value_bytes=2_000))
    yield appender
    log.away = False
    appender.close()


def test_a_task_has_as_many_unacknowledged_facts_as_it_likes(appender: OutboxAppender, log: AwayLog):
    recorder = Recorder(appender)
    futures = [recorder.updated("t", meta=number) for number in range(200)]
    assert all(future.accepted.done() for future in futures)
    assert len(appender.own.pending("t")) == 200
    log.away = False
    assert recorder.flush(DEADLINE)
    assert appender.own.pending("t") == []
    assert appender.own.needed("t", futures[0].result(0).partition) == 200


def test_what_is_refused_is_refused_at_once(appender: OutboxAppender):
    recorder = Recorder(appender)
    with pytest.raises(ValueTooLarge):
        recorder.sent("t", args=["x" * 3_000])
    with pytest.raises(EventCorrupt):
        recorder.started("t", pid=-1.5)


def test_beyond_what_is_remembered_any_read_waits_for_all(appender: OutboxAppender, log: AwayLog, monkeypatch: pytest.MonkeyPatch):
    # given
    monkeypatch.setattr(outboxed, "REMEMBERED", 10)
    recorder = Recorder(appender)
    for number in range(50):
        recorder.sent(f"t{number}")
    own = appender.own
    assert len(own._facts) == 10
    assert own.concerns("never-written")
    assert len(own.pending("t40")) == 1
    assert len(own.all_pending()) == 11
    # when
    log.away = False
    assert recorder.flush(DEADLINE)
    # then
    assert own.pending("t40") == []
    ends = log.ends([0, 1, 2], 1)
    assert {partition: own.needed("t40", partition) for partition in range(3)} == ends == own.all_needed()
    own.folded("t40", ends)
    assert not own.concerns("t40")


def test_the_latest_of_too_many_counts_whoever_says_so_first():
    own = OwnWrites()
    earlier, later = Append(), Append()
    own.add_last(7, later, dict)
    own.add_last(6, earlier, dict)
    assert own.pending("any") == [later]


def test_an_id_of_many_facts_does_not_keep_those_that_are_acknowledged():
    own = OwnWrites()
    for number in range(10 * SETTLED_EVERY):
        done = Append()
        done.set_result(Position(0, number))
        own.add_unbounded("t", done)
    assert len(own._facts["t"]) <= SETTLED_EVERY
    assert own.needed("t", 0) == 10 * SETTLED_EVERY


def test_closing_says_where_the_facts_wait_and_not_that_they_are_lost(appender: OutboxAppender, caplog: pytest.LogCaptureFixture):
    Recorder(appender).sent("t")
    appender.close()
    [line] = [record for record in caplog.records if "wait in" in record.getMessage() and "next recorder" in record.getMessage()]
    assert line.levelno == logging.WARNING
    assert "lost:" not in caplog.text


# Through the tracker


def test_a_tracker_with_an_outbox_reads_its_own_writes(tmp_path: Path):
    with eventresults.connect("memory://", outbox=tmp_path / "outbox") as tracker:
        tracker.recorder("w").succeeded("t", result=1)
        assert tracker.read("t").result == 1
        with tracker.executor(max_workers=2) as pool:
            assert pool.submit(pow, 2, 10).get(timeout=DEADLINE) == 1024


def test_a_read_of_a_fact_that_is_not_forwarded_is_stale_at_its_deadline(tmp_path: Path):
    with eventresults.connect("memory://", outbox=tmp_path / "outbox", read_timeout=0.2) as tracker:
        tracker.recorder().sent("before").result(DEADLINE)
        assert tracker.read("before").state == "PENDING"
        # when
        appender = tracker._appender
        appender._writer._dispatcher._log = gone = AwayLog()
        appender._writer._dispatcher._writer = None
        tracker.recorder().started("before")
        # then
        began = time.monotonic()
        with pytest.raises(ViewStale, match="not acknowledged"):
            tracker.read("before")
        assert 0.15 < time.monotonic() - began < DEADLINE / 2
        assert tracker.read("other", freshness="applied") is None
        gone.away = False


def large() -> str:
    return "x" * 200_000


def test_a_result_that_only_the_log_finds_too_large_fails_the_task(tmp_path: Path):
    with eventresults.connect("memory://", outbox=tmp_path / "outbox") as tracker:
        tracker.log._max_value_bytes = 100_000
        with tracker.executor(max_workers=1) as pool:
            with pytest.raises(ValueTooLarge):
                pool.submit(large).get(timeout=DEADLINE)
            assert pool.submit(abs, -1).get(timeout=DEADLINE) == 1
        assert tracker.flush(DEADLINE)
        assert tracker._appender._writer._kept == {}
    assert len((tmp_path / "outbox" / "rejected.jsonl").read_text().splitlines()) == 1
