"""A topic as a log, by way of kafka-python."""

from __future__ import annotations

from collections.abc import Mapping

from eventresults.log.brokerlog import BrokerLog
from eventresults.log.kafka.asker import KafkaAsker
from eventresults.log.kafka.membership import KafkaMembership
from eventresults.log.kafka.reader import KafkaReader
from eventresults.log.kafka.writer import KafkaWriter
from eventresults.log.membership import GroupListener, GroupSettings


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

    def _enter(self, group: GroupSettings, listener: GroupListener) -> KafkaMembership:
        return KafkaMembership(self, self.reader({}), group, listener)

    def _connect(self, timeout: float) -> KafkaAsker:
        return KafkaAsker(self.settings, timeout)
