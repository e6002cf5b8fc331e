"""Reading by way of kafka-python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from kafka import TopicPartition
from kafka.errors import LogTruncationError, OffsetOutOfRangeError

from eventresults.log.base import Poll, Record
from eventresults.log.brokerclients import BrokerReader
from eventresults.log.kafka.clients import make_consumer, meaning
from eventresults.log.kafka.config import consumer_config

_parts = attrgetter("offset", "timestamp", "key", "value")
_record: Callable[[tuple[int, int, bytes | None, bytes | None]], Record] = partial(tuple.__new__, Record)  # at half the price of a call


class KafkaReader(BrokerReader):
    """Reads through one consumer."""

    def _make(self) -> Any:
        consumer = make_consumer(self._settings, self._settings.connect_timeout, consumer_config())
        self._follow(consumer, self._positions)
        return consumer

    def _follow(self, consumer: Any, positions: Mapping[int, int]) -> None:
        self._assign(consumer)
        for number, offset in positions.items():
            consumer.seek(self._partition(number), offset)

    def _unfollow(self, consumer: Any, partitions: Sequence[int]) -> None:  # noqa: ARG002 - those left say it
        self._assign(consumer)

    def _assign(self, consumer: Any) -> None:
        # Partitions that stay keep their place, and what was fetched of them.
        consumer.assign([self._partition(number) for number in self._positions])

    def _take(self, consumer: Any, timeout: float) -> dict[int, Poll]:
        with meaning(self._settings, self._settings.connect_timeout):
            try:
                return dict(self._progress(consumer, consumer.poll(timeout_ms=int(timeout * 1000))))
            except OffsetOutOfRangeError as error:
                partition, offset = next(iter(error.args[0].items()))
                raise self._log.stale(partition.partition, offset, error) from error
            except LogTruncationError as error:
                number, offset = next(iter(self._positions.items()))
                raise self._log.stale(number, offset, error) from error

    def _shut(self, consumer: Any) -> None:
        consumer.close(autocommit=False, timeout_ms=1000)

    def _progress(self, consumer: Any, found: Mapping[TopicPartition, Sequence[Any]]) -> Iterator[tuple[int, Poll]]:
        for number, offset in self._positions.items():
            partition = self._partition(number)
            # Beyond the last record, when it was followed by a hole.
            next_offset = consumer.position(partition, timeout_ms=0)
            if next_offset is not None and next_offset != offset:
                self._positions[number] = next_offset
                records = list(map(_record, map(_parts, found.get(partition, ()))))
                yield number, Poll(records, next_offset)

    def _partition(self, number: int) -> TopicPartition:
        return TopicPartition(self._settings.topic, number)
