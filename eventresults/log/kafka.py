"""A log in a Kafka topic, by way of kafka-python: no compiled library needed."""

from __future__ import annotations

import atexit
import threading
import time
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    AuthorizationError,
    BrokerResponseError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    LogTruncationError,
    OffsetOutOfRangeError,
    RetriableError,
    TopicAlreadyExistsError,
)

from eventresults.domain.position import Position
from eventresults.errors import Closed, LogError
from eventresults.log.appends import Append, settle
from eventresults.log.base import Poll, Record
from eventresults.log.brokerclients import BrokerReader, BrokerWriter
from eventresults.log.brokerlog import BrokerLog
from eventresults.log.brokers import (
    NO_TOPIC,
    REFUSED,
    TOO_LARGE,
    BrokerSettings,
    append_failure,
    missing,
    refused,
    unreachable,
)
from eventresults.log.forked import leave_to_parent
from eventresults.log.kafka_config import connection_config, consumer_config, probe_config, producer_config
from eventresults.log.kafka_refusals import hear_refusals
from eventresults.log.topic import TopicDescription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

T = TypeVar("T")

_SLICE = 0.1


class KafkaLog(BrokerLog):
    """A topic, reached by kafka-python."""

    def writer(self) -> KafkaWriter:
        """See `Log.writer`."""
        self._check_open()
        return KafkaWriter(self)

    def reader(self, positions: Mapping[int, int]) -> KafkaReader:
        """See `Log.reader`."""
        self._check_open()
        return KafkaReader(self, positions)

    def _connect(self, timeout: float) -> _KafkaAsker:
        return _KafkaAsker(self.settings, timeout)


class KafkaWriter(BrokerWriter):
    """Appends through one idempotent producer."""

    def __init__(self, log: KafkaLog) -> None:
        super().__init__(log)
        self._broken: list[Any] = []
        self._stopping = threading.Event()
        self._watch: threading.Thread | None = None

    def _make(self) -> Any:
        self._close_broken()
        if self._watch is None:
            self._watch = threading.Thread(target=self._watch_deadlines, name="eventresults-kafka-deadlines", daemon=True)
            self._watch.start()
        return _producer(self._settings, self._log.max_batch_bytes)

    def _send(self, producer: Any, future: Append, value: bytes) -> None:
        key = future.key
        try:
            sent = producer.send(self._settings.topic, value, key=key, partition=self._log.partition_for(key))
        except (KafkaError, ValueError) as error:
            raise self._failure(error, key, len(value)) from error
        sent.add_callback(partial(self._acknowledged, future))
        sent.add_errback(partial(self._failed, future, len(value)))

    def _shut(self, producer: Any, timeout: float) -> None:
        self._stopping.set()
        _close(producer, timeout)
        self._close_broken()
        if self._watch is not None:
            self._watch.join(1.0)

    def _close_broken(self) -> None:
        while self._broken:
            _close(self._broken.pop(), 0.0)

    def _watch_deadlines(self) -> None:
        # This library's delivery timeout does not run while its producer waits for an id, and so not during an outage.
        while not self._stopping.wait(min(0.25, self._settings.append_timeout / 4)):
            self._in_flight.give_up(self._settings.append_timeout + 0.25)

    def after_fork_in_child(self) -> None:
        """See `BrokerWriter`; the producer would also close itself at the child's exit."""
        if self._producer is not None:
            atexit.unregister(self._producer._cleanup)  # noqa: SLF001
        super().after_fork_in_child()

    def _acknowledged(self, future: Append, sent: Any) -> None:
        settle(future, Position(sent.partition, sent.offset))
        self._in_flight.leave([future])

    def _failed(self, future: Append, size: int, error: Exception) -> None:
        self._retire()
        settle(future, self._failure(error, future.key, size))
        self._in_flight.leave([future])

    def _retire(self) -> None:
        # After an error that it takes for fatal (a record that the broker refused is one), an idempotent producer of this library
        # fails everything for ever, with that one error. The next append gets a new one.
        producer = self._producer
        if producer is not None and producer._transaction_manager.has_fatal_error():  # noqa: SLF001
            self._producer = None
            self._broken.append(producer)

    def _failure(self, error: Exception, key: bytes, size: int) -> Exception:
        if self._closed and isinstance(error, IllegalStateError):
            return self._was_closed()
        code = _code(error)
        if code in TOO_LARGE and len(key) + size < self._log.max_batch_bytes // 2:
            code = None  # it shared its producer with the one that was
        return append_failure(self._settings, code, _text(error), key, size)


class KafkaReader(BrokerReader):
    """Reads through one consumer."""

    def _make(self) -> Any:
        consumer = _consumer(self._settings, self._settings.connect_timeout, consumer_config())
        positions = {self._partition(number): offset for number, offset in self._positions.items()}
        consumer.assign(list(positions))
        for partition, offset in positions.items():
            consumer.seek(partition, offset)
        return consumer

    def _take(self, consumer: Any, timeout: float) -> dict[int, Poll]:
        with _meaning(self._settings, self._settings.connect_timeout):
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
                records = [Record(each.offset, each.timestamp, each.key, each.value) for each in found.get(partition, ())]
                yield number, Poll(records, next_offset)

    def _partition(self, number: int) -> TopicPartition:
        return TopicPartition(self._settings.topic, number)


class _KafkaAsker:
    """One consumer for offsets and single records; an admin client, for as long as a question takes, for the topic itself."""

    def __init__(self, settings: BrokerSettings, timeout: float) -> None:
        self._settings = settings
        self._consumer = _consumer(settings, timeout, probe_config())

    def describe(self, timeout: float) -> TopicDescription:
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

        return self._administer(ask, timeout)

    def create(self, partitions: int, replication: int, config: Mapping[str, str], timeout: float) -> None:
        topic = {"num_partitions": partitions, "replication_factor": replication, "configs": dict(config)}

        def ask(admin: Any) -> None:
            with suppress(TopicAlreadyExistsError):  # somebody was faster; `describe` says what it is
                admin.create_topics({self._settings.topic: topic}, timeout_ms=int(timeout * 1000))
            admin.wait_for_topics([self._settings.topic], timeout_ms=int(timeout * 1000))

        self._administer(ask, timeout)

    def topic_id(self, timeout: float) -> str:
        deadline = time.monotonic() + timeout
        cluster = self._consumer._cluster  # noqa: SLF001 - what the library knows of the topic; there is no public way to its id
        with _meaning(self._settings, timeout):
            cluster.add_topic(self._settings.topic)
            asked = cluster.request_update()
            while not asked.is_done:
                if time.monotonic() >= deadline:
                    raise unreachable(self._settings, timeout)
                time.sleep(0.001)
            if asked.failed():
                raise asked.exception
        topic_id = cluster.topic_id(self._settings.topic)
        if topic_id is None:
            raise missing(self._settings)
        return str(topic_id)

    def starts(self, partitions: Sequence[int], timeout: float) -> dict[int, int]:
        return self._offsets(self._consumer.beginning_offsets, partitions, timeout)

    def ends(self, partitions: Sequence[int], timeout: float) -> dict[int, int]:
        return self._offsets(self._consumer.end_offsets, partitions, timeout)

    def read(self, position: Position, timeout: float) -> Record | None:
        partition = TopicPartition(self._settings.topic, position.partition)
        deadline = time.monotonic() + timeout
        with _meaning(self._settings, timeout):
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

    def leave_to_parent(self) -> None:
        leave_to_parent(self._consumer)

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=1000)

    def _offsets(self, ask: Callable[..., dict[TopicPartition, int]], partitions: Sequence[int], timeout: float) -> dict[int, int]:
        wanted = [TopicPartition(self._settings.topic, number) for number in partitions]
        deadline = time.monotonic() + timeout
        with _meaning(self._settings, timeout):
            while True:
                left = max(0.001, deadline - time.monotonic())
                try:
                    return {partition.partition: offset for partition, offset in ask(wanted, timeout_ms=int(left * 1000) + 1).items()}
                except KeyError as error:
                    # The library answers for those partitions alone that its metadata name, and asks for newer.
                    if time.monotonic() >= deadline:
                        raise unreachable(self._settings, timeout, f"no leader of {error}") from error
                time.sleep(0.02)

    def _administer(self, ask: Callable[[Any], T], timeout: float) -> T:
        deadline = time.monotonic() + timeout
        with _meaning(self._settings, timeout), closing(_admin(self._settings, timeout)) as admin:
            while True:
                try:
                    return ask(admin)
                except RetriableError:
                    if time.monotonic() >= deadline:
                        raise
                time.sleep(0.05)


class _meaning:  # noqa: N801 - reads as a statement
    """Turn what kafka-python raises into errors of ours."""

    def __init__(self, settings: BrokerSettings, timeout: float) -> None:
        self._settings = settings
        self._timeout = timeout

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, LogError) or not isinstance(error, (KafkaError, RuntimeError)):
            return
        if isinstance(error, RuntimeError) and "closed" not in str(error).lower():
            return
        code = _code(error)
        if code in REFUSED or isinstance(error, AuthorizationError):
            raise refused(self._settings, _text(error)) from error
        if code in NO_TOPIC:
            raise missing(self._settings) from error
        if isinstance(error, (RuntimeError, IllegalStateError)):
            raise Closed(f"the log {self._settings.url} was closed", what=self._settings.url) from error
        raise unreachable(self._settings, self._timeout, _text(error)) from error


def _code(error: BaseException) -> int | None:
    return error.errno if isinstance(error, BrokerResponseError) else None


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _producer(settings: BrokerSettings, max_batch_bytes: int) -> Any:
    return _made(settings, KafkaProducer, settings.connect_timeout, producer_config(settings, max_batch_bytes))


def _consumer(settings: BrokerSettings, timeout: float, config: dict[str, Any]) -> Any:
    return _made(settings, KafkaConsumer, timeout, config)


def _close(producer: Any, timeout: float) -> None:
    try:
        producer.close(timeout=timeout)
    except KafkaTimeoutError:
        # Its flush waited for what we have given up already; now it need not wait.
        producer._sender.force_close()  # noqa: SLF001
        producer._closed = True  # noqa: SLF001


def _admin(settings: BrokerSettings, timeout: float) -> Any:
    return _made(settings, KafkaAdminClient, timeout, {"request_timeout_ms": int(max(0.001, timeout) * 1000)})


def _made(settings: BrokerSettings, client: Any, timeout: float, config: dict[str, Any]) -> Any:
    """Make a client. One whose constructor fails leaves its thread and its sockets behind: these are closed."""
    below: list[Any] = []

    def remember(**config: Any) -> Any:
        below.append(client.DEFAULT_CONFIG["kafka_client"](**config))
        hear_refusals(below[-1]._manager, REFUSED)  # noqa: SLF001
        return below[-1]

    with _meaning(settings, timeout):
        try:
            return client(kafka_client=remember, **connection_config(settings, timeout), **config)
        except BaseException:
            for each in below:
                each.close()
            raise
