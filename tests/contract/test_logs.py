"""Every log of ours keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from eventresults.domain.position import Position
from eventresults.log.brokerlog import BrokerLog
from eventresults.log.confluent import ConfluentLog
from eventresults.log.kafka import KafkaLog
from eventresults.log.memory import MemoryLog
from eventresults.log.sqlite import SqliteLog
from eventresults.testing.logs import LogContract, LogMaker
from tests.support.kafka import Kafka
from tests.support.kafka.fixtures import MakeTopic


class Maker:
    """Keeps what it made, to close it."""

    def __init__(self) -> None:
        self.stack = ExitStack()

    def keep(self, log: Any) -> Any:
        return self.stack.enter_context(closing(log))


class MemoryMaker(Maker):
    made = 0

    def new(self, partitions: int = 1, **settings: Any) -> MemoryLog:
        MemoryMaker.made += 1
        return self.keep(MemoryLog(f"contract-{self.made}", partitions, **settings))

    def again(self, log: MemoryLog) -> MemoryLog:
        return self.keep(MemoryLog(log.url.removeprefix("memory://")))

    def delete_before(self, log: MemoryLog, position: Position) -> None:
        log.delete_before(position)


class SqliteMaker(Maker):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.made = 0

    def new(self, partitions: int = 1, **settings: Any) -> SqliteLog:
        self.made += 1
        return self.keep(SqliteLog(self.folder / f"{self.made}.db", **settings))

    def again(self, log: SqliteLog) -> SqliteLog:
        return self.keep(SqliteLog(log.path))

    def delete_before(self, log: SqliteLog, position: Position) -> None:
        log.delete_before(position)


class BrokerMaker(Maker):
    def __init__(self, client: type[BrokerLog], kafka: Kafka, make_topic: MakeTopic) -> None:
        super().__init__()
        self.client = client
        self.kafka = kafka
        self.make_topic = make_topic

    def new(self, partitions: int = 1, **settings: Any) -> BrokerLog:
        return self.keep(self.client(self.kafka.bootstrap, self.make_topic(partitions=partitions), **settings))

    def again(self, log: BrokerLog) -> BrokerLog:
        return self.keep(self.client(self.kafka.bootstrap, log.settings.topic))

    def delete_before(self, log: BrokerLog, position: Position) -> None:
        self.kafka.delete_records(log.settings.topic, {position.partition: position.offset})


class TestMemoryLog(LogContract):
    @pytest.fixture
    def logs(self) -> Iterator[LogMaker]:
        maker = MemoryMaker()
        with maker.stack:
            yield maker


class TestSqliteLog(LogContract):
    @pytest.fixture
    def logs(self, tmp_path: Path) -> Iterator[LogMaker]:
        maker = SqliteMaker(tmp_path)
        with maker.stack:
            yield maker


@pytest.mark.kafka
class TestKafkaLog(LogContract):
    @pytest.fixture
    def logs(self, kafka: Kafka, make_topic: MakeTopic) -> Iterator[LogMaker]:
        maker = BrokerMaker(KafkaLog, kafka, make_topic)
        with maker.stack:
            yield maker


@pytest.mark.kafka
class TestConfluentLog(LogContract):
    @pytest.fixture
    def logs(self, kafka: Kafka, make_topic: MakeTopic) -> Iterator[LogMaker]:
        maker = BrokerMaker(ConfluentLog, kafka, make_topic)
        with maker.stack:
            yield maker
