"""What a run measures on: one broker, its topics, and folders that are gone afterwards."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.raw import produce, read_confluent
from benchmarks.work import facts
from tests.support.kafka import KafkaCluster

TOPIC = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "16777216"}


class Bench:
    """Made once for a run of so many tasks of three events; the broker starts when it is first asked for."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self._stack = ExitStack()
        self._filled: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._stack.close()

    @cached_property
    def kafka(self) -> KafkaCluster:
        """A real Apache Kafka, with the JVM's own defaults."""
        return self._stack.enter_context(KafkaCluster(jvm_options=()))

    @cached_property
    def records(self) -> list[tuple[bytes, bytes]]:
        """The whole work, as keys and values."""
        return [(fact.task_id.encode(), fact.value) for fact in facts(self.tasks)]

    def topic(self, partitions: int = 1) -> str:
        """A new one, empty."""
        name = f"bench-{uuid.uuid4().hex[:8]}"
        self.kafka.create_topic(name, partitions, TOPIC)
        return name

    def filled(self, partitions: int) -> str:
        """A topic with the whole work; the same one each time, for it is only read."""
        if partitions not in self._filled:
            name = self.topic(partitions)
            produce(self.kafka.bootstrap, name, self.records)
            read_confluent(self.kafka.bootstrap, name, partitions, len(self.records))  # so that the first to be measured finds it warm
            self._filled[partitions] = name
        return self._filled[partitions]

    def url(self, topic: str, client: str) -> str:
        """For `connect`."""
        return f"{self.kafka.url(topic)}?client={client}"


@contextmanager
def folder() -> Iterator[Path]:
    """For one measurement."""
    with tempfile.TemporaryDirectory(prefix="eventresults-bench-") as path:
        yield Path(path)
