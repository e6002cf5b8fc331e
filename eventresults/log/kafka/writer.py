"""Appending by way of kafka-python."""

from __future__ import annotations

import atexit
import threading
from functools import partial
from typing import Any

from kafka.errors import IllegalStateError, KafkaError

from eventresults.domain.position import Position
from eventresults.log.appends import Append
from eventresults.log.brokerclients import BrokerWriter
from eventresults.log.brokerlog import BrokerLog
from eventresults.log.brokers import TOO_LARGE, append_failure
from eventresults.log.kafka.clients import close_producer, code_of, make_producer, text_of


class KafkaWriter(BrokerWriter):
    """Appends through one idempotent producer."""

    def __init__(self, log: BrokerLog) -> None:
        super().__init__(log)
        self._broken: list[Any] = []
        self._stopping = threading.Event()
        self._watch: threading.Thread | None = None

    def _make(self) -> Any:
        self._close_broken()
        if self._watch is None:
            self._watch = threading.Thread(target=self._watch_deadlines, name="eventresults-kafka-deadlines", daemon=True)
            self._watch.start()
        return make_producer(self._settings, self._log.max_batch_bytes)

    def _send(self, producer: Any, future: Append, value: bytes) -> None:
        key = future.key
        try:
            sent = producer.send(self._settings.topic, value, key=key, partition=self._log.partition_for(key))
        except (KafkaError, ValueError) as error:
            raise self._failure(error, key, len(value)) from error
        sent.add_callback(partial(self._acknowledged, future, value))
        sent.add_errback(partial(self._failed, future, len(value)))

    def _shut(self, producer: Any, timeout: float) -> None:
        self._stopping.set()
        close_producer(producer, timeout)
        self._close_broken()
        if self._watch is not None:
            self._watch.join(1.0)

    def _close_broken(self) -> None:
        while self._broken:
            close_producer(self._broken.pop(), 0.0)

    def _watch_deadlines(self) -> None:
        # This library's delivery timeout does not run while its producer waits for an id, and so not during an outage.
        while not self._stopping.wait(min(0.25, self._settings.append_timeout / 4)):
            self._in_flight.give_up(self._settings.append_timeout + 0.25)

    def after_fork_in_child(self) -> None:
        """See `BrokerWriter`; the producer would also close itself at the child's exit."""
        if self._producer is not None:
            atexit.unregister(self._producer._cleanup)  # noqa: SLF001
        super().after_fork_in_child()

    def _acknowledged(self, future: Append, value: bytes, sent: Any) -> None:
        if sent.offset < 0:
            # A repeated batch whose acknowledgement was lost with its broker: the log has it, and that is all we are told.
            self._placing.find(future, sent.partition, value)
            return
        future.settle(Position(sent.partition, sent.offset))
        self._in_flight.leave([future])

    def _failed(self, future: Append, size: int, error: Exception) -> None:
        self._retire()
        future.settle(self._failure(error, future.key, size))
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
        code = code_of(error)
        if code in TOO_LARGE and len(key) + size < self._log.max_batch_bytes // 2:
            code = None  # it shared its producer with the one that was
        return append_failure(self._settings, code, text_of(error), key, size)
