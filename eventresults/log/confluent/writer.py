"""Appending by way of librdkafka."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import Any

from confluent_kafka import KafkaException, Producer

from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout
from eventresults.log.appends import Append, settle
from eventresults.log.brokerclients import BrokerWriter
from eventresults.log.brokers import append_failure
from eventresults.log.confluent.config import producer_config

logger = logging.getLogger(__name__)


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
        offset = message.offset()
        if error is None and (offset is None or offset < 0):
            # A repeated batch whose acknowledgement was lost with its broker: the log has it, and that is all we are told.
            self._placing.find(future, message.partition(), message.value() or b"")
            return
        if error is None:
            settle(future, Position(message.partition(), offset))
        else:
            size = len(message.value() or b"")
            settle(future, append_failure(self._settings, error.code(), error.str(), future.key, size))
        self._left.append(future)
