"""Sitting in a consumer group by way of kafka-python."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from kafka import ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError

from eventresults.log.brokermembership import FENCED, BrokerMembership, group_failure
from eventresults.log.brokers import unreachable
from eventresults.log.kafka.clients import code_of, make_consumer, meaning
from eventresults.log.kafka.config import member_config

logger = logging.getLogger(__name__)

_CLOSE_MILLISECONDS = 1000


class KafkaMembership(BrokerMembership):
    """A member by way of a consumer whose partitions stay paused."""

    def _enter(self) -> Any:
        assignor = CooperativeStickyAssignor()
        settings = replace(self._settings, client_id=self._group.client_id)
        config = member_config(self._group) | {"partition_assignment_strategy": [assignor]}
        consumer = make_consumer(settings, self._settings.connect_timeout, config)
        consumer.subscribe([self._settings.topic], listener=_Rebalances(self, consumer, assignor))
        try:
            self._know_the_topic(consumer._cluster)  # noqa: SLF001 - joining would not wait for it
        except BaseException:
            consumer.close(autocommit=False, timeout_ms=0)
            raise
        return consumer

    def _know_the_topic(self, cluster: Any) -> None:
        """Wait for its partitions: a leader that knows of none assigns none, and has the whole group divide anew a moment later."""
        timeout = self._settings.connect_timeout
        deadline = time.monotonic() + timeout
        with meaning(self._settings, timeout):
            while not cluster.partitions_for_topic(self._settings.topic):
                asked = cluster.request_update()
                while not asked.is_done and time.monotonic() < deadline and not self._stop.is_set():
                    time.sleep(0.002)
                if time.monotonic() >= deadline or self._stop.wait(0.02):
                    raise unreachable(self._settings, timeout, "they did not name the topic's partitions")

    def _attend(self, consumer: Any, timeout: float) -> None:
        with meaning(self._settings, self._settings.connect_timeout):
            try:
                consumer.poll(timeout_ms=int(timeout * 1000))
            except KafkaError as error:
                failure = group_failure(self._settings, self._group, code_of(error))
                if failure is not None:
                    raise failure from error
                raise
        self._resume_joining(consumer._coordinator)  # noqa: SLF001 - the library does not by itself
        self._notice_fence(consumer._coordinator)  # noqa: SLF001 - the library tells nobody else

    def _resume_joining(self, coordinator: Any) -> None:
        # A poll whose time is up leaves a join under way to the next one. That one looks whether there is reason to join: where newer
        # metadata was it, the assignment made meanwhile has removed it, and the member would sit there for ever, its heart not beating.
        if coordinator.rejoining and not coordinator.need_rejoin():
            coordinator.request_rejoin()

    def _notice_fence(self, coordinator: Any) -> None:
        # A member of which there is another is told so by its heartbeats; the library stops them, and keeps the partitions.
        if coordinator.stable() and not coordinator.rejoining and not coordinator._heartbeat_enabled:  # noqa: SLF001
            failure = group_failure(self._settings, self._group, FENCED)
            assert failure is not None
            raise failure

    def _send(self, consumer: Any, positions: Mapping[int, int]) -> None:
        offsets = {TopicPartition(self._settings.topic, number): OffsetAndMetadata(offset, "", -1) for number, offset in positions.items()}
        consumer.commit_async(offsets, callback=self._sent)

    def _sent(self, offsets: Any, outcome: Any) -> None:
        if isinstance(outcome, Exception):
            logger.debug("group %s did not take the offsets %s: %r", self._group.group_id, offsets, outcome)

    def _exit(self, consumer: Any) -> None:
        consumer.close(autocommit=False, timeout_ms=_CLOSE_MILLISECONDS)


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Called on the library's I/O thread."""

    def __init__(self, membership: KafkaMembership, consumer: Any, assignor: Any) -> None:
        self._membership = membership
        self._consumer = consumer
        self._assignor = assignor

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        self._consumer.pause(*assigned)
        for partition in assigned:
            self._consumer.seek(partition, 0)  # any place will do; without one, the library looks for what was committed
        self._membership._take(_numbers(assigned))  # noqa: SLF001

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        self._membership._give(_numbers(revoked))  # noqa: SLF001

    def on_partitions_lost(self, lost: Collection[Any]) -> None:
        # The library would go on claiming them when it joins again.
        self._assignor.member_assignment = None
        self._membership._lose(_numbers(lost))  # noqa: SLF001


def _numbers(partitions: Collection[Any]) -> frozenset[int]:
    return frozenset(each.partition for each in partitions)
