"""A Celery worker while Kafka is away: with an outbox it goes on, without one Celery's own settings say what it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.celeryfarm import DEADLINE, Farm
from tests.support.kafka import KafkaCluster, require_kafka
from tests.support.views import until

pytest.importorskip("celery")

pytestmark = pytest.mark.kafka


@pytest.fixture
def broker() -> Iterator[KafkaCluster]:
    """A Kafka that may go away."""
    require_kafka()
    with KafkaCluster() as kafka:
        yield kafka


def backend_of(broker: KafkaCluster) -> str:
    broker.create_topic("results", 1, {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "16777216"})
    return f"eventresults+{broker.url('results')}"


def test_with_an_outbox_a_worker_goes_on_while_kafka_is_away(broker: KafkaCluster, tmp_path: Path):
    farm = Farm(tmp_path, "tests.support.celeryapp", backend_of(broker), outbox=str(tmp_path / "outbox"), read_timeout=DEADLINE)
    with farm.client() as tasks, farm.worker():
        # given
        assert tasks.add.delay(1, 1).get(timeout=DEADLINE) == 2

        # when
        broker.pause(0)
        try:
            results = [tasks.mark.delay("done", number) for number in range(20)]
            until(lambda: farm.lines("done") == 20, timeout=DEADLINE)  # more than the worker has processes
        finally:
            broker.resume(0)

        # then
        assert [result.get(timeout=DEADLINE) for result in results] == list(range(20))
        assert [fact.kind for fact in tasks.app.backend.tracker.history(results[0].id) if not fact.observed] == ["task-succeeded"]


def test_without_one_a_result_is_stored_again_until_kafka_is_back(broker: KafkaCluster, tmp_path: Path):
    conf = {"result_backend_always_retry": True, "result_backend_max_retries": 1000, "result_backend_max_sleep_between_retries_ms": 200}
    farm = Farm(tmp_path, "tests.support.celeryapp", backend_of(broker), conf=conf, append_timeout=0.5, read_timeout=DEADLINE)
    with farm.client() as tasks, farm.worker():
        # given
        assert tasks.add.delay(1, 1).get(timeout=DEADLINE) == 2

        # when
        broker.pause(0)
        try:
            results = [tasks.mark.delay("done", number) for number in range(6)]
            until(lambda: "Failed operation _store_result" in (tmp_path / "one.log").read_text(), timeout=DEADLINE)
        finally:
            broker.resume(0)

        # then: each was done once, and is told once
        assert [result.get(timeout=DEADLINE) for result in results] == list(range(6))
        assert farm.lines("done") == 6
        assert [fact.kind for fact in tasks.app.backend.tracker.history(results[0].id) if not fact.observed] == ["task-succeeded"]
