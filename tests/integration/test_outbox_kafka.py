"""Workers with an outbox outlive their broker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import eventresults
from eventresults.errors import ValueTooLarge, ViewStale
from eventresults.log import dispatcher
from tests.e2e.test_outbox_kill import compare, next_recorder, work_and_kill
from tests.support.kafka import Kafka, KafkaCluster
from tests.support.kafka.availability import require_kafka
from tests.support.kafka.fixtures import MakeTopic

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
DEADLINE = 60.0


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaCluster]:
    """One that may be stopped."""
    require_kafka()
    with KafkaCluster() as cluster:
        yield cluster


@pytest.fixture(params=["kafka-python", "confluent"])
def url(request: pytest.FixtureRequest, broker: KafkaCluster) -> str:
    topic = f"outbox-{request.param}-{time.time_ns()}"
    broker.create_topic(topic, 3, {"message.timestamp.type": "LogAppendTime"})
    return f"{broker.url(topic)}?client={request.param}&append_timeout=2s&connect_timeout=2s"


def test_a_worker_killed_while_its_broker_is_away_loses_nothing(broker: KafkaCluster, url: str, tmp_path: Path):
    # given
    ledger = {"r0": work_and_kill(url, tmp_path / "outbox", "r0", facts=500)}
    broker.stop()
    try:
        ledger["r1"] = work_and_kill(url, tmp_path / "outbox", "r1", facts=1_500)
    finally:
        # when
        broker.start()
    next_recorder(url, tmp_path / "outbox")
    # then
    with eventresults.connect(url, view=tmp_path / "view") as tracker:
        compare(tracker.log, ledger)


def test_a_worker_goes_on_through_an_outage_and_forwards_all_of_it(
    broker: KafkaCluster, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dispatcher, "BACKOFF_SECONDS", (0.1, 0.5))
    with eventresults.connect(url, outbox=tmp_path / "outbox", view=tmp_path / "view", read_timeout=DEADLINE) as tracker:
        # given
        recorder = tracker.recorder("worker")
        for number in range(500):
            recorder.updated(f"t{number % 7}", meta=number, event_id=f"r0-{number}")
        assert tracker.read("t0").state == "PROGRESS"
        # when
        broker.pause(0)
        try:
            began = time.monotonic()
            for number in range(500, 1_500):
                recorder.updated(f"t{number % 7}", meta=number, event_id=f"r0-{number}")
            assert time.monotonic() - began < 2
            with pytest.raises(ViewStale):
                tracker._view.get("t0", freshness="latest", timeout=0.5)
            assert not recorder.flush(4)  # some appends have timed out by now
        finally:
            broker.resume(0)
        # then
        assert recorder.flush(DEADLINE)
        compare(tracker.log, {"r0": 1_500})
        assert tracker.AsyncResult("t1").info == 1_499


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_what_the_topic_refuses_is_set_aside(kafka: Kafka, make_topic: MakeTopic, tmp_path: Path, client: str):
    topic = make_topic(max_message_bytes=20_000)
    with eventresults.connect(kafka.url(topic), client=client, outbox=tmp_path / "outbox", view=tmp_path / "view") as tracker:
        recorder = tracker.recorder()
        recorder.sent("t1")
        large = recorder.updated("t1", meta="x" * 50_000)
        recorder.started("t1").result(DEADLINE)
        assert large.accepted.done()
        with pytest.raises(ValueTooLarge):
            large.result(0)
        assert tracker.read("t1").state == "STARTED"
    [row] = [json.loads(line) for line in (tmp_path / "outbox" / "rejected.jsonl").read_text().splitlines()]
    assert (row["error"], row["key"]) == ("ValueTooLarge", "t1")
