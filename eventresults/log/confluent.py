"""A log in a Kafka topic, by way of confluent-kafka (librdkafka): the same contract, several times the speed."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic  # type: ignore[attr-defined]

from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout, Closed, EventResultsError, LogError, ViewStale
from eventresults.log.appends import Append, settle
from eventresults.log.base import Poll, Record
from eventresults.log.brokerclients import BrokerReader, BrokerWriter
from eventresults.log.brokerlog import BrokerLog
from eventresults.log.brokers import (
    NO_TOPIC,
    OUT_OF_RANGE,
    POLL_RECORDS,
    REFUSED,
    BrokerSettings,
    append_failure,
    missing,
    refused,
    unreachable,
)
from eventresults.log.confluent_config import connection_config, consumer_config, probe_config, producer_config
from eventresults.log.forked import leave_to_parent
from eventresults.log.topic import TopicDescription

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

logger = logging.getLogger(__name__)

_EARLIEST, _LATEST = -2, -1
_PROPAGATION = 1.0
_MISSING = NO_TOPIC | {KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}  # noqa: SLF001 - its public names
_REFUSED = REFUSED | {KafkaError._AUTHENTICATION}  # noqa: SLF001
_OUTSIDE = frozenset({OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION})  # noqa: SLF001
_END = KafkaError._PARTITION_EOF  # noqa: SLF001


class ConfluentLog(BrokerLog):
    """A topic, reached by librdkafka."""

    def writer(self) -> ConfluentWriter:
        """See `Log.writer`."""
        self._check_open()
        return ConfluentWriter(self)

    def reader(self, positions: Mapping[int, int]) -> ConfluentReader:
        """See `Log.reader`."""
        self._check_open()
        return ConfluentReader(self, positions)

    def _connect(self, timeout: float) -> _ConfluentAsker:
        return _ConfluentAsker(self.settings, timeout)


class ConfluentWriter(BrokerWriter):
    """Appends through one idempotent producer, which chooses the partition itself; a thread takes its acknowledgements."""

    def _make(self) -> Any:
        producer = Producer(producer_config(self._settings, self._log.max_batch_bytes), logger=logger)
        self._left: list[Append] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._take_acknowledgements, args=(producer,), name="eventresults-confluent-acknowledgements", daemon=True
        )
        self._thread.start()
        return producer

    def _send(self, producer: Any, future: Append, value: bytes) -> None:
        try:
            producer.produce(self._settings.topic, value, future.key, on_delivery=partial(self._delivered, future))
        except BufferError as error:
            raise AppendTimeout(
                f"the producer of {self._settings.url} is full: append again in a moment",
                key=future.key.decode("utf-8", "replace"),
                timeout=0.0,
            ) from error
        except KafkaException as error:
            raise append_failure(self._settings, error.args[0].code(), error.args[0].str(), future.key, len(value)) from error

    def _shut(self, producer: Any, timeout: float) -> None:
        if timeout == 0:
            producer.purge()
        self._stopping.set()
        self._thread.join(max(timeout, 1.0))

    def _take_acknowledgements(self, producer: Any) -> None:
        while not self._stopping.is_set():
            producer.poll(0.1)
            left, self._left = self._left, []
            if left:
                self._in_flight.leave(left)
        producer.flush(0)

    def _delivered(self, future: Append, error: Any, message: Any) -> None:
        if error is None:
            settle(future, Position(message.partition(), message.offset()))
        else:
            size = len(message.value() or b"")
            settle(future, append_failure(self._settings, error.code(), error.str(), future.key, size))
        self._left.append(future)


class ConfluentReader(BrokerReader):
    """Reads through one consumer."""

    def _make(self) -> Any:
        self._failure: EventResultsError | None = None
        consumer = Consumer(consumer_config(self._settings), logger=logger)
        consumer.assign([TopicPartition(self._settings.topic, number, offset) for number, offset in self._positions.items()])
        return consumer

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
        records: defaultdict[int, list[Record]] = defaultdict(list)
        ends: dict[int, int] = {}
        for message in messages:
            if message.error() is None:
                records[message.partition()].append(Record(message.offset(), message.timestamp()[1], message.key(), message.value()))
            elif message.error().code() == _END:
                # Beyond the last record, when it was followed by a hole.
                ends[message.partition()] = message.offset()
            else:
                self._failure = self._meaning(message)
        polls = {}
        for number in records.keys() | ends.keys():
            found = records.get(number, [])
            next_offset = max(found[-1].offset + 1 if found else 0, ends.get(number, 0))
            if next_offset > self._positions[number]:
                self._positions[number] = next_offset
                polls[number] = Poll(found, next_offset)
        return polls

    def _meaning(self, message: Any) -> EventResultsError:
        error = message.error()
        if error.code() in _OUTSIDE:
            return self._log.stale(message.partition(), self._positions[message.partition()], error.str())
        return _meaning(self._settings, error, self._settings.connect_timeout)


class _ConfluentAsker:
    """One consumer for offsets and single records, one admin client for the topic itself."""

    def __init__(self, settings: BrokerSettings, timeout: float) -> None:
        self._settings = settings
        self._refusal: Any = None
        config = connection_config(settings) | {"error_cb": self._noticed}
        self._admin = AdminClient(config, logger=logger)
        self._consumer = Consumer(probe_config(settings), logger=logger)
        try:
            self._reach(timeout)
        except BaseException:
            self.close()
            raise

    def describe(self, timeout: float) -> TopicDescription:
        name = self._settings.topic
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        topic = self._topic(timeout)
        try:
            config = self._admin.describe_configs([resource], request_timeout=timeout)[resource].result(timeout + 0.5)
        except (KafkaException, TimeoutError) as error:
            raise self._explained(error, timeout) from error
        replication = min(len(each.replicas) for each in topic.partitions)
        values = {each.name: each.value or "" for each in config.values()}
        return TopicDescription(name, _text(topic.topic_id), len(topic.partitions), replication, values)

    def topic_id(self, timeout: float) -> str:
        return _text(self._topic(timeout).topic_id)

    def create(self, partitions: int, replication: int, config: Mapping[str, str], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        topic = NewTopic(self._settings.topic, partitions, replication, config=dict(config))
        try:
            self._admin.create_topics([topic], request_timeout=timeout)[self._settings.topic].result(timeout + 1)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise _meaning(self._settings, error.args[0], timeout) from error
        while not self._has_leaders():
            if time.monotonic() >= deadline:
                raise unreachable(self._settings, timeout, "the topic was created, but has no leaders yet")
            time.sleep(0.05)

    def starts(self, partitions: Sequence[int], timeout: float) -> dict[int, int]:
        return self._offsets(partitions, _EARLIEST, timeout)

    def ends(self, partitions: Sequence[int], timeout: float) -> dict[int, int]:
        return self._offsets(partitions, _LATEST, timeout)

    def read(self, position: Position, timeout: float) -> Record | None:
        deadline = time.monotonic() + timeout
        self._consumer.assign([TopicPartition(self._settings.topic, position.partition, position.offset)])
        try:
            while time.monotonic() < deadline:
                message: Any = self._consumer.poll(min(0.1, max(0.0, deadline - time.monotonic())))
                if message is None:
                    continue
                if message.error() is None:
                    return Record(message.offset(), message.timestamp()[1], message.key(), message.value())
                if message.error().code() == _END or message.error().code() in _OUTSIDE:
                    return None
                raise _meaning(self._settings, message.error(), timeout)
        finally:
            self._consumer.unassign()
        raise unreachable(self._settings, timeout)

    def leave_to_parent(self) -> None:
        leave_to_parent(self._admin, self._consumer)

    def close(self) -> None:
        self._consumer.close()

    def _topic(self, timeout: float) -> Any:
        name = self._settings.topic
        try:
            return self._admin.describe_topics(TopicCollection([name]), request_timeout=timeout)[name].result(timeout + 0.5)
        except (KafkaException, TimeoutError) as error:
            raise self._explained(error, timeout) from error

    def _explained(self, error: Exception, timeout: float) -> LogError:
        if isinstance(error, KafkaException):
            return _meaning(self._settings, error.args[0], timeout)
        return unreachable(self._settings, timeout)

    def _reach(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                self._admin.list_topics(self._settings.topic, timeout=max(0.001, min(0.25, deadline - time.monotonic())))
            except KafkaException as error:
                # librdkafka tries again for ever, also with a wrong password; it tells why in its callback.
                self._admin.poll(0)
                if self._refusal is not None:
                    raise refused(self._settings, self._refusal.str()) from error
                if time.monotonic() >= deadline:
                    raise unreachable(self._settings, timeout, error.args[0].str()) from error
            else:
                return

    def _noticed(self, error: Any) -> None:
        if error.code() in _REFUSED:
            self._refusal = error

    def _has_leaders(self) -> bool:
        topic = self._admin.list_topics(self._settings.topic, timeout=5).topics[self._settings.topic]
        return topic.error is None and all(each.leader >= 0 for each in topic.partitions.values())

    def _offsets(self, partitions: Sequence[int], which: int, timeout: float) -> dict[int, int]:
        began = time.monotonic()
        deadline = began + timeout
        wanted = [TopicPartition(self._settings.topic, number, which) for number in partitions]
        while True:
            left = max(0.001, deadline - time.monotonic())
            try:
                found = self._consumer.offsets_for_times(wanted, timeout=left)
                failures = [each.error for each in found if each.error is not None]
            except KafkaException as error:
                failures = [error.args[0]]
            except RuntimeError as error:
                raise Closed(f"the log {self._settings.url} was closed", what=self._settings.url) from error
            if not failures:
                return {each.partition: each.offset for each in found}
            code = failures[0].code()
            # A topic just created is not known to every broker yet.
            final = code in _REFUSED or (code in _MISSING and time.monotonic() >= began + _PROPAGATION)
            if final or time.monotonic() >= deadline:
                raise _meaning(self._settings, failures[0], timeout)
            self._renew(min(1.0, left))

    def _renew(self, timeout: float) -> None:
        # The library asks again for leaders and partitions when it sees fit; this makes it do so now.
        with contextlib.suppress(KafkaException):
            self._consumer.list_topics(self._settings.topic, timeout=timeout)
        time.sleep(0.02)


def _meaning(settings: BrokerSettings, error: Any, timeout: float) -> LogError:
    if error.code() in _REFUSED:
        return refused(settings, error.str())
    if error.code() in _MISSING:
        return missing(settings)
    return unreachable(settings, timeout, error.str())


def _text(topic_id: Any) -> str:
    """A topic's id as kafka-python writes it."""
    high, low = (number & (2**64 - 1) for number in (topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits()))
    return str(uuid.UUID(int=high << 64 | low))
