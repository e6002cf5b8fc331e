"""pytest fixtures over a real Kafka; a conftest names this module in `pytest_plugins`.

With EVENTRESULTS_TEST_KAFKA=host:port set, the tests use that Kafka instead of starting one, and those that end or start
brokers are skipped. Under pytest-xdist each process starts a broker of its own (two seconds, some 300 MB), which its tests may kill.
"""

from __future__ import annotations

import os
import re
import uuid
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.support.kafka.availability import require_kafka
from tests.support.kafka.base import Kafka
from tests.support.kafka.borrowed import BorrowedKafka
from tests.support.kafka.cluster import KafkaCluster
from tests.support.kafka.settings import LARGEST_RECORD_BATCH

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS_VARIABLE = "EVENTRESULTS_TEST_KAFKA"


class MakeTopic(Protocol):
    """What the fixture `make_topic` is."""

    def __call__(self, *, partitions: int = 1, **configs: object) -> str:
        """Make a topic with a name of its own and return the name. It is deleted after the test.

        Configs are written with underscores (`min_insync_replicas=2`). Unless told otherwise the broker stamps the
        records (LogAppendTime) and takes batches of up to 16 MiB, as eventresults wants it.
        """
        ...


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """A running Kafka of one broker for the whole session of this process. A test that kills it starts it again itself."""
    address = os.environ.get(ADDRESS_VARIABLE)
    if address:
        yield BorrowedKafka(address, because=f"was named by {ADDRESS_VARIABLE}")
        return
    require_kafka()
    with KafkaCluster() as cluster:
        yield cluster


@pytest.fixture
def make_topic(kafka: Kafka, request: pytest.FixtureRequest) -> Iterator[MakeTopic]:
    """A function that makes topics for this test."""
    made: list[str] = []
    stem = re.sub(r"[^a-zA-Z0-9]+", "-", request.node.name)[:60].strip("-")

    def make(*, partitions: int = 1, **configs: object) -> str:
        name = f"{stem}-{uuid.uuid4().hex[:12]}"
        settings = {
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": LARGEST_RECORD_BATCH,
            **{key.replace("_", "."): value for key, value in configs.items()},
        }
        kafka.create_topic(name, partitions, settings)
        made.append(name)
        return name

    yield make
    for name in made:
        kafka.delete_topic(name)


@pytest.fixture
def kafka_topic(make_topic: MakeTopic) -> str:
    """The name of a fresh topic of one partition."""
    return make_topic()
