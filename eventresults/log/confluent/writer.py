"""Appending by way of librdkafka."""

from __future__ import annotations

import logging
import threading
from collections import deque
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, Producer

from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout, EventResultsError, LogError
from eventresults.log.appends import Append
from eventresults.log.bounds import value_bytes
from eventresults.log.brokerclients import BrokerWriter
from eventresults.log.brokerlog import BrokerLog
from eventresults.log.brokers import append_failure
from eventresults.log.confluent.bunches import Bunches
from eventresults.log.confluent.config import producer_config

logger = logging.getLogger(__name__)

#: How long the brokers have to say which topic it is, when facts were not acknowledged.
_IDENTITY_SECONDS = 1.0
_RETIRED_SECONDS = 1.0


class ConfluentWriter(BrokerWriter):
    """Appends through one idempotent producer, which chooses the partition itself; a thread takes its acknowledgements.

    A topic that was created again gets another one, once facts were not acknowledged in time: it begins with a lower leader epoch, and the
    library believes none that is lower than what it has seen, so that it would send to the leader of before for ever.
    """

    def __init__(self, log: BrokerLog) -> None:
        super().__init__(log)
        #: For the thread that takes acknowledgements: a future's callbacks are nothing for the one that appends.
        self._outcomes: deque[tuple[Append, Position | LogError]] = deque()
        self._overdue = False
        self._stopping = threading.Event()

    def _make(self) -> Any:
        self._topic_id = self._log.topic_id(self._settings.connect_timeout)
        producer = Producer(producer_config(self._settings, self._log.max_batch_bytes), logger=logger)
        bunches = Bunches(producer, self._settings.topic, delivered=self._delivered)
        self._thread = threading.Thread(
            target=self._take_acknowledgements, args=(bunches,), name="eventresults-confluent-acknowledgements", daemon=True
        )
        self._thread.start()
        return bunches

    def _send(self, producer: Bunches, future: Append, value: bytes) -> None:
        producer.add(future, value)

    def _shut(self, producer: Bunches, timeout: float) -> None:
        if timeout == 0:
            producer.producer.purge()
        self._stopping.set()
        self._thread.join(max(timeout, 1.0))

    def _take_acknowledgements(self, bunches: Bunches) -> None:
        while not self._stopping.is_set():
            bunches.producer.poll(0.1)
            bunches.hand_over()
            self._settle()
            if self._overdue:
                self._overdue = False
                if self._is_another_topic():
                    self._retire(bunches)
                    return
        bunches.producer.flush(0)

    def _retire(self, bunches: Bunches) -> None:
        """The next append makes another one; what this one still holds has failed."""
        with self._opening:
            if self._producer is bunches:
                self._producer = None
        until = monotonic() + _RETIRED_SECONDS  # an append may be about to hand its fact over to this one
        while len(bunches.producer) or monotonic() < until:
            bunches.hand_over()
            bunches.producer.purge()
            bunches.producer.poll(0.1)
            self._settle()

    def _settle(self) -> None:
        outcomes = [self._outcomes.popleft() for _ in range(len(self._outcomes))]
        if outcomes:
            Append.settle_all(outcomes)
            self._in_flight.leave([future for future, _ in outcomes])

    def _is_another_topic(self) -> bool:
        try:
            return self._log.topic_id(_IDENTITY_SECONDS) != self._topic_id
        except EventResultsError:  # an outage: the next that is overdue asks again
            return False

    def _delivered(self, bunches: Bunches, future: Append, error: KafkaError | None, message: Any) -> None:
        if message is not None:
            bunches.acknowledged += 1
            self._overdue = self._overdue or error is not None  # by the thread that acknowledges alone
        if error is not None:
            self._outcomes.append((future, self._failure(future, error)))
        elif (offset := message.offset()) is not None and offset >= 0:
            self._outcomes.append((future, Position(message.partition(), offset)))
        else:
            # A repeated batch whose acknowledgement was lost with its broker: the log has it, and that is all we are told.
            self._placing.find(future, message.partition(), message.value() or b"")

    def _failure(self, future: Append, error: KafkaError) -> LogError:
        if error.code() == KafkaError._QUEUE_FULL:  # noqa: SLF001 - its public name
            reason = f"the producer of {self._settings.url} is full: append again in a moment"
            return AppendTimeout(reason, key=future.key.decode("utf-8", "replace"), timeout=0.0)
        return append_failure(self._settings, error.code(), error.str(), future.key, value_bytes(future))
