"""Reading by way of librdkafka."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from eventresults.errors import EventResultsError, ViewStale
from eventresults.log.base import Poll, Record
from eventresults.log.brokerclients import BrokerReader
from eventresults.log.brokers import POLL_RECORDS
from eventresults.log.confluent.config import consumer_config
from eventresults.log.confluent.meaning import END, OUTSIDE, meaning

logger = logging.getLogger(__name__)

#: Makes a record in half the time of calling it.
_record = tuple.__new__


class ConfluentReader(BrokerReader):
    """Reads through one consumer."""

    def _make(self) -> Any:
        self._failure: EventResultsError | None = None
        consumer = Consumer(consumer_config(self._settings), logger=logger)
        self._follow(consumer, self._positions)
        return consumer

    def _follow(self, consumer: Any, positions: Mapping[int, int]) -> None:
        consumer.incremental_assign([TopicPartition(self._settings.topic, number, offset) for number, offset in positions.items()])

    def _unfollow(self, consumer: Any, partitions: Sequence[int]) -> None:
        consumer.incremental_unassign([TopicPartition(self._settings.topic, number) for number in partitions])
        if self._failure is not None and self._failure.facts.get("partition") in partitions:
            self._failure = None

    def _take(self, consumer: Any, timeout: float) -> dict[int, Poll]:
        self._raise_failure()
        # `consume` waits until it has as many as asked for: so, one is waited for, and then what has come is taken.
        first = consumer.poll(timeout)
        if first is None:
            return {}
        polls = self._polls([first, *consumer.consume(POLL_RECORDS, 0)])
        if not polls:
            self._raise_failure()
        return polls

    def _raise_failure(self) -> None:
        failure = self._failure
        if failure is not None:
            if not isinstance(failure, ViewStale):  # that one stays true
                self._failure = None
            raise failure

    def _shut(self, consumer: Any) -> None:
        consumer.close()

    def _polls(self, messages: Iterable[Any]) -> dict[int, Poll]:
        by_partition: defaultdict[int, list[Record]] = defaultdict(list)
        ends: dict[int, int] = {}
        for message in messages:
            if message.error() is None:
                record = _record(Record, (message.offset(), message.timestamp()[1], message.key(), message.value()))
                by_partition[message.partition()].append(record)
            elif message.error().code() == END:
                # Beyond the last record, when it was followed by a hole.
                ends[message.partition()] = message.offset()
            else:
                self._failure = self._meaning(message) or self._failure
        polls = {}
        for number in by_partition.keys() | ends.keys():
            found = by_partition.get(number, [])
            next_offset = max(found[-1].offset + 1 if found else 0, ends.get(number, 0))
            if next_offset > self._positions.get(number, next_offset):
                self._positions[number] = next_offset
                polls[number] = Poll(found, next_offset)
        return polls

    def _meaning(self, message: Any) -> EventResultsError | None:
        error = message.error()
        if error.code() in OUTSIDE:
            number = message.partition()
            return self._log.stale(number, self._positions[number], error.str()) if number in self._positions else None
        return meaning(self._settings, error, self._settings.connect_timeout)
