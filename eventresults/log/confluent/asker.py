"""Asking by way of librdkafka."""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic  # type: ignore[attr-defined]

from eventresults.domain.position import Position
from eventresults.errors import Closed, LogError
from eventresults.log.base import Record
from eventresults.log.brokers import BrokerSettings, refused, unreachable
from eventresults.log.confluent.config import connection_config, probe_config
from eventresults.log.confluent.meaning import END, MISSING, OUTSIDE, REFUSALS, meaning
from eventresults.log.forked import leave_to_parent
from eventresults.log.membership import Holding
from eventresults.log.topic import TopicDescription

logger = logging.getLogger(__name__)

_EARLIEST, _LATEST = -2, -1
_PROPAGATION = 1.0
_PATIENCE = 0.5
_READ_PATIENCE = 1.5


class ConfluentAsker:
    """A consumer for offsets, another for single records, an admin client for the topic itself."""

    def __init__(self, settings: BrokerSettings, timeout: float) -> None:
        self._settings = settings
        self._refusal: Any = None
        self._config = connection_config(settings) | {"error_cb": self._noticed}
        self._admin = AdminClient(self._config, logger=logger)
        self._consumer = Consumer(probe_config(settings), logger=logger)
        self._probe: Any = None
        try:
            self._reach(timeout)
        except BaseException:
            self.close()
            raise

    def describe(self, timeout: float) -> TopicDescription:
        """See `Asker.describe`."""
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
        """See `Asker.topic_id`."""
        return _text(self._topic(timeout).topic_id)

    def ask_topic_id(self, timeout: float) -> Callable[[], str | None]:
        """See `Asker.ask_topic_id`."""
        asked = self._ask_topic(timeout)

        def answer() -> str | None:
            return _text(self._answer(asked, timeout).topic_id) if asked.done() else None

        return answer

    def create(self, partitions: int, replication: int, config: Mapping[str, str], timeout: float) -> None:
        """See `Asker.create`."""
        deadline = time.monotonic() + timeout
        topic = NewTopic(self._settings.topic, partitions, replication, config=dict(config))
        try:
            self._admin.create_topics([topic], request_timeout=timeout)[self._settings.topic].result(timeout + 1)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise meaning(self._settings, error.args[0], timeout) from error
        while not self._has_leaders():
            if time.monotonic() >= deadline:
                raise unreachable(self._settings, timeout, "the topic was created, but has no leaders yet")
            time.sleep(0.05)

    def starts(self, partitions: Sequence[int], timeout: float) -> dict[int, int]:
        """See `Asker.starts`."""
        return self._offsets(partitions, _EARLIEST, timeout)

    def ends(self, partitions: Sequence[int], timeout: float) -> dict[int, int]:
        """See `Asker.ends`."""
        return self._offsets(partitions, _LATEST, timeout)

    def read(self, position: Position, timeout: float) -> Record | None:
        """See `Asker.read`."""
        deadline = time.monotonic() + timeout
        patience = _READ_PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            message = self._first(position, min(left, patience))
            if message is None:
                # A topic that was created again begins with a lower leader epoch, and the library believes none that is lower than what it
                # has seen: it asks the leader of before for ever.
                probe, self._probe = self._probe, None
                probe.close()
                patience *= 2
            elif message.error() is None:
                return Record(message.offset(), message.timestamp()[1], message.key(), message.value())
            elif message.error().code() == END or message.error().code() in OUTSIDE:
                return None
            else:
                raise meaning(self._settings, message.error(), timeout)
        raise unreachable(self._settings, timeout)

    def _first(self, position: Position, timeout: float) -> Any:
        """What the library has to say of this position; None when it says nothing in time."""
        if self._probe is None:
            self._probe = Consumer(probe_config(self._settings), logger=logger)
        self._probe.assign([TopicPartition(self._settings.topic, position.partition, position.offset)])
        try:
            return self._probe.poll(timeout)
        finally:
            self._probe.unassign()

    def holdings(self, group_id: str, timeout: float) -> list[Holding]:
        """See `Asker.holdings`."""
        from eventresults.log.kafka.groups import holdings  # noqa: PLC0415 - the other library is only needed here

        return holdings(self._settings, group_id, timeout)

    def leave_to_parent(self) -> None:
        """See `Asker.leave_to_parent`."""
        leave_to_parent(self._admin, self._consumer, self._probe)

    def close(self) -> None:
        """See `Asker.close`."""
        self._consumer.close()
        if self._probe is not None:
            self._probe.close()

    def _topic(self, timeout: float) -> Any:
        return self._answer(self._ask_topic(timeout), timeout)

    def _ask_topic(self, timeout: float) -> Any:
        name = self._settings.topic
        return self._admin.describe_topics(TopicCollection([name]), request_timeout=timeout)[name]

    def _answer(self, asked: Any, timeout: float) -> Any:
        try:
            return asked.result(timeout + 0.5)
        except (KafkaException, TimeoutError) as error:
            raise self._explained(error, timeout) from error

    def _explained(self, error: Exception, timeout: float) -> LogError:
        if isinstance(error, KafkaException):
            return meaning(self._settings, error.args[0], timeout)
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
        if error.code() in REFUSALS:
            self._refusal = error

    def _has_leaders(self) -> bool:
        topic = self._admin.list_topics(self._settings.topic, timeout=5).topics[self._settings.topic]
        return topic.error is None and all(each.leader >= 0 for each in topic.partitions.values())

    def _offsets(self, partitions: Sequence[int], which: int, timeout: float) -> dict[int, int]:
        began = time.monotonic()
        deadline = began + timeout
        wanted = [TopicPartition(self._settings.topic, number, which) for number in partitions]
        # The library goes on asking a leader that died, until its time is up: look for another one before that.
        patience = _PATIENCE
        while True:
            left = max(0.001, deadline - time.monotonic())
            try:
                found = self._consumer.offsets_for_times(wanted, timeout=min(left, patience))
                failures = [each.error for each in found if each.error is not None]
            except KafkaException as error:
                failures = [error.args[0]]
            except RuntimeError as error:
                raise Closed(f"the log {self._settings.url} was closed", what=self._settings.url) from error
            if not failures:
                return {each.partition: each.offset for each in found}
            code = failures[0].code()
            # A topic just created is not known to every broker yet.
            final = code in REFUSALS or (code in MISSING and time.monotonic() >= began + _PROPAGATION)
            if final or time.monotonic() >= deadline:
                raise meaning(self._settings, failures[0], timeout)
            patience *= 2
            self._renew(min(1.0, left))

    def _renew(self, timeout: float) -> None:
        # The library asks again for leaders and partitions when it sees fit; this makes it do so now.
        with contextlib.suppress(KafkaException):
            self._consumer.list_topics(self._settings.topic, timeout=timeout)
        time.sleep(0.02)


def _text(topic_id: Any) -> str:
    """A topic's id as kafka-python writes it."""
    high, low = (number & (2**64 - 1) for number in (topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits()))
    return str(uuid.UUID(int=high << 64 | low))
