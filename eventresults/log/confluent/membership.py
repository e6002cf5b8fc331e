"""Sitting in a consumer group by way of librdkafka."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from eventresults.log.brokermembership import FENCED, BrokerMembership, group_failure
from eventresults.log.confluent.config import member_config
from eventresults.log.confluent.meaning import OUTSIDE, meaning

logger = logging.getLogger(__name__)

_END = -1


class ConfluentMembership(BrokerMembership):
    """A member by way of a consumer whose partitions stay paused."""

    def _enter(self) -> Any:
        settings = replace(self._settings, client_id=self._group.client_id)
        consumer = Consumer(member_config(settings, self._group) | {"on_commit": self._sent}, logger=logger)
        consumer.subscribe([self._settings.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        return consumer

    def _attend(self, consumer: Any, timeout: float) -> None:
        message: Any = consumer.poll(timeout)
        error = None if message is None else message.error()
        if error is None or error.code() in OUTSIDE:
            return
        code = FENCED if error.code() == KafkaError._FATAL else error.code()  # noqa: SLF001 - its public name; nothing else ends a member
        raise group_failure(self._settings, self._group, code) or meaning(self._settings, error, self._settings.connect_timeout)

    def _send(self, consumer: Any, positions: Mapping[int, int]) -> None:
        try:
            consumer.commit(offsets=self._places(positions), asynchronous=True)
        except KafkaException as error:
            self._sent(error.args[0], positions)

    def _sent(self, error: KafkaError | None, offsets: object) -> None:
        if error is not None:
            logger.debug("group %s did not take the offsets %s: %s", self._group.group_id, offsets, error)

    def _exit(self, consumer: Any) -> None:
        consumer.close()

    def _on_assign(self, consumer: Any, assigned: Collection[Any]) -> None:
        # Any place will do.
        consumer.incremental_assign(self._places({each.partition: _END for each in assigned}))
        consumer.pause(assigned)
        self._take(_numbers(assigned))

    def _on_revoke(self, consumer: Any, revoked: Collection[Any]) -> None:
        self._give(_numbers(revoked))
        consumer.incremental_unassign(revoked)

    def _on_lost(self, consumer: Any, lost: Collection[Any]) -> None:
        self._lose(_numbers(lost))
        consumer.incremental_unassign(lost)

    def _places(self, positions: Mapping[int, int]) -> list[TopicPartition]:
        return [TopicPartition(self._settings.topic, number, offset) for number, offset in positions.items()]


def _numbers(partitions: Collection[Any]) -> frozenset[int]:
    return frozenset(each.partition for each in partitions)
