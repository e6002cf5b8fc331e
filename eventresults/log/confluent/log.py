"""A topic as a log, by way of librdkafka."""

from __future__ import annotations

from collections.abc import Mapping

from eventresults.log.brokerlog import BrokerLog
from eventresults.log.confluent.asker import ConfluentAsker
from eventresults.log.confluent.membership import ConfluentMembership
from eventresults.log.confluent.reader import ConfluentReader
from eventresults.log.confluent.writer import ConfluentWriter
from eventresults.log.membership import GroupListener, GroupSettings


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

    def _enter(self, group: GroupSettings, listener: GroupListener) -> ConfluentMembership:
        return ConfluentMembership(self, self.reader({}), group, listener)

    def _connect(self, timeout: float) -> ConfluentAsker:
        return ConfluentAsker(self.settings, timeout)
