"""Asking by way of kafka-python."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAlreadyExistsError

from eventresults.domain.position import Position
from eventresults.log.base import Record
from eventresults.log.brokers import NO_TOPIC, REFUSED, BrokerSettings, missing, refused, unreachable
from eventresults.log.forked import leave_to_parent
from eventresults.log.kafka.clients import make_consumer, meaning
from eventresults.log.kafka.config import probe_config
from eventresults.log.kafka.groups import administer, holdings
from eventresults.log.membership import Holding
from eventresults.log.topic import TopicDescription

T = TypeVar("T")

_SLICE = 0.1
_PATIENCE = 0.5


class KafkaAsker:
    """One consumer for offsets and single records; an admin client, for as long as a question takes, for the topic itself."""

    def __init__(self, settings: BrokerSettings, timeout: float) -> None:
        self._settings = settings
        self._consumer = make_consumer(settings, timeout, probe_config())

    def describe(self, timeout: float) -> TopicDescription:
        """See `Asker.describe`."""

        def ask(admin: Any) -> TopicDescription:
            (topic,) = admin.describe_topics([self._settings.topic])
            if topic["error_code"] in NO_TOPIC:
                raise missing(self._settings)
            if topic["error_code"] in REFUSED:
                raise refused(self._settings, "the topic may not be described")
            configs = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, self._settings.topic)], config_filter="all")
            config = {name: each["value"] for name, each in configs["topic"][self._settings.topic].items()}
            replication = min(len(each["replica_nodes"]) for each in topic["partitions"])
            return TopicDescription(self._settings.topic, str(topic["topic_id"]), len(topic["partitions"]), replication, config)

        return administer(self._settings, ask, timeout)

    def create(self, partitions: int, replication: int, config: Mapping[str, str], timeout: float) -> None:
        """See `Asker.create`."""
        topic = {"num_partitions": partitions, "replication_factor": replication, "configs": dict(config)}

        def ask(admin: Any) -> None:
            with suppress(TopicAlreadyExistsError):  # somebody was faster; `describe` says what it is
                admin.create_topics({self._settings.topic: topic}, timeout_ms=int(timeout * 1000))
            admin.wait_for_topics([self._settings.topic], timeout_ms=int(timeout * 1000))

        administer(self._settings, ask, timeout)

    def topic_id(self, timeout: float) -> str:
        """See `Asker.topic_id`."""
        answer = self.ask_topic_id(timeout)
        while (topic_id := answer()) is None:
            time.sleep(0.001)
        return topic_id

    def ask_topic_id(self, timeout: float) -> Callable[[], str | None]:
        """See `Asker.ask_topic_id`."""
        deadline = time.monotonic() + timeout
        cluster = self._consumer._cluster  # noqa: SLF001 - what the library knows of the topic; there is no public way to its id
        with meaning(self._settings, timeout):
            cluster.add_topic(self._settings.topic)
            asked = cluster.request_update()

        def answer() -> str | None:
            if not asked.is_done:
                if time.monotonic() >= deadline:
                    raise unreachable(self._settings, timeout)
                return None
            with meaning(self._settings, timeout):
                if asked.failed():
                    raise asked.exception
            topic_id = cluster.topic_id(self._settings.topic)
            if topic_id is None:
                raise missing(self._settings)
            return str(topic_id)

        return answer

    def starts(self, partitions: Sequence[int], timeout: float) -> dict[int, int]:
        """See `Asker.starts`."""
        return self._offsets(self._consumer.beginning_offsets, partitions, timeout)

    def ends(self, partitions: Sequence[int], timeout: float) -> dict[int, int]:
        """See `Asker.ends`."""
        return self._offsets(self._consumer.end_offsets, partitions, timeout)

    def read(self, position: Position, timeout: float) -> Record | None:
        """See `Asker.read`."""
        partition = TopicPartition(self._settings.topic, position.partition)
        deadline = time.monotonic() + timeout
        with meaning(self._settings, timeout):
            self._consumer.assign([partition])
            self._consumer.seek(partition, position.offset)
            while time.monotonic() < deadline:
                found = self._consumer.poll(timeout_ms=int(_SLICE * 1000), max_records=1)
                if partition in found:
                    first = found[partition][0]
                    return Record(first.offset, first.timestamp, first.key, first.value)
                if (self._consumer.position(partition, timeout_ms=0) or 0) > position.offset:
                    return None
        raise unreachable(self._settings, timeout)

    def holdings(self, group_id: str, timeout: float) -> list[Holding]:
        """See `Asker.holdings`."""
        return holdings(self._settings, group_id, timeout)

    def leave_to_parent(self) -> None:
        """See `Asker.leave_to_parent`."""
        leave_to_parent(self._consumer)

    def close(self) -> None:
        """See `Asker.close`."""
        self._consumer.close(autocommit=False, timeout_ms=1000)

    def _offsets(self, ask: Callable[..., dict[TopicPartition, int]], partitions: Sequence[int], timeout: float) -> dict[int, int]:
        wanted = [TopicPartition(self._settings.topic, number) for number in partitions]
        deadline = time.monotonic() + timeout
        patience = _PATIENCE
        with meaning(self._settings, timeout):
            while True:
                left = max(0.001, deadline - time.monotonic())
                try:
                    found = ask(wanted, timeout_ms=int(min(left, patience) * 1000) + 1)
                    return {partition.partition: offset for partition, offset in found.items()}
                except KafkaTimeoutError:
                    # The library goes on asking who led a partition once, and is refused, until its time is up: see who leads it now.
                    if time.monotonic() >= deadline:
                        raise
                    with suppress(KafkaError):  # an outage: what is asked next says it
                        self._renew(min(left, patience))
                    patience *= 2
                except KeyError as error:
                    # The library answers for those partitions alone that its metadata name, and asks for newer.
                    if time.monotonic() >= deadline:
                        raise unreachable(self._settings, timeout, f"no leader of {error}") from error
                time.sleep(0.02)

    def _renew(self, timeout: float) -> bool:
        """Have the library ask for leaders and topics anew; whether it was answered in time. Raises what the brokers said."""
        deadline = time.monotonic() + timeout
        asked = self._consumer._cluster.request_update()  # noqa: SLF001 - it asks by itself every five minutes
        while not asked.is_done:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.001)
        if asked.failed():
            raise asked.exception
        return True
